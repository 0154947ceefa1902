/* slice.h - bytes owned by someone else, and the one bounds check for reading them.
 *
 * A slice may hold NULs and is not terminated. To keep one past the call that gave it, copy it.
 * Readers take from a cursor and leave it and their output untouched when too few bytes are left.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include "base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sl_slice {
    const uint8_t *ptr;
    size_t len;
};

struct sl_cursor {
    const uint8_t *at;
    size_t left;
};

/* printf("%.*s", SL_FMT(s)): prints a slice, at most 1,000 bytes of it. */
#define SL_FMT(s) (int)((s).len > 1000 ? 1000 : (s).len), (const char *)(s).ptr

/* The bytes of a C string, without its NUL; NULL gives the empty slice. */
static inline struct sl_slice sl_str(const char *s)
{
    return (struct sl_slice){ (const uint8_t *)(s ? s : ""), s ? strlen(s) : 0 };
}

static inline struct sl_slice sl_bytes(const void *p, size_t n)
{
    return (struct sl_slice){ p, n };
}

static inline bool sl_slice_eq(struct sl_slice a, struct sl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool sl_slice_starts(struct sl_slice s, struct sl_slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* A NUL-terminated copy; the caller frees it. NULL when memory is out or a NUL lies inside. */
SL_NODISCARD char *sl_slice_dup(struct sl_slice s);

static inline struct sl_cursor sl_cursor(struct sl_slice s)
{
    return (struct sl_cursor){ s.ptr, s.len };
}

static inline struct sl_slice sl_cursor_rest(const struct sl_cursor *c)
{
    return (struct sl_slice){ c->at, c->left };
}

/* Every advance of a cursor goes through here, so this is the bounds check to review. */
SL_NODISCARD static inline bool sl_take(struct sl_cursor *c, size_t n, struct sl_slice *ret)
{
    if (n > c->left) /* not "at + n > end", which can overflow */
        return false;
    *ret = (struct sl_slice){ c->at, n };
    c->at += n;
    c->left -= n;
    return true;
}

SL_NODISCARD static inline bool sl_take_u8(struct sl_cursor *c, uint8_t *ret)
{
    struct sl_slice s;
    if (!sl_take(c, 1, &s))
        return false;
    *ret = s.ptr[0];
    return true;
}

/* Big-endian, as every integer in MQTT is. */
SL_NODISCARD static inline bool sl_take_u16(struct sl_cursor *c, uint16_t *ret)
{
    struct sl_slice s;
    if (!sl_take(c, 2, &s))
        return false;
    *ret = (uint16_t)((s.ptr[0] << 8) | s.ptr[1]);
    return true;
}

SL_NODISCARD static inline bool sl_take_u32(struct sl_cursor *c, uint32_t *ret)
{
    struct sl_slice s;
    if (!sl_take(c, 4, &s))
        return false;
    *ret = (uint32_t)s.ptr[0] << 24 | (uint32_t)s.ptr[1] << 16 | (uint32_t)s.ptr[2] << 8 | s.ptr[3];
    return true;
}

/* A 16-bit length and that many bytes: MQTT's binary data and, before its UTF-8 check, string. */
SL_NODISCARD static inline bool sl_take_lp16(struct sl_cursor *c, struct sl_slice *ret)
{
    struct sl_cursor save = *c;
    uint16_t n;
    if (sl_take_u16(c, &n) && sl_take(c, n, ret))
        return true;
    *c = save;
    return false;
}

/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms) without U+0000 [MQTT-1.5.4-1, -2].
 */
bool sl_utf8_valid(struct sl_slice s);

/* FNV-1a with a final mix: for hash tables of bounded size. */
uint32_t sl_hash(struct sl_slice s);

#endif
