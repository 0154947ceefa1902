/* fuzz_gpio_command.c - any bytes as a command; what is accepted must lie within its bounds. */
#include "command.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool within_bounds(const struct gpio_command *c)
{
    switch (c->kind) {
    case GPIO_SET: return c->state == 0 || c->state == 1;
    case GPIO_TOGGLE: return true;
    case GPIO_BLINK:
        return c->blink_hz == 0.0 ||
               (c->blink_hz >= GPIO_BLINK_HZ_MIN && c->blink_hz <= GPIO_BLINK_HZ_MAX);
    case GPIO_PULSE: return c->pulse_ms >= GPIO_PULSE_MS_MIN && c->pulse_ms <= GPIO_PULSE_MS_MAX;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gpio_command c;
    struct sl_err err = { 0 };
    enum sl_code rc = gpio_command_parse(sl_bytes(data, size), &c, &err);
    if (rc == SL_OK ? !within_bounds(&c) : rc != SL_INVALID || err.text[0] == '\0')
        abort();
    return 0;
}
