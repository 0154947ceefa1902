/* test_gpio.c - gpio.c on a real loop with fake lines: handles, faults, order of callbacks.
 *
 * The clock is the test's; timers of libuv fire after at most 20 real milliseconds. */
#include "gpio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_lines.h"
#include "gpio_private.h"

#include <stdio.h>

enum { DOOR, BUTTON, LED }; /* lines of the chip, and their places in the gpio */

static const struct gpio_line_options lines[] = {
    { .name = "door", .chip = "/dev/fake", .line = DOOR },
    { .name = "button", .chip = "fake", .line = BUTTON, .debounce_ms = 10 },
    { .name = "led", .chip = "/dev/fake", .line = LED, .output = true, .initial = 1 },
};

/* Everything that is told goes into `told`, a word each; the log is the expectation. */
struct bench {
    uv_loop_t loop;
    struct sl_clock clock;
    struct gpio *gpio;
    int64_t now_ms;
    char told[4096];
    size_t told_len;
    const char *close_at; /* closes when this word is told */
    bool echo;            /* turns each state of the output into a toggle of it */
    unsigned depth;       /* of on_state() */
    unsigned closed;
};

static int64_t bench_now(void *ctx)
{
    return ((struct bench *)ctx)->now_ms;
}

static int64_t bench_wall(void *ctx)
{
    return ((struct bench *)ctx)->now_ms + 1700000000000;
}

static void on_closed(void *ctx)
{
    ((struct bench *)ctx)->closed++;
}

static void tell(struct bench *b, const char *word)
{
    int n = snprintf(b->told + b->told_len, sizeof b->told - b->told_len, "%s%s",
                     b->told_len ? " " : "", word);
    assert_true(n > 0 && (size_t)n < sizeof b->told - b->told_len);
    b->told_len += (size_t)n;
    if (b->close_at && strcmp(word, b->close_at) == 0)
        gpio_close(b->gpio, on_closed, b);
}

static void on_state(void *ctx, const char *name, struct sl_slice json)
{
    char word[200];
    (void)snprintf(word, sizeof word, "%s%.*s", name, SL_FMT(json)); /* short */
    char *ts = strstr(word, ",\"ts\":170000000");
    assert_non_null(ts);
    strcpy(ts, "}");
    struct bench *b = ctx;
    assert_int_equal(b->depth++, 0);
    tell(b, word);
    if (b->echo && strcmp(name, "led") == 0)
        assert_int_equal(gpio_set(b->gpio, sl_str("led"), sl_str("toggle"), NULL), SL_OK);
    b->depth--;
}

static void on_fault(void *ctx, const char *name, const char *error)
{
    char word[80];
    assert_true(!error || error[0]);
    (void)snprintf(word, sizeof word, "%s:%s", name, error ? "fault" : "ok"); /* short */
    tell(ctx, word);
}

static void begin(struct bench *b, bool first_turn)
{
    struct gpio_callbacks callbacks = { .ctx = b, .on_state = on_state, .on_fault = on_fault };
    *b = (struct bench){ .now_ms = 1000 };
    b->clock = (struct sl_clock){ .mono_ms = bench_now, .wall_ms = bench_wall, .ctx = b };
    assert_int_equal(uv_loop_init(&b->loop), 0);
    struct sl_err err = { 0 };
    assert_int_equal(
        gpio_open(&b->gpio, &b->loop, &b->clock, lines, SL_ARRAY_LEN(lines), &callbacks, &err),
        SL_OK);
    assert_string_equal(b->told, ""); /* nothing before the loop runs */
    if (first_turn)
        uv_run(&b->loop, UV_RUN_NOWAIT);
}

static void turn(struct bench *b)
{
    for (int i = 0; i < 4; i++)
        uv_run(&b->loop, UV_RUN_NOWAIT);
}

/* Moves the clock and lets the line's timer, which has been started with the real delay, fire. */
static void pass(struct bench *b, int64_t ms)
{
    b->now_ms += ms;
    uint64_t end = uv_hrtime() + (uint64_t)(ms + 5) * 1000000;
    while (uv_hrtime() < end)
        uv_run(&b->loop, UV_RUN_NOWAIT);
    turn(b); /* on a busy machine the time may have passed between two rounds of the above */
}

static void expect(struct bench *b, const char *want)
{
    assert_string_equal(b->told, want);
    b->told_len = 0;
    b->told[0] = '\0';
}

static void end(struct bench *b)
{
    gpio_close(b->gpio, on_closed, b); /* a second close is no harm */
    assert_int_equal(fake_open_ports(), 0);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(b->closed, 1);
    assert_int_equal(uv_loop_close(&b->loop), 0);
}

#define STARTED "door{\"state\":0} button{\"state\":0} led{\"state\":1,\"blink\":0}"

static enum sl_code set(struct bench *b, const char *name, const char *payload)
{
    struct sl_err err = { 0 };
    enum sl_code rc = gpio_set(b->gpio, sl_str(name), sl_str(payload), &err);
    assert_int_equal(rc != SL_OK, err.text[0] != '\0');
    return rc;
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    return 0;
}

static void closes_before_the_first_turn(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, false);
    assert_int_equal(set(&b, "led", "1"), SL_IO);
    end(&b);
    expect(&b, "");
    assert_int_equal(fake_opens(), 0);
}

static void reports_edges_in_order(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    fake_edge(DOOR, 1);
    fake_edge(DOOR, 0);
    turn(&b);
    expect(&b, "door{\"state\":1} door{\"state\":0}");
    fake_edge(DOOR, 0); /* no change */
    turn(&b);
    expect(&b, "");
    struct gpio_line_status s;
    gpio_get_status(b.gpio, DOOR, &s);
    assert_true(s.ok && s.state == 0 && s.edges == 2 && !s.output);
    end(&b);
}

static void finds_lost_edges(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    for (int i = 0; i < 21; i++) /* five more than the queue holds; ends at 1 */
        fake_edge(DOOR, !(i & 1));
    turn(&b);
    struct gpio_line_status s;
    gpio_get_status(b.gpio, DOOR, &s);
    assert_int_equal(s.state, 1);
    fake_level(DOOR, 0);
    gpio_check(b.gpio);
    gpio_get_status(b.gpio, DOOR, &s);
    assert_int_equal(s.state, 0);
    end(&b);
}

static void debounces(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    fake_edge(BUTTON, 1);
    turn(&b);
    pass(&b, 5);
    fake_edge(BUTTON, 0);
    fake_edge(BUTTON, 1);
    turn(&b);
    pass(&b, 5);
    expect(&b, "");
    pass(&b, 10);
    expect(&b, "button{\"state\":1}");
    end(&b);
}

static void drives_outputs(void **state)
{
    (void)state;
    struct bench b;
    struct gpio_line_status s;
    begin(&b, true);
    expect(&b, STARTED);
    assert_int_equal(fake_get(LED), 1);
    assert_int_equal(set(&b, "led", "off"), SL_OK);
    assert_int_equal(fake_get(LED), 0);
    assert_int_equal(set(&b, "led", "toggle"), SL_OK);
    assert_int_equal(set(&b, "led", "{\"blink\":50}"), SL_OK);
    gpio_get_status(b.gpio, LED, &s);
    assert_true(s.blink_hz == 50.0 && s.state == 1);
    pass(&b, 10);
    assert_int_equal(fake_get(LED), 0);
    assert_int_equal(set(&b, "led", "{\"blink\":0}"), SL_OK);
    assert_int_equal(set(&b, "led", "{\"pulse\":\"10ms\"}"), SL_OK);
    pass(&b, 9);
    assert_int_equal(fake_get(LED), 1);
    pass(&b, 1);
    assert_int_equal(fake_get(LED), 0);
    pass(&b, 1);
    expect(
        &b,
        "led{\"state\":0,\"blink\":0} led{\"state\":1,\"blink\":0} led{\"state\":1,\"blink\":50} "
        "led{\"state\":1,\"blink\":0} led{\"state\":0,\"blink\":0}");
    assert_int_equal(set(&b, "led", "off"), SL_OK); /* no change, no news */
    pass(&b, 1);
    expect(&b, "");
    end(&b);
}

/* A rule may lead an output's state back to the output: no recursion, and the loop goes on. */
static void survives_feedback(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    b.echo = true;
    uint64_t began = uv_hrtime();
    assert_int_equal(set(&b, "led", "toggle"), SL_OK);
    size_t states = 0, passes = 0;
    while (states < 3 && passes++ < 1000) {
        pass(&b, 1);
        states = (b.told_len + 1) / (sizeof "led{\"state\":1,\"blink\":0}");
    }
    assert_true(states >= 3);
    assert_true(states <= (uv_hrtime() - began) / 1000000 + 2); /* one a millisecond at most */
    end(&b);
}

static void bounds_waiting_news(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    for (int i = 0; i < 41; i++) /* from 1, so it ends at 0 */
        assert_int_equal(set(&b, "led", "toggle"), SL_OK);
    pass(&b, 1);
    assert_int_equal((b.told_len + 1) / (sizeof "led{\"state\":1,\"blink\":0}"), 16);
    assert_string_equal(strrchr(b.told, ' '), " led{\"state\":0,\"blink\":0}");
    end(&b);
}

static void refuses_commands(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    assert_int_equal(set(&b, "door", "1"), SL_NOTFOUND); /* an input */
    assert_int_equal(set(&b, "le", "1"), SL_NOTFOUND);
    assert_int_equal(set(&b, "led", "2"), SL_INVALID);
    assert_int_equal(gpio_set(b.gpio, sl_str("led"), sl_str(""), NULL), SL_INVALID);
    expect(&b, "");
    end(&b);
}

static void reports_a_busy_line_once(void **state)
{
    (void)state;
    struct bench b;
    struct gpio_line_status s;
    fake_hold(DOOR, true);
    begin(&b, true);
    expect(&b, "door:fault button{\"state\":0} led{\"state\":1,\"blink\":0}");
    gpio_check(b.gpio);
    expect(&b, "");
    gpio_get_status(b.gpio, DOOR, &s);
    assert_true(!s.ok && s.state == -1 && strstr(s.error, "held"));
    fake_hold(DOOR, false);
    gpio_check(b.gpio);
    expect(&b, "door:ok door{\"state\":0}");
    gpio_get_status(b.gpio, DOOR, &s);
    assert_true(s.ok && s.error[0] == '\0');
    end(&b);
}

static void notices_an_unplugged_chip(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    assert_int_equal(set(&b, "led", "{\"blink\":50}"), SL_OK);
    pass(&b, 1);
    fake_plug(false);
    gpio_check(b.gpio);
    expect(&b, "led{\"state\":1,\"blink\":50} door:fault button:fault led:fault");
    assert_int_equal(fake_open_ports(), 0);
    assert_int_equal(set(&b, "led", "1"), SL_IO);
    turn(&b);
    gpio_check(b.gpio);
    expect(&b, "");
    fake_plug(true);
    gpio_check(b.gpio);
    expect(&b, "door:ok door{\"state\":0} button:ok button{\"state\":0} led:ok "
               "led{\"state\":1,\"blink\":50}");
    end(&b);
}

/* The chip is back before libuv has let go of the old poll handle. */
static void waits_for_its_poll_handle(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    fake_plug(false);
    gpio_check(b.gpio);
    fake_plug(true);
    gpio_check(b.gpio);
    expect(&b, "door:fault button:fault led:fault led:ok led{\"state\":1,\"blink\":0}");
    turn(&b);
    gpio_check(b.gpio);
    expect(&b, "door:ok door{\"state\":0} button:ok button{\"state\":0}");
    end(&b);
}

static void does_not_spin_on_a_failing_read(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    fake_plug(false);
    fake_wake(DOOR);
    turn(&b);
    expect(&b, "door:fault");
    assert_int_equal(fake_reads(), 1);
    end(&b);
}

static void notices_a_fault_when_setting(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, true);
    expect(&b, STARTED);
    fake_plug(false);
    assert_int_equal(set(&b, "led", "0"), SL_IO);
    expect(&b, "led:fault");
    turn(&b);
    fake_plug(true);
    gpio_check(b.gpio);
    expect(&b, "led:ok led{\"state\":1,\"blink\":0}"); /* the refused command was not taken */
    end(&b);
}

/* Each kind of callback closes the gpio; nothing is told afterwards. */
static void closes_from_callbacks(void **state)
{
    static const char *const words[] = { "door{\"state\":0}", "door{\"state\":1}",
                                         "door:fault",        "door:ok",
                                         "led:fault",         "button{\"state\":1}" };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(words); i++) {
        struct bench b;
        fake_reset();
        begin(&b, false);
        b.close_at = words[i];
        turn(&b);
        for (int j = 0; j < 2 && fake_open_ports() > 0; j++)
            fake_edge(DOOR, !j);
        turn(&b);
        if (fake_open_ports() > 0)
            fake_edge(BUTTON, 1);
        turn(&b);
        pass(&b, 10);
        fake_plug(false);
        if (b.closed == 0)
            gpio_check(b.gpio);
        turn(&b);
        fake_plug(true);
        if (b.closed == 0)
            gpio_check(b.gpio);
        turn(&b);
        assert_int_equal(b.closed, 1);
        const char *last = strrchr(b.told, ' ');
        assert_string_equal(last ? last + 1 : b.told, words[i]);
        assert_int_equal(uv_loop_close(&b.loop), 0);
    }
}

static void refuses_options(void **state)
{
    static const struct {
        struct gpio_line_options lines[2];
        enum sl_code want;
    } cases[] = {
        { { { .name = "a", .chip = "c" }, { .name = "b", .chip = "c", .debounce_ms = 60000 } },
          SL_OK },
        { { { .name = "a", .chip = "c" }, { .name = "a", .chip = "c" } }, SL_INVALID },
        { { { .name = "a", .chip = "c" }, { .name = "b", .chip = "c", .debounce_ms = 60001 } },
          SL_INVALID },
        { { { .name = "a", .chip = "c" }, { .name = "b", .chip = "c", .debounce_ms = -1 } },
          SL_INVALID },
        { { { .name = "a", .chip = "c" }, { .name = "b", .chip = "c", .initial = 2 } },
          SL_INVALID },
        { { { .name = "a", .chip = "c" }, { .name = "", .chip = "c" } }, SL_INVALID },
        { { { .name = "a", .chip = "c" }, { .name = "b" } }, SL_INVALID },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        uv_loop_t loop;
        struct gpio *g = NULL;
        struct gpio_callbacks none = { 0 };
        assert_int_equal(uv_loop_init(&loop), 0);
        assert_int_equal(gpio_open(&g, &loop, &sl_clock_system, cases[i].lines, 2, &none, NULL),
                         cases[i].want);
        assert_int_equal(g != NULL, cases[i].want == SL_OK);
        gpio_close(g, NULL, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
    }
}

static void bounds_the_number_of_lines(void **state)
{
    (void)state;
    struct gpio *g = NULL;
    struct gpio_callbacks none = { 0 };
    struct gpio_line_options many[GPIO_LINES_MAX + 1] = { 0 };
    char names[GPIO_LINES_MAX + 1][8];
    uv_loop_t loop;
    for (size_t i = 0; i <= GPIO_LINES_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "l%zu", i); /* fits */
        many[i].name = names[i];
        many[i].chip = "c";
    }
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(gpio_open(&g, &loop, &sl_clock_system, many, GPIO_LINES_MAX + 1, &none, NULL),
                     SL_LIMIT);
    assert_int_equal(gpio_open(&g, &loop, &sl_clock_system, many, GPIO_LINES_MAX, &none, NULL),
                     SL_OK);
    assert_int_equal(gpio_count(g), GPIO_LINES_MAX);
    gpio_close(g, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(closes_before_the_first_turn, setup),
        cmocka_unit_test_setup(reports_edges_in_order, setup),
        cmocka_unit_test_setup(finds_lost_edges, setup),
        cmocka_unit_test_setup(debounces, setup),
        cmocka_unit_test_setup(drives_outputs, setup),
        cmocka_unit_test_setup(survives_feedback, setup),
        cmocka_unit_test_setup(bounds_waiting_news, setup),
        cmocka_unit_test_setup(refuses_commands, setup),
        cmocka_unit_test_setup(reports_a_busy_line_once, setup),
        cmocka_unit_test_setup(notices_an_unplugged_chip, setup),
        cmocka_unit_test_setup(waits_for_its_poll_handle, setup),
        cmocka_unit_test_setup(does_not_spin_on_a_failing_read, setup),
        cmocka_unit_test_setup(notices_a_fault_when_setting, setup),
        cmocka_unit_test_setup(closes_from_callbacks, setup),
        cmocka_unit_test_setup(refuses_options, setup),
        cmocka_unit_test_setup(bounds_the_number_of_lines, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
