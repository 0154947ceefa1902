/* test_gap_report.c - outages and losses as the cloud is told of them. */
#include "gap_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MIN_MS 60000

/* Time passes by seconds, a letter each: u up, s stalled, c connecting, b back-off. */
static void outages(void **state)
{
    static const struct {
        const char *name, *states;
        int64_t second_ms;
        const char *reports; /* "FROM-TO ": in seconds from the start */
    } rows[] = {
        { "a quick start", "cu", 1000, "" },
        { "a start without a network", "cbcbcbu", 10000, "0-70 " },
        { "at the bound", "bbbu", 20000, "0-80 " },
        { "a short outage", "ubbu", 10000, "" },
        { "a long one", "uuubcbcbcbu", 10000, "40-110 " },
        { "two", "ubcbcbcbubcbcbcbu", 10000, "20-90 100-170 " },
        { "a stall is no outage", "ussssssssssssu", 10000, "" },
        { "an attempt does not end it", "ubbbcbbbu", 10000, "20-90 " },
        { "still going on", "ubbbbbbbbbb", 10000, "" },
        { "up but at once lost again", "ububububu", 10000, "" },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct gap_report r;
        char got[200] = "";
        size_t at = 0;
        int64_t now = 0;
        gap_report_init(&r, 5000, 1000000);
        for (const char *p = rows[i].states; *p; p++) {
            now += rows[i].second_ms;
            struct bridge_status s = { .state = *p == 'u'   ? BRIDGE_ONLINE
                                                : *p == 's' ? BRIDGE_STALLED
                                                : *p == 'c' ? BRIDGE_CONNECTING
                                                            : BRIDGE_BACKOFF };
            if (gap_report_follow(&r, &s, MIN_MS, 5000 + now, 1000000 + now))
                at += (size_t)snprintf(got + at, sizeof got - at, "%lld-%lld ",
                                       (long long)(r.began_wall_ms - 1000000) / 1000,
                                       (long long)(r.ended_wall_ms - 1000000) / 1000);
        }
        if (strcmp(got, rows[i].reports) != 0)
            fail_msg("%s: \"%s\"", rows[i].name, got);
    }
}

/* The wall clock is set during the outage: how long it took is told by the other one. */
static void a_clock_that_steps(void **state)
{
    struct gap_report r;
    (void)state;
    gap_report_init(&r, 0, 0);
    struct bridge_status up = { .state = BRIDGE_ONLINE };
    assert_false(gap_report_follow(&r, &up, MIN_MS, 3000, 1700000000000));
}

static void the_first_cause_counts(void **state)
{
    struct gap_report r;
    (void)state;
    gap_report_init(&r, 0, 0);
    struct bridge_status s = { .state = BRIDGE_BACKOFF };
    assert_false(gap_report_follow(&r, &s, MIN_MS, 0, 0));
    (void)snprintf(s.cause, sizeof s.cause, "closed");
    assert_false(gap_report_follow(&r, &s, MIN_MS, 0, 0));
    (void)snprintf(s.cause, sizeof s.cause, "tcp");
    assert_false(gap_report_follow(&r, &s, MIN_MS, 0, 0));
    assert_string_equal(r.cause, "closed");
}

static struct outbox_stats ledger(void)
{
    struct outbox_stats s = { 0 };
    s.lane[OUTBOX_NORMAL].waiting = 12;
    s.lane[OUTBOX_TELEMETRY].waiting = 36000;
    s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_FULL].count = 150;
    s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_AGE].count = 7;
    s.lane[OUTBOX_ALERT].loss[OUTBOX_LOST_DEAD].count = 1;
    return s;
}

static void expect_json(const struct gap_report *r, const struct outbox_stats *s, const char *want)
{
    struct sl_buf out = { 0 };
    gap_report_json(r, "g\"1", s, &out);
    assert_string_equal(sl_buf_cstr(&out), want);
    sl_buf_free(&out);
}

static void reports(void **state)
{
    struct outbox_stats s = ledger();
    struct gap_report r;
    (void)state;
    gap_report_init(&r, 0, 1000);
    r.ended_wall_ms = 9000;
    (void)snprintf(r.cause, sizeof r.cause, "tcp");
    expect_json(&r, &s,
                "{\"gateway\":\"g\\\"1\",\"from\":1000,\"to\":9000,\"cause\":\"tcp\","
                "\"waiting\":{\"alert\":0,\"normal\":12,\"telemetry\":36000},"
                "\"lost\":{\"alert\":{\"dead\":1},\"telemetry\":{\"full\":150,\"age\":7}},"
                "\"lost_ever\":{\"alert\":{\"dead\":1},\"telemetry\":{\"full\":150,\"age\":7}}}");
    r.due = true;
    gap_report_told(&r, &s);
    assert_false(r.due);
    s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_FULL].count = 151;
    s.lane[OUTBOX_ALERT].loss[OUTBOX_LOST_DEAD].count = 0; /* as after a fresh database */
    expect_json(&r, &s,
                "{\"gateway\":\"g\\\"1\",\"from\":1000,\"to\":9000,\"cause\":\"tcp\","
                "\"waiting\":{\"alert\":0,\"normal\":12,\"telemetry\":36000},"
                "\"lost\":{\"telemetry\":{\"full\":1}},"
                "\"lost_ever\":{\"telemetry\":{\"full\":151,\"age\":7}}}");
    expect_json(&r, &(struct outbox_stats){ 0 },
                "{\"gateway\":\"g\\\"1\",\"from\":1000,\"to\":9000,\"cause\":\"tcp\","
                "\"waiting\":{\"alert\":0,\"normal\":0,\"telemetry\":0},"
                "\"lost\":{},\"lost_ever\":{}}");
}

static void what_was_told_is_remembered(void **state)
{
    struct outbox_stats s = ledger();
    struct gap_report r;
    struct gap_lost back;
    struct sl_buf text = { 0 };
    (void)state;
    gap_report_init(&r, 0, 0);
    gap_report_told(&r, &s);
    gap_lost_write(&r.told, &text);
    gap_lost_read(&back, sl_buf_slice(&text));
    assert_memory_equal(&back, &r.told, sizeof back);
    sl_buf_free(&text);
}

static void bad_files_tell_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"alert\":3}",
        "{\"alert\":{\"dead\":\"3\"}}",
        "{\"alert\":{\"dead\":-3}}",
        "{\"alert\":{\"dead\":1e300}}",
        "{\"alert\":{\"deaf\":3}}",
        "{\"alarm\":{\"dead\":3}}",
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(texts); i++) {
        struct gap_lost lost, none = { 0 };
        gap_lost_read(&lost, sl_str(texts[i]));
        assert_memory_equal(&lost, &none, sizeof lost);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outages),
        cmocka_unit_test(a_clock_that_steps),
        cmocka_unit_test(the_first_cause_counts),
        cmocka_unit_test(reports),
        cmocka_unit_test(what_was_told_is_remembered),
        cmocka_unit_test(bad_files_tell_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
