/* Whole statements: what SELECT makes, what WHERE keeps, and payloads of every kind. */
#include "rule_check.h"

#include "rows.h"

#define P1                                                                                         \
    "{\"id\":\"s1\",\"t\":21.5,\"h\":40,\"ok\":true,\"tags\":[\"a\",\"b\"],"                       \
    "\"pos\":{\"lat\":1.5,\"lon\":2.5},\"n\":null,\"txt\":\"7\"}"
#define FROM " FROM 'site/+/+/data'"

static const struct statement_case {
    const char *sql, *payload, *want;
} cases[] = {
    /* the reference's whole-statement table, as far as this version goes */
    { "SELECT *" FROM, P1, P1 },
    { "SELECT id, t" FROM, P1, "{\"id\":\"s1\",\"t\":21.5}" },
    { "SELECT t AS temp.value, 'C' AS temp.unit" FROM, P1,
      "{\"temp\":{\"value\":21.5,\"unit\":\"C\"}}" },
    { "SELECT pos.lat AS lat" FROM, P1, "{\"lat\":1.5}" },
    { "SELECT get(tags,1) AS tag" FROM, P1, "{\"tag\":\"b\"}" },
    { "SELECT VALUE tags" FROM, P1, "[\"a\",\"b\"]" },
    { "SELECT VALUE t" FROM, P1, "21.5" },
    { "SELECT VALUE id" FROM, P1, "\"s1\"" },
    { "SELECT VALUE nope" FROM, P1, "" },
    { "SELECT nope AS x" FROM, P1, "{}" },
    { "SELECT n AS x" FROM, P1, "{\"x\":null}" },
    { "SELECT t * 1.8 + 32 AS f" FROM, P1, "{\"f\":70.7}" },
    { "SELECT h / 3 AS q" FROM, P1, "{\"q\":13}" },
    { "SELECT txt + 1 AS a, txt - 1 AS b" FROM, P1, "{\"a\":\"71\",\"b\":6}" },
    { "SELECT *" FROM " WHERE t > 20", P1, P1 },
    { "SELECT *" FROM " WHERE t > \"20\"", P1, P1 },
    { "SELECT *" FROM " WHERE t > 30", P1, "skipped: WHERE: t > 30 is false (t is 21.5)" },
    { "SELECT *" FROM " WHERE nope > 1", P1, "skipped: WHERE: nope is undefined" },
    { "SELECT *" FROM " WHERE nope <> 1", P1, "skipped: WHERE: nope is undefined" },
    { "SELECT *" FROM " WHERE NOT (nope = 1)", P1, "skipped: WHERE: nope is undefined" },
    { "SELECT *" FROM " WHERE isUndefined(nope)", P1, P1 },
    { "SELECT *" FROM " WHERE isNull(n)", P1, P1 },
    { "SELECT *" FROM " WHERE ok", P1, P1 },
    { "SELECT *" FROM " WHERE ok = \"true\"", P1,
      "skipped: WHERE: ok = \"true\" is false (ok is true)" },
    { "SELECT *" FROM " WHERE t > 20 AND h < 50 OR id = 'zz'", P1, P1 },
    { "SELECT *" FROM " WHERE id IN ['s1','s2']", P1, P1 },
    { "SELECT *" FROM " WHERE 'a' IN tags", P1, P1 },
    { "SELECT t AS temp" FROM " WHERE temp > 20", P1, "skipped: WHERE: temp is undefined" },
    { "SELECT CASE id WHEN 's1' THEN 'north' ELSE 'x' END AS site" FROM, P1,
      "{\"site\":\"north\"}" },
    { "SELECT CASE nope WHEN 's1' THEN 1 ELSE 2 END AS c" FROM, P1, "{}" },
    { "SELECT topic(2) AS site, topic(3) AS dev" FROM, P1, "{\"site\":\"7\",\"dev\":\"s1\"}" },
    { "SELECT clientid() AS c" FROM, P1, "{\"c\":\"s1\"}" },
    { "SELECT {'id': id, 'p': [pos.lat, pos.lon]} AS o" FROM, P1,
      "{\"o\":{\"id\":\"s1\",\"p\":[1.5,2.5]}}" },
    { "SELECT get_or_default(nope, 0) AS d" FROM, P1, "{\"d\":0}" },
    { "SELECT get_or_default(n, 'none') AS d" FROM, P1, "{\"d\":\"none\"}" },
    { "SELECT upper(id) AS u, length(tags) AS l" FROM, P1, "{\"u\":\"S1\",\"l\":9}" },
    { "SELECT cast(t AS Int) AS i, round(t) AS r, cast(ok AS Int) AS b" FROM, P1,
      "{\"i\":21,\"r\":22,\"b\":1}" },
    { "SELECT concat(id, '-', h) AS k" FROM, P1, "{\"k\":\"s1-40\"}" },
    { "SELECT * AS msg, timestamp() AS ts" FROM, P1, "{\"msg\":" P1 ",\"ts\":1700000000000}" },
    { "SET @f = t * 1.8 + 32 SELECT @f AS f" FROM " WHERE @f > 70", P1, "{\"f\":70.7}" },
    { "SET @p = pos SELECT @p.lon AS lon" FROM, P1, "{\"lon\":2.5}" },
    { "SET @a = h, @b = @a * 2, @c = @a + @b SELECT @c AS c" FROM, P1, "{\"c\":120}" },
    { "SELECT t AS a, a + 1 AS b" FROM, P1, "{\"a\":21.5}" },
    { "select ID" FROM, P1, "{}" },
    { "SELECT bitand(h, 8) AS m" FROM, P1, "{\"m\":8}" },

    /* keys without AS, aliases that meet, * with more */
    { "SELECT pos.lat" FROM, P1, "{\"lat\":1.5}" },
    { "SELECT topic(2)" FROM, P1, "{\"topic\":\"7\"}" },
    { "SELECT cast(t AS Int)" FROM, P1, "{\"cast\":21}" },
    { "SELECT get(pos, 'lat'), pos['lon']" FROM, P1, "{\"get\":2.5}" },
    { "SELECT t AS x, h AS x" FROM, P1, "{\"x\":40}" },
    { "SELECT t AS x, nope AS x" FROM, P1, "{\"x\":21.5}" },
    { "SELECT 1 AS a, 2 AS a.b, 3 AS a.c.d" FROM, P1, "{\"a\":{\"b\":2,\"c\":{\"d\":3}}}" },
    { "SELECT {'x': 1} AS a, 2 AS a.b" FROM, P1, "{\"a\":{\"b\":2}}" },
    { "SELECT t AS `odd key`.select" FROM, P1, "{\"odd key\":{\"select\":21.5}}" },
    { "SELECT *, 15 AS s" FROM, "{\"c\":\"red\",\"t\":50}", "{\"c\":\"red\",\"t\":50,\"s\":15}" },
    { "SELECT *, 2 AS a" FROM, "{\"a\":1,\"b\":3}", "{\"b\":3,\"a\":2}" },
    { "SELECT 2 AS a, *" FROM, "{\"a\":1}", "{\"a\":1}" },
    { "SELECT *, 1 AS a.b" FROM, "{\"a\":5}", "{\"a\":{\"b\":1}}" },
    { "SELECT *, nope AS a" FROM, "{\"a\":5}", "{\"a\":5}" },
    { "SELECT *, a.b AS c" FROM, "{\"a\":{\"b\":[1,{\"x\":null}]}}",
      "{\"a\":{\"b\":[1,{\"x\":null}]},\"c\":[1,{\"x\":null}]}" },
    { "SELECT value" FROM, "{\"value\":1}", "{\"value\":1}" },
    { "SELECT value, x" FROM, "{\"value\":1,\"x\":2}", "{\"value\":1,\"x\":2}" },
    { "SELECT value * 2 AS v" FROM, "{\"value\":1}", "{\"v\":2}" },
    { "SELECT value AS v" FROM " WHERE value > 0", "{\"value\":1}", "{\"v\":1}" },
    { "SELECT VALUE value" FROM, "{\"value\":1}", "1" },
    { "SELECT VALUE -value" FROM, "{\"value\":1}", "-1" },
    { "SELECT VALUE {'v': value}" FROM, "{\"value\":1}", "{\"v\":1}" },

    /* WHERE: only true acts */
    { "SELECT 1 AS x" FROM " WHERE true", "{}", "{\"x\":1}" },
    { "SELECT 1 AS x" FROM " WHERE 'TRUE'", "{}", "{\"x\":1}" },
    { "SELECT 1 AS x" FROM " WHERE 1", "{}", "skipped: WHERE: 1 is 1, not true" },
    { "SELECT 1 AS x" FROM " WHERE a", "{\"a\":\"yes\"}",
      "skipped: WHERE: a is \"yes\", not true" },
    { "SELECT 1 AS x" FROM " WHERE null", "{}", "skipped: WHERE: null is null, not true" },
    { "SELECT 1 AS x" FROM " WHERE a = 1 OR b = 2", "{\"a\":1}", "skipped: WHERE: b is undefined" },
    { "SELECT 1 AS x" FROM " WHERE (a > 1) AND (b + c) * 2 > 100", "{\"a\":2,\"b\":3,\"c\":4}",
      "skipped: WHERE: (b + c) * 2 > 100 is false (b is 3, c is 4)" },
    { "SELECT 1 AS x" FROM " WHERE floor(a)", "{\"a\":[]}",
      "skipped: WHERE: floor(a) is undefined (a is [])" },

    /* payloads that are not objects, or not JSON */
    { "SELECT *" FROM, "not JSON", "not JSON" },
    { "SELECT *" FROM, "", "" },
    { "SELECT *" FROM, " [1, 2] ", " [1, 2] " },
    { "SELECT *" FROM, "{\"big\":9007199254740993}", "{\"big\":9007199254740993}" },
    { "SELECT *" FROM " WHERE a > 1", "not JSON",
      "skipped: WHERE: a is undefined: the payload is not JSON" },
    { "SELECT *" FROM " WHERE topic(2) = '7'", "not JSON", "not JSON" },
    { "SELECT *, timestamp() AS ts" FROM, "", "{\"ts\":1700000000000}" },
    { "SELECT *, 1 AS x" FROM, "not JSON", "failed: SELECT *: the payload is not a JSON object" },
    { "SELECT *, 1 AS x" FROM, "[1]", "failed: SELECT *: the payload is not a JSON object" },
    { "SELECT * AS m" FROM, "nope", "failed: SELECT * AS: the payload is not JSON" },
    { "SELECT * AS m" FROM, "[1]", "{\"m\":[1]}" },
    { "SELECT a, topic(2) AS t" FROM, "not JSON", "{\"t\":\"7\"}" },
    { "SELECT a" FROM, "[{\"a\":1}]", "{}" },
    { "SELECT a" FROM, "12", "{}" },

    /* hostile payloads */
    { "SELECT a" FROM, "{\"a\":1,\"a\":2}", "{\"a\":2}" },
    { "SELECT *, 1 AS x" FROM, "{\"a\":{\"b\":1,\"b\":2},\"a\":{\"c\":3,\"c\":4}}",
      "{\"a\":{\"c\":4},\"x\":1}" },
    { "SELECT a" FROM, "{\"a\":1} x", "{}" },
    { "SELECT a" FROM, "{\"a\":1}{\"a\":2}", "{}" },
    { "SELECT a" FROM, "{\"a\":1} \r\n\t", "{\"a\":1}" },
    { "SELECT a" FROM, "{\"a\":1e999}", "{}" },
    { "SELECT a" FROM, "{\"a\":1,\"b\":[-1e999]}", "{}" },
    { "SELECT a" FROM, "{\"a\":-0.0}", "{\"a\":0}" },
    { "SELECT a" FROM, "{\"a\":1e308}", "{\"a\":1e+308}" },
    { "SELECT a" FROM, "{\"a\":123456789012}", "{\"a\":123456789012}" },
    { "SELECT a" FROM, "{\"a\":9007199254740992}", "{\"a\":9007199254740992}" },
    { "SELECT a" FROM, "{\"a\":9007199254740993}", "{\"a\":9007199254740993}" },
    { "SELECT *, a = 9007199254740993 AS b" FROM,
      "{\"s\":\"1 \\\" 2 \\\\\",\"x\":[-1.5e3,{\"7\":8}],\"a\":9007199254740993}",
      "{\"s\":\"1 \\\" 2 \\\\\",\"x\":[-1500,{\"7\":8}],\"a\":9007199254740993,\"b\":true}" },
    { "SELECT *, 1 AS b" FROM, "{\"a\":1,\"ns\":-1700000000123456789,\"a\":2}",
      "{\"ns\":-1700000000123456789,\"a\":2,\"b\":1}" },
    { "SELECT a + 1 AS a" FROM, "{\"a\":9223372036854775806}", "{\"a\":9223372036854775807}" },
    { "SELECT a" FROM, "{\"a\":18446744073709551615}", "{\"a\":18446744073709552000}" },
    { "SELECT a" FROM, "{\"a\":1.7000000001234567e18}", "{\"a\":1700000000123456800}" },
    { "SELECT a" FROM, "{\"a\":1e300}", "{\"a\":1e+300}" },
    { "SELECT a" FROM, "{\"a\":23.700000000000003}", "{\"a\":23.700000000000003}" },
    { "SELECT a" FROM, "{\"a\":\"\\u0000\"}", "{}" },
    { "SELECT a" FROM, "{\"a\":\"\\\\u0000\"}", "{\"a\":\"\\\\u0000\"}" },
    { "SELECT a" FROM, "{\"a\":\"\xff\"}", "{}" },
    { "SELECT a" FROM, "{\"a\":\"\\ud800\"}", "{}" },
    { "SELECT a" FROM, "{\"a\":\"\\b\\f\\n\\r\\t\\u000b\\u007f\"}",
      "{\"a\":\"\\b\\f\\n\\r\\t\\u000b\x7f\"}" },
    { "SELECT a" FROM, "{\"a\":", "{}" },
};

static void statement(void **state)
{
    const struct statement_case *c = *state;
    check_rule(c->sql, (struct message){ .payload = c->payload }, c->want);
}

/* ---- sizes ---- */

static char *repeat(const char *before, const char *unit, size_t n, const char *after)
{
    struct sl_buf b = { 0 };
    sl_buf_put_str(&b, before);
    for (size_t i = 0; i < n; i++)
        sl_buf_put_str(&b, unit);
    sl_buf_put_str(&b, after);
    (void)sl_buf_cstr(&b);
    assert_false(b.failed);
    return (char *)b.ptr;
}

static void nested_payload_up_to_the_limit(void **state)
{
    (void)state;
    char *bomb = repeat("{\"x\":1,\"a\":", "[", 100000, "");
    check_rule("SELECT x" FROM, (struct message){ .payload = bomb }, "{}");
    check_rule("SELECT *" FROM, (struct message){ .payload = bomb }, bomb);
    free(bomb);
    struct sl_buf deep = { 0 };
    for (size_t i = 0; i < 900; i++)
        sl_buf_put_u8(&deep, '[');
    for (size_t i = 0; i < 900; i++)
        sl_buf_put_u8(&deep, ']');
    const char *text = sl_buf_cstr(&deep);
    char *want = repeat("{\"m\":", "", 0, text);
    char *whole = repeat(want, "", 0, "}");
    check_rule("SELECT * AS m" FROM, (struct message){ .payload = text }, whole);
    free(want);
    free(whole);
    sl_buf_free(&deep);
}

static void json_up_to_a_mebibyte(void **state)
{
    (void)state;
    const size_t around = strlen("{\"a\":1,\"b\":\"\"}");
    char *most = repeat("{\"a\":1,\"b\":\"", "x", 1024 * 1024 - around, "\"}");
    char *more = repeat("{\"a\":1,\"b\":\"", "x", 1024 * 1024 - around + 1, "\"}");
    check_rule("SELECT a" FROM, (struct message){ .payload = most }, "{\"a\":1}");
    check_rule("SELECT a" FROM, (struct message){ .payload = more }, "{}");
    free(most);
    free(more);
}

static void many_members_with_repeats(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    sl_buf_put_str(&b, "{\"last\":0");
    for (int i = 0; i < 30000; i++)
        sl_buf_printf(&b, ",\"k%d\":%d", i % 100, i);
    sl_buf_put_str(&b, ",\"last\":1}");
    struct message m = { .payload = sl_buf_cstr(&b) };
    check_rule("SELECT last, k0, k99" FROM, m, "{\"last\":1,\"k0\":29900,\"k99\":29999}");
    sl_buf_free(&b);
}

/* Members in opposite order make every comparison look through all of them. */
static void comparing_large_objects_is_bounded(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    sl_buf_put_str(&b, "{\"a\":{\"z\":0");
    for (int i = 0; i < 5000; i++)
        sl_buf_printf(&b, ",\"k%d\":1", i);
    sl_buf_put_str(&b, "},\"b\":{\"z\":0");
    for (int i = 4999; i >= 0; i--)
        sl_buf_printf(&b, ",\"k%d\":1", i);
    sl_buf_put_str(&b, "}}");
    struct message m = { .payload = sl_buf_cstr(&b) };
    check_rule("SELECT a = b AS same" FROM, m,
               "failed: the rule compares more than 1,000,000 values");
    check_rule("SELECT * FROM 't' WHERE a = b", m,
               "failed: the rule compares more than 1,000,000 values");
    check_rule("SELECT a = a AS same" FROM, m, "{\"same\":true}");
    sl_buf_free(&b);
}

static void growing_strings_are_bounded(void **state)
{
    (void)state;
    char *text = repeat("{\"s\":\"", "aaaaaaaaaa", 10000, "\"}");
    struct message m = { .payload = text };
    check_rule("SELECT replace(s, 'a', s) AS x" FROM, m,
               "failed: the rule needs more than 16 MiB of memory for this message");
    check_rule("SELECT length(replace(s, 'a', 'bb')) AS x" FROM, m, "{\"x\":200000}");
    free(text);
}

static void a_payload_is_parsed_once_and_outputs_are_reused(void **state)
{
    (void)state;
    struct rule_plan *a = NULL, *b = NULL;
    assert_int_equal(rule_compile(sl_str("SELECT x + 1 AS x FROM 't'"), &a, NULL), SL_OK);
    assert_int_equal(rule_compile(sl_str("SELECT upper(s) AS s FROM 't' WHERE x > 1"), &b, NULL),
                     SL_OK);
    struct rule_output out = { 0 };
    for (int i = 1; i <= 3; i++) {
        char payload[64];
        (void)snprintf(payload, sizeof payload, "{\"x\":%d,\"s\":\"a%d\"}", i, i);
        struct rule_input in = { .topic = sl_str("t"), .payload = sl_str(payload) };
        char want[64];
        (void)snprintf(want, sizeof want, "{\"x\":%d}", i + 1);
        assert_int_equal(rule_eval(a, &in, &out, NULL), RULE_KEPT);
        assert_true(sl_slice_eq(out.payload, sl_str(want)));
        void *parsed = in.parsed;
        assert_non_null(parsed);
        (void)snprintf(want, sizeof want, "{\"s\":\"A%d\"}", i);
        assert_int_equal(rule_eval(b, &in, &out, NULL), i > 1 ? RULE_KEPT : RULE_SKIPPED);
        assert_true(sl_slice_eq(out.payload, sl_str(i > 1 ? want : "")));
        assert_ptr_equal(in.parsed, parsed);
        rule_input_release(&in);
    }
    rule_output_release(&out);
    rule_plan_free(a);
    rule_plan_free(b);
}

static void pass_through_copies_and_parses_nothing(void **state)
{
    (void)state;
    struct rule_plan *p = NULL;
    assert_int_equal(rule_compile(sl_str("SELECT * FROM 'a/+/c'"), &p, NULL), SL_OK);
    assert_true(sl_slice_eq(rule_from(p), sl_str("a/+/c")));
    struct rule_input in = { .topic = sl_str("t"), .payload = sl_bytes("\xde\xad\0\xef", 4) };
    struct rule_output out = { 0 };
    assert_int_equal(rule_eval(p, &in, &out, NULL), RULE_KEPT);
    assert_ptr_equal(out.payload.ptr, in.payload.ptr);
    assert_int_equal(out.payload.len, 4);
    assert_null(in.parsed);
    rule_input_release(&in);
    rule_output_release(&out);
    rule_plan_free(p);
}

/* More fields than have a place in the output itself. */
static void many_fields(void **state)
{
    (void)state;
    struct sl_buf sql = { 0 }, json = { 0 };
    sl_buf_put_str(&sql, "SELECT ");
    sl_buf_put_str(&json, "{");
    for (int i = 0; i < 200; i++) {
        sl_buf_printf(&sql, "%sf%d", i ? ", " : "", i);
        sl_buf_printf(&json, "%s\"f%d\":%d", i ? "," : "", i, i);
    }
    sl_buf_put_str(&sql, " FROM 't'");
    sl_buf_put_str(&json, "}");
    check_rule(sl_buf_cstr(&sql), (struct message){ .payload = sl_buf_cstr(&json) },
               sl_buf_cstr(&json));
    sl_buf_free(&sql);
    sl_buf_free(&json);
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(nested_payload_up_to_the_limit),
        cmocka_unit_test(json_up_to_a_mebibyte),
        cmocka_unit_test(many_members_with_repeats),
        cmocka_unit_test(comparing_large_objects_is_bounded),
        cmocka_unit_test(growing_strings_are_bounded),
        cmocka_unit_test(a_payload_is_parsed_once_and_outputs_are_reused),
        cmocka_unit_test(pass_through_copies_and_parses_nothing),
        cmocka_unit_test(many_fields),
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + SL_ARRAY_LEN(others)];
    size_t n = 0;
    n += ROWS_OF(tests + n, cases, statement);
    memcpy(tests + n, others, sizeof others);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
