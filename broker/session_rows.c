/* session_rows.c - deliveries of a session as persist*.c knows them: by their numbers, and back
 * from rows. */
#include "session_internal.h"

#include "durable.h"

static struct delivery *ring_find(const struct delivery_ring *r, uint32_t sequence)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t at = low + (high - low) / 2;
        struct delivery *d = ring_at(r, at);
        uint32_t first = ring_at(r, 0)->sequence;
        if (d->sequence == sequence)
            return d->msg ? d : NULL;
        if (d->sequence - first < sequence - first)
            low = at + 1;
        else
            high = at;
    }
    return NULL;
}

struct delivery *session_find(struct session *s, uint32_t sequence)
{
    struct delivery *d = ring_find(&s->queue, sequence);
    return d ? d : ring_find(&s->window, sequence);
}

void session_visit(struct session *s, session_visit_fn *visit, void *ctx)
{
    for (uint32_t i = 0; i < s->window.count; i++)
        if (ring_at(&s->window, i)->msg)
            visit(ctx, s, ring_at(&s->window, i));
    for (uint32_t i = 0; i < s->queue.count; i++)
        visit(ctx, s, ring_at(&s->queue, i));
}

uint64_t session_oldest(const struct session *s)
{
    if (s->window.count > 0)
        return session_sequence(s, ring_at(&s->window, 0));
    return s->queue.count > 0 ? session_sequence(s, ring_at(&s->queue, 0)) : s->next_sequence;
}

bool session_was_sent(const struct session *s, const struct delivery *d)
{
    for (uint32_t i = 0; i < s->window_sent; i++)
        if (ring_at(&s->window, i) == d)
            return true;
    return false;
}

static void queue_remove(struct session *s, struct delivery *d)
{
    uint32_t at = 0;
    while (ring_at(&s->queue, at) != d)
        at++;
    session_forget_queued(s, d);
    persist_leave(s, d);
    delivery_drop(d);
    for (; at + 1 < s->queue.count; at++)
        *ring_at(&s->queue, at) = *ring_at(&s->queue, at + 1);
    if (--s->queue.count == 0)
        ring_free(&s->queue);
}

void session_drop(struct session *s, struct delivery *d)
{
    uint32_t at;
    if (s->window.count > 0 && session_window_find(s, d->packet_id, &at) &&
        ring_at(&s->window, at) == d)
        session_window_close(s, at);
    else
        queue_remove(s, d);
}

bool session_restore(struct session *s, struct delivery d, uint64_t sequence)
{
    if (sequence >= s->next_sequence || s->next_sequence - sequence > UINT32_MAX)
        return false;
    if (s->queue.count > 0 &&
        sequence <= session_sequence(s, ring_at(&s->queue, s->queue.count - 1)))
        return false;
    struct delivery *place = ring_push(&s->queue);
    if (!place)
        return false;
    d.sequence = (uint32_t)sequence;
    d.packet_id = session_packet_id(sequence);
    *place = d;
    session_note_queued(s, place);
    return true;
}
