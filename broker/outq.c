/* outq.c - output of a connection. */
#include "outq.h"

#include <assert.h>
#include <stdlib.h>

struct outq_ref {
    size_t at; /* the payload goes before this byte of `bytes` */
    struct sl_msg *msg;
};

struct outq_refs {
    uint32_t count, cap;
    uint32_t done;     /* items sent whole */
    size_t sent;       /* bytes sent of items[done] */
    size_t bytes_left; /* of payloads, not sent yet */
    struct outq_ref items[];
};

struct sl_buf *outq_bytes(struct outq *q, struct outq_pool *pool)
{
    if (!q->bytes.ptr && pool->count > 0) {
        q->bytes = pool->blocks[--pool->count];
        sl_buf_reset(&q->bytes);
    }
    return &q->bytes;
}

size_t outq_refs_left(const struct outq_refs *r)
{
    return r->bytes_left;
}

/* Room for one more; NULL when memory is out. */
static struct outq_refs *refs_room(struct outq *q)
{
    struct outq_refs *r = q->refs;
    if (r && r->count < r->cap)
        return r;
    uint32_t cap = r ? r->cap * 2 : 4;
    struct outq_refs *larger = realloc(r, sizeof *larger + cap * sizeof larger->items[0]);
    if (!larger)
        return NULL;
    if (!r)
        *larger = (struct outq_refs){ 0 };
    larger->cap = cap;
    q->refs = larger;
    return larger;
}

bool outq_put_payload(struct outq *q, struct sl_msg *m)
{
    struct outq_refs *r = refs_room(q);
    if (!r)
        return false;
    r->items[r->count++] = (struct outq_ref){ q->bytes.len, sl_msg_ref(m) };
    r->bytes_left += m->payload_len;
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
    const struct outq_refs *r = q->refs;
    unsigned n = 0;
    size_t at = q->sent;
    for (uint32_t i = r ? r->done : 0; r && i < r->count && n < OUTQ_IOV_MAX; i++) {
        struct sl_slice payload = sl_msg_payload(r->items[i].msg);
        size_t skip = i == r->done ? r->sent : 0;
        n = put_iov(iov, n, q->bytes.ptr + at, r->items[i].at - at);
        n = put_iov(iov, n, payload.ptr + skip, payload.len - skip);
        at = r->items[i].at;
    }
    if (n < OUTQ_IOV_MAX && q->bytes.len > at)
        n = put_iov(iov, n, q->bytes.ptr + at, q->bytes.len - at);
    return n;
}

/* Up to n bytes of the payload whose turn it is; returns how many. */
static size_t advance_payload(struct outq_refs *r, size_t n)
{
    struct sl_msg *m = r->items[r->done].msg;
    size_t left = m->payload_len - r->sent;
    size_t step = left < n ? left : n;
    r->sent += step;
    r->bytes_left -= step;
    if (step == left) {
        sl_msg_unref(m);
        r->done++;
        r->sent = 0;
    }
    return step;
}

void outq_advance(struct outq *q, size_t n)
{
    struct outq_refs *r = q->refs;
    assert(n <= outq_left(q));
    while (n > 0) {
        bool more = r && r->done < r->count;
        if (more && q->sent == r->items[r->done].at) {
            n -= advance_payload(r, n);
            continue;
        }
        size_t until = more ? r->items[r->done].at : q->bytes.len;
        size_t step = until - q->sent < n ? until - q->sent : n;
        q->sent += step;
        n -= step;
    }
}

static void refs_free(struct outq_refs *r)
{
    for (uint32_t i = r ? r->done : 0; r && i < r->count; i++)
        sl_msg_unref(r->items[i].msg);
    free(r);
}

void outq_release(struct outq *q, struct outq_pool *pool)
{
    refs_free(q->refs);
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
