/* test_core.c - the outbox's state machine, one situation at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

static void start(struct rig *r)
{
    rig_open(r);
    rig_settle(r);
}

static void start_online(struct rig *r)
{
    start(r);
    core_set_link(r->core, true);
    rig_settle(r);
}

static void must_put(struct rig *r, enum outbox_lane lane, const char *topic, struct told *told)
{
    assert_true(rig_put(r, lane, topic, told));
}

/* ---- safe ---- */

static void offline_it_goes_to_disk_at_once(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "a", &told);
    assert_int_equal(told.calls, 0); /* never from inside the call */
    rig_settle(&r);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.result, SL_OK);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 1);
    rig_check(&r);
    rig_free(&r);
}

static void what_comes_during_a_commit_is_the_next_group(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "a", NULL);
    rig_tick(&r);
    for (int i = 0; i < 50; i++)
        must_put(&r, OUTBOX_NORMAL, "b", NULL);
    rig_tick(&r);
    assert_true(fake_disk_step(&r.disk));
    assert_int_equal(r.disk.last_rows, 1);
    rig_tick(&r);
    assert_true(fake_disk_step(&r.disk));
    assert_int_equal(r.disk.last_rows, 50);
    rig_free(&r);
}

static void online_nothing_is_written(void **state)
{
    (void)state;
    struct rig r;
    struct told told[100] = { 0 };
    rig_init(&r);
    start_online(&r);
    for (int i = 0; i < 100; i++) {
        must_put(&r, OUTBOX_TELEMETRY, "a", &told[i]);
        core_ack(r.core, rig_take(&r, "a"));
        assert_int_equal(told[i].calls, 0);
        rig_pass(&r, 150);
        assert_int_equal(told[i].calls, 1);
        assert_int_equal(told[i].result, SL_OK);
    }
    assert_int_equal(r.disk.commits, 0);
    rig_check(&r);
    rig_free(&r);
}

static void unacknowledged_it_spills(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "a", &told);
    struct outbox_item *item = rig_take(&r, "a");
    rig_pass(&r, 199);
    assert_int_equal(told.calls, 0);
    rig_pass(&r, 21);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.result, SL_OK);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 1);
    core_ack(r.core, item); /* late: its row goes within a second, and nobody is told twice */
    rig_pass(&r, 1000);
    assert_int_equal(told.calls, 1);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 0);
    rig_check(&r);
    rig_free(&r);
}

/* A batch is given the time it takes to fill, and what stands behind it waits along. */
static void what_lingers_spills_later(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    start_online(&r);
    struct sl_msg *m = rig_msg(&r, "a", 10, SL_MSG_NO_EXPIRY);
    m->batch = 7;
    m->linger_ms = 1000;
    assert_true(core_put(r.core, OUTBOX_NORMAL, m, rig_told, &told));
    sl_msg_unref(m);
    must_put(&r, OUTBOX_NORMAL, "b", &told);
    must_put(&r, OUTBOX_ALERT, "c", &told);
    (void)rig_take(&r, "c");
    (void)rig_take(&r, "a");
    rig_pass(&r, 220);
    assert_int_equal(told.calls, 1); /* the alert, whose lane is its own */
    rig_pass(&r, 979);
    assert_int_equal(told.calls, 1);
    rig_pass(&r, 21);
    assert_int_equal(told.calls, 3);
    core_return_all(r.core);
    core_set_link(r.core, false);
    m = rig_msg(&r, "d", 10, SL_MSG_NO_EXPIRY);
    m->linger_ms = 1000;
    assert_true(core_put(r.core, OUTBOX_NORMAL, m, rig_told, &told));
    sl_msg_unref(m);
    rig_pass(&r, 20);
    assert_int_equal(told.calls, 4); /* no link: nothing waits */
    rig_check(&r);
    rig_free(&r);
}

static void acknowledged_while_it_is_written(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "a", &told);
    struct outbox_item *item = rig_take(&r, "a");
    r.mono += 220;
    rig_tick(&r); /* the commit is out */
    core_ack(r.core, item);
    rig_tick(&r);
    assert_int_equal(told.calls, 1);
    rig_check(&r);
    assert_true(fake_disk_step(&r.disk));
    rig_check(&r);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 1);
    rig_pass(&r, 1000);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 0);
    assert_int_equal(r.disk.lane[OUTBOX_NORMAL].rows, 0);
    assert_int_equal(r.disk.lane[OUTBOX_NORMAL].delivered, 1);
    assert_int_equal(told.calls, 1);
    rig_free(&r);
}

static void acknowledged_while_a_commit_fails(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "a", &told);
    struct outbox_item *item = rig_take(&r, "a");
    r.mono += 220;
    rig_tick(&r);
    core_ack(r.core, item);
    r.disk.commit_fails = SL_IO;
    r.disk.commit_lands = true; /* an error of the sync: the row is there all the same */
    assert_true(fake_disk_step(&r.disk));
    r.disk.commit_fails = SL_OK;
    rig_check(&r);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 1);
    rig_pass(&r, 10000);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 0);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].delivered, 1);
    rig_check(&r);
    rig_free(&r);
}

/* ---- order ---- */

static void lanes_by_rank_then_first_come(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r);
    must_put(&r, OUTBOX_TELEMETRY, "t1", NULL);
    must_put(&r, OUTBOX_NORMAL, "n1", NULL);
    rig_settle(&r); /* on disk */
    must_put(&r, OUTBOX_TELEMETRY, "t2", NULL);
    must_put(&r, OUTBOX_ALERT, "a1", NULL); /* in memory */
    core_set_link(r.core, true);
    static const char *const order[] = { "a1", "n1", "t1", "t2" };
    for (size_t i = 0; i < SL_ARRAY_LEN(order); i++)
        (void)rig_take(&r, order[i]);
    (void)rig_take(&r, NULL);
    rig_check(&r);
    rig_free(&r);
}

static void returned_they_come_again_in_order(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r);
    char topic[16];
    for (int i = 0; i < 6; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        must_put(&r, OUTBOX_NORMAL, topic, NULL);
        if (i == 2)
            rig_settle(&r); /* three on disk, three in memory */
    }
    core_set_link(r.core, true);
    uint64_t numbers[6];
    struct outbox_item *items[6];
    for (int i = 0; i < 6; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        items[i] = rig_take(&r, topic);
        numbers[i] = items[i]->number;
    }
    core_ack(r.core, items[1]);
    core_ack(r.core, items[4]);
    core_set_link(r.core, false);
    core_return_all(r.core);
    rig_check(&r);
    rig_pass(&r, 2000);
    core_set_link(r.core, true);
    static const int left[] = { 0, 2, 3, 5 };
    for (size_t i = 0; i < SL_ARRAY_LEN(left); i++) {
        (void)snprintf(topic, sizeof topic, "m%d", left[i]);
        assert_int_equal(rig_take(&r, topic)->number, numbers[left[i]]);
    }
    (void)rig_take(&r, NULL);
    rig_check(&r);
    rig_free(&r);
}

static void a_long_backlog_stays_on_disk(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct rig r;
    rig_init(&r);
    r.options.read_ahead = 64;
    start(&r);
    char topic[16];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        must_put(&r, OUTBOX_TELEMETRY, topic, NULL);
        if (i % 100 == 0)
            rig_settle(&r);
    }
    rig_settle(&r);
    const struct lane *l = &r.core->lane[OUTBOX_TELEMETRY];
    assert_int_equal(l->tail.count, 0);
    assert_true(l->head.count <= 64);
    assert_int_equal(r.core->memory, 0);
    core_set_link(r.core, true);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        struct outbox_item *item = core_take(r.core);
        if (!item) { /* it has to be read first, and then we are told */
            rig_settle(&r);
            item = core_take(r.core);
        }
        assert_non_null(item);
        assert_true(sl_slice_eq(sl_msg_topic(item->msg), sl_str(topic)));
        assert_true(l->head.count <= 64 + 1);
        core_ack(r.core, item);
    }
    rig_pass(&r, 1000);
    assert_int_equal(r.disk.rows[OUTBOX_TELEMETRY].count, 0);
    assert_int_equal(r.disk.last_ranges, 1); /* a whole backlog is one range */
    rig_check(&r);
    rig_free(&r);
}

/* ---- ready ---- */

static void count_ready(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void ready_comes_after_nothing_was_there(void **state)
{
    (void)state;
    struct rig r;
    unsigned ready = 0;
    rig_init(&r);
    start(&r);
    core_on_ready(r.core, count_ready, &ready);
    must_put(&r, OUTBOX_NORMAL, "a", NULL);
    rig_settle(&r);
    assert_int_equal(ready, 0); /* the link is down */
    core_set_link(r.core, true);
    assert_int_equal(ready, 0);
    rig_settle(&r);
    assert_int_equal(ready, 1);
    (void)rig_take(&r, "a");
    (void)rig_take(&r, NULL);
    rig_pass(&r, 50);
    assert_int_equal(ready, 1);
    must_put(&r, OUTBOX_NORMAL, "b", NULL);
    must_put(&r, OUTBOX_NORMAL, "c", NULL);
    rig_settle(&r);
    assert_int_equal(ready, 2); /* once, until it is asked again */
    rig_free(&r);
}

/* ---- bounds ---- */

struct full_case {
    const char *name;
    enum outbox_when_full when_full;
    enum outbox_lane filled, lane; /* the store is full of one, the other comes */
    bool accepted, kept;           /* the new one */
    bool on_disk;                  /* what fills it was committed first */
};

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
    r.options.max_bytes = 10 * (DISK_ROW_OVERHEAD + 20 + 1);
    r.options.when_full = c->when_full;
    start(&r);
    for (int i = 0; i < 10; i++)
        must_put(&r, c->filled, "x", NULL);
    if (c->on_disk)
        rig_settle(&r);
    assert_int_equal(rig_put(&r, c->lane, "y", &told), c->accepted);
    rig_check(&r);
    rig_pass(&r, 5000);
    rig_check(&r);
    struct outbox_stats s = rig_stats(&r);
    assert_int_equal(told.calls, c->accepted);
    if (c->accepted)
        assert_int_equal(told.result, c->kept ? SL_OK : SL_LIMIT);
    const struct outbox_lane_stats *loser = &s.lane[c->kept ? c->filled : c->lane];
    assert_int_equal(loser->loss[OUTBOX_LOST_FULL].count, c->accepted);
    assert_int_equal(loser->loss[OUTBOX_LOST_FULL].first_ms != 0, c->accepted);
    assert_int_equal(r.core->bytes, r.options.max_bytes);
    rig_free(&r);
}

static void too_large_for_the_whole_store(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    r.options.max_bytes = 1000;
    start(&r);
    must_put(&r, OUTBOX_ALERT, "x", NULL);
    assert_true(rig_put_sized(&r, OUTBOX_ALERT, "y", 1000, &told));
    rig_settle(&r);
    assert_int_equal(told.result, SL_LIMIT);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_ALERT].waiting,
                     1); /* nothing was pushed out for it */
    rig_check(&r);
    rig_free(&r);
}

static void what_is_in_flight_is_not_dropped(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.options.max_bytes = 3 * (DISK_ROW_OVERHEAD + 20 + 1);
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "0", NULL);
    must_put(&r, OUTBOX_NORMAL, "1", NULL);
    must_put(&r, OUTBOX_NORMAL, "2", NULL);
    struct outbox_item *first = rig_take(&r, "0");
    must_put(&r, OUTBOX_NORMAL, "3", NULL); /* drops 1 */
    (void)rig_take(&r, "2");
    (void)rig_take(&r, "3");
    struct told told = { 0 };
    must_put(&r, OUTBOX_NORMAL, "4", &told); /* all is in flight: it is the new one's turn */
    rig_settle(&r);
    assert_int_equal(told.result, SL_LIMIT);
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
    r.options.max_bytes = 100 * (DISK_ROW_OVERHEAD + 20 + 1);
    r.options.read_ahead = 4;
    start(&r);
    for (int i = 0; i < 300; i++) {
        must_put(&r, OUTBOX_TELEMETRY, "x", NULL);
        if (i % 7 == 0)
            rig_settle(&r);
        rig_check(&r);
        uint64_t rows = r.disk.rows[OUTBOX_TELEMETRY].count;
        assert_true(rows <= 100); /* on disk the bound holds always */
    }
    rig_pass(&r, 2000);
    struct outbox_stats s = rig_stats(&r);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].waiting, 100);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_FULL].count, 200);
    rig_check(&r);
    rig_free(&r);
}

static void too_old(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    r.options.max_age_ms = 60000;
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "old", NULL);
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
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "long", NULL);
    struct sl_msg *brief = rig_msg(&r, "brief", 1, 10);
    assert_true(core_put(r.core, OUTBOX_NORMAL, brief, NULL, NULL));
    sl_msg_unref(brief);
    must_put(&r, OUTBOX_NORMAL, "last", NULL);
    rig_pass(&r, 20000);
    core_set_link(r.core, true);
    (void)rig_take(&r, "long");
    (void)rig_take(&r, "last");
    (void)rig_take(&r, NULL);
    rig_check(&r);
    rig_free(&r);
}

/* ---- a disk that fails ---- */

static void memory_is_bounded_when_the_disk_fails(void **state)
{
    (void)state;
    struct rig r;
    struct told told[200] = { 0 };
    rig_init(&r);
    r.options.memory_max_bytes = 100 * 200;
    r.options.when_full = OUTBOX_DROP_NEWEST;
    start(&r);
    r.disk.add_fails = SL_FULL;
    must_put(&r, OUTBOX_NORMAL, "x", &told[0]);
    rig_settle(&r); /* now it is known: the bound is strict */
    for (int i = 1; i < 200; i++)
        must_put(&r, OUTBOX_NORMAL, "x", &told[i]);
    rig_pass(&r, 10000);
    struct outbox_stats s = rig_stats(&r);
    assert_false(s.disk_ok);
    assert_true(strlen(s.disk_error) > 0);
    assert_true(r.core->memory <= r.options.memory_max_bytes);
    assert_true(s.lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_DISK].count > 0);
    assert_int_equal(told[0].calls, 0); /* not safe, and not lost: still waiting */
    assert_int_equal(told[199].result, SL_LIMIT);
    rig_check(&r);
    r.disk.add_fails = SL_OK; /* room again: back to disk by itself */
    rig_pass(&r, 6000);
    s = rig_stats(&r);
    assert_true(s.disk_ok);
    assert_int_equal(told[0].calls, 1);
    assert_int_equal(told[0].result, SL_OK);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, s.lane[OUTBOX_NORMAL].waiting);
    rig_check(&r);
    rig_free(&r);
}

/* The disk works, it is only slower than what comes in. */
static void a_burst_that_is_waited_for_is_not_dropped(void **state)
{
    (void)state;
    struct rig r;
    struct told told[100] = { 0 };
    rig_init(&r);
    r.options.memory_max_bytes = 5000; /* fewer than a hundred of these */
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_tick(&r); /* a commit is out and does not come back */
    for (int i = 0; i < 100; i++)
        must_put(&r, OUTBOX_NORMAL, "x", &told[i]);
    for (int i = 0; i < 100; i++) /* nobody waits for these: they push nobody out */
        must_put(&r, OUTBOX_NORMAL, "y", NULL);
    assert_true(r.core->memory > r.options.memory_max_bytes);
    assert_true(rig_stats(&r).lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_BURST].count >= 99);
    rig_settle(&r);
    for (int i = 0; i < 100; i++)
        assert_int_equal(told[i].calls == 1 && told[i].result == SL_OK, 1);
    rig_check(&r);
    rig_free(&r);
}

static void what_is_waited_for_is_bounded_too(void **state)
{
    (void)state;
    struct rig r;
    static struct told told[2000];
    memset(told, 0, sizeof told);
    rig_init(&r);
    r.options.memory_max_bytes = 100 * 200;
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_tick(&r);
    for (int i = 0; i < 2000; i++)
        must_put(&r, OUTBOX_NORMAL, "x", &told[i]);
    assert_true(r.core->memory <= 8 * r.options.memory_max_bytes);
    assert_true(rig_stats(&r).lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_BURST].count > 0);
    rig_check(&r);
    rig_free(&r);
}

static void a_full_disk_still_drains(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r);
    for (int i = 0; i < 10; i++)
        must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    r.disk.add_fails = SL_FULL;
    must_put(&r, OUTBOX_NORMAL, "y", NULL);
    rig_settle(&r);
    core_set_link(r.core, true);
    for (int i = 0; i < 10; i++)
        core_ack(r.core, rig_take(&r, "x"));
    rig_pass(&r, 20000);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 0); /* deleted without anything added */
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].waiting, 1);
    rig_check(&r);
    rig_free(&r);
}

static void a_full_disk_is_read_without_waiting(void **state)
{
    enum { COUNT = 2000 }; /* many times what is read at once */
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r);
    for (int i = 0; i < COUNT; i++)
        must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    r.disk.add_fails = SL_FULL;
    must_put(&r, OUTBOX_NORMAL, "y", NULL);
    rig_pass(&r, 20000); /* the tries are seconds apart by now */
    core_set_link(r.core, true);
    for (int i = 0; i < COUNT; i++) {
        rig_settle(&r);
        core_ack(r.core, rig_take(&r, "x"));
    }
    rig_check(&r);
    rig_free(&r);
}

static void the_file_has_its_own_bound(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.disk.room_rows = 50;
    start(&r);
    for (int i = 0; i < 200; i++) {
        must_put(&r, OUTBOX_TELEMETRY, "x", NULL);
        rig_settle(&r);
        rig_check(&r);
    }
    rig_pass(&r, 20000);
    struct outbox_stats s = rig_stats(&r);
    assert_true(r.disk.rows[OUTBOX_TELEMETRY].count <= 50);
    assert_true(r.disk.rows[OUTBOX_TELEMETRY].count >= 40);
    assert_true(s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_FULL].count >= 150);
    assert_true(s.disk_ok);
    rig_free(&r);
}

static void without_any_disk_it_runs_in_memory(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    r.disk.open_fails = SL_IO;
    start(&r);
    assert_false(rig_stats(&r).disk_ok);
    core_set_link(r.core, true);
    must_put(&r, OUTBOX_NORMAL, "a", &told);
    core_ack(r.core, rig_take(&r, "a"));
    must_put(&r, OUTBOX_NORMAL, "b", NULL);
    rig_pass(&r, 20000);
    assert_int_equal(told.result, SL_OK);
    assert_int_equal(told.calls, 1);
    r.disk.open_fails = SL_OK;
    rig_pass(&r, 6000);
    struct outbox_stats s = rig_stats(&r);
    assert_true(s.disk_ok);
    assert_int_equal(s.lane[OUTBOX_NORMAL].delivered, 1);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 1);
    rig_check(&r);
    rig_free(&r);
}

static void a_corrupt_disk_is_set_aside_while_running(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.options.read_ahead = 10;
    start(&r);
    for (int i = 0; i < 100; i++)
        must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    core_set_link(r.core, true);
    r.disk.read_fails = SL_CORRUPT;
    while (r.core->lane[OUTBOX_NORMAL].head_next)
        (void)rig_take(&r, "x");
    rig_settle(&r);
    r.disk.read_fails = SL_OK;
    rig_pass(&r, 6000);
    struct outbox_stats s = rig_stats(&r);
    assert_true(strlen(s.set_aside) > 0);
    assert_int_equal(s.lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].count, 90);
    assert_int_equal(s.lane[OUTBOX_NORMAL].waiting, 10); /* they were in memory, and in flight */
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 10);
    rig_check(&r);
    core_return_all(r.core);
    for (int i = 0; i < 10; i++)
        core_ack(r.core, rig_take(&r, "x"));
    rig_pass(&r, 1000);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 0);
    rig_check(&r);
    rig_free(&r);
}

static void rows_that_fail_their_checksum_are_counted(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "a", NULL);
    must_put(&r, OUTBOX_NORMAL, "b", NULL);
    must_put(&r, OUTBOX_NORMAL, "c", NULL);
    rig_settle(&r);
    rig_crash(&r);
    r.disk.rows[OUTBOX_NORMAL].v[1].bad = true;
    start_online(&r);
    (void)rig_take(&r, "a");
    (void)rig_take(&r, "c");
    (void)rig_take(&r, NULL);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].count, 1);
    rig_pass(&r, 1500);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 2);
    rig_check(&r);
    rig_free(&r);
}

static void rows_that_vanished_are_counted(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r);
    for (int i = 0; i < 5; i++)
        must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    rig_crash(&r);
    r.disk.rows[OUTBOX_NORMAL].count = 0; /* the disk lied; the test gives the memory back */
    for (int i = 0; i < 5; i++)
        sl_msg_unref(r.disk.rows[OUTBOX_NORMAL].v[i].msg);
    start_online(&r);
    (void)rig_take(&r, NULL);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].count, 5);
    rig_check(&r);
    rig_free(&r);
}

/* ---- dead letters ---- */

static void a_dead_letter_is_safe_once_it_is_committed(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "a", &told);
    core_dead(r.core, rig_take(&r, "a"), "too large for the cloud");
    rig_check(&r);
    rig_tick(&r);
    assert_int_equal(told.calls, 0);
    rig_pass(&r, 100);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.result, SL_OK);
    assert_int_equal(r.disk.dead.count, 1);
    assert_string_equal(r.disk.dead.v[0].reason, "too large for the cloud");
    struct outbox_stats s = rig_stats(&r);
    assert_int_equal(s.dead, 1);
    assert_int_equal(s.lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_DEAD].count, 1);
    rig_check(&r);
    rig_free(&r);
}

static void dead_while_it_is_written(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "a", &told);
    struct outbox_item *item = rig_take(&r, "a");
    r.mono += 220;
    rig_tick(&r);
    core_dead(r.core, item, "refused");
    rig_pass(&r, 2000);
    assert_int_equal(told.calls, 1);
    assert_int_equal(r.disk.dead.count, 1);
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 0);
    rig_check(&r);
    rig_free(&r);
}

/* ---- crash, restart, numbers ---- */

static void numbers_never_repeat(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    uint64_t highest = 0;
    for (int round = 0; round < 5; round++) {
        start_online(&r);
        for (int i = 0; i < 10; i++) {
            must_put(&r, OUTBOX_NORMAL, "x", NULL);
            struct outbox_item *item = rig_take(&r, "x");
            assert_true(item->number > highest);
            highest = item->number;
            core_ack(r.core, item); /* no trace of it on disk */
        }
        rig_crash(&r);
        r.wall -= 86400000; /* and the clock goes back */
    }
    start(&r);
    rig_free(&r);
}

static void provisional_numbers_give_way(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "old", NULL);
    rig_settle(&r);
    rig_crash(&r);
    r.wall = 1000000; /* a clock without battery */
    r.disk.open_fails = SL_BUSY;
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "shown", NULL);
    must_put(&r, OUTBOX_NORMAL, "new", NULL);
    struct outbox_item *item = rig_take(&r, "shown");
    uint64_t shown = item->number;
    r.disk.open_fails = SL_OK;
    rig_pass(&r, 6000);
    rig_check(&r);
    assert_int_equal(item->number, shown); /* while it is with the sender */
    core_return_all(r.core);
    (void)rig_take(&r, "old");
    uint64_t old = r.core->lane[OUTBOX_NORMAL].head.first->number;
    assert_true(rig_take(&r, "shown")->number > old);
    assert_true(rig_take(&r, "new")->number > old);
    rig_check(&r);
    rig_free(&r);
}

/* A read-only file system, and a gateway that is started again and again: nothing can be reserved.
 */
static void numbers_do_not_repeat_without_a_disk(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.disk.noted = true;
    uint64_t last = 0;
    for (int life = 0; life < 20; life++) {
        start_online(&r);
        for (int n = 0; n < 50; n++) {
            must_put(&r, OUTBOX_NORMAL, "x", NULL);
            rig_settle(&r);
            struct outbox_item *item = rig_take(&r, "x");
            assert_true(item->number > last);
            last = item->number;
            core_ack(r.core, item);
        }
        rig_crash(&r);
        r.disk.open_fails = SL_IO; /* after the first life */
        r.wall += 1 + life;
    }
    r.disk.open_fails = SL_OK;
    r.wall += 20000; /* what was reserved for the first life lies ahead of the clock by less */
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    assert_true(rig_take(&r, "x")->number > last);
    rig_free(&r);
}

static void the_ledger_survives_a_crash(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.options.max_bytes = 10 * (DISK_ROW_OVERHEAD + 20 + 1);
    start(&r);
    for (int i = 0; i < 15; i++) {
        must_put(&r, OUTBOX_TELEMETRY, "x", NULL);
        rig_settle(&r);
    }
    core_set_link(r.core, true);
    core_ack(r.core, rig_take(&r, "x"));
    core_ack(r.core, rig_take(&r, "x"));
    rig_pass(&r, 1000);
    struct outbox_stats before = rig_stats(&r);
    rig_crash(&r);
    start(&r);
    struct outbox_stats after = rig_stats(&r);
    assert_memory_equal(after.lane, before.lane, sizeof before.lane);
    assert_int_equal(after.lane[OUTBOX_TELEMETRY].lost, 5);
    assert_int_equal(after.lane[OUTBOX_TELEMETRY].delivered, 2);
    rig_check(&r);
    rig_free(&r);
}

/* ---- closing ---- */

static void closing_spills_what_is_in_memory(void **state)
{
    (void)state;
    struct rig r;
    struct told told[2] = { 0 };
    rig_init(&r);
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "a", &told[0]);
    must_put(&r, OUTBOX_NORMAL, "b", &told[1]);
    (void)rig_take(&r, "a");
    core_close(r.core);
    assert_false(rig_put(&r, OUTBOX_NORMAL, "c", NULL));
    rig_settle(&r);
    assert_true(core_is_closed(r.core));
    assert_int_equal(r.disk.rows[OUTBOX_NORMAL].count, 2);
    assert_int_equal(r.disk.closes, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(told[i].calls, 1);
        assert_int_equal(told[i].result, SL_OK);
    }
    rig_free(&r);
}

static void closing_keeps_what_was_delivered_from_memory(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start_online(&r);
    must_put(&r, OUTBOX_NORMAL, "a", NULL);
    core_ack(r.core, rig_take(&r, "a"));
    core_close(r.core);
    rig_settle(&r);
    assert_true(core_is_closed(r.core));
    rig_crash(&r);
    start(&r);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].delivered, 1);
    rig_free(&r);
}

static void closing_gives_up_on_a_dead_disk(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    start(&r);
    r.disk.commit_fails = SL_IO;
    must_put(&r, OUTBOX_NORMAL, "a", &told);
    rig_settle(&r);
    core_close(r.core);
    rig_pass(&r, CLOSE_MS_MAX);
    assert_true(core_is_closed(r.core));
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.result, SL_CLOSED);
    rig_free(&r);
}

static void closing_waits_only_so_long(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "a", &told);
    rig_tick(&r);
    core_close(r.core);
    rig_tick(&r); /* the disk hangs: the commit does not come back */
    assert_int_equal(told.calls, 0);
    r.mono += CLOSE_MS_MAX;
    rig_tick(&r);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.result, SL_CLOSED);
    rig_free(&r);
}

/* ---- looking ---- */

struct seen {
    char text[4096];
    unsigned done;
    enum sl_code code;
};

static void see_row(void *ctx, const struct outbox_row *row)
{
    struct seen *seen = ctx;
    size_t at = strlen(seen->text);
    (void)snprintf(seen->text + at, sizeof seen->text - at, "%.*s%s%s ", SL_FMT(row->topic),
                   row->reason ? ":" : "", row->reason ? row->reason : "");
}

static void see_done(void *ctx, enum sl_code code, const char *error)
{
    struct seen *seen = ctx;
    assert_int_equal(code == SL_OK, error == NULL);
    seen->done++;
    seen->code = code;
}

static void look(struct rig *r, enum outbox_lane lane, bool dead, uint32_t limit, const char *want,
                 enum sl_code code)
{
    struct seen seen = { 0 };
    struct outbox_list_request request = {
        .lane = lane, .dead = dead, .limit = limit, .row = see_row, .done = see_done, .ctx = &seen
    };
    assert_int_equal(core_list(r->core, &request), SL_OK);
    assert_int_equal(seen.done, 0);
    rig_settle(r);
    assert_int_equal(seen.done, 1);
    assert_int_equal(seen.code, code);
    assert_string_equal(seen.text, want);
}

static void listing_shows_disk_and_memory(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.options.read_ahead = 1;
    start(&r);
    must_put(&r, OUTBOX_TELEMETRY, "t1", NULL);
    must_put(&r, OUTBOX_NORMAL, "n0", NULL);
    must_put(&r, OUTBOX_NORMAL, "n1", NULL);
    must_put(&r, OUTBOX_NORMAL, "n2", NULL);
    must_put(&r, OUTBOX_NORMAL, "n3", NULL);
    rig_settle(&r);
    core_set_link(r.core, true);
    core_ack(r.core, rig_take(&r, "n0")); /* gone, though its row is still there */
    must_put(&r, OUTBOX_NORMAL, "n4", NULL);
    must_put(&r, OUTBOX_ALERT, "a1", NULL);
    look(&r, OUTBOX_LANES, false, 100, "a1 n1 n2 n3 n4 t1 ", SL_OK);
    look(&r, OUTBOX_LANES, false, 3, "a1 n1 n2 ", SL_OK);
    look(&r, OUTBOX_NORMAL, false, 100, "n1 n2 n3 n4 ", SL_OK);
    look(&r, OUTBOX_TELEMETRY, false, 0, "", SL_OK);
    core_dead(r.core, rig_take(&r, "a1"), "why");
    look(&r, OUTBOX_LANES, true, 100, "a1:why ", SL_OK);
    r.disk.read_fails = SL_IO;
    look(&r, OUTBOX_TELEMETRY, false, 100, "t1 ", SL_IO);
    rig_free(&r);
}

static void listing_while_a_commit_is_out(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    start(&r);
    must_put(&r, OUTBOX_NORMAL, "n1", NULL);
    rig_tick(&r);
    must_put(&r, OUTBOX_NORMAL, "n2", NULL);
    look(&r, OUTBOX_NORMAL, false, 100, "n1 n2 ", SL_OK);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offline_it_goes_to_disk_at_once),
        cmocka_unit_test(what_comes_during_a_commit_is_the_next_group),
        cmocka_unit_test(online_nothing_is_written),
        cmocka_unit_test(unacknowledged_it_spills),
        cmocka_unit_test(what_lingers_spills_later),
        cmocka_unit_test(acknowledged_while_it_is_written),
        cmocka_unit_test(acknowledged_while_a_commit_fails),
        cmocka_unit_test(lanes_by_rank_then_first_come),
        cmocka_unit_test(returned_they_come_again_in_order),
        cmocka_unit_test(a_long_backlog_stays_on_disk),
        cmocka_unit_test(ready_comes_after_nothing_was_there),
        cmocka_unit_test(too_large_for_the_whole_store),
        cmocka_unit_test(what_is_in_flight_is_not_dropped),
        cmocka_unit_test(dropping_what_is_not_in_memory),
        cmocka_unit_test(too_old),
        cmocka_unit_test(a_brief_one_behind_a_long_one_is_never_sent_late),
        cmocka_unit_test(memory_is_bounded_when_the_disk_fails),
        cmocka_unit_test(a_burst_that_is_waited_for_is_not_dropped),
        cmocka_unit_test(what_is_waited_for_is_bounded_too),
        cmocka_unit_test(a_full_disk_still_drains),
        cmocka_unit_test(a_full_disk_is_read_without_waiting),
        cmocka_unit_test(the_file_has_its_own_bound),
        cmocka_unit_test(without_any_disk_it_runs_in_memory),
        cmocka_unit_test(a_corrupt_disk_is_set_aside_while_running),
        cmocka_unit_test(rows_that_fail_their_checksum_are_counted),
        cmocka_unit_test(rows_that_vanished_are_counted),
        cmocka_unit_test(a_dead_letter_is_safe_once_it_is_committed),
        cmocka_unit_test(dead_while_it_is_written),
        cmocka_unit_test(numbers_never_repeat),
        cmocka_unit_test(provisional_numbers_give_way),
        cmocka_unit_test(numbers_do_not_repeat_without_a_disk),
        cmocka_unit_test(the_ledger_survives_a_crash),
        cmocka_unit_test(closing_spills_what_is_in_memory),
        cmocka_unit_test(closing_keeps_what_was_delivered_from_memory),
        cmocka_unit_test(closing_gives_up_on_a_dead_disk),
        cmocka_unit_test(closing_waits_only_so_long),
        cmocka_unit_test(listing_shows_disk_and_memory),
        cmocka_unit_test(listing_while_a_commit_is_out),
    };
    struct CMUnitTest full[SL_ARRAY_LEN(full_cases)] = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(full_cases); i++)
        full[i] = (struct CMUnitTest){ .name = full_cases[i].name,
                                       .test_func = when_full,
                                       .initial_state = (void *)(uintptr_t)&full_cases[i] };
    int failed = cmocka_run_group_tests_name("core", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("when full", full, NULL, NULL);
}
