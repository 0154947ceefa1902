/* sys.c - $SYS topics, in Mosquitto's names where they mean the same. */
#include "broker_internal.h"

#include <math.h>
#include <stdio.h>

static void publish(struct broker *b, const char *topic, const char *text)
{
    struct sl_msg_parts parts = {
        .topic = sl_str(topic),
        .payload = sl_str(text),
        .expiry_s = SL_MSG_NO_EXPIRY,
        .retain = true,
        .mono_ms = broker_now(b),
        .wall_ms = broker_wall(b),
    };
    struct sl_msg *m = sl_msg_new(&parts);
    if (!m || !broker_publish(b, m))
        broker_count_drop(b, BROKER_DROP_INTERNAL);
    sl_msg_unref(m);
}

static void publish_refused(struct broker *b, const struct broker_stats *s)
{
    char topic[64], text[32];
    for (int i = 0; i < BROKER_REFUSALS; i++) {
        (void)snprintf(topic, sizeof topic, "$SYS/broker/connections/refused/%s",
                       broker_refusal_name((enum broker_refusal)i)); /* fits */
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)s->refused[i]);
        publish(b, topic, text);
    }
}

static uint64_t dropped(const struct broker_stats *s)
{
    uint64_t sum = 0;
    for (int i = 0; i < BROKER_DROPS; i++)
        sum += s->dropped[i];
    return sum;
}

/* ---- averages ---- */

static void publish_load(struct broker *b, const char *name, const double average[3])
{
    static const char *const spans[] = { "1min", "5min", "15min" };
    char topic[80], text[64];
    for (size_t i = 0; i < SL_ARRAY_LEN(spans); i++) {
        (void)snprintf(topic, sizeof topic, "$SYS/broker/load/%s/%s", name, spans[i]); /* fits */
        (void)snprintf(text, sizeof text, "%.2f", average[i]);
        publish(b, topic, text);
    }
}

/* Each average moves towards what was seen since the last look, by how long ago that was: as the
 * load average of a system does. */
static void publish_loads(struct broker *b, const struct broker_stats *s)
{
    static const int spans[] = { 1, 5, 15 };
    const struct {
        const char *name;
        uint64_t count;
    } loads[SYS_LOADS] = {
        { "messages/received", s->messages_in }, { "messages/sent", s->messages_out },
        { "publish/received", s->publish_in },   { "publish/sent", s->publish_out },
        { "publish/dropped", dropped(s) },       { "bytes/received", s->bytes_in },
        { "bytes/sent", s->bytes_out },          { "sockets", s->connections_total },
        { "connections", s->connects },
    };
    struct sys_loads *l = &b->loads;
    int64_t since = l->at_ms ? l->at_ms : s->started_mono_ms;
    double minutes = (double)(broker_now(b) - since) / 60000;
    l->at_ms = broker_now(b);
    for (size_t i = 0; i < SYS_LOADS; i++) {
        double count = (double)(loads[i].count - l->last[i]);
        l->last[i] = loads[i].count;
        for (size_t k = 0; k < SL_ARRAY_LEN(spans) && minutes > 0; k++) {
            double keep = exp(-minutes / spans[k]);
            l->average[i][k] = keep * l->average[i][k] + (1 - keep) * count / minutes;
        }
        publish_load(b, loads[i].name, l->average[i]);
    }
}

/* ---- counts ---- */

void sys_publish(struct broker *b)
{
    struct broker_stats s;
    char text[64];
    broker_get_stats(b, &s);
    const struct {
        const char *topic;
        uint64_t value;
    } numbers[] = {
        { "$SYS/broker/clients/connected", s.clients },
        { "$SYS/broker/clients/disconnected", s.sessions_offline },
        { "$SYS/broker/clients/active", s.clients }, /* older names of those two */
        { "$SYS/broker/clients/inactive", s.sessions_offline },
        { "$SYS/broker/clients/expired", s.sessions_expired },
        { "$SYS/broker/clients/total", s.sessions },
        { "$SYS/broker/clients/maximum", s.clients_max },
        { "$SYS/broker/messages/received", s.messages_in },
        { "$SYS/broker/messages/sent", s.messages_out },
        { "$SYS/broker/publish/messages/received", s.publish_in },
        { "$SYS/broker/publish/messages/sent", s.publish_out },
        { "$SYS/broker/publish/messages/dropped", dropped(&s) },
        { "$SYS/broker/bytes/received", s.bytes_in },
        { "$SYS/broker/bytes/sent", s.bytes_out },
        { "$SYS/broker/subscriptions/count", s.subscriptions },
        { "$SYS/broker/retained messages/count", s.retained },
        { "$SYS/broker/shared_subscriptions/count", s.shared_groups },
        { "$SYS/broker/store/messages/count", s.queued },
        { "$SYS/broker/messages/stored", s.queued }, /* its older name */
        { "$SYS/broker/store/messages/bytes", b->queued_bytes },
    };
    (void)snprintf(text, sizeof text, "sluice version %s", b->options.version);
    publish(b, "$SYS/broker/version", text);
    (void)snprintf(text, sizeof text, "%lld seconds",
                   (long long)(broker_now(b) - s.started_mono_ms) / 1000);
    publish(b, "$SYS/broker/uptime", text);
    for (size_t i = 0; i < SL_ARRAY_LEN(numbers); i++) {
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)numbers[i].value);
        publish(b, numbers[i].topic, text);
    }
    publish_refused(b, &s);
    publish_loads(b, &s);
}
