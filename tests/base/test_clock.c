/* test_clock.c - moments told later, by a wall clock that was set meanwhile. */
#include "base/clock.h"
#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NOW INT64_C(1800000000000)

struct clocks {
    int64_t mono, wall;
};

static int64_t mono_of(void *ctx)
{
    return ((struct clocks *)ctx)->mono;
}

static int64_t wall_of(void *ctx)
{
    return ((struct clocks *)ctx)->wall;
}

static const struct moment_case {
    const char *name;
    struct clocks then, now;
    int64_t want;
} cases[] = {
    { "at once", { 5, NOW }, { 5, NOW }, NOW },
    { "an hour later", { 5, NOW }, { 3600005, NOW + 3600000 }, NOW },
    { "the clocks read a moment apart", { 5, NOW }, { 1005, NOW + 1003 }, NOW },
    { "corrected by less than a minute", { 5, NOW }, { 5, NOW + 59999 }, NOW },
    { "set from 1970", { 9000, 4000 }, { 19000, NOW }, NOW - 10000 },
    { "set forward by a minute", { 0, NOW }, { 0, NOW + 60000 }, NOW + 60000 },
    { "set back by a day", { 0, NOW }, { 7000, NOW - 86400000 }, NOW - 86407000 },
};

static void told_later(void **state)
{
    const struct moment_case *c = *state;
    struct clocks at = c->then;
    struct sl_clock clock = { mono_of, wall_of, &at };
    struct sl_moment m = sl_moment_now(&clock);
    assert_int_equal(sl_moment_wall_ms(&m, &clock), c->then.wall);
    at = c->now;
    assert_int_equal(sl_moment_wall_ms(&m, &clock), c->want);
    at.mono += 12345; /* and it stays there */
    at.wall += 12345;
    assert_int_equal(sl_moment_wall_ms(&m, &clock), c->want);
}

int main(void)
{
    static struct CMUnitTest tests[SL_ARRAY_LEN(cases)];
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        tests[i] = (struct CMUnitTest){ .name = cases[i].name,
                                        .test_func = told_later,
                                        .initial_state = (void *)(uintptr_t)&cases[i] };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
