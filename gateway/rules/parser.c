/* parser.c - statements: SET, SELECT, FROM, WHERE, GROUP BY. Expressions are in parse_expr.c. */
#include "parser_impl.h"

#include "base/topic.h"

static bool take_alias(struct parser *p, struct ast_item *item)
{
    struct ast_alias **end = &item->alias;
    for (unsigned n = 0;; n++) {
        if (n == RULE_ALIAS_PARTS_MAX)
            return parser_fail(p, SL_LIMIT, p->now.at, "an alias has at most 16 parts");
        struct ast_alias *part = parser_alloc(p, sizeof *part);
        if (!part || !parser_take_name(p, "a name after AS", &part->part))
            return false;
        *end = part;
        end = &part->next;
        if (!parser_at(p, T_DOT))
            return true;
        if (!parser_advance(p))
            return false;
    }
}

static bool parse_item(struct parser *p, struct ast_item *item)
{
    item->at = (uint32_t)p->now.at;
    if (parser_at(p, T_STAR)) {
        if (!parser_advance(p))
            return false;
    } else {
        item->expr = parse_expression(p);
        if (!item->expr)
            return false;
    }
    if (!parser_at_word(p, "AS"))
        return true;
    return parser_advance(p) && take_alias(p, item);
}

/* Whether VALUE, just read, is the keyword: `SELECT value FROM` and `SELECT value > 3 AS hot` mean
 * a field of that name. */
static bool begins_value(const struct parser *p)
{
    switch (p->now.kind) {
    case T_WORD: {
        static const char *const after_field[] = { "AS", "FROM", "AND", "OR", "IN", "WHERE" };
        for (size_t i = 0; i < SL_ARRAY_LEN(after_field); i++)
            if (rule_word_is(p->now.text, after_field[i]))
                return false;
        return true;
    }
    case T_QUOTED:
    case T_VARIABLE:
    case T_STRING:
    case T_NUMBER:
    case T_LPAREN:
    case T_LBRACKET:
    case T_LBRACE:
    case T_MINUS: return true;
    case T_END:
    case T_RPAREN:
    case T_RBRACKET:
    case T_RBRACE:
    case T_COMMA:
    case T_DOT:
    case T_COLON:
    case T_STAR:
    case T_PLUS:
    case T_SLASH:
    case T_PERCENT:
    case T_EQ:
    case T_NE:
    case T_LT:
    case T_LE:
    case T_GT:
    case T_GE: return false;
    }
    return false;
}

/* Takes VALUE when it is the keyword; else the parser stands before the word again. */
static bool take_value_keyword(struct parser *p, bool *ret_taken)
{
    *ret_taken = false;
    if (!parser_at_word(p, "VALUE"))
        return true;
    struct lexer lexer = p->lexer;
    struct token word = p->now;
    if (!parser_advance(p))
        return false;
    if (begins_value(p)) {
        *ret_taken = true;
        return true;
    }
    p->lexer = lexer;
    p->now = word;
    return true;
}

static bool parse_items(struct parser *p, struct ast_statement *st)
{
    if (!take_value_keyword(p, &st->value_form))
        return false;
    struct ast_item **end = &st->items;
    for (;;) {
        if (st->item_count == RULE_ITEMS_MAX)
            return parser_fail(p, SL_LIMIT, p->now.at, "a rule selects at most 256 items");
        struct ast_item *item = parser_alloc(p, sizeof *item);
        if (!item || !parse_item(p, item))
            return false;
        *end = item;
        end = &item->next;
        st->item_count++;
        if (st->value_form && item->alias)
            return parser_fail(p, SL_INVALID, item->at, "SELECT VALUE takes no AS");
        if (st->value_form || !parser_at(p, T_COMMA))
            return true;
        if (!parser_advance(p))
            return false;
    }
}

static bool parse_set(struct parser *p, struct ast_statement *st)
{
    if (!parser_at_word(p, "SET"))
        return true;
    struct ast_variable **end = &st->set;
    unsigned n = 0;
    do {
        if (!parser_advance(p)) /* SET or the comma */
            return false;
        if (n++ == RULE_VARIABLES_MAX)
            return parser_fail(p, SL_LIMIT, p->now.at, "SET takes at most 10 variables");
        if (!parser_at(p, T_VARIABLE))
            return parser_expected(p, "a variable such as @name");
        struct ast_variable *v = parser_alloc(p, sizeof *v);
        if (!v)
            return false;
        v->name = p->now.text;
        for (const struct ast_variable *other = st->set; other; other = other->next)
            if (sl_slice_eq(other->name, v->name))
                return parser_fail(p, SL_INVALID, p->now.at, "@%.*s is set twice", SL_FMT(v->name));
        if (!parser_advance(p) || !parser_take(p, T_EQ, "="))
            return false;
        v->expr = parse_expression(p);
        if (!v->expr)
            return false;
        *end = v;
        end = &v->next;
    } while (parser_at(p, T_COMMA));
    return true;
}

static bool parse_from(struct parser *p, struct ast_statement *st)
{
    if (!parser_at_word(p, "FROM"))
        return parser_expected(p, "FROM");
    if (!parser_advance(p))
        return false;
    if (!parser_at(p, T_STRING))
        return parser_expected(p, "a topic filter in quotes");
    if (!sl_filter_valid(p->now.text))
        return parser_fail(p, SL_INVALID, p->now.at, "'%.*s' is not a valid topic filter",
                           SL_FMT(p->now.text));
    st->from = p->now.text;
    return parser_advance(p);
}

static bool parse_group(struct parser *p, struct ast_statement *st)
{
    if (!parser_at_word(p, "GROUP"))
        return true;
    if (!parser_advance(p))
        return false;
    if (!parser_at_word(p, "BY"))
        return parser_expected(p, "BY");
    struct ast_node **end = &st->group;
    do {
        if (!parser_advance(p)) /* BY or the comma */
            return false;
        struct ast_node *e = parse_expression(p);
        if (!e)
            return false;
        *end = e;
        end = &e->next;
    } while (parser_at(p, T_COMMA));
    return true;
}

static bool parse_condition(struct parser *p, const char *keyword, struct ast_node **ret)
{
    if (!parser_at_word(p, keyword))
        return true;
    if (!parser_advance(p))
        return false;
    *ret = parse_expression(p);
    return *ret != NULL;
}

static bool parse_statement(struct parser *p, struct ast_statement *st)
{
    if (!parser_advance(p) || !parse_set(p, st))
        return false;
    if (!parser_at_word(p, "SELECT"))
        return parser_expected(p, "SELECT");
    if (!parser_advance(p) || !parse_items(p, st) || !parse_from(p, st))
        return false;
    if (!parse_condition(p, "WHERE", &st->where) || !parse_group(p, st) ||
        !parse_condition(p, "HAVING", &st->having))
        return false;
    if (!parser_at(p, T_END))
        return parser_expected(p, st->where ? "the end of the statement" : "WHERE or the end");
    return true;
}

enum sl_code rule_parse(struct sl_slice sql, struct arena *arena, struct ast_statement *ret,
                        struct rule_error *error)
{
    struct parser p = {
        .lexer = { .sql = sql, .arena = arena, .error = error },
        .code = SL_INVALID,
    };
    struct ast_statement st = { 0 };
    if (sql.len > RULE_SQL_MAX) {
        rule_error_at(error, sql, 0, "the statement has more than 65536 bytes");
        return SL_LIMIT;
    }
    if (!sl_utf8_valid(sql)) {
        rule_error_at(error, sql, 0, "the statement is not valid UTF-8");
        return SL_INVALID;
    }
    bool ok = parse_statement(&p, &st);
    if (arena->failed) {
        rule_error_at(error, sql, 0, "out of memory");
        return SL_NOMEM;
    }
    if (!ok)
        return p.code;
    *ret = st;
    return SL_OK;
}
