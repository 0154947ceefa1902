/* json_kind.c - a reader of RFC 8259 that keeps nothing. */
#include "json_kind.h"

struct reader {
    struct sl_cursor in;
    bool in_object[JSON_DEPTH_MAX];
    unsigned depth;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

struct sl_slice json_trim(struct sl_slice text)
{
    while (text.len > 0 && is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static bool peek(const struct reader *r, uint8_t *ret)
{
    if (r->in.left == 0)
        return false;
    *ret = r->in.at[0];
    return true;
}

static bool take(struct reader *r, uint8_t want)
{
    uint8_t c;
    struct sl_slice one;
    return peek(r, &c) && c == want && sl_take(&r->in, 1, &one);
}

static void skip_space(struct reader *r)
{
    uint8_t c;
    while (peek(r, &c) && is_space(c))
        (void)take(r, c); /* it was there */
}

static bool read_escape(struct reader *r)
{
    uint8_t c;
    struct sl_slice hex;
    if (!sl_take_u8(&r->in, &c))
        return false;
    if (c != 'u')
        return memchr("\"\\/bfnrt", c, 8) != NULL;
    return sl_take(&r->in, 4, &hex) && is_hex(hex.ptr[0]) && is_hex(hex.ptr[1]) &&
           is_hex(hex.ptr[2]) && is_hex(hex.ptr[3]);
}

static bool read_string(struct reader *r)
{
    uint8_t c;
    if (!take(r, '"'))
        return false;
    while (sl_take_u8(&r->in, &c)) {
        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !read_escape(r)))
            return false;
    }
    return false;
}

static bool read_digits(struct reader *r)
{
    uint8_t c;
    if (!peek(r, &c) || !is_digit(c))
        return false;
    while (peek(r, &c) && is_digit(c))
        (void)take(r, c); /* it was there */
    return true;
}

static bool read_number(struct reader *r)
{
    (void)take(r, '-'); /* may be there */
    if (!take(r, '0') && !read_digits(r))
        return false;
    if (take(r, '.') && !read_digits(r))
        return false;
    if (!take(r, 'e') && !take(r, 'E'))
        return true;
    if (!take(r, '+'))
        (void)take(r, '-'); /* may be there */
    return read_digits(r);
}

static bool read_word(struct reader *r)
{
    static const char *const words[] = { "true", "false", "null" };
    struct sl_slice skipped;
    for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
        if (sl_slice_starts(sl_cursor_rest(&r->in), sl_str(words[i])))
            return sl_take(&r->in, strlen(words[i]), &skipped);
    return false;
}

static bool read_key(struct reader *r)
{
    skip_space(r);
    if (!read_string(r))
        return false;
    skip_space(r);
    return take(r, ':');
}

/* Behind a value: the ends of what it stands in, and the comma before the next one. True when a
 * value is to follow; *ok tells whether the text is fine so far. */
static bool read_ends(struct reader *r, bool *ok)
{
    while (r->depth > 0) {
        bool object = r->in_object[r->depth - 1];
        skip_space(r);
        if (take(r, ',')) {
            *ok = !object || read_key(r);
            return *ok;
        }
        if (!take(r, object ? '}' : ']')) {
            *ok = false;
            return false;
        }
        r->depth--;
    }
    return false;
}

static bool read_scalar(struct reader *r)
{
    uint8_t c;
    if (!peek(r, &c))
        return false;
    return c == '"' ? read_string(r) : (c == '-' || is_digit(c)) ? read_number(r) : read_word(r);
}

/* The beginning of a list or an object. *empty: it ends at once. */
static bool read_begin(struct reader *r, bool object, bool *empty)
{
    skip_space(r);
    *empty = take(r, object ? '}' : ']');
    if (*empty)
        return true;
    if (r->depth == JSON_DEPTH_MAX)
        return false;
    r->in_object[r->depth++] = object;
    return !object || read_key(r);
}

static bool is_json(struct reader *r)
{
    bool ok = true;
    for (;;) {
        skip_space(r);
        bool empty = true, object = take(r, '{');
        if (object || take(r, '['))
            ok = read_begin(r, object, &empty);
        else
            ok = read_scalar(r);
        if (!ok)
            return false;
        if (!empty)
            continue; /* its first value is to come */
        if (!read_ends(r, &ok))
            return ok && r->in.left == 0;
    }
}

enum json_kind json_kind(struct sl_slice text)
{
    text = json_trim(text);
    struct reader r = { .in = sl_cursor(text) };
    if (text.len == 0 || !sl_utf8_valid(text) || !is_json(&r))
        return JSON_NONE;
    if (text.ptr[0] != '{')
        return JSON_OTHER;
    struct sl_slice inside = json_trim(sl_bytes(text.ptr + 1, text.len - 2));
    return inside.len == 0 ? JSON_EMPTY_OBJECT : JSON_OBJECT;
}
