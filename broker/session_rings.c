/* session_rings.c - rings of deliveries, and what waits in them for all sessions together. */
#include "session_internal.h"

#include "broker_internal.h"

#include <stdlib.h>

struct delivery *ring_push(struct delivery_ring *r)
{
    if (r->count == r->cap) {
        uint32_t cap = r->cap ? r->cap * 2 : 4;
        struct delivery *larger = calloc(cap, sizeof *larger);
        if (!larger)
            return NULL;
        for (uint32_t i = 0; i < r->count; i++)
            larger[i] = *ring_at(r, i);
        free(r->items);
        *r = (struct delivery_ring){ larger, cap, 0, r->count };
    }
    r->count++;
    return ring_at(r, r->count - 1);
}

void ring_pop(struct delivery_ring *r)
{
    r->head = (r->head + 1) & (r->cap - 1);
    if (--r->count == 0) { /* an idle session owns no ring */
        free(r->items);
        *r = (struct delivery_ring){ 0 };
    }
}

void delivery_drop(struct delivery *d)
{
    sl_msg_unref(d->msg);
    subids_unref(d->ids);
    d->msg = NULL;
    d->ids = NULL;
}

void ring_free(struct delivery_ring *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        delivery_drop(ring_at(r, i));
    free(r->items);
    *r = (struct delivery_ring){ 0 };
}

/* Memory is what counts for all sessions together: a message that waits in many is there once. */
void session_note_queued(struct session *s, const struct delivery *d)
{
    size_t size = sl_msg_size(d->msg);
    s->queued_bytes += size;
    s->broker->stats.queued++;
    s->broker->queued_bytes += sizeof *d + (d->msg->waiting++ == 0 ? size : 0);
}

void session_forget_queued(struct session *s, const struct delivery *d)
{
    size_t size = sl_msg_size(d->msg);
    s->queued_bytes -= size;
    s->broker->stats.queued--;
    s->broker->queued_bytes -= sizeof *d + (--d->msg->waiting == 0 ? size : 0);
}
