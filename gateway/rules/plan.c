/* plan.c - from the tree as written to the tree that runs. */
#include "plan.h"

#include "eval.h"
#include "lexer.h"
#include "parser.h"

#include <stdio.h>

struct maker {
    struct rule_plan *plan;
    const struct ast_statement *statement;
    struct rule_error *error;
    enum sl_code code;
    unsigned paths_cap;
};

static bool fail(struct maker *m, enum sl_code code, uint32_t at, const char *text)
{
    rule_error_at(m->error, m->plan->sql, at, "%s", text);
    m->code = code;
    return false;
}

static void *alloc(struct maker *m, size_t n)
{
    return arena_alloc(&m->plan->arena, n);
}

static struct expr *lower(struct maker *m, const struct ast_node *n);

static struct expr *new_expr(struct maker *m, enum expr_kind kind, const struct ast_node *n)
{
    struct expr *e = alloc(m, sizeof *e);
    if (e)
        *e = (struct expr){ .kind = kind, .at = n->at, .end = n->end };
    return e;
}

/* ---- names ---- */

static bool same_path(const struct plan_path *p, const struct sl_slice *parts, unsigned count)
{
    if (p->count != count)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!sl_slice_eq(p->parts[i], parts[i]))
            return false;
    return true;
}

/* The slot of a path, a new one for a path not seen before. */
static bool find_slot(struct maker *m, const struct sl_slice *parts, unsigned count,
                      unsigned *ret_slot)
{
    struct rule_plan *p = m->plan;
    for (unsigned i = 0; i < p->path_count; i++) {
        if (same_path(&p->paths[i], parts, count)) {
            *ret_slot = i;
            return true;
        }
    }
    if (p->path_count == m->paths_cap) {
        unsigned cap = m->paths_cap ? m->paths_cap * 2 : 8;
        struct plan_path *larger = alloc(m, cap * sizeof *larger);
        if (!larger)
            return false;
        if (p->path_count > 0)
            memcpy(larger, p->paths, p->path_count * sizeof *larger);
        p->paths = larger;
        m->paths_cap = cap;
    }
    struct plan_path *path = &p->paths[p->path_count];
    path->parts = alloc(m, count * sizeof *path->parts);
    if (!path->parts)
        return false;
    memcpy(path->parts, parts, count * sizeof *parts);
    path->count = count;
    *ret_slot = p->path_count++;
    return true;
}

/* a.b.c when it is names all the way down; the parts come out first to last. */
static unsigned name_parts(const struct ast_node *n, struct sl_slice parts[RULE_HEIGHT_MAX])
{
    unsigned count = 0;
    for (; n->kind == AST_MEMBER; n = n->first)
        parts[count++] = n->name; /* a node is higher than its child: at most RULE_HEIGHT_MAX */
    if (n->kind != AST_NAME)
        return 0;
    parts[count++] = n->name;
    for (unsigned i = 0; i < count / 2; i++) {
        struct sl_slice swap = parts[i];
        parts[i] = parts[count - 1 - i];
        parts[count - 1 - i] = swap;
    }
    return count;
}

static struct expr *lower_field(struct maker *m, const struct ast_node *n)
{
    struct sl_slice parts[RULE_HEIGHT_MAX];
    unsigned count = name_parts(n, parts);
    struct expr *e = new_expr(m, E_FIELD, n);
    return e && count > 0 && find_slot(m, parts, count, &e->slot) ? e : NULL;
}

static struct expr *lower_variable(struct maker *m, const struct ast_node *n)
{
    unsigned slot = 0;
    const struct ast_variable *v = m->statement->set;
    while (v && !sl_slice_eq(v->name, n->name)) {
        v = v->next;
        slot++;
    }
    if (!v || slot >= m->plan->variable_count) { /* not set, or only later */
        (void)fail(m, SL_INVALID, n->at, "this variable is not SET before it is used");
        return NULL;
    }
    struct expr *e = new_expr(m, E_VARIABLE, n);
    if (e)
        e->slot = slot;
    return e;
}

/* ---- calls ---- */

static bool refuse_function(struct maker *m, const struct ast_node *n, const struct function *f)
{
    char text[200];
    int len = (int)(n->name.len > 60 ? 60 : n->name.len);
    const char *name = (const char *)n->name.ptr, *near = NULL;
    if (f) {
        (void)snprintf(text, sizeof text, "%.*s() %s", len, name, f->refusal);
    } else if ((near = function_nearest(n->name)) != NULL) {
        (void)snprintf(text, sizeof text, "there is no function %.*s(); did you mean %s()?", len,
                       name, near);
    } else {
        (void)snprintf(text, sizeof text, "there is no function %.*s()", len, name);
    }
    return fail(m, SL_UNSUPPORTED, n->at, text);
}

static const struct function *resolve(struct maker *m, const struct ast_node *n)
{
    const struct function *f =
        n->kind == AST_CAST ? function_cast(n->name) : function_find(n->name);
    if (!f && n->kind == AST_CAST)
        (void)fail(m, SL_INVALID, n->at,
                   "cast() knows the types Int, Decimal, Double, Boolean and String");
    else if (!f || !f->call)
        (void)refuse_function(m, n, f);
    return f && f->call ? f : NULL;
}

/* ---- trees ---- */

static enum expr_kind kind_of(enum ast_kind kind)
{
    switch (kind) {
    case AST_LITERAL: return E_CONST;
    case AST_NAME: return E_FIELD;
    case AST_VARIABLE: return E_VARIABLE;
    case AST_MEMBER: return E_MEMBER;
    case AST_NOT: return E_NOT;
    case AST_NEGATE: return E_NEGATE;
    case AST_BINARY: return E_BINARY;
    case AST_CALL:
    case AST_CAST: return E_CALL;
    case AST_CASE: return E_CASE;
    case AST_ARRAY: return E_ARRAY;
    case AST_PAIR: return E_PAIR;
    case AST_OBJECT: return E_OBJECT;
    case AST_STAR: break; /* its caller refuses it */
    }
    return E_CONST;
}

/* A node whose parts are all constant is computed now. */
static void fold(struct maker *m, struct expr *e)
{
    bool pure = e->kind != E_PAIR && (e->kind != E_CALL || e->function->pure);
    for (unsigned i = 0; pure && i < e->count; i++) {
        const struct expr *arg = e->args[i];
        pure = arg->kind == E_CONST || (arg->kind == E_PAIR && arg->args[0]->kind == E_CONST);
    }
    if (!pure)
        return;
    struct eval ev = { .arena = &m->plan->arena, .fuel = EVAL_FUEL };
    struct value v = eval_expr(&ev, e);
    if (ev.fuel == 0)
        return; /* let the message find out */
    e->kind = E_CONST;
    e->constant = v;
    e->count = 0;
}

static struct expr *lower_tree(struct maker *m, const struct ast_node *n)
{
    struct expr *e = new_expr(m, kind_of(n->kind), n);
    if (!e)
        return NULL;
    e->op = n->op;
    e->has_else = n->has_else;
    e->name = n->name;
    if (e->kind == E_CALL) {
        e->function = resolve(m, n);
        if (!e->function)
            return NULL;
        if (n->count > RULE_ARGS_MAX) {
            (void)fail(m, SL_LIMIT, n->at, "a function takes at most 32 arguments");
            return NULL;
        }
    }
    e->args = alloc(m, (n->count ? n->count : 1) * sizeof *e->args);
    if (!e->args)
        return NULL;
    for (const struct ast_node *c = n->first; c; c = c->next) {
        struct expr *arg = lower(m, c);
        if (!arg)
            return NULL;
        e->args[e->count++] = arg;
    }
    fold(m, e);
    return e;
}

static struct expr *lower_member(struct maker *m, const struct ast_node *n)
{
    const struct ast_node *root = n;
    while (root->kind == AST_MEMBER)
        root = root->first;
    return root->kind == AST_NAME ? lower_field(m, n) : lower_tree(m, n);
}

static struct expr *lower(struct maker *m, const struct ast_node *n)
{
    switch (n->kind) {
    case AST_LITERAL: {
        struct expr *e = new_expr(m, E_CONST, n);
        if (e)
            e->constant = n->literal;
        return e;
    }
    case AST_NAME: return lower_field(m, n);
    case AST_VARIABLE: return lower_variable(m, n);
    case AST_MEMBER: return lower_member(m, n);
    case AST_STAR:
        (void)fail(m, SL_UNSUPPORTED, n->at, "* is not an argument of this function");
        return NULL;
    case AST_NOT:
    case AST_NEGATE:
    case AST_BINARY:
    case AST_CALL:
    case AST_CAST:
    case AST_CASE:
    case AST_ARRAY:
    case AST_PAIR:
    case AST_OBJECT: return lower_tree(m, n);
    }
    return NULL;
}

/* ---- the statement ---- */

/* The output's key for an item without AS: a field's last part, a function's name. */
static struct sl_slice implied_key(const struct ast_node *n)
{
    switch (n->kind) {
    case AST_NAME:
    case AST_MEMBER:
    case AST_CALL:
    case AST_VARIABLE: return n->name;
    case AST_CAST: return sl_str("cast");
    case AST_LITERAL:
    case AST_NOT:
    case AST_NEGATE:
    case AST_BINARY:
    case AST_CASE:
    case AST_ARRAY:
    case AST_PAIR:
    case AST_OBJECT:
    case AST_STAR: break;
    }
    return (struct sl_slice){ 0 };
}

static bool make_key(struct maker *m, const struct ast_item *item, struct plan_item *ret)
{
    unsigned count = 0;
    for (const struct ast_alias *a = item->alias; a; a = a->next)
        count++;
    ret->key = alloc(m, (count ? count : 1) * sizeof *ret->key);
    if (!ret->key)
        return false;
    for (const struct ast_alias *a = item->alias; a; a = a->next)
        ret->key[ret->key_count++] = a->part;
    if (count > 0 || !item->expr || m->statement->value_form)
        return true;
    ret->key[0] = implied_key(item->expr);
    ret->key_count = 1;
    if (ret->key[0].len == 0)
        return fail(m, SL_INVALID, item->at,
                    "this expression needs a name: write AS name after it");
    return true;
}

static bool make_items(struct maker *m)
{
    struct rule_plan *p = m->plan;
    const struct ast_statement *st = m->statement;
    p->items = alloc(m, st->item_count * sizeof *p->items);
    if (!p->items)
        return false;
    for (const struct ast_item *i = st->items; i; i = i->next) {
        struct plan_item *item = &p->items[p->item_count];
        if (i->expr && !(item->expr = lower(m, i->expr)))
            return false;
        if (!make_key(m, i, item))
            return false;
        p->item_count++;
    }
    p->value_form = st->value_form;
    p->pass_through = p->item_count == 1 && !p->items[0].expr && p->items[0].key_count == 0;
    return true;
}

static bool make_variables(struct maker *m)
{
    struct rule_plan *p = m->plan;
    p->variables = alloc(m, RULE_VARIABLES_MAX * sizeof *p->variables);
    if (!p->variables)
        return false;
    for (const struct ast_variable *v = m->statement->set; v; v = v->next) {
        struct expr *e = lower(m, v->expr);
        if (!e)
            return false;
        p->variables[p->variable_count++] = e; /* counted only now: it cannot use itself */
    }
    return true;
}

static bool make_statement(struct maker *m)
{
    const struct ast_statement *st = m->statement;
    m->plan->from = st->from;
    if (!make_variables(m) || !make_items(m))
        return false;
    if (st->where && !(m->plan->where = lower(m, st->where)))
        return false;
    if (st->group)
        return fail(m, SL_UNSUPPORTED, st->group->at,
                    "GROUP BY and windows are not supported by this version");
    if (st->having)
        return fail(m, SL_UNSUPPORTED, st->having->at, "HAVING is not supported by this version");
    return true;
}

enum sl_code plan_make(struct rule_plan *p, const struct ast_statement *st,
                       struct rule_error *error)
{
    struct maker m = { .plan = p, .statement = st, .error = error, .code = SL_INVALID };
    bool ok = make_statement(&m);
    if (p->arena.failed) {
        rule_error_at(error, p->sql, 0, "the statement needs too much memory");
        return SL_NOMEM;
    }
    return ok ? SL_OK : m.code;
}
