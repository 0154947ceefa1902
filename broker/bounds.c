/* bounds.c - bounds on connections, and what was refused because of them. */
#include "bounds.h"

#include "broker_internal.h"
#include "client.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>

enum { BURST_MS = 10000 };

/* ---- hosts ---- */

static bool parse_v4(const char *text, struct broker_host *ret)
{
    *ret = (struct broker_host){ .bytes = { [10] = 0xFF, [11] = 0xFF } };
    return inet_pton(AF_INET, text, ret->bytes + 12) == 1;
}

static bool is_v4_mapped(const struct broker_host *h)
{
    static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };
    return memcmp(h->bytes, mapped, sizeof mapped) == 0;
}

/* Whoever has an IPv6 address has at least 2^64 of them. */
static bool parse_v6(char *text, struct broker_host *ret)
{
    char *zone = strchr(text, '%');
    if (zone)
        *zone = '\0';
    if (inet_pton(AF_INET6, text, ret->bytes) != 1)
        return false;
    if (!is_v4_mapped(ret))
        memset(ret->bytes + 8, 0, 8);
    return true;
}

bool broker_host_of(struct sl_slice address, struct broker_host *ret)
{
    char text[64];
    bool bracket = address.len > 0 && address.ptr[0] == '[';
    struct sl_slice rest = { address.ptr + bracket, address.len - bracket };
    const uint8_t *end = rest.len ? memchr(rest.ptr, bracket ? ']' : ':', rest.len) : NULL;
    size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
    if (len == 0 || len >= sizeof text)
        return false;
    memcpy(text, rest.ptr, len);
    text[len] = '\0';
    return bracket ? parse_v6(text, ret) : parse_v4(text, ret);
}

static struct sl_slice host_key(const void *value)
{
    const struct bounds_host *h = value;
    return sl_bytes(h->host.bytes, sizeof h->host.bytes);
}

static struct sl_slice address_of(struct client *c)
{
    return c->transport->address(c);
}

/* The entry of the client's host; NULL when it has none (a Unix socket), or it is not there. */
static struct bounds_host *find_host(struct broker *b, struct client *c, struct broker_host *ret)
{
    if (!broker_host_of(address_of(c), ret))
        return NULL;
    return sl_map_get(&b->bounds.hosts, host_key, sl_bytes(ret->bytes, sizeof ret->bytes));
}

static struct bounds_host *add_host(struct broker *b, const struct broker_host *host)
{
    struct bounds_host *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->host = *host;
    if (sl_map_put(&b->bounds.hosts, host_key, h))
        return h;
    free(h);
    return NULL;
}

static void drop_host_if_idle(struct broker *b, struct bounds_host *h)
{
    if (h->connections > 0)
        return;
    sl_map_remove(&b->bounds.hosts, host_key, h);
    free(h);
}

/* ---- connections without CONNECT ---- */

static bool unfinished_room(struct bounds *bounds)
{
    if (bounds->unfinished_count < bounds->unfinished_cap)
        return true;
    uint32_t cap = bounds->unfinished_cap ? bounds->unfinished_cap * 2 : 16;
    struct bounds_unfinished *larger = realloc(bounds->unfinished, cap * sizeof *larger);
    if (!larger)
        return false;
    bounds->unfinished = larger;
    bounds->unfinished_cap = cap;
    return true;
}

static void add_unfinished(struct bounds *bounds, struct client *c)
{
    c->unfinished_at = bounds->unfinished_count;
    bounds->unfinished[bounds->unfinished_count++] = (struct bounds_unfinished){ c, c->opened_ms };
}

/* The array is given back when it is empty: a flood must not leave it large. */
static void remove_unfinished(struct bounds *bounds, struct client *c)
{
    assert(bounds->unfinished[c->unfinished_at].client == c);
    struct bounds_unfinished last = bounds->unfinished[--bounds->unfinished_count];
    bounds->unfinished[c->unfinished_at] = last;
    last.client->unfinished_at = c->unfinished_at;
    c->unfinished_at = BOUNDS_FINISHED;
    if (bounds->unfinished_count > 0)
        return;
    free(bounds->unfinished);
    bounds->unfinished = NULL;
    bounds->unfinished_cap = 0;
}

/* Whoever means it has sent its CONNECT long before it is the oldest: connect_rate sees to that. */
static void oldest_gives_way(struct broker *b)
{
    const struct bounds_unfinished *list = b->bounds.unfinished, *oldest = list;
    for (uint32_t i = 1; i < b->bounds.unfinished_count; i++)
        if (list[i].since_ms < oldest->since_ms)
            oldest = &list[i];
    struct client *c = oldest->client;
    bounds_refused(b, BROKER_REFUSED_UNFINISHED, address_of(c), NULL);
    client_close(c, 0, NULL);
}

void bounds_finished(struct broker *b, struct client *c)
{
    struct broker_host host;
    if (c->unfinished_at == BOUNDS_FINISHED)
        return;
    remove_unfinished(&b->bounds, c);
    struct bounds_host *h = find_host(b, c, &host);
    if (h)
        h->unfinished--;
}

/* ---- coming and going ---- */

static bool within(uint32_t count, uint32_t max)
{
    return max == 0 || count < max;
}

/* Half of all that may be unfinished; one at least. */
static uint32_t unfinished_per_host(const struct broker *b)
{
    return (b->options.max_unfinished + 1) / 2;
}

static bool host_has_room(struct broker *b, struct client *c, const struct bounds_host *h)
{
    if (!within(h->connections, b->options.max_per_address)) {
        bounds_refused(b, BROKER_REFUSED_ADDRESS, address_of(c), NULL);
        return false;
    }
    if (!within(h->unfinished, unfinished_per_host(b))) {
        bounds_refused(b, BROKER_REFUSED_UNFINISHED, address_of(c), NULL);
        return false;
    }
    return true;
}

/* The client's host with room for it, made when it is the first from there; *ret NULL for one that
 * has no host. */
static bool take_host(struct broker *b, struct client *c, struct bounds_host **ret)
{
    struct broker_host host;
    *ret = NULL;
    if (!broker_host_of(address_of(c), &host))
        return true;
    *ret = find_host(b, c, &host);
    if (*ret)
        return host_has_room(b, c, *ret);
    *ret = add_host(b, &host);
    if (!*ret)
        bounds_refused(b, BROKER_REFUSED_MEMORY, address_of(c), NULL);
    return *ret != NULL;
}

bool bounds_open(struct broker *b, struct client *c)
{
    struct bounds_host *h;
    c->unfinished_at = BOUNDS_FINISHED;
    if (b->client_count >= b->options.max_connections) {
        bounds_refused(b, BROKER_REFUSED_FULL, address_of(c), NULL);
        return false;
    }
    if (!take_host(b, c, &h))
        return false;
    if (!within(b->bounds.unfinished_count, b->options.max_unfinished))
        oldest_gives_way(b); /* its host stays until the connection is gone: not now */
    if (!unfinished_room(&b->bounds)) {
        if (h)
            drop_host_if_idle(b, h);
        bounds_refused(b, BROKER_REFUSED_MEMORY, address_of(c), NULL);
        return false;
    }
    add_unfinished(&b->bounds, c);
    if (h) {
        h->connections++;
        h->unfinished++;
    }
    return true;
}

void bounds_close(struct broker *b, struct client *c)
{
    struct broker_host host;
    bounds_finished(b, c);
    struct bounds_host *h = find_host(b, c, &host);
    if (!h)
        return;
    h->connections--;
    drop_host_if_idle(b, h);
}

void bounds_free(struct bounds *bounds)
{
    assert(bounds->hosts.count == 0 && bounds->unfinished_count == 0);
    sl_map_free(&bounds->hosts);
}

/* ---- what was refused ---- */

const char *broker_refusal_name(enum broker_refusal r)
{
    static const char *const names[BROKER_REFUSALS] = {
        [BROKER_REFUSED_FULL] = "full",
        [BROKER_REFUSED_ADDRESS] = "address",
        [BROKER_REFUSED_UNFINISHED] = "unfinished",
        [BROKER_REFUSED_TIMEOUT] = "timeout",
        [BROKER_REFUSED_LOGIN] = "login",
        [BROKER_REFUSED_BUSY] = "busy",
        [BROKER_REFUSED_ACCESS] = "access",
        [BROKER_REFUSED_REQUEST] = "request",
        [BROKER_REFUSED_MEMORY] = "memory",
    };
    return names[r];
}

static const char *refusal_text(enum broker_refusal r)
{
    static const char *const texts[BROKER_REFUSALS] = {
        [BROKER_REFUSED_FULL] = "as many connections as broker.max_connections",
        [BROKER_REFUSED_ADDRESS] =
            "as many connections from its address as broker.max_connections_per_address",
        [BROKER_REFUSED_UNFINISHED] = "too many connections without a CONNECT",
        [BROKER_REFUSED_TIMEOUT] = "no CONNECT within broker.connect_timeout",
        [BROKER_REFUSED_LOGIN] = "bad user name or password",
        [BROKER_REFUSED_BUSY] = "too many passwords to check",
        [BROKER_REFUSED_ACCESS] = "its will is on a topic it may not publish to",
        [BROKER_REFUSED_REQUEST] = "its CONNECT asks for what is not supported",
        [BROKER_REFUSED_MEMORY] = "out of memory",
    };
    return texts[r];
}

void bounds_refused(struct broker *b, enum broker_refusal why, struct sl_slice from,
                    const char *text)
{
    struct bounds_burst *burst = &b->bounds.bursts[why];
    int64_t now = broker_now(b);
    b->stats.connections_refused++;
    b->stats.refused[why]++;
    bool first = burst->told_ms == 0 || now - burst->told_ms >= BURST_MS;
    if (!first)
        burst->count++;
    struct sl_kv kv[] = { SL_KV_SLICE("from", from), SL_KV_END };
    sl_log(first ? SL_INFO : SL_DEBUG, "broker", kv, "connection refused: %s",
           text ? text : refusal_text(why));
    if (first)
        burst->told_ms = now;
}

void bounds_tick(struct broker *b)
{
    int64_t now = broker_now(b);
    for (int i = 0; i < BROKER_REFUSALS; i++) {
        struct bounds_burst *burst = &b->bounds.bursts[i];
        if (burst->count == 0 || now - burst->told_ms < BURST_MS)
            continue;
        LOG_INFO("broker", "connection refused: %s (%llu more in %d seconds)",
                 refusal_text((enum broker_refusal)i), (unsigned long long)burst->count,
                 (int)((now - burst->told_ms) / 1000));
        burst->told_ms = now;
        burst->count = 0;
    }
}
