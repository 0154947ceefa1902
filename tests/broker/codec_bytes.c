/* codec_bytes.c - the little language of codec_bytes.h. */
#include "codec_bytes.h"

#include <stdio.h>
#include <stdlib.h>

static _Noreturn void give_up(const char *why, const char *at)
{
    (void)fprintf(stderr, "bytes: %s at \"%s\"\n", why, at);
    abort();
}

static void put_length(struct sl_buf *out, size_t n)
{
    for (; n >= 0x80; n >>= 7)
        sl_buf_put_u8(out, (uint8_t)(n | 0x80));
    sl_buf_put_u8(out, (uint8_t)n);
}

static unsigned digit(const char *at)
{
    const char *digits = "0123456789abcdef";
    const char *found = *at ? strchr(digits, *at) : NULL;
    if (!found)
        give_up("not a hexadecimal digit", at);
    return (unsigned)(found - digits);
}

static struct sl_slice quoted(const char *at, char end)
{
    const char *stop = strchr(at, end);
    if (!stop)
        give_up("no end", at);
    return sl_bytes(at, (size_t)(stop - at));
}

/* Up to the closing bracket (when nested) or the end. Returns where it stopped. */
static const char *put_until(struct sl_buf *out, const char *at, bool nested)
{
    while (*at && *at != ']') {
        struct sl_slice s;
        struct sl_buf inner = { 0 };
        switch (*at) {
        case ' ': at++; break;
        case '\'':
            s = quoted(at + 1, '\'');
            sl_buf_put_lp16(out, s);
            at += s.len + 2;
            break;
        case '<':
            s = quoted(at + 1, '>');
            sl_buf_put_slice(out, s);
            at += s.len + 2;
            break;
        case '[':
            at = put_until(&inner, at + 1, true);
            put_length(out, inner.len);
            sl_buf_put_slice(out, sl_buf_slice(&inner));
            break;
        default: sl_buf_put_u8(out, (uint8_t)(digit(at) << 4 | digit(at + 1))); at += 2;
        }
        sl_buf_free(&inner);
    }
    if (nested != (*at == ']'))
        give_up("brackets do not match", at);
    return nested ? at + 1 : at;
}

void put_bytes(struct sl_buf *out, const char *text)
{
    (void)put_until(out, text, false); /* ends at the end */
    if (out->failed)
        give_up("out of memory", text);
}
