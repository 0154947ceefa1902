/* outgoing.c - from outbox item to PUBLISH. */
#include "outgoing.h"

#include "base/topic.h"

#include <inttypes.h>
#include <stdio.h>

/* AWS counts neither length nor slashes of "$aws/rules/NAME/" (Basic Ingest). */
static struct sl_slice counted_topic(struct sl_slice topic)
{
    if (!sl_slice_starts(topic, sl_str("$aws/rules/")))
        return topic;
    struct sl_levels it = sl_levels(topic);
    struct sl_slice level;
    for (int i = 0; i < 3; i++) {
        if (!sl_levels_next(&it, &level))
            return topic;
    }
    return it.more ? it.rest : topic;
}

static size_t count_slashes(struct sl_slice topic)
{
    size_t n = 0;
    for (size_t i = 0; i < topic.len; i++)
        n += topic.ptr[i] == '/';
    return n;
}

static bool aws_allows(const struct sl_msg *m, char *reason, size_t size)
{
    struct sl_slice topic = counted_topic(sl_msg_topic(m));
    if (topic.len > OUTGOING_TOPIC_MAX_AWS) {
        (void)snprintf(reason, size, "topic of %zu bytes, AWS allows %d", topic.len,
                       OUTGOING_TOPIC_MAX_AWS); /* cut: still a sentence */
        return false;
    }
    size_t slashes = count_slashes(topic);
    if (slashes > OUTGOING_SLASHES_MAX_AWS) {
        (void)snprintf(reason, size, "topic with %zu slashes, AWS allows %d", slashes,
                       OUTGOING_SLASHES_MAX_AWS);
        return false;
    }
    if (m->props_len > OUTGOING_PROPS_MAX_AWS - 256) { /* less our own two */
        (void)snprintf(reason, size, "properties of %" PRIu32 " bytes, AWS allows %d", m->props_len,
                       OUTGOING_PROPS_MAX_AWS);
        return false;
    }
    return true;
}

bool outgoing_allowed(const struct outgoing_limits *l, const struct sl_msg *m, char *ret_reason,
                      size_t reason_size)
{
    if (m->payload_len > l->payload_max) {
        (void)snprintf(ret_reason, reason_size, "payload of %" PRIu32 " bytes, limit %" PRIu32,
                       m->payload_len, l->payload_max);
        return false;
    }
    if (!sl_topic_valid(sl_msg_topic(m))) {
        (void)snprintf(ret_reason, reason_size, "not a valid topic name");
        return false;
    }
    return !l->aws || aws_allows(m, ret_reason, reason_size);
}

uint8_t outgoing_qos(const struct outgoing_limits *l, const struct sl_msg *m)
{
    uint8_t qos = m->qos > 1 ? 1 : m->qos;
    return qos > l->qos_max ? l->qos_max : qos;
}

/* Reserved topics take no RETAIN with AWS. */
static bool outgoing_retain(const struct outgoing_limits *l, const struct sl_msg *m)
{
    bool reserved = m->topic_len > 0 && m->data[0] == '$';
    return m->retain && l->retain && !(l->aws && reserved);
}

static uint32_t expiry_left_s(const struct sl_msg *m, int64_t now_ms)
{
    int64_t left = (int64_t)m->expiry_s - (now_ms - m->mono_ms) / 1000;
    return left < 1 ? 1 : left > m->expiry_s ? m->expiry_s : (uint32_t)left;
}

/* The message's own properties, then its identity and the time at which it was accepted. */
static void put_properties(struct sl_buf *raw, const struct outgoing *p)
{
    const struct sl_msg *m = p->item->msg;
    char text[512];
    sl_buf_put_slice(raw, sl_msg_props(m));
    int n = snprintf(text, sizeof text, "%s/%s/%" PRIu64, p->gateway_id,
                     outbox_lane_name(p->item->lane), p->item->number);
    if (n > 0 && (size_t)n < sizeof text)
        mqtt_put_user_property(raw, sl_str("sluice-id"), sl_bytes(text, (size_t)n));
    if (m->wall_ms <= 0)
        return;
    n = snprintf(text, sizeof text, "%" PRId64, m->wall_ms);
    if (n > 0 && (size_t)n < sizeof text)
        mqtt_put_user_property(raw, sl_str("sluice-ts"), sl_bytes(text, (size_t)n));
}

bool outgoing_encode(struct sl_buf *out, struct sl_buf *scratch, const struct outgoing_limits *l,
                     const struct outgoing *p)
{
    const struct sl_msg *m = p->item->msg;
    struct mqtt_publish packet = {
        .dup = p->dup,
        .retain = outgoing_retain(l, m),
        .qos = p->packet_id ? 1 : 0,
        .packet_id = p->packet_id,
        .topic = sl_msg_topic(m),
        .payload = sl_msg_payload(m),
    };
    sl_buf_reset(scratch);
    if (l->version == MQTT_V5) {
        put_properties(scratch, p);
        packet.props.raw = sl_buf_slice(scratch);
        if (m->expiry_s != SL_MSG_NO_EXPIRY) {
            mqtt_set(&packet.props, MQTT_P_MESSAGE_EXPIRY);
            packet.props.message_expiry = expiry_left_s(m, p->now_ms);
        }
    }
    if (scratch->failed)
        out->failed = true;
    size_t before = out->len;
    mqtt_encode_publish(out, l->version, &packet);
    if (out->failed || out->len - before <= l->packet_max)
        return true;
    out->len = before;
    return false;
}
