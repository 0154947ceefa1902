/* gpio.h - GPIO lines as sensors and actuators: inputs report debounced edges, outputs obey
 * commands.
 *
 * Descriptors are polled on the loop. Knows nothing of MQTT: states go out through callbacks as
 * JSON payloads, commands come in as payloads. A line that cannot be had (no chip, busy) is
 * reported once, tried again every few seconds, and never stops the gateway. An unplugged chip is
 * noticed within a few seconds. Loop thread only.
 *
 * An output is steady, blinks, or gives one pulse (1, then 0). A plain state or a toggle ends a
 * blink or a pulse; {"blink":0} ends a blink in the state that it began in. An output whose chip
 * comes back takes up what it was doing. */
#ifndef GATEWAY_GPIO_H
#define GATEWAY_GPIO_H

#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

#include <uv.h>

enum gpio_bias { GPIO_BIAS_AS_IS, GPIO_BIAS_DISABLED, GPIO_BIAS_PULL_UP, GPIO_BIAS_PULL_DOWN };

/* Strings are copied. Names are unique. */
struct gpio_line_options {
    const char *name, *chip; /* chip: a path, or a name below /dev */
    unsigned line;
    bool output, active_low;
    enum gpio_bias bias;
    int64_t debounce_ms; /* inputs: 0..60,000; 0 reports every edge */
    int initial;         /* outputs: 0 or 1 */
};

struct gpio_line_status {
    const char *name; /* lives as long as the gpio */
    bool output, ok;
    int state; /* 0, 1; -1 while unknown */
    double blink_hz;
    uint64_t edges; /* reported changes */
    char error[256];
};

/* Called from the loop; on_fault also from gpio_set() when that finds the line gone. Never called
 * from gpio_open() or gpio_close(). Each may be NULL, and may call gpio_set() or gpio_close(). */
struct gpio_callbacks {
    void *ctx;
    /* A line's state as it is to be published, retained: {"state":1,"ts":...} or
     * {"state":1,"blink":0,"ts":...}. Inputs: when the line is had, and each debounced change.
     * Outputs: when the line is had, and a millisecond after each command and end of a pulse that
     * changed state or blink; not each phase of a blink, which would be a hundred messages a
     * second. Of more than 16 changes within that millisecond the last ones are told as one.
     * Borrowed. */
    void (*on_state)(void *ctx, const char *name, struct sl_slice json);
    void (*on_fault)(
        void *ctx, const char *name,
        const char *error); /* once a fault, and once more when it is gone: error NULL */
};

struct gpio;
/* Lines are requested from the loop, so a missing one is no error here: SL_INVALID for options
 * outside their bounds, SL_LIMIT above 256 lines, SL_NOMEM. clock must outlive the gpio. */
SL_NODISCARD enum sl_code gpio_open(struct gpio **ret, uv_loop_t *loop,
                                    const struct sl_clock *clock,
                                    const struct gpio_line_options *lines, size_t count,
                                    const struct gpio_callbacks *callbacks, struct sl_err *err);
/* Lets go of every line at once; closed (may be NULL) is called from the loop when nothing is left.
 * Accepts NULL (closed is not called then). g stays valid until the caller is back in the loop. */
void gpio_close(struct gpio *g, void (*closed)(void *ctx), void *ctx);

/* 0, 1, on, off, toggle, {"state":1}, {"blink":2.5}, {"blink":0}, {"pulse":"200ms"}. SL_NOTFOUND
 * for an unknown or input line, SL_INVALID for a payload that is none of these (err names what is
 * accepted), SL_IO while the line is not there. Blink: 0.05..50 Hz; pulse: 1ms..24h. */
SL_NODISCARD enum sl_code gpio_set(struct gpio *g, struct sl_slice name, struct sl_slice payload,
                                   struct sl_err *err);
size_t gpio_count(const struct gpio *g);
void gpio_get_status(const struct gpio *g, size_t index, struct gpio_line_status *ret);
const char *gpio_library_version(void); /* libgpiod's, "1.6.3" */

#endif
