/* test_config_rules.c - mistakes in SQL and topic templates are found at their place in the file;
 * and the examples' rules compile. */
#include "rules_config.h"
#include "support.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rows.h"

/* text: a rule; begin: what the problem's line begins with, at is the mistake's text in the file.
 */
static const struct place_case {
    const char *name, *text, *path, *at, *says;
} cases[] = {
    { "fine", "{\"name\":\"r\",\"sql\":\"SELECT * FROM 'a/#'\",\"to\":[{\"local\":\"b/${x}\"}]}",
      NULL, NULL, NULL },
    { "word in the SQL",
      "{\"name\":\"r\",\"sql\":\"SELECT * FORM 'a/#'\",\"to\":[{\"local\":\"b\"}]}", "rules[0].sql",
      "FORM", "FORM" },
    { "on another line",
      "{\"name\":\"r\",\n  \"sql\":\n   \"SELECT * FORM 'a'\",\"to\":[{\"local\":"
      "\"b\"}]}",
      "rules[0].sql", "FORM", "FORM" },
    { "with escapes: the text's beginning",
      "{\"name\":\"r\",\"sql\":\"SELECT \\\"a\\\" FORM 'a'\",\"to\":[{\"local\":\"b\"}]}",
      "rules[0].sql", "\"SELECT", "(line 1, column 12 of the text)" },
    { "from a file", "{\"name\":\"r\",\"sql\":\"@file:bad.sql\",\"to\":[{\"local\":\"b\"}]}",
      "rules[0].sql", "\"@file", "(line 2, column 1 of the text)" },
    { "template of the cloud",
      "{\"name\":\"r\",\"sql\":\"SELECT * FROM 'a'\",\"to\":[{\"cloud\":\"b/${x\"}]}",
      "rules[0].to[0].cloud", "${x", "expected '}'" },
    { "wildcard in a template",
      "{\"name\":\"r\",\"sql\":\"SELECT * FROM 'a'\",\"to\":[{\"local\":\"a\"}],\"on_error\":[{"
      "\"local\":\"b/+\"}]}",
      "rules[0].on_error[0].local", "+", "'+' cannot be" },
    { "not enabled, checked all the same",
      "{\"name\":\"r\",\"enabled\":false,\"sql\":\"FROM\",\"to\":[{\"local\":\"a\"}]}",
      "rules[0].sql", "FROM", "SELECT" },
};

/* Where at first stands in text. */
static struct config_place place_of(const char *text, const char *at)
{
    const char *found = strstr(text, at);
    struct config_place place = { 1, 1 };
    assert_non_null(found);
    for (; text < found; text++) {
        place.column = *text == '\n' ? 1 : place.column + 1;
        place.line += *text == '\n';
    }
    return place;
}

static void points_at_the_mistake(void **state)
{
    const struct place_case *t = *state;
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    char text[512];
    (void)snprintf(text, sizeof text, "{\"rules\":[%s]}", t->text); /* fits */
    assert_int_equal(config_parse(sl_str(text), "f", support_folder(), &c, &problems), SL_OK);
    bool fine = config_check_rules(c, &problems);
    assert_int_equal(fine, t->path == NULL);
    assert_int_equal(problems.count, t->path ? 1 : 0);
    if (t->path) {
        struct config_place want = place_of(text, t->at);
        assert_string_equal(problems.list[0].path, t->path);
        assert_int_equal(problems.list[0].place.line, want.line);
        assert_int_equal(problems.list[0].place.column, want.column);
        if (!strstr(problems.list[0].text, t->says))
            fail_msg("%s", problems.list[0].text);
    }
    config_problems_free(&problems);
    config_free(c);
}

static void problems_are_sorted(void **state)
{
    (void)state;
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    const char *text = "{\"rules\":[{\"name\":\"r\",\"sql\":\"x\",\"to\":[{\"local\":\"b\"}]}],\n"
                       "\"web\":{\"port\":0}}";
    assert_int_equal(config_parse(sl_str(text), "f", "/", &c, &problems), SL_INVALID);
    assert_false(config_check_rules(c, &problems));
    assert_int_equal(problems.count, 2);
    assert_string_equal(problems.list[0].path, "rules[0].sql"); /* found last, stands first */
    assert_string_equal(problems.list[1].path, "web.port");
    config_problems_free(&problems);
    config_free(c);
}

/* The bridge refuses it too: still one line. */
static void one_mistake_one_line(void **state)
{
    (void)state;
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    const char *text = "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\",\"subscribe\":["
                       "{\"cloud\":\"a\",\"local\":\"b/#\"}]}}";
    assert_int_equal(config_parse(sl_str(text), "f", "/", &c, &problems), SL_INVALID);
    (void)config_check_rules(c, &problems); /* what it adds is counted below */
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.list[0].path, "cloud.subscribe[0].local");
    config_problems_free(&problems);
    config_free(c);
}

/* Their certificates are missing here; their rules must be right. */
static void examples_compile(void **state)
{
    (void)state;
    static const char *const names[] = { "sluice", "barn", "home-with-tls" };
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
        struct config *c = NULL;
        struct config_problems problems = { 0 }, of_rules = { 0 };
        char path[512];
        (void)snprintf(path, sizeof path, "%s/config/examples/%s.json", SOURCE_DIR,
                       names[i]); /* fits */
        enum sl_code rc = config_load(path, &c, &problems);
        assert_true(rc == SL_OK || rc == SL_INVALID); /* the files they name are not there */
        assert_true(c->rule_count > 0);
        if (!config_check_rules(c, &of_rules))
            fail_msg("%s: %s: %s", names[i], of_rules.list[0].path, of_rules.list[0].text);
        config_problems_free(&problems);
        config_free(c);
    }
}

static int set_up(void **state)
{
    (void)state;
    (void)support_folder();
    support_write("bad.sql", sl_str("SELECT *\nFORM 'a'\n"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    support_remove();
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + 3] = { cmocka_unit_test(one_mistake_one_line),
                                                         cmocka_unit_test(problems_are_sorted),
                                                         cmocka_unit_test(examples_compile) };
    size_t n = 3;
    n += ROWS_OF(tests + n, cases, points_at_the_mistake);
    return _cmocka_run_group_tests("rules of a configuration", tests, n, set_up, tear_down);
}
