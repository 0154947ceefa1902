/* jsonc_scan.c - the parser's lower half: spaces, comments, words, numbers, strings. Touches only
 * the parser handed to it. */
#include "jsonc_parser.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct config_place scan_place(const struct parser *p)
{
    return (struct config_place){ p->line, (unsigned)(p->at - p->line_start) + 1 };
}

static void report(struct parser *p, struct config_place place, const struct jsonc *node,
                   const char *text)
{
    struct sl_buf path = { 0 };
    if (node)
        jsonc_path(node, false, &path);
    config_report(p->problems, false, place, sl_buf_cstr(&path), "%s", text);
    sl_buf_free(&path);
}

void scan_mistake(struct parser *p, struct config_place place, struct jsonc *node, const char *fmt,
                  ...)
{
    for (struct jsonc *n = node; n; n = n->parent)
        n->damaged = true;
    /* A string cut off at its line's end may have taken brackets with it: the next line's mistakes
     * are echoes of that. */
    bool echo = p->cut_line != 0 && place.line == p->cut_line + 1;
    if (p->said_line == place.line || echo || p->stopped)
        return;
    p->said_line = place.line;
    char text[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long: still a sentence */
    va_end(args);
    report(p, place, node, text);
}

void scan_fault(struct parser *p, struct config_place place, const struct jsonc *node,
                const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long: still a sentence */
    va_end(args);
    report(p, place, node, text);
}

static void new_line(struct parser *p) /* at stands on the newline */
{
    p->at++;
    p->line++;
    p->line_start = p->at;
}

static void skip_block_comment(struct parser *p, struct jsonc *node)
{
    struct config_place start = scan_place(p);
    p->at += 2;
    while (!scan_over(p)) {
        if (p->end - p->at >= 2 && p->at[0] == '*' && p->at[1] == '/') {
            p->at += 2;
            return;
        }
        if (*p->at == '\n')
            new_line(p);
        else
            p->at++;
    }
    scan_mistake(p, start, node, "this comment is not closed with */");
}

static bool at_comment(const struct parser *p, uint8_t second)
{
    return p->end - p->at >= 2 && p->at[0] == '/' && p->at[1] == second;
}

void scan_space(struct parser *p, struct jsonc *node)
{
    while (!scan_over(p)) {
        if (*p->at == '\n')
            new_line(p);
        else if (*p->at == ' ' || *p->at == '\t' || *p->at == '\r')
            p->at++;
        else if (at_comment(p, '/'))
            while (!scan_over(p) && *p->at != '\n')
                p->at++;
        else if (at_comment(p, '*'))
            skip_block_comment(p, node);
        else
            return;
    }
}

static bool ends_word(const struct parser *p, bool key)
{
    return *p->at <= ' ' || memchr(",{}[]\"", *p->at, 6) || (key && *p->at == ':') ||
           at_comment(p, '/') || at_comment(p, '*');
}

struct sl_slice scan_word(struct parser *p, bool key)
{
    const uint8_t *start = p->at;
    while (!scan_over(p) && !ends_word(p, key || p->at == start))
        p->at++;
    return sl_bytes(start, (size_t)(p->at - start));
}

void scan_junk(struct parser *p)
{
    do {
        if (scan_over(p) || *p->at == '\n')
            return;
        p->at++;
    } while (!scan_over(p) && *p->at != '\n' && !memchr(",{}[]\"", *p->at, 6));
}

const char *scan_found(const struct parser *p, char *buf, size_t size)
{
    if (scan_over(p))
        return "the end of the file";
    if (*p->at > ' ' && *p->at < 0x7f)
        (void)snprintf(buf, size, "'%c'", *p->at); /* fits: callers give 16 bytes or more */
    else
        (void)snprintf(buf, size, "byte 0x%02x", *p->at); /* fits as well */
    return buf;
}

/* ---- strings ---- */

static size_t put_utf8(uint8_t *out, unsigned c)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* "uXXXX" at `at`; the code unit, or -1. */
static int take_unit(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 5 || at[0] != 'u')
        return -1;
    int v = 0;
    for (int i = 1; i < 5; i++) {
        uint8_t c = at[i];
        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* \uXXXX, perhaps a pair of them; at stands on the 'u'. 0 when it is no character. */
static unsigned take_unicode(struct parser *p)
{
    int first = take_unit(p->at, p->end);
    if (first <= 0 || (first >= 0xDC00 && first <= 0xDFFF))
        return 0;
    if (first < 0xD800 || first > 0xDBFF) {
        p->at += 5;
        return (unsigned)first;
    }
    int second = p->end - p->at > 6 && p->at[5] == '\\' ? take_unit(p->at + 6, p->end) : -1;
    if (second < 0xDC00 || second > 0xDFFF)
        return 0;
    p->at += 11;
    return 0x10000 + ((unsigned)(first - 0xD800) << 10) + (unsigned)(second - 0xDC00);
}

/* One escape, at stands on the backslash; writes at most 4 bytes, never more than it reads. */
static size_t take_escape(struct parser *p, struct jsonc *node, uint8_t *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    struct config_place place = scan_place(p);
    p->at++;
    if (scan_over(p) || *p->at == '\n')
        return 0; /* reported as not closed */
    const char *known = *p->at ? strchr(names, *p->at) : NULL;
    if (known) {
        p->at++;
        *out = (uint8_t)values[known - names];
        return 1;
    }
    if (*p->at == 'u') {
        unsigned c = take_unicode(p);
        if (c != 0)
            return put_utf8(out, c);
        scan_fault(p, place, node, "\\u is not followed by the four hex digits of a character");
        return 0;
    }
    char found[24];
    scan_fault(p, place, node, "a backslash before %s means nothing; a backslash itself is \\\\",
               scan_found(p, found, sizeof found));
    return 0;
}

/* The byte that is not part of well-formed UTF-8; its offset. Only called when there is one. */
static size_t first_bad_byte(struct sl_slice s)
{
    size_t good = 0;
    while (good < s.len) {
        size_t n = 1;
        while (n <= 4 && good + n <= s.len && !sl_utf8_valid(sl_bytes(s.ptr + good, n)))
            n++;
        if (n > 4 || good + n > s.len)
            return good;
        good += n;
    }
    return good;
}

static void check_utf8(struct parser *p, struct jsonc *node, struct sl_slice raw)
{
    if (sl_utf8_valid(raw) || memchr(raw.ptr, 0, raw.len))
        return; /* a NUL is reported as a control character */
    size_t bad = first_bad_byte(raw);
    struct config_place place = { p->line, (unsigned)(raw.ptr + bad - p->line_start) + 1 };
    scan_fault(p, place, node, "byte 0x%02x is not UTF-8", raw.ptr[bad]);
}

/* Decodes up to the closing quote or the line's end; the number of bytes written to out. */
static size_t decode(struct parser *p, struct jsonc *node, uint8_t quote, uint8_t *out)
{
    size_t n = 0;
    bool said = false;
    while (!scan_over(p) && *p->at != quote && *p->at != '\n') {
        if (*p->at == '\\') {
            node->plain = false;
            n += take_escape(p, node, out + n);
            continue;
        }
        if (*p->at < ' ' && *p->at != '\r') {
            if (!said)
                scan_fault(p, scan_place(p), node,
                           "control character 0x%02x in a text; "
                           "escape it as \\u%04x",
                           *p->at, *p->at);
            said = true;
            p->at++;
            node->plain = false;
            continue;
        }
        out[n++] = *p->at++;
    }
    return n;
}

/* Up to the closing quote or the line's end; no decoded text is longer. */
static size_t raw_length(const struct parser *p, uint8_t quote)
{
    const uint8_t *at = p->at;
    while (at < p->end && *at != quote && *at != '\n')
        at += *at == '\\' && p->end - at > 1 && at[1] != '\n' ? 2 : 1;
    return (size_t)(at - p->at);
}

bool scan_string(struct parser *p, struct jsonc *node, struct sl_slice *ret)
{
    struct config_place start = scan_place(p);
    uint8_t quote = *p->at;
    if (quote == '\'')
        scan_mistake(p, start, node, "texts stand in double quotes, not in single ones");
    p->at++;
    uint8_t *out = jsonc_alloc(p->doc, raw_length(p, quote) + 1);
    if (!out)
        return false;
    const uint8_t *raw = p->at;
    node->plain = true;
    *ret = sl_bytes(out, decode(p, node, quote, out));
    check_utf8(p, node, sl_bytes(raw, (size_t)(p->at - raw)));
    if (!scan_over(p) && *p->at == quote) {
        p->at++;
        return true;
    }
    scan_mistake(p, start, node, "this text is not closed with %c in its line", quote);
    p->loose = true;
    p->cut_line = start.line;
    return false;
}

/* ---- words and numbers ---- */

static size_t digits_at(struct sl_slice s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && s.ptr[at + n] >= '0' && s.ptr[at + n] <= '9')
        n++;
    return n;
}

/* RFC 8259: no plus, no leading zero, digits on both sides of the point. */
static bool is_number(struct sl_slice s)
{
    size_t at = s.len > 0 && s.ptr[0] == '-', n = digits_at(s, at);
    if (n == 0 || (n > 1 && s.ptr[at] == '0'))
        return false;
    at += n;
    if (at < s.len && s.ptr[at] == '.') {
        n = digits_at(s, at + 1);
        if (n == 0)
            return false;
        at += n + 1;
    }
    if (at < s.len && (s.ptr[at] | 0x20) == 'e') {
        at++;
        at += at < s.len && (s.ptr[at] == '+' || s.ptr[at] == '-');
        n = digits_at(s, at);
        if (n == 0)
            return false;
        at += n;
    }
    return at == s.len;
}

static bool read_number(struct sl_slice word, double *ret)
{
    char copy[64];
    if (word.len >= sizeof copy || !is_number(word))
        return false;
    memcpy(copy, word.ptr, word.len);
    copy[word.len] = '\0';
    *ret = strtod(copy, NULL);
    return isfinite(*ret);
}

static bool is_word(struct sl_slice word, const char *lower)
{
    if (word.len != strlen(lower))
        return false;
    for (size_t i = 0; i < word.len; i++)
        if ((word.ptr[i] | 0x20) != lower[i])
            return false;
    return true;
}

static void bad_word(struct parser *p, struct jsonc *node, struct sl_slice word)
{
    static const struct {
        const char *word, *meant;
    } habits[] = { { "true", "true" }, { "yes", "true" },  { "on", "true" },  { "false", "false" },
                   { "no", "false" },  { "off", "false" }, { "null", "null" } };
    for (size_t i = 0; i < SL_ARRAY_LEN(habits); i++) {
        if (!is_word(word, habits[i].word))
            continue;
        scan_mistake(p, node->place, node, "%.*s is no value; write %s", SL_FMT(word),
                     habits[i].meant);
        return;
    }
    /* The word itself may be a password that lost its quotes: not shown. */
    bool numeric = memchr("+-.0123456789", word.ptr[0], 13);
    scan_mistake(p, node->place, node, "not a %s; texts stand in double quotes",
                 numeric ? "number" : "value");
}

void scan_literal(struct parser *p, struct jsonc *node)
{
    struct sl_slice word = scan_word(p, false);
    node->text = word;
    if (sl_slice_eq(word, sl_str("true")) || sl_slice_eq(word, sl_str("false"))) {
        node->type = JSONC_BOOL;
        node->boolean = word.len == 4;
    } else if (sl_slice_eq(word, sl_str("null"))) {
        node->type = JSONC_NULL;
    } else if (read_number(word, &node->number)) {
        node->type = JSONC_NUMBER;
    } else if (word.len > 0) {
        bad_word(p, node, word);
    } else {
        char found[24];
        scan_mistake(p, node->place, node, "expected a value, found %s",
                     scan_found(p, found, sizeof found));
        scan_junk(p);
    }
}
