/* persist_wait.c - deliveries of QoS 1 that are not written yet, in order of time: their clients
 * may still answer.
 *
 * A ring, so that none needs a timer or memory of its own: what is done with leaves a hole, and
 * nothing stays in it longer than spill_ms. */
#include "persist_internal.h"

#include <assert.h>
#include <stdlib.h>

/* Numbers have 31 bits, so that one more than a number is never 0. */
#define NUMBER_MASK     UINT32_C(0x7FFFFFFF)
#define RING_KEPT       1024u /* places that stay when nothing waits */
#define RING_PLACES_MAX (UINT32_C(1) << 26)

static struct wait *wait_at(struct persist *p, uint32_t number)
{
    assert(((number - p->wait_first) & NUMBER_MASK) < p->wait_count);
    return &p->waits[number & (p->wait_cap - 1)];
}

static bool grow(struct persist *p)
{
    uint32_t cap = p->wait_cap ? p->wait_cap * 2 : 64;
    struct wait *larger = cap <= RING_PLACES_MAX ? malloc(cap * sizeof *larger) : NULL;
    if (!larger)
        return false;
    for (uint32_t i = 0; i < p->wait_count; i++)
        larger[(p->wait_first + i) & (cap - 1)] = p->waits[(p->wait_first + i) & (p->wait_cap - 1)];
    free(p->waits);
    p->waits = larger;
    p->wait_cap = cap;
    return true;
}

static void drop_holes(struct persist *p)
{
    while (p->wait_count > 0 && !wait_at(p, p->wait_first)->session) {
        p->wait_first = (p->wait_first + 1) & NUMBER_MASK;
        p->wait_count--;
    }
    if (p->wait_count == 0 && p->wait_cap > RING_KEPT)
        persist_wait_close(p);
}

static void on_spill(uv_timer_t *t)
{
    persist_spill(t->data, false);
}

static void start_timer(struct persist *p)
{
    if (p->wait_count == 0 || p->closing || uv_is_active((uv_handle_t *)&p->spill))
        return;
    int64_t due = wait_at(p, p->wait_first)->since_ms + p->broker->options.spill_ms;
    int64_t ms = due - broker_now(p->broker);
    (void)uv_timer_start(&p->spill, on_spill, ms > 0 ? (uint64_t)ms : 0, 0);
}

uint32_t persist_wait_add(struct persist *p, struct session *s, uint32_t sequence,
                          struct broker_ack *ack)
{
    if (p->wait_count == p->wait_cap && !grow(p))
        return 0;
    uint32_t number = (p->wait_first + p->wait_count++) & NUMBER_MASK;
    *wait_at(p, number) = (struct wait){ s, ack, broker_now(p->broker), sequence };
    start_timer(p);
    return number + 1;
}

struct broker_ack *persist_wait_take(struct persist *p, uint32_t wait)
{
    struct wait *w = wait_at(p, wait - 1);
    struct broker_ack *ack = w->ack;
    *w = (struct wait){ 0 };
    drop_holes(p);
    return ack;
}

void persist_spill(struct persist *p, bool all)
{
    int64_t until = broker_now(p->broker) - p->broker->options.spill_ms;
    while (p->wait_count > 0) {
        struct wait w = *wait_at(p, p->wait_first);
        if (!all && w.session && w.since_ms > until)
            break;
        struct delivery *d = w.session ? session_find(w.session, w.sequence) : NULL;
        assert(d || !w.session);
        if (!d) {
            drop_holes(p);
            continue;
        }
        (void)persist_wait_take(p, d->wait); /* w has it */
        d->wait = 0;
        persist_store_delivery(p, w.session, d, w.ack);
    }
    start_timer(p);
}

void persist_wait_close(struct persist *p)
{
    free(p->waits);
    p->waits = NULL;
    p->wait_cap = p->wait_count = 0;
}
