/* Any bytes as a payload, through rules that touch every part of the evaluator. JSON that comes out
 * must be JSON that goes in again and gives the same. */
#include "rules/rules.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const statements[] = {
    "SELECT * FROM 't'",
    "SELECT *, a + 1 AS b.c, topic() AS b.d FROM 't'",
    "SELECT * AS m, a.b.c, get(a, 0), get(a, 'b'), a[b] AS x FROM 't'",
    "SELECT a + b AS p, a - b AS q, a * b AS r, a / b AS s, a % b AS t, -a AS u FROM 't'",
    "SELECT a = b AS p, a <> b AS q, a < b AS r, a IN b AS s, NOT a AS t FROM 't' "
    "WHERE isUndefined(c) OR c",
    "SELECT concat(a, b, '-') AS p, substring(a, b) AS q, indexof(a, b) AS r, upper(a) AS s, "
    "replace(a, b, 'xyz') AS t, trim(a) AS u, lpad(a, b) AS v, length(a) AS w FROM 't'",
    "SELECT cast(a AS Int) AS p, cast(a AS String) AS q, trunc(a, b) AS r, round(a) AS s, "
    "power(a, b) AS t, bitand(a, b) AS u, cast(a AS Bool) AS v FROM 't'",
    "SET @x = a.b SELECT CASE a WHEN b THEN @x WHEN 1 THEN [a, b] ELSE {'a': a, 'b': b} END AS c "
    "FROM 't' WHERE a <> 'skip' AND b <> 1",
};

/* Reads json and appends it as it is written again; the buffer then holds {"m":JSON}. */
static void write_again(const struct rule_plan *whole, struct sl_slice json, struct sl_buf *ret)
{
    struct rule_output out = { 0 };
    struct rule_input in = { .topic = sl_str("t"), .payload = json };
    if (rule_eval(whole, &in, &out, NULL) != RULE_KEPT)
        abort(); /* what the engine wrote was not JSON */
    sl_buf_put_slice(ret, out.payload);
    rule_output_release(&out);
    rule_input_release(&in);
}

/* What the engine writes it reads, and then writes the same. */
static void check_again(const struct rule_plan *whole, struct sl_slice json)
{
    struct sl_buf first = { 0 }, second = { 0 };
    write_again(whole, json, &first);
    write_again(whole, sl_bytes(first.ptr + 5, first.len - 6), &second);
    assert(sl_slice_eq(sl_buf_slice(&first), sl_buf_slice(&second)));
    sl_buf_free(&first);
    sl_buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rule_plan *plans[SL_ARRAY_LEN(statements)] = { 0 }, *whole = NULL;
    struct rule_template *template = NULL;
    struct rule_names names = { sl_str("g"), sl_str("n") };
    struct rule_output out = { 0 };
    struct rule_input in = { .topic = sl_str("t"),
                             .payload = sl_bytes(data, size),
                             .explain = true };
    struct sl_err why;
    struct sl_buf topic = { 0 };
    if (rule_compile(sl_str("SELECT * AS m FROM 't'"), &whole, NULL) != SL_OK ||
        rule_template_compile(sl_str("x/${a}/${b.c}"), &template, NULL) != SL_OK)
        abort();
    for (size_t i = 0; i < SL_ARRAY_LEN(statements); i++) {
        if (rule_compile(sl_str(statements[i]), &plans[i], NULL) != SL_OK)
            abort();
        sl_buf_reset(&topic);
        if (rule_eval(plans[i], &in, &out, &why) == RULE_KEPT) {
            if (i > 0 && out.payload.len < 100000)
                check_again(whole, out.payload);
            if (rule_template_render(template, &names, &in, &out, &topic, &why) != SL_OK)
                assert(topic.len == 0 && why.text[0] != '\0');
        }
        rule_plan_free(plans[i]);
    }
    sl_buf_free(&topic);
    rule_template_free(template);
    rule_plan_free(whole);
    rule_output_release(&out);
    rule_input_release(&in);
    return 0;
}
