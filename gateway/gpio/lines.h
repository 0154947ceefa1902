/* lines.h - one requested line, whatever libgpiod's version.
 *
 * The seam between gpio.c and the library: lines_v1.c (1.6) or lines_v2.c (2.x) stands behind it,
 * and in tests a fake. Levels are logical: active_low is already applied. Nothing here waits for an
 * edge. Every failure of a port is final: close it and open another one. */
#ifndef GPIO_LINES_H
#define GPIO_LINES_H

#include "gpio.h"

struct port; /* opaque: one line, held until port_close() */

struct port_options {
    const char *chip; /* path of the device, borrowed during port_open() */
    unsigned line;
    bool output, active_low;
    enum gpio_bias bias;
    int level; /* outputs: the level from the first moment on */
};

/* On SL_OK *ret is yours until port_close(); otherwise it is untouched and err names chip, line and
 * reason: SL_BUSY when someone else holds the line, SL_INVALID when the chip has no such line,
 * SL_IO or SL_NOMEM otherwise. */
SL_NODISCARD enum sl_code port_open(struct port **ret, const struct port_options *options,
                                    struct sl_err *err);
void port_close(struct port *p); /* accepts NULL */

/* Inputs: readable when edges wait. Stop polling it before port_close(). */
int port_fd(const struct port *p);
/* Inputs: takes up to max waiting edges, oldest first, as the level after each. None waiting is
 * SL_OK with *ret_n 0. */
SL_NODISCARD enum sl_code port_edges(struct port *p, int *levels, size_t max, size_t *ret_n,
                                     struct sl_err *err);
SL_NODISCARD enum sl_code port_get(struct port *p, int *ret_level, struct sl_err *err);
SL_NODISCARD enum sl_code port_set(struct port *p, int level, struct sl_err *err);

const char *port_library_version(void); /* "1.6.3" */

#endif
