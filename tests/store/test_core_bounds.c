/* test_core_bounds.c - the outbox's state machine when it is full, and what grows too old. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include "rows.h"

struct full_case {
    const char *name;
    enum outbox_when_full when_full;
    enum outbox_lane filled, lane; /* the store is full of one, the other comes */
    bool accepted, kept;           /* the new one */
    bool on_disk;                  /* what fills it was committed first */
};

#define ROW_BYTES ((uint64_t)(DISK_ROW_OVERHEAD + 20 + 1)) /* of rig_put(): a topic of one byte */

static const struct full_case full_cases[] = {
    { "drop-oldest drops the oldest", OUTBOX_DROP_OLDEST, OUTBOX_TELEMETRY, OUTBOX_TELEMETRY, true,
      true, true },
    { "drop-oldest drops from memory too", OUTBOX_DROP_OLDEST, OUTBOX_TELEMETRY, OUTBOX_TELEMETRY,
      true, true, false },
    { "an alert pushes telemetry out", OUTBOX_DROP_OLDEST, OUTBOX_TELEMETRY, OUTBOX_ALERT, true,
      true, true },
    { "telemetry pushes no alert out", OUTBOX_DROP_OLDEST, OUTBOX_ALERT, OUTBOX_TELEMETRY, true,
      false, true },
    { "normal pushes no alert out", OUTBOX_DROP_OLDEST, OUTBOX_ALERT, OUTBOX_NORMAL, true, false,
      true },
    { "an alert pushes an older alert out", OUTBOX_DROP_OLDEST, OUTBOX_ALERT, OUTBOX_ALERT, true,
      true, true },
    { "drop-newest drops the new one", OUTBOX_DROP_NEWEST, OUTBOX_TELEMETRY, OUTBOX_ALERT, true,
      false, true },
    { "refuse refuses", OUTBOX_REFUSE, OUTBOX_TELEMETRY, OUTBOX_ALERT, false, false, true },
};

static void when_full(void **state)
{
    const struct full_case *c = *state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    r.options.max_bytes = rig_bytes_max(10 * ROW_BYTES);
    r.options.when_full = c->when_full;
    rig_start(&r);
    for (int i = 0; i < 10; i++)
        rig_must_put(&r, c->filled, "x", NULL);
    if (c->on_disk)
        rig_settle(&r);
    assert_int_equal(rig_put(&r, c->lane, "y", &told), c->accepted);
    rig_check(&r);
    assert_int_equal(told.calls, 0); /* the ledger is not on the disk yet */
    rig_pass(&r, 5000);
    rig_check(&r);
    struct outbox_stats s = rig_stats(&r);
    assert_int_equal(told.calls, c->accepted);
    if (c->accepted)
        assert_int_equal(told.result, SL_OK); /* kept, or in the ledger: not to be sent again */
    const struct outbox_lane_stats *loser = &s.lane[c->kept ? c->filled : c->lane];
    assert_int_equal(loser->loss[OUTBOX_LOST_FULL].count, c->accepted);
    assert_int_equal(loser->loss[OUTBOX_LOST_FULL].first_ms != 0, c->accepted);
    assert_int_equal(r.core->bytes, 10 * ROW_BYTES);
    rig_free(&r);
}

static void too_large_for_the_whole_store(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    r.options.max_bytes = 1000;
    rig_start(&r);
    rig_must_put(&r, OUTBOX_ALERT, "x", NULL);
    assert_true(rig_put_sized(&r, OUTBOX_ALERT, "y", 1000, &told));
    rig_pass(&r, 2000);
    assert_int_equal(told.result, SL_OK);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_ALERT].lost, 1);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_ALERT].waiting,
                     1); /* nothing was pushed out for it */
    rig_check(&r);
    rig_free(&r);
}

/* Its publisher is told by the commit that has the ledger: not before, and not by one that fails.
 */
static void who_gives_way_is_told_with_the_ledger(void **state)
{
    (void)state;
    struct rig r;
    struct told told[3] = { 0 };
    rig_init(&r);
    r.options.max_bytes = rig_bytes_max(2 * ROW_BYTES);
    r.options.when_full = OUTBOX_DROP_NEWEST;
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "0", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "1", NULL);
    rig_settle(&r);
    r.disk.commit_fails = SL_IO;
    for (int i = 0; i < 2; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "late", &told[i]);
    rig_pass(&r, 5000);
    assert_int_equal(told[0].calls + told[1].calls, 0);
    r.disk.commit_fails = SL_OK;
    rig_pass(&r, 20000);
    for (int i = 0; i < 2; i++)
        assert_true(told[i].calls == 1 && told[i].result == SL_OK);
    assert_int_equal(rig_stats(&r).lost_written, 2);
    rig_must_put(&r, OUTBOX_NORMAL, "last", &told[2]);
    rig_pass(&r, 300);
    assert_true(told[2].calls == 1 && told[2].result == SL_OK);
    rig_check(&r);
    rig_free(&r);
}

static void what_is_in_flight_is_not_dropped(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.options.max_bytes = rig_bytes_max(3 * ROW_BYTES);
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "0", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "1", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "2", NULL);
    struct outbox_item *first = rig_take(&r, "0");
    rig_must_put(&r, OUTBOX_NORMAL, "3", NULL); /* drops 1 */
    (void)rig_take(&r, "2");
    (void)rig_take(&r, "3");
    struct told told = { 0 };
    rig_must_put(&r, OUTBOX_NORMAL, "4", &told); /* all is in flight: it is the new one's turn */
    rig_pass(&r, 2000);
    assert_int_equal(told.result, SL_OK);
    assert_int_equal(told.calls, 1);
    core_ack(r.core, first);
    rig_check(&r);
    rig_free(&r);
}

/* The oldest is only on disk: it has to be read before it can be dropped. */
static void dropping_what_is_not_in_memory(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.options.max_bytes = rig_bytes_max(100 * ROW_BYTES);
    r.options.read_ahead = 4;
    rig_start(&r);
    for (int i = 0; i < 300; i++) {
        rig_must_put(&r, OUTBOX_TELEMETRY, "x", NULL);
        if (i % 7 == 0)
            rig_settle(&r);
        rig_check(&r);
        assert_true(r.core->bytes <= r.options.max_bytes); /* also while it is read */
        assert_true(r.disk.rows[OUTBOX_TELEMETRY].count * ROW_BYTES <= r.options.max_bytes);
    }
    rig_pass(&r, 2000);
    struct outbox_stats s = rig_stats(&r);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].waiting, 100);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_FULL].count, 200);
    rig_check(&r);
    rig_free(&r);
}

/* More comes than the room takes while the oldest are being read: then what is in memory gives way,
 * and the bound holds all the same. */
static void a_burst_before_the_oldest_are_read(void **state)
{
    static const enum outbox_when_full policies[] = { OUTBOX_DROP_OLDEST, OUTBOX_THIN };
    (void)state;
    for (size_t p = 0; p < SL_ARRAY_LEN(policies); p++) {
        struct rig r;
        rig_init(&r);
        r.options.max_bytes = rig_bytes_max(100 * ROW_BYTES);
        r.options.when_full = policies[p];
        r.options.read_ahead = 4;
        rig_start(&r);
        for (int i = 0; i < 100; i++)
            rig_must_put(&r, OUTBOX_TELEMETRY, "x", NULL);
        rig_settle(&r);
        assert_int_equal(rig_stats(&r).lane[OUTBOX_TELEMETRY].lost, 0);
        for (int i = 0; i < 60; i++) {
            rig_must_put(&r, i % 10 ? OUTBOX_TELEMETRY : OUTBOX_ALERT, "y", NULL);
            rig_check(&r);
            assert_true(r.core->bytes <= r.options.max_bytes);
        }
        rig_pass(&r, 2000);
        rig_check(&r);
        struct outbox_stats s = rig_stats(&r);
        assert_true(r.core->bytes <= core_full_mark(r.core));
        assert_int_equal(s.lane[OUTBOX_ALERT].lost, 0); /* telemetry gave way for them */
        assert_int_equal(s.lane[OUTBOX_ALERT].waiting, 6);
        rig_free(&r);
    }
}

static void too_old(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    r.options.max_age_ms = 60000;
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "old", NULL);
    struct sl_msg *brief = rig_msg(&r, "brief", 1, 10);
    assert_true(core_put(r.core, OUTBOX_ALERT, brief, rig_told, &told));
    sl_msg_unref(brief);
    rig_pass(&r, 9999);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_ALERT].waiting, 1);
    r.wall += (int64_t)365 * 86400 * 1000; /* the wall clock's steps make nothing older */
    rig_settle(&r);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].waiting, 1);
    rig_pass(&r, 1);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_ALERT].loss[OUTBOX_LOST_AGE].count, 1);
    rig_pass(&r, 50000);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_AGE].count, 1);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.result, SL_OK); /* it was on disk long before */
    rig_pass(&r, 1000);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 0);
    rig_check(&r);
    rig_free(&r);
}

static void a_brief_one_behind_a_long_one_is_never_sent_late(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "long", NULL);
    struct sl_msg *brief = rig_msg(&r, "brief", 1, 10);
    assert_true(core_put(r.core, OUTBOX_NORMAL, brief, NULL, NULL));
    sl_msg_unref(brief);
    rig_must_put(&r, OUTBOX_NORMAL, "last", NULL);
    rig_pass(&r, 20000);
    core_set_link(r.core, true);
    (void)rig_take(&r, "long");
    (void)rig_take(&r, "last");
    (void)rig_take(&r, NULL);
    rig_check(&r);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_large_for_the_whole_store),
        cmocka_unit_test(who_gives_way_is_told_with_the_ledger),
        cmocka_unit_test(what_is_in_flight_is_not_dropped),
        cmocka_unit_test(dropping_what_is_not_in_memory),
        cmocka_unit_test(a_burst_before_the_oldest_are_read),
        cmocka_unit_test(too_old),
        cmocka_unit_test(a_brief_one_behind_a_long_one_is_never_sent_late),
    };
    struct CMUnitTest full[SL_ARRAY_LEN(full_cases)] = { 0 };
    (void)ROWS_OF(full, full_cases, when_full);
    int failed = cmocka_run_group_tests_name("bounds of the core", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("when full", full, NULL, NULL);
}
