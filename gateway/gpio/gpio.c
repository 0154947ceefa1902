/* gpio.c - GPIO lines on the loop: requests them, reports edges, drives outputs, notices faults.
 *
 * Owns all lines (gpio_line.c), each with its port, its timers and, for inputs, a poll handle, and
 * one timer that looks after them. */
#include "gpio.h"

#include "gpio_line.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- closing ---- */

static void gpio_free(struct gpio *g)
{
    for (size_t i = 0; i < g->count; i++) {
        free(g->lines[i].name);
        free(g->lines[i].chip);
    }
    free(g);
}

void gpio_release(struct gpio *g)
{
    assert(g->holds > 0);
    if (--g->holds > 0)
        return;
    void (*on_closed)(void *ctx) = g->on_closed;
    void *ctx = g->closed_ctx;
    gpio_free(g);
    if (on_closed)
        on_closed(ctx);
}

static void on_line_timer_closed(uv_handle_t *h)
{
    struct line *l = h->data;
    gpio_release(l->owner);
}

static void on_check_closed(uv_handle_t *h)
{
    gpio_release(h->data);
}

void gpio_close(struct gpio *g, void (*closed)(void *ctx), void *ctx)
{
    if (!g || g->closing)
        return;
    g->closing = true;
    g->on_closed = closed;
    g->closed_ctx = ctx;
    for (size_t i = 0; i < g->count; i++) {
        line_down(&g->lines[i]);
        uv_close((uv_handle_t *)&g->lines[i].timer, on_line_timer_closed);
        uv_close((uv_handle_t *)&g->lines[i].news_timer, on_line_timer_closed);
    }
    uv_close((uv_handle_t *)&g->check, on_check_closed);
}

/* ---- opening ---- */

static enum sl_code check_options(const struct gpio_line_options *lines, size_t at,
                                  struct sl_err *err)
{
    const struct gpio_line_options *o = &lines[at];
    if (!o->name || !o->name[0] || !o->chip || !o->chip[0])
        return sl_fail(err, SL_INVALID, "line %zu has no name or no chip", at);
    if (o->debounce_ms < 0 || o->debounce_ms > GPIO_DEBOUNCE_MS_MAX)
        return sl_fail(err, SL_INVALID, "line %s: debounce is not within 0..%d ms", o->name,
                       GPIO_DEBOUNCE_MS_MAX);
    if (o->initial != 0 && o->initial != 1)
        return sl_fail(err, SL_INVALID, "line %s: initial is neither 0 nor 1", o->name);
    for (size_t i = 0; i < at; i++)
        if (strcmp(lines[i].name, o->name) == 0)
            return sl_fail(err, SL_INVALID, "two lines are named %s", o->name);
    return SL_OK;
}

/* "gpiochip0" is the device of that name. */
static char *chip_path(const char *chip)
{
    char *path = NULL;
    if (strchr(chip, '/'))
        return strdup(chip);
    return asprintf(&path, "/dev/%s", chip) < 0 ? NULL : path;
}

static bool line_init(struct line *l, struct gpio *g, const struct gpio_line_options *o)
{
    l->owner = g;
    l->name = strdup(o->name);
    l->chip = chip_path(o->chip);
    l->debounce_ms = o->debounce_ms;
    l->options = (struct port_options){ .chip = l->chip,
                                        .line = o->line,
                                        .output = o->output,
                                        .active_low = o->active_low,
                                        .bias = o->bias };
    drive_init(&l->drive, o->initial);
    return l->name && l->chip;
}

void gpio_check(struct gpio *g)
{
    for (size_t i = 0; i < g->count && !g->closing; i++)
        line_check(&g->lines[i]);
}

static void on_check(uv_timer_t *t)
{
    gpio_check(t->data);
}

/* libuv's timers cannot fail to start with a callback on a fresh handle. */
static void start_timers(struct gpio *g)
{
    for (size_t i = 0; i < g->count; i++) {
        (void)uv_timer_init(g->loop, &g->lines[i].timer);
        (void)uv_timer_init(g->loop, &g->lines[i].news_timer);
        g->lines[i].timer.data = g->lines[i].news_timer.data = &g->lines[i];
        g->holds += 2;
    }
    (void)uv_timer_init(g->loop, &g->check);
    g->check.data = g;
    g->holds++;
    (void)uv_timer_start(&g->check, on_check, 0, GPIO_CHECK_MS);
}

enum sl_code gpio_open(struct gpio **ret, uv_loop_t *loop, const struct sl_clock *clock,
                       const struct gpio_line_options *lines, size_t count,
                       const struct gpio_callbacks *callbacks, struct sl_err *err)
{
    if (count > GPIO_LINES_MAX)
        return sl_fail(err, SL_LIMIT, "%zu gpio lines are more than %d", count, GPIO_LINES_MAX);
    for (size_t i = 0; i < count; i++)
        if (check_options(lines, i, err) != SL_OK)
            return SL_INVALID;
    struct gpio *g = calloc(1, sizeof *g + count * sizeof g->lines[0]);
    if (!g)
        return sl_fail(err, SL_NOMEM, "gpio: no memory");
    g->loop = loop;
    g->clock = clock;
    g->callbacks = *callbacks;
    g->count = count;
    for (size_t i = 0; i < count; i++) {
        if (!line_init(&g->lines[i], g, &lines[i])) {
            gpio_free(g); /* nothing of libuv's is in it yet */
            return sl_fail(err, SL_NOMEM, "gpio: no memory");
        }
    }
    start_timers(g);
    *ret = g;
    return SL_OK;
}

/* ---- commands and status ---- */

static struct line *find_output(struct gpio *g, struct sl_slice name)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->lines[i].options.output && sl_slice_eq(sl_str(g->lines[i].name), name))
            return &g->lines[i];
    return NULL;
}

enum sl_code gpio_set(struct gpio *g, struct sl_slice name, struct sl_slice payload,
                      struct sl_err *err)
{
    struct gpio_command command;
    struct sl_err own = { 0 };
    err = err ? err : &own; /* a fault's text comes from it */
    struct line *l = find_output(g, name);
    if (!l)
        return sl_fail(err, SL_NOTFOUND, "no output line is named \"%.*s\"", SL_FMT(name));
    enum sl_code code = gpio_command_parse(payload, &command, err);
    if (code == SL_OK && !l->port)
        code = sl_fail(err, SL_IO, "not available: %s", l->error[0] ? l->error : "not yet opened");
    if (code == SL_OK)
        code = line_obey(l, &command, err);
    return code == SL_OK ? SL_OK : sl_wrap(err, "gpio %s", l->name);
}

size_t gpio_count(const struct gpio *g)
{
    return g->count;
}

void gpio_get_status(const struct gpio *g, size_t index, struct gpio_line_status *ret)
{
    assert(index < g->count);
    const struct line *l = &g->lines[index];
    *ret = (struct gpio_line_status){ .name = l->name,
                                      .output = l->options.output,
                                      .ok = l->port != NULL,
                                      .state = line_level(l),
                                      .blink_hz = l->port ? drive_blink_hz(&l->drive) : 0,
                                      .edges = l->edges };
    memcpy(ret->error, l->error, sizeof ret->error);
}

const char *gpio_library_version(void)
{
    return port_library_version();
}
