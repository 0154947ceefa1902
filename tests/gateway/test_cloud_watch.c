/* test_cloud_watch.c - the device certificate's end is said at 30, 7 and 1 days, and drops once a
 * minute. */
#include "cloud_watch.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DAY INT64_C(86400)
#define END INT64_C(1900000000)

static unsigned lines;
static char last[400];

static void on_line(void *ctx, enum sl_log_level level, const char *unit, const char *text)
{
    (void)ctx;
    (void)level;
    (void)unit;
    lines++;
    (void)snprintf(last, sizeof last, "%s", text);
}

static void stages(void **state)
{
    static const struct {
        int64_t not_after_s, now_s;
        enum cert_stage stage;
    } rows[] = {
        { 0, END, CERT_FINE },
        { END, END - 31 * DAY, CERT_FINE },
        { END, END - 30 * DAY, CERT_MONTH },
        { END, END - 7 * DAY - 1, CERT_MONTH },
        { END, END - 7 * DAY, CERT_WEEK },
        { END, END - DAY - 1, CERT_WEEK },
        { END, END - DAY, CERT_DAY },
        { END, END - 1, CERT_DAY },
        { END, END, CERT_OVER },
        { END, END + 10 * DAY, CERT_OVER },
        { END, 5000, CERT_FINE }, /* the clock is not set */
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
        if (cert_stage(rows[i].not_after_s, rows[i].now_s) != rows[i].stage)
            fail_msg("row %zu", i);
}

static void each_is_said_once(void **state)
{
    struct cloud_watch w = { 0 };
    struct bridge_status s = { .cert_not_after_s = END };
    (void)state;
    lines = 0;
    for (int64_t left = 40 * DAY; left > -3 * DAY; left -= DAY / 4)
        cloud_watch_look(&w, &s, "device.crt", 0, (END - left) * 1000);
    assert_int_equal(lines, 4);
    assert_non_null(strstr(last, "has expired"));
    s.cert_not_after_s = END + 20 * DAY; /* replaced by one that has not long to live either */
    cloud_watch_look(&w, &s, "device.crt", 0, END * 1000);
    assert_int_equal(lines, 5);
    assert_non_null(strstr(last, "in 20 days"));
    cloud_watch_look(&w, &s, "device.crt", 0, END * 1000);
    assert_int_equal(lines, 5);
}

static void drops_are_said_once_a_minute(void **state)
{
    struct cloud_watch w = { 0 };
    struct bridge_status s = { 0 };
    (void)state;
    lines = 0;
    for (int64_t second = 0; second < 180; second++) {
        if (second < 100)
            s.dropped[BRIDGE_DROP_EXPIRED]++;
        cloud_watch_look(&w, &s, NULL, second * 1000, 0);
    }
    assert_int_equal(lines, 3);
    assert_non_null(strstr(last, "39 messages"));
    assert_non_null(strstr(last, "Message Expiry"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages),
        cmocka_unit_test(each_is_said_once),
        cmocka_unit_test(drops_are_said_once_a_minute),
    };
    sl_log_set_tap(on_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
