/* json_line.c - a strict JSON checker. No state, no memory. */
#include "json_line.h"

/* Each of these takes what it is named after off *in, or returns false. */
static bool value(struct sl_slice *in, unsigned depth);

static void skip(struct sl_slice *in, size_t n)
{
    *in = sl_bytes(in->ptr + n, in->len - n);
}

static bool take(struct sl_slice *in, const char *text)
{
    if (!sl_slice_starts(*in, sl_str(text)))
        return false;
    skip(in, strlen(text));
    return true;
}

static void blanks(struct sl_slice *in)
{
    while (in->len > 0 && (in->ptr[0] == ' ' || in->ptr[0] == '\t'))
        skip(in, 1);
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool escape(struct sl_slice *in)
{
    if (in->len < 2 || !memchr("\"\\/bfnrtu", in->ptr[1], 9))
        return false;
    size_t n = in->ptr[1] == 'u' ? 6 : 2;
    if (in->len < n)
        return false;
    for (size_t i = 2; i < n; i++)
        if (!is_hex(in->ptr[i]))
            return false;
    skip(in, n);
    return true;
}

static bool string(struct sl_slice *in)
{
    if (!take(in, "\""))
        return false;
    while (in->len > 0 && in->ptr[0] >= ' ') {
        if (in->ptr[0] == '"') {
            skip(in, 1);
            return true;
        }
        if (in->ptr[0] != '\\')
            skip(in, 1);
        else if (!escape(in))
            return false;
    }
    return false;
}

static size_t digits(struct sl_slice s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && s.ptr[at + n] >= '0' && s.ptr[at + n] <= '9')
        n++;
    return n;
}

size_t json_number_len(struct sl_slice s)
{
    size_t i = s.len > 0 && s.ptr[0] == '-';
    size_t n = digits(s, i);
    if (n == 0)
        return 0;
    i += s.ptr[i] == '0' ? 1 : n; /* no leading zeros: what follows one is not ours */
    if (i < s.len && s.ptr[i] == '.') {
        if ((n = digits(s, i + 1)) == 0)
            return 0;
        i += 1 + n;
    }
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        i++;
        i += i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-');
        if ((n = digits(s, i)) == 0)
            return 0;
        i += n;
    }
    return i;
}

static bool member(struct sl_slice *in, bool object, unsigned depth)
{
    if (object) {
        blanks(in);
        if (!string(in))
            return false;
        blanks(in);
        if (!take(in, ":"))
            return false;
    }
    return value(in, depth);
}

static bool members(struct sl_slice *in, bool object, unsigned depth)
{
    const char *end = object ? "}" : "]";
    blanks(in);
    if (take(in, end))
        return true;
    do {
        if (!member(in, object, depth))
            return false;
        blanks(in);
    } while (take(in, ","));
    return take(in, end);
}

static bool value(struct sl_slice *in, unsigned depth)
{
    blanks(in);
    if (depth == 0 || in->len == 0)
        return false;
    if (take(in, "{"))
        return members(in, true, depth - 1);
    if (take(in, "["))
        return members(in, false, depth - 1);
    if (in->ptr[0] == '"')
        return string(in);
    if (take(in, "true") || take(in, "false") || take(in, "null"))
        return true;
    size_t n = json_number_len(*in);
    skip(in, n);
    return n > 0;
}

bool json_line_valid(struct sl_slice text)
{
    struct sl_slice in = text;
    if (!value(&in, JSON_LINE_DEPTH_MAX))
        return false;
    blanks(&in);
    return in.len == 0 && sl_utf8_valid(text);
}
