/* test_gpio_drive.c - scripts of commands and times, and the levels of the output. */
#include "drive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rows.h"

#include "base/macros.h"

/* A command, or with 't' the timer. value: state, millihertz or milliseconds. */
struct step {
    char what; /* s state, x toggle, b blink, p pulse, t tick */
    int64_t value;
    int64_t at_ms;
};

static const struct drive_case {
    const char *name;
    int start;
    struct step steps[10];
    const char *want; /* one character a step: the level; '!' behind it when the tick is news */
    int64_t due_ms;   /* afterwards, seen from the last step's time */
} cases[] = {
    { "on and off", 0, { { 's', 1, 0 }, { 's', 0, 1 } }, "10", GPIO_NEVER },
    { "toggle", 1, { { 'x', 0, 0 }, { 'x', 0, 1 } }, "01", GPIO_NEVER },
    { "a tick while steady", 1, { { 't', 0, 99 } }, "1", GPIO_NEVER },
    { "blink: half a period each",
      0,
      { { 'b', 2500, 1000 },
        { 't', 0, 1199 },
        { 't', 0, 1200 },
        { 't', 0, 1399 },
        { 't', 0, 1400 } },
      "11001",
      1600 },
    { "blink: missed phases are skipped", 0, { { 'b', 1000, 0 }, { 't', 0, 10250 } }, "11", 10500 },
    { "blink: no drift with odd periods",
      0,
      { { 'b', 30000, 0 }, { 't', 0, 999984 } },
      "10",
      1000000 },
    { "blink: fastest", 0, { { 'b', 50000, 0 }, { 't', 0, 10 }, { 't', 0, 20 } }, "101", 30 },
    { "blink: slowest", 0, { { 'b', 50, 0 }, { 't', 0, 9999 }, { 't', 0, 10000 } }, "110", 20000 },
    { "blink: a clock that stands still", 0, { { 'b', 1000, 500 }, { 't', 0, 400 } }, "11", 1000 },
    { "blink 0 goes back to off", 0, { { 'b', 1000, 0 }, { 'b', 0, 100 } }, "10", GPIO_NEVER },
    { "blink 0 goes back to on",
      1,
      { { 'b', 1000, 0 }, { 't', 0, 600 }, { 'b', 0, 700 } },
      "101",
      GPIO_NEVER },
    { "blink 0 without a blink", 1, { { 'b', 0, 0 } }, "1", GPIO_NEVER },
    { "blink 0 leaves a pulse alone", 0, { { 'p', 100, 0 }, { 'b', 0, 10 } }, "11", 100 },
    { "another blink keeps what to go back to",
      1,
      { { 'b', 1000, 0 }, { 'b', 2000, 5 }, { 'b', 0, 9 } },
      "111",
      GPIO_NEVER },
    { "a state ends a blink", 0, { { 'b', 1000, 0 }, { 's', 0, 100 } }, "10", GPIO_NEVER },
    { "toggle inverts what a blink interrupted",
      0,
      { { 'b', 1000, 0 }, { 't', 0, 500 }, { 'x', 0, 510 } },
      "101",
      GPIO_NEVER },
    { "pulse", 0, { { 'p', 200, 50 }, { 't', 0, 249 }, { 't', 0, 250 } }, "110!", GPIO_NEVER },
    { "a pulse ends off even from on", 1, { { 'p', 200, 0 }, { 't', 0, 900 } }, "10!", GPIO_NEVER },
    { "a pulse again starts anew",
      0,
      { { 'p', 200, 0 }, { 'p', 200, 150 }, { 't', 0, 200 } },
      "111",
      350 },
    { "a state ends a pulse",
      0,
      { { 'p', 200, 0 }, { 's', 1, 100 }, { 't', 0, 300 } },
      "111",
      GPIO_NEVER },
    { "toggle ends a pulse off", 0, { { 'p', 200, 0 }, { 'x', 0, 100 } }, "10", GPIO_NEVER },
    { "a blink ends a pulse",
      0,
      { { 'p', 200, 0 }, { 'b', 1000, 100 }, { 'b', 0, 300 } },
      "110",
      GPIO_NEVER },
    { "longest pulse",
      0,
      { { 'p', GPIO_PULSE_MS_MAX, 0 }, { 't', 0, GPIO_PULSE_MS_MAX - 1 } },
      "11",
      GPIO_PULSE_MS_MAX },
};

static bool take(struct drive *d, const struct step *s)
{
    struct gpio_command c = { 0 };
    switch (s->what) {
    case 't': return drive_tick(d, s->at_ms);
    case 's': c = (struct gpio_command){ .kind = GPIO_SET, .state = (int)s->value }; break;
    case 'x': c = (struct gpio_command){ .kind = GPIO_TOGGLE }; break;
    case 'b':
        c = (struct gpio_command){ .kind = GPIO_BLINK, .blink_hz = (double)s->value / 1000 };
        break;
    case 'p': c = (struct gpio_command){ .kind = GPIO_PULSE, .pulse_ms = s->value }; break;
    }
    drive_command(d, &c, s->at_ms);
    return false;
}

static void drives(void **state)
{
    const struct drive_case *c = *state;
    struct drive d;
    char got[2 * SL_ARRAY_LEN(c->steps) + 1] = "";
    size_t n = 0, i = 0;
    drive_init(&d, c->start);
    for (; i < SL_ARRAY_LEN(c->steps) && c->steps[i].what; i++) {
        bool news = take(&d, &c->steps[i]);
        got[n++] = (char)('0' + d.level);
        if (news)
            got[n++] = '!';
    }
    assert_string_equal(got, c->want);
    assert_int_equal(drive_due(&d, c->steps[i - 1].at_ms), c->due_ms);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases)];
    (void)ROWS_OF(tests, cases, drives);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
