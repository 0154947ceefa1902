/* gateway.c - the gateway's life: opening the parts in order, the signals, the second's work,
 * stopping in order.
 *
 * Opened from below: the lock on data_dir, control socket, stores, broker, rules, listeners, GPIO,
 * bridge, web. Stopped so that nothing acknowledged is lost: take no more messages, let the bridge
 * finish, commit the rest, send the last acknowledgements, close. */
#include "gateway.h"

#include "footprint.h"
#include "lock.h"
#include "notify.h"

#include "base/file.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    SECOND_MS = 1000,
    STORE_EVERY_MS = 10000,
    HOUR_MS = 3600000,
    LOCK_WAIT_MS = 2000,
    LOCK_NAP_MS = 20,
    STOP_MS = 4500,
    BRIDGE_GRACE_MS = 1500,
    END_MS = 500
};

/* ---- publishing from inside ---- */

void gateway_publish(struct gateway *g, struct sl_slice topic, struct sl_slice payload, bool retain)
{
    struct sl_msg_parts parts = {
        .topic = topic,
        .payload = payload,
        .expiry_s = SL_MSG_NO_EXPIRY,
        .qos = 1,
        .retain = retain,
        .mono_ms = sl_mono_ms(g->clock),
        .wall_ms = sl_wall_ms(g->clock),
    };
    struct sl_msg *m = sl_msg_new(&parts);
    if (!m || !broker_publish(g->broker, m))
        LOG_WARN("gateway", "%.*s: could not be published: the broker's queue is full",
                 SL_FMT(topic));
    sl_msg_unref(m);
}

void gateway_publish_json(struct gateway *g, const char *topic,
                          void (*make)(struct gateway *g, struct sl_buf *out))
{
    struct sl_buf json = { 0 };
    make(g, &json);
    if (!json.failed)
        gateway_publish(g, sl_str(topic), sl_buf_slice(&json), true);
    sl_buf_free(&json);
}

/* The store opens in the background and does not log: what it met shows in its state. */
static void watch_disk(struct gateway *g, const struct outbox_stats *s)
{
    if (s->set_aside[0] && !g->told_set_aside) {
        g->told_set_aside = true;
        LOG_ERROR(
            "store",
            "queue.db could not be used (%s): it was moved to %s and a fresh one was started, with "
            "the %llu messages that could be read",
            s->set_aside_why, s->set_aside, (unsigned long long)s->salvaged);
    }
    if (s->disk_ok != g->disk_was_ok)
        sl_log(s->disk_ok ? SL_INFO : SL_ERROR, "store", NULL, "%s",
               s->disk_ok ? "the disk can be written again" : s->disk_error);
    g->disk_was_ok = s->disk_ok;
}

/* The first loss by thinning of each hour is told; how much went is in the ledger. */
static void watch_thinning(struct gateway *g, const struct outbox_stats *s, int64_t now)
{
    uint64_t thinned = s->lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_THINNED].count;
    if (g->thin_passes == s->thin_passes ||
        (g->told_thin_ms != 0 && now < g->told_thin_ms + HOUR_MS))
        return;
    g->thin_passes = s->thin_passes;
    g->told_thin_ms = now;
    LOG_WARN("store",
             "%s: the resolution of the oldest telemetry was halved, topic by "
             "topic (%llu messages thinned out so far)",
             s->no_room ? "the disk is full" : "store.max_bytes is reached",
             (unsigned long long)thinned);
}

static void watch_cloud(struct gateway *g, const struct outbox_stats *s)
{
    struct bridge_status b;
    bridge_get_status(g->bridge, &b);
    cloud_watch_look(&g->cloud_watch, &b, g->config->cloud.cert, sl_mono_ms(g->clock),
                     sl_wall_ms(g->clock));
    gateway_gap_tick(g, s);
}

/* On a disk that was full or read-only at the start. */
static void open_control_late(struct gateway *g)
{
    struct sl_err ignored; /* it was told at the start */
    if (control_open(&g->control, g, g->config->gateway.data_dir, &ignored) == SL_OK)
        LOG_INFO("gateway", "the control socket is there now");
}

void gateway_say_cloud(struct gateway *g)
{
    g->said_since_ms = status_cloud_since_ms(g);
    gateway_publish_json(g, "$SYS/gateway/cloud", status_cloud_json);
}

static void on_second(uv_timer_t *t)
{
    struct gateway *g = t->data;
    struct broker_stats b;
    struct outbox_stats s;
    broker_get_stats(g->broker, &b);
    outbox_get_stats(g->outbox, &s);
    struct history_sample sample = { .mono_ms = sl_mono_ms(g->clock),
                                     .wall_ms = sl_wall_ms(g->clock),
                                     .in = b.publish_in,
                                     .out = b.publish_out };
    for (int i = 0; i < OUTBOX_LANES; i++) {
        sample.cloud += s.lane[i].delivered;
        sample.waiting += s.lane[i].waiting;
    }
    history_add(&g->history, &sample);
    watch_disk(g, &s);
    if (!g->control)
        open_control_late(g);
    if (g->bridge) {
        watch_cloud(g, &s);
        g->cloud_seconds += bridge_is_connected(g->bridge);
    }
    watch_thinning(g, &s, sample.mono_ms);
    if (!g->trimmed)
        footprint_trim();
    g->trimmed = true;
    footprint_tick(&g->footprint, b.tls_ended);
    listeners_watch(g->listeners, sample.mono_ms, sample.wall_ms);
    gateway_watch_state(g);
    if (status_cloud_since_ms(g) != g->said_since_ms) /* the wall clock was set */
        gateway_say_cloud(g);
    if (sample.mono_ms >= g->store_due_ms) {
        g->store_due_ms = sample.mono_ms + STORE_EVERY_MS;
        gateway_publish_json(g, "$SYS/gateway/store", status_store_json);
    }
}

/* From the loop: what it says is that the loop turns. */
static void on_watchdog(uv_timer_t *t)
{
    (void)t;
    notify_send("WATCHDOG=1");
}

/* These fail only without a callback. */
static void start_timers(struct gateway *g)
{
    uint64_t watchdog_ms = notify_watchdog_ms();
    g->disk_was_ok = true; /* until the store has tried */
    uv_update_time(&g->loop);
    (void)uv_timer_start(&g->second, on_second, SECOND_MS, SECOND_MS);
    if (watchdog_ms > 0)
        (void)uv_timer_start(&g->watchdog, on_watchdog, watchdog_ms, watchdog_ms);
}

static void nap(long ms)
{
    const struct timespec t = { .tv_nsec = ms * 1000000 };
    (void)nanosleep(&t, NULL); /* cut short by a signal: asked again a little early */
}

/* A command that reads the store holds the folder for a moment; another gateway holds it for good,
 * and answers. */
static enum sl_code lock(struct gateway *g, struct sl_err *err)
{
    const char *dir = g->config->gateway.data_dir;
    enum sl_code rc = lock_data_dir(dir, LOCK_ALONE, &g->lock_fd, err);
    for (int i = 0; rc == SL_BUSY && i < LOCK_WAIT_MS / LOCK_NAP_MS && !control_answers(dir); i++) {
        nap(LOCK_NAP_MS);
        rc = lock_data_dir(dir, LOCK_ALONE, &g->lock_fd, err);
    }
    if (rc == SL_BUSY)
        return sl_fail(err, SL_BUSY,
                       "another sluice runs with data_dir %s: stop it, or give this one its own "
                       "gateway.data_dir",
                       dir);
    return rc;
}

/* On a full disk a gateway without its socket is better than none. */
static enum sl_code open_control(struct gateway *g, struct sl_err *err)
{
    enum sl_code rc = control_open(&g->control, g, g->config->gateway.data_dir, err);
    if (rc != SL_FULL)
        return rc;
    LOG_ERROR("gateway", "%s: \"sluice status\" and \"sluice queue\" will get no answer",
              err->text);
    return SL_OK;
}

static enum sl_code open_listeners(struct gateway *g, struct sl_err *err)
{
    return listeners_open(&g->listeners, &g->loop, g->broker, g->config, err);
}

static enum sl_code open_parts(struct gateway *g, struct sl_err *err)
{
    static enum sl_code (*const steps[])(struct gateway * g, struct sl_err * err) = {
        lock,
        open_control,
        gateway_check_key,
        gateway_open_outbox,
        gateway_open_state,
        gateway_open_broker,
        gateway_open_engine,
        open_listeners,
        gateway_open_gpio,
        gateway_open_bridge,
        gateway_open_web,
    };
    enum sl_code rc = sl_make_dirs(g->config->gateway.data_dir, 0750, err);
    if (rc != SL_OK)
        return sl_wrap(err, "gateway.data_dir");
    for (size_t i = 0; rc == SL_OK && i < SL_ARRAY_LEN(steps); i++)
        rc = steps[i](g, err);
    return rc;
}

/* ---- stopping: each step begins when the one before has ended ---- */

static void close_loop_handles(struct gateway *g)
{
    uv_close((uv_handle_t *)&g->sigterm, NULL);
    uv_close((uv_handle_t *)&g->sigint, NULL);
    uv_close((uv_handle_t *)&g->sighup, NULL);
    uv_close((uv_handle_t *)&g->second, NULL);
    uv_close((uv_handle_t *)&g->watchdog, NULL);
    uv_close((uv_handle_t *)&g->deadline, NULL);
}

static void stop_control(void *ctx)
{
    struct gateway *g = ctx;
    if (g->control)
        control_close(g->control, NULL, NULL);
    g->control = NULL;
    close_loop_handles(g);
    g->parts_closed = true;
}

static void stop_listeners(void *ctx)
{
    struct gateway *g = ctx;
    struct listeners *l = g->listeners;
    g->state = NULL;
    g->listeners = NULL;
    if (l)
        listeners_close(l, stop_control, g);
    else
        stop_control(g);
}

/* After the broker: closing connections ends sessions or makes them wait. */
static void stop_state(void *ctx)
{
    struct gateway *g = ctx;
    g->broker = NULL;
    if (g->state)
        state_close(g->state, stop_listeners, g);
    else
        stop_listeners(g);
}

static void stop_broker(void *ctx)
{
    struct gateway *g = ctx;
    g->outbox = NULL;
    engine_close(g->engine);
    g->engine = NULL;
    if (g->broker)
        broker_close(g->broker, stop_state, g);
    else
        stop_state(g);
}

static void stop_outbox(void *ctx)
{
    struct gateway *g = ctx;
    g->bridge = NULL;
    if (g->outbox)
        outbox_close(g->outbox, stop_broker, g);
    else
        stop_broker(g);
}

static void stop_bridge(void *ctx)
{
    struct gateway *g = ctx;
    g->gpio = NULL;
    if (g->bridge)
        bridge_close(g->bridge, BRIDGE_GRACE_MS, stop_outbox, g);
    else
        stop_outbox(g);
}

static void stop_gpio(void *ctx)
{
    struct gateway *g = ctx;
    g->web = NULL;
    gateway_untap_gpio(g);
    if (g->gpio)
        gpio_close(g->gpio, stop_bridge, g);
    else
        stop_bridge(g);
}

static void on_deadline(uv_timer_t *t)
{
    (void)t;
    /* What is committed is safe and nothing else was acknowledged: leaving now loses nothing. */
    LOG_ERROR("gateway", "could not stop in time: leaving");
    _Exit(1);
}

static void stop(struct gateway *g)
{
    if (g->stopping)
        return;
    g->stopping = true;
    notify_send("STOPPING=1");
    uv_update_time(&g->loop);
    (void)uv_timer_stop(&g->second); /* always 0 */
    (void)uv_timer_start(&g->deadline, on_deadline, STOP_MS, 0);
    if (g->broker)
        broker_pause(g->broker);
    if (g->web)
        web_close(g->web, stop_gpio, g);
    else
        stop_gpio(g);
}

static void on_stop_signal(uv_signal_t *h, int number)
{
    struct gateway *g = h->data;
    if (!g->stopping)
        LOG_INFO("gateway", "%s: stopping", number == SIGTERM ? "SIGTERM" : "SIGINT");
    stop(g);
}

static void on_reload_signal(uv_signal_t *h, int number)
{
    struct gateway *g = h->data;
    (void)number;
    if (g->stopping)
        return;
    notify_reloading();
    gateway_reload(g);
    notify_send("READY=1");
}

/* ---- running ---- */

static void init_loop_handles(struct gateway *g)
{
    /* These fill in structs and register signals; they fail only for lack of descriptors, which the
     * parts will report. */
    (void)uv_signal_init(&g->loop, &g->sigterm);
    (void)uv_signal_init(&g->loop, &g->sigint);
    (void)uv_signal_init(&g->loop, &g->sighup);
    (void)uv_timer_init(&g->loop, &g->second);
    (void)uv_timer_init(&g->loop, &g->watchdog);
    (void)uv_timer_init(&g->loop, &g->deadline);
    g->sigterm.data = g->sigint.data = g->sighup.data = g->second.data = g;
    (void)uv_signal_start(&g->sigterm, on_stop_signal, SIGTERM);
    (void)uv_signal_start(&g->sigint, on_stop_signal, SIGINT);
    (void)uv_signal_start(&g->sighup, on_reload_signal, SIGHUP);
}

static void log_started(struct gateway *g)
{
    for (size_t i = 0; i < listeners_count(g->listeners); i++) {
        struct listener_view v;
        listeners_get(g->listeners, i, &v);
        LOG_INFO("broker", "listening: %s on %s (\"%s\")", v.protocol, v.address, v.name);
    }
    LOG_INFO("gateway", "sluice %s: \"%s\" is ready after %lld ms", SLUICE_VERSION,
             g->config->gateway.id, (long long)(sl_mono_ms(g->clock) - g->started.mono_ms));
}

static void run_loop(struct gateway *g)
{
    struct sl_err err = { 0 };
    if (open_parts(g, &err) == SL_OK) {
        start_timers(g);
        gateway_say_cloud(g);
        log_started(g);
        notify_send("READY=1");
    } else {
        LOG_ERROR("gateway", "cannot start: %s", err.text);
        g->exit_code = 1;
        stop(g);
    }
    while (!g->parts_closed && uv_run(&g->loop, UV_RUN_ONCE) != 0) {
        /* until stop() has closed everything */
    }
}

static void count_handle(uv_handle_t *h, void *count)
{
    (void)h;
    ++*(unsigned *)count;
}

static unsigned handles_left(struct gateway *g)
{
    unsigned count = 0;
    uv_walk(&g->loop, count_handle, &count);
    return count;
}

/* Runs the last close callbacks. What may be left then is a name look-up or a password's check,
 * which cannot be interrupted: nothing waits for it. A handle that is left is a bug of ours. */
static bool loop_ends(struct gateway *g)
{
    int64_t until = sl_mono_ms(g->clock) + END_MS;
    do {
        (void)uv_run(&g->loop, UV_RUN_NOWAIT); /* whether something is left is asked next */
        if (handles_left(g) > 0)
            nap(1);
    } while (handles_left(g) > 0 && sl_mono_ms(g->clock) < until);
    if (handles_left(g) > 0) {
        LOG_ERROR("gateway", "%u handles were left open at the end", handles_left(g));
        g->exit_code = 1;
    }
    return uv_loop_close(&g->loop) == 0;
}

static void free_rest(struct gateway *g)
{
    events_stop();
    throttle_free(&g->throttle);
    config_free(g->config);
    sl_close_fd(&g->lock_fd);
    free(g);
}

int gateway_run(struct config *config, const char *config_path)
{
    struct gateway *g = calloc(1, sizeof *g);
    if (!g || uv_loop_init(&g->loop) != 0) {
        LOG_ERROR("gateway", "cannot start: out of memory");
        free(g);
        config_free(config);
        return 1;
    }
    g->clock = &sl_clock_system;
    g->config = config;
    g->config_path = config_path;
    g->lock_fd = -1;
    g->started = sl_moment_now(g->clock);
    events_start(&g->events);
    init_loop_handles(g);
    run_loop(g);
    logins_close(g->logins);
    logins_close(g->web_logins);
    bool ended = loop_ends(g);
    int exit_code = g->exit_code;
    if (exit_code == 0)
        LOG_INFO("gateway", "stopped");
    if (!ended)
        _Exit(exit_code); /* everything is flushed and closed; exit() would wait for the look-up's
                             thread */
    free_rest(g);
    return exit_code;
}
