/* docs/rules.md says nothing that is not so: its ```rule blocks and its `expression` → `result`
 * pairs are run. The argument is the file. */
#include "rule_check.h"

#include "base/file.h"

#define ARROW   "\xe2\x86\x92"
#define FENCE   "```rule\n"
#define MESSAGE "site/7/air"

static struct sl_buf docs;

static char *copy(const char *from, const char *to)
{
    char *text = strndup(from, (size_t)(to - from));
    assert_non_null(text);
    return text;
}

/* A payload as a message has it: JSON in the page is spaced for people. */
static void check_block(const char *at, const char *end, unsigned *checked)
{
    const char *first = strstr(at, "\n< ");
    assert_true(first && first < end);
    char *sql = copy(at, first);
    for (const char *in = first; in && in < end;) {
        const char *out = strstr(in + 1, "\n> "), *stop = out ? strchr(out + 1, '\n') : NULL;
        assert_true(out && stop && stop <= end);
        char *payload = copy(in + 3, out), *want = copy(out + 3, stop);
        char *got = run_rule(sql, (struct message){ .topic = MESSAGE, .payload = payload });
        const char *shown = got;
        if (strncmp(got, "skipped: ", 9) == 0 && strncmp(want, "not kept: ", 10) == 0) {
            shown += 9;
            memmove(want, want + 10, strlen(want) - 9);
        }
        if (strcmp(shown, want) != 0)
            fail_msg("docs/rules.md: %s\n  over %s\n  gives %s\n  not %s", sql, payload, got, want);
        free(payload);
        free(want);
        free(got);
        ++*checked;
        in = strncmp(stop, "\n< ", 3) == 0 ? stop : NULL;
    }
    free(sql);
}

static void blocks(void **state)
{
    (void)state;
    unsigned checked = 0;
    for (const char *at = sl_buf_cstr(&docs); (at = strstr(at, FENCE));) {
        at += strlen(FENCE);
        const char *end = strstr(at, "\n```");
        assert_non_null(end);
        check_block(at, end, &checked);
        at = end;
    }
    assert_true(checked >= 10);
}

/* The text between the backquotes that end just before `end`. */
static char *before_arrow(const char *start, const char *end)
{
    const char *close = end;
    while (close > start && *close != '`')
        close--;
    const char *open = close - 1;
    while (open > start && *open != '`')
        open--;
    return copy(open + 1, close);
}

static void pairs(void **state)
{
    (void)state;
    unsigned checked = 0;
    const char *start = sl_buf_cstr(&docs), *at = start;
    while ((at = strstr(at, "` " ARROW " `"))) {
        char *expr = before_arrow(start, at);
        at += strlen("` " ARROW " `");
        char *want = copy(at, strchr(at, '`'));
        check_expr(expr, (struct message){ .topic = MESSAGE, .payload = "{}" },
                   strcmp(want, "undefined") == 0 ? "U" : want);
        free(expr);
        free(want);
        checked++;
    }
    assert_true(checked >= 60);
}

int main(int argc, char **argv)
{
    struct sl_err err = { 0 };
    if (argc < 2 || sl_file_read(argv[1], 1024 * 1024, &docs, &err) != SL_OK) {
        (void)fprintf(stderr, "usage: test_rules_docs docs/rules.md (%s)\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(blocks), cmocka_unit_test(pairs) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sl_buf_free(&docs);
    return failed;
}
