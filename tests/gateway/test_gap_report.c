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
                                       (long long)(r.last.from_ms - 1000000) / 1000,
                                       (long long)(r.last.to_ms - 1000000) / 1000);
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

/* A clock that was not set when it began: how long ago that was is known. */
static void a_clock_set_during_the_outage(void **state)
{
    static const struct {
        int64_t began, ended, want;
    } rows[] = {
        { 5000, 1800000000000, 1800000000000 - 70000 },
        { 1710000000000, 1800000000000, 1710000000000 }, /* it was right, for all we know */
        { 5000, 75000, 5000 },                           /* not set yet */
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct gap_report r;
        struct bridge_status up = { .state = BRIDGE_ONLINE };
        gap_report_init(&r, 1000, rows[i].began);
        assert_true(gap_report_follow(&r, &up, MIN_MS, 71000, rows[i].ended));
        assert_int_equal(r.last.from_ms, rows[i].want);
        assert_int_equal(r.last.to_ms, rows[i].ended);
    }
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
    assert_string_equal(r.now.cause, "closed");
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
    r.last = (struct gap_outage){ .from_ms = 1000, .to_ms = 9000, .cause = "tcp" };
    expect_json(&r, &s,
                "{\"gateway\":\"g\\\"1\",\"from\":1000,\"to\":9000,\"cause\":\"tcp\","
                "\"waiting\":{\"alert\":0,\"normal\":12,\"telemetry\":36000},"
                "\"lost\":{\"alert\":{\"dead\":1},\"telemetry\":{\"full\":150,\"age\":7}},"
                "\"lost_ever\":{\"alert\":{\"dead\":1},\"telemetry\":{\"full\":150,\"age\":7}}}");
    gap_report_put(&r, &s, 0);
    gap_report_safe(&r, true);
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

/* A day of letters. Link: u is up, d is down, each for 10 s; D is down for two minutes. X: a
 * message is lost. s: the report is safe; f: it was thrown away; w: the ledger is written; 4: the
 * cloud refuses the topic. R in the answer: a report is made, with so many losses; N: noted. */
static void when_reports_are_made(void **state)
{
    static const struct {
        const char *name, *day, *want;
    } rows[] = {
        { "nothing lost, a short outage", "udu", "" },
        { "nothing lost, a long one", "uDu", "R0 " },
        { "the losses of a long outage", "uDXXu", "R2 " },
        { "... and of a short one", "udXu", "R1 " },
        { "... and of the time before the start", "Xu", "R1 " },
        { "while it is up: with the next outage", "uXudu", "R1 " },
        { "once", "udXusududu", "R1 " },
        { "only one at a time", "udXuDXu", "R1 " },
        { "... the next when it is safe", "udXuDXusuuuuuu", "R1 R1 " },
        { "losses alone at most once a minute", "udXusdXuuuuuuuu", "R1 R1 " },
        { "... not sooner", "udXusdXuu", "R1 " },
        { "thrown away: another, after a while", "udXufuuuuuu", "R1 R1 " },
        { "... at once would only be lost again", "udXufuuu", "R1 " },
        { "... of a long outage, too", "uDufuuuuuu", "R0 R0 " },
        { "noted when the ledger is written", "udXuswu", "R1 N " },
        { "... not before", "udXusu", "R1 " },
        { "... nor before it is safe", "udXuwu", "R1 " },
        { "refused for good: none any more", "uDXus4wDXuuu", "R1 N " },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct outbox_stats s = { 0 };
        struct gap_report r;
        char got[100] = "";
        size_t at = 0;
        int64_t now = 5000;
        uint64_t *lost = &s.lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_AGE].count;
        gap_report_init(&r, now, 1);
        for (const char *p = rows[i].day; *p; p++) {
            struct bridge_status link = { .state = *p == 'u' ? BRIDGE_ONLINE : BRIDGE_BACKOFF };
            now += 10000;
            switch (*p) {
            case 'X': ++*lost; continue;
            case 's':
            case 'f': gap_report_safe(&r, *p == 's'); continue;
            case 'w': s.lost_written = *lost; break;
            case '4': gap_report_refused(&r); continue;
            default: (void)gap_report_follow(&r, &link, MIN_MS, now, now); break;
            }
            now += *p == 'D' ? 120000 : 0;
            if (gap_report_note_due(&r, &s)) {
                at += (size_t)snprintf(got + at, sizeof got - at, "N ");
                gap_report_noted(&r);
            }
            if (!gap_report_wanted(&r, &s, now))
                continue;
            at += (size_t)snprintf(
                got + at, sizeof got - at, "R%llu ",
                (unsigned long long)(*lost - r.told.count[OUTBOX_NORMAL][OUTBOX_LOST_AGE]));
            gap_report_put(&r, &s, now + MIN_MS);
        }
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: \"%s\"", rows[i].name, got);
    }
}

static void none_while_the_store_opens(void **state)
{
    struct outbox_stats s = { .opening = true };
    struct gap_report r;
    (void)state;
    gap_report_init(&r, 0, 0);
    assert_true(gap_report_follow(&r, &(struct bridge_status){ .state = BRIDGE_ONLINE }, MIN_MS,
                                  MIN_MS, 0));
    assert_false(gap_report_wanted(&r, &s, MIN_MS));
    s.opening = false;
    assert_true(gap_report_wanted(&r, &s, MIN_MS));
}

/* Two outages before the store is open: the long one is told. */
static void a_short_outage_hides_no_long_one(void **state)
{
    struct bridge_status up = { .state = BRIDGE_ONLINE }, down = { .state = BRIDGE_BACKOFF };
    struct gap_report r;
    (void)state;
    gap_report_init(&r, 0, 0);
    assert_true(gap_report_follow(&r, &up, MIN_MS, MIN_MS, MIN_MS));
    assert_false(gap_report_follow(&r, &down, MIN_MS, MIN_MS + 1, MIN_MS + 1));
    assert_false(gap_report_follow(&r, &up, MIN_MS, MIN_MS + 9, MIN_MS + 9));
    assert_int_equal(r.last.from_ms, 0);
    assert_int_equal(r.last.to_ms, MIN_MS);
}

/* The next start begins with all that was ever lost. */
static void what_was_refused_counts_as_not_told(void **state)
{
    struct outbox_stats s = ledger();
    struct gap_report r;
    const struct gap_lost none = { 0 };
    (void)state;
    gap_report_init(&r, 0, 0);
    gap_report_put(&r, &s, 0);
    gap_report_refused(&r);
    gap_report_safe(&r, true); /* as a dead letter */
    assert_memory_equal(&r.told, &none, sizeof none);
    assert_true(gap_report_note_due(&r, &s));
}

static void what_was_told_is_remembered(void **state)
{
    struct outbox_stats s = ledger();
    struct gap_report r;
    struct gap_lost back;
    struct sl_buf text = { 0 };
    (void)state;
    gap_report_init(&r, 0, 0);
    gap_report_put(&r, &s, 0);
    gap_report_safe(&r, true);
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
        cmocka_unit_test(a_clock_set_during_the_outage),
        cmocka_unit_test(the_first_cause_counts),
        cmocka_unit_test(when_reports_are_made),
        cmocka_unit_test(none_while_the_store_opens),
        cmocka_unit_test(a_short_outage_hides_no_long_one),
        cmocka_unit_test(what_was_refused_counts_as_not_told),
        cmocka_unit_test(reports),
        cmocka_unit_test(what_was_told_is_remembered),
        cmocka_unit_test(bad_files_tell_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
