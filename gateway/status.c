/* status.c - the gateway's state as JSON: /api/v1/status and its lists, and the $SYS/gateway
 * topics. */
#include "gateway.h"

#include "base/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SENSORS_MAX 200

/* cJSON reports lack of memory by NULL; adding to NULL does nothing, and printing NULL is seen at
 * the end. */
static void add_int(cJSON *o, const char *key, int64_t v)
{
    (void)cJSON_AddNumberToObject(o, key,
                                  (double)v); /* exact up to 2^53: counters and times are below */
}

static void add_uint(cJSON *o, const char *key, uint64_t v)
{
    (void)cJSON_AddNumberToObject(o, key, (double)v);
}

/* Bytes from a peer or cut to a size as a string: made valid UTF-8 first, which cJSON does not. */
static void add_slice(cJSON *o, const char *key, struct sl_slice v)
{
    struct sl_buf json = { 0 };
    sl_buf_put_json(&json, v);
    (void)cJSON_AddRawToObject(o, key, json.failed ? "\"\"" : sl_buf_cstr(&json));
    sl_buf_free(&json);
}

static void add_str(cJSON *o, const char *key, const char *v)
{
    add_slice(o, key, sl_str(v));
}

static void print(cJSON *json, struct sl_buf *out)
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
    add_int(o, "uptime_ms", sl_mono_ms(g->clock) - g->started_mono_ms);
    add_int(o, "started_ms", g->started_wall_ms);
    add_int(o, "now_ms", now);
    add_uint(o, "rss_bytes", resident_bytes());
    add_int(o, "pid", getpid());
}

static void get_bridge_status(struct gateway *g, struct bridge_status *s)
{
    *s = (struct bridge_status){ .state = BRIDGE_DISABLED, .since_wall_ms = g->started_wall_ms };
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

static void add_lane(cJSON *lanes, enum outbox_lane which, const struct outbox_lane_stats *l)
{
    cJSON *o = cJSON_CreateObject();
    add_str(o, "name", outbox_lane_name(which));
    add_uint(o, "accepted", l->accepted);
    add_uint(o, "delivered", l->delivered);
    add_uint(o, "waiting", l->waiting);
    add_uint(o, "lost", l->lost);
    add_uint(o, "waiting_bytes", l->waiting_bytes);
    add_uint(o, "on_disk", l->on_disk);
    add_int(o, "oldest_ms", l->oldest_wall_ms);
    cJSON *losses = cJSON_AddArrayToObject(o, "losses");
    for (int why = 0; why < OUTBOX_LOSSES; why++) {
        if (l->loss[why].count == 0)
            continue;
        cJSON *loss = cJSON_CreateObject();
        add_str(loss, "reason", outbox_loss_name((enum outbox_loss)why));
        add_uint(loss, "count", l->loss[why].count);
        add_int(loss, "first_ms", l->loss[why].first_ms);
        add_int(loss, "last_ms", l->loss[why].last_ms);
        (void)cJSON_AddItemToArray(losses, loss);
    }
    (void)cJSON_AddItemToArray(lanes, o);
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
    add_str(o, "disk_error", s.disk_error);
    add_str(o, "set_aside", s.set_aside);
    add_uint(o, "file_bytes", s.file_bytes);
    add_uint(o, "in_memory", s.in_memory);
    add_uint(o, "in_flight", s.in_flight);
    add_uint(o, "commits", s.commits);
    add_uint(o, "rows_written", s.rows_written);
    add_uint(o, "bytes_written_estimate", s.bytes_written_estimate);
    cJSON *lanes = cJSON_AddArrayToObject(o, "lanes");
    for (int i = 0; i < OUTBOX_LANES; i++)
        add_lane(lanes, (enum outbox_lane)i, &s.lane[i]);
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

static cJSON *rule_object(const struct engine_rule_view *v)
{
    cJSON *o = cJSON_CreateObject();
    add_str(o, "name", v->name);
    (void)cJSON_AddBoolToObject(o, "enabled", v->enabled);
    add_str(o, "sql", v->sql);
    add_uint(o, "in", v->in);
    add_uint(o, "kept", v->kept);
    add_uint(o, "out", v->out);
    add_uint(o, "errors", v->errors);
    add_str(o, "last_error", v->last_error);
    return o;
}

/* In the configuration's order, at most limit, from behind the rule named `after` (empty: from the
 * start; none of that name: nothing). */
static cJSON *rules_array(struct gateway *g, struct sl_slice after, size_t limit)
{
    cJSON *rules = cJSON_CreateArray();
    bool found = after.len == 0;
    size_t count = 0;
    for (size_t i = 0; i < engine_count(g->engine) && count < limit; i++) {
        struct engine_rule_view v;
        engine_get(g->engine, i, &v);
        if (found && ++count)
            (void)cJSON_AddItemToArray(rules, rule_object(&v));
        else
            found = sl_slice_eq(after, sl_str(v.name));
    }
    return rules;
}

/* ---- sensors: the topics published last ---- */

struct sensors {
    struct broker_topic_view list[SENSORS_MAX];
    size_t count;
};

static void take_topic(void *ctx, const struct broker_topic_view *v)
{
    struct sensors *s = ctx;
    if (v->count == 0 || (v->topic.len > 0 && v->topic.ptr[0] == '$'))
        return;
    if (s->count < SENSORS_MAX) {
        s->list[s->count++] = *v;
        return;
    }
    size_t oldest = 0; /* a page cannot show more: the latest ones stay */
    for (size_t i = 1; i < s->count; i++)
        if (s->list[i].wall_ms < s->list[oldest].wall_ms)
            oldest = i;
    if (v->wall_ms > s->list[oldest].wall_ms)
        s->list[oldest] = *v;
}

static int by_topic(const void *a, const void *b)
{
    const struct broker_topic_view *x = a, *y = b;
    size_t n = x->topic.len < y->topic.len ? x->topic.len : y->topic.len;
    int d = memcmp(x->topic.ptr, y->topic.ptr, n);
    return d != 0 ? d : (x->topic.len > y->topic.len) - (x->topic.len < y->topic.len);
}

static void add_sensors(struct gateway *g, cJSON *root)
{
    struct sensors *s = calloc(1, sizeof *s);
    cJSON *list = cJSON_AddArrayToObject(root, "sensors");
    if (!s)
        return; /* the page shows none this time */
    broker_visit_topics(g->broker, take_topic, s);
    qsort(s->list, s->count, sizeof s->list[0], by_topic);
    for (size_t i = 0; i < s->count; i++) {
        const struct broker_topic_view *v = &s->list[i];
        cJSON *o = cJSON_CreateObject();
        add_slice(o, "topic", v->topic);
        add_slice(o, "value", v->value);
        add_int(o, "ts", v->wall_ms);
        add_uint(o, "count", v->count);
        (void)cJSON_AddItemToArray(list, o);
    }
    free(s);
}

static void add_gpio(struct gateway *g, cJSON *root)
{
    cJSON *list = cJSON_AddArrayToObject(root, "gpio");
    for (size_t i = 0; g->gpio && i < gpio_count(g->gpio); i++) {
        struct gpio_line_status s;
        gpio_get_status(g->gpio, i, &s);
        cJSON *o = cJSON_CreateObject();
        add_str(o, "name", s.name);
        add_str(o, "direction", s.output ? "out" : "in");
        add_int(o, "state", s.state);
        (void)cJSON_AddNumberToObject(o, "blink", s.blink_hz);
        (void)cJSON_AddBoolToObject(o, "ok", s.ok);
        add_str(o, "error", s.error);
        (void)cJSON_AddItemToArray(list, o);
    }
}

static cJSON *event_object(const struct event *e)
{
    static const char *const levels[] = { "error", "warn", "info", "debug" };
    cJSON *o = cJSON_CreateObject();
    add_uint(o, "number", e->number);
    add_int(o, "ts", e->wall_ms);
    add_str(o, "level", levels[e->level]);
    add_slice(o, "unit", sl_str(e->unit));
    add_slice(o, "text", sl_str(e->text));
    return o;
}

/* Newest first; at most limit, older than the number `before` (0: from the newest). */
static cJSON *events_array(const struct events *e, uint64_t before, unsigned limit)
{
    cJSON *list = cJSON_CreateArray();
    uint64_t at = before > 0 && before < e->next ? before : e->next;
    for (unsigned n = 0; n < limit && at > events_first(e); n++)
        (void)cJSON_AddItemToArray(list, event_object(events_get(e, --at)));
    return list;
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
    (void)cJSON_AddItemToObject(root, "rules", rules_array(g, sl_str(""), SIZE_MAX));
    add_sensors(g, root);
    add_gpio(g, root);
    add_rates(g, root);
    (void)cJSON_AddObjectToObject(root, "cost");
    (void)cJSON_AddItemToObject(root, "events", events_array(&g->events, 0, 50));
    print(root, out);
}

void status_cloud_json(struct gateway *g, struct sl_buf *out)
{
    struct bridge_status s;
    get_bridge_status(g, &s);
    cJSON *o = cJSON_CreateObject();
    fill_cloud(&s, o);
    print(o, out);
}

void status_store_json(struct gateway *g, struct sl_buf *out)
{
    struct outbox_stats s;
    outbox_get_stats(g->outbox, &s);
    cJSON *o = cJSON_CreateObject();
    fill_store(&s, o);
    print(o, out);
}

/* ---- lists ---- */

/* The `limit` client ids that come next after `after`, in order. */
struct client_page {
    struct broker_client_view *rows;
    unsigned count, limit;
    struct sl_slice after;
};

static int compare_slices(struct sl_slice a, struct sl_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int d = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    return d != 0 ? d : (a.len > b.len) - (a.len < b.len);
}

static void take_client(void *ctx, const struct broker_client_view *v)
{
    struct client_page *p = ctx;
    if (p->after.len > 0 && compare_slices(v->client_id, p->after) <= 0)
        return;
    unsigned at = p->count;
    while (at > 0 && compare_slices(v->client_id, p->rows[at - 1].client_id) < 0)
        at--;
    if (at == p->limit)
        return;
    unsigned moved = p->count < p->limit ? p->count - at : p->limit - 1 - at;
    memmove(p->rows + at + 1, p->rows + at, moved * sizeof *p->rows);
    p->rows[at] = *v;
    p->count += p->count < p->limit;
}

static cJSON *clients_array(struct gateway *g, struct sl_slice after, unsigned limit)
{
    cJSON *list = cJSON_CreateArray();
    struct client_page p = { calloc(limit + 1, sizeof *p.rows), 0, limit, after };
    if (!p.rows)
        return list;
    broker_visit_clients(g->broker, take_client, &p);
    for (unsigned i = 0; i < p.count; i++) {
        const struct broker_client_view *v = &p.rows[i];
        cJSON *o = cJSON_CreateObject();
        add_slice(o, "client_id", v->client_id);
        add_slice(o, "username", v->username);
        add_slice(o, "address", v->address);
        add_int(o, "protocol_version", v->protocol_version);
        (void)cJSON_AddBoolToObject(o, "connected", v->connected);
        add_uint(o, "subscriptions", v->subscriptions);
        add_uint(o, "queued", v->queued);
        add_uint(o, "in_flight", v->in_flight);
        add_uint(o, "keep_alive_s", v->keep_alive_s);
        add_int(o, "since", v->since_wall_ms);
        (void)cJSON_AddItemToArray(list, o);
    }
    free(p.rows);
    return list;
}

static cJSON *queue_array(struct gateway *g)
{
    struct outbox_stats s;
    cJSON *lanes = cJSON_CreateArray();
    outbox_get_stats(g->outbox, &s);
    for (int i = 0; i < OUTBOX_LANES; i++)
        add_lane(lanes, (enum outbox_lane)i, &s.lane[i]);
    return lanes;
}

bool status_list(struct gateway *g, const char *name, struct sl_slice after, unsigned limit,
                 struct sl_buf *out)
{
    uint64_t number = 0;
    if (strcmp(name, "clients") == 0)
        print(clients_array(g, after, limit), out);
    else if (strcmp(name, "rules") == 0)
        print(rules_array(g, after, limit), out);
    else if (strcmp(name, "queue") == 0)
        print(queue_array(g), out);
    else if (strcmp(name, "events") == 0)
        print(events_array(&g->events, sl_u64_parse(after, &number) ? number : 0, limit), out);
    else
        return false;
    return true;
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
    print(reasons, out);
    return fine;
}

bool status_healthy(struct gateway *g, struct sl_buf *out)
{
    cJSON *reasons = cJSON_CreateArray();
    if (g->stopping)
        add_reason(reasons, "the gateway is stopping");
    return report(reasons, out);
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
    if (!s.disk_ok)
        add_reason(reasons, s.disk_error);
    struct state_stats sessions = { .disk_ok = true };
    if (g->state)
        state_get_stats(g->state, &sessions);
    if (!sessions.disk_ok)
        add_reason(reasons, sessions.disk_error);
    return report(reasons, out);
}
