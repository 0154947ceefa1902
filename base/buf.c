/* buf.c - the growable buffer. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void sl_buf_free(struct sl_buf *b)
{
    free(b->ptr);
    *b = (struct sl_buf){ .max = b->max };
}

void sl_buf_reset(struct sl_buf *b)
{
    b->len = 0;
    b->failed = false;
}

void sl_buf_shrink(struct sl_buf *b, size_t keep)
{
    if (b->cap <= keep)
        return;
    if (b->len == 0) {
        sl_buf_free(b);
        return;
    }
    uint8_t *smaller = realloc(b->ptr, b->len);
    if (!smaller)
        return; /* the larger block is still good */
    b->ptr = smaller;
    b->cap = b->len;
}

uint8_t *sl_buf_reserve(struct sl_buf *b, size_t n)
{
    size_t max = b->max ? b->max : SL_BUF_MAX;
    if (b->failed || n > max - b->len) { /* len never passes max */
        b->failed = true;
        return NULL;
    }
    size_t want = b->len + n;
    if (want > b->cap) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap < want)
            cap *= 2;
        if (cap > max)
            cap = max;
        uint8_t *larger = realloc(b->ptr, cap);
        if (!larger) {
            b->failed = true;
            return NULL;
        }
        b->ptr = larger;
        b->cap = cap;
    }
    return b->ptr + b->len;
}

void sl_buf_put(struct sl_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *at = sl_buf_reserve(b, n);
    if (!at)
        return;
    memcpy(at, p, n);
    b->len += n;
}

void sl_buf_put_slice(struct sl_buf *b, struct sl_slice s)
{
    sl_buf_put(b, s.ptr, s.len);
}

void sl_buf_put_str(struct sl_buf *b, const char *s)
{
    sl_buf_put(b, s, strlen(s));
}

void sl_buf_put_u8(struct sl_buf *b, uint8_t v)
{
    sl_buf_put(b, &v, 1);
}

void sl_buf_put_u16(struct sl_buf *b, uint16_t v)
{
    uint8_t bytes[2] = { (uint8_t)(v >> 8), (uint8_t)v };
    sl_buf_put(b, bytes, sizeof bytes);
}

void sl_buf_put_u32(struct sl_buf *b, uint32_t v)
{
    uint8_t bytes[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
    sl_buf_put(b, bytes, sizeof bytes);
}

void sl_buf_put_lp16(struct sl_buf *b, struct sl_slice s)
{
    if (s.len > UINT16_MAX) {
        b->failed = true;
        return;
    }
    sl_buf_put_u16(b, (uint16_t)s.len);
    sl_buf_put_slice(b, s);
}

void sl_buf_printf(struct sl_buf *b, const char *fmt, ...)
{
    char small[512];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < sizeof small) {
        sl_buf_put(b, small, (size_t)n);
    } else {
        uint8_t *at = sl_buf_reserve(b, (size_t)n + 1);
        if (at) {
            (void)vsnprintf((char *)at, (size_t)n + 1, fmt,
                            again); /* same arguments: same length */
            b->len += (size_t)n;
        }
    }
    va_end(again);
}

void sl_buf_consume(struct sl_buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

const char *sl_buf_cstr(struct sl_buf *b)
{
    uint8_t *at = sl_buf_reserve(b, 1);
    if (!at)
        return "";
    *at = 0;
    return (const char *)b->ptr;
}
