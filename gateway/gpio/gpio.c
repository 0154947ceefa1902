/* gpio.c - GPIO lines on the loop: requests them, reports edges, drives outputs, notices faults.
 *
 * Owns the ports (lines.h), one poll handle an input, one timer a line and one for all. The rules
 * live in debounce.c, drive.c and command.c; here are only handles, time and callbacks.
 *
 * News of outputs wait NEWS_DELAY_MS and are told from the loop, never from within gpio_set(): a
 * rule may turn an output's state into its next command, which would otherwise be a recursion
 * without end. Inputs only change on the loop and are told at once.
 *
 * A line is up (port set) or down (port NULL). It goes down on any failure and is tried again by
 * gpio_check(). A callback may call gpio_close(), so after one nothing is taken for granted: it
 * comes last in a function, or `closing` is looked at. */
#include "gpio.h"

#include "debounce.h"
#include "drive.h"
#include "gpio_private.h"
#include "lines.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define EDGES_A_READ 16
#define READS_A_WAKE 4 /* a line that storms lets the rest of the loop run in between */

#define NEWS_MAX      16 /* then the newest state replaces the one before */
#define NEWS_DELAY_MS 1  /* also the pace of an output that is made to command itself */

struct news {
    int state;
    double blink_hz; /* outputs */
    int64_t wall_ms;
};

struct line {
    struct gpio *owner;
    char *name, *chip;
    struct port_options options;
    int64_t debounce_ms;
    struct port *port;        /* NULL while the line is down */
    uv_timer_t timer;         /* the end of a bounce, or the next change of an output */
    uv_timer_t news_timer;    /* runs while news wait */
    uv_poll_t poll;           /* inputs */
    bool polling;             /* libuv points into poll: from its init until it is closed */
    bool faulty;              /* the fault was reported, its end was not */
    struct debounce debounce; /* inputs, while up */
    struct drive drive;       /* outputs, also while down: what to return to */
    struct news news[NEWS_MAX];
    size_t news_count;
    struct news last; /* the newest of all, told or waiting */
    uint64_t edges;
    char error[256];
};

struct gpio {
    uv_loop_t *loop;
    const struct sl_clock *clock;
    struct gpio_callbacks callbacks;
    uv_timer_t check;
    unsigned holds; /* handles that libuv still points into */
    bool closing;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
    size_t count;
    struct line lines[];
};

static int64_t now_ms(const struct line *l)
{
    return sl_mono_ms(l->owner->clock);
}

/* ---- closing ---- */

static void gpio_free(struct gpio *g)
{
    for (size_t i = 0; i < g->count; i++) {
        free(g->lines[i].name);
        free(g->lines[i].chip);
    }
    free(g);
}

static void gpio_release(struct gpio *g)
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

static void on_poll_closed(uv_handle_t *h)
{
    struct line *l = h->data;
    l->polling = false;
    gpio_release(l->owner);
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

/* Lets go of the line. The poll handle can be used again once libuv has closed it. */
static void line_down(struct line *l)
{
    uv_timer_stop(&l->timer);
    uv_timer_stop(&l->news_timer);
    l->news_count = 0;
    if (l->polling && !uv_is_closing((uv_handle_t *)&l->poll))
        uv_close((uv_handle_t *)&l->poll, on_poll_closed); /* before its descriptor goes */
    port_close(l->port);
    l->port = NULL;
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

/* ---- news ---- */

static int line_level(const struct line *l)
{
    if (!l->port)
        return -1;
    return l->options.output ? l->drive.level : l->debounce.reported;
}

static struct news news_now(const struct line *l)
{
    return (struct news){ .state = line_level(l),
                          .blink_hz = drive_blink_hz(&l->drive),
                          .wall_ms = sl_wall_ms(l->owner->clock) };
}

static void tell(struct line *l, const struct news *n)
{
    const struct gpio_callbacks *cb = &l->owner->callbacks;
    long long ts = n->wall_ms;
    char json[96];
    int len = l->options.output
                  ? snprintf(json, sizeof json, "{\"state\":%d,\"blink\":%.6g,\"ts\":%lld}",
                             n->state, n->blink_hz, ts)
                  : snprintf(json, sizeof json, "{\"state\":%d,\"ts\":%lld}", n->state, ts);
    assert(len > 0 && (size_t)len < sizeof json);
    if (cb->on_state)
        cb->on_state(cb->ctx, l->name, sl_bytes(json, (size_t)len));
}

static void tell_now(struct line *l)
{
    l->last = news_now(l);
    tell(l, &l->last);
}

static void input_changed(struct line *l)
{
    l->edges++;
    tell_now(l);
}

/* What comes in while this tells, by a callback that sends a command, waits for the next time. */
static void on_news(uv_timer_t *t)
{
    struct line *l = t->data;
    for (size_t n = l->news_count; n > 0 && l->news_count > 0; n--) {
        struct news first = l->news[0];
        l->news_count--;
        memmove(l->news, l->news + 1, l->news_count * sizeof l->news[0]);
        tell(l, &first);
    }
}

static void output_changed(struct line *l)
{
    struct news n = news_now(l);
    if (n.state == l->last.state && n.blink_hz == l->last.blink_hz)
        return;
    l->last = n;
    l->news[l->news_count < NEWS_MAX ? l->news_count++ : NEWS_MAX - 1] = n;
    if (!uv_is_active((uv_handle_t *)&l->news_timer))
        (void)uv_timer_start(&l->news_timer, on_news, NEWS_DELAY_MS, 0); /* has a callback */
}

static void line_fault(struct line *l, const struct sl_err *err)
{
    const struct gpio_callbacks *cb = &l->owner->callbacks;
    line_down(l);
    (void)snprintf(l->error, sizeof l->error, "%.*s", (int)sizeof l->error - 1, err->text);
    if (l->faulty)
        return;
    l->faulty = true;
    if (cb->on_fault)
        cb->on_fault(cb->ctx, l->name, l->error);
}

/* ---- timers: the end of a bounce, the next change of an output ---- */

static void on_line_timer(uv_timer_t *t);

static void line_arm(struct line *l)
{
    int64_t now = now_ms(l);
    int64_t due = l->options.output ? drive_due(&l->drive, now) : l->debounce.due_ms;
    if (due == GPIO_NEVER)
        uv_timer_stop(&l->timer);
    else /* fails only without a callback or on a closing handle */
        (void)uv_timer_start(&l->timer, on_line_timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

static void output_due(struct line *l)
{
    struct sl_err err = { 0 };
    int before = l->drive.level;
    bool ended = drive_tick(&l->drive, now_ms(l));
    if (l->drive.level != before && port_set(l->port, l->drive.level, &err) != SL_OK) {
        line_fault(l, &err);
        return;
    }
    line_arm(l);
    if (ended)
        output_changed(l);
}

static void input_due(struct line *l)
{
    struct sl_err err = { 0 };
    int level;
    if (port_get(l->port, &level, &err) != SL_OK) {
        line_fault(l, &err);
        return;
    }
    bool report = debounce_rest(&l->debounce, level, now_ms(l));
    line_arm(l);
    if (report)
        input_changed(l);
}

static void on_line_timer(uv_timer_t *t)
{
    struct line *l = t->data;
    if (!l->port)
        return;
    if (l->options.output)
        output_due(l);
    else
        input_due(l);
}

/* ---- edges ---- */

/* Reports edges in order. False when the line is down afterwards. */
static bool take_edges(struct line *l, size_t *ret_n)
{
    int levels[EDGES_A_READ];
    struct sl_err err = { 0 };
    if (port_edges(l->port, levels, SL_ARRAY_LEN(levels), ret_n, &err) != SL_OK) {
        line_fault(l, &err);
        return false;
    }
    for (size_t i = 0; i < *ret_n; i++) {
        if (debounce_edge(&l->debounce, levels[i], now_ms(l)))
            input_changed(l);
        if (!l->port) /* a callback closed us */
            return false;
    }
    return true;
}

/* The kernel's queue is short and drops what does not fit: the level itself has the last word. */
static void input_sample(struct line *l)
{
    struct sl_err err = { 0 };
    int level;
    if (port_get(l->port, &level, &err) != SL_OK) {
        line_fault(l, &err);
        return;
    }
    bool report = debounce_sample(&l->debounce, level, now_ms(l));
    line_arm(l);
    if (report)
        input_changed(l);
}

static void input_read(struct line *l)
{
    size_t n = EDGES_A_READ;
    for (unsigned i = 0; i < READS_A_WAKE && n == EDGES_A_READ; i++)
        if (!take_edges(l, &n))
            return;
    input_sample(l);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct line *l = h->data;
    (void)events; /* only readable was asked for */
    if (!l->port)
        return;
    if (status < 0) {
        struct sl_err err = { 0 };
        (void)sl_fail(&err, SL_IO, "polling: %s",
                      uv_strerror(status)); /* the text is what counts */
        line_fault(l, &err);
        return;
    }
    input_read(l);
}

/* ---- getting a line, and keeping an eye on it ---- */

static enum sl_code input_start(struct line *l, struct sl_err *err)
{
    int level;
    int rc = uv_poll_init(l->owner->loop, &l->poll, port_fd(l->port));
    if (rc < 0)
        return sl_fail(err, SL_IO, "polling: %s", uv_strerror(rc));
    l->polling = true;
    l->owner->holds++;
    l->poll.data = l;
    rc = uv_poll_start(&l->poll, UV_READABLE, on_poll);
    if (rc < 0)
        return sl_fail(err, SL_IO, "polling: %s", uv_strerror(rc));
    /* After the request, so that no edge falls between; one that is queued as well does no harm. */
    enum sl_code code = port_get(l->port, &level, err);
    if (code == SL_OK)
        debounce_start(&l->debounce, l->debounce_ms, level);
    return code;
}

static void line_up(struct line *l)
{
    const struct gpio_callbacks *cb = &l->owner->callbacks;
    struct sl_err err = { 0 };
    if (l->options.output) {
        (void)drive_tick(&l->drive, now_ms(l)); /* the state is reported below in any case */
        l->options.level = l->drive.level;
    }
    enum sl_code code = port_open(&l->port, &l->options, &err);
    if (code == SL_OK && !l->options.output)
        code = input_start(l, &err);
    if (code != SL_OK) {
        line_fault(l, &err);
        return;
    }
    line_arm(l);
    l->error[0] = '\0';
    bool recovered = l->faulty;
    l->faulty = false;
    if (recovered && cb->on_fault)
        cb->on_fault(cb->ctx, l->name, NULL);
    if (!l->owner->closing)
        tell_now(l);
}

static void line_check(struct line *l)
{
    if (!l->port && !l->polling)
        line_up(l);
    else if (l->port && !l->options.output)
        input_sample(l);
    else if (l->port) {
        struct sl_err err = { 0 };
        int level; /* whatever it is: an open drain may be held by others */
        if (port_get(l->port, &level, &err) != SL_OK)
            line_fault(l, &err);
    }
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

static enum sl_code obey(struct line *l, const struct gpio_command *command, struct sl_err *err)
{
    struct drive next = l->drive;
    drive_command(&next, command, now_ms(l));
    if (port_set(l->port, next.level, err) != SL_OK) {
        line_fault(l, err);
        return SL_IO;
    }
    l->drive = next;
    line_arm(l);
    output_changed(l);
    return SL_OK;
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
        code = obey(l, &command, err);
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
