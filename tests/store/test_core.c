/* test_core.c - the outbox's state machine, one situation at a time: what is safe when, in which
 * order it is sent, and dead letters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <stdio.h>

/* ---- safe ---- */

static void offline_it_goes_to_disk_at_once(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told);
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
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", NULL);
    rig_tick(&r);
    for (int i = 0; i < 50; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "b", NULL);
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
    rig_start_online(&r);
    for (int i = 0; i < 100; i++) {
        rig_must_put(&r, OUTBOX_TELEMETRY, "a", &told[i]);
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
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told);
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
    rig_start_online(&r);
    struct sl_msg *m = rig_msg(&r, "a", 10, SL_MSG_NO_EXPIRY);
    m->batch = 7;
    m->linger_ms = 1000;
    assert_true(core_put(r.core, OUTBOX_NORMAL, m, rig_told, &told));
    sl_msg_unref(m);
    rig_must_put(&r, OUTBOX_NORMAL, "b", &told);
    rig_must_put(&r, OUTBOX_ALERT, "c", &told);
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
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told);
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
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told);
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
    rig_start(&r);
    rig_must_put(&r, OUTBOX_TELEMETRY, "t1", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "n1", NULL);
    rig_settle(&r); /* on disk */
    rig_must_put(&r, OUTBOX_TELEMETRY, "t2", NULL);
    rig_must_put(&r, OUTBOX_ALERT, "a1", NULL); /* in memory */
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
    rig_start(&r);
    char topic[16];
    for (int i = 0; i < 6; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        rig_must_put(&r, OUTBOX_NORMAL, topic, NULL);
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
    rig_start(&r);
    char topic[16];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        rig_must_put(&r, OUTBOX_TELEMETRY, topic, NULL);
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

static void ack_next(struct rig *r, int count)
{
    for (int i = 0; i < count; i++) {
        struct outbox_item *item = core_take(r->core);
        if (!item) { /* it has to be read first */
            rig_settle(r);
            item = core_take(r->core);
        }
        assert_non_null(item);
        core_ack(r->core, item);
    }
}

/* A commit that deletes for long keeps reads waiting, and the cloud with them. */
static void many_deletions_do_not_wait(void **state)
{
    (void)state;
    enum { MORE = 100, COUNT = 2 * FORGET_ROWS + MORE };
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    for (int i = 0; i < COUNT; i++)
        rig_must_put(&r, OUTBOX_TELEMETRY, "m", NULL);
    rig_settle(&r);
    core_set_link(r.core, true);
    rig_settle(&r);
    assert_int_equal(r.disk.rows[OUTBOX_TELEMETRY].count, COUNT);
    ack_next(&r, FORGET_ROWS - 1);
    rig_settle(&r);
    assert_int_equal(r.disk.rows[OUTBOX_TELEMETRY].count, COUNT);
    ack_next(&r, 1);
    rig_tick(
        &r); /* a commit is out: what is settled now waits for the next, which is not yet due */
    ack_next(&r, 1);
    rig_settle(&r);
    assert_int_equal(r.disk.rows[OUTBOX_TELEMETRY].count, COUNT - FORGET_ROWS);
    ack_next(&r, FORGET_ROWS - 1);
    rig_settle(&r);
    assert_int_equal(r.disk.rows[OUTBOX_TELEMETRY].count, MORE);
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
    rig_start(&r);
    core_on_ready(r.core, count_ready, &ready);
    rig_must_put(&r, OUTBOX_NORMAL, "a", NULL);
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
    rig_must_put(&r, OUTBOX_NORMAL, "b", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "c", NULL);
    rig_settle(&r);
    assert_int_equal(ready, 2); /* once, until it is asked again */
    rig_free(&r);
}

/* ---- dead letters ---- */

static void a_dead_letter_is_safe_once_it_is_committed(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told);
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
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told);
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
        cmocka_unit_test(many_deletions_do_not_wait),
        cmocka_unit_test(ready_comes_after_nothing_was_there),
        cmocka_unit_test(a_dead_letter_is_safe_once_it_is_committed),
        cmocka_unit_test(dead_while_it_is_written),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
