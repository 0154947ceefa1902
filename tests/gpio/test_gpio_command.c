/* test_gpio_command.c - payloads that are commands, and many that are not. */
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "rows.h"

#include "base/macros.h"

#include <stdlib.h>

static const struct command_case {
    const char *name, *payload;
    size_t len; /* 0: strlen(payload) */
    struct gpio_command want;
} accepted[] = {
    { "zero", "0", 0, { .kind = GPIO_SET, .state = 0 } },
    { "one", "1", 0, { .kind = GPIO_SET, .state = 1 } },
    { "on", "on", 0, { .kind = GPIO_SET, .state = 1 } },
    { "off", "off", 0, { .kind = GPIO_SET, .state = 0 } },
    { "upper case", "ON", 0, { .kind = GPIO_SET, .state = 1 } },
    { "toggle", "toggle", 0, { .kind = GPIO_TOGGLE } },
    { "newline after", "1\n", 0, { .kind = GPIO_SET, .state = 1 } },
    { "blanks around", " \toff\r\n", 0, { .kind = GPIO_SET, .state = 0 } },
    { "state 1", "{\"state\":1}", 0, { .kind = GPIO_SET, .state = 1 } },
    { "state 0", "{\"state\":0}", 0, { .kind = GPIO_SET, .state = 0 } },
    { "state true", "{\"state\":true}", 0, { .kind = GPIO_SET, .state = 1 } },
    { "state false", "{\"state\":false}", 0, { .kind = GPIO_SET, .state = 0 } },
    { "blanks in JSON", " { \"state\" : 1 } ", 0, { .kind = GPIO_SET, .state = 1 } },
    { "blink", "{\"blink\":2.5}", 0, { .kind = GPIO_BLINK, .blink_hz = 2.5 } },
    { "blink ends", "{\"blink\":0}", 0, { .kind = GPIO_BLINK, .blink_hz = 0 } },
    { "blink slowest", "{\"blink\":0.05}", 0, { .kind = GPIO_BLINK, .blink_hz = 0.05 } },
    { "blink fastest", "{\"blink\":50}", 0, { .kind = GPIO_BLINK, .blink_hz = 50 } },
    { "pulse", "{\"pulse\":\"200ms\"}", 0, { .kind = GPIO_PULSE, .pulse_ms = 200 } },
    { "pulse shortest", "{\"pulse\":\"1ms\"}", 0, { .kind = GPIO_PULSE, .pulse_ms = 1 } },
    { "pulse longest", "{\"pulse\":\"24h\"}", 0, { .kind = GPIO_PULSE, .pulse_ms = 86400000 } },
};

static const struct refusal_case {
    const char *name, *payload;
    size_t len; /* 0: strlen(payload) */
    const char *says;
} refused[] = {
    { "empty", "", 0, "accepted are" },
    { "blanks only", " \n", 0, "accepted are" },
    { "word", "open", 0, "accepted are" },
    { "word and more", "on!", 0, "accepted are" },
    { "two", "2", 0, "accepted are" },
    { "minus one", "-1", 0, "accepted are" },
    { "one and a NUL", "1\0", 2, "accepted are" },
    { "NUL in a word", "o\0n", 3, "accepted are" },
    { "NUL in JSON", "{\"state\":1}\0{", 13, "accepted are" },
    { "array", "[1]", 0, "accepted are" },
    { "string", "\"on\"", 0, "accepted are" },
    { "null", "null", 0, "accepted are" },
    { "empty object", "{}", 0, "accepted are" },
    { "truncated", "{\"state\":1", 0, "accepted are" },
    { "text behind", "{\"state\":1}x", 0, "accepted are" },
    { "two objects", "{\"state\":1}{\"state\":0}", 0, "accepted are" },
    { "two keys", "{\"state\":1,\"blink\":2}", 0, "accepted are" },
    { "key twice", "{\"state\":1,\"state\":0}", 0, "accepted are" },
    { "unknown key", "{\"level\":1}", 0, "unknown key" },
    { "key in upper case", "{\"State\":1}", 0, "unknown key" },
    { "empty key", "{\"\":1}", 0, "unknown key" },
    { "state 2", "{\"state\":2}", 0, "must be 0 or 1" },
    { "state 0.5", "{\"state\":0.5}", 0, "must be 0 or 1" },
    { "state as text", "{\"state\":\"1\"}", 0, "must be 0 or 1" },
    { "state null", "{\"state\":null}", 0, "must be 0 or 1" },
    { "state object", "{\"state\":{\"state\":1}}", 0, "must be 0 or 1" },
    { "blink just too slow", "{\"blink\":0.049}", 0, "0.05..50 Hz" },
    { "blink just too fast", "{\"blink\":50.001}", 0, "0.05..50 Hz" },
    { "blink negative", "{\"blink\":-1}", 0, "0.05..50 Hz" },
    { "blink infinite", "{\"blink\":1e999}", 0, "0.05..50 Hz" },
    { "blink as text", "{\"blink\":\"2\"}", 0, "0.05..50 Hz" },
    { "blink true", "{\"blink\":true}", 0, "0.05..50 Hz" },
    { "pulse zero", "{\"pulse\":\"0ms\"}", 0, "from 1ms to 24h" },
    { "pulse too long", "{\"pulse\":\"86400001ms\"}", 0, "from 1ms to 24h" },
    { "pulse without unit", "{\"pulse\":\"200\"}", 0, "from 1ms to 24h" },
    { "pulse a number", "{\"pulse\":200}", 0, "from 1ms to 24h" },
    { "pulse negative", "{\"pulse\":\"-5ms\"}", 0, "from 1ms to 24h" },
};

static struct sl_slice payload_of(const char *payload, size_t len)
{
    return sl_bytes(payload, len ? len : strlen(payload));
}

static void accepts(void **state)
{
    const struct command_case *c = *state;
    struct gpio_command got = { 0 };
    struct sl_err err = { 0 };
    assert_int_equal(gpio_command_parse(payload_of(c->payload, c->len), &got, &err), SL_OK);
    assert_int_equal(got.kind, c->want.kind);
    assert_int_equal(got.state, c->want.state);
    assert_int_equal(got.pulse_ms, c->want.pulse_ms);
    assert_true(got.blink_hz == c->want.blink_hz);
}

static void refuses(void **state)
{
    const struct refusal_case *c = *state;
    struct gpio_command got = { .kind = GPIO_PULSE, .pulse_ms = 77 };
    struct sl_err err = { 0 };
    assert_int_equal(gpio_command_parse(payload_of(c->payload, c->len), &got, &err), SL_INVALID);
    assert_non_null(strstr(err.text, c->says));
    assert_int_equal(got.pulse_ms, 77); /* untouched */
}

/* The longest payload, and one byte more. Padding inside an object, since blanks around are cut. */
static void bounds_length(void **state)
{
    (void)state;
    struct gpio_command got;
    char text[GPIO_COMMAND_BYTES_MAX + 1];
    memset(text, ' ', sizeof text);
    memcpy(text, "{\"state\":", 9);
    text[GPIO_COMMAND_BYTES_MAX - 2] = '1';
    text[GPIO_COMMAND_BYTES_MAX - 1] = '}';
    assert_int_equal(gpio_command_parse(sl_bytes(text, GPIO_COMMAND_BYTES_MAX), &got, NULL), SL_OK);
    text[GPIO_COMMAND_BYTES_MAX - 1] = ' ';
    text[GPIO_COMMAND_BYTES_MAX] = '}';
    assert_int_equal(gpio_command_parse(sl_bytes(text, sizeof text), &got, NULL), SL_INVALID);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(accepted) + SL_ARRAY_LEN(refused) + 1];
    size_t n = 0;
    n += ROWS_OF(tests + n, accepted, accepts);
    n += ROWS_OF(tests + n, refused, refuses);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(bounds_length);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
