/* eval.c - expressions to values. Recursion is bounded by RULE_HEIGHT_MAX. */
#include "eval.h"

#include "number.h"
#include "payload.h"

bool eval_root(struct eval *ev, struct value *ret)
{
    if (ev->root_state == ROOT_UNKNOWN)
        ev->root_state = payload_root(ev->in, &ev->root) ? ROOT_JSON : ROOT_NONE;
    if (ev->root_state != ROOT_JSON)
        return false;
    *ret = ev->root;
    return true;
}

static struct value look_up(struct eval *ev, const struct plan_path *path)
{
    struct value v;
    if (!eval_root(ev, &v))
        return VALUE_UNDEFINED;
    for (unsigned i = 0; i < path->count && v.type != V_UNDEFINED; i++)
        v = value_member(v, path->parts[i]);
    return v;
}

static struct value eval_field(struct eval *ev, const struct expr *e)
{
    struct slot *slot = &ev->slots[e->slot];
    if (!slot->known) {
        slot->value = look_up(ev, &ev->plan->paths[e->slot]);
        slot->known = true;
    }
    return slot->value;
}

static struct value eval_negate(struct value v)
{
    v = value_to_number(v);
    return value_is_number(v) ? number_compute(NUMBER_SUBTRACT, value_int(0), v) : VALUE_UNDEFINED;
}

static struct value eval_not(struct value v)
{
    v = value_to_bool(v);
    return v.type == V_BOOL ? value_bool(!v.b) : VALUE_UNDEFINED;
}

/* AWS's table: both sides must be Boolean, also where one alone would decide. */
static struct value logic(enum ast_op op, struct value a, struct value b)
{
    a = value_to_bool(a);
    b = value_to_bool(b);
    if (a.type != V_BOOL || b.type != V_BOOL)
        return VALUE_UNDEFINED;
    return value_bool(op == OP_AND ? a.b && b.b : a.b || b.b);
}

static struct value compare(enum ast_op op, struct value a, struct value b)
{
    a = value_to_number(a);
    b = value_to_number(b);
    if (!value_is_number(a) || !value_is_number(b))
        return VALUE_UNDEFINED;
    int order = number_compare(a, b);
    switch (op) {
    case OP_LT: return value_bool(order < 0);
    case OP_LE: return value_bool(order <= 0);
    case OP_GT: return value_bool(order > 0);
    case OP_GE: return value_bool(order >= 0);
    case OP_OR:
    case OP_AND:
    case OP_EQ:
    case OP_NE:
    case OP_IN:
    case OP_ADD:
    case OP_SUBTRACT:
    case OP_MULTIPLY:
    case OP_DIVIDE:
    case OP_MODULO: break;
    }
    return VALUE_UNDEFINED;
}

static struct value arithmetic(enum number_op op, struct value a, struct value b)
{
    a = value_to_number(a);
    b = value_to_number(b);
    if (!value_is_number(a) || !value_is_number(b))
        return VALUE_UNDEFINED;
    return number_compute(op, a, b);
}

static struct value join(struct eval *ev, struct value a, struct value b)
{
    a = value_to_string(ev->arena, a);
    b = value_to_string(ev->arena, b);
    if (a.type != V_STRING || b.type != V_STRING)
        return VALUE_UNDEFINED;
    uint8_t *text = arena_alloc(ev->arena, a.s.len + b.s.len + 1);
    if (!text)
        return VALUE_UNDEFINED;
    if (a.s.len > 0)
        memcpy(text, a.s.ptr, a.s.len);
    if (b.s.len > 0)
        memcpy(text + a.s.len, b.s.ptr, b.s.len);
    return value_string(sl_bytes(text, a.s.len + b.s.len));
}

static struct value is_in(struct eval *ev, struct value v, struct value array)
{
    if (array.type != V_ARRAY || v.type == V_UNDEFINED)
        return VALUE_UNDEFINED;
    struct value_iter it = value_iterate(array);
    struct sl_slice key;
    struct value element;
    while (value_next(&it, &key, &element)) {
        struct value equal = value_equal(v, element, &ev->fuel);
        if (equal.type != V_BOOL || equal.b)
            return equal;
    }
    return value_bool(false);
}

static struct value eval_binary(struct eval *ev, const struct expr *e)
{
    struct value a = eval_expr(ev, e->args[0]), b = eval_expr(ev, e->args[1]), equal;
    switch (e->op) {
    case OP_OR:
    case OP_AND: return logic(e->op, a, b);
    case OP_EQ: return value_equal(a, b, &ev->fuel);
    case OP_NE:
        equal = value_equal(a, b, &ev->fuel);
        return equal.type == V_BOOL ? value_bool(!equal.b) : equal;
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE: return compare(e->op, a, b);
    case OP_IN: return is_in(ev, a, b);
    case OP_ADD:
        if (a.type == V_STRING || b.type == V_STRING)
            return join(ev, a, b);
        return arithmetic(NUMBER_ADD, a, b);
    case OP_SUBTRACT: return arithmetic(NUMBER_SUBTRACT, a, b);
    case OP_MULTIPLY: return arithmetic(NUMBER_MULTIPLY, a, b);
    case OP_DIVIDE: return arithmetic(NUMBER_DIVIDE, a, b);
    case OP_MODULO: return arithmetic(NUMBER_MODULO, a, b);
    }
    return VALUE_UNDEFINED;
}

static struct value eval_call(struct eval *ev, const struct expr *e)
{
    struct value args[RULE_ARGS_MAX];
    const struct function *f = e->function;
    if (e->count < f->args_min || e->count > f->args_max)
        return VALUE_UNDEFINED;
    for (unsigned i = 0; i < e->count; i++)
        args[i] = eval_expr(ev, e->args[i]);
    return f->call(ev, args, e->count);
}

/* args: the operand, WHEN and THEN in pairs, and ELSE's if there is one. */
static struct value eval_case(struct eval *ev, const struct expr *e)
{
    struct value operand = eval_expr(ev, e->args[0]);
    if (operand.type == V_UNDEFINED)
        return VALUE_UNDEFINED;
    unsigned pairs_end = e->count - (e->has_else ? 1 : 0);
    for (unsigned i = 1; i + 1 < pairs_end; i += 2) {
        struct value equal = value_equal(operand, eval_expr(ev, e->args[i]), &ev->fuel);
        if (equal.type == V_BOOL && equal.b)
            return eval_expr(ev, e->args[i + 1]);
    }
    return e->has_else ? eval_expr(ev, e->args[e->count - 1]) : VALUE_UNDEFINED;
}

static struct value eval_collection(struct eval *ev, const struct expr *e)
{
    bool object = e->kind == E_OBJECT;
    struct value v = value_build(ev->arena, object ? V_OBJECT : V_ARRAY);
    for (unsigned i = 0; i < e->count; i++) {
        const struct expr *arg = e->args[i];
        if (object)
            value_set(ev->arena, v, arg->name, eval_expr(ev, arg->args[0]));
        else
            value_append(ev->arena, v, eval_expr(ev, arg));
    }
    return v;
}

struct value eval_expr(struct eval *ev, const struct expr *e)
{
    switch (e->kind) {
    case E_CONST: return e->constant;
    case E_FIELD: return eval_field(ev, e);
    case E_VARIABLE: return ev->variables[e->slot];
    case E_MEMBER: return value_member(eval_expr(ev, e->args[0]), e->name);
    case E_NOT: return eval_not(eval_expr(ev, e->args[0]));
    case E_NEGATE: return eval_negate(eval_expr(ev, e->args[0]));
    case E_BINARY: return eval_binary(ev, e);
    case E_CALL: return eval_call(ev, e);
    case E_CASE: return eval_case(ev, e);
    case E_ARRAY:
    case E_OBJECT: return eval_collection(ev, e);
    case E_PAIR: break; /* only inside an object, which looks through it */
    }
    return VALUE_UNDEFINED;
}

bool eval_true(struct eval *ev, const struct expr *e)
{
    /* For the question "true or not" the left side alone may decide an AND. */
    if (e->kind == E_BINARY && e->op == OP_AND)
        return eval_true(ev, e->args[0]) && eval_true(ev, e->args[1]);
    struct value v = value_to_bool(eval_expr(ev, e));
    return v.type == V_BOOL && v.b;
}

struct sl_slice rule_topic(struct sl_slice topic)
{
    struct sl_slice prefix = sl_str("$aws/rules/");
    if (!sl_slice_starts(topic, prefix))
        return topic;
    const uint8_t *rest = topic.ptr + prefix.len;
    size_t left = topic.len - prefix.len;
    const uint8_t *slash = left > 0 ? memchr(rest, '/', left) : NULL;
    if (!slash)
        return topic;
    return sl_bytes(slash + 1, left - (size_t)(slash + 1 - rest));
}
