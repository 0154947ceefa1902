/* test_text.c - durations, sizes and numbers as text, JSON strings, edit distance; errors' texts.
 */
#include "base/err.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { REFUSED = -1 };

static const struct number_case {
    const char *text;
    int64_t want;
} durations[] = {
    { "0ms", 0 },
    { "250ms", 250 },
    { "5s", 5000 },
    { "10m", 600000 },
    { "12h", 43200000 },
    { "30d", 2592000000 },
    { "1.5h", 5400000 },
    { "0.5s", 500 },
    { "0.0004s", 0 },
    { "36525d", 3155760000000 },
    { "36525.1d", REFUSED }, /* above a century */
    { "99999999999999999999999999d", REFUSED },
    { "", REFUSED },
    { "5", REFUSED },
    { "s", REFUSED },
    { "ms", REFUSED },
    { "5 s", REFUSED },
    { " 5s", REFUSED },
    { "5s ", REFUSED },
    { "-5s", REFUSED },
    { "+5s", REFUSED },
    { ".5s", REFUSED },
    { "1..5s", REFUSED },
    { "1.2.3s", REFUSED },
    { "1e3s", REFUSED },
    { "0x10s", REFUSED },
    { "infs", REFUSED },
    { "nans", REFUSED },
    { "5S", REFUSED },
    { "5M", REFUSED },
    { "5sec", REFUSED },
    { "5s5s", REFUSED },
    { "00000000000000000000000000000000000000000005s", REFUSED }, /* longer than any sense */
}, sizes[] = {
    { "0", 0 },
    { "512", 512 },
    { "512B", 512 },
    { "64KiB", 65536 },
    { "4MB", 4000000 },
    { "4kB", 4000 },
    { "4KB", 4000 },
    { "1.5MiB", 1572864 },
    { "1GiB", 1073741824 },
    { "2GB", 2000000000 },
    { "1TiB", 1099511627776 },
    { "1TB", 1000000000000 },
    { "1024TiB", INT64_C(1) << 50 },
    { "1125899906842624", INT64_C(1) << 50 },
    { "1125899906842625", REFUSED },
    { "1025TiB", REFUSED },
    { "", REFUSED },
    { "KiB", REFUSED },
    { "-1", REFUSED },
    { "1 KiB", REFUSED },
    { "1kib", REFUSED },
    { "1K", REFUSED },
    { "1PiB", REFUSED },
    { "1e6", REFUSED },
};

static void duration(void **state)
{
    const struct number_case *c = *state;
    int64_t ms = -77;
    assert_int_equal(sl_duration_parse(sl_str(c->text), &ms), c->want != REFUSED);
    assert_true(ms == (c->want == REFUSED ? -77 : c->want));
}

static void size(void **state)
{
    const struct number_case *c = *state;
    uint64_t bytes = 77;
    assert_int_equal(sl_size_parse(sl_str(c->text), &bytes), c->want != REFUSED);
    assert_true(bytes == (c->want == REFUSED ? 77 : (uint64_t)c->want));
}

static void whole_numbers(void **state)
{
    (void)state;
    uint64_t v = 77;
    assert_true(sl_u64_parse(sl_str("0"), &v) && v == 0);
    assert_true(sl_u64_parse(sl_str("007"), &v) && v == 7);
    assert_true(sl_u64_parse(sl_str("18446744073709551615"), &v) && v == UINT64_MAX);
    static const char *const bad[] = {
        "", "18446744073709551616", "99999999999999999999", "-1", "+1", "1 ", "0x1", "1.0"
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
        assert_false(sl_u64_parse(sl_str(bad[i]), &v));
    assert_false(sl_u64_parse(sl_bytes("1\0", 2), &v));
    assert_true(v == UINT64_MAX);
}

#define BYTES(text)                                                                                \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct json_case {
    const char *name;
    struct sl_slice text;
    const char *want;
} json_cases[] = {
    { "JSON: nothing", BYTES(""), "\"\"" },
    { "JSON: plain", BYTES("a b/c'd"), "\"a b/c'd\"" },
    { "JSON: quote", BYTES("\"\\"), "\"\\\"\\\\\"" },
    { "JSON: control characters", BYTES("\n\t\x1b\x7f"), "\"\\u000a\\u0009\\u001b\\u007f\"" },
    { "JSON: NUL", BYTES("a\0b"), "\"a\\u0000b\"" },
    { "JSON: UTF-8", BYTES("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
      "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
    { "JSON: not UTF-8",
      BYTES("a\xff"
            "b"),
      "\"a\xef\xbf\xbd"
      "b\"" },
    { "JSON: half a character", BYTES("a\xe2\x82"), "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "JSON: half before a whole one", BYTES("\xe2\xc3\xa9"), "\"\xef\xbf\xbd\xc3\xa9\"" },
    { "JSON: surrogate", BYTES("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
};

static void json(void **state)
{
    const struct json_case *c = *state;
    struct sl_buf b = { 0 };
    sl_buf_put_json(&b, c->text);
    assert_string_equal(sl_buf_cstr(&b), c->want);
    sl_buf_free(&b);
}

static void distances(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned want;
    } pairs[] = {
        { "", "", 0 },         { "", "abc", 3 },           { "abc", "", 3 },
        { "port", "port", 0 }, { "prot", "port", 2 },      { "listner", "listener", 1 },
        { "max", "mux", 1 },   { "kitten", "sitting", 3 },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(pairs); i++)
        assert_int_equal(sl_edit_distance(sl_str(pairs[i].a), sl_str(pairs[i].b)), pairs[i].want);
    char longer[100];
    memset(longer, 'x', sizeof longer);
    assert_int_equal(sl_edit_distance(sl_bytes(longer, 100), sl_str("")), 31); /* no further */
}

static void errors(void **state)
{
    (void)state;
    struct sl_err err = { 0 };
    assert_int_equal(sl_fail(&err, SL_LIMIT, "queue of %d", 5), SL_LIMIT);
    assert_string_equal(err.text, "queue of 5");
    assert_int_equal(sl_wrap(&err, "lane %s", "alert"), SL_LIMIT);
    assert_string_equal(err.text, "lane alert: queue of 5");
    assert_int_equal(sl_fail(&err, SL_IO, "again: %s", err.text), SL_IO); /* its own text */
    assert_string_equal(err.text, "again: lane alert: queue of 5");
    assert_int_equal(sl_fail(NULL, SL_BUSY, "nobody listens"), SL_BUSY);
    (void)sl_wrap(NULL, "nobody"); /* must not crash; there is no code to give */
    for (int i = 0; i < 200; i++)
        assert_int_equal(sl_wrap(&err, "and then %d", i), SL_IO);
    assert_int_equal(strlen(err.text), sizeof err.text - 1); /* cut, terminated */
    for (int i = SL_OK; i <= SL_UNSUPPORTED; i++)
        assert_string_not_equal(sl_code_name((enum sl_code)i), "unknown");
}

static size_t add(struct CMUnitTest *tests, size_t n, const struct number_case *cases, size_t count,
                  CMUnitTestFunction fn)
{
    for (size_t i = 0; i < count; i++)
        tests[n++] = (struct CMUnitTest){ cases[i].text[0] ? cases[i].text : "(nothing)", fn, NULL,
                                          NULL, (void *)&cases[i] };
    return n;
}

int main(void)
{
    const struct CMUnitTest single[] = {
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(distances),
        cmocka_unit_test(errors),
    };
    static struct CMUnitTest tests[SL_ARRAY_LEN(durations) + SL_ARRAY_LEN(sizes) +
                                   SL_ARRAY_LEN(json_cases) + SL_ARRAY_LEN(single)];
    size_t n = add(tests, 0, durations, SL_ARRAY_LEN(durations), duration);
    n = add(tests, n, sizes, SL_ARRAY_LEN(sizes), size);
    for (size_t i = 0; i < SL_ARRAY_LEN(json_cases); i++)
        tests[n++] =
            (struct CMUnitTest){ json_cases[i].name, json, NULL, NULL, (void *)&json_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(single); i++)
        tests[n++] = single[i];
    return _cmocka_run_group_tests("text", tests, n, NULL, NULL);
}
