/* What rule_compile() refuses, where it says the mistake is, and with which words. */
#include "rule_check.h"

#include "rows.h"

static const struct error_case {
    const char *sql;
    enum sl_code code;
    unsigned line, column;
    const char *text;
} cases[] = {
    /* the statement */
    { "", SL_INVALID, 1, 1, "expected SELECT, found the end of the text" },
    { "  \n ", SL_INVALID, 2, 2, "expected SELECT, found the end of the text" },
    { "INSERT 1", SL_INVALID, 1, 1, "expected SELECT, found 'INSERT'" },
    { "SELECT", SL_INVALID, 1, 7, "expected an expression, found the end of the text" },
    { "SELECT FROM 't'", SL_INVALID, 1, 8, "expected an expression, found 'FROM'" },
    { "SELECT *", SL_INVALID, 1, 9, "expected FROM, found the end of the text" },
    { "SELECT * FORM 't'", SL_INVALID, 1, 10, "expected FROM, found 'FORM'" },
    { "SELECT a b FROM 't'", SL_INVALID, 1, 10, "expected FROM, found 'b'" },
    { "SELECT a,\n  b,\n  FROM 't'", SL_INVALID, 3, 3, "expected an expression, found 'FROM'" },
    { "SELECT * FROM t", SL_INVALID, 1, 15, "expected a topic filter in quotes, found 't'" },
    { "SELECT * FROM", SL_INVALID, 1, 14,
      "expected a topic filter in quotes, found the end of the text" },
    { "SELECT * FROM ''", SL_INVALID, 1, 15, "'' is not a valid topic filter" },
    { "SELECT * FROM 'a/#/b'", SL_INVALID, 1, 15, "'a/#/b' is not a valid topic filter" },
    { "SELECT * FROM 'a+'", SL_INVALID, 1, 15, "'a+' is not a valid topic filter" },
    { "SELECT * FROM 't' WERE a", SL_INVALID, 1, 19, "expected WHERE or the end, found 'WERE'" },
    { "SELECT * FROM 't' WHERE", SL_INVALID, 1, 24,
      "expected an expression, found the end of the text" },
    { "SELECT * FROM 't' WHERE a LIKE 'x'", SL_INVALID, 1, 27,
      "expected the end of the statement, found 'LIKE'" },
    { "SELECT * FROM 't' WHERE a > 1 LIMIT 2", SL_INVALID, 1, 31,
      "expected the end of the statement, found 'LIMIT'" },
    { "SELECT * FROM 't';", SL_INVALID, 1, 18, "a rule is one statement, without ';'" },
    { "SELECT a + 1 FROM 't'", SL_INVALID, 1, 8,
      "this expression needs a name: write AS name after it" },
    { "SELECT a AS FROM", SL_INVALID, 1, 17, "expected FROM, found the end of the text" },
    { "SELECT a AS 'x' FROM 't'", SL_INVALID, 1, 13,
      "expected a name after AS, found the string 'x'" },
    { "SELECT a AS x. FROM 't'", SL_INVALID, 1, 21, "expected FROM, found the string 't'" },
    { "SELECT VALUE a, b FROM 't'", SL_INVALID, 1, 15, "expected FROM, found ','" },
    { "SELECT VALUE a AS b FROM 't'", SL_INVALID, 1, 14, "SELECT VALUE takes no AS" },
    { "SET SELECT * FROM 't'", SL_INVALID, 1, 5,
      "expected a variable such as @name, found 'SELECT'" },
    { "SET @a 1 SELECT * FROM 't'", SL_INVALID, 1, 8, "expected =, found '1'" },
    { "SET @a = 1, @a = 2 SELECT * FROM 't'", SL_INVALID, 1, 13, "@a is set twice" },
    { "SET @a = @b, @b = 1 SELECT * FROM 't'", SL_INVALID, 1, 10,
      "this variable is not SET before it is used" },
    { "SET @a = @a SELECT * FROM 't'", SL_INVALID, 1, 10,
      "this variable is not SET before it is used" },
    { "SELECT @nope AS x FROM 't'", SL_INVALID, 1, 8,
      "this variable is not SET before it is used" },
    { "SELECT @ FROM 't'", SL_INVALID, 1, 8,
      "a variable is @ and 1 to 64 letters, digits or underscores" },

    /* expressions */
    { "SELECT (a FROM 't'", SL_INVALID, 1, 11, "expected ')', found 'FROM'" },
    { "SELECT a) FROM 't'", SL_INVALID, 1, 9, "expected FROM, found ')'" },
    { "SELECT a. FROM 't'", SL_INVALID, 1, 16, "expected FROM, found the string 't'" },
    { "SELECT a.1 FROM 't'", SL_INVALID, 1, 10, "expected a field name after '.', found '1'" },
    { "SELECT a[1 FROM 't'", SL_INVALID, 1, 12, "expected ']', found 'FROM'" },
    { "SELECT [1 2] AS x FROM 't'", SL_INVALID, 1, 11, "expected ',' or ']', found '2'" },
    { "SELECT [1,] AS x FROM 't'", SL_INVALID, 1, 11, "expected an expression, found ']'" },
    { "SELECT {a: 1} AS x FROM 't'", SL_INVALID, 1, 9,
      "expected a member name in quotes, found 'a'" },
    { "SELECT {'a' 1} AS x FROM 't'", SL_INVALID, 1, 13, "expected ':', found '1'" },
    { "SELECT {'a':1 'b':2} AS x FROM 't'", SL_INVALID, 1, 15,
      "expected ',' or '}', found the string 'b'" },
    { "SELECT abs(1 2) FROM 't'", SL_INVALID, 1, 14, "expected ',' or ')', found '2'" },
    { "SELECT abs( FROM 't'", SL_INVALID, 1, 13, "expected an expression, found 'FROM'" },
    { "SELECT cast(a) FROM 't'", SL_INVALID, 1, 14, "expected AS and a type, found ')'" },
    { "SELECT cast(a AS) FROM 't'", SL_INVALID, 1, 17,
      "expected a type such as Int, Decimal, Boolean or String, found ')'" },
    { "SELECT cast(a AS Date) FROM 't'", SL_INVALID, 1, 8,
      "cast() knows the types Int, Decimal, Double, Boolean and String" },
    { "SELECT * FROM 't' WHERE a < b < c", SL_INVALID, 1, 31,
      "expected the end of the statement, found '<'" },
    { "SELECT * FROM 't' WHERE a AND", SL_INVALID, 1, 30,
      "expected an expression, found the end of the text" },
    { "SELECT +a AS b FROM 't'", SL_INVALID, 1, 8, "expected an expression, found '+'" },
    { "SELECT CASE WHEN a THEN 1 END AS x FROM 't'", SL_INVALID, 1, 13,
      "expected a value (AWS IoT SQL has no CASE WHEN condition), found 'WHEN'" },
    { "SELECT CASE a THEN 1 END AS x FROM 't'", SL_INVALID, 1, 15, "expected WHEN, found 'THEN'" },
    { "SELECT CASE a WHEN 1 END AS x FROM 't'", SL_INVALID, 1, 22, "expected THEN, found 'END'" },
    { "SELECT CASE a WHEN 1 THEN 2 AS x FROM 't'", SL_INVALID, 1, 29,
      "expected WHEN, ELSE or END, found 'AS'" },
    { "SELECT CASE a WHEN 1 THEN 2 ELSE 3 WHEN 4 THEN 5 END AS x FROM 't'", SL_INVALID, 1, 36,
      "expected END, found 'WHEN'" },

    /* characters and literals */
    { "SELECT 'abc FROM t", SL_INVALID, 1, 8, "this string has no closing quote" },
    { "SELECT 'abc\\' FROM t", SL_INVALID, 1, 8, "this string has no closing quote" },
    { "SELECT 'it''s' AS x FROM 't'", SL_INVALID, 1, 12, "expected FROM, found the string 's'" },
    { "SELECT 'a\\d' AS x FROM 't'", SL_INVALID, 1, 10,
      "unknown escape; a backslash itself is written \\\\" },
    { "SELECT '\\u12' AS x FROM 't'", SL_INVALID, 1, 9,
      "\\u needs four hexadecimal digits, and not 0000" },
    { "SELECT '\\u0000' AS x FROM 't'", SL_INVALID, 1, 9,
      "\\u needs four hexadecimal digits, and not 0000" },
    { "SELECT '\\ud83d' AS x FROM 't'", SL_INVALID, 1, 9,
      "the second half of this \\u pair is missing" },
    { "SELECT '\\ude00' AS x FROM 't'", SL_INVALID, 1, 9,
      "the first half of this \\u pair is missing" },
    { "SELECT 5. AS x FROM 't'", SL_INVALID, 1, 10, "expected a digit after the decimal point" },
    { "SELECT 5e AS x FROM 't'", SL_INVALID, 1, 10, "expected a digit in the exponent" },
    { "SELECT .5 AS x FROM 't'", SL_INVALID, 1, 8, "expected an expression, found '.'" },
    { "SELECT 1e999 AS x FROM 't'", SL_INVALID, 1, 8, "this number is too large" },
    { "SELECT 2nd AS x FROM 't'", SL_INVALID, 1, 8,
      "a name cannot begin with a digit; write get(object, 'name')" },
    { "SELECT a FROM 't' WHERE a != 1", SL_INVALID, 1, 27, "AWS IoT SQL has no !=; write <>" },
    { "SELECT a FROM 't' WHERE a == 1", SL_INVALID, 1, 27, "AWS IoT SQL has no ==; write =" },
    { "SELECT a || b AS c FROM 't'", SL_INVALID, 1, 10,
      "AWS IoT SQL has no ||; write + or concat(), or OR" },
    { "SELECT id /* c */ FROM 't'", SL_INVALID, 1, 11, "AWS IoT SQL has no comments" },
    { "SELECT id // c\n FROM 't'", SL_INVALID, 1, 11, "AWS IoT SQL has no comments" },
    { "SELECT a ? b FROM 't'", SL_INVALID, 1, 10, "unexpected character '?'" },
    { "SELECT `` FROM 't'", SL_INVALID, 1, 8, "expected a name between backquotes" },
    { "SELECT `a FROM 't'", SL_INVALID, 1, 8, "expected a name between backquotes" },
    { "SELECT \xc3\xa4 FROM 't'", SL_INVALID, 1, 8,
      "names hold letters a to z, digits and _; others go in `backquotes`" },
    { "SELECT \xff FROM 't'", SL_INVALID, 1, 1, "the statement is not valid UTF-8" },

    /* known, and not here */
    { "SELECT flor(a) FROM 't'", SL_UNSUPPORTED, 1, 8,
      "there is no function flor(); did you mean floor()?" },
    { "SELECT frobnicate(a) FROM 't'", SL_UNSUPPORTED, 1, 8, "there is no function frobnicate()" },
    { "SELECT 1 + AVG(a) AS x FROM 't'", SL_UNSUPPORTED, 1, 12,
      "AVG() is an aggregate: aggregates and windows are not supported by this version" },
    { "SELECT count(*) FROM 't'", SL_UNSUPPORTED, 1, 8,
      "count() is an aggregate: aggregates and windows are not supported by this version" },
    { "SELECT a FROM 't' GROUP BY b, c HAVING d > 1", SL_UNSUPPORTED, 1, 28,
      "GROUP BY and windows are not supported by this version" },
    { "SELECT a FROM 't' GROUP b", SL_INVALID, 1, 25, "expected BY, found 'b'" },
    { "SELECT a FROM 't' HAVING d > 1", SL_UNSUPPORTED, 1, 26,
      "HAVING is not supported by this version" },
    { "SELECT aws_lambda('arn', a) FROM 't'", SL_UNSUPPORTED, 1, 8,
      "aws_lambda() works only in the cloud: it needs an AWS service" },
    { "SELECT get_thing_shadow('x', 'r') FROM 't'", SL_UNSUPPORTED, 1, 8,
      "get_thing_shadow() works only in the cloud: it needs an AWS service" },
    { "SELECT regexp_matches(a, 'x') FROM 't'", SL_UNSUPPORTED, 1, 8,
      "regexp_matches() is not supported by this version" },
    { "SELECT abs(*) FROM 't'", SL_UNSUPPORTED, 1, 12, "* is not an argument of this function" },
    { "SELECT (SELECT a FROM b) AS x FROM 't'", SL_UNSUPPORTED, 1, 9,
      "a SELECT inside an expression is not supported by this version" },
    { "SELECT a FROM 't' WHERE EXISTS (SELECT * FROM b)", SL_UNSUPPORTED, 1, 33,
      "a SELECT inside an expression is not supported by this version" },
};

static void refusal(void **state)
{
    const struct error_case *c = *state;
    struct rule_plan *plan = NULL;
    struct rule_error e;
    enum sl_code rc = rule_compile(sl_str(c->sql), &plan, &e);
    if (rc != c->code || e.line != c->line || e.column != c->column || strcmp(e.text, c->text) != 0)
        fail_msg("%s\n  gave %s %u:%u: %s\n  want %s %u:%u: %s", c->sql, sl_code_name(rc), e.line,
                 e.column, e.text, sl_code_name(c->code), c->line, c->column, c->text);
    assert_null(plan);
}

/* before, then unit n times, middle, closing n times, after. */
static enum sl_code compile_repeated(const char *before, const char *unit, size_t n,
                                     const char *middle, const char *closing, const char *after,
                                     struct rule_error *error)
{
    struct sl_buf sql = { 0 };
    struct rule_plan *plan = NULL;
    sl_buf_put_str(&sql, before);
    for (size_t i = 0; i < n; i++)
        sl_buf_put_str(&sql, unit);
    sl_buf_put_str(&sql, middle);
    for (size_t i = 0; i < n; i++)
        sl_buf_put_str(&sql, closing);
    sl_buf_put_str(&sql, after);
    enum sl_code rc = rule_compile(sl_buf_slice(&sql), &plan, error);
    rule_plan_free(plan);
    sl_buf_free(&sql);
    return rc;
}

static const struct bound_case {
    const char *name, *before, *unit, *middle, *closing, *after;
    size_t most; /* repetitions that still compile */
    const char *text;
} bounds[] = {
    { "parentheses", "SELECT ", "(", "1", ")", " AS x FROM 't'", 63, "nested more than 64" },
    { "minus signs", "SELECT ", "-", "1", "", " AS x FROM 't'", 63, "nested more than 64" },
    { "NOT", "SELECT ", "NOT ", "a", "", " AS x FROM 't'", 63, "nested more than 64" },
    { "calls", "SELECT ", "abs(", "1", ")", " AS x FROM 't'", 63, "nested more than 64" },
    { "arrays", "SELECT ", "[", "1", "]", " AS x FROM 't'", 63, "nested more than 64" },
    { "objects", "SELECT ", "{'a':", "1", "}", " AS x FROM 't'", 63, "nested more than 64" },
    { "a sum", "SELECT a", "+a", "", "", " AS x FROM 't'", 511, "more than 512 operators" },
    { "a path", "SELECT a", ".a", "", "", " FROM 't'", 511, "more than 512 operators" },
    { "indexes", "SELECT a", "[0]", "", "", " AS x FROM 't'", 511, "more than 512 operators" },
    { "items", "SELECT a", ",a", "", "", " FROM 't'", 255, "at most 256 items" },
    { "arguments", "SELECT concat(a", ",a", "", "", ") FROM 't'", 31, "at most 32 arguments" },
    { "alias parts", "SELECT a AS a", ".a", "", "", " FROM 't'", 15, "at most 16 parts" },
    { "text", "SELECT a FROM 't'", " ", "", "", "", 65536 - 17, "more than 65536 bytes" },
};

static void bound(void **state)
{
    const struct bound_case *c = *state;
    struct rule_error e;
    assert_int_equal(
        compile_repeated(c->before, c->unit, c->most, c->middle, c->closing, c->after, &e), SL_OK);
    assert_int_equal(
        compile_repeated(c->before, c->unit, c->most + 1, c->middle, c->closing, c->after, &e),
        SL_LIMIT);
    if (!strstr(e.text, c->text))
        fail_msg("%s: %s", c->name, e.text);
    assert_int_equal(
        compile_repeated(c->before, c->unit, 20000, c->middle, c->closing, c->after, &e),
        strcmp(c->name, "text") == 0 ? SL_OK : SL_LIMIT);
}

static void a_long_chain_of_alternatives_is_fine(void **state)
{
    (void)state;
    struct rule_error e;
    assert_int_equal(
        compile_repeated("SELECT a FROM 't' WHERE a = 0", " OR a = 1", 400, "", "", "", &e), SL_OK);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + SL_ARRAY_LEN(bounds) + 1];
    size_t n = 0;
    n += ROWS_OF(tests + n, cases, refusal);
    n += ROWS_OF(tests + n, bounds, bound);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_long_chain_of_alternatives_is_fine);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
