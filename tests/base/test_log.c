/* test_log.c - log lines as they arrive on standard error: one a line, valid as JSON whatever a
 * peer wrote into them, and not more than a disk can bear. */
#include "base/log.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

/* Standard error goes to a file from capture_begin() to capture_end(), which gives its content. */
struct capture {
    FILE *file;
    int saved;
};

static void capture_begin(struct capture *c)
{
    c->file = tmpfile();
    c->saved = dup(STDERR_FILENO);
    assert_non_null(c->file);
    assert_true(c->saved >= 0);
    assert_true(dup2(fileno(c->file), STDERR_FILENO) >= 0);
}

static void capture_end(struct capture *c, struct sl_buf *out)
{
    assert_true(dup2(c->saved, STDERR_FILENO) >= 0);
    (void)close(c->saved); /* a copy */
    rewind(c->file);
    for (int ch; (ch = fgetc(c->file)) != EOF;)
        sl_buf_put_u8(out, (uint8_t)ch);
    (void)fclose(c->file); /* it was read to its end */
}

static size_t count_lines(const struct sl_buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->len; i++)
        n += b->ptr[i] == '\n';
    return n;
}

static void text_line(void **state)
{
    (void)state;
    struct capture c;
    struct sl_buf out = { 0 };
    const struct sl_kv kv[] = { SL_KV_STR("client", "a \"b\"\n"), SL_KV_INT("n", -5),
                                SL_KV_SLICE("topic", sl_bytes("t\0u", 3)), SL_KV_END };
    sl_log_configure(SL_INFO, SL_LOG_TEXT);
    capture_begin(&c);
    sl_log(SL_WARN, "broker", kv, "said %s", "hello\nforged line\x1b[2J");
    capture_end(&c, &out);
    const char *line = sl_buf_cstr(&out);
    assert_int_equal(count_lines(&out), 1);
    assert_non_null(strstr(line, "Z warn  broker: said hello?forged line?[2J "
                                 "client=\"a \\\"b\\\"\\u000a\" n=-5 topic=\"t\\u0000u\"\n"));
    sl_buf_free(&out);
}

/* Parses the one line there is. */
static cJSON *only_line(struct sl_buf *out)
{
    assert_int_equal(count_lines(out), 1);
    assert_int_equal(out->ptr[out->len - 1], '\n');
    cJSON *json = cJSON_Parse(sl_buf_cstr(out));
    assert_non_null(json);
    return json;
}

static const char *string_in(const cJSON *json, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
    assert_non_null(s);
    return s;
}

static void json_line(void **state)
{
    (void)state;
    struct capture c;
    struct sl_buf out = { 0 };
    const struct sl_kv kv[] = { SL_KV_STR("client", "a\"\\\n\xff"), SL_KV_INT("n", -5), SL_KV_END };
    sl_log_configure(SL_INFO, SL_LOG_JSON);
    capture_begin(&c);
    sl_log(SL_ERROR, "bridge", kv, "line \"%s\"", "one\ntwo\x01");
    capture_end(&c, &out);
    cJSON *json = only_line(&out);
    assert_string_equal(string_in(json, "level"), "error");
    assert_string_equal(string_in(json, "unit"), "bridge");
    assert_string_equal(string_in(json, "message"), "line \"one\ntwo\x01\"");
    assert_string_equal(string_in(json, "client"), "a\"\\\n\xef\xbf\xbd");
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(json, "n")) == -5);
    assert_int_equal(strlen(string_in(json, "time")), strlen("2026-01-01T00:00:00.000Z"));
    cJSON_Delete(json);
    sl_buf_free(&out);
}

/* Every byte needs six: the line is cut, not lost, and still JSON. */
static void hostile_line_is_not_lost(void **state)
{
    (void)state;
    struct capture c;
    struct sl_buf out = { 0 };
    char *nasty = malloc(70000);
    assert_non_null(nasty);
    memset(nasty, 1, 69999);
    nasty[69999] = '\0';
    const struct sl_kv kv[] = { SL_KV_STR("a", nasty), SL_KV_STR("b", nasty), SL_KV_STR("c", nasty),
                                SL_KV_STR("d", nasty), SL_KV_END };
    sl_log_configure(SL_INFO, SL_LOG_JSON);
    capture_begin(&c);
    sl_log(SL_WARN, "broker", kv, "%s", nasty);
    capture_end(&c, &out);
    cJSON *json = only_line(&out);
    assert_true(strlen(string_in(json, "message")) >= 1000);
    assert_int_equal(strlen(string_in(json, "d")), 1000);
    cJSON_Delete(json);
    sl_buf_free(&out);
    free(nasty);
}

static void levels(void **state)
{
    (void)state;
    struct capture c;
    struct sl_buf out = { 0 };
    enum sl_log_level level = SL_DEBUG;
    sl_log_configure(SL_WARN, SL_LOG_TEXT);
    capture_begin(&c);
    LOG_ERROR("t", "yes");
    LOG_WARN("t", "yes");
    LOG_INFO("t", "no");
    LOG_DEBUG("t", "no");
    capture_end(&c, &out);
    assert_int_equal(count_lines(&out), 2);
    assert_null(strstr(sl_buf_cstr(&out), "no"));
    assert_true(sl_log_enabled(SL_WARN) && !sl_log_enabled(SL_INFO));
    assert_true(sl_log_level_parse(sl_str("error"), &level) && level == SL_ERROR);
    assert_true(sl_log_level_parse(sl_str("debug"), &level) && level == SL_DEBUG);
    assert_false(sl_log_level_parse(sl_str("warning"), &level));
    assert_false(sl_log_level_parse(sl_str(""), &level));
    sl_buf_free(&out);
}

struct tapped {
    unsigned lines;
    enum sl_log_level level;
    char text[64];
};

static void on_line(void *ctx, enum sl_log_level level, const char *unit, const char *text)
{
    struct tapped *t = ctx;
    t->lines++;
    t->level = level;
    (void)snprintf(t->text, sizeof t->text, "%s: %s", unit, text);
}

static void tap(void **state)
{
    (void)state;
    struct capture c;
    struct sl_buf out = { 0 };
    struct tapped t = { 0 };
    sl_log_configure(SL_INFO, SL_LOG_TEXT);
    sl_log_set_tap(on_line, &t);
    capture_begin(&c);
    LOG_WARN("store", "%d rows", 3);
    LOG_DEBUG("store", "not this");
    sl_log_set_tap(NULL, NULL);
    LOG_WARN("store", "nor this");
    capture_end(&c, &out);
    assert_int_equal(t.lines, 1);
    assert_int_equal(t.level, SL_WARN);
    assert_string_equal(t.text, "store: 3 rows");
    sl_buf_free(&out);
}

/* The clock may pass into the next second meanwhile, or slow machines into more: far from all. */
static void flood(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    struct capture c;
    struct sl_buf out = { 0 };
    sl_log_configure(SL_INFO, SL_LOG_TEXT);
    capture_begin(&c);
    for (int i = 0; i < LINES; i++)
        LOG_WARN("broker", "line %d", i);
    LOG_ERROR("store", "the disk is full");
    capture_end(&c, &out);
    assert_true(count_lines(&out) < LINES / 4);
    assert_non_null(
        strstr(sl_buf_cstr(&out), "the disk is full")); /* what peers do hides no error */
    sl_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_line),
        cmocka_unit_test(json_line),
        cmocka_unit_test(hostile_line_is_not_lost),
        cmocka_unit_test(levels),
        cmocka_unit_test(tap),
        cmocka_unit_test(flood), /* last: it uses this second up */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
