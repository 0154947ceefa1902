/* plan.h - the tree made ready to run: names resolved to slots, functions to their code, constants
 * folded. Immutable once made. */
#ifndef RULES_PLAN_H
#define RULES_PLAN_H

#include "ast.h"
#include "functions.h"
#include "rules.h"

enum expr_kind {
    E_CONST,    /* constant */
    E_FIELD,    /* slot: the payload's field, looked up once per message */
    E_VARIABLE, /* slot: a SET variable, evaluated before everything else */
    E_MEMBER,   /* args[0] . name */
    E_NOT,
    E_NEGATE,
    E_BINARY, /* args[0] op args[1] */
    E_CALL,
    E_CASE,
    E_ARRAY,
    E_OBJECT, /* args are E_PAIR */
    E_PAIR,   /* name: args[0] */
};

struct expr {
    enum expr_kind kind;
    enum ast_op op;
    bool has_else;
    uint32_t at, end;     /* in the plan's SQL text */
    struct sl_slice name; /* E_MEMBER, E_PAIR */
    unsigned slot, count;
    union {
        struct value constant;
        const struct function *function;
    };
    struct expr **args;
};

/* A field's path in the payload: pos.lat is two parts. */
struct plan_path {
    struct sl_slice *parts;
    unsigned count;
};

struct plan_item {
    struct expr *expr;    /* NULL for * */
    struct sl_slice *key; /* where it goes in the output; dotted aliases have several parts */
    unsigned key_count;   /* 0: the members of * go into the output itself */
};

struct rule_plan {
    struct arena arena; /* owns everything below */
    struct sl_slice sql, from;
    struct plan_path *paths; /* one a slot */
    unsigned path_count;
    struct expr **variables;
    unsigned variable_count;
    struct expr *where; /* NULL: always */
    bool value_form;    /* SELECT VALUE */
    bool pass_through;  /* SELECT * alone: the payload goes on as it is, JSON or not */
    struct plan_item *items;
    unsigned item_count;
};

/* p->arena and p->sql are set; fills the rest. */
SL_NODISCARD enum sl_code plan_make(struct rule_plan *p, const struct ast_statement *st,
                                    struct rule_error *error);

#endif
