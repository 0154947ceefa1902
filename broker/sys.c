/* sys.c - $SYS topics, in Mosquitto's names where they mean the same. */
#include "broker_internal.h"

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

void sys_publish(struct broker *b)
{
    struct broker_stats s;
    char text[64];
    broker_get_stats(b, &s);
    uint64_t dropped = 0;
    for (int i = 0; i < BROKER_DROPS; i++)
        dropped += s.dropped[i];
    const struct {
        const char *topic;
        uint64_t value;
    } numbers[] = {
        { "$SYS/broker/clients/connected", s.clients },
        { "$SYS/broker/clients/disconnected", s.sessions_offline },
        { "$SYS/broker/clients/total", s.sessions },
        { "$SYS/broker/clients/maximum", s.clients_max },
        { "$SYS/broker/messages/received", s.messages_in },
        { "$SYS/broker/messages/sent", s.messages_out },
        { "$SYS/broker/publish/messages/received", s.publish_in },
        { "$SYS/broker/publish/messages/sent", s.publish_out },
        { "$SYS/broker/publish/messages/dropped", dropped },
        { "$SYS/broker/bytes/received", s.bytes_in },
        { "$SYS/broker/bytes/sent", s.bytes_out },
        { "$SYS/broker/subscriptions/count", s.subscriptions },
        { "$SYS/broker/retained messages/count", s.retained },
        { "$SYS/broker/store/messages/count", s.queued },
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
}
