/* gateway.c - the gateway's life: opening the parts in order, the signals, the second's work,
 * stopping in order.
 *
 * Opened from below: store, broker, rules, listeners, GPIO, bridge, web, control socket. Stopped so
 * that nothing acknowledged is lost: take no more messages, let the bridge finish, commit the rest,
 * send the last acknowledgements, close. */
#include "gateway.h"

#include "notify.h"
#include "rules_config.h"
#include "watch.h"

#include "base/file.h"
#include "base/log.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECOND_MS = 1000, STOP_MS = 4500, BRIDGE_GRACE_MS = 1500, STORE_EVERY_MS = 10000 };

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

static void publish_json(struct gateway *g, const char *topic,
                         void (*make)(struct gateway *g, struct sl_buf *out))
{
    struct sl_buf json = { 0 };
    make(g, &json);
    if (!json.failed)
        gateway_publish(g, sl_str(topic), sl_buf_slice(&json), true);
    sl_buf_free(&json);
}

/* ---- the bridge's callbacks ---- */

/* Said once, not at every attempt: an outage may take a month. */
static void log_cloud(struct gateway *g, const struct bridge_status *s)
{
    char line[sizeof g->cloud_line];
    const char *word = bridge_state_word(s->state);
    if (s->state >= BRIDGE_RESOLVING && s->state <= BRIDGE_SUBSCRIBING)
        return; /* an attempt: what comes of it is said */
    (void)snprintf(line, sizeof line, s->error[0] ? "%s (%s): %s" : "%s", word, s->cause, s->error);
    if (strcmp(line, g->cloud_line) == 0)
        return;
    memcpy(g->cloud_line, line, sizeof line);
    sl_log(s->error[0] ? SL_WARN : SL_INFO, "cloud", NULL, "%s", line);
}

static void on_cloud_state(void *ctx, const struct bridge_status *s)
{
    struct gateway *g = ctx;
    log_cloud(g, s);
    publish_json(g, "$SYS/gateway/cloud", status_cloud_json);
}

static void on_cloud_message(void *ctx, struct sl_msg *m)
{
    struct gateway *g = ctx;
    if (!broker_publish(g->broker, m))
        LOG_WARN("cloud",
                 "a message from the cloud on %.*s was dropped: not a valid topic, or the broker's "
                 "queue is full",
                 SL_FMT(sl_msg_topic(m)));
}

/* ---- GPIO ---- */

static const struct config_gpio *gpio_config(struct gateway *g, const char *name)
{
    for (size_t i = 0; i < g->config->gpio_count; i++)
        if (strcmp(g->config->gpio[i].name, name) == 0)
            return &g->config->gpio[i];
    return NULL;
}

static void on_gpio_state(void *ctx, const char *name, struct sl_slice json)
{
    struct gateway *g = ctx;
    const struct config_gpio *c = gpio_config(g, name);
    if (c)
        gateway_publish(g, sl_str(c->topic), json, true);
}

static void on_gpio_fault(void *ctx, const char *name, const char *error)
{
    (void)ctx;
    if (error)
        LOG_WARN("gpio", "%s: %s", name, error);
    else
        LOG_INFO("gpio", "%s: available again", name);
}

/* "TOPIC/set" of any line: the name is found by the topic. */
static void on_gpio_command(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct gateway *g = ctx;
    struct sl_err err = { 0 };
    struct sl_slice topic = sl_msg_topic(m);
    (void)receipt; /* a command is done at once: nothing to hold back */
    topic.len -= sizeof "/set" - 1;
    for (size_t i = 0; i < g->config->gpio_count; i++) {
        const struct config_gpio *c = &g->config->gpio[i];
        if (!c->output || !sl_slice_eq(sl_str(c->topic), topic))
            continue;
        if (gpio_set(g->gpio, sl_str(c->name), sl_msg_payload(m), &err) != SL_OK)
            LOG_WARN("gpio", "%s", err.text);
    }
}

static enum sl_code tap_gpio(struct gateway *g, struct sl_err *err)
{
    g->gpio_taps = calloc(g->config->gpio_count, sizeof(struct broker_tap *));
    if (!g->gpio_taps)
        return sl_fail(err, SL_NOMEM, "gpio: out of memory");
    for (size_t i = 0; i < g->config->gpio_count; i++) {
        struct sl_buf topic = { 0 };
        if (!g->config->gpio[i].output)
            continue;
        sl_buf_printf(&topic, "%s/set", g->config->gpio[i].topic);
        g->gpio_taps[i] = broker_tap(g->broker, sl_buf_slice(&topic), on_gpio_command, g);
        sl_buf_free(&topic);
        if (!g->gpio_taps[i])
            return sl_fail(err, SL_NOMEM, "gpio: out of memory for %s/set",
                           g->config->gpio[i].topic);
    }
    return SL_OK;
}

static enum sl_code open_gpio(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    if (c->gpio_count == 0)
        return SL_OK;
    struct gpio_line_options *lines = calloc(c->gpio_count, sizeof *lines);
    if (!lines)
        return sl_fail(err, SL_NOMEM, "gpio: out of memory");
    for (size_t i = 0; i < c->gpio_count; i++) {
        const struct config_gpio *from = &c->gpio[i];
        lines[i] = (struct gpio_line_options){
            .name = from->name,
            .chip = from->chip,
            .line = from->line,
            .output = from->output,
            .active_low = from->active_low,
            .bias = (enum gpio_bias)from->bias,
            .debounce_ms = from->debounce_ms,
            .initial = from->initial,
        };
    }
    struct gpio_callbacks callbacks = { g, on_gpio_state, on_gpio_fault };
    enum sl_code rc =
        gpio_open(&g->gpio, &g->loop, g->clock, lines, c->gpio_count, &callbacks, err);
    free(lines);
    if (rc != SL_OK)
        return rc;
    engine_set_gpio(g->engine, g->gpio);
    return tap_gpio(g, err);
}

/* ---- the web's view ---- */

static void view_status(void *ctx, struct sl_buf *out)
{
    status_json(ctx, out);
}

static void view_metrics(void *ctx, struct sl_buf *out)
{
    metrics_text(ctx, out);
    struct gateway *g = ctx;
    struct web_stats s;
    web_get_stats(g->web, &s);
    sl_buf_printf(out,
                  "# HELP sluice_http_requests_total HTTP requests.\n# TYPE "
                  "sluice_http_requests_total counter\n"
                  "sluice_http_requests_total %llu\n"
                  "# HELP sluice_http_live_clients WebSocket viewers.\n# TYPE "
                  "sluice_http_live_clients gauge\n"
                  "sluice_http_live_clients %u\n",
                  (unsigned long long)s.requests, s.live_clients);
}

static bool view_list(void *ctx, const char *name, struct sl_slice after, unsigned limit,
                      struct sl_buf *out)
{
    return status_list(ctx, name, after, limit, out);
}

static bool view_history(void *ctx, struct sl_slice series, int64_t since_ms, struct sl_buf *out)
{
    struct gateway *g = ctx;
    return history_json(&g->history, series, since_ms, out);
}

static bool view_healthy(void *ctx, struct sl_buf *reasons)
{
    return status_healthy(ctx, reasons);
}

static bool view_ready(void *ctx, struct sl_buf *reasons)
{
    return status_ready(ctx, reasons);
}

static bool view_login(void *ctx, struct sl_slice user, struct sl_slice password)
{
    struct gateway *g = ctx;
    struct logins *l = g->web_logins ? g->web_logins : g->logins;
    return l && logins_verify(l, user, password);
}

static void *view_watch(void *ctx, struct sl_slice user, struct sl_slice filter, web_tap_fn *fn,
                        void *fn_ctx)
{
    struct gateway *g = ctx;
    (void)user; /* whoever may read the page may read every topic: there are no access lists yet */
    return watch_open(g->broker, &g->watches, filter, fn, fn_ctx);
}

static void view_unwatch(void *ctx, void *watch)
{
    (void)ctx;
    watch_close(watch);
}

static enum sl_code open_web(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    if (!c->web.present)
        return SL_OK;
    if (c->web.users_file) {
        enum sl_code rc = logins_open(&g->web_logins, &g->loop, c->web.users_file, err);
        if (rc != SL_OK)
            return rc;
    }
    struct web_options o = {
        .loop = &g->loop,
        .bind = c->web.bind,
        .port = c->web.port,
        .anonymous = (enum web_anonymous)c->web.anonymous,
        .cert_path = c->web.tls_cert,
        .key_path = c->web.tls_key,
        .view = { .ctx = g,
                  .status = view_status,
                  .metrics = view_metrics,
                  .list = view_list,
                  .history = view_history,
                  .healthy = view_healthy,
                  .ready = view_ready,
                  .login = view_login,
                  .watch = view_watch,
                  .unwatch = view_unwatch },
    };
    enum sl_code rc = web_open(&g->web, &o, err);
    if (rc == SL_OK)
        LOG_INFO("web", "status page on %s://%s:%u", c->web.tls_cert ? "https" : "http",
                 c->web.bind, web_port(g->web));
    return rc;
}

/* ---- opening ---- */

static enum sl_code open_outbox(struct gateway *g, struct sl_err *err)
{
    static const enum outbox_when_full when_full[] = {
        [CONFIG_THIN] = OUTBOX_DROP_OLDEST,
        [CONFIG_DROP_OLDEST] = OUTBOX_DROP_OLDEST,
        [CONFIG_DROP_NEWEST] = OUTBOX_DROP_NEWEST,
        [CONFIG_REFUSE] = OUTBOX_REFUSE,
    };
    const struct config *c = g->config;
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/queue.db", c->gateway.data_dir) >= (int)sizeof path)
        return sl_fail(err, SL_INVALID, "gateway.data_dir is too long: %s", c->gateway.data_dir);
    struct outbox_options o = {
        .loop = &g->loop,
        .clock = g->clock,
        .path = path,
        .max_bytes = c->store.max_bytes,
        .max_age_ms = c->store.max_age_ms,
        .when_full = when_full[c->store.when_full],
        .spill_after_ms = c->store.spill_after_ms,
        .commit_interval_ms = c->store.commit_interval_ms,
        .sync = (enum outbox_sync)c->store.sync,
    };
    return outbox_open(&g->outbox, &o, err);
}

static void authenticate(void *ctx, struct broker_auth *auth, struct sl_slice user,
                         struct sl_slice password)
{
    struct gateway *g = ctx;
    if (g->logins)
        logins_check(g->logins, auth, user, password);
    else
        broker_auth_done(
            auth, g->config->access.anonymous); /* a name means nothing without a users file */
}

static enum sl_code open_broker(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    if (c->access.users_file) {
        enum sl_code rc = logins_open(&g->logins, &g->loop, c->access.users_file, err);
        if (rc != SL_OK)
            return rc;
    }
    struct broker_options o = {
        .loop = &g->loop,
        .clock = g->clock,
        .hooks = { .ctx = g, .authenticate = authenticate },
        .version = SLUICE_VERSION,
        .anonymous = c->access.anonymous,
        .max_connections = c->broker.max_connections,
        .max_packet_size = (uint32_t)c->broker.max_packet_size, /* validated: at most 256 MiB */
        .max_inflight = c->broker.max_inflight,
        .receive_maximum = c->broker.receive_maximum,
        .max_queued_messages = c->broker.max_queued_messages,
        .max_queued_bytes = c->broker.max_queued_bytes,
        .topic_alias_max = c->broker.topic_alias_max,
        .max_qos = (uint8_t)c->broker.max_qos,
        .retain = c->broker.retain,
        .max_keep_alive_s = (uint32_t)(c->broker.max_keep_alive_ms / 1000),
        .session_expiry_max_s = (uint32_t)(c->broker.session_expiry_max_ms / 1000),
        .connect_timeout_ms = c->broker.connect_timeout_ms,
        .connect_rate = c->broker.connect_rate,
        .sys_interval_ms = c->broker.sys_interval_ms,
    };
    return broker_open(&g->broker, &o, err);
}

static enum sl_code open_engine(struct gateway *g, struct sl_err *err)
{
    struct engine_options o = {
        .clock = g->clock,
        .broker = g->broker,
        .outbox = g->outbox,
        .gateway_id = g->config->gateway.id,
        .thing_name =
            g->config->cloud.present ? g->config->cloud.thing_name : g->config->gateway.id,
    };
    return engine_open(&g->engine, &o, g->config, err);
}

static void fill_bridge_options(struct gateway *g, struct bridge_options *o)
{
    const struct config *c = g->config;
    *o = (struct bridge_options){
        .loop = &g->loop,
        .clock = g->clock,
        .outbox = g->outbox,
        .gateway_id = c->gateway.id,
        .host = c->cloud.endpoint,
        .port = c->cloud.port,
        .client_id = c->cloud.client_id,
        .ca_path = c->cloud.ca,
        .cert_path = c->cloud.cert,
        .key_path = c->cloud.key,
        .username = c->cloud.username,
        .password = c->cloud.password,
        .protocol_version = c->cloud.protocol_version,
        .keep_alive_ms = c->cloud.keep_alive_ms,
        .connect_timeout_ms = c->cloud.connect_timeout_ms,
        .reconnect_min_ms = c->cloud.reconnect_min_ms,
        .reconnect_max_ms = c->cloud.reconnect_max_ms,
        .in_flight_max = c->cloud.in_flight,
        .publishes_per_second = c->cloud.publishes_per_second,
        .bytes_per_second = c->cloud.bytes_per_second,
        .payload_max = c->cloud.max_payload,
        .aws_limits = c->cloud.aws,
    };
}

static enum sl_code open_bridge(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    if (!c->cloud.present)
        return SL_OK;
    size_t count = c->cloud.subscribe_count;
    struct bridge_subscription *subs = calloc(count ? count : 1, sizeof *subs);
    if (!subs)
        return sl_fail(err, SL_NOMEM, "cloud: out of memory");
    for (size_t i = 0; i < count; i++)
        subs[i] =
            (struct bridge_subscription){ c->cloud.subscribe[i].cloud, c->cloud.subscribe[i].local,
                                          c->cloud.subscribe[i].qos };
    struct bridge_options o;
    fill_bridge_options(g, &o);
    o.subscriptions = subs;
    o.subscription_count = count;
    struct bridge_callbacks callbacks = { g, on_cloud_state, on_cloud_message };
    enum sl_code rc = bridge_open(&g->bridge, &o, &callbacks, err);
    free(subs);
    return rc;
}

/* The store opens in the background and does not log: what it met shows in its state. */
static void watch_disk(struct gateway *g, const struct outbox_stats *s)
{
    if (s->set_aside[0] && !g->told_set_aside) {
        g->told_set_aside = true;
        LOG_ERROR("store",
                  "queue.db could not be used (%s): it was moved to %s and a fresh one was started",
                  s->set_aside_why, s->set_aside);
    }
    if (s->disk_ok != g->disk_was_ok)
        sl_log(s->disk_ok ? SL_INFO : SL_ERROR, "store", NULL, "%s",
               s->disk_ok ? "the disk can be written again" : s->disk_error);
    g->disk_was_ok = s->disk_ok;
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
    if (sample.mono_ms >= g->store_due_ms) {
        g->store_due_ms = sample.mono_ms + STORE_EVERY_MS;
        publish_json(g, "$SYS/gateway/store", status_store_json);
    }
    if (g->watchdog_ms && sample.mono_ms >= g->watchdog_due_ms) {
        g->watchdog_due_ms = sample.mono_ms + g->watchdog_ms - SECOND_MS;
        notify_send("WATCHDOG=1");
    }
}

static void start_timers(struct gateway *g)
{
    g->disk_was_ok = true; /* until the store has tried */
    g->watchdog_ms = (int64_t)notify_watchdog_ms();
    (void)uv_timer_start(&g->second, on_second, SECOND_MS,
                         SECOND_MS); /* fails only without a callback */
}

static enum sl_code open_parts(struct gateway *g, struct sl_err *err)
{
    enum sl_code rc = sl_make_dirs(g->config->gateway.data_dir, 0750, err);
    if (rc != SL_OK)
        return sl_wrap(err, "gateway.data_dir");
    rc = control_open(&g->control, g, g->config->gateway.data_dir, err);
    if (rc == SL_OK)
        rc = open_outbox(g, err);
    if (rc == SL_OK)
        rc = open_broker(g, err);
    if (rc == SL_OK)
        rc = open_engine(g, err);
    if (rc == SL_OK)
        rc = listeners_open(&g->listeners, g->broker, g->config, err);
    if (rc == SL_OK)
        rc = open_gpio(g, err);
    if (rc == SL_OK)
        rc = open_bridge(g, err);
    if (rc == SL_OK)
        rc = open_web(g, err);
    return rc;
}

/* ---- stopping: each step begins when the one before has ended ---- */

static void close_loop_handles(struct gateway *g)
{
    uv_close((uv_handle_t *)&g->sigterm, NULL);
    uv_close((uv_handle_t *)&g->sigint, NULL);
    uv_close((uv_handle_t *)&g->sighup, NULL);
    uv_close((uv_handle_t *)&g->second, NULL);
    uv_close((uv_handle_t *)&g->deadline, NULL);
}

static void stop_control(void *ctx)
{
    struct gateway *g = ctx;
    g->broker = NULL;
    if (g->control)
        control_close(g->control, NULL, NULL);
    g->control = NULL;
    close_loop_handles(g);
    g->parts_closed = true;
}

static void stop_broker(void *ctx)
{
    struct gateway *g = ctx;
    g->outbox = NULL;
    engine_close(g->engine);
    g->engine = NULL;
    if (g->broker)
        broker_close(g->broker, stop_control, g);
    else
        stop_control(g);
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
    for (size_t i = 0; g->gpio_taps && i < g->config->gpio_count; i++)
        broker_untap(g->broker, g->gpio_taps[i]);
    free(g->gpio_taps);
    g->gpio_taps = NULL;
    if (g->engine)
        engine_set_gpio(g->engine, NULL);
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

/* ---- reload ---- */

static void log_problems(const struct config_problems *problems, const char *file)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct sl_buf line = { 0 };
        config_problem_format(&problems->list[i], file, &line);
        sl_log(problems->list[i].warning ? SL_WARN : SL_ERROR, "config", NULL, "%s",
               sl_buf_cstr(&line));
        sl_buf_free(&line);
    }
}

static enum sl_code apply(struct gateway *g, const struct config *c, struct sl_err *err)
{
    enum sl_code rc = listeners_reload(g->listeners, c, err);
    if (rc == SL_OK)
        rc = engine_reload(g->engine, c, err);
    if (rc == SL_OK && g->logins)
        rc = logins_reload(g->logins, err);
    if (rc == SL_OK && g->web_logins)
        rc = logins_reload(g->web_logins, err);
    if (rc == SL_OK && g->web)
        web_forget_logins(g->web);
    if (rc == SL_OK)
        sl_log_configure((enum sl_log_level)c->log.level, (enum sl_log_format)c->log.format);
    return rc;
}

static void reload(struct gateway *g)
{
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    struct sl_err err = { 0 };
    if (!g->config_path) {
        LOG_WARN("config", "nothing to read again: the built-in configuration is used");
        return;
    }
    enum sl_code rc = config_load(g->config_path, &c, &problems);
    bool rules_fine = c && config_check_rules(c, &problems);
    log_problems(&problems, g->config_path);
    if (rc != SL_OK || !rules_fine)
        LOG_ERROR("config", "%s has errors: nothing was changed", g->config_path);
    else if (apply(g, c, &err) != SL_OK)
        LOG_ERROR("config", "nothing was changed: %s", err.text);
    else
        LOG_INFO("config",
                 "%s: listeners, rules, users and log are up to date; other sections take effect "
                 "at the next start",
                 g->config_path);
    config_problems_free(&problems);
    config_free(c);
}

static void on_reload_signal(uv_signal_t *h, int number)
{
    struct gateway *g = h->data;
    (void)number;
    if (g->stopping)
        return;
    notify_send("RELOADING=1");
    reload(g);
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
    (void)uv_timer_init(&g->loop, &g->deadline);
    g->sigterm.data = g->sigint.data = g->sighup.data = g->second.data = g->deadline.data = g;
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
             g->config->gateway.id, (long long)(sl_mono_ms(g->clock) - g->started_mono_ms));
}

static void run_loop(struct gateway *g)
{
    struct sl_err err = { 0 };
    if (open_parts(g, &err) == SL_OK) {
        start_timers(g);
        publish_json(g, "$SYS/gateway/cloud", status_cloud_json);
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

/* Runs the last close callbacks. What may be left then is a name look-up, which cannot be
 * interrupted: nothing waits for it. A handle that is left is a bug of ours. */
static bool loop_ends(struct gateway *g)
{
    unsigned handles = 0;
    for (int turn = 0; turn < 3; turn++)
        (void)uv_run(&g->loop, UV_RUN_NOWAIT); /* whether something is left is asked below */
    if (uv_loop_close(&g->loop) == 0)
        return true;
    uv_walk(&g->loop, count_handle, &handles);
    if (handles > 0) {
        LOG_ERROR("gateway", "%u handles were left open at the end", handles);
        g->exit_code = 1;
    }
    return false;
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
    g->started_mono_ms = sl_mono_ms(g->clock);
    g->started_wall_ms = sl_wall_ms(g->clock);
    events_start(&g->events);
    init_loop_handles(g);
    run_loop(g);
    bool ended = loop_ends(g);
    int exit_code = g->exit_code;
    if (exit_code == 0)
        LOG_INFO("gateway", "stopped");
    if (!ended)
        _Exit(exit_code); /* everything is flushed and closed; exit() would wait for the look-up's
                             thread */
    events_stop();
    listeners_free(g->listeners);
    logins_close(g->logins);
    logins_close(g->web_logins);
    config_free(config);
    free(g);
    return exit_code;
}
