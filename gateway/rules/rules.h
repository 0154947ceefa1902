/* rules.h - edge rules: AWS IoT SQL compiled to a plan, and evaluation of messages against it.
 *
 * No I/O, no clock: a message and the time go in, payloads and topics come out. A plan is immutable
 * after compilation. Loop thread only (a plan may be used by one thread at a time). */
#ifndef GATEWAY_RULES_H
#define GATEWAY_RULES_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct rule_plan;

/* Where in the SQL text a problem is, and what was expected. */
struct rule_error {
    unsigned line, column; /* 1-based; column counts bytes */
    char text[256];        /* "expected FROM, found 'FORM'" */
};

/* On SL_OK *ret is yours until rule_plan_free(). SL_INVALID with *ret_error filled for a mistake,
 * SL_LIMIT for a statement over a bound, SL_UNSUPPORTED for a function or clause that does not
 * exist or that AWS has and this program has not. */
SL_NODISCARD enum sl_code rule_compile(struct sl_slice sql, struct rule_plan **ret,
                                       struct rule_error *ret_error);
void rule_plan_free(struct rule_plan *p); /* accepts NULL */

/* The FROM clause's topic filter; lives as long as the plan. */
struct sl_slice rule_from(const struct rule_plan *p);

/* One message to evaluate. Parse a message once for all its rules: make a rule_input, evaluate,
 * release it. topic and clientid are valid UTF-8; the payload is anything. */
struct rule_input {
    struct sl_slice topic, payload, clientid;
    int64_t ts_ms; /* wall clock: timestamp() */
    bool explain;  /* say why a message was skipped: costs about as much as evaluating it again */
    void *parsed;  /* the engine's: NULL at first; the parsed payload is kept here */
    bool parse_failed;
};
void rule_input_release(struct rule_input *in);
/* Whether the payload is JSON; parses it now if no rule has needed that yet. */
bool rule_input_is_json(struct rule_input *in);

enum rule_verdict {
    RULE_KEPT,
    RULE_SKIPPED, /* WHERE was not true */
    RULE_FAILED,  /* the evaluation failed; the text says why */
};

/* What a kept message becomes. Zero it before the first use; reuse it; release it at the end. It
 * points into the input: use it before the input is released. At most 16 MiB; its memory beyond
 * 64 KiB is given back at the next evaluation. */
struct rule_output {
    struct sl_slice payload; /* JSON, or the raw payload for SELECT * over one that is not JSON */
    struct sl_buf text;      /* payload's memory, when it is not the input's */
    void *object;            /* the engine's: for templates over ${field} */
};
void rule_output_release(struct rule_output *out);

/* why (may be NULL) is filled with a sentence when it failed and, with in->explain, also when it
 * was skipped ("WHERE: temperature is undefined"). */
enum rule_verdict rule_eval(const struct rule_plan *p, struct rule_input *in,
                            struct rule_output *out, struct sl_err *why);

/* ---- topic templates: ${gateway} ${thing_name} ${topic} ${topic(N)} ${field.of.the.output} ----
 */

struct rule_template;
struct rule_names {
    struct sl_slice gateway, thing_name;
};
/* text is copied. SL_INVALID, SL_NOMEM: *ret_error (may be NULL) says where and why. */
SL_NODISCARD enum sl_code rule_template_compile(struct sl_slice text, struct rule_template **ret,
                                                struct rule_error *ret_error);
void rule_template_free(struct rule_template *t);
/* Appends the topic to out. SL_INVALID when a part is undefined, not a string/number/boolean, or
 * the result is not a valid topic name; err says which. */
SL_NODISCARD enum sl_code rule_template_render(const struct rule_template *t,
                                               const struct rule_names *names,
                                               const struct rule_input *in,
                                               const struct rule_output *output, struct sl_buf *out,
                                               struct sl_err *err);

#endif
