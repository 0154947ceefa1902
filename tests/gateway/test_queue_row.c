/* test_queue_row.c - a waiting message as one line of JSON, whatever its bytes are. */
#include "json_line.h"
#include "queue_row.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "rows.h"

#define BYTES(s)                                                                                   \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }

static const struct row_case {
    const char *name;
    struct sl_slice topic, payload;
    const char *reason, *want; /* what follows "ts" */
} cases[] = {
    { "an object stands as it is", BYTES("a/b"), BYTES("{\"t\": 21.50}"), NULL,
      "\"topic\":\"a/b\",\"payload\":{\"t\": 21.50}}" },
    { "so does a number", BYTES("a"), BYTES("21.5"), NULL, "\"topic\":\"a\",\"payload\":21.5}" },
    { "text is a string", BYTES("a"), BYTES("on \"now\""), NULL,
      "\"topic\":\"a\",\"payload\":\"on \\\"now\\\"\"}" },
    { "nothing is an empty string", BYTES("a"), BYTES(""), NULL,
      "\"topic\":\"a\",\"payload\":\"\"}" },
    { "JSON over two lines is a string", BYTES("a"), BYTES("[1,\n2]"), NULL,
      "\"topic\":\"a\",\"payload\":\"[1,\\u000a2]\"}" },
    { "JSON with more behind it is a string", BYTES("a"), BYTES("1 2"), NULL,
      "\"topic\":\"a\",\"payload\":\"1 2\"}" },
    { "two values are a string", BYTES("a"), BYTES("{},{\"x\":1"), NULL,
      "\"topic\":\"a\",\"payload\":\"{},{\\\"x\\\":1\"}" },
    { "bytes that are no text", BYTES("a"), BYTES("\xff\x00\x01"), NULL,
      "\"topic\":\"a\",\"payload\":\"\xef\xbf\xbd\\u0000\\u0001\"}" },
    { "JSON that is no UTF-8", BYTES("a"), BYTES("\"\xff\""), NULL,
      "\"topic\":\"a\",\"payload\":\"\\\"\xef\xbf\xbd\\\"\"}" },
    { "a dead letter tells why", BYTES("a\"b"), BYTES("1"), "too \"large\"",
      "\"topic\":\"a\\\"b\",\"reason\":\"too \\\"large\\\"\",\"payload\":1}" },
};

static void makes(void **state)
{
    const struct row_case *c = *state;
    const struct outbox_row row = { .lane = OUTBOX_ALERT,
                                    .number = UINT64_C(9007199254740993),
                                    .wall_ms = 1764000000123,
                                    .topic = c->topic,
                                    .payload = c->payload,
                                    .reason = c->reason };
    static const char head[] =
        "{\"lane\":\"alert\",\"number\":9007199254740993,\"ts\":1764000000123,";
    struct sl_buf out = { 0 };
    queue_row_json(&row, &out);
    assert_false(out.failed);
    assert_null(memchr(out.ptr, '\n', out.len));
    assert_int_equal(strncmp(sl_buf_cstr(&out), head, sizeof head - 1), 0);
    assert_string_equal(sl_buf_cstr(&out) + sizeof head - 1, c->want);
    cJSON *json = cJSON_ParseWithOpts(sl_buf_cstr(&out), NULL, 1);
    assert_non_null(json);
    cJSON_Delete(json);
    sl_buf_free(&out);
}

/* ---- everything, to be kept ---- */

static const struct full_case {
    const char *name;
    struct sl_slice props, payload;
    uint32_t expiry_s;
    const char *reason, *want; /* what follows the topic */
} full_cases[] = {
    { "JSON is text, to the byte", BYTES(""), BYTES("{\"t\": 21.50}"), SL_MSG_NO_EXPIRY, NULL,
      ",\"qos\":1,\"retain\":true,\"payload\":\"{\\\"t\\\": 21.50}\"}" },
    { "bytes are base64", BYTES(""), BYTES("\xff\x00\x01"), SL_MSG_NO_EXPIRY, NULL,
      ",\"qos\":1,\"retain\":true,\"payload_base64\":\"/wAB\"}" },
    { "nothing is nothing", BYTES(""), BYTES(""), SL_MSG_NO_EXPIRY, NULL,
      ",\"qos\":1,\"retain\":true,\"payload\":\"\"}" },
    { "an expiry", BYTES(""), BYTES("1"), 60, NULL,
      ",\"qos\":1,\"retain\":true,\"expiry_s\":60,\"payload\":\"1\"}" },
    { "a dead letter has neither", BYTES(""), BYTES("1"), SL_MSG_NO_EXPIRY, "refused",
      ",\"reason\":\"refused\",\"payload\":\"1\"}" },
    { "properties", BYTES("\x01\x01\x03\x00\x03t/x\x08\x00\x01r\x09\x00\x02\xff\x00"), BYTES("1"),
      SL_MSG_NO_EXPIRY, NULL,
      ",\"qos\":1,\"retain\":true,\"payload_format\":1,\"content_type\":\"t/"
      "x\",\"response_topic\":\"r\","
      "\"correlation_data_base64\":\"/wA=\",\"payload\":\"1\"}" },
    { "user properties in their order, repeats too",
      BYTES("\x26\x00\x01"
            "b\x00\x01"
            "1\x26\x00\x01"
            "a\x00\x01"
            "2\x26\x00\x01"
            "b\x00\x00"),
      BYTES("1"), SL_MSG_NO_EXPIRY, NULL,
      ",\"qos\":1,\"retain\":true,\"user_properties\":[[\"b\",\"1\"],[\"a\",\"2\"],[\"b\",\"\"]],"
      "\"payload\":\"1\"}" },
    { "properties cut short end there", BYTES("\x01\x01\x03\x00\x09t"), BYTES("1"),
      SL_MSG_NO_EXPIRY, NULL,
      ",\"qos\":1,\"retain\":true,\"payload_format\":1,\"payload\":\"1\"}" },
};

static void makes_full(void **state)
{
    const struct full_case *c = *state;
    const struct outbox_row row = { .lane = OUTBOX_ALERT,
                                    .number = 7,
                                    .wall_ms = 8,
                                    .topic = sl_str("a"),
                                    .props = c->props,
                                    .payload = c->payload,
                                    .expiry_s = c->expiry_s,
                                    .qos = 1,
                                    .retain = true,
                                    .reason = c->reason };
    static const char head[] = "{\"lane\":\"alert\",\"number\":7,\"ts\":8,\"topic\":\"a\"";
    struct sl_buf out = { 0 };
    queue_row_full(&row, &out);
    assert_false(out.failed);
    assert_int_equal(strncmp(sl_buf_cstr(&out), head, sizeof head - 1), 0);
    assert_string_equal(sl_buf_cstr(&out) + sizeof head - 1, c->want);
    cJSON *json = cJSON_ParseWithOpts(sl_buf_cstr(&out), NULL, 1);
    assert_non_null(json);
    cJSON_Delete(json);
    sl_buf_free(&out);
}

static const struct json_case {
    const char *text;
    bool valid;
} json_cases[] = {
    { "0", true },
    { "-0.5e+10", true },
    { " [ ] ", true },
    { "{\"a\":{\"b\":[1,2,{}]},\"a\":null}", true },
    { "\"\\u00e9\\n\\\\\\\"\"", true },
    { "\t[true,false,null]", true },
    { "", false },
    { " ", false },
    { "01", false },
    { "1.", false },
    { ".5", false },
    { "+1", false },
    { "1e", false },
    { "--1", false },
    { "NaN", false },
    { "tru", false },
    { "truefalse", false },
    { "[1,]", false },
    { "[,1]", false },
    { "[1 2]", false },
    { "{\"a\"}", false },
    { "{\"a\":}", false },
    { "{\"a\":1,}", false },
    { "{a:1}", false },
    { "{\"a\":1]", false },
    { "[1", false },
    { "\"open", false },
    { "\"\\\"", false },
    { "\"\\x41\"", false },
    { "\"\\u12g4\"", false },
    { "\"\\u12", false },
    { "\"a\tb\"", false },
    { "1\n", false },
    { "[1,\n2]", false },
    { "{},{}", false },
    { "1//", false },
    { "'a'", false },
};

static void strict_json(void **state)
{
    const struct json_case *c = *state;
    if (json_line_valid(sl_str(c->text)) != c->valid)
        fail_msg("%s is %s", c->text, c->valid ? "JSON" : "none");
}

static void json_has_a_depth(void **state)
{
    (void)state;
    char text[2 * JSON_LINE_DEPTH_MAX + 3];
    for (size_t depth = JSON_LINE_DEPTH_MAX; depth <= JSON_LINE_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(json_line_valid(sl_bytes(text, 2 * depth)), depth == JSON_LINE_DEPTH_MAX);
    }
    assert_false(json_line_valid(sl_bytes("\"a\0b\"", 5)));
    assert_false(json_line_valid(sl_bytes("1\0", 2)));
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + SL_ARRAY_LEN(full_cases) +
                            SL_ARRAY_LEN(json_cases) + 1] = { cmocka_unit_test(json_has_a_depth) };
    size_t n = 1;
    for (size_t i = 0; i < SL_ARRAY_LEN(json_cases); i++)
        tests[n++] = (struct CMUnitTest){ .name = "strict JSON",
                                          .test_func = strict_json,
                                          .initial_state = (void *)&json_cases[i] };
    n += ROWS_OF(tests + n, cases, makes);
    n += ROWS_OF(tests + n, full_cases, makes_full);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
