/* lexer.c - tokens of AWS IoT SQL. */
#include "lexer.h"

#include "number.h"

#include <stdarg.h>
#include <stdio.h>

void rule_error_at(struct rule_error *error, struct sl_slice sql, size_t at, const char *fmt, ...)
{
    if (!error)
        return;
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < at && i < sql.len; i++) {
        column++;
        if (sql.ptr[i] == '\n') {
            line++;
            column = 1;
        }
    }
    error->line = line;
    error->column = column;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(error->text, sizeof error->text, fmt, args); /* a long one is cut */
    va_end(args);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool rule_word_is(struct sl_slice text, const char *word)
{
    if (text.len != strlen(word))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (lower(text.ptr[i]) != lower((uint8_t)word[i]))
            return false;
    return true;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_';
}

/* The byte at offset ahead of the cursor; 0 past the end (the text itself holds no NUL). */
static uint8_t peek(const struct lexer *l, size_t ahead)
{
    return ahead < l->sql.len - l->at ? l->sql.ptr[l->at + ahead] : 0;
}

static bool fail(struct lexer *l, size_t at, const char *text)
{
    rule_error_at(l->error, l->sql, at, "%s", text);
    return false;
}

static void take_word(struct lexer *l, struct token *t)
{
    while (is_letter(peek(l, 0)) || is_digit(peek(l, 0)))
        l->at++;
    t->text = sl_bytes(l->sql.ptr + t->at, l->at - t->at);
}

static bool take_digits(struct lexer *l)
{
    size_t from = l->at;
    while (is_digit(peek(l, 0)))
        l->at++;
    return l->at > from;
}

static bool take_number(struct lexer *l, struct token *t)
{
    t->kind = T_NUMBER;
    (void)take_digits(l); /* the first digit brought us here */
    if (peek(l, 0) == '.') {
        l->at++;
        if (!take_digits(l))
            return fail(l, l->at, "expected a digit after the decimal point");
    }
    if (lower(peek(l, 0)) == 'e') {
        l->at++;
        if (peek(l, 0) == '-' || peek(l, 0) == '+')
            l->at++;
        if (!take_digits(l))
            return fail(l, l->at, "expected a digit in the exponent");
    }
    if (is_letter(peek(l, 0)))
        return fail(l, t->at, "a name cannot begin with a digit; write get(object, 'name')");
    if (!number_literal(sl_bytes(l->sql.ptr + t->at, l->at - t->at), &t->number))
        return fail(l, t->at, "this number is too large");
    return true;
}

static bool hex4(const struct lexer *l, size_t ahead, uint32_t *ret)
{
    uint32_t v = 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = lower(peek(l, ahead + i));
        if (!is_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        v = v << 4 | (uint32_t)(is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *ret = v;
    return true;
}

static size_t utf8_encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(leads[n] | c);
    return n;
}

/* \uXXXX or a pair of them; the cursor stands on the backslash. */
static bool take_unicode(struct lexer *l, uint8_t out[4], size_t *ret_len)
{
    uint32_t c, low;
    if (!hex4(l, 2, &c) || c == 0)
        return fail(l, l->at, "\\u needs four hexadecimal digits, and not 0000");
    size_t taken = 6;
    if (c >= 0xD800 && c < 0xDC00) {
        if (peek(l, 6) != '\\' || peek(l, 7) != 'u' || !hex4(l, 8, &low) || low < 0xDC00 ||
            low > 0xDFFF)
            return fail(l, l->at, "the second half of this \\u pair is missing");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        taken = 12;
    } else if (c >= 0xDC00 && c < 0xE000) {
        return fail(l, l->at, "the first half of this \\u pair is missing");
    }
    *ret_len = utf8_encode(c, out);
    l->at += taken;
    return true;
}

static bool take_escape(struct lexer *l, uint8_t out[4], size_t *ret_len)
{
    static const char names[] = "bfnrt\"'\\/", means[] = "\b\f\n\r\t\"'\\/";
    uint8_t c = peek(l, 1);
    if (c == 'u')
        return take_unicode(l, out, ret_len);
    const char *found = c ? strchr(names, c) : NULL;
    if (!found)
        return fail(l, l->at, "unknown escape; a backslash itself is written \\\\");
    out[0] = (uint8_t)means[found - names];
    *ret_len = 1;
    l->at += 2;
    return true;
}

/* The offset of the closing quote; the text's length when there is none. */
static size_t find_close(const struct lexer *l, size_t from, uint8_t quote)
{
    size_t i = from;
    while (i < l->sql.len && l->sql.ptr[i] != quote)
        i += l->sql.ptr[i] == '\\' ? 2 : 1;
    return i < l->sql.len ? i : l->sql.len;
}

static bool take_string(struct lexer *l, struct token *t)
{
    t->kind = T_STRING;
    size_t close = find_close(l, t->at + 1, peek(l, 0));
    if (close == l->sql.len)
        return fail(l, t->at, "this string has no closing quote");
    l->at++;
    uint8_t *text = arena_alloc(l->arena, close - l->at + 1); /* no escape grows */
    size_t n = 0;
    while (l->at < close) {
        uint8_t bytes[4] = { peek(l, 0) };
        size_t len = 1;
        if (bytes[0] != '\\')
            l->at++;
        else if (!take_escape(l, bytes, &len))
            return false;
        if (text)
            memcpy(text + n, bytes, len);
        n += len;
    }
    l->at = close + 1;
    t->text = text ? sl_bytes(text, n) : sl_str("");
    return true;
}

static bool take_quoted(struct lexer *l, struct token *t)
{
    t->kind = T_QUOTED;
    l->at++;
    size_t from = l->at;
    while (l->at < l->sql.len && peek(l, 0) != '`')
        l->at++;
    if (l->at >= l->sql.len || l->at == from)
        return fail(l, t->at, "expected a name between backquotes");
    t->text = sl_bytes(l->sql.ptr + from, l->at - from);
    l->at++;
    return true;
}

static bool take_variable(struct lexer *l, struct token *t)
{
    enum { NAME_MAX_BYTES = 64 };
    l->at++;
    size_t from = l->at;
    while (is_letter(peek(l, 0)) || is_digit(peek(l, 0)))
        l->at++;
    if (l->at == from || l->at - from > NAME_MAX_BYTES)
        return fail(l, t->at, "a variable is @ and 1 to 64 letters, digits or underscores");
    t->kind = T_VARIABLE;
    t->text = sl_bytes(l->sql.ptr + from, l->at - from);
    return true;
}

/* What people bring along from other dialects, and how AWS IoT SQL says it. */
static const char *foreign_operator(const struct lexer *l)
{
    static const struct {
        char text[3];
        const char *hint;
    } foreign[] = {
        { "!=", "AWS IoT SQL has no !=; write <>" },
        { "==", "AWS IoT SQL has no ==; write =" },
        { "||", "AWS IoT SQL has no ||; write + or concat(), or OR" },
        { "&&", "AWS IoT SQL has no &&; write AND" },
        { "/*", "AWS IoT SQL has no comments" },
        { "//", "AWS IoT SQL has no comments" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(foreign); i++)
        if (peek(l, 0) == (uint8_t)foreign[i].text[0] && peek(l, 1) == (uint8_t)foreign[i].text[1])
            return foreign[i].hint;
    return NULL;
}

static bool take_operator(struct lexer *l, struct token *t)
{
    static const struct {
        const char *text;
        enum token_kind kind;
    } operators[] = {
        { "<>", T_NE },      { "<=", T_LE },      { ">=", T_GE },    { "<", T_LT },
        { ">", T_GT },       { "=", T_EQ },       { "(", T_LPAREN }, { ")", T_RPAREN },
        { "[", T_LBRACKET }, { "]", T_RBRACKET }, { "{", T_LBRACE }, { "}", T_RBRACE },
        { ",", T_COMMA },    { ".", T_DOT },      { ":", T_COLON },  { "*", T_STAR },
        { "+", T_PLUS },     { "-", T_MINUS },    { "/", T_SLASH },  { "%", T_PERCENT },
    };
    const char *hint = foreign_operator(l);
    if (hint)
        return fail(l, l->at, hint);
    struct sl_slice rest = sl_bytes(l->sql.ptr + l->at, l->sql.len - l->at);
    for (size_t i = 0; i < SL_ARRAY_LEN(operators); i++) {
        if (!sl_slice_starts(rest, sl_str(operators[i].text)))
            continue;
        t->kind = operators[i].kind;
        l->at += strlen(operators[i].text);
        return true;
    }
    uint8_t c = peek(l, 0);
    if (c >= 0x80)
        return fail(l, l->at, "names hold letters a to z, digits and _; others go in `backquotes`");
    if (c == ';')
        return fail(l, l->at, "a rule is one statement, without ';'");
    rule_error_at(l->error, l->sql, l->at, "unexpected character '%c'",
                  c >= 0x20 && c < 0x7f ? c : '?');
    return false;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool lexer_next(struct lexer *l, struct token *ret)
{
    while (is_space(peek(l, 0)))
        l->at++;
    struct token t = { .kind = T_END, .at = l->at };
    uint8_t c = peek(l, 0);
    bool ok = true;
    if (l->at >= l->sql.len) {
        ok = true;
    } else if (is_letter(c)) {
        t.kind = T_WORD;
        take_word(l, &t);
    } else if (is_digit(c)) {
        ok = take_number(l, &t);
    } else if (c == '\'' || c == '"') {
        ok = take_string(l, &t);
    } else if (c == '`') {
        ok = take_quoted(l, &t);
    } else if (c == '@') {
        ok = take_variable(l, &t);
    } else {
        ok = take_operator(l, &t);
    }
    if (!ok)
        return false;
    t.end = l->at;
    *ret = t;
    return true;
}
