/* test_gpio_debounce.c - scripts of edges and times, and what is reported of them. */
#include "debounce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rows.h"

#include "base/macros.h"

#include <stdio.h>

/* One step: 'e' an edge to level, 's' a sample, 'r' the rest timer with the level then. */
struct step {
    char what;
    int level;
    int64_t at_ms;
};

static const struct debounce_case {
    const char *name;
    int64_t period_ms;
    int start;
    struct step steps[8];
    const char *want; /* one character a step: '0' or '1' reported, '.' nothing */
    int64_t due_ms;   /* afterwards */
} cases[] = {
    { "no period: at once", 0, 0, { { 'e', 1, 5 }, { 'e', 0, 5 } }, "10", GPIO_NEVER },
    { "no period: same level is no news",
      0,
      1,
      { { 'e', 1, 5 }, { 'e', 1, 6 } },
      "..",
      GPIO_NEVER },
    { "no period: a sample finds a lost edge", 0, 0, { { 's', 1, 9 } }, "1", GPIO_NEVER },
    { "one edge, one period later", 10, 0, { { 'e', 1, 100 }, { 'r', 1, 110 } }, ".1", GPIO_NEVER },
    { "timer a millisecond early", 10, 0, { { 'e', 1, 100 }, { 'r', 1, 109 } }, "..", 110 },
    { "each edge starts the period anew",
      10,
      0,
      { { 'e', 1, 0 },
        { 'e', 0, 4 },
        { 'e', 1, 8 },
        { 'r', 1, 10 },
        { 'r', 1, 17 },
        { 'r', 1, 18 } },
      ".....1",
      GPIO_NEVER },
    { "a burst that ends where it began",
      10,
      0,
      { { 'e', 1, 0 }, { 'e', 0, 3 }, { 'r', 0, 13 } },
      "...",
      GPIO_NEVER },
    { "the level at the end counts", 10, 0, { { 'e', 1, 0 }, { 'r', 0, 10 } }, "..", GPIO_NEVER },
    { "still bouncing", 10, 1, { { 'e', 0, 0 }, { 'e', 1, 9 }, { 'e', 0, 18 } }, "...", 28 },
    { "a sample like the last edge does not prolong",
      10,
      0,
      { { 'e', 1, 0 }, { 's', 1, 5 } },
      "..",
      10 },
    { "a sample unlike it does", 10, 0, { { 'e', 1, 0 }, { 's', 0, 5 } }, "..", 15 },
    { "a sample starts a period", 10, 0, { { 's', 1, 50 }, { 'r', 1, 60 } }, ".1", GPIO_NEVER },
    { "timer without an edge", 10, 0, { { 'r', 1, 1000 } }, ".", GPIO_NEVER },
    { "up and down",
      10,
      0,
      { { 'e', 1, 0 }, { 'r', 1, 10 }, { 'e', 0, 40 }, { 'r', 0, 50 } },
      ".1.0",
      GPIO_NEVER },
};

static bool take(struct debounce *d, const struct step *s)
{
    switch (s->what) {
    case 'e': return debounce_edge(d, s->level, s->at_ms);
    case 's': return debounce_sample(d, s->level, s->at_ms);
    case 'r': return debounce_rest(d, s->level, s->at_ms);
    }
    fail();
    return false;
}

static void debounces(void **state)
{
    const struct debounce_case *c = *state;
    struct debounce d;
    char got[SL_ARRAY_LEN(c->steps) + 1] = "";
    debounce_start(&d, c->period_ms, c->start);
    for (size_t i = 0; i < SL_ARRAY_LEN(c->steps) && c->steps[i].what; i++) {
        bool reported = take(&d, &c->steps[i]);
        got[i] = (char)(reported ? '0' + d.reported : '.');
    }
    assert_string_equal(got, c->want);
    assert_int_equal(d.due_ms, c->due_ms);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases)];
    (void)ROWS_OF(tests, cases, debounces);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
