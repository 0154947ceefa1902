/* test_space.c - the outbox's state machine on a disk that others fill before max_bytes is reached:
 * when_full applies at what the disk holds, and all goes on by itself when there is room again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"
#include "rows.h"

#include <stdio.h>

#define ROW_BYTES (DISK_ROW_OVERHEAD + 1 + 20) /* of rig_put(): a topic of one byte */

enum { ROWS = 400, MORE = 600 };

static void start(struct rig *r, enum outbox_when_full when_full)
{
    rig_init(r);
    r->options.when_full = when_full;
    r->disk.size = 1u << 20;
    rig_open(r);
    rig_settle(r);
}

/* Others take all that is left, and so many rows' room more. */
static void others_fill(struct rig *r)
{
    r->disk.others = r->disk.size - r->disk.file;
}

static unsigned put_many(struct rig *r, enum outbox_lane lane, int count, struct told *told)
{
    unsigned accepted = 0;
    for (int i = 0; i < count; i++) {
        accepted += rig_put(r, lane, i % 2 ? "a" : "b", told ? &told[i] : NULL);
        if (i % 7 == 0)
            rig_settle(r);
        rig_check(r);
    }
    rig_pass(r, 100);
    rig_check(r);
    return accepted;
}

static uint64_t lost(struct rig *r, enum outbox_lane lane, enum outbox_loss why)
{
    return rig_stats(r).lane[lane].loss[why].count;
}

/* How many were told what; the rest have heard nothing. */
static void count_told(const struct told *told, int count, unsigned *ret_safe,
                       unsigned *ret_refused)
{
    *ret_safe = *ret_refused = 0;
    for (int i = 0; i < count; i++) {
        assert_true(told[i].calls <= 1);
        *ret_safe += told[i].calls == 1 && told[i].result == SL_OK;
        *ret_refused += told[i].calls == 1 && told[i].result == SL_LIMIT;
    }
}

/* ---- each policy ---- */

struct policy_case {
    const char *name;
    enum outbox_when_full when_full;
    bool answers_safe;    /* publishers get their acknowledgement: room was made, or the ledger has it */
    bool keeps_oldest;    /* nothing of what lay on the disk goes */
    bool accepts;         /* outbox_put() does */
    enum outbox_loss why; /* the ledger's word */
};

static const struct policy_case policies[] = {
    { "drop-oldest", OUTBOX_DROP_OLDEST, true, false, true, OUTBOX_LOST_NO_ROOM },
    { "thin", OUTBOX_THIN, true, false, true, OUTBOX_LOST_THINNED },
    { "drop-newest", OUTBOX_DROP_NEWEST, true, true, true, OUTBOX_LOST_NO_ROOM },
    { "refuse", OUTBOX_REFUSE, false, true, false, OUTBOX_LOST_NO_ROOM },
};

static void policy(void **state)
{
    const struct policy_case *c = *state;
    static struct told told[MORE];
    memset(told, 0, sizeof told);
    struct rig r;
    start(&r, c->when_full);
    put_many(&r, OUTBOX_TELEMETRY, ROWS, NULL);
    uint64_t first = r.disk.rows[OUTBOX_TELEMETRY].v[0].number;
    assert_true(rig_stats(&r).disk_ok);
    others_fill(&r);
    unsigned accepted = put_many(&r, OUTBOX_TELEMETRY, MORE, told), safe, refused;
    rig_pass(&r, 300); /* the ledger */
    count_told(told, MORE, &safe, &refused);
    assert_true(c->answers_safe ? safe == MORE : safe == 0);
    if (c->accepts)
        assert_int_equal(accepted, MORE);
    else
        assert_true(accepted < 50);             /* those that came before it was known to be full */
    assert_int_equal(safe + refused, accepted); /* nobody is left waiting */
    struct outbox_stats s = rig_stats(&r);
    assert_false(s.disk_ok);
    assert_true(s.no_room);
    assert_non_null(strstr(s.disk_error, "until then"));
    assert_true(lost(&r, OUTBOX_TELEMETRY, c->why) > 0);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_DISK), 0);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_FULL), 0);
    assert_int_equal(r.disk.rows[OUTBOX_TELEMETRY].v[0].number == first, c->keeps_oldest);
    assert_true(r.disk.file <= (uint64_t)(ROWS + 1) * ROW_BYTES); /* it has not grown */
    if (!c->keeps_oldest) /* more than half of what the disk holds is used */
        assert_true(r.disk.rows[OUTBOX_TELEMETRY].count * 2 > ROWS);

    r.disk.others = 0; /* room again: all by itself */
    rig_pass(&r, 6000);
    s = rig_stats(&r);
    assert_true(s.disk_ok);
    assert_false(s.no_room);
    uint64_t before = s.lane[OUTBOX_TELEMETRY].lost;
    memset(told, 0, sizeof told);
    assert_int_equal(put_many(&r, OUTBOX_TELEMETRY, 100, told), 100);
    count_told(told, 100, &safe, &refused);
    assert_int_equal(safe, 100);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_TELEMETRY].lost, before);
    rig_free(&r);
}

/* ---- single situations ---- */

static void a_lane_pushes_out_what_is_less_important(void **state)
{
    (void)state;
    struct told told[20] = { 0 };
    unsigned safe, refused;
    struct rig r;
    start(&r, OUTBOX_DROP_OLDEST);
    put_many(&r, OUTBOX_ALERT, 20, NULL);
    put_many(&r, OUTBOX_TELEMETRY, ROWS, NULL);
    others_fill(&r);
    put_many(&r, OUTBOX_ALERT, 20, told);
    count_told(told, 20, &safe, &refused);
    assert_int_equal(safe, 20);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_ALERT].lost, 0);
    assert_int_equal(r.disk.rows[OUTBOX_ALERT].count, 40);
    rig_free(&r);
}

static void nothing_more_important_gives_way(void **state)
{
    (void)state;
    struct told told[20] = { 0 };
    unsigned safe, refused;
    struct rig r;
    start(&r, OUTBOX_DROP_OLDEST);
    put_many(&r, OUTBOX_ALERT, ROWS, NULL);
    others_fill(&r);
    put_many(&r, OUTBOX_TELEMETRY, 20, told);
    rig_pass(&r, 2000); /* with the ledger */
    count_told(told, 20, &safe, &refused);
    assert_int_equal(safe, 20);
    assert_int_equal(refused, 0);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_NO_ROOM), 20);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_ALERT].lost, 0);
    rig_free(&r);
}

/* Not even a deletion finds room: nothing is dropped from the disk, and memory has its bound. */
static void without_a_byte_for_the_log_it_runs_in_memory(void **state)
{
    (void)state;
    struct told told[MORE] = { 0 };
    unsigned safe, refused;
    struct rig r;
    start(&r, OUTBOX_DROP_OLDEST);
    r.core->options.memory_max_bytes = 100 * 300;
    put_many(&r, OUTBOX_TELEMETRY, ROWS, NULL);
    others_fill(&r);
    r.disk.log_is_stuck = true;
    put_many(&r, OUTBOX_TELEMETRY, MORE, told);
    struct outbox_stats s = rig_stats(&r);
    count_told(told, MORE, &safe, &refused);
    assert_int_equal(safe, 0);
    assert_false(s.disk_ok);
    assert_false(s.no_room);
    assert_non_null(strstr(s.disk_error, "wait in memory"));
    assert_int_equal(r.disk.rows[OUTBOX_TELEMETRY].count, ROWS);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].on_disk, ROWS);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_DISK), refused);
    assert_true(refused > 0 && refused < MORE);
    assert_true(r.core->memory <= r.core->options.memory_max_bytes);
    r.disk.log_is_stuck = false; /* deletions again: the policy makes room */
    rig_pass(&r, 6000);
    count_told(told, MORE, &safe, &refused);
    assert_int_equal(safe + refused, MORE);
    assert_true(rig_stats(&r).no_room);
    rig_check(&r);
    rig_free(&r);
}

static void with_nothing_on_the_disk_it_runs_in_memory(void **state)
{
    (void)state;
    struct told told[10] = { 0 };
    unsigned safe, refused;
    struct rig r;
    start(&r, OUTBOX_REFUSE);
    others_fill(&r);
    assert_int_equal(put_many(&r, OUTBOX_NORMAL, 10, told), 10);
    count_told(told, 10, &safe, &refused);
    assert_int_equal(safe + refused, 0);
    core_set_link(r.core, true); /* it needs no disk to be sent */
    for (int i = 0; i < 10; i++)
        core_ack(r.core, rig_take(&r, i % 2 ? "a" : "b"));
    rig_settle(&r);
    count_told(told, 10, &safe, &refused);
    assert_int_equal(safe, 10);
    rig_check(&r);
    rig_free(&r);
}

/* What the cloud takes leaves room inside the file, however full the disk is. */
static void room_inside_ends_the_alarm(void **state)
{
    (void)state;
    struct told told = { 0 };
    struct rig r;
    start(&r, OUTBOX_DROP_OLDEST);
    for (int i = 0; i < 3000; i++)
        assert_true(rig_put(&r, OUTBOX_TELEMETRY, "a", NULL));
    rig_settle(&r);
    others_fill(&r);
    assert_true(rig_put(&r, OUTBOX_TELEMETRY, "a", NULL));
    rig_pass(&r, 100);
    assert_true(rig_stats(&r).no_room);
    uint64_t dropped = rig_stats(&r).lane[OUTBOX_TELEMETRY].lost;
    assert_true(dropped > 0 && dropped < 1500);
    core_set_link(r.core, true);
    for (uint64_t left = rig_stats(&r).lane[OUTBOX_TELEMETRY].waiting; left > 0; left--) {
        rig_settle(&r);
        core_ack(r.core, rig_take(&r, "a"));
    }
    rig_pass(&r, 10000);
    assert_true(rig_stats(&r).disk_ok);
    core_set_link(r.core, false);
    assert_true(rig_put(&r, OUTBOX_TELEMETRY, "a", &told));
    rig_settle(&r);
    assert_int_equal(told.calls == 1 && told.result == SL_OK, 1);
    assert_true(rig_stats(&r).disk_ok);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_TELEMETRY].lost, dropped);
    rig_free(&r);
}

/* A write that fails though there is room is tried again: nothing is dropped for it. */
static void only_a_disk_that_is_full_makes_room(void **state)
{
    (void)state;
    struct told told = { 0 };
    struct rig r;
    start(&r, OUTBOX_DROP_OLDEST);
    put_many(&r, OUTBOX_TELEMETRY, ROWS, NULL);
    r.disk.add_fails = SL_FULL;
    assert_true(rig_put(&r, OUTBOX_TELEMETRY, "a", &told));
    rig_pass(&r, 60000);
    assert_false(rig_stats(&r).disk_ok);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_TELEMETRY].lost, 0);
    assert_int_equal(told.calls, 0);
    r.disk.add_fails = SL_OK;
    rig_pass(&r, 6000);
    assert_int_equal(told.calls == 1 && told.result == SL_OK, 1);
    rig_check(&r);
    rig_free(&r);
}

static void what_was_lost_is_still_lost_after_a_crash(void **state)
{
    (void)state;
    struct rig r;
    start(&r, OUTBOX_DROP_OLDEST);
    put_many(&r, OUTBOX_TELEMETRY, ROWS, NULL);
    others_fill(&r);
    put_many(&r, OUTBOX_TELEMETRY, MORE, NULL);
    rig_pass(&r, 2000);
    uint64_t before = lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_NO_ROOM);
    uint64_t waiting = rig_stats(&r).lane[OUTBOX_TELEMETRY].waiting;
    rig_crash(&r);
    rig_open(&r);
    rig_settle(&r);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_NO_ROOM), before);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_TELEMETRY].waiting, waiting);
    rig_check(&r);
    rig_free(&r);
}

/* Closing does not wait for room that does not come. */
static void it_closes_on_a_full_disk(void **state)
{
    (void)state;
    struct told told = { 0 };
    struct rig r;
    start(&r, OUTBOX_REFUSE);
    put_many(&r, OUTBOX_TELEMETRY, ROWS, NULL);
    others_fill(&r);
    assert_true(rig_put(&r, OUTBOX_TELEMETRY, "a", &told));
    core_close(r.core);
    rig_settle(&r);
    assert_true(core_is_closed(r.core));
    assert_int_equal(told.calls, 1);
    assert_true(told.result == SL_CLOSED || told.result == SL_LIMIT);
    assert_int_equal(r.disk.rows[OUTBOX_TELEMETRY].count, ROWS);
    rig_free(&r);
}

int main(void)
{
    struct CMUnitTest by_policy[SL_ARRAY_LEN(policies)];
    (void)ROWS_OF(by_policy, policies, policy);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_pushes_out_what_is_less_important),
        cmocka_unit_test(nothing_more_important_gives_way),
        cmocka_unit_test(without_a_byte_for_the_log_it_runs_in_memory),
        cmocka_unit_test(with_nothing_on_the_disk_it_runs_in_memory),
        cmocka_unit_test(room_inside_ends_the_alarm),
        cmocka_unit_test(only_a_disk_that_is_full_makes_room),
        cmocka_unit_test(what_was_lost_is_still_lost_after_a_crash),
        cmocka_unit_test(it_closes_on_a_full_disk),
    };
    int failed = cmocka_run_group_tests_name("by policy", by_policy, NULL, NULL);
    return failed + cmocka_run_group_tests_name("a full disk", tests, NULL, NULL);
}
