/* test_web_inputs.c - what browsers send, read: origins, tags, names and passwords, watches,
 * messages. */
#include "inputs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void origins(void **state)
{
    static const struct {
        const char *origin, *host;
        bool want;
    } cases[] = {
        { "http://barn.local:8080", "barn.local:8080", true },
        { "https://barn.local", "barn.local", true },
        { "HTTP://Barn.Local", "barn.local", true },
        { "http://[::1]:8080", "[::1]:8080", true },
        { "http://barn.local:8080", "barn.local:8081", false },
        { "http://barn.local", "barn.local:8080", false },
        { "http://evil.example", "barn.local", false },
        { "http://barn.local.evil.example", "barn.local", false },
        { "http://evil.example/barn.local", "barn.local", false },
        { "http://barn.local/", "barn.local", false },
        { "null", "barn.local", false },
        { "", "barn.local", false },
        { "http://", "barn.local", false },
        { "http://", "", false },
        { "file://barn.local", "barn.local", false },
        { "barn.local", "barn.local", false },
        { "http://user@barn.local", "barn.local", false },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        if (input_same_origin(sl_str(cases[i].origin), sl_str(cases[i].host)) != cases[i].want)
            fail_msg("origin %s, host %s", cases[i].origin, cases[i].host);
}

static void etags(void **state)
{
    static const struct {
        const char *header;
        bool want;
    } cases[] = {
        { "\"abc\"", true },
        { "W/\"abc\"", true },
        { "\"x\", \"abc\"", true },
        { "*", true },
        { "", false },
        { "abc", false },
        { "\"abcd\"", false },
        { "\"xabc\"", false },
        { "\"ab\"", false },
        { "\"x\",\"y\"", false },
        { "\"abc", false },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        if (input_etag_match(sl_str(cases[i].header), sl_str("\"abc\"")) != cases[i].want)
            fail_msg("If-None-Match: %s", cases[i].header);
}

static void basic_credentials(void **state)
{
    static const struct {
        const char *header, *user, *password; /* NULL: refused */
    } cases[] = {
        { "Basic YWRhOmxvdmU6bGFjZQ==", "ada", "love:lace" },
        { "bAsIc YWRhOmxvdmU6bGFjZQ==", "ada", "love:lace" },
        { "Basic   YWRhOg==", "ada", "" },
        { "Basic YWRh", NULL, NULL },     /* no colon */
        { "Basic OmxvdmU=", NULL, NULL }, /* no name */
        { "Basic", NULL, NULL },
        { "Basic ", NULL, NULL },
        { "Basic !!!!", NULL, NULL },
        { "Bearer YWRhOmxvdmU6bGFjZQ==", NULL, NULL },
        { "BasicYWRhOmxvdmU6bGFjZQ==", NULL, NULL },
        { "Basic YWRhOmEAYg==", NULL, NULL }, /* a NUL in the password */
        { "Basic YQBkYTph", NULL, NULL },     /* and in the name */
        { "Basic /zph", NULL, NULL },         /* no UTF-8 */
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_buf plain = { 0 };
        struct sl_slice user, password;
        bool ok = input_basic(sl_str(cases[i].header), &plain, &user, &password);
        if (ok != (cases[i].user != NULL) ||
            (ok && (!sl_slice_eq(user, sl_str(cases[i].user)) ||
                    !sl_slice_eq(password, sl_str(cases[i].password)))))
            fail_msg("Authorization: %s", cases[i].header);
        if (!ok)
            assert_int_equal(plain.len, 0);
        sl_buf_free(&plain);
    }
}

static void long_names_are_refused(void **state)
{
    (void)state;
    for (size_t n = INPUT_USER_MAX; n <= INPUT_USER_MAX + 1; n++) {
        char header[INPUT_BASIC_MAX] = "Basic ", *at = header + 6;
        /* "aaa" is "YWFh": whole groups of a, then the rest with the colon. */
        for (size_t i = 0; i < n / 3; i++, at += 4)
            memcpy(at, "YWFh", 4);
        memcpy(at, n % 3 == 2 ? "YWE6" : n % 3 == 1 ? "YTo=" : "Og==", 5);
        struct sl_buf plain = { 0 };
        struct sl_slice user, password;
        assert_int_equal(input_basic(sl_str(header), &plain, &user, &password),
                         n == INPUT_USER_MAX);
        sl_buf_free(&plain);
    }
}

static void watches(void **state)
{
    static const struct {
        const char *text;
        int count; /* -1: refused */
    } cases[] = {
        { "{\"watch\":[\"sensors/#\"]}", 1 },
        { "{\"watch\":[\"a/+\",\"b\"]}", 2 },
        { "{\"watch\":[\"a\",\"a\"]}", 1 },
        { "{\"watch\":[]}", 0 },
        { " {\"other\":1,\"watch\":[\"x\"]}", 1 },
        { "", -1 },
        { "{", -1 },
        { "[]", -1 },
        { "null", -1 },
        { "{\"watch\":\"sensors/#\"}", -1 },
        { "{\"watch\":[1]}", -1 },
        { "{\"watch\":[\"\"]}", -1 },
        { "{\"watch\":[\"a/#/b\"]}", -1 },
        { "{\"watch\":[\"a+\"]}", -1 },
        { "{\"watch\":[\"ok\",\"a+\"]}", -1 },
        { "{\"watch\":[[\"a\"]]}", -1 },
        { "{\"watch\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", -1 },
        { "{\"Watch\":[\"a\"]}", -1 },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct input_watch w = { 0 };
        const char *why = NULL;
        bool ok = input_watch_parse(sl_str(cases[i].text), &w, &why);
        if (ok != (cases[i].count >= 0) || (ok && (int)w.count != cases[i].count) || (!ok && !why))
            fail_msg("%s", cases[i].text);
        if (ok)
            input_watch_release(&w);
    }
}

static void watch_bounds(void **state)
{
    (void)state;
    for (unsigned n = INPUT_FILTERS_MAX; n <= INPUT_FILTERS_MAX + 1; n++) {
        struct sl_buf text = { 0 };
        sl_buf_put_str(&text, "{\"watch\":[\"t0\"");
        for (unsigned i = 1; i < n; i++)
            sl_buf_printf(&text, ",\"t%u\"", i);
        sl_buf_put_str(&text, "]}");
        struct input_watch w = { 0 };
        const char *why = NULL;
        bool ok = input_watch_parse(sl_buf_slice(&text), &w, &why);
        assert_int_equal(ok, n == INPUT_FILTERS_MAX);
        if (ok)
            input_watch_release(&w);
        else
            assert_string_equal(why, "at most 16 filters can be watched");
        sl_buf_free(&text);
    }
    for (size_t n = INPUT_FILTER_MAX; n <= INPUT_FILTER_MAX + 1; n++) {
        struct sl_buf text = { 0 };
        sl_buf_put_str(&text, "{\"watch\":[\"");
        for (size_t i = 0; i < n; i++)
            sl_buf_put_u8(&text, 'a');
        sl_buf_put_str(&text, "\"]}");
        struct input_watch w = { 0 };
        const char *why = NULL;
        bool ok = input_watch_parse(sl_buf_slice(&text), &w, &why);
        assert_int_equal(ok, n == INPUT_FILTER_MAX);
        if (ok)
            input_watch_release(&w);
        sl_buf_free(&text);
    }
}

static void messages(void **state)
{
    static const struct {
        const char *payload;
        size_t len;
        bool retain;
        const char *want;
    } cases[] = {
        { "21.5", 4, false,
          "{\"type\":\"message\",\"topic\":\"t\",\"payload\":\"21.5\",\"ts\":5}" },
        { "", 0, false, "{\"type\":\"message\",\"topic\":\"t\",\"payload\":\"\",\"ts\":5}" },
        { "a\"b", 3, true,
          "{\"type\":\"message\",\"topic\":\"t\",\"payload\":\"a\\\"b\",\"ts\":5,\"retain\":"
          "true}" },
        { "\xff\x00", 2, false,
          "{\"type\":\"message\",\"topic\":\"t\",\"payload_base64\":\"/wA=\",\"ts\":5}" },
        { "a\0b", 3, false,
          "{\"type\":\"message\",\"topic\":\"t\",\"payload_base64\":\"YQBi\",\"ts\":5}" },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_buf out = { 0 };
        input_message_json(&out, sl_str("t"), sl_bytes(cases[i].payload, cases[i].len), 5,
                           cases[i].retain);
        assert_string_equal(sl_buf_cstr(&out), cases[i].want);
        sl_buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins),           cmocka_unit_test(etags),
        cmocka_unit_test(basic_credentials), cmocka_unit_test(long_names_are_refused),
        cmocka_unit_test(watches),           cmocka_unit_test(watch_bounds),
        cmocka_unit_test(messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
