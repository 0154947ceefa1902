/* parse_expr.c - expressions, and the parser's handling of tokens and errors.
 *
 * One function a level of precedence: OR, AND, NOT, comparison, sum, term, sign, postfix. */
#include "parser_impl.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- tokens and errors ---- */

bool parser_advance(struct parser *p)
{
    p->last_end = p->now.end;
    return lexer_next(&p->lexer, &p->now);
}

bool parser_at(const struct parser *p, enum token_kind kind)
{
    return p->now.kind == kind;
}

bool parser_at_word(const struct parser *p, const char *keyword)
{
    return p->now.kind == T_WORD && rule_word_is(p->now.text, keyword);
}

bool parser_fail(struct parser *p, enum sl_code code, size_t at, const char *fmt, ...)
{
    char text[sizeof p->lexer.error->text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* a long one is cut */
    va_end(args);
    rule_error_at(p->lexer.error, p->lexer.sql, at, "%s", text);
    p->code = code;
    return false;
}

bool parser_expected(struct parser *p, const char *what)
{
    size_t n = p->now.end - p->now.at;
    if (p->now.kind == T_END)
        return parser_fail(p, SL_INVALID, p->now.at, "expected %s, found the end of the text",
                           what);
    struct sl_slice found = sl_bytes(p->lexer.sql.ptr + p->now.at, n > 40 ? 40 : n);
    if (p->now.kind == T_STRING)
        return parser_fail(p, SL_INVALID, p->now.at, "expected %s, found the string %.*s", what,
                           SL_FMT(found));
    return parser_fail(p, SL_INVALID, p->now.at, "expected %s, found '%.*s'", what, SL_FMT(found));
}

bool parser_take(struct parser *p, enum token_kind kind, const char *expected)
{
    return parser_at(p, kind) ? parser_advance(p) : parser_expected(p, expected);
}

bool parser_take_name(struct parser *p, const char *expected, struct sl_slice *ret)
{
    if (!parser_at(p, T_WORD) && !parser_at(p, T_QUOTED))
        return parser_expected(p, expected);
    *ret = p->now.text;
    return parser_advance(p);
}

void *parser_alloc(struct parser *p, size_t n)
{
    return arena_alloc(p->lexer.arena, n);
}

/* ---- nodes ---- */

static struct ast_node *new_node(struct parser *p, enum ast_kind kind, size_t at)
{
    struct ast_node *n = parser_alloc(p, sizeof *n);
    if (n)
        *n = (struct ast_node){ .kind = kind, .height = 1, .at = (uint32_t)at };
    return n;
}

static bool add_child(struct parser *p, struct ast_node *parent, struct ast_node *child)
{
    if (!child)
        return false;
    if (child->height >= RULE_HEIGHT_MAX)
        return parser_fail(p, SL_LIMIT, child->at,
                           "the expression is too deep: more than 512 operators in one another");
    if (parent->height <= child->height)
        parent->height = child->height + 1;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
    return true;
}

static struct ast_node *finish(const struct parser *p, struct ast_node *n)
{
    n->end = (uint32_t)p->last_end;
    return n;
}

/* Every way down into a nested expression passes here. */
static bool descend(struct parser *p)
{
    if (p->depth >= RULE_NESTING_MAX)
        return parser_fail(p, SL_LIMIT, p->now.at,
                           "the expression is nested more than 64 levels deep");
    p->depth++;
    return true;
}

static struct ast_node *parse_or(struct parser *p);

struct ast_node *parse_expression(struct parser *p)
{
    if (!descend(p))
        return NULL;
    struct ast_node *n = parse_or(p);
    p->depth--;
    return n;
}

/* ---- primaries ---- */

static bool is_reserved(struct sl_slice word)
{
    static const char *const words[] = { "SELECT", "FROM", "WHERE", "AS",   "AND",  "OR",  "NOT",
                                         "IN",     "CASE", "WHEN",  "THEN", "ELSE", "END", "SET" };
    for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
        if (rule_word_is(word, words[i]))
            return true;
    return false;
}

static struct ast_node *parse_literal(struct parser *p, struct value literal)
{
    struct ast_node *n = new_node(p, AST_LITERAL, p->now.at);
    if (!n || !parser_advance(p))
        return NULL;
    n->literal = literal;
    return finish(p, n);
}

/* cast ( expression AS type ), behind the parenthesis. */
static struct ast_node *parse_cast(struct parser *p, struct ast_node *n)
{
    n->kind = AST_CAST;
    if (!add_child(p, n, parse_expression(p)))
        return NULL;
    if (!parser_at_word(p, "AS")) {
        (void)parser_expected(p, "AS and a type"); /* always false */
        return NULL;
    }
    if (!parser_advance(p) ||
        !parser_take_name(p, "a type such as Int, Decimal, Boolean or String", &n->name) ||
        !parser_take(p, T_RPAREN, "')'"))
        return NULL;
    return finish(p, n);
}

static struct ast_node *parse_argument(struct parser *p)
{
    if (!parser_at(p, T_STAR))
        return parse_expression(p);
    struct ast_node *n = new_node(p, AST_STAR, p->now.at);
    return n && parser_advance(p) ? finish(p, n) : NULL;
}

/* name ( arguments ), standing on the parenthesis. */
static struct ast_node *parse_call(struct parser *p, struct sl_slice name, size_t at)
{
    struct ast_node *n = new_node(p, AST_CALL, at);
    if (!n || !parser_advance(p))
        return NULL;
    if (rule_word_is(name, "cast"))
        return parse_cast(p, n);
    n->name = name;
    while (!parser_at(p, T_RPAREN)) {
        if (n->count > 0 && !parser_take(p, T_COMMA, "',' or ')'"))
            return NULL;
        if (!add_child(p, n, parse_argument(p)))
            return NULL;
    }
    return parser_advance(p) ? finish(p, n) : NULL;
}

/* CASE operand WHEN a THEN b ... ELSE c END. */
static struct ast_node *parse_case(struct parser *p)
{
    struct ast_node *n = new_node(p, AST_CASE, p->now.at);
    if (!n || !parser_advance(p))
        return NULL;
    if (parser_at_word(p, "WHEN")) {
        (void)parser_expected(p, "a value (AWS IoT SQL has no CASE WHEN condition)");
        return NULL;
    }
    if (!add_child(p, n, parse_expression(p)))
        return NULL;
    if (!parser_at_word(p, "WHEN"))
        (void)parser_expected(p, "WHEN"); /* the loop below does not run, and n->count is 1 */
    while (parser_at_word(p, "WHEN")) {
        if (!parser_advance(p) || !add_child(p, n, parse_expression(p)))
            return NULL;
        if (!parser_at_word(p, "THEN")) {
            (void)parser_expected(p, "THEN");
            return NULL;
        }
        if (!parser_advance(p) || !add_child(p, n, parse_expression(p)))
            return NULL;
    }
    if (n->count < 3)
        return NULL;
    if (parser_at_word(p, "ELSE")) {
        n->has_else = true;
        if (!parser_advance(p) || !add_child(p, n, parse_expression(p)))
            return NULL;
    }
    if (!parser_at_word(p, "END")) {
        (void)parser_expected(p, n->has_else ? "END" : "WHEN, ELSE or END");
        return NULL;
    }
    return parser_advance(p) ? finish(p, n) : NULL;
}

static struct ast_node *parse_array(struct parser *p)
{
    struct ast_node *n = new_node(p, AST_ARRAY, p->now.at);
    if (!n || !parser_advance(p))
        return NULL;
    while (!parser_at(p, T_RBRACKET)) {
        if (n->count > 0 && !parser_take(p, T_COMMA, "',' or ']'"))
            return NULL;
        if (!add_child(p, n, parse_expression(p)))
            return NULL;
    }
    return parser_advance(p) ? finish(p, n) : NULL;
}

static struct ast_node *parse_pair(struct parser *p)
{
    struct ast_node *n = new_node(p, AST_PAIR, p->now.at);
    if (!n)
        return NULL;
    if (!parser_at(p, T_STRING)) {
        (void)parser_expected(p, "a member name in quotes");
        return NULL;
    }
    n->name = p->now.text;
    if (!parser_advance(p) || !parser_take(p, T_COLON, "':'") ||
        !add_child(p, n, parse_expression(p)))
        return NULL;
    return finish(p, n);
}

static struct ast_node *parse_object(struct parser *p)
{
    struct ast_node *n = new_node(p, AST_OBJECT, p->now.at);
    if (!n || !parser_advance(p))
        return NULL;
    while (!parser_at(p, T_RBRACE)) {
        if (n->count > 0 && !parser_take(p, T_COMMA, "',' or '}'"))
            return NULL;
        if (!add_child(p, n, parse_pair(p)))
            return NULL;
    }
    return parser_advance(p) ? finish(p, n) : NULL;
}

static struct ast_node *parse_parentheses(struct parser *p)
{
    size_t at = p->now.at;
    if (!parser_advance(p))
        return NULL;
    struct ast_node *n = parse_expression(p);
    if (!n || !parser_take(p, T_RPAREN, "')'"))
        return NULL;
    n->at = (uint32_t)at; /* the text of a part shows its parentheses */
    return finish(p, n);
}

static struct ast_node *parse_word(struct parser *p)
{
    struct sl_slice word = p->now.text;
    size_t at = p->now.at;
    bool quoted = parser_at(p, T_QUOTED);
    if (!quoted) {
        if (rule_word_is(word, "true") || rule_word_is(word, "false"))
            return parse_literal(p, value_bool(rule_word_is(word, "true")));
        if (rule_word_is(word, "null"))
            return parse_literal(p, VALUE_NULL);
        if (rule_word_is(word, "CASE"))
            return parse_case(p);
        if (rule_word_is(word, "SELECT")) {
            (void)parser_fail(p, SL_UNSUPPORTED, at,
                              "a SELECT inside an expression is not supported by this version");
            return NULL;
        }
        if (is_reserved(word)) {
            (void)parser_expected(p, "an expression");
            return NULL;
        }
    }
    if (!parser_advance(p))
        return NULL;
    if (!quoted && parser_at(p, T_LPAREN))
        return parse_call(p, word, at);
    struct ast_node *n = new_node(p, AST_NAME, at);
    if (!n)
        return NULL;
    n->name = word;
    return finish(p, n);
}

static struct ast_node *parse_variable(struct parser *p)
{
    struct ast_node *n = new_node(p, AST_VARIABLE, p->now.at);
    if (!n)
        return NULL;
    n->name = p->now.text;
    return parser_advance(p) ? finish(p, n) : NULL;
}

static struct ast_node *parse_primary(struct parser *p)
{
    switch (p->now.kind) {
    case T_NUMBER: return parse_literal(p, p->now.number);
    case T_STRING: return parse_literal(p, value_string(p->now.text));
    case T_WORD:
    case T_QUOTED: return parse_word(p);
    case T_VARIABLE: return parse_variable(p);
    case T_LPAREN: return parse_parentheses(p);
    case T_LBRACKET: return parse_array(p);
    case T_LBRACE: return parse_object(p);
    case T_END:
    case T_RPAREN:
    case T_RBRACKET:
    case T_RBRACE:
    case T_COMMA:
    case T_DOT:
    case T_COLON:
    case T_STAR:
    case T_PLUS:
    case T_MINUS:
    case T_SLASH:
    case T_PERCENT:
    case T_EQ:
    case T_NE:
    case T_LT:
    case T_LE:
    case T_GT:
    case T_GE: break;
    }
    (void)parser_expected(p, "an expression");
    return NULL;
}

/* ---- operators ---- */

/* a[i] is get(a, i): an addition of this program's, AWS has only the call. */
static struct ast_node *parse_index(struct parser *p, struct ast_node *of)
{
    struct ast_node *n = new_node(p, AST_CALL, of->at);
    if (!n || !parser_advance(p) || !add_child(p, n, of) || !add_child(p, n, parse_expression(p)) ||
        !parser_take(p, T_RBRACKET, "']'"))
        return NULL;
    n->name = sl_str("get");
    return finish(p, n);
}

static struct ast_node *parse_postfix(struct parser *p)
{
    struct ast_node *n = parse_primary(p);
    while (n && (parser_at(p, T_DOT) || parser_at(p, T_LBRACKET))) {
        if (parser_at(p, T_LBRACKET)) {
            n = parse_index(p, n);
            continue;
        }
        struct ast_node *member = new_node(p, AST_MEMBER, n->at);
        if (!member || !parser_advance(p) || !add_child(p, member, n) ||
            !parser_take_name(p, "a field name after '.'", &member->name))
            return NULL;
        n = finish(p, member);
    }
    return n;
}

static struct ast_node *parse_sign(struct parser *p)
{
    if (!parser_at(p, T_MINUS))
        return parse_postfix(p);
    struct ast_node *n = new_node(p, AST_NEGATE, p->now.at);
    if (!n || !parser_advance(p) || !descend(p))
        return NULL;
    bool ok = add_child(p, n, parse_sign(p));
    p->depth--;
    return ok ? finish(p, n) : NULL;
}

struct level_op {
    enum token_kind kind;
    enum ast_op op;
};

static struct ast_node *combine(struct parser *p, enum ast_op op, struct ast_node *left,
                                struct ast_node *(*parse_right)(struct parser *))
{
    struct ast_node *n = new_node(p, AST_BINARY, left->at);
    if (!n || !parser_advance(p) || !add_child(p, n, left) || !add_child(p, n, parse_right(p)))
        return NULL;
    n->op = op;
    return finish(p, n);
}

static const struct level_op *find_op(const struct parser *p, const struct level_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p->now.kind == ops[i].kind)
            return &ops[i];
    return NULL;
}

static struct ast_node *parse_term(struct parser *p)
{
    static const struct level_op ops[] = { { T_STAR, OP_MULTIPLY },
                                           { T_SLASH, OP_DIVIDE },
                                           { T_PERCENT, OP_MODULO } };
    struct ast_node *n = parse_sign(p);
    for (const struct level_op *op; n && (op = find_op(p, ops, SL_ARRAY_LEN(ops)));)
        n = combine(p, op->op, n, parse_sign);
    return n;
}

static struct ast_node *parse_sum(struct parser *p)
{
    static const struct level_op ops[] = { { T_PLUS, OP_ADD }, { T_MINUS, OP_SUBTRACT } };
    struct ast_node *n = parse_term(p);
    for (const struct level_op *op; n && (op = find_op(p, ops, SL_ARRAY_LEN(ops)));)
        n = combine(p, op->op, n, parse_term);
    return n;
}

/* Comparisons do not chain: a < b < c is an error at the second <. */
static struct ast_node *parse_comparison(struct parser *p)
{
    static const struct level_op ops[] = { { T_EQ, OP_EQ }, { T_NE, OP_NE }, { T_LT, OP_LT },
                                           { T_LE, OP_LE }, { T_GT, OP_GT }, { T_GE, OP_GE } };
    struct ast_node *n = parse_sum(p);
    if (!n)
        return NULL;
    const struct level_op *op = find_op(p, ops, SL_ARRAY_LEN(ops));
    if (op)
        return combine(p, op->op, n, parse_sum);
    return parser_at_word(p, "IN") ? combine(p, OP_IN, n, parse_sum) : n;
}

static struct ast_node *parse_not(struct parser *p)
{
    if (!parser_at_word(p, "NOT"))
        return parse_comparison(p);
    struct ast_node *n = new_node(p, AST_NOT, p->now.at);
    if (!n || !parser_advance(p) || !descend(p))
        return NULL;
    bool ok = add_child(p, n, parse_not(p));
    p->depth--;
    return ok ? finish(p, n) : NULL;
}

static struct ast_node *parse_and(struct parser *p)
{
    struct ast_node *n = parse_not(p);
    while (n && parser_at_word(p, "AND"))
        n = combine(p, OP_AND, n, parse_not);
    return n;
}

static struct ast_node *parse_or(struct parser *p)
{
    struct ast_node *n = parse_and(p);
    while (n && parser_at_word(p, "OR"))
        n = combine(p, OP_OR, n, parse_and);
    return n;
}
