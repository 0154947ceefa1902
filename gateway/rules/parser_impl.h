/* parser_impl.h - what the two halves of the parser share: a token of look-ahead and its errors. */
#ifndef RULES_PARSER_IMPL_H
#define RULES_PARSER_IMPL_H

#include "lexer.h"
#include "parser.h"

struct parser {
    struct lexer lexer;
    struct token now; /* not yet consumed */
    size_t last_end;  /* where the token before it ended */
    unsigned depth;
    enum sl_code code; /* why parsing stopped */
};

/* All that return bool or a pointer: false or NULL means that the error is filled. */
SL_NODISCARD bool parser_advance(struct parser *p);
bool parser_at(const struct parser *p, enum token_kind kind);
bool parser_at_word(const struct parser *p, const char *keyword);
SL_NODISCARD bool parser_take(struct parser *p, enum token_kind kind, const char *expected);
/* A name or keyword, plain or in backquotes. */
SL_NODISCARD bool parser_take_name(struct parser *p, const char *expected, struct sl_slice *ret);
bool parser_expected(struct parser *p, const char *what); /* "expected X, found Y"; false */
bool parser_fail(struct parser *p, enum sl_code code, size_t at, const char *fmt, ...)
    SL_PRINTF(4, 5);
void *parser_alloc(struct parser *p, size_t n);

/* In the parser's arena. NULL when it has failed. */
struct ast_node *parse_expression(struct parser *p);

#endif
