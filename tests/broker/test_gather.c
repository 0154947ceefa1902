/* test_gather.c - when loop turns are kept apart, under a simulated clock. */
#include "gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Runs turns for ms: each comes every_ns after the last (or after the wait) and finds so many
 * reads. `answers`: the peers send only when answered, so a wait costs reads; else they come all
 * the same and gather. Returns the turns that were delayed. */
struct world {
    uint64_t now_ns, owed_ns, packets,
        late_ns; /* late: so much longer is each wait than asked for */
};
static unsigned play(struct gather *g, struct world *w, uint64_t ms, uint64_t every_ns,
                     uint32_t reads, bool answers)
{
    unsigned delayed = 0;
    for (uint64_t end = w->now_ns + ms * 1000000u; w->now_ns < end;) {
        g->blocked = true;
        uint64_t wait = gather_turn(g, w->packets, w->now_ns);
        wait += wait > 0 ? w->late_ns : 0;
        uint64_t step = wait > every_ns || (answers && wait > 0) ? wait + every_ns : every_ns;
        w->now_ns += step;
        w->owed_ns += step;
        g->turn_inputs = answers ? reads : reads * (uint32_t)(w->owed_ns / every_ns);
        w->owed_ns %= every_ns;
        w->packets += g->turn_inputs;
        delayed += wait > 0;
    }
    return delayed;
}

static const struct gather_case {
    const char *name;
    uint64_t every_ns;
    uint32_t reads;
    bool answers, delayed;
} cases[] = {
    { "20,000 a second one by one are gathered", 50000, 1, false, true },
    { "6,000 a second too", 160000, 1, false, true },
    { "4,000 a second are not worth it", 250000, 1, false, false },
    { "one that waits for each answer is not slowed", 60000, 1, true, false },
    { "five that wait for answers neither", 60000, 5, true, false },
    { "turns that find plenty have nothing to gain", 100000, 40, false, false },
};

/* After ten seconds: trials that fail get rarer. */
static void gathers(void **state)
{
    const struct gather_case *c = *state;
    struct gather g = { 0 };
    struct world w = { .now_ns = 1 };
    (void)play(&g, &w, 10000, c->every_ns, c->reads, c->answers);
    unsigned delayed = play(&g, &w, 30000, c->every_ns, c->reads, c->answers);
    uint64_t turns = 30000000000u / (c->every_ns > GATHER_NS ? c->every_ns : GATHER_NS);
    if (c->delayed)
        assert_true(delayed > turns / 2);
    else
        assert_true(delayed < turns / 20);
}

static void a_single_message_never_waits(void **state)
{
    (void)state;
    struct gather g = { 0 };
    struct world w = { .now_ns = 1 };
    (void)play(&g, &w, 1000, 50000, 1, false);
    assert_true(g.on);
    w.now_ns += 1000000000u;
    g.turn_inputs = 1;
    assert_int_equal(gather_turn(&g, w.packets + 1, w.now_ns), 0);
    assert_false(g.on);
}

static void what_is_there_already_does_not_wait(void **state)
{
    (void)state;
    struct gather g = { .on = true, .blocked = true, .turn_inputs = 3 };
    assert_true(gather_turn(&g, 0, 1000) > 0);
    g.turn_inputs = 3;
    gather_polled(&g, g.turn_ns + GATHER_BLOCKED - 1);
    assert_int_equal(gather_turn(&g, 0, g.turn_ns + 20000), 0);
}

/* A trial that began while less came in does not go on for ever. */
static void is_compared_anew(void **state)
{
    (void)state;
    struct gather g = { 0 };
    struct world w = { .now_ns = 1 };
    (void)play(&g, &w, 500, 160000, 1, false);
    assert_true(g.on);
    (void)play(&g, &w, 4000, 20000, 10, true);
    unsigned delayed = play(&g, &w, 10000, 20000, 10, true);
    assert_true(delayed < 10000000000u / 20000 / 100);
}

/* Those that waited for answers made trials rare. After a pause that is forgotten. */
static void a_pause_ends_the_rest(void **state)
{
    (void)state;
    struct gather g = { 0 };
    struct world w = { .now_ns = 1 };
    (void)play(&g, &w, 60000, 60000, 1, true);
    assert_true(g.rest > 10 || g.rest_next > 100);
    w.now_ns += 1000000000u;
    (void)play(&g, &w, 300, 50000, 1, false);
    unsigned delayed = play(&g, &w, 1000, 50000, 1, false);
    assert_true(delayed > 1000000000u / GATHER_NS / 2);
}

/* What a trial itself slows to fewer reads than are worth one has not paused: it is a failure. */
static void a_slow_machine_does_not_slow_who_waits(void **state)
{
    (void)state;
    struct gather g = { 0 };
    struct world w = { .now_ns = 1, .late_ns = 400000 };
    (void)play(&g, &w, 10000, 190000, 1, true);
    unsigned delayed = play(&g, &w, 30000, 190000, 1, true);
    assert_true(delayed < 30000000000u / 190000 / 20);
}

static void never_waits_longer_than_said(void **state)
{
    (void)state;
    struct gather g = { 0 };
    uint64_t now = 1;
    g.blocked = true;
    for (unsigned i = 0; i < 100000; i++) {
        g.turn_inputs = i % 3;
        uint64_t wait = gather_turn(&g, i, now);
        assert_true(wait <= GATHER_NS);
        now += wait + 1000u * (i % 7);
    }
}

int main(void)
{
    struct CMUnitTest tests[sizeof cases / sizeof cases[0] + 6];
    size_t n = 0;
    for (; n < sizeof cases / sizeof cases[0]; n++)
        tests[n] = (struct CMUnitTest){ .name = cases[n].name,
                                        .test_func = gathers,
                                        .initial_state = (void *)&cases[n] };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_single_message_never_waits);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(what_is_there_already_does_not_wait);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(is_compared_anew);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_pause_ends_the_rest);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_slow_machine_does_not_slow_who_waits);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(never_waits_longer_than_said);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
