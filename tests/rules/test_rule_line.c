/* The lines of `sluice rule test`: what is read out of them, what is refused, what is written. */
#include "rule_line.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "rows.h"
/* clang-format on */

static const struct line_case {
    const char *line, *topic, *payload, *clientid; /* topic NULL: refused, payload says why */
    int64_t ts_ms;                                 /* -1: none */
} cases[] = {
    { "{\"topic\":\"a\",\"payload\":1}", "a", "1", "", -1 },
    { "{\"topic\":\"a\",\"payload\":{\"x\": [1, {}] } ,\"ts\":5}", "a", "{\"x\": [1, {}] }", "",
      5 },
    { " { \"payload\" : \"say \\\"hi\\\"\" , \"topic\" : \"a/b\" } ", "a/b", "say \"hi\"", "", -1 },
    { "{\"ts\":-3,\"payload\":null,\"clientid\":\"c\",\"topic\":\"a\"}", "a", "null", "c", -3 },
    { "{\"topic\":\"a\",\"payload\":{\"payload\":2},\"x\":{\"payload\":3}}", "a", "{\"payload\":2}",
      "", -1 },
    { "{\"topic\":\"a\",\"x\":\"}\\\\\\\"\",\"payload\":\"\"}", "a", "", "", -1 },
    { "{\"topic\":\"a\",\"payload\":1,\"payload\":2}", "a", "2", "", -1 },
    { "{\"topic\":\"a\",\"payload\":12345678901234567890123}", "a", "12345678901234567890123", "",
      -1 },
    { "{\"topic\":\"a\",\"payload\":true,\"ts\":null,\"clientid\":null}", "a", "true", "", -1 },
    { "", NULL, "the line is not JSON", NULL, 0 },
    { "{\"topic\":\"a\",\"payload\":1", NULL, "the line is not JSON", NULL, 0 },
    { "{\"topic\":\"a\",\"payload\":1}}", NULL, "the line has text behind its JSON object", NULL,
      0 },
    { "[1]", NULL, "the line is not a JSON object", NULL, 0 },
    { "{\"payload\":1}", NULL, "topic is missing", NULL, 0 },
    { "{\"topic\":1,\"payload\":1}", NULL, "topic is not a valid topic name", NULL, 0 },
    { "{\"topic\":\"a/#\",\"payload\":1}", NULL, "topic is not a valid topic name", NULL, 0 },
    { "{\"topic\":\"\",\"payload\":1}", NULL, "topic is not a valid topic name", NULL, 0 },
    { "{\"topic\":\"a\"}", NULL, "payload is missing", NULL, 0 },
    { "{\"topic\":\"a\",\"payl\\u006fad\":1}", NULL, "payload is written with escapes in its name",
      NULL, 0 },
    { "{\"topic\":\"a\",\"payload\":1,\"ts\":\"5\"}", NULL,
      "ts is not a whole number of milliseconds", NULL, 0 },
    { "{\"topic\":\"a\",\"payload\":1,\"ts\":1.5}", NULL,
      "ts is not a whole number of milliseconds", NULL, 0 },
    { "{\"topic\":\"a\",\"payload\":1,\"ts\":1e99}", NULL,
      "ts is not a whole number of milliseconds", NULL, 0 },
    { "{\"topic\":\"a\",\"payload\":1,\"clientid\":1}", NULL, "clientid is not a string", NULL, 0 },
    { "{\"topic\":\"a\\u0000\",\"payload\":1}", NULL, "\\u0000 is not supported here", NULL, 0 },
    { "{\"topic\":\"\xff\",\"payload\":1}", NULL, "the line is not valid UTF-8", NULL, 0 },
};

static void line(void **state)
{
    const struct line_case *c = *state;
    struct rule_line l = { 0 };
    struct sl_err err = { 0 };
    enum sl_code rc = rule_line_parse(&l, sl_str(c->line), &err);
    if (c->topic) {
        assert_int_equal(rc, SL_OK);
        assert_true(sl_slice_eq(l.topic, sl_str(c->topic)));
        assert_true(sl_slice_eq(l.payload, sl_str(c->payload)));
        assert_true(sl_slice_eq(l.clientid, sl_str(c->clientid)));
        assert_int_equal(l.has_ts ? l.ts_ms : -1, c->ts_ms);
    } else {
        assert_int_equal(rc, SL_INVALID);
        assert_string_equal(err.text, c->payload);
    }
    rule_line_release(&l);
}

static void written(void **state)
{
    (void)state;
    struct sl_buf out = { 0 };
    rule_line_write(&out, sl_str("a/\"b"), sl_str("{\"x\":\n1}"), true, 7);
    rule_line_write(&out, sl_str("a"), sl_bytes("\xff\xfe\n", 3), false, -1);
    assert_string_equal(
        sl_buf_cstr(&out),
        "{\"topic\":\"a/\\\"b\",\"payload\":{\"x\": 1},\"ts\":7}\n"
        "{\"topic\":\"a\",\"payload\":\"\xEF\xBF\xBD\xEF\xBF\xBD\\u000a\",\"ts\":-1}\n");
    sl_buf_free(&out);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + 1];
    (void)ROWS_OF(tests, cases, line);
    tests[SL_ARRAY_LEN(cases)] = (struct CMUnitTest)cmocka_unit_test(written);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
