/* gpio_line.c - one GPIO line: its port, its edges or its drive, its news and its faults.
 *
 * The rules live in debounce.c and drive.c; here are only handles, time and callbacks.
 *
 * News of outputs wait NEWS_DELAY_MS and are told from the loop, never from within gpio_set(): a
 * rule may turn an output's state into its next command, which would otherwise be a recursion
 * without end. Inputs only change on the loop and are told at once. */
#include "gpio_line.h"

#include <assert.h>
#include <stdio.h>

#define EDGES_A_READ 16
#define READS_A_WAKE 4 /* a line that storms lets the rest of the loop run in between */

#define NEWS_DELAY_MS 1 /* also the pace of an output that is made to command itself */

static int64_t now_ms(const struct line *l)
{
    return sl_mono_ms(l->owner->clock);
}

/* ---- letting go ---- */

static void on_poll_closed(uv_handle_t *h)
{
    struct line *l = h->data;
    l->polling = false;
    gpio_release(l->owner);
}

void line_down(struct line *l)
{
    uv_timer_stop(&l->timer);
    uv_timer_stop(&l->news_timer);
    l->news_count = 0;
    if (l->polling && !uv_is_closing((uv_handle_t *)&l->poll))
        uv_close((uv_handle_t *)&l->poll, on_poll_closed); /* before its descriptor goes */
    port_close(l->port);
    l->port = NULL;
}

/* ---- news ---- */

int line_level(const struct line *l)
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
    l->news[l->news_count < GPIO_NEWS_MAX ? l->news_count++ : GPIO_NEWS_MAX - 1] = n;
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

void line_check(struct line *l)
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

/* ---- commands ---- */

enum sl_code line_obey(struct line *l, const struct gpio_command *command, struct sl_err *err)
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
