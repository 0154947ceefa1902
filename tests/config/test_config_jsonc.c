/* test_config_jsonc.c - the JSON reader: what it takes, what it refuses and where, and what it
 * still reads behind a mistake. */
#include "jsonc.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* tree: the result in a short form, keys without quotes, '?' for what could not be read. problems:
 * "LINE:COL: path: text", one a line; "" for none. */
static const struct jsonc_case {
    const char *name, *text, *tree, *problems;
} cases[] = {
    { "empty object", "{}", "{}", "" },
    { "plain values", "[1, -2.5e1, true, false, null, \"x\"]", "[1 -25 true false null 'x']", "" },
    { "nested", "{\"a\":{\"b\":[{}]}}", "{a:{b:[{}]}}", "" },
    { "comments", "// one\n{ /* two */ \"a\": 1 } // three", "{a:1}", "" },
    { "comment behind a number", "[1//x\n,2/*y*/]", "[1 2]", "" },
    { "trailing commas", "{\"a\": [1,], }", "{a:[1]}", "" },
    { "byte order mark", "\xEF\xBB\xBF{}", "{}", "" },
    { "CRLF", "{\r\n\"a\": 1\r\n}", "{a:1}", "" },
    { "escapes", "[\"\\\"\\\\\\/\\n\\u00e9\\ud83d\\ude00\"]",
      "['\\\"\\\\/\\u000a\xC3\xA9\xF0\x9F\x98\x80']", "" },
    { "comment signs in a text", "[\"//x/*\"]", "['//x/*']", "" },

    { "nothing", "", "", "1:1: : expected an object, found the end of the file" },
    { "only a comment", " // x", "", "1:6: : expected an object, found the end of the file" },
    { "missing comma", "{\"a\": 1\n \"b\": 2}", "{a:1 b:2}", "1:8: : expected ',' here" },
    { "missing comma in a list", "[1 2]", "[1 2]", "1:3: : expected ',' here" },
    { "missing comma between objects", "[{}\n{}]", "[{} {}]", "1:4: : expected ',' here" },
    { "two commas", "[1,,2]", "[1 2]", "1:4: : one ',' too many" },
    { "first a comma", "{,\"a\":1}", "{a:1}", "1:2: : one ',' too many" },
    { "key without quotes", "{a: 1}", "{a:1}",
      "1:2: : the key a stands without its double quotes" },
    { "single quotes", "{'a': 'b'}", "{a:'b'}",
      "1:2: : texts stand in double quotes, not in single ones" },
    { "no colon", "{\"a\" 1}", "{a:1}",
      "1:6: a: expected ':' and a value behind the key, found '1'" },
    { "equals sign", "{\"a\" = 1}", "{a:1}",
      "1:6: a: expected ':' and a value behind the key, found '='" },
    { "key alone", "{\"a\"\n, \"b\": 1}", "{a:? b:1}",
      "1:5: a: expected ':' and a value behind the key, found the end of the line" },
    { "no value", "{\"a\": , \"b\": 1}", "{a:? b:1}", "1:7: a: the value is missing, found ','" },
    { "no value at the end", "{\"a\": }", "{a:?}", "1:7: a: the value is missing, found '}'" },
    { "no key", "{1: 2}", "{1:2}", "1:2: : the key 1 stands without its double quotes" },
    { "colon as key", "{: 2,\n\"a\": 1}", "{a:1}",
      "1:2: : expected a key in double quotes, found ':'" },
    { "colon in a list", "[:, 1]", "[? 1]", "1:2: [0]: expected a value, found ':'" },
    { "True", "[True]", "[?]", "1:2: [0]: True is no value; write true" },
    { "off", "{\"a\": off, \"b\": 1}", "{a:? b:1}", "1:7: a: off is no value; write false" },
    { "word", "[info]", "[?]", "1:2: [0]: not a value; texts stand in double quotes" },
    { "hex", "[0x10]", "[?]", "1:2: [0]: not a number; texts stand in double quotes" },
    { "leading zero", "[010]", "[?]", "1:2: [0]: not a number; texts stand in double quotes" },
    { "plus", "[+1]", "[?]", "1:2: [0]: not a number; texts stand in double quotes" },
    { "point without digits", "[1.]", "[?]",
      "1:2: [0]: not a number; texts stand in double quotes" },
    { "too large a number", "[1e999]", "[?]",
      "1:2: [0]: not a number; texts stand in double quotes" },
    { "address without quotes", "{\"a\": 10.0.0.1, \"b\": 1}", "{a:? b:1}",
      "1:7: a: not a number; texts stand in double quotes" },
    { "unfinished text", "{\"a\": \"x,\n \"b\": 1}", "{a:? b:1}",
      "1:7: a: this text is not closed with \" in its line" },
    { "unfinished text takes the brace along", "[{\"a\": \"x},\n {\"b\": 1}]", "[{a:?} {b:1}]",
      "1:8: [0].a: this text is not closed with \" in its line" },
    { "unfinished text takes the last brace along", "{\"l\": [{\"a\": \"x}\n], \"b\": 1}",
      "{l:[{a:?}] b:1}", "1:14: l[0].a: this text is not closed with \" in its line" },
    { "unfinished key", "{\"a: 1,\n \"b\": 1}", "{b:1}",
      "1:2: : this text is not closed with \" in its line" },
    { "bad escape", "[\"a\\d\"]", "['ad']",
      "1:4: [0]: a backslash before 'd' means nothing; a backslash itself is \\\\" },
    { "lone surrogate", "[\"\\ud800x\"]", "['ud800x']",
      "1:3: [0]: \\u is not followed by the four hex digits of a character" },
    { "NUL escaped", "[\"\\u0000\"]", "['u0000']",
      "1:3: [0]: \\u is not followed by the four hex digits of a character" },
    { "tab in a text", "[\"a\tb\"]", "['ab']",
      "1:4: [0]: control character 0x09 in a text; escape it as \\u0009" },
    { "not UTF-8", "[\"\xC3\xA9\xFF\"]", "['\xC3\xA9\xEF\xBF\xBD']",
      "1:5: [0]: byte 0xff is not UTF-8" },
    { "key twice", "{\"a\": 1,\n\"b\": 2,\n\"a\": 3}", "{a:1 b:2}",
      "3:1: a: this key was already given in line 1" },
    { "not closed", "{\"a\": [1, 2", "{a:[1 2]}", "1:7: a: this [ is never closed" },
    { "comment not closed", "[1 /* x", "[1]",
      "1:1: : this [ is never closed\n1:4: : this comment is not closed with */" },
    { "comment not closed, with lines", "{\"a\": /* x\n\n", "{a:?}",
      "1:1: : this { is never closed\n1:7: a: this comment is not closed with */\n"
      "3:1: a: the value is missing, found the end of the file" },
    { "wrong bracket", "{\"a\": [1, 2}, \"b\": 1}", "{a:[1 2] b:1}",
      "1:12: a: expected ']' to close what line 1 opens, found '}'" },
    { "closer out of nowhere", "{\"a\": 1]}", "{a:1}",
      "1:8: : found ']' where nothing is open that it could close" },
    { "one brace too many", "{\"a\": 1}\n},\n\"b\": 2}", "{a:1 b:2}",
      "2:1: : the file should end here, found '}'; is there a '}' too many before it?" },
    { "two values", "[1]\n[2]", "[1]", "2:1: : the file should end here, found '['" },
    { "odd key in a path", "{\"a b\": [tru]}", "{a b:[?]}",
      "1:10: [\"a b\"][0]: not a value; texts stand in double quotes" },
    { "several mistakes", "{\"a\": tru,\n\"b\" 2,\n\"c\": [1 2],\n\"d\": \"x\n}",
      "{a:? b:2 c:[1 2] d:?}",
      "1:7: a: not a value; texts stand in double quotes\n"
      "2:5: b: expected ':' and a value behind the key, found '2'\n"
      "3:8: c: expected ',' here\n"
      "4:6: d: this text is not closed with \" in its line" },
};

static void put_tree(const struct jsonc *n, struct sl_buf *out)
{
    bool list = n->type == JSONC_LIST;
    switch (n->type) {
    case JSONC_BAD: sl_buf_put_str(out, "?"); return;
    case JSONC_NULL: sl_buf_put_str(out, "null"); return;
    case JSONC_BOOL: sl_buf_put_str(out, n->boolean ? "true" : "false"); return;
    case JSONC_NUMBER: sl_buf_printf(out, "%g", n->number); return;
    case JSONC_STRING: {
        struct sl_buf text = { 0 };
        sl_buf_put_json(&text, n->text);
        text.ptr[0] = text.ptr[text.len - 1] = '\'';
        sl_buf_put_slice(out, sl_buf_slice(&text));
        sl_buf_free(&text);
        return;
    }
    case JSONC_LIST:
    case JSONC_OBJECT: break;
    }
    sl_buf_put_str(out, list ? "[" : "{");
    for (const struct jsonc *c = n->child; c; c = c->next) {
        if (!list)
            sl_buf_printf(out, "%.*s:", SL_FMT(c->key));
        put_tree(c, out);
        sl_buf_put_str(out, c->next ? " " : "");
    }
    sl_buf_put_str(out, list ? "]" : "}");
}

static void read_case(const char *text, struct sl_buf *tree, struct sl_buf *lines)
{
    struct jsonc_doc doc = { 0 };
    struct config_problems problems = { 0 };
    assert_true(jsonc_parse(&doc, sl_str(text), &problems));
    if (doc.root)
        put_tree(doc.root, tree);
    config_problems_sort(&problems);
    for (size_t i = 0; i < problems.count; i++)
        sl_buf_printf(lines, "%s%u:%u: %s: %s", i ? "\n" : "", problems.list[i].place.line,
                      problems.list[i].place.column, problems.list[i].path, problems.list[i].text);
    config_problems_free(&problems);
    jsonc_free(&doc);
}

static void reads(void **state)
{
    const struct jsonc_case *c = *state;
    struct sl_buf tree = { 0 }, lines = { 0 };
    read_case(c->text, &tree, &lines);
    assert_string_equal(sl_buf_cstr(&lines), c->problems);
    assert_string_equal(sl_buf_cstr(&tree), c->tree);
    sl_buf_free(&tree);
    sl_buf_free(&lines);
}

static void knows_every_place(void **state)
{
    (void)state;
    struct jsonc_doc doc = { 0 };
    struct config_problems problems = { 0 };
    assert_true(jsonc_parse(
        &doc, sl_str("{\n  \"a\": [\n    { \"b\": \"\\u0041\", \"c\": \"xy\" }]}"), &problems));
    assert_int_equal(problems.count, 0);
    const struct jsonc *list = jsonc_get(doc.root, "a");
    const struct jsonc *b = jsonc_get(list->child, "b"), *c = jsonc_get(list->child, "c");
    assert_int_equal(list->key_place.line, 2);
    assert_int_equal(list->key_place.column, 3);
    assert_int_equal(list->place.column, 8);
    assert_int_equal(b->place.line, 3);
    assert_int_equal(b->place.column, 12);
    assert_false(b->plain); /* an escape: bytes have moved */
    assert_true(c->plain);
    struct sl_buf path = { 0 };
    jsonc_path(c, false, &path);
    assert_string_equal(sl_buf_cstr(&path), "a[0].c");
    sl_buf_reset(&path);
    jsonc_path(c, true, &path);
    assert_string_equal(sl_buf_cstr(&path), "a[].c");
    sl_buf_free(&path);
    jsonc_free(&doc);
}

/* before * n, after * n: the problem that comes of it. */
static void expect_bound(const char *open, const char *fill, size_t n, const char *close,
                         const char *problem)
{
    struct sl_buf text = { 0 }, tree = { 0 }, lines = { 0 };
    sl_buf_put_str(&text, open);
    for (size_t i = 0; i < n; i++)
        if (strchr(fill, '%'))
            sl_buf_printf(&text, "\"k%zu\":1,", i);
        else
            sl_buf_put_str(&text, fill);
    sl_buf_put_str(&text, close);
    read_case(sl_buf_cstr(&text), &tree, &lines);
    if (problem)
        assert_non_null(strstr(sl_buf_cstr(&lines), problem));
    else
        assert_string_equal(sl_buf_cstr(&lines), "");
    sl_buf_free(&text);
    sl_buf_free(&tree);
    sl_buf_free(&lines);
}

static void has_bounds(void **state)
{
    (void)state;
    char deep[2 * JSONC_DEPTH_MAX + 8];
    for (size_t n = JSONC_DEPTH_MAX; n <= JSONC_DEPTH_MAX + 1; n++) {
        memset(deep, '[', n);
        memset(deep + n, ']', n);
        deep[2 * n] = '\0';
        expect_bound(deep, "", 0, "", n > JSONC_DEPTH_MAX ? "nested more than 32 deep" : NULL);
    }
    expect_bound("{", "%", JSONC_KEYS_MAX, "}", NULL);
    expect_bound("{", "%", JSONC_KEYS_MAX + 1, "}", "more than 1000 keys");
    expect_bound("[", "1,", JSONC_NODES_MAX - 1, "]", NULL);
    expect_bound("[", "1,", JSONC_NODES_MAX, "]", "more than 50000 values");
    expect_bound("[]", " ", JSONC_TEXT_MAX - 2, "", NULL);
    expect_bound("[]", " ", JSONC_TEXT_MAX - 1, "", "larger than 1048576 bytes");
    expect_bound("", "[", 100000, "", "nested more than 32 deep");
}

/* Many texts in one long line take no more memory than they are long. */
static void one_long_line(void **state)
{
    (void)state;
    struct sl_buf text = { 0 };
    struct jsonc_doc doc = { 0 };
    struct config_problems problems = { 0 };
    for (size_t i = 0; i < 100000; i++)
        sl_buf_put_str(&text, "{\"a\":");
    assert_true(jsonc_parse(&doc, sl_buf_slice(&text), &problems));
    assert_true(doc.bytes < 2 * text.len);
    jsonc_free(&doc);
    config_problems_free(&problems);
    sl_buf_free(&text);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + 3];
    size_t n = 0;
    for (; n < SL_ARRAY_LEN(cases); n++)
        tests[n] = (struct CMUnitTest){ .name = cases[n].name,
                                        .test_func = reads,
                                        .initial_state = (void *)(uintptr_t)&cases[n] };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(knows_every_place);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(has_bounds);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(one_long_line);
    return _cmocka_run_group_tests("jsonc", tests, n, NULL, NULL);
}
