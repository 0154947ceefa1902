/* test_core_disk.c - the outbox's state machine on a disk that is full, slow or broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <string.h>

static void memory_is_bounded_when_the_disk_fails(void **state)
{
    (void)state;
    struct rig r;
    struct told told[200] = { 0 };
    rig_init(&r);
    r.options.memory_max_bytes = 100 * 200;
    r.options.when_full = OUTBOX_DROP_NEWEST;
    rig_start(&r);
    r.disk.add_fails = SL_FULL;
    rig_must_put(&r, OUTBOX_NORMAL, "x", &told[0]);
    rig_settle(&r); /* now it is known: the bound is strict */
    for (int i = 1; i < 200; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "x", &told[i]);
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
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_tick(&r); /* a commit is out and does not come back */
    for (int i = 0; i < 100; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "x", &told[i]);
    for (int i = 0; i < 100; i++) /* nobody waits for these: they push nobody out */
        rig_must_put(&r, OUTBOX_NORMAL, "y", NULL);
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
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_tick(&r);
    for (int i = 0; i < 2000; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "x", &told[i]);
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
    rig_start(&r);
    for (int i = 0; i < 10; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    r.disk.add_fails = SL_FULL;
    rig_must_put(&r, OUTBOX_NORMAL, "y", NULL);
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

/* The disk failed, a read of its hangs: nothing is due before that is back. */
static void a_disk_that_hangs_is_not_asked_in_a_loop(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.options.read_ahead = 4;
    rig_start(&r);
    for (int i = 0; i < 20; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    core_set_link(r.core, true);
    rig_tick(&r);
    for (int i = 0; i < 3; i++)
        core_ack(r.core, rig_take(&r, "x"));
    r.disk.commit_fails = SL_IO;
    rig_must_put(&r, OUTBOX_NORMAL, "y", NULL);
    r.mono += 1000;
    core_tick(r.core); /* a commit and a read are out */
    assert_int_equal(core_jobs_out(r.core), 2);
    assert_true(fake_disk_step(&r.disk)); /* the commit fails, the other stays */
    r.mono += 60000;
    rig_tick(&r); /* comes to rest */
    assert_true(core_next_wake(r.core) > r.mono);
    core_close(r.core);
    rig_tick(&r);
    assert_true(core_next_wake(r.core) > r.mono);
    rig_settle(&r);
    assert_true(core_is_closed(r.core));
    rig_free(&r);
}

static void a_full_disk_is_read_without_waiting(void **state)
{
    enum { COUNT = 2000 }; /* many times what is read at once */
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    for (int i = 0; i < COUNT; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    r.disk.add_fails = SL_FULL;
    rig_must_put(&r, OUTBOX_NORMAL, "y", NULL);
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
    rig_start(&r);
    for (int i = 0; i < 200; i++) {
        rig_must_put(&r, OUTBOX_TELEMETRY, "x", NULL);
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
    rig_start(&r);
    assert_false(rig_stats(&r).disk_ok);
    core_set_link(r.core, true);
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told);
    core_ack(r.core, rig_take(&r, "a"));
    rig_must_put(&r, OUTBOX_NORMAL, "b", NULL);
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
    rig_start(&r);
    for (int i = 0; i < 100; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
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
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "b", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "c", NULL);
    rig_settle(&r);
    rig_crash(&r);
    r.disk.rows[OUTBOX_NORMAL].v[1].bad = true;
    rig_start_online(&r);
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
    rig_start(&r);
    for (int i = 0; i < 5; i++)
        rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    rig_crash(&r);
    r.disk.rows[OUTBOX_NORMAL].count = 0; /* the disk lied; the test gives the memory back */
    for (int i = 0; i < 5; i++)
        sl_msg_unref(r.disk.rows[OUTBOX_NORMAL].v[i].msg);
    rig_start_online(&r);
    (void)rig_take(&r, NULL);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].count, 5);
    rig_check(&r);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_bounded_when_the_disk_fails),
        cmocka_unit_test(a_burst_that_is_waited_for_is_not_dropped),
        cmocka_unit_test(what_is_waited_for_is_bounded_too),
        cmocka_unit_test(a_full_disk_still_drains),
        cmocka_unit_test(a_disk_that_hangs_is_not_asked_in_a_loop),
        cmocka_unit_test(a_full_disk_is_read_without_waiting),
        cmocka_unit_test(the_file_has_its_own_bound),
        cmocka_unit_test(without_any_disk_it_runs_in_memory),
        cmocka_unit_test(a_corrupt_disk_is_set_aside_while_running),
        cmocka_unit_test(rows_that_fail_their_checksum_are_counted),
        cmocka_unit_test(rows_that_vanished_are_counted),
    };
    return cmocka_run_group_tests_name("core on bad disks", tests, NULL, NULL);
}
