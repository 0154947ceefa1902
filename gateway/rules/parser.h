/* parser.h - SQL text to a tree. No I/O, no state. */
#ifndef RULES_PARSER_H
#define RULES_PARSER_H

#include "ast.h"
#include "rules.h"

/* Bounds, each with an error that says so. */
enum {
    RULE_NESTING_MAX = 64, /* parentheses, calls, NOT and minus signs inside one another */
    RULE_HEIGHT_MAX = 512, /* levels of the tree: a + b + c ... is one level a sign */
    RULE_ITEMS_MAX = 256,
    RULE_VARIABLES_MAX = 10,
    RULE_ALIAS_PARTS_MAX = 16,
};

/* The tree lives in the arena; names point into sql. SL_INVALID, SL_LIMIT, SL_UNSUPPORTED or
 * SL_NOMEM, with *error filled. */
SL_NODISCARD enum sl_code rule_parse(struct sl_slice sql, struct arena *arena,
                                     struct ast_statement *ret, struct rule_error *error);

#endif
