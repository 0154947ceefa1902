/* outq.c - output of a connection. */
#include "outq.h"

#include <assert.h>
#include <stdlib.h>

struct sl_buf *outq_bytes(struct outq *q, struct outq_pool *pool)
{
    if (!q->bytes.ptr && pool->count > 0) {
        q->bytes = pool->blocks[--pool->count];
        sl_buf_reset(&q->bytes);
    }
    return &q->bytes;
}

bool outq_put_payload(struct outq *q, struct sl_msg *m)
{
    if (q->ref_count == q->ref_cap) {
        uint32_t cap = q->ref_cap ? q->ref_cap * 2 : 4;
        struct outq_ref *larger = realloc(q->refs, cap * sizeof *larger);
        if (!larger)
            return false;
        q->refs = larger;
        q->ref_cap = cap;
    }
    q->refs[q->ref_count++] = (struct outq_ref){ q->bytes.len, sl_msg_ref(m) };
    q->ref_bytes_left += m->payload_len;
    return true;
}

static unsigned put_iov(struct outq_iov *iov, unsigned n, const uint8_t *ptr, size_t len)
{
    if (len == 0 || n == OUTQ_IOV_MAX)
        return n;
    iov[n] = (struct outq_iov){ ptr, len };
    return n + 1;
}

unsigned outq_iov(const struct outq *q, struct outq_iov iov[OUTQ_IOV_MAX])
{
    unsigned n = 0;
    size_t at = q->sent;
    for (uint32_t i = q->ref_done; i < q->ref_count && n < OUTQ_IOV_MAX; i++) {
        struct sl_slice payload = sl_msg_payload(q->refs[i].msg);
        size_t skip = i == q->ref_done ? q->ref_sent : 0;
        n = put_iov(iov, n, q->bytes.ptr + at, q->refs[i].at - at);
        n = put_iov(iov, n, payload.ptr + skip, payload.len - skip);
        at = q->refs[i].at;
    }
    if (n < OUTQ_IOV_MAX && q->bytes.len > at)
        n = put_iov(iov, n, q->bytes.ptr + at, q->bytes.len - at);
    return n;
}

void outq_advance(struct outq *q, size_t n)
{
    assert(n <= outq_left(q));
    while (n > 0) {
        bool by_ref = q->ref_done < q->ref_count && q->sent == q->refs[q->ref_done].at;
        if (!by_ref) {
            size_t until = q->ref_done < q->ref_count ? q->refs[q->ref_done].at : q->bytes.len;
            size_t step = until - q->sent < n ? until - q->sent : n;
            q->sent += step;
            n -= step;
            continue;
        }
        struct sl_msg *m = q->refs[q->ref_done].msg;
        size_t left = m->payload_len - q->ref_sent;
        size_t step = left < n ? left : n;
        q->ref_sent += step;
        q->ref_bytes_left -= step;
        n -= step;
        if (step == left) {
            sl_msg_unref(m);
            q->ref_done++;
            q->ref_sent = 0;
        }
    }
}

void outq_release(struct outq *q, struct outq_pool *pool)
{
    for (uint32_t i = q->ref_done; i < q->ref_count; i++)
        sl_msg_unref(q->refs[i].msg);
    free(q->refs);
    if (q->bytes.ptr && q->bytes.cap <= OUTQ_BLOCK_MAX && pool->count < OUTQ_POOL_BLOCKS)
        pool->blocks[pool->count++] = q->bytes;
    else
        sl_buf_free(&q->bytes);
    *q = (struct outq){ 0 };
}

void outq_pool_free(struct outq_pool *pool)
{
    while (pool->count > 0)
        sl_buf_free(&pool->blocks[--pool->count]);
}
