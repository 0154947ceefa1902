/* eval.h - one evaluation of a plan: what it has looked up, its memory, its budget. */
#ifndef RULES_EVAL_H
#define RULES_EVAL_H

#include "plan.h"

/* Nodes that comparing arrays and objects may look at in one evaluation: a hostile payload cannot
 * make a rule take long. */
#define EVAL_FUEL 1000000u
/* An output's greatest size. */
#define EVAL_OUTPUT_MAX ((size_t)16 * 1024 * 1024)

struct slot {
    bool known;
    struct value value;
};

enum root_state { ROOT_UNKNOWN, ROOT_NONE, ROOT_JSON };

struct eval {
    const struct rule_plan *plan; /* NULL while constants are folded */
    struct rule_input *in;
    struct arena *arena;
    struct slot *slots;
    struct value variables[10];
    struct value root; /* the payload, when root_state is ROOT_JSON */
    enum root_state root_state;
    unsigned fuel;
};

/* What a rule_output keeps in `object`: the memory of an evaluation, reused by the next. */
struct scratch {
    struct arena arena;
    struct slot small[16]; /* slots of ordinary rules */
    struct rule_input *in; /* of the last evaluation */
    bool whole_payload;    /* the output is the payload itself: parsed only when a template asks */
    struct value output;
};

/* Undefined for what has no value; lives as long as the scratch's arena. */
struct value eval_expr(struct eval *ev, const struct expr *e);
/* The Boolean true, or a string that converts to it. */
bool eval_true(struct eval *ev, const struct expr *e);
/* The payload as a value; false when it is not JSON. */
bool eval_root(struct eval *ev, struct value *ret);

/* The slice without "$aws/rules/NAME/", which basic ingest puts before a topic. */
struct sl_slice rule_topic(struct sl_slice topic);

/* explain.c: why WHERE was not true, as a sentence. */
void explain_skip(struct eval *ev, struct sl_err *why);

#endif
