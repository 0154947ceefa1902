/* Any bytes as SQL text; what compiles is run over two messages, twice, and must agree with itself.
 */
#include "rules/rules.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const payloads[] = {
    "{\"a\":1,\"b\":\"x\",\"c\":[1,2.5,null,{\"d\":true}],\"t\":21.5,\"o\":{\"a\":{\"b\":\"7\"}}}",
    "not JSON",
};

static void run(const struct rule_plan *plan, const char *payload)
{
    struct rule_output out[2];
    memset(out, 0, sizeof out);
    struct rule_input in = { .topic = sl_str("site/7/air"),
                             .payload = sl_str(payload),
                             .clientid = sl_str("c"),
                             .ts_ms = 1700000000000,
                             .explain = true };
    struct sl_err why;
    enum rule_verdict first = rule_eval(plan, &in, &out[0], &why);
    enum rule_verdict second = rule_eval(plan, &in, &out[1], NULL);
    assert(first == second);
    assert(first != RULE_KEPT || sl_slice_eq(out[0].payload, out[1].payload));
    rule_output_release(&out[0]);
    rule_output_release(&out[1]);
    rule_input_release(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rule_plan *plan = NULL;
    struct rule_template *t = NULL;
    struct rule_error error;
    if (rule_compile(sl_bytes(data, size), &plan, &error) == SL_OK) {
        for (size_t i = 0; i < SL_ARRAY_LEN(payloads); i++)
            run(plan, payloads[i]);
    } else {
        assert(error.line > 0 && error.column > 0 && error.text[0] != '\0');
    }
    rule_plan_free(plan);
    if (rule_template_compile(sl_bytes(data, size), &t, &error) != SL_OK)
        assert(error.line > 0 && error.column > 0 && error.text[0] != '\0');
    rule_template_free(t);
    return 0;
}
