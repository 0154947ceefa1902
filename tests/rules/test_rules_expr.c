/* Expressions: operators over all types, conversions, functions. Rows come from the reference's
 * operator and function tables; "U" is Undefined. */
#include "rule_check.h"

#include "rows.h"

static const char payload[] =
    "{\"nul\":null,\"t\":true,\"f\":false,\"i\":7,\"d\":2.5,\"s\":\"abc\",\"num\":\"5\","
    "\"a\":[1,2],\"o\":{\"x\":1,\"y\":{\"z\":\"deep\"}},\"big\":9007199254740993,"
    "\"neg\":-3,\"whole\":10.0,\"small\":1e-9,\"e\":[],\"eo\":{},\"uni\":\"\\u20acuro\","
    "\"with space\":1,\"a-b\":2,\"value\":3,\"timestamp\":4,\"from\":5}";

static const struct expr_case {
    const char *expr, *want;
} cases[] = {
    /* literals */
    { "1", "1" },
    { "007", "7" },
    { "2.0", "2" },
    { "2.50", "2.5" },
    { "1e3", "1000" },
    { "1E-2", "0.01" },
    { "1e+2", "100" },
    { "9223372036854775807", "9223372036854775807" },
    { "9223372036854775808", "9223372036854776000" },
    { "1e21", "1e+21" },
    { "1.5e300", "1.5e+300" },
    { "1e-7", "1e-7" },
    { "0.000001", "0.000001" },
    { "0.1234567890123456789", "0.12345678901234568" },
    { "TRUE", "true" },
    { "False", "false" },
    { "NULL", "null" },
    { "'it\\'s \\\"\\u20ac\\\" \\\\'", "\"it's \\\"\xe2\x82\xac\\\" \\\\\"" },
    { "\"double 'quoted'\"", "\"double 'quoted'\"" },
    { "'\\ud83d\\ude00'", "\"\xf0\x9f\x98\x80\"" },
    { "'\\n\\t\\u0001'", "\"\\n\\t\\u0001\"" },
    { "[1,'x',[true]]", "[1,\"x\",[true]]" },
    { "[]", "[]" },
    { "{}", "{}" },
    { "{'a': 1, 'b': {'c': nul}}", "{\"a\":1,\"b\":{\"c\":null}}" },
    { "{'a': 1, 'a': 2}", "{\"a\":2}" },
    { "{'a': missing, 'b': 1}", "{\"b\":1}" },
    { "[1, missing, 2]", "[1,2]" },

    /* fields */
    { "i", "7" },
    { "I", "U" },
    { "nul", "null" },
    { "whole", "10" },
    { "o", "{\"x\":1,\"y\":{\"z\":\"deep\"}}" },
    { "o.y.z", "\"deep\"" },
    { "o.y.q", "U" },
    { "o.y.z.q", "U" },
    { "nul.x", "U" },
    { "a.x", "U" },
    { "`with space`", "1" },
    { "`a-b` + 1", "3" },
    { "value", "3" },
    { "timestamp", "4" },
    { "`from`", "5" },
    { "a[0]", "1" },
    { "a[1 - 0]", "2" },
    { "a[2]", "U" },
    { "a[-1]", "U" },
    { "o['x']", "1" },
    { "{'k': [5, {'m': 6}]}.k[1].m", "6" },

    /* + */
    { "1 + 2", "3" },
    { "1 + 2.5", "3.5" },
    { "0.1 + 0.2", "0.3" },
    { "0.1 + 0.2 = 0.3", "true" },
    { "1.1 + 2.2", "3.3" },
    { "'5' + 5", "\"55\"" },
    { "1 + '2'", "\"12\"" },
    { "'v' + true", "\"vtrue\"" },
    { "'v' + [1,2]", "\"v[1,2]\"" },
    { "'v' + o.y", "\"v{\\\"z\\\":\\\"deep\\\"}\"" },
    { "'v' + null", "U" },
    { "'v' + missing", "U" },
    { "'v' + 2.5", "\"v2.5\"" },
    { "true + 1", "U" },
    { "[1] + [2]", "U" },
    { "null + 1", "U" },
    { "9223372036854775807 + 1", "9223372036854776000" },

    /* - * / % */
    { "'5' - 2", "3" },
    { "'5.5' - '1'", "4.5" },
    { "'a' - 1", "U" },
    { "0.3 - 0.1", "0.2" },
    { "3 * 4", "12" },
    { "22.5 * 2", "45" },
    { "0.1 * 3", "0.3" },
    { "1.1 * 1.1", "1.21" },
    { "4000000000 * 4000000000", "16000000000000000000" },
    { "7 / 2", "3" },
    { "-7 / 2", "-3" },
    { "7 / 2.0", "3" },
    { "7 / 2.5", "2.8" },
    { "'7' / 2", "3.5" },
    { "1 / 3.5 * 3.5", "1" },
    { "1 / 0", "U" },
    { "1.5 / 0", "U" },
    { "1 % 0", "U" },
    { "7 % 3", "1" },
    { "-7 % 3", "-1" },
    { "7 % -3", "1" },
    { "7.5 % 2", "1.5" },
    { "0.3 % 0.1", "0" },
    { "'7' % '4'", "3" },
    { "-9223372036854775807 - 1", "-9223372036854775808" },
    { "(-9223372036854775807 - 1) / -1", "9223372036854776000" },
    { "(-9223372036854775807 - 1) % -1", "0" },
    { "1e300 * 1e300", "U" },
    { "-i", "-7" },
    { "- -i", "7" },
    { "i--i", "14" },
    { "-num", "-5" },
    { "-s", "U" },
    { "-t", "U" },
    { "2 + 3 * 4 - 1", "13" },
    { "(2 + 3) * 4", "20" },
    { "20 - 5 - 3", "12" },
    { "(i - 1) * 9 / 5 + 32", "42" },

    /* comparison */
    { "5 > '3'", "true" },
    { "'10' > '9'", "true" },
    { "'abc' > 'abd'", "U" },
    { "true > false", "U" },
    { "null > 1", "U" },
    { "missing > 1", "U" },
    { "1 >= 1.0", "true" },
    { "2.5 <= 2.4", "false" },
    { "-1 < 0", "true" },
    { "9007199254740993 > 9007199254740992.0", "true" },
    { "1e300 > 9223372036854775807", "true" },
    { "-9223372036854775807 > -1e300", "true" },
    { "1 = 1.0", "true" },
    { "1 = '1'", "false" },
    { "1 <> '1'", "true" },
    { "'a' = 'A'", "false" },
    { "'a' = 'a'", "true" },
    { "true = true", "true" },
    { "true = 'true'", "false" },
    { "[1,2] = a", "true" },
    { "a = [1,2.0]", "true" },
    { "[1,2] = [2,1]", "false" },
    { "[1] = [1,2]", "false" },
    { "{\"y\":{\"z\":\"deep\"},\"x\":1} = o", "true" },
    { "{\"x\":1} = o", "false" },
    { "{\"a\":1,\"b\":2} = {\"b\":2,\"a\":1}", "true" },
    { "{\"a\":1,\"b\":2} = {\"b\":2,\"c\":1}", "false" },
    { "null = null", "true" },
    { "null <> null", "false" },
    { "null <> 1", "true" },
    { "missing = 1", "U" },
    { "missing <> 1", "U" },
    { "1 = missing", "U" },

    /* logic */
    { "true AND 'TRUE'", "true" },
    { "true AND 1", "U" },
    { "false AND missing", "U" },
    { "true OR missing", "U" },
    { "true OR false AND false", "true" },
    { "NOT 'false'", "true" },
    { "NOT 0", "U" },
    { "NOT missing", "U" },
    { "NOT NOT true", "true" },
    { "NOT 1 = 2", "true" },
    { "'yes' OR true", "U" },

    /* IN */
    { "3 IN [1,2,3]", "true" },
    { "'3' IN [1,2,3]", "false" },
    { "2 IN a", "true" },
    { "{'a':1} IN [{'a':1}]", "true" },
    { "4 IN []", "false" },
    { "missing IN [1]", "U" },
    { "1 IN 1", "U" },
    { "1 IN missing", "U" },
    { "null IN [null]", "true" },

    /* CASE */
    { "CASE s WHEN 'abc' THEN 'go' WHEN 'abc' THEN 'x' END", "\"go\"" },
    { "CASE s WHEN 'g' THEN 1 ELSE 2 END", "2" },
    { "CASE s WHEN 'g' THEN 1 END", "U" },
    { "CASE missing WHEN 'g' THEN 1 ELSE 2 END", "U" },
    { "CASE i WHEN '7' THEN 'a' ELSE 'b' END", "\"b\"" },
    { "CASE i WHEN missing THEN 1 WHEN 7 THEN 2 END", "2" },
    { "CASE i + 1 WHEN 2 * 4 THEN CASE t WHEN true THEN 'in' END END", "\"in\"" },

    /* numbers */
    { "abs(-5)", "5" },
    { "abs('-5.25')", "5.25" },
    { "abs(' 5')", "U" },
    { "abs('+5')", "U" },
    { "abs('.5')", "U" },
    { "abs('5.')", "U" },
    { "abs('5e-2')", "0.05" },
    { "abs('1E+2')", "U" },
    { "abs('')", "U" },
    { "abs('0x10')", "U" },
    { "abs(true)", "U" },
    { "abs(null)", "U" },
    { "abs([1])", "U" },
    { "abs()", "U" },
    { "abs(1, 2)", "U" },
    { "ABS(neg)", "3" },
    { "ceil(1.2)", "2" },
    { "ceil(-1.2)", "-1" },
    { "ceil('1.01')", "2" },
    { "floor(-1.2)", "-2" },
    { "floor('-0.5')", "-1" },
    { "floor([1])", "U" },
    { "round(1.5)", "2" },
    { "round(2.5)", "3" },
    { "round(-1.5)", "-2" },
    { "round('0.49')", "0" },
    { "round(null)", "U" },
    { "trunc(2.3, 0)", "2" },
    { "trunc(2.789, 2)", "2.78" },
    { "trunc(-2.789, 1)", "-2.7" },
    { "trunc('9.99', 1)", "9.9" },
    { "trunc(5.5, -3)", "5" },
    { "trunc(1.25, 1.9)", "1.2" },
    { "trunc(2.00, 5)", "2" },
    { "trunc(1.5, '1')", "U" },
    { "trunc(true, 1)", "U" },
    { "trunc(0.00000012, 7)", "1e-7" },
    { "trunc(0.00000012, 6)", "0" },
    { "trunc(0.00000012, 34)", "1.2e-7" },
    { "trunc('7', 1) / 2", "3" },
    { "trunc(1e30, 2)", "1e+30" },
    { "sign(-0.01)", "-1" },
    { "sign(0)", "0" },
    { "sign('13')", "1" },
    { "sign('x')", "U" },
    { "mod(8, 3)", "2" },
    { "mod(7.5, 2)", "1.5" },
    { "remainder('7', 4)", "3" },
    { "mod(true, 2)", "U" },
    { "mod(7, 0)", "U" },
    { "nanvl(missing, 3)", "3" },
    { "nanvl(null, 'd')", "\"d\"" },
    { "nanvl([1], 2)", "[1]" },
    { "sqrt(9)", "3" },
    { "sqrt(-1)", "U" },
    { "sqrt('16')", "4" },
    { "power(2, 5)", "32" },
    { "power(2, -1)", "0.5" },
    { "power('2', '10')", "1024" },
    { "power('x', 2)", "U" },
    { "exp(0)", "1" },
    { "ln(1)", "0" },
    { "ln(0)", "U" },
    { "log(100)", "2" },
    { "sin(0) + cos(0) + tan(0)", "1" },
    { "acos(2)", "U" },
    { "atan2(0, 1) + asin(0) + acos(1) + atan(0)", "0" },
    { "sinh(0) + cosh('0') + tanh(0)", "1" },
    { "bitand(12, 10)", "8" },
    { "bitand(5.9, 3)", "1" },
    { "bitand('6', '3')", "2" },
    { "bitand(true, 1)", "U" },
    { "bitor(8, 5)", "13" },
    { "bitxor(13, 5)", "8" },
    { "bitnot(13)", "-14" },
    { "bitand(1e30, 1)", "U" },

    /* types */
    { "cast(true AS Int)", "1" },
    { "cast(false AS Decimal)", "0" },
    { "cast(2.9 AS Int)", "2" },
    { "cast(-2.1 AS Int)", "-3" },
    { "cast('2.9' AS int)", "2" },
    { "cast('abc' AS Int)", "U" },
    { "cast(null AS Int)", "U" },
    { "cast('TRUE' AS Bool)", "true" },
    { "cast('yes' AS Bool)", "U" },
    { "cast(0.0 AS Boolean)", "false" },
    { "cast(-7 AS Boolean)", "true" },
    { "cast('1' AS Boolean)", "U" },
    { "cast(12 AS String)", "\"12\"" },
    { "cast([1,'a'] AS nvarchar)", "\"[1,\\\"a\\\"]\"" },
    { "cast(null AS String)", "U" },
    { "isNull(nul)", "true" },
    { "isNull(missing)", "false" },
    { "isNull(0)", "false" },
    { "isUndefined(missing)", "true" },
    { "isUndefined(nul)", "false" },
    { "isUndefined(floor([1,2,3]))", "true" },
    { "get(a, 1)", "2" },
    { "get(a, '1')", "2" },
    { "get(a, 2)", "U" },
    { "get(a, -1)", "U" },
    { "get('abc', 0)", "\"a\"" },
    { "get(uni, 0)", "\"\xe2\x82\xac\"" },
    { "get('abc', 9)", "U" },
    { "get(o, 'x')", "1" },
    { "get({'a': null}, 'a')", "null" },
    { "get(o, 'b')", "U" },
    { "get({'1': 5}, 1)", "U" },
    { "get(null, 0)", "U" },
    { "get(a, null)", "U" },
    { "get(12, 0)", "U" },
    { "get(o, 'y').z", "\"deep\"" },
    { "get_or_default(missing, '?')", "\"?\"" },
    { "get_or_default(null, 0)", "0" },
    { "get_or_default(missing, null)", "null" },
    { "get_or_default(missing)", "U" },
    { "get_or_default(f, true)", "false" },
    { "get_or_default('', 'x')", "\"\"" },
    { "concat()", "U" },
    { "concat('a')", "\"a\"" },
    { "concat(a, 3)", "[1,2,3]" },
    { "concat([1],'x',[2,3])", "[1,\"x\",2,3]" },
    { "concat('a', 1, true)", "\"a1true\"" },
    { "concat(1, 2)", "U" },
    { "concat('a', null)", "U" },
    { "concat([1], {'a': 2})", "[1,{\"a\":2}]" },

    /* strings */
    { "length('hi')", "2" },
    { "length(uni)", "4" },
    { "length('')", "0" },
    { "length(false)", "5" },
    { "length(12.5)", "4" },
    { "length([1,2])", "5" },
    { "length({'a':1})", "7" },
    { "length(null)", "U" },
    { "numbytes(uni)", "6" },
    { "upper('ab1')", "\"AB1\"" },
    { "lower('\\u00c0B')", "\"\xc3\xa0\x62\"" },
    { "upper('\\u0436\\u03b1\\u0451')", "\"\xd0\x96\xce\x91\xd0\x81\"" },
    { "upper(['a'])", "\"[\\\"A\\\"]\"" },
    { "upper(false)", "\"FALSE\"" },
    { "lower(missing)", "U" },
    { "lpad('ab', 3)", "\"   ab\"" },
    { "rpad('ab', 1)", "\"ab \"" },
    { "lpad('ab', -4)", "\"ab\"" },
    { "lpad('ab', 2.9)", "\"  ab\"" },
    { "lpad(5, '2')", "\"  5\"" },
    { "lpad('ab', true)", "U" },
    { "lpad(null, 2)", "U" },
    { "length(lpad('a', 5000))", "1001" },
    { "trim(' a b ')", "\"a b\"" },
    { "ltrim('\\t x ')", "\"x \"" },
    { "rtrim(' x ')", "\" x\"" },
    { "trim(7)", "\"7\"" },
    { "substring('gateway', 4)", "\"way\"" },
    { "substring('gateway', 0, 4)", "\"gate\"" },
    { "substring('012345', 2.745)", "\"2345\"" },
    { "substring('abc', 5)", "\"\"" },
    { "substring('abc', -3, 2)", "\"ab\"" },
    { "substring('abc', 2, 1)", "\"\"" },
    { "substring(12345, '1', 3)", "\"23\"" },
    { "substring(true, 1)", "\"rue\"" },
    { "substring(uni, 1, 3)", "\"ur\"" },
    { "substring('abc', 1, 1e300)", "\"bc\"" },
    { "substring(null, 0)", "U" },
    { "substring('abc', true)", "U" },
    { "indexof('gateway', 'way')", "4" },
    { "indexof(uni, 'r')", "2" },
    { "indexof(12345, 34)", "2" },
    { "indexof('abc', 'z')", "-1" },
    { "indexof('abc', '')", "0" },
    { "indexof('', 'a')", "-1" },
    { "indexof(null, 'a')", "U" },
    { "startswith('ranger', 'ran')", "true" },
    { "startswith(123, 12)", "true" },
    { "startswith('a', null)", "U" },
    { "startswith('abc', '')", "true" },
    { "startswith('', 'a')", "false" },
    { "endswith('cat', 'at')", "true" },
    { "endswith('t', 'at')", "false" },
    { "endswith(missing, 'a')", "U" },
    { "replace('a.b.c', '.', '-')", "\"a-b-c\"" },
    { "replace(112, 1, 'x')", "\"xx2\"" },
    { "replace('abc', 'z', 'y')", "\"abc\"" },
    { "replace('aaa', 'aa', 'b')", "\"ba\"" },
    { "replace('aaa', 'a', '')", "\"\"" },
    { "replace('abc', '', 'x')", "\"abc\"" },
    { "replace(null, 'a', 'b')", "U" },
    { "chr(65)", "\"A\"" },
    { "chr('49')", "\"1\"" },
    { "chr(66.9)", "\"B\"" },
    { "chr(-1)", "U" },
    { "chr(200)", "U" },
    { "get(o, chr(0))", "U" },
    { "chr(0)", "\"\\u0000\"" },

    /* the message */
    { "topic()", "\"site/7/s1/data\"" },
    { "topic(1)", "\"site\"" },
    { "topic(4)", "\"data\"" },
    { "topic(5)", "U" },
    { "topic(0)", "U" },
    { "topic('2')", "\"7\"" },
    { "topic('x')", "U" },
    { "topic(1, 2)", "U" },
    { "clientid()", "\"s1\"" },
    { "timestamp()", "1700000000000" },
    { "timestamp() - 1 > 0", "true" },
    { "sql_version()", "\"2016-03-23\"" },
};

static void expression(void **state)
{
    const struct expr_case *c = *state;
    check_expr(c->expr, (struct message){ .payload = payload }, c->want);
}

/* The kind of result of every operator over every pair of types: u Undefined, n number, s string,
 * b Boolean. Rows and columns: missing, null, Boolean, Int, Decimal, numeric string, other string,
 * array, object. */
static const char *const operands[] = { "missing", "nul", "t", "i", "d", "num", "s", "a", "o" };
#define OPERANDS 9
static const struct matrix_case {
    const char *op, *rows[OPERANDS];
} matrix[] = {
    { "+",
      { "uuuuuuuuu", "uuuuuuuuu", "uuuuussuu", "uuunnssuu", "uuunnssuu", "uusssssss", "uusssssss",
        "uuuuussuu", "uuuuussuu" } },
    { "-",
      { "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuunnnuuu", "uuunnnuuu", "uuunnnuuu", "uuuuuuuuu",
        "uuuuuuuuu", "uuuuuuuuu" } },
    { "*",
      { "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuunnnuuu", "uuunnnuuu", "uuunnnuuu", "uuuuuuuuu",
        "uuuuuuuuu", "uuuuuuuuu" } },
    { "/",
      { "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuunnnuuu", "uuunnnuuu", "uuunnnuuu", "uuuuuuuuu",
        "uuuuuuuuu", "uuuuuuuuu" } },
    { "%",
      { "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuunnnuuu", "uuunnnuuu", "uuunnnuuu", "uuuuuuuuu",
        "uuuuuuuuu", "uuuuuuuuu" } },
    { "<",
      { "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuubbbuuu", "uuubbbuuu", "uuubbbuuu", "uuuuuuuuu",
        "uuuuuuuuu", "uuuuuuuuu" } },
    { ">=",
      { "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuubbbuuu", "uuubbbuuu", "uuubbbuuu", "uuuuuuuuu",
        "uuuuuuuuu", "uuuuuuuuu" } },
    { "=",
      { "uuuuuuuuu", "ubbbbbbbb", "ubbbbbbbb", "ubbbbbbbb", "ubbbbbbbb", "ubbbbbbbb", "ubbbbbbbb",
        "ubbbbbbbb", "ubbbbbbbb" } },
    { "<>",
      { "uuuuuuuuu", "ubbbbbbbb", "ubbbbbbbb", "ubbbbbbbb", "ubbbbbbbb", "ubbbbbbbb", "ubbbbbbbb",
        "ubbbbbbbb", "ubbbbbbbb" } },
    { "AND",
      { "uuuuuuuuu", "uuuuuuuuu", "uubuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu",
        "uuuuuuuuu", "uuuuuuuuu" } },
    { "OR",
      { "uuuuuuuuu", "uuuuuuuuu", "uubuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu", "uuuuuuuuu",
        "uuuuuuuuu", "uuuuuuuuu" } },
    { "IN",
      { "uuuuuuuuu", "uuuuuuubu", "uuuuuuubu", "uuuuuuubu", "uuuuuuubu", "uuuuuuubu", "uuuuuuubu",
        "uuuuuuubu", "uuuuuuubu" } },
};

static char kind_of(const char *json)
{
    if (json[0] == '\0')
        return 'u';
    if (json[0] == '"')
        return 's';
    if (strcmp(json, "true") == 0 || strcmp(json, "false") == 0)
        return 'b';
    return json[0] == '-' || (json[0] >= '0' && json[0] <= '9') ? 'n' : '?';
}

static void operator_types(void **state)
{
    const struct matrix_case *c = *state;
    for (size_t i = 0; i < OPERANDS; i++) {
        for (size_t j = 0; j < OPERANDS; j++) {
            char sql[200];
            (void)snprintf(sql, sizeof sql, "SELECT VALUE %s %s %s FROM 'x'", operands[i], c->op,
                           operands[j]);
            char *got = run_rule(sql, (struct message){ .payload = payload });
            if (kind_of(got) != c->rows[i][j])
                fail_msg("%s gave %s, want %c", sql, got, c->rows[i][j]);
            free(got);
        }
    }
}

static void basic_ingest_prefix_is_not_part_of_the_topic(void **state)
{
    (void)state;
    struct message m = { .topic = "$aws/rules/R/a/b", .payload = "{}" };
    check_expr("topic()", m, "\"a/b\"");
    check_expr("topic(2)", m, "\"b\"");
    m.topic = "$aws/rules/R";
    check_expr("topic()", m, "\"$aws/rules/R\"");
}

static void client_without_a_name(void **state)
{
    (void)state;
    check_expr("clientid()", (struct message){ .payload = "{}", .clientid = "" }, "\"n/a\"");
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + SL_ARRAY_LEN(matrix) + 2];
    size_t n = 0;
    n += ROWS_OF(tests + n, cases, expression);
    n += ROWS_OF(tests + n, matrix, operator_types);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(basic_ingest_prefix_is_not_part_of_the_topic);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(client_without_a_name);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
