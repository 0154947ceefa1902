/* session_internal.h - what the files of session*.c share. */
#ifndef BROKER_SESSION_INTERNAL_H
#define BROKER_SESSION_INTERNAL_H

#include "session.h"

#include <assert.h>

/* ---- session_rings.c ---- */

static inline struct delivery *ring_at(const struct delivery_ring *r, uint32_t i)
{
    assert(i < r->count);
    return &r->items[(r->head + i) & (r->cap - 1)];
}
/* A place at the end; NULL when memory is out. */
struct delivery *ring_push(struct delivery_ring *r);
void ring_pop(struct delivery_ring *r); /* the first, whose references are no longer in it */
void ring_free(struct delivery_ring *r);
void delivery_drop(struct delivery *d); /* its references */
/* A delivery comes to the queue, or leaves it. */
void session_note_queued(struct session *s, const struct delivery *d);
void session_forget_queued(struct session *s, const struct delivery *d);

/* ---- session.c: the window ---- */

/* The place of the open delivery with this packet id; false when there is none. */
bool session_window_find(const struct session *s, uint16_t packet_id, uint32_t *ret_at);
void session_window_close(struct session *s, uint32_t at);

/* ---- session_qos2.c ---- */

void session_qos2_free(struct session *s);         /* what it has received of QoS 2 */
void session_qos2_close_window(struct session *s); /* a new connection has the whole of it */

#endif
