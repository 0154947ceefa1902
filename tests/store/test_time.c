/* test_time.c - the outbox on machines whose clock is wrong at first: stamps that are put right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW  ((int64_t)1800000000000)
#define HOUR ((int64_t)3600000)

static bool system_says;
static bool clock_is_set(void)
{
    return system_says;
}

static void start(struct rig *r, int64_t wall)
{
    rig_init(r);
    r->wall = wall;
    rig_open(r);
    rig_settle(r);
}

static void put(struct rig *r)
{
    assert_true(rig_put(r, OUTBOX_NORMAL, "a", NULL));
    rig_settle(r);
}

static int64_t taken_at(struct rig *r)
{
    struct outbox_item *item = rig_take(r, "a");
    int64_t wall = item->wall_ms;
    core_ack(r->core, item);
    return wall;
}

static void online(struct rig *r)
{
    core_set_link(r->core, true);
    rig_settle(r);
}

static void set_while_it_waits(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 5000); /* 1970 */
    put(&r);
    rig_pass(&r, 10 * HOUR);
    put(&r);
    r.wall = NOW;
    rig_pass(&r, HOUR);
    put(&r);
    online(&r);
    assert_int_equal(taken_at(&r), NOW - 10 * HOUR);
    assert_int_equal(taken_at(&r), NOW);
    assert_int_equal(taken_at(&r), NOW + HOUR);
    rig_free(&r);
}

/* The sender holds on to it over the moment; what it sends next has the time, to the millisecond.
 */
static void set_while_it_is_with_the_sender(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 5000);
    put(&r);
    rig_pass(&r, HOUR); /* on disk by now */
    online(&r);
    put(&r); /* in memory */
    struct outbox_item *first = rig_take(&r, "a"), *second = rig_take(&r, "a");
    assert_int_equal(first->wall_ms, 0);
    assert_int_equal(second->wall_ms, 0);
    rig_pass(&r, 60);
    core_tell_time(r.core);
    assert_int_equal(second->wall_ms, 0); /* not yet */
    r.wall = NOW;
    core_tell_time(r.core);
    assert_int_equal(first->wall_ms, NOW - HOUR - 60);
    assert_int_equal(second->wall_ms, NOW - 60);
    core_return_all(r.core);
    assert_int_equal(taken_at(&r), NOW - HOUR - 60);
    assert_int_equal(taken_at(&r), NOW - 60);
    rig_free(&r);
}

/* Made before, accepted after: it waited in the broker's queue. */
static void set_between_broker_and_store(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 5000);
    online(&r);
    struct sl_msg *m = rig_msg(&r, "a", 20, SL_MSG_NO_EXPIRY);
    r.wall = NOW;
    assert_true(core_put(r.core, OUTBOX_NORMAL, m, NULL, NULL));
    sl_msg_unref(m);
    assert_int_equal(taken_at(&r), NOW);
    rig_free(&r);
}

static int64_t shown_ms;
static void show(void *ctx, const struct outbox_row *row)
{
    (void)ctx;
    shown_ms = row->wall_ms;
}
static void shown(void *ctx, enum sl_code code, const char *error)
{
    (void)ctx;
    (void)error;
    assert_int_equal(code, SL_OK);
}

static int64_t listed_at(struct rig *r, bool dead)
{
    struct outbox_list_request request = {
        .lane = OUTBOX_NORMAL, .dead = dead, .limit = 10, .row = show, .done = shown
    };
    shown_ms = -1;
    assert_int_equal(core_list(r->core, &request), SL_OK);
    rig_settle(r);
    return shown_ms;
}

static void whoever_looks_sees_the_time(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 5000);
    put(&r);
    assert_int_equal(listed_at(&r, false), 0);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].oldest_wall_ms, 0);
    rig_pass(&r, HOUR);
    r.wall = NOW;
    rig_pass(&r, 2000);
    assert_int_equal(listed_at(&r, false), NOW - HOUR);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].oldest_wall_ms, NOW - HOUR);
    online(&r);
    core_dead(r.core, rig_take(&r, "a"), "refused");
    assert_int_equal(listed_at(&r, true), NOW - HOUR); /* not written yet */
    rig_pass(&r, 2000);
    assert_int_equal(listed_at(&r, true), NOW - HOUR);
    rig_free(&r);
}

static void never_set_is_not_told(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 5000);
    put(&r);
    online(&r);
    assert_int_equal(taken_at(&r), 0);
    rig_free(&r);
}

/* What was accepted before the clock was set may live until max_age all the same, and no longer. */
static void ages_do_not_jump(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.options.max_age_ms = HOUR;
    r.wall = 5000;
    rig_open(&r);
    rig_settle(&r);
    put(&r);
    r.wall = NOW;
    rig_pass(&r, HOUR - 1000);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].waiting, 1);
    rig_pass(&r, 2000);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_NORMAL].waiting, 0);
    rig_free(&r);
}

static void start_doubtful(struct rig *r, int64_t wall)
{
    system_says = false;
    rig_init(r);
    r->options.clock_is_set = clock_is_set;
    r->wall = wall;
    rig_open(r);
    rig_settle(r);
}

static void the_system_says_so(void **state)
{
    (void)state;
    struct rig r;
    start_doubtful(&r, NOW - 30 * 24 * HOUR); /* the time of the last shutdown, say */
    put(&r);
    put(&r);
    online(&r);
    assert_int_equal(taken_at(&r), NOW - 30 * 24 * HOUR); /* as good as it gets */
    core_set_link(r.core, false);
    rig_pass(&r, HOUR);
    r.wall = NOW;
    system_says = true;
    rig_pass(&r, 2000);
    online(&r);
    assert_int_equal(taken_at(&r), NOW - HOUR);
    rig_free(&r);
}

static void a_step_sets_it(void **state)
{
    (void)state;
    struct rig r;
    start_doubtful(&r, NOW - 30 * 24 * HOUR);
    put(&r);
    rig_pass(&r, HOUR);
    r.wall = NOW; /* set by hand */
    rig_pass(&r, 2000);
    put(&r);
    online(&r);
    assert_int_equal(taken_at(&r), NOW - HOUR);
    assert_int_equal(taken_at(&r), NOW + 2000);
    rig_free(&r);
}

static void steps_of_a_good_clock_change_nothing(void **state)
{
    (void)state;
    struct rig r;
    start(&r, NOW);
    put(&r);
    r.wall += 5 * HOUR;
    rig_pass(&r, HOUR);
    put(&r);
    r.wall -= 9 * HOUR;
    rig_pass(&r, HOUR);
    online(&r);
    assert_int_equal(taken_at(&r), NOW);
    assert_int_equal(taken_at(&r), NOW + 6 * HOUR);
    rig_free(&r);
}

/* The process ends and begins again, in the same boot, before or after the clock was set. */
static void over_a_restart(void **state)
{
    (void)state;
    for (int set_before = 0; set_before < 2; set_before++) {
        struct rig r;
        start(&r, 5000);
        put(&r);
        rig_pass(&r, HOUR);
        if (set_before) {
            r.wall = NOW;
            rig_pass(&r, 2000);
        }
        rig_crash(&r);
        rig_open(&r);
        rig_settle(&r);
        if (!set_before) {
            r.wall = NOW;
            rig_pass(&r, 2000);
        }
        online(&r);
        assert_int_equal(taken_at(&r), NOW - HOUR);
        rig_free(&r);
    }
}

/* For the next boot the disk has to know, even if nobody puts or takes anything any more. */
static void the_disk_is_told(void **state)
{
    (void)state;
    for (int set_while_down = 0; set_while_down < 2; set_while_down++) {
        struct rig r;
        start(&r, 5000);
        put(&r);
        rig_pass(&r, HOUR);
        assert_false(r.disk.clock_set);
        if (set_while_down)
            rig_crash(&r);
        r.wall = NOW;
        if (set_while_down)
            rig_open(&r);
        rig_pass(&r, 2000);
        assert_true(r.disk.clock_set);
        assert_int_equal(r.mono + r.disk.clock_offset_ms, r.wall);
        rig_free(&r);
    }
}

static void nothing_to_tell(void **state)
{
    (void)state;
    struct rig r;
    start(&r, NOW);
    put(&r);
    rig_pass(&r, HOUR);
    assert_false(r.disk.clock_set);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_while_it_waits),
        cmocka_unit_test(set_while_it_is_with_the_sender),
        cmocka_unit_test(set_between_broker_and_store),
        cmocka_unit_test(whoever_looks_sees_the_time),
        cmocka_unit_test(never_set_is_not_told),
        cmocka_unit_test(ages_do_not_jump),
        cmocka_unit_test(the_system_says_so),
        cmocka_unit_test(a_step_sets_it),
        cmocka_unit_test(steps_of_a_good_clock_change_nothing),
        cmocka_unit_test(over_a_restart),
        cmocka_unit_test(the_disk_is_told),
        cmocka_unit_test(nothing_to_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
