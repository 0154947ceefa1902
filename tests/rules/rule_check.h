/* rule_check.h - one statement over one message, as text: for tables. */
#ifndef TESTS_RULE_CHECK_H
#define TESTS_RULE_CHECK_H

#include "rules/rules.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */

struct message {
    const char *topic, *payload, *clientid;
    size_t payload_len; /* 0: payload is a C string */
};

/* The output of sql for m: "skipped: why", "failed: why", "refused LINE:COL: text" or the payload.
 * The caller frees it. */
static inline char *run_rule(const char *sql, struct message m)
{
    struct rule_plan *plan = NULL;
    struct rule_error error;
    struct sl_buf text = { 0 };
    if (rule_compile(sl_str(sql), &plan, &error) != SL_OK) {
        sl_buf_printf(&text, "refused %u:%u: %s", error.line, error.column, error.text);
        (void)sl_buf_cstr(&text);
        return (char *)text.ptr;
    }
    struct rule_input in = { .topic = sl_str(m.topic ? m.topic : "site/7/s1/data"),
                             .payload = m.payload_len ? sl_bytes(m.payload, m.payload_len)
                                                      : sl_str(m.payload),
                             .clientid = sl_str(m.clientid ? m.clientid : "s1"),
                             .ts_ms = 1700000000000,
                             .explain = true };
    struct rule_output out = { 0 };
    struct sl_err why = { 0 };
    switch (rule_eval(plan, &in, &out, &why)) {
    case RULE_KEPT: sl_buf_put_slice(&text, out.payload); break;
    case RULE_SKIPPED: sl_buf_printf(&text, "skipped: %s", why.text); break;
    case RULE_FAILED: sl_buf_printf(&text, "failed: %s", why.text); break;
    }
    (void)sl_buf_cstr(&text);
    rule_output_release(&out);
    rule_input_release(&in);
    rule_plan_free(plan);
    return (char *)text.ptr;
}

static inline void check_rule(const char *sql, struct message m, const char *want)
{
    char *got = run_rule(sql, m);
    if (strcmp(got, want) != 0)
        fail_msg("%s\n  over %s\n  gave %s\n  want %s", sql, m.payload, got, want);
    free(got);
}

/* SELECT VALUE of an expression; Undefined comes out as "U". */
static inline void check_expr(const char *expr, struct message m, const char *want)
{
    char sql[4096];
    (void)snprintf(sql, sizeof sql, "SELECT VALUE (%s) FROM 'site/#'", expr);
    char *got = run_rule(sql, m);
    if (strcmp(got[0] ? got : "U", want) != 0)
        fail_msg("%s gave %s, want %s", expr, got[0] ? got : "U", want);
    free(got);
}

#endif
