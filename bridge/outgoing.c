/* outgoing.c - from outbox item to PUBLISH. */
#include "outgoing.h"

#include "bridge/metering.h"
#include "element.h"

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

size_t outgoing_payload_len(const struct outbox_item *item, const char *gateway_id,
                            struct sl_buf *scratch)
{
    if (!item->msg->batch)
        return item->msg->payload_len;
    sl_buf_reset(scratch);
    element_put_array(scratch, item, gateway_id);
    return scratch->failed ? SIZE_MAX : scratch->len;
}

bool outgoing_allowed(const struct outgoing_limits *l, const struct sl_msg *m, size_t payload_len,
                      char *ret_reason, size_t reason_size)
{
    if (payload_len > l->payload_max) {
        (void)snprintf(ret_reason, reason_size, "payload of %zu bytes, limit %" PRIu32, payload_len,
                       l->payload_max);
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

/* Of a batch: as long as the one that keeps longest. */
static uint32_t longest_left_s(const struct outgoing *p)
{
    uint32_t longest = 0;
    for (const struct outbox_item *item = p->item; item; item = element_next(item)) {
        uint32_t left = expiry_left_s(item->msg, p->now_ms);
        longest = left > longest ? left : longest;
    }
    return longest;
}

/* The elements carry their own identities and times: the batch tells how many they are. */
static void put_batch_properties(struct sl_buf *raw, const struct outgoing *p)
{
    char text[24];
    unsigned long count = 0;
    for (const struct outbox_item *item = p->item; item; item = element_next(item))
        count++;
    int n = snprintf(text, sizeof text, "%lu", count);
    sl_buf_put_slice(raw, sl_msg_props(p->item->msg));
    mqtt_put_user_property(raw, sl_str("sluice-batch"), sl_bytes(text, n > 0 ? (size_t)n : 0));
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
    if (p->item->wall_ms <= 0)
        return;
    n = snprintf(text, sizeof text, "%" PRId64, p->item->wall_ms);
    if (n > 0 && (size_t)n < sizeof text)
        mqtt_put_user_property(raw, sl_str("sluice-ts"), sl_bytes(text, (size_t)n));
}

/* Headers, lengths and the expiry are not counted. */
static uint64_t metered(const struct mqtt_publish *packet)
{
    if (sl_slice_starts(packet->topic, sl_str("$aws/rules/")))
        return 0;
    return bridge_metered((uint64_t)packet->topic.len + packet->props.raw.len +
                          packet->payload.len);
}

bool outgoing_encode(struct sl_buf *out, struct sl_buf *scratch, const struct outgoing_limits *l,
                     const struct outgoing *p, uint64_t *ret_metered)
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
    if (l->version == MQTT_V5 && m->batch)
        put_batch_properties(scratch, p);
    else if (l->version == MQTT_V5)
        put_properties(scratch, p);
    size_t props = scratch->len;
    if (m->batch)
        element_put_array(scratch, p->item, p->gateway_id);
    if (m->batch && !scratch->failed) /* only now does it stay where it is */
        packet.payload = sl_bytes(scratch->ptr + props, scratch->len - props);
    packet.props.raw = sl_bytes(scratch->ptr, props);
    if (l->version == MQTT_V5 && m->expiry_s != SL_MSG_NO_EXPIRY) {
        mqtt_set(&packet.props, MQTT_P_MESSAGE_EXPIRY);
        packet.props.message_expiry = longest_left_s(p);
    }
    if (scratch->failed)
        out->failed = true;
    *ret_metered = metered(&packet);
    size_t before = out->len;
    mqtt_encode_publish(out, l->version, &packet);
    if (out->failed || out->len - before <= l->packet_max)
        return true;
    out->len = before;
    return false;
}
