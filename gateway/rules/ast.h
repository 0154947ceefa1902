/* ast.h - the statement as it was written: one tree in one arena, with the place of every part.
 *
 * Windows and aggregates have their place already: GROUP BY and HAVING are parsed; plan.c decides
 * what can be carried out. */
#ifndef RULES_AST_H
#define RULES_AST_H

#include "value.h"

enum ast_kind {
    AST_LITERAL,  /* literal */
    AST_NAME,     /* name: a field of the payload */
    AST_VARIABLE, /* name: @name */
    AST_MEMBER,   /* first child . name */
    AST_NOT,
    AST_NEGATE,
    AST_BINARY, /* op over two children */
    AST_CALL,   /* name(children) */
    AST_CAST,   /* cast(child AS name) */
    AST_CASE,   /* operand, then WHEN, THEN pairs; has_else: and one more */
    AST_ARRAY,
    AST_PAIR, /* name: child, in an object */
    AST_OBJECT,
    AST_STAR, /* as an argument */
};

enum ast_op {
    OP_OR,
    OP_AND,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_MODULO,
};

struct ast_node {
    enum ast_kind kind;
    enum ast_op op;
    bool has_else;
    unsigned height;      /* 1 for a leaf: bounds every recursion over the tree */
    uint32_t at, end;     /* byte offsets in the SQL text */
    struct sl_slice name; /* in the SQL text or the arena */
    struct value literal;
    struct ast_node *first, *last, *next; /* children; the next sibling */
    unsigned count;                       /* children */
};

struct ast_alias {
    struct sl_slice part;
    struct ast_alias *next;
};

struct ast_item {
    struct ast_node *expr; /* NULL for * */
    uint32_t at;
    struct ast_alias *alias; /* NULL: none written */
    struct ast_item *next;
};

struct ast_variable {
    struct sl_slice name;
    struct ast_node *expr;
    struct ast_variable *next;
};

struct ast_statement {
    struct ast_variable *set; /* SET @a = ..., in order */
    bool value_form;          /* SELECT VALUE: one item, without alias */
    struct ast_item *items;
    unsigned item_count;
    struct sl_slice from;
    struct ast_node *where;  /* may be NULL */
    struct ast_node *group;  /* GROUP BY expressions, linked by next; may be NULL */
    struct ast_node *having; /* may be NULL */
};

#endif
