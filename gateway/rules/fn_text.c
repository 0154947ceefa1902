/* fn_text.c - functions over strings. Arguments are converted to strings first, so null and
 * Undefined make the result Undefined. Positions count Unicode characters from 0. */
#include "functions.h"

#include "eval.h"
#include "number.h"

enum { PAD_MAX = 1000 };

static bool take(struct eval *ev, struct value v, struct sl_slice *ret)
{
    v = value_to_string(ev->arena, v);
    *ret = v.s;
    return v.type == V_STRING;
}

static bool take2(struct eval *ev, const struct value *args, struct sl_slice *a, struct sl_slice *b)
{
    return take(ev, args[0], a) && take(ev, args[1], b);
}

/* ---- characters ---- */

static bool begins_character(uint8_t byte)
{
    return (byte & 0xC0) != 0x80;
}

static size_t count_characters(struct sl_slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += begins_character(s.ptr[i]);
    return n;
}

/* The byte offset of a character; the length for one past the end. */
static size_t offset_of(struct sl_slice s, int64_t character)
{
    size_t i = 0;
    while (i < s.len) {
        if (begins_character(s.ptr[i]) && character-- == 0)
            return i;
        i++;
    }
    return s.len;
}

struct value fn_length(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    struct sl_slice s;
    return take(ev, args[0], &s) ? value_int((int64_t)count_characters(s)) : VALUE_UNDEFINED;
}

struct value fn_numbytes(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    struct sl_slice s;
    return take(ev, args[0], &s) ? value_int((int64_t)s.len) : VALUE_UNDEFINED;
}

struct value fn_chr(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    struct value v = value_to_number(args[0]);
    int64_t code;
    if (!value_is_number(v) || !number_floor(v, &code) || code < 0 || code > 127)
        return VALUE_UNDEFINED;
    return value_string(arena_copy(ev->arena, sl_bytes(&(uint8_t){ (uint8_t)code }, 1)));
}

/* Case of ASCII and of the two-byte Latin-1, Greek and Cyrillic letters whose other case has the
 * same length; other characters stay as they are. */
static uint32_t swap_case(uint32_t c, bool up)
{
    static const struct {
        uint32_t upper_first, upper_last, distance;
    } ranges[] = {
        { 'A', 'Z', 0x20 },     { 0xC0, 0xD6, 0x20 },   { 0xD8, 0xDE, 0x20 },
        { 0x391, 0x3A1, 0x20 }, { 0x3A3, 0x3AB, 0x20 }, { 0x410, 0x42F, 0x20 },
        { 0x400, 0x40F, 0x50 },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(ranges); i++) {
        uint32_t base = ranges[i].upper_first + (up ? ranges[i].distance : 0);
        uint32_t last = ranges[i].upper_last + (up ? ranges[i].distance : 0);
        if (c >= base && c <= last)
            return up ? c - ranges[i].distance : c + ranges[i].distance;
    }
    return c;
}

static struct value change_case(struct eval *ev, struct value v, bool up)
{
    struct sl_slice s;
    if (!take(ev, v, &s))
        return VALUE_UNDEFINED;
    struct sl_slice copy = arena_copy(ev->arena, s);
    uint8_t *p = (uint8_t *)(uintptr_t)copy.ptr; /* ours, just made */
    for (size_t i = 0; i < copy.len; i++) {
        if (p[i] < 0x80) {
            p[i] = (uint8_t)swap_case(p[i], up);
        } else if ((p[i] & 0xE0) == 0xC0 && i + 1 < copy.len) {
            uint32_t c = swap_case((uint32_t)(p[i] & 0x1F) << 6 | (p[i + 1] & 0x3F), up);
            p[i] = (uint8_t)(0xC0 | c >> 6);
            p[++i] = (uint8_t)(0x80 | (c & 0x3F));
        }
    }
    return value_string(copy);
}

struct value fn_upper(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    return change_case(ev, args[0], true);
}

struct value fn_lower(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    return change_case(ev, args[0], false);
}

/* ---- spaces ---- */

/* lpad and rpad add n spaces; they do not pad to n characters. */
static struct value pad(struct eval *ev, const struct value *args, bool left)
{
    struct sl_slice s;
    struct value width = value_to_number(args[1]);
    int64_t n;
    if (!take(ev, args[0], &s) || !value_is_number(width))
        return VALUE_UNDEFINED;
    if (!number_floor(width, &n))
        n = number_truncate(width); /* saturated */
    n = n < 0 ? 0 : n > PAD_MAX ? PAD_MAX : n;
    uint8_t *p = arena_alloc(ev->arena, s.len + (size_t)n + 1);
    if (!p)
        return VALUE_UNDEFINED;
    memset(p, ' ', s.len + (size_t)n);
    if (s.len > 0)
        memcpy(left ? p + n : p, s.ptr, s.len);
    return value_string(sl_bytes(p, s.len + (size_t)n));
}

struct value fn_lpad(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    return pad(ev, args, true);
}

struct value fn_rpad(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    return pad(ev, args, false);
}

static struct value strip(struct eval *ev, struct value v, bool left, bool right)
{
    struct sl_slice s;
    if (!take(ev, v, &s))
        return VALUE_UNDEFINED;
    while (left && s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (right && s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return value_string(s);
}

struct value fn_trim(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    return strip(ev, args[0], true, true);
}

struct value fn_ltrim(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    return strip(ev, args[0], true, false);
}

struct value fn_rtrim(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    return strip(ev, args[0], false, true);
}

/* ---- parts ---- */

/* Bounds are truncated and clamped; the second is exclusive. */
struct value fn_substring(struct eval *ev, const struct value *args, unsigned count)
{
    struct sl_slice s;
    int64_t bounds[2] = { 0, INT64_MAX };
    if (!take(ev, args[0], &s))
        return VALUE_UNDEFINED;
    for (unsigned i = 1; i < count; i++) {
        struct value v = value_to_number(args[i]);
        if (!value_is_number(v))
            return VALUE_UNDEFINED;
        int64_t n = number_truncate(v);
        bounds[i - 1] = n < 0 ? 0 : n;
    }
    if (bounds[0] >= bounds[1])
        return value_string(sl_str(""));
    size_t from = offset_of(s, bounds[0]);
    struct sl_slice rest = sl_bytes(s.ptr + from, s.len - from);
    return value_string(sl_bytes(rest.ptr, offset_of(rest, bounds[1] - bounds[0])));
}

static const uint8_t *find(struct sl_slice s, struct sl_slice what)
{
    return what.len == 0 ? s.ptr : memmem(s.ptr, s.len, what.ptr, what.len);
}

struct value fn_indexof(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    struct sl_slice s, what;
    if (!take2(ev, args, &s, &what))
        return VALUE_UNDEFINED;
    const uint8_t *at = find(s, what);
    if (!at)
        return value_int(-1);
    return value_int((int64_t)count_characters(sl_bytes(s.ptr, (size_t)(at - s.ptr))));
}

struct value fn_startswith(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    struct sl_slice s, what;
    return take2(ev, args, &s, &what) ? value_bool(sl_slice_starts(s, what)) : VALUE_UNDEFINED;
}

struct value fn_endswith(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    struct sl_slice s, what;
    if (!take2(ev, args, &s, &what))
        return VALUE_UNDEFINED;
    return value_bool(s.len >= what.len &&
                      sl_slice_eq(sl_bytes(s.ptr + (s.len - what.len), what.len), what));
}

static size_t count_found(struct sl_slice s, struct sl_slice what)
{
    size_t n = 0;
    for (const uint8_t *at; (at = find(s, what)); n++) {
        size_t skip = (size_t)(at - s.ptr) + what.len;
        s = sl_bytes(s.ptr + skip, s.len - skip);
    }
    return n;
}

struct value fn_replace(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    struct sl_slice s, what, with;
    if (!take2(ev, args, &s, &what) || !take(ev, args[2], &with))
        return VALUE_UNDEFINED;
    size_t found = what.len > 0 ? count_found(s, what) : 0;
    if (found == 0)
        return value_string(s);
    size_t grown; /* found * what.len is at most s.len */
    if (__builtin_mul_overflow(found, with.len, &grown) || grown > ARENA_MAX_DEFAULT) {
        ev->arena->failed = true;
        return VALUE_UNDEFINED;
    }
    size_t len = s.len - found * what.len + grown;
    uint8_t *p = arena_alloc(ev->arena, len + 1);
    if (!p)
        return VALUE_UNDEFINED;
    uint8_t *w = p;
    for (const uint8_t *at; (at = find(s, what));) {
        size_t before = (size_t)(at - s.ptr);
        memcpy(w, s.ptr, before);
        w += before;
        if (with.len > 0)
            memcpy(w, with.ptr, with.len);
        w += with.len;
        s = sl_bytes(at + what.len, s.len - before - what.len);
    }
    if (s.len > 0)
        memcpy(w, s.ptr, s.len);
    return value_string(sl_bytes(p, len));
}
