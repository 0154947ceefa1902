/* explain.c - why a message was not kept, for people. Runs only when somebody asks. */
#include "eval.h"

#include "json_out.h"

#include <stdio.h>

enum { FIELDS_SHOWN = 3, VALUE_SHOWN = 60 };

static struct sl_slice text_of(const struct eval *ev, uint32_t at, uint32_t end)
{
    size_t n = end - at;
    return sl_bytes(ev->plan->sql.ptr + at, n > 100 ? 100 : n);
}

/* The first field or variable below e that has no value; NULL when all have one. */
static const struct expr *find_undefined(struct eval *ev, const struct expr *e)
{
    if (e->kind == E_FIELD || e->kind == E_VARIABLE)
        return eval_expr(ev, e).type == V_UNDEFINED ? e : NULL;
    for (unsigned i = 0; i < e->count; i++) {
        const struct expr *found = find_undefined(ev, e->args[i]);
        if (found)
            return found;
    }
    return NULL;
}

static void show(struct sl_buf *out, struct value v)
{
    if (v.type == V_UNDEFINED) {
        sl_buf_put_str(out, "undefined");
        return;
    }
    struct sl_buf text = { .max = 64 * 1024 }; /* a larger one is not worth reading */
    json_write(&text, v);
    struct sl_slice s = sl_buf_slice(&text);
    if (text.failed || s.len > VALUE_SHOWN)
        sl_buf_printf(out, "%s", value_type_name(v.type));
    else
        sl_buf_put_slice(out, s);
    sl_buf_free(&text);
}

struct shown {
    unsigned slots[FIELDS_SHOWN], count;
};

static bool is_shown(const struct shown *shown, unsigned slot)
{
    for (unsigned i = 0; i < shown->count; i++)
        if (shown->slots[i] == slot)
            return true;
    return shown->count == FIELDS_SHOWN;
}

/* "(t is 21.5, h is 40": the fields that the decision rests on, each once. */
static void show_fields(struct eval *ev, const struct expr *e, struct sl_buf *out,
                        struct shown *shown)
{
    if (e->kind == E_FIELD && !is_shown(shown, e->slot)) {
        struct sl_slice name = text_of(ev, e->at, e->end);
        sl_buf_printf(out, "%s%.*s is ", shown->count > 0 ? ", " : " (", SL_FMT(name));
        show(out, eval_expr(ev, e));
        shown->slots[shown->count++] = e->slot;
    }
    for (unsigned i = 0; i < e->count; i++)
        show_fields(ev, e->args[i], out, shown);
}

/* The part of a chain of ANDs that decided. */
static const struct expr *find_decider(struct eval *ev, const struct expr *e)
{
    while (e->kind == E_BINARY && e->op == OP_AND)
        e = eval_true(ev, e->args[0]) ? e->args[1] : e->args[0];
    return e;
}

void explain_skip(struct eval *ev, struct sl_err *why)
{
    const struct expr *e = find_decider(ev, ev->plan->where);
    struct value v = eval_expr(ev, e), root;
    struct sl_slice text = text_of(ev, e->at, e->end);
    struct sl_buf out = { .max = 2048 };
    const struct expr *missing = v.type == V_UNDEFINED ? find_undefined(ev, e) : NULL;
    if (missing) {
        struct sl_slice name = text_of(ev, missing->at, missing->end);
        sl_buf_printf(&out, "%.*s is undefined", SL_FMT(name));
        if (!eval_root(ev, &root))
            sl_buf_put_str(&out, ": the payload is not JSON");
    } else {
        struct shown shown = { 0 };
        sl_buf_printf(&out, "%.*s is ", SL_FMT(text));
        show(&out, v);
        if (v.type != V_BOOL && v.type != V_UNDEFINED)
            sl_buf_put_str(&out, ", not true");
        if (e->kind != E_FIELD)
            show_fields(ev, e, &out, &shown);
        if (shown.count > 0)
            sl_buf_put_str(&out, ")");
    }
    (void)sl_fail(why, SL_OK, "WHERE: %s", sl_buf_cstr(&out)); /* a sentence, not a failure */
    sl_buf_free(&out);
}
