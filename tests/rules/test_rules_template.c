/* Topic templates: what they render, what they refuse. */
#include "rule_check.h"

#include "rows.h"

static const char payload[] = "{\"room\":\"kitchen\",\"n\":4,\"d\":2.5,\"b\":true,\"nul\":null,"
                              "\"arr\":[1],\"pos\":{\"floor\":\"2\"},\"slash\":\"a/b\","
                              "\"plus\":\"a+\",\"dollar\":\"$SYS\",\"empty\":\"\",\"a-b\":1}";

static const struct render_case {
    const char *sql, *text, *want; /* want: the topic, or "error: ..." */
} cases[] = {
    { "SELECT * FROM '#'", "plain/topic", "plain/topic" },
    { "SELECT * FROM '#'", "t/${gateway}/${thing_name}", "t/barn-01/thing-7" },
    { "SELECT * FROM '#'", "${topic}", "site/7/air" },
    { "SELECT * FROM '#'", "${topic()}", "site/7/air" },
    { "SELECT * FROM '#'", "x/${topic(2)}/${topic(3)}", "x/7/air" },
    { "SELECT * FROM '#'", "x/${topic(4)}",
      "error: topic template: ${topic(4)}: the topic has fewer levels" },
    { "SELECT * FROM '#'", "means/${room}", "means/kitchen" },
    { "SELECT * FROM '#'", "${room}/${n}/${d}/${b}", "kitchen/4/2.5/true" },
    { "SELECT * FROM '#'", "${pos.floor}/x", "2/x" },
    { "SELECT * FROM '#'", "${a-b}", "1" },
    { "SELECT room AS r FROM '#'", "means/${r}", "means/kitchen" },
    { "SELECT room AS r FROM '#'", "means/${room}", "error: topic template: ${room} is undefined" },
    { "SELECT n AS a.b FROM '#'", "x/${a.b}", "x/4" },
    { "SELECT *, upper(room) AS room FROM '#'", "x/${room}/${n}", "x/KITCHEN/4" },
    { "SELECT VALUE room FROM '#'", "x/${room}", "error: topic template: ${room} is undefined" },
    { "SELECT * FROM '#'", "x/${nope}", "error: topic template: ${nope} is undefined" },
    { "SELECT * FROM '#'", "x/${pos.nope}", "error: topic template: ${pos.nope} is undefined" },
    { "SELECT * FROM '#'", "x/${room.x}", "error: topic template: ${room.x} is undefined" },
    { "SELECT * FROM '#'", "x/${nul}", "error: topic template: ${nul} is null" },
    { "SELECT * FROM '#'", "x/${arr}", "error: topic template: ${arr} is an array" },
    { "SELECT * FROM '#'", "x/${pos}", "error: topic template: ${pos} is an object" },
    { "SELECT * FROM '#'", "x/${slash}", "x/a/b" },
    { "SELECT * FROM '#'", "x/${plus}", "error: topic template: 'x/a+' is not a valid topic name" },
    { "SELECT * FROM '#'", "${empty}", "error: topic template: '' is not a valid topic name" },
    { "SELECT * FROM '#'", "${dollar}/x",
      "error: topic template: the field ${dollar} begins with '$'" },
    { "SELECT * FROM '#'", "x/${dollar}", "x/$SYS" },
    { "SELECT * FROM '#'", "$aws/rules/keep/${room}", "$aws/rules/keep/kitchen" },
    { "SELECT * FROM '#'", "cost $5/$", "cost $5/$" },
};

static void render(void **state)
{
    const struct render_case *c = *state;
    struct rule_plan *plan = NULL;
    struct rule_template *t = NULL;
    struct rule_error e;
    assert_int_equal(rule_compile(sl_str(c->sql), &plan, &e), SL_OK);
    assert_int_equal(rule_template_compile(sl_str(c->text), &t, &e), SL_OK);
    struct rule_input in = { .topic = sl_str("site/7/air"), .payload = sl_str(payload) };
    struct rule_output out = { 0 };
    struct rule_names names = { sl_str("barn-01"), sl_str("thing-7") };
    struct sl_buf topic = { 0 };
    struct sl_err err = { 0 };
    sl_buf_put_str(&topic, "before:");
    assert_int_equal(rule_eval(plan, &in, &out, NULL), RULE_KEPT);
    enum sl_code rc = rule_template_render(t, &names, &in, &out, &topic, &err);
    if (strncmp(c->want, "error: ", 7) == 0) {
        assert_int_equal(rc, SL_INVALID);
        assert_string_equal(err.text, c->want + 7);
        assert_string_equal(sl_buf_cstr(&topic), "before:");
    } else {
        assert_int_equal(rc, SL_OK);
        assert_string_equal(sl_buf_cstr(&topic) + 7, c->want);
    }
    sl_buf_free(&topic);
    rule_output_release(&out);
    rule_input_release(&in);
    rule_template_free(t);
    rule_plan_free(plan);
}

static const struct refuse_case {
    const char *text;
    unsigned column;
    const char *want;
} refusals[] = {
    { "", 1, "a topic template is 1 to 4096 bytes of UTF-8" },
    { "a/\xff", 1, "a topic template is 1 to 4096 bytes of UTF-8" },
    { "a/+/b", 3, "'+' cannot be in a topic that is published to" },
    { "a/#", 3, "'#' cannot be in a topic that is published to" },
    { "a/${room", 3, "expected '}' after this '${'" },
    { "a/${}", 5,
      "expected gateway, thing_name, topic, topic(N) or a field of the output, found ''" },
    { "a/${a..b}", 5,
      "expected gateway, thing_name, topic, topic(N) or a field of the output, found 'a..b'" },
    { "a/${a b}", 5,
      "expected gateway, thing_name, topic, topic(N) or a field of the output, found 'a b'" },
    { "a/${topic(0)}", 5,
      "expected gateway, thing_name, topic, topic(N) or a field of the output, found 'topic(0)'" },
    { "a/${topic(x)}", 5,
      "expected gateway, thing_name, topic, topic(N) or a field of the output, found 'topic(x)'" },
    { "a/${upper(b)}", 5,
      "expected gateway, thing_name, topic, topic(N) or a field of the output, found 'upper(b)'" },
};

static void refuse(void **state)
{
    const struct refuse_case *c = *state;
    struct rule_template *t = NULL;
    struct rule_error e;
    assert_int_equal(rule_template_compile(sl_str(c->text), &t, &e), SL_INVALID);
    assert_null(t);
    assert_string_equal(e.text, c->want);
    assert_int_equal(e.line, 1);
    assert_int_equal(e.column, c->column);
}

static void many_parts_are_refused(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    struct rule_template *t = NULL;
    struct rule_error e;
    for (int i = 0; i < 100; i++)
        sl_buf_put_str(&b, "${a}");
    assert_int_equal(rule_template_compile(sl_buf_slice(&b), &t, &e), SL_INVALID);
    assert_string_equal(e.text, "a topic template has at most 64 parts");
    sl_buf_free(&b);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + SL_ARRAY_LEN(refusals) + 1];
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        tests[n++] = (struct CMUnitTest){ .name = cases[i].text,
                                          .test_func = render,
                                          .initial_state = (void *)(uintptr_t)&cases[i] };
    n += ROWS_OF(tests + n, refusals, refuse);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(many_parts_are_refused);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
