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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_while_it_waits),
        cmocka_unit_test(never_set_is_not_told),
        cmocka_unit_test(ages_do_not_jump),
        cmocka_unit_test(the_system_says_so),
        cmocka_unit_test(a_step_sets_it),
        cmocka_unit_test(steps_of_a_good_clock_change_nothing),
        cmocka_unit_test(over_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
