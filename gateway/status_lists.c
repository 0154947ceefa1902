/* status_lists.c - the lists in the gateway's state as JSON: rules, sensors, GPIO, events, clients,
 * and the lanes to the cloud. */
#include "status_private.h"

#include "base/text.h"

#include <stdlib.h>

#define SENSORS_MAX 200

void status_add_lane(cJSON *lanes, enum outbox_lane which, const struct outbox_lane_stats *l)
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
cJSON *status_rules(struct gateway *g, struct sl_slice after, size_t limit)
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

void status_add_sensors(struct gateway *g, cJSON *root)
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

void status_add_gpio(struct gateway *g, cJSON *root)
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
cJSON *status_events(const struct events *e, uint64_t before, unsigned limit)
{
    cJSON *list = cJSON_CreateArray();
    uint64_t at = before > 0 && before < e->next ? before : e->next;
    for (unsigned n = 0; n < limit && at > events_first(e); n++)
        (void)cJSON_AddItemToArray(list, event_object(events_get(e, --at)));
    return list;
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

bool status_list(struct gateway *g, const char *name, struct sl_slice after, unsigned limit,
                 struct sl_buf *out)
{
    uint64_t number = 0;
    if (strcmp(name, "clients") == 0)
        status_print(clients_array(g, after, limit), out);
    else if (strcmp(name, "rules") == 0)
        status_print(status_rules(g, after, limit), out);
    else if (strcmp(name, "events") == 0)
        status_print(status_events(&g->events, sl_u64_parse(after, &number) ? number : 0, limit),
                     out);
    else
        return false;
    return true;
}
