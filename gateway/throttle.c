/* throttle.c - the table of addresses from which logins have failed. */
#include "throttle.h"

#include <stdlib.h>

static struct sl_slice host_key(const void *value)
{
    const struct throttle_host *h = value;
    return sl_bytes(h->host.bytes, sizeof h->host.bytes);
}

void throttle_free(struct throttle *t)
{
    struct throttle_host *h;
    for (uint32_t i = 0; (h = sl_map_next(&t->hosts, &i));)
        free(h);
    sl_map_free(&t->hosts);
    *t = (struct throttle){ 0 };
}

/* The one heard of longest ago that nobody points to; NULL when all are pointed to. */
static struct throttle_host *oldest(const struct throttle *t)
{
    struct throttle_host *h, *found = NULL;
    for (uint32_t i = 0; (h = sl_map_next(&t->hosts, &i));)
        if (h->waiting == 0 && h->running == 0 && (!found || h->used_ms < found->used_ms))
            found = h;
    return found;
}

/* A new entry, or an old one that is given to another address; NULL when there is neither. */
static struct throttle_host *take_entry(struct throttle *t)
{
    if (t->hosts.count < THROTTLE_HOSTS_MAX)
        return calloc(1, sizeof(struct throttle_host));
    struct throttle_host *h = oldest(t);
    if (!h)
        return NULL;
    sl_map_remove(&t->hosts, host_key, h);
    *h = (struct throttle_host){ 0 };
    return h;
}

struct throttle_host *throttle_host(struct throttle *t, struct sl_slice address, int64_t now_ms)
{
    struct broker_host host;
    if (!broker_host_of(address, &host))
        return &t->local;
    struct sl_slice key = sl_bytes(host.bytes, sizeof host.bytes);
    struct throttle_host *h = sl_map_get(&t->hosts, host_key, key);
    if (!h) {
        h = take_entry(t);
        if (!h)
            return &t->others;
        h->host = host;
        if (!sl_map_put(&t->hosts, host_key, h)) {
            free(h);
            return &t->others;
        }
    }
    h->used_ms = now_ms;
    return h;
}

int64_t throttle_wait_ms(const struct throttle_host *h, int64_t now_ms)
{
    if (h->failures == 0 || now_ms - h->failed_ms >= THROTTLE_FORGET_MS)
        return 0;
    int64_t wait = THROTTLE_FIRST_MS;
    for (uint32_t i = 1; i < h->failures && wait < THROTTLE_LONGEST_MS; i++)
        wait *= 2;
    return wait < THROTTLE_LONGEST_MS ? wait : THROTTLE_LONGEST_MS;
}

void throttle_failed(struct throttle *t, struct throttle_host *h, int64_t now_ms)
{
    t->failed++;
    if (now_ms - h->failed_ms >= THROTTLE_FORGET_MS)
        h->failures = 0;
    if (h->failures < UINT32_MAX)
        h->failures++;
    h->failed_ms = now_ms;
}

void throttle_succeeded(struct throttle_host *h)
{
    h->failures = 0;
}
