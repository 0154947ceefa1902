/* buf.h - a growable byte buffer with a bound.
 *
 * Appending past `max`, or when memory is out, sets `failed` and changes nothing from then on:
 * write a whole packet, then look once. The zero value is an empty buffer bounded at SL_BUF_MAX. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

#define SL_BUF_MAX ((size_t)256 * 1024 * 1024)

struct sl_buf {
    uint8_t *ptr;
    size_t len, cap;
    size_t max; /* 0 means SL_BUF_MAX */
    bool failed;
};

void sl_buf_free(struct sl_buf *b);  /* releases the memory; the buffer is empty and usable */
void sl_buf_reset(struct sl_buf *b); /* keeps the memory, drops content and failure */
void sl_buf_shrink(struct sl_buf *b, size_t keep); /* gives memory back when cap is above keep */

/* Room for n more bytes at ptr + len; NULL (and failed) when there is none. Does not move len. */
uint8_t *sl_buf_reserve(struct sl_buf *b, size_t n);
void sl_buf_put(struct sl_buf *b, const void *p, size_t n);
void sl_buf_put_slice(struct sl_buf *b, struct sl_slice s);
void sl_buf_put_str(struct sl_buf *b, const char *s);
void sl_buf_put_u8(struct sl_buf *b, uint8_t v);
void sl_buf_put_u16(struct sl_buf *b, uint16_t v);         /* big-endian */
void sl_buf_put_u32(struct sl_buf *b, uint32_t v);         /* big-endian */
void sl_buf_put_lp16(struct sl_buf *b, struct sl_slice s); /* length, bytes; fails above 65,535 */
void sl_buf_printf(struct sl_buf *b, const char *fmt, ...) SL_PRINTF(2, 3);
/* Drop n bytes (at most len) from the front. */
void sl_buf_consume(struct sl_buf *b, size_t n);
/* As a C string: appends a NUL that len does not count. Never NULL ("" when failed). */
const char *sl_buf_cstr(struct sl_buf *b);

static inline struct sl_slice sl_buf_slice(const struct sl_buf *b)
{
    return (struct sl_slice){ b->ptr, b->len };
}

#endif
