/* codec_publish.c - PUBLISH and its four acknowledgements, both directions. Pure.
 *
 * The broker's hottest path: one look at each byte of a topic, none at the payload. */
#include "codec_internal.h"

#include "base/topic.h"

enum { FLAG_RETAIN = 1, QOS_SHIFT = 1, FLAG_DUP = 8 };

/* ---- PUBLISH, decoding ---- */

static uint8_t check_publish_flags(uint8_t flags, const char **why)
{
    uint8_t qos = flags >> QOS_SHIFT & 3;
    if (qos == 3)
        return codec_malformed(why, "QoS is 3 [MQTT-3.3.1-4]");
    if (qos == 0 && (flags & FLAG_DUP))
        return codec_malformed(why, "DUP with QoS 0 [MQTT-3.3.1-2]");
    return MQTT_RC_SUCCESS;
}

/* Without properties only `present` and `raw` are written: clearing the whole struct would cost
 * more than the rest of the decoder. */
static uint8_t take_publish_props(struct sl_cursor *c, enum mqtt_version v, bool has_topic,
                                  struct mqtt_props *ret, const char **why)
{
    bool none = v != MQTT_V5 || (c->left > 0 && c->at[0] == 0);
    if (SL_LIKELY(none && has_topic)) {
        ret->present = 0;
        ret->raw = (struct sl_slice){ c->at, 0 };
        if (v == MQTT_V5) {
            c->at++;
            c->left--;
        }
        return MQTT_RC_SUCCESS;
    }
    if (v != MQTT_V5)
        return codec_malformed(why, "the topic is empty [MQTT-4.7.3-1]");
    struct mqtt_props p;
    uint8_t fault = codec_take_props(c, MQTT_PUBLISH, &p, why);
    if (fault)
        return fault;
    if (!has_topic && !mqtt_has(&p, MQTT_P_TOPIC_ALIAS))
        return codec_protocol_error(why, "neither topic nor Topic Alias (MQTT 5, 3.3.2.1)");
    *ret = p;
    return MQTT_RC_SUCCESS;
}

uint8_t mqtt_decode_publish(const struct mqtt_frame *f, enum mqtt_version v,
                            struct mqtt_publish *ret, const char **why)
{
    struct sl_cursor c = sl_cursor(f->body);
    struct sl_slice topic;
    uint16_t id = 0;
    uint8_t qos = f->flags >> QOS_SHIFT & 3;
    uint8_t fault = check_publish_flags(f->flags, why);
    if (fault)
        return fault;
    if (!sl_take_lp16(&c, &topic))
        return codec_malformed(why, "the topic runs past the packet [MQTT-3.3.2-1]");
    if (topic.len > 0 && (fault = codec_check_topic(topic, why)))
        return fault;
    if (qos > 0 && (fault = codec_take_packet_id(&c, &id, why)))
        return fault;
    if ((fault = take_publish_props(&c, v, topic.len > 0, &ret->props, why)))
        return fault;
    ret->dup = (f->flags & FLAG_DUP) != 0;
    ret->retain = (f->flags & FLAG_RETAIN) != 0;
    ret->qos = qos;
    ret->packet_id = id;
    ret->topic = topic;
    ret->payload = sl_cursor_rest(&c);
    return MQTT_RC_SUCCESS;
}

/* ---- PUBLISH, encoding ---- */

/* The head in one piece of memory, its properties last. */
void mqtt_encode_publish_head(struct sl_buf *out, enum mqtt_version v, const struct mqtt_publish *p)
{
    size_t props = v == MQTT_V5 ? codec_props_size(&p->props) : 0;
    size_t head = 2 + p->topic.len + (p->qos > 0 ? 2 : 0);
    size_t remaining = head + props + p->payload.len;
    if (p->topic.len > UINT16_MAX || p->payload.len > CODEC_REMAINING_MAX ||
        remaining > CODEC_REMAINING_MAX) {
        out->failed = true;
        return;
    }
    uint8_t *start = sl_buf_reserve(out, 5 + head + props);
    if (!start)
        return;
    uint8_t *at = start;
    *at++ = (uint8_t)(MQTT_PUBLISH << 4 | (p->dup ? FLAG_DUP : 0) | p->qos << QOS_SHIFT |
                      (p->retain ? FLAG_RETAIN : 0));
    at = codec_write_varint(at, remaining);
    *at++ = (uint8_t)(p->topic.len >> 8);
    *at++ = (uint8_t)p->topic.len;
    if (p->topic.len > 0)
        memcpy(at, p->topic.ptr, p->topic.len);
    at += p->topic.len;
    if (p->qos > 0) {
        *at++ = (uint8_t)(p->packet_id >> 8);
        *at++ = (uint8_t)p->packet_id;
    }
    if (props == 1)
        *at++ = 0;
    out->len += (size_t)(at - start);
    if (props > 1)
        codec_put_props(out, &p->props);
}

void mqtt_encode_publish(struct sl_buf *out, enum mqtt_version v, const struct mqtt_publish *p)
{
    mqtt_encode_publish_head(out, v, p);
    sl_buf_put_slice(out, p->payload);
}

/* ---- PUBACK, PUBREC, PUBREL, PUBCOMP ---- */

static uint8_t ack_flags(enum mqtt_type type)
{
    return type == MQTT_PUBREL ? 2 : 0; /* [MQTT-3.6.1-1] */
}

/* Reason and properties, for version 5 and more than the packet id. */
static uint8_t take_ack_rest(struct sl_cursor *c, enum mqtt_type type, struct mqtt_ack *p,
                             const char **why)
{
    if (!sl_take_u8(c, &p->reason))
        return MQTT_RC_SUCCESS; /* no reason: success */
    if (!codec_reason_fits(p->reason, type))
        return codec_protocol_error(why, "unknown reason in an acknowledgement [MQTT-3.4.2-1, "
                                         "MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1]");
    if (c->left == 0)
        return MQTT_RC_SUCCESS; /* no property length: no properties */
    return codec_take_last_props(c, type, &p->props, why);
}

uint8_t mqtt_decode_ack(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_ack *ret,
                        const char **why)
{
    struct sl_cursor c = sl_cursor(f->body);
    enum mqtt_type type = (enum mqtt_type)f->type;
    uint16_t id;
    if (!codec_flags_fit(f, v, ack_flags(type)))
        return codec_malformed(why, "reserved flags of an acknowledgement [MQTT-2.1.3-1, "
                                    "MQTT-3.6.1-1]");
    uint8_t fault = codec_take_packet_id(&c, &id, why);
    if (fault)
        return fault;
    if (c.left > 0 && v != MQTT_V5)
        return codec_malformed(why, "an acknowledgement is longer than 2 bytes (MQTT 3.1.1, "
                                    "3.4.1)");
    struct mqtt_ack p = { .packet_id = id };
    if (c.left > 0 && (fault = take_ack_rest(&c, type, &p, why)))
        return fault;
    *ret = p;
    return MQTT_RC_SUCCESS;
}

void mqtt_encode_ack(struct sl_buf *out, enum mqtt_version v, enum mqtt_type type,
                     const struct mqtt_ack *p)
{
    size_t props = v == MQTT_V5 ? codec_props_size(&p->props) : 1;
    bool with_props = props > 1;
    bool with_reason = with_props || (v == MQTT_V5 && p->reason != MQTT_RC_SUCCESS);
    codec_put_fixed(out, type, ack_flags(type),
                    2u + (with_reason ? 1u : 0u) + (with_props ? props : 0u));
    sl_buf_put_u16(out, p->packet_id);
    if (with_reason)
        sl_buf_put_u8(out, p->reason);
    if (with_props)
        codec_put_props(out, &p->props);
}
