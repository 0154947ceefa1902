/* lines_v2.c - lines.h on libgpiod 2.x. Owns the request's descriptor and an event buffer.
 *
 * A request outlives the chip and the settings it was made from, so only it is kept. Everything
 * goes through version 2 of the kernel's interface. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <gpiod.h>
#include <stdlib.h>

#define CONSUMER   "sluice"
#define EVENTS_MAX 16

struct port {
    struct gpiod_line_request *request;
    struct gpiod_edge_event_buffer *events; /* NULL for outputs */
    unsigned line;
};

static void close_chip(struct gpiod_chip **c)
{
    if (*c)
        gpiod_chip_close(*c);
}

static void free_settings(struct gpiod_line_settings **s)
{
    gpiod_line_settings_free(*s);
}

static void free_line_config(struct gpiod_line_config **c)
{
    gpiod_line_config_free(*c);
}

static void free_request_config(struct gpiod_request_config **c)
{
    gpiod_request_config_free(*c);
}

static enum gpiod_line_bias bias_of(enum gpio_bias bias)
{
    switch (bias) {
    case GPIO_BIAS_AS_IS: break;
    case GPIO_BIAS_DISABLED: return GPIOD_LINE_BIAS_DISABLED;
    case GPIO_BIAS_PULL_UP: return GPIOD_LINE_BIAS_PULL_UP;
    case GPIO_BIAS_PULL_DOWN: return GPIOD_LINE_BIAS_PULL_DOWN;
    }
    return GPIOD_LINE_BIAS_AS_IS;
}

static enum gpiod_line_value value_of(int level)
{
    return level ? GPIOD_LINE_VALUE_ACTIVE : GPIOD_LINE_VALUE_INACTIVE;
}

static bool fill_settings(struct gpiod_line_settings *s, const struct port_options *o)
{
    gpiod_line_settings_set_active_low(s, o->active_low);
    if (gpiod_line_settings_set_bias(s, bias_of(o->bias)) < 0)
        return false;
    if (!o->output)
        return gpiod_line_settings_set_direction(s, GPIOD_LINE_DIRECTION_INPUT) == 0 &&
               gpiod_line_settings_set_edge_detection(s, GPIOD_LINE_EDGE_BOTH) == 0;
    return gpiod_line_settings_set_direction(s, GPIOD_LINE_DIRECTION_OUTPUT) == 0 &&
           gpiod_line_settings_set_output_value(s, value_of(o->level)) == 0;
}

static enum sl_code check_line(struct gpiod_chip *chip, const struct port_options *o,
                               struct sl_err *err)
{
    struct gpiod_chip_info *info = gpiod_chip_get_info(chip);
    if (!info)
        return sl_fail(err, SL_IO, "%s: %s", o->chip, strerror(errno));
    size_t count = gpiod_chip_info_get_num_lines(info);
    gpiod_chip_info_free(info);
    if (o->line >= count)
        return sl_fail(err, SL_INVALID, "%s has %zu lines, there is no line %u", o->chip, count,
                       o->line);
    return SL_OK;
}

static enum sl_code request_failed(struct gpiod_chip *chip, const struct port_options *o,
                                   struct sl_err *err)
{
    int why = errno;
    if (why != EBUSY)
        return sl_fail(err, SL_IO, "line %u of %s cannot be had: %s", o->line, o->chip,
                       strerror(why));
    struct gpiod_line_info *info = gpiod_chip_get_line_info(chip, o->line);
    const char *holder = info ? gpiod_line_info_get_consumer(info) : NULL;
    enum sl_code rc = sl_fail(err, SL_BUSY, "line %u of %s is held by \"%s\"", o->line, o->chip,
                              holder ? holder : "someone");
    gpiod_line_info_free(info);
    return rc;
}

static enum sl_code request(struct port *p, struct gpiod_chip *chip, const struct port_options *o,
                            struct sl_err *err)
{
    SL_CLEANUP(free_settings) struct gpiod_line_settings *settings = gpiod_line_settings_new();
    SL_CLEANUP(free_line_config) struct gpiod_line_config *lines = gpiod_line_config_new();
    SL_CLEANUP(free_request_config)
    struct gpiod_request_config *config = gpiod_request_config_new();
    if (!settings || !lines || !config)
        return sl_fail(err, SL_NOMEM, "line %u of %s: no memory", o->line, o->chip);
    gpiod_request_config_set_consumer(config, CONSUMER);
    if (!fill_settings(settings, o) ||
        gpiod_line_config_add_line_settings(lines, &o->line, 1, settings) < 0)
        return sl_fail(err, SL_IO, "line %u of %s: settings refused: %s", o->line, o->chip,
                       strerror(errno));
    p->request = gpiod_chip_request_lines(chip, config, lines);
    return p->request ? SL_OK : request_failed(chip, o, err);
}

static enum sl_code prepare_edges(struct port *p, const struct port_options *o, struct sl_err *err)
{
    p->events = gpiod_edge_event_buffer_new(EVENTS_MAX);
    if (!p->events)
        return sl_fail(err, SL_NOMEM, "line %u of %s: no memory", o->line, o->chip);
    int fd = gpiod_line_request_get_fd(p->request);
    int mode = fcntl(fd, F_GETFL);
    if (mode < 0 || fcntl(fd, F_SETFL, mode | O_NONBLOCK) < 0)
        return sl_fail(err, SL_IO, "line %u of %s: no descriptor to poll: %s", o->line, o->chip,
                       strerror(errno));
    return SL_OK;
}

static enum sl_code open_into(struct port *p, const struct port_options *o, struct sl_err *err)
{
    SL_CLEANUP(close_chip) struct gpiod_chip *chip = gpiod_chip_open(o->chip);
    if (!chip)
        return sl_fail(err, SL_IO, "%s: %s", o->chip, strerror(errno));
    enum sl_code rc = check_line(chip, o, err);
    if (rc == SL_OK)
        rc = request(p, chip, o, err);
    if (rc == SL_OK && !o->output)
        rc = prepare_edges(p, o, err);
    return rc;
}

enum sl_code port_open(struct port **ret, const struct port_options *o, struct sl_err *err)
{
    struct port *p = calloc(1, sizeof *p);
    if (!p)
        return sl_fail(err, SL_NOMEM, "line %u of %s: no memory", o->line, o->chip);
    p->line = o->line;
    enum sl_code rc = open_into(p, o, err);
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
    if (p->request)
        gpiod_line_request_release(p->request);
    gpiod_edge_event_buffer_free(p->events);
    free(p);
}

int port_fd(const struct port *p)
{
    return p->events ? gpiod_line_request_get_fd(p->request) : -1;
}

enum sl_code port_edges(struct port *p, int *levels, size_t max, size_t *ret_n, struct sl_err *err)
{
    size_t want = max < EVENTS_MAX ? max : EVENTS_MAX;
    int n = gpiod_line_request_read_edge_events(p->request, p->events, want);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        n = 0;
    if (n < 0)
        return sl_fail(err, SL_IO, "reading edges: %s", strerror(errno));
    for (size_t i = 0; i < (size_t)n; i++) {
        struct gpiod_edge_event *e = gpiod_edge_event_buffer_get_event(p->events, i);
        levels[i] = e && gpiod_edge_event_get_event_type(e) == GPIOD_EDGE_EVENT_RISING_EDGE;
    }
    *ret_n = (size_t)n;
    return SL_OK;
}

enum sl_code port_get(struct port *p, int *ret_level, struct sl_err *err)
{
    enum gpiod_line_value v = gpiod_line_request_get_value(p->request, p->line);
    if (v == GPIOD_LINE_VALUE_ERROR)
        return sl_fail(err, SL_IO, "reading the level: %s", strerror(errno));
    *ret_level = v == GPIOD_LINE_VALUE_ACTIVE;
    return SL_OK;
}

enum sl_code port_set(struct port *p, int level, struct sl_err *err)
{
    if (gpiod_line_request_set_value(p->request, p->line, value_of(level)) < 0)
        return sl_fail(err, SL_IO, "setting the level: %s", strerror(errno));
    return SL_OK;
}

const char *port_library_version(void)
{
    return gpiod_api_version();
}
