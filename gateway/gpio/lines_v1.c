/* lines_v1.c - lines.h on libgpiod 1.6. Owns the chip's and the line's descriptors.
 *
 * The library keeps a line inside its chip, so each port opens the chip for itself: closing it
 * releases the line. Everything goes through version 1 of the kernel's interface. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <gpiod.h>
#include <stdlib.h>

#define CONSUMER "sluice"

struct port {
    struct gpiod_chip *chip;
    struct gpiod_line *line; /* lives as long as chip */
    int fd;                  /* lives as long as chip; -1 for outputs */
};

static int request_flags(const struct port_options *o)
{
    int flags = o->active_low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0;
    switch (o->bias) {
    case GPIO_BIAS_AS_IS: break;
    case GPIO_BIAS_DISABLED: flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_DISABLE; break;
    case GPIO_BIAS_PULL_UP: flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_UP; break;
    case GPIO_BIAS_PULL_DOWN: flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_DOWN; break;
    }
    return flags;
}

static enum sl_code request_failed(struct gpiod_line *line, const struct port_options *o,
                                   struct sl_err *err)
{
    int why = errno;
    const char *holder = gpiod_line_consumer(line);
    if (why == EBUSY)
        return sl_fail(err, SL_BUSY, "line %u of %s is held by \"%s\"", o->line, o->chip,
                       holder ? holder : "someone");
    return sl_fail(err, SL_IO, "line %u of %s cannot be had: %s", o->line, o->chip, strerror(why));
}

static enum sl_code request(struct port *p, const struct port_options *o, struct sl_err *err)
{
    if (o->line >= gpiod_chip_num_lines(p->chip))
        return sl_fail(err, SL_INVALID, "%s has %u lines, there is no line %u", o->chip,
                       gpiod_chip_num_lines(p->chip), o->line);
    p->line = gpiod_chip_get_line(p->chip, o->line);
    if (!p->line)
        return sl_fail(err, SL_IO, "line %u of %s: %s", o->line, o->chip, strerror(errno));
    int flags = request_flags(o);
    int rc = o->output ? gpiod_line_request_output_flags(p->line, CONSUMER, flags, o->level)
                       : gpiod_line_request_both_edges_events_flags(p->line, CONSUMER, flags);
    if (rc < 0)
        return request_failed(p->line, o, err);
    if (o->output)
        return SL_OK;
    p->fd = gpiod_line_event_get_fd(p->line);
    int mode = p->fd < 0 ? -1 : fcntl(p->fd, F_GETFL);
    if (mode < 0 || fcntl(p->fd, F_SETFL, mode | O_NONBLOCK) < 0)
        return sl_fail(err, SL_IO, "line %u of %s: no descriptor to poll: %s", o->line, o->chip,
                       strerror(errno));
    return SL_OK;
}

enum sl_code port_open(struct port **ret, const struct port_options *o, struct sl_err *err)
{
    struct port *p = malloc(sizeof *p);
    if (!p)
        return sl_fail(err, SL_NOMEM, "line %u of %s: no memory", o->line, o->chip);
    *p = (struct port){ .chip = gpiod_chip_open(o->chip), .fd = -1 };
    enum sl_code rc =
        p->chip ? request(p, o, err) : sl_fail(err, SL_IO, "%s: %s", o->chip, strerror(errno));
    if (rc == SL_OK)
        *ret = p;
    else
        port_close(p);
    return rc;
}

void port_close(struct port *p)
{
    if (!p)
        return;
    if (p->chip)
        gpiod_chip_close(p->chip);
    free(p);
}

int port_fd(const struct port *p)
{
    return p->fd;
}

enum sl_code port_edges(struct port *p, int *levels, size_t max, size_t *ret_n, struct sl_err *err)
{
    struct gpiod_line_event events[16];
    unsigned want = max < SL_ARRAY_LEN(events) ? (unsigned)max : (unsigned)SL_ARRAY_LEN(events);
    int n = gpiod_line_event_read_fd_multiple(p->fd, events, want);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        n = 0;
    if (n < 0)
        return sl_fail(err, SL_IO, "reading edges: %s", strerror(errno));
    for (int i = 0; i < n; i++)
        levels[i] = events[i].event_type == GPIOD_LINE_EVENT_RISING_EDGE;
    *ret_n = (size_t)n;
    return SL_OK;
}

enum sl_code port_get(struct port *p, int *ret_level, struct sl_err *err)
{
    int level = gpiod_line_get_value(p->line);
    if (level < 0)
        return sl_fail(err, SL_IO, "reading the level: %s", strerror(errno));
    *ret_level = level;
    return SL_OK;
}

enum sl_code port_set(struct port *p, int level, struct sl_err *err)
{
    if (gpiod_line_set_value(p->line, level) < 0)
        return sl_fail(err, SL_IO, "setting the level: %s", strerror(errno));
    return SL_OK;
}

const char *port_library_version(void)
{
    return gpiod_version_string();
}
