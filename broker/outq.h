/* outq.h - a connection's output: bytes written in order, large payloads by reference.
 *
 * Small frames are copied (cheaper than an iovec entry each); a payload of OUTQ_REF_MIN or more
 * stays in its message. Buffers come from a pool that all connections share, so that an idle
 * connection owns none. */
#ifndef BROKER_OUTQ_H
#define BROKER_OUTQ_H

#include "base/buf.h"
#include "base/msg.h"

#define OUTQ_REF_MIN     4096
#define OUTQ_IOV_MAX     64
#define OUTQ_POOL_BLOCKS 64
#define OUTQ_BLOCK_MAX   ((size_t)128 * 1024) /* larger buffers are freed, not pooled */

struct outq_pool {
    struct sl_buf blocks[OUTQ_POOL_BLOCKS];
    unsigned count;
};

struct outq_refs;

struct outq {
    struct sl_buf bytes;
    size_t sent;            /* bytes of `bytes` sent */
    struct outq_refs *refs; /* payloads by reference; NULL: none, as nearly always */
};

struct outq_iov {
    const uint8_t *ptr;
    size_t len;
};

/* The buffer to append to; takes a block from the pool first if there is none. */
struct sl_buf *outq_bytes(struct outq *q, struct outq_pool *pool);
/* The message's payload comes next. False when memory is out. */
SL_NODISCARD bool outq_put_payload(struct outq *q, struct sl_msg *m);

size_t outq_refs_left(const struct outq_refs *r); /* bytes */

static inline size_t outq_left(const struct outq *q)
{
    return q->bytes.len - q->sent + (q->refs ? outq_refs_left(q->refs) : 0);
}
/* What to send next, at most OUTQ_IOV_MAX pieces; returns how many. */
unsigned outq_iov(const struct outq *q, struct outq_iov iov[OUTQ_IOV_MAX]);
void outq_advance(struct outq *q, size_t n);
/* Empties it; the buffer goes back to the pool. */
void outq_release(struct outq *q, struct outq_pool *pool);
void outq_pool_free(struct outq_pool *pool);

#endif
