/* lexer.h - SQL text to tokens, and errors with their place. No I/O. */
#ifndef RULES_LEXER_H
#define RULES_LEXER_H

#include "rules.h"
#include "value.h"

#define RULE_SQL_MAX ((size_t)64 * 1024)

enum token_kind {
    T_END,
    T_WORD,     /* name or keyword; text */
    T_QUOTED,   /* `name`; text without the quotes */
    T_VARIABLE, /* @name; text without the @ */
    T_STRING,   /* text, escapes resolved */
    T_NUMBER,   /* number */
    T_LPAREN,
    T_RPAREN,
    T_LBRACKET,
    T_RBRACKET,
    T_LBRACE,
    T_RBRACE,
    T_COMMA,
    T_DOT,
    T_COLON,
    T_STAR,
    T_PLUS,
    T_MINUS,
    T_SLASH,
    T_PERCENT,
    T_EQ,
    T_NE,
    T_LT,
    T_LE,
    T_GT,
    T_GE,
};

struct token {
    enum token_kind kind;
    size_t at, end;       /* byte offsets in the SQL text */
    struct sl_slice text; /* in the arena for strings, else in the SQL text */
    struct value number;
};

struct lexer {
    struct sl_slice sql; /* at most RULE_SQL_MAX bytes, valid UTF-8 */
    size_t at;
    struct arena *arena;
    struct rule_error *error;
};

/* False with lexer->error filled at a character or literal that is none. */
SL_NODISCARD bool lexer_next(struct lexer *l, struct token *ret);

/* Fills *error (may be NULL) with the place of a byte offset and a sentence. */
void rule_error_at(struct rule_error *error, struct sl_slice sql, size_t at, const char *fmt, ...)
    SL_PRINTF(4, 5);

/* Equal but for the case of ASCII letters. */
bool rule_word_is(struct sl_slice text, const char *word);

#endif
