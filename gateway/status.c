/* status.c - the gateway's state as JSON: /api/v1/status, the $SYS/gateway topics, and health. */
#include "status_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void status_print(cJSON *json, struct sl_buf *out)
{
    char *text = cJSON_PrintUnformatted(json);
    if (text)
        sl_buf_put_str(out, text);
    else
        out->failed = true;
    cJSON_free(text);
    cJSON_Delete(json);
}

static uint64_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel's numbers fit */
    if (fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    (void)fclose(f); /* read only */
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_gateway(struct gateway *g, cJSON *root)
{
    cJSON *o = cJSON_AddObjectToObject(root, "gateway");
    int64_t now = sl_wall_ms(g->clock);
    add_str(o, "id", g->config->gateway.id);
    add_str(o, "version", SLUICE_VERSION);
    add_int(o, "uptime_ms", sl_mono_ms(g->clock) - g->started.mono_ms);
    add_int(o, "started_ms", sl_moment_wall_ms(&g->started, g->clock));
    add_int(o, "now_ms", now);
    add_uint(o, "rss_bytes", resident_bytes());
    add_int(o, "pid", getpid());
}

static void get_bridge_status(struct gateway *g, struct bridge_status *s)
{
    *s = (struct bridge_status){ .state = BRIDGE_DISABLED,
                                 .since_wall_ms = sl_moment_wall_ms(&g->started, g->clock) };
    if (g->bridge)
        bridge_get_status(g->bridge, s);
}

static void fill_cloud(const struct bridge_status *s, cJSON *o)
{
    add_str(o, "state", bridge_state_word(s->state));
    add_int(o, "since", s->since_wall_ms);
    add_str(o, "cause", s->cause);
    add_str(o, "error", s->error);
}

static void add_cloud(struct gateway *g, cJSON *root)
{
    struct bridge_status s;
    get_bridge_status(g, &s);
    cJSON *o = cJSON_AddObjectToObject(root, "cloud");
    fill_cloud(&s, o);
    if (!g->bridge)
        return;
    char endpoint[300];
    (void)snprintf(endpoint, sizeof endpoint, "%s:%u", g->config->cloud.endpoint,
                   g->config->cloud.port);
    add_str(o, "endpoint", endpoint);
    add_int(o, "protocol_version", s.protocol_version);
    add_uint(o, "in_flight", s.in_flight);
    add_int(o, "round_trip_ms", s.round_trip_ms);
    add_uint(o, "published", s.published);
    add_uint(o, "acknowledged", s.acknowledged);
    add_uint(o, "received", s.received);
    add_uint(o, "refused", s.refused);
    add_uint(o, "batches", s.batches);
    add_uint(o, "batched", s.batched);
    add_int(o, "next_attempt_ms", s.next_attempt_ms);
    add_int(o, "cert_not_after", s.cert_not_after_s * 1000);
}

struct store_totals {
    uint64_t messages, bytes, dropped, thinned;
    int64_t oldest_ms;
};

static struct store_totals totals_of(const struct outbox_stats *s)
{
    struct store_totals t = { 0 };
    for (int i = 0; i < OUTBOX_LANES; i++) {
        const struct outbox_lane_stats *l = &s->lane[i];
        t.messages += l->waiting;
        t.bytes += l->waiting_bytes;
        t.thinned += l->loss[OUTBOX_LOST_THINNED].count;
        t.dropped += l->lost - l->loss[OUTBOX_LOST_DEAD].count - l->loss[OUTBOX_LOST_THINNED].count;
        if (l->oldest_wall_ms && (!t.oldest_ms || l->oldest_wall_ms < t.oldest_ms))
            t.oldest_ms = l->oldest_wall_ms;
    }
    return t;
}

static void fill_store(const struct outbox_stats *s, cJSON *o)
{
    struct store_totals t = totals_of(s);
    add_uint(o, "messages", t.messages);
    add_uint(o, "bytes", t.bytes);
    add_int(o, "oldest_ms", t.oldest_ms);
    add_uint(o, "dropped", t.dropped);
    add_uint(o, "thinned", t.thinned);
    add_uint(o, "dead", s->dead);
    if (!s->disk_ok)
        add_str(o, "alarm", s->disk_error);
}

static void add_store(struct gateway *g, cJSON *root)
{
    struct outbox_stats s;
    outbox_get_stats(g->outbox, &s);
    cJSON *o = cJSON_AddObjectToObject(root, "store");
    fill_store(&s, o);
    add_uint(o, "max_bytes", g->config->store.max_bytes);
    (void)cJSON_AddBoolToObject(o, "opening", s.opening);
    (void)cJSON_AddBoolToObject(o, "disk_ok", s.disk_ok);
    (void)cJSON_AddBoolToObject(o, "no_room", s.no_room);
    add_str(o, "disk_error", s.disk_error);
    add_uint(o, "kept", s.kept);
    add_str(o, "set_aside", s.set_aside);
    add_uint(o, "salvaged", s.salvaged);
    add_uint(o, "file_bytes", s.file_bytes);
    add_uint(o, "in_memory", s.in_memory);
    add_uint(o, "in_flight", s.in_flight);
    add_uint(o, "commits", s.commits);
    add_uint(o, "rows_written", s.rows_written);
    add_uint(o, "bytes_written_estimate", s.bytes_written_estimate);
    cJSON *lanes = cJSON_AddArrayToObject(o, "lanes");
    for (int i = 0; i < OUTBOX_LANES; i++)
        status_add_lane(lanes, (enum outbox_lane)i, &s.lane[i]);
}

/* What a listener's certificates are good for, and for how long. */
static void certs_object(struct gateway *g, cJSON *listener, const struct cert_watch_view *v)
{
    cJSON *o = cJSON_AddObjectToObject(listener, "tls");
    int64_t left = v->not_after_s - sl_wall_ms(g->clock) / 1000;
    add_int(o, "cert_not_after", v->not_after_s * 1000);
    add_int(o, "cert_days_left", left / 86400);
    if (v->crl_until_s != 0)
        add_int(o, "crl_until", v->crl_until_s * 1000);
    add_uint(o, "reloads", v->reloads);
    (void)cJSON_AddBoolToObject(o, "reload_failed", v->failed);
}

/* The store of sessions and retained messages. */
static void add_sessions(struct gateway *g, cJSON *broker)
{
    struct state_stats s;
    struct broker_persist_stats p;
    cJSON *o = cJSON_AddObjectToObject(broker, "persistence");
    (void)cJSON_AddBoolToObject(o, "enabled", g->state != NULL);
    if (!g->state)
        return;
    state_get_stats(g->state, &s);
    broker_get_persist_stats(g->broker, &p);
    (void)cJSON_AddBoolToObject(o, "disk_ok", s.disk_ok);
    add_str(o, "disk_error", s.disk_error);
    add_str(o, "set_aside", s.set_aside);
    add_uint(o, "sessions", p.sessions);
    add_uint(o, "messages", p.deliveries);
    add_uint(o, "bad_rows", s.bad_rows + p.bad_rows);
    add_uint(o, "refused", p.refused);
    add_uint(o, "commits", s.commits);
    add_uint(o, "bytes_written_estimate", s.bytes_written_estimate);
    add_uint(o, "file_bytes", s.file_bytes);
}

static void add_broker(struct gateway *g, cJSON *root)
{
    struct broker_stats s;
    broker_get_stats(g->broker, &s);
    cJSON *o = cJSON_AddObjectToObject(root, "broker");
    uint64_t dropped = 0;
    for (int i = 0; i < BROKER_DROPS; i++)
        dropped += s.dropped[i];
    add_uint(o, "clients", s.clients);
    add_uint(o, "clients_total", s.connections_total);
    add_uint(o, "clients_refused", s.connections_refused);
    cJSON *refused = cJSON_AddObjectToObject(o, "refused");
    for (int i = 0; i < BROKER_REFUSALS; i++)
        if (s.refused[i] > 0)
            add_uint(refused, broker_refusal_name((enum broker_refusal)i), s.refused[i]);
    add_uint(o, "logins_failed", g->throttle.failed);
    add_uint(o, "sessions_offline", s.sessions_offline);
    add_uint(o, "subscriptions", s.subscriptions);
    add_uint(o, "retained", s.retained);
    add_uint(o, "messages_in", s.publish_in);
    add_uint(o, "messages_out", s.publish_out);
    add_uint(o, "bytes_in", s.bytes_in);
    add_uint(o, "bytes_out", s.bytes_out);
    add_uint(o, "queued", s.queued);
    add_uint(o, "waiting_bytes", s.waiting_bytes);
    add_uint(o, "retained_bytes", s.retained_bytes);
    add_uint(o, "publisher_pauses", s.pauses);
    add_uint(o, "dropped", dropped);
    add_sessions(g, o);
    cJSON *listeners = cJSON_AddArrayToObject(o, "listeners");
    for (size_t i = 0; i < listeners_count(g->listeners); i++) {
        struct listener_view v;
        listeners_get(g->listeners, i, &v);
        cJSON *l = cJSON_CreateObject();
        add_str(l, "name", v.name);
        add_str(l, "protocol", v.protocol);
        add_str(l, "address", v.address);
        if (v.secure)
            certs_object(g, l, &v.certs);
        (void)cJSON_AddItemToArray(listeners, l);
    }
    add_uint(root, "clients", s.clients);
}

static void add_rates(struct gateway *g, cJSON *root)
{
    cJSON *o = cJSON_AddObjectToObject(root, "rates");
    (void)cJSON_AddNumberToObject(o, "in_per_s", g->history.in_per_s);
    (void)cJSON_AddNumberToObject(o, "out_per_s", g->history.out_per_s);
    (void)cJSON_AddNumberToObject(o, "cloud_per_s", g->history.cloud_per_s);
}

void status_json(struct gateway *g, struct sl_buf *out)
{
    cJSON *root = cJSON_CreateObject();
    add_gateway(g, root);
    add_cloud(g, root);
    add_store(g, root);
    add_broker(g, root);
    (void)cJSON_AddItemToObject(root, "rules", status_rules(g, sl_str(""), SIZE_MAX));
    status_add_sensors(g, root);
    status_add_gpio(g, root);
    add_rates(g, root);
    status_add_cost(g, root);
    status_add_flash(g, root);
    (void)cJSON_AddItemToObject(root, "events", status_events(&g->events, 0, 50));
    status_print(root, out);
}

int64_t status_cloud_since_ms(struct gateway *g)
{
    struct bridge_status s;
    get_bridge_status(g, &s);
    return s.since_wall_ms;
}

void status_cloud_json(struct gateway *g, struct sl_buf *out)
{
    struct bridge_status s;
    get_bridge_status(g, &s);
    cJSON *o = cJSON_CreateObject();
    fill_cloud(&s, o);
    status_print(o, out);
}

void status_store_json(struct gateway *g, struct sl_buf *out)
{
    struct outbox_stats s;
    outbox_get_stats(g->outbox, &s);
    cJSON *o = cJSON_CreateObject();
    fill_store(&s, o);
    status_print(o, out);
}

/* ---- health ---- */

static void add_reason(cJSON *reasons, const char *text)
{
    struct sl_buf json = { 0 };
    sl_buf_put_json(&json, sl_str(text));
    (void)cJSON_AddItemToArray(reasons, cJSON_CreateRaw(json.failed ? "\"\"" : sl_buf_cstr(&json)));
    sl_buf_free(&json);
}

static bool report(cJSON *reasons, struct sl_buf *out)
{
    bool fine = cJSON_GetArraySize(reasons) == 0;
    status_print(reasons, out);
    return fine;
}

/* What somebody has to look at, though the gateway works. */
static void add_alarms(struct gateway *g, cJSON *reasons)
{
    struct outbox_stats s;
    struct state_stats sessions = { .disk_ok = true };
    outbox_get_stats(g->outbox, &s);
    if (g->state)
        state_get_stats(g->state, &sessions);
    if (!s.disk_ok)
        add_reason(reasons, s.disk_error);
    if (!sessions.disk_ok)
        add_reason(reasons, sessions.disk_error);
}

bool status_healthy(struct gateway *g, struct sl_buf *out)
{
    cJSON *reasons = cJSON_CreateArray();
    if (!g->stopping)
        add_alarms(g, reasons);
    else
        add_reason(reasons, "the gateway is stopping");
    (void)report(reasons, out);
    return !g->stopping;
}

bool status_ready(struct gateway *g, struct sl_buf *out)
{
    struct outbox_stats s;
    cJSON *reasons = cJSON_CreateArray();
    outbox_get_stats(g->outbox, &s);
    if (g->stopping)
        add_reason(reasons, "the gateway is stopping");
    if (!g->listeners)
        add_reason(reasons, "listeners are not open");
    if (s.opening)
        add_reason(reasons, "the store is being opened");
    add_alarms(g, reasons);
    return report(reasons, out);
}
