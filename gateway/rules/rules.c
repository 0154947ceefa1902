/* rules.c - the engine's front: compiling a statement, evaluating a message. */
#include "rules.h"

#include "eval.h"
#include "json_out.h"
#include "parser.h"
#include "payload.h"

#include <stdlib.h>

enum { TEXT_KEPT = 64 * 1024 }; /* of an output's buffer between messages */

/* ---- plans ---- */

enum sl_code rule_compile(struct sl_slice sql, struct rule_plan **ret, struct rule_error *ret_error)
{
    struct rule_error ignored;
    struct rule_error *error = ret_error ? ret_error : &ignored;
    struct rule_plan *p = calloc(1, sizeof *p);
    struct ast_statement st;
    *error = (struct rule_error){ .line = 1, .column = 1, .text = "out of memory" };
    if (!p)
        return SL_NOMEM;
    enum sl_code rc = SL_NOMEM;
    p->sql = arena_copy(&p->arena, sql); /* names and literals point into it */
    if (!p->arena.failed)
        rc = rule_parse(p->sql, &p->arena, &st, error);
    if (rc == SL_OK)
        rc = plan_make(p, &st, error);
    if (rc != SL_OK) {
        rule_plan_free(p);
        return rc;
    }
    *error = (struct rule_error){ 0 };
    *ret = p;
    return SL_OK;
}

void rule_plan_free(struct rule_plan *p)
{
    if (!p)
        return;
    arena_free(&p->arena);
    free(p);
}

struct sl_slice rule_from(const struct rule_plan *p)
{
    return p->from;
}

/* ---- memory ---- */

void rule_input_release(struct rule_input *in)
{
    payload_free(in->parsed);
    in->parsed = NULL;
    in->parse_failed = false;
}

bool rule_input_is_json(struct rule_input *in)
{
    struct value root;
    return payload_root(in, &root);
}

void rule_output_release(struct rule_output *out)
{
    struct scratch *s = out->object;
    if (s)
        arena_free(&s->arena);
    free(s);
    sl_buf_free(&out->text);
    *out = (struct rule_output){ 0 };
}

static struct scratch *take_scratch(struct rule_output *out, struct rule_input *in)
{
    if (!out->object)
        out->object = calloc(1, sizeof(struct scratch));
    struct scratch *s = out->object;
    if (!s)
        return NULL;
    arena_reset(&s->arena);
    sl_buf_reset(&out->text);
    sl_buf_shrink(&out->text, TEXT_KEPT);
    out->text.max = EVAL_OUTPUT_MAX;
    out->payload = (struct sl_slice){ 0 };
    s->in = in;
    s->whole_payload = false;
    s->output = VALUE_UNDEFINED;
    return s;
}

static bool take_slots(struct eval *ev, struct scratch *s)
{
    unsigned n = ev->plan->path_count;
    if (n > SL_ARRAY_LEN(s->small)) {
        ev->slots = arena_alloc(&s->arena, n * sizeof *ev->slots);
        return ev->slots != NULL;
    }
    ev->slots = s->small;
    for (unsigned i = 0; i < n; i++)
        s->small[i].known = false;
    return true;
}

/* ---- SELECT ---- */

/* A later item takes the place of an earlier one, also of a scalar where it needs an object. Only
 * objects made for an alias are added to: those of the payload and of the plan are not ours. */
static void set_output(struct eval *ev, struct value object, const struct plan_item *item,
                       struct value v)
{
    if (v.type == V_UNDEFINED)
        return;
    for (unsigned i = 0; i + 1 < item->key_count; i++) {
        struct value inner = value_member(object, item->key[i]);
        if (inner.type != V_OBJECT || !inner.built || !inner.list->open) {
            inner = value_build(ev->arena, V_OBJECT);
            if (inner.type == V_UNDEFINED)
                return; /* the arena remembers */
            inner.list->open = true;
            value_set(ev->arena, object, item->key[i], inner);
        }
        object = inner;
    }
    value_set(ev->arena, object, item->key[item->key_count - 1], v);
}

/* The payload's members go under those of the items; items before the * give way to them. */
static bool spread(struct eval *ev, struct value object, struct sl_err *why)
{
    struct value root;
    if (ev->in->payload.len == 0)
        return true; /* AWS takes an empty payload for an empty object here */
    if (!eval_root(ev, &root) || root.type != V_OBJECT) {
        (void)sl_fail(why, SL_INVALID, "SELECT *: the payload is not a JSON object");
        return false;
    }
    for (struct value_item *i = object.list->first; i; i = i->next) {
        struct value v = value_member(root, i->key);
        if (v.type != V_UNDEFINED)
            i->value = v;
    }
    object.list->base = root.json;
    return true;
}

static bool select_item(struct eval *ev, const struct plan_item *item, struct value object,
                        struct sl_err *why)
{
    struct value root;
    if (item->expr) {
        set_output(ev, object, item, eval_expr(ev, item->expr));
        return true;
    }
    if (item->key_count == 0)
        return spread(ev, object, why);
    if (!eval_root(ev, &root)) {
        (void)sl_fail(why, SL_INVALID, "SELECT * AS: the payload is not JSON");
        return false;
    }
    set_output(ev, object, item, root);
    return true;
}

static bool select_object(struct eval *ev, struct value *ret, struct sl_err *why)
{
    struct value object = value_build(ev->arena, V_OBJECT);
    if (object.type == V_UNDEFINED)
        return true; /* the arena remembers */
    for (unsigned i = 0; i < ev->plan->item_count; i++)
        if (!select_item(ev, &ev->plan->items[i], object, why))
            return false;
    *ret = object;
    return true;
}

/* What stopped an evaluation in mid-way, if anything did. */
static bool check_limits(const struct eval *ev, const struct rule_output *out, struct sl_err *why)
{
    if (ev->arena->out_of_memory)
        (void)sl_fail(why, SL_NOMEM, "out of memory");
    else if (ev->arena->failed)
        (void)sl_fail(why, SL_LIMIT, "the rule needs more than 16 MiB of memory for this message");
    else if (ev->fuel == 0)
        (void)sl_fail(why, SL_LIMIT, "the rule compares more than 1,000,000 values");
    else if (out->text.failed)
        (void)sl_fail(why, SL_LIMIT, "the output is larger than 16 MiB");
    else
        return true;
    return false;
}

static enum rule_verdict make_output(struct eval *ev, struct scratch *s, struct rule_output *out,
                                     struct sl_err *why)
{
    const struct rule_plan *p = ev->plan;
    if (p->pass_through) {
        s->whole_payload = true;
        out->payload = ev->in->payload;
        return RULE_KEPT;
    }
    if (p->value_form && p->items[0].expr)
        s->output = eval_expr(ev, p->items[0].expr);
    else if (!select_object(ev, &s->output, why))
        return RULE_FAILED;
    json_write(&out->text, s->output);
    if (!check_limits(ev, out, why))
        return RULE_FAILED;
    out->payload = sl_buf_slice(&out->text);
    return RULE_KEPT;
}

enum rule_verdict rule_eval(const struct rule_plan *p, struct rule_input *in,
                            struct rule_output *out, struct sl_err *why)
{
    struct scratch *s = take_scratch(out, in);
    if (!s) {
        (void)sl_fail(why, SL_NOMEM, "out of memory");
        return RULE_FAILED;
    }
    struct eval ev;
    ev.plan = p;
    ev.in = in;
    ev.arena = &s->arena;
    ev.root_state = ROOT_UNKNOWN;
    ev.fuel = EVAL_FUEL;
    if (!take_slots(&ev, s)) {
        (void)sl_fail(why, SL_NOMEM, "out of memory");
        return RULE_FAILED;
    }
    for (unsigned i = 0; i < p->variable_count; i++)
        ev.variables[i] = eval_expr(&ev, p->variables[i]);
    if (p->where && !eval_true(&ev, p->where)) {
        if (!check_limits(&ev, out, why))
            return RULE_FAILED;
        if (why && in->explain)
            explain_skip(&ev, why);
        return RULE_SKIPPED;
    }
    return make_output(&ev, s, out, why);
}
