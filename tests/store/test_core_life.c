/* test_core_life.c - the outbox's state machine over crashes, restarts and its close, its numbers
 * and its listings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <stdio.h>
#include <string.h>

/* ---- crash, restart, numbers ---- */

static void numbers_never_repeat(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    uint64_t highest = 0;
    for (int round = 0; round < 5; round++) {
        rig_start_online(&r);
        for (int i = 0; i < 10; i++) {
            rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
            struct outbox_item *item = rig_take(&r, "x");
            assert_true(item->number > highest);
            highest = item->number;
            core_ack(r.core, item); /* no trace of it on disk */
        }
        rig_crash(&r);
        r.wall -= 86400000; /* and the clock goes back */
    }
    rig_start(&r);
    rig_free(&r);
}

static void provisional_numbers_give_way(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "old", NULL);
    rig_settle(&r);
    rig_crash(&r);
    r.wall = 1000000; /* a clock without battery */
    r.disk.open_fails = SL_BUSY;
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "shown", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "new", NULL);
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
        rig_start_online(&r);
        for (int n = 0; n < 50; n++) {
            rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
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
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "x", NULL);
    rig_settle(&r);
    assert_true(rig_take(&r, "x")->number > last);
    rig_free(&r);
}

static void the_ledger_survives_a_crash(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.options.max_bytes = rig_bytes_max((uint64_t)10 * (DISK_ROW_OVERHEAD + 20 + 1));
    rig_start(&r);
    for (int i = 0; i < 15; i++) {
        rig_must_put(&r, OUTBOX_TELEMETRY, "x", NULL);
        rig_settle(&r);
    }
    core_set_link(r.core, true);
    core_ack(r.core, rig_take(&r, "x"));
    core_ack(r.core, rig_take(&r, "x"));
    rig_pass(&r, 1000);
    struct outbox_stats before = rig_stats(&r);
    rig_crash(&r);
    rig_start(&r);
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
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told[0]);
    rig_must_put(&r, OUTBOX_NORMAL, "b", &told[1]);
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
    rig_start_online(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", NULL);
    core_ack(r.core, rig_take(&r, "a"));
    core_close(r.core);
    rig_settle(&r);
    assert_true(core_is_closed(r.core));
    rig_crash(&r);
    rig_start(&r);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].delivered, 1);
    rig_free(&r);
}

static void closing_gives_up_on_a_dead_disk(void **state)
{
    (void)state;
    struct rig r;
    struct told told = { 0 };
    rig_init(&r);
    rig_start(&r);
    r.disk.commit_fails = SL_IO;
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told);
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
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "a", &told);
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
    rig_start(&r);
    rig_must_put(&r, OUTBOX_TELEMETRY, "t1", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "n0", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "n1", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "n2", NULL);
    rig_must_put(&r, OUTBOX_NORMAL, "n3", NULL);
    rig_settle(&r);
    core_set_link(r.core, true);
    core_ack(r.core, rig_take(&r, "n0")); /* gone, though its row is still there */
    rig_must_put(&r, OUTBOX_NORMAL, "n4", NULL);
    rig_must_put(&r, OUTBOX_ALERT, "a1", NULL);
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
    rig_start(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "n1", NULL);
    rig_tick(&r);
    rig_must_put(&r, OUTBOX_NORMAL, "n2", NULL);
    look(&r, OUTBOX_NORMAL, false, 100, "n1 n2 ", SL_OK);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    return cmocka_run_group_tests_name("life of the core", tests, NULL, NULL);
}
