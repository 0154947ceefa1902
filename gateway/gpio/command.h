/* command.h - what a payload asks an output line to do. No state, no I/O, no clock. */
#ifndef GPIO_COMMAND_H
#define GPIO_COMMAND_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

#define GPIO_COMMAND_BYTES_MAX 256
#define GPIO_BLINK_HZ_MIN      0.05
#define GPIO_BLINK_HZ_MAX      50.0
#define GPIO_PULSE_MS_MIN      1
#define GPIO_PULSE_MS_MAX      (INT64_C(24) * 3600 * 1000)

enum gpio_command_kind { GPIO_SET, GPIO_TOGGLE, GPIO_BLINK, GPIO_PULSE };

struct gpio_command {
    enum gpio_command_kind kind;
    int state;        /* GPIO_SET: 0 or 1 */
    double blink_hz;  /* GPIO_BLINK: 0 to stop, else within the bounds above */
    int64_t pulse_ms; /* GPIO_PULSE: within the bounds above */
};

/* Reads 0, 1, on, off, toggle (any case, blanks around them allowed) or a JSON object with exactly
 * one of the keys "state", "blink", "pulse". SL_INVALID otherwise: err says what was wrong or lists
 * what is accepted. *ret changes on SL_OK only. */
SL_NODISCARD enum sl_code gpio_command_parse(struct sl_slice payload, struct gpio_command *ret,
                                             struct sl_err *err);

#endif
