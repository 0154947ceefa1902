/* codec_props.c - MQTT 5 properties: one table of rules, a decoder and an encoder that read it.
 *
 * Pure; the table is never written to. */
#include "codec_internal.h"

#include "base/topic.h"

#include <stddef.h>

enum prop_kind { NO_PROPERTY, BYTE, TWO_BYTES, FOUR_BYTES, VARINT, BINARY, STRING, PAIR };

struct prop_rule {
    uint8_t kind;    /* enum prop_kind */
    uint8_t min;     /* least number allowed */
    bool boolean;    /* 0 and 1 only */
    uint16_t places; /* bit: packet type or CODEC_WILL */
    uint16_t offset; /* of the field in struct mqtt_props */
    const char *twice, *misplaced, *out_of_range;
};

#define IN(packet)   (1u << MQTT_##packet)
#define IN_WILL      (1u << CODEC_WILL)
#define IN_MESSAGE   (IN(PUBLISH) | IN_WILL)
#define IN_HANDSHAKE (IN(CONNECT) | IN(CONNACK))
#define IN_ACKS      (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) | IN(UNSUBACK))
#define IN_ALL       0xFFFFu /* the two pings have no properties at all */

#define RULE(kind_, places_, field, name)                                                          \
    .kind = (kind_), .places = (places_), .offset = (uint16_t)offsetof(struct mqtt_props, field),  \
    .twice = name " stands twice (MQTT 5, 2.2.2.2)",                                               \
    .misplaced = name " does not belong in this packet (MQTT 5, 2.2.2.2)"
#define ANY(kind_, places_, field, name)                                                           \
    {                                                                                              \
        RULE(kind_, places_, field, name)                                                          \
    }
#define BOOLEAN(places_, field, name, section)                                                     \
    {                                                                                              \
        RULE(BYTE, places_, field, name),                                                          \
            .boolean = true, .out_of_range = name " is neither 0 nor 1 (MQTT 5, " section ")"      \
    }
#define POSITIVE(kind_, places_, field, name, clause)                                              \
    {                                                                                              \
        RULE(kind_, places_, field, name), .min = 1, .out_of_range = name " is 0 " clause          \
    }

/* clang-format off */
static const struct prop_rule rules[] = {
[MQTT_P_PAYLOAD_FORMAT]             = BOOLEAN(IN_MESSAGE, payload_format, "Payload Format Indicator", "3.3.2.3.2"),
[MQTT_P_MESSAGE_EXPIRY]             = ANY(FOUR_BYTES, IN_MESSAGE, message_expiry, "Message Expiry Interval"),
[MQTT_P_CONTENT_TYPE]               = ANY(STRING, IN_MESSAGE, content_type, "Content Type"),
[MQTT_P_RESPONSE_TOPIC]             = ANY(STRING, IN_MESSAGE, response_topic, "Response Topic"),
[MQTT_P_CORRELATION_DATA]           = ANY(BINARY, IN_MESSAGE, correlation_data, "Correlation Data"),
[MQTT_P_SUBSCRIPTION_ID]            = POSITIVE(VARINT, IN(PUBLISH) | IN(SUBSCRIBE), subscription_id, "Subscription Identifier", "(MQTT 5, 3.8.2.1.2)"),
[MQTT_P_SESSION_EXPIRY]             = ANY(FOUR_BYTES, IN_HANDSHAKE | IN(DISCONNECT), session_expiry, "Session Expiry Interval"),
[MQTT_P_ASSIGNED_CLIENT_ID]         = ANY(STRING, IN(CONNACK), assigned_client_id, "Assigned Client Identifier"),
[MQTT_P_SERVER_KEEP_ALIVE]          = ANY(TWO_BYTES, IN(CONNACK), server_keep_alive, "Server Keep Alive"),
[MQTT_P_AUTH_METHOD]                = ANY(STRING, IN_HANDSHAKE | IN(AUTH), auth_method, "Authentication Method"),
[MQTT_P_AUTH_DATA]                  = ANY(BINARY, IN_HANDSHAKE | IN(AUTH), auth_data, "Authentication Data"),
[MQTT_P_REQUEST_PROBLEM_INFO]       = BOOLEAN(IN(CONNECT), request_problem_info, "Request Problem Information", "3.1.2.11.7"),
[MQTT_P_WILL_DELAY]                 = ANY(FOUR_BYTES, IN_WILL, will_delay, "Will Delay Interval"),
[MQTT_P_REQUEST_RESPONSE_INFO]      = BOOLEAN(IN(CONNECT), request_response_info, "Request Response Information", "3.1.2.11.6"),
[MQTT_P_RESPONSE_INFO]              = ANY(STRING, IN(CONNACK), response_info, "Response Information"),
[MQTT_P_SERVER_REFERENCE]           = ANY(STRING, IN(CONNACK) | IN(DISCONNECT), server_reference, "Server Reference"),
[MQTT_P_REASON_STRING]              = ANY(STRING, IN(CONNACK) | IN_ACKS | IN(DISCONNECT) | IN(AUTH), reason_string, "Reason String"),
[MQTT_P_RECEIVE_MAXIMUM]            = POSITIVE(TWO_BYTES, IN_HANDSHAKE, receive_max, "Receive Maximum", "(MQTT 5, 3.1.2.11.3 and 3.2.2.3.3)"),
[MQTT_P_TOPIC_ALIAS_MAXIMUM]        = ANY(TWO_BYTES, IN_HANDSHAKE, topic_alias_max, "Topic Alias Maximum"),
[MQTT_P_TOPIC_ALIAS]                = POSITIVE(TWO_BYTES, IN(PUBLISH), topic_alias, "Topic Alias", "[MQTT-3.3.2-8]"),
[MQTT_P_MAXIMUM_QOS]                = BOOLEAN(IN(CONNACK), max_qos, "Maximum QoS", "3.2.2.3.4"),
[MQTT_P_RETAIN_AVAILABLE]           = BOOLEAN(IN(CONNACK), retain_available, "Retain Available", "3.2.2.3.5"),
[MQTT_P_USER_PROPERTY]              = ANY(PAIR, IN_ALL, raw, "User Property"),
[MQTT_P_MAXIMUM_PACKET_SIZE]        = POSITIVE(FOUR_BYTES, IN_HANDSHAKE, max_packet_size, "Maximum Packet Size", "(MQTT 5, 3.1.2.11.4 and 3.2.2.3.6)"),
[MQTT_P_WILDCARD_SUBS_AVAILABLE]    = BOOLEAN(IN(CONNACK), wildcard_subs_available, "Wildcard Subscription Available", "3.2.2.3.11"),
[MQTT_P_SUBSCRIPTION_IDS_AVAILABLE] = BOOLEAN(IN(CONNACK), subscription_ids_available, "Subscription Identifiers Available", "3.2.2.3.12"),
[MQTT_P_SHARED_SUBS_AVAILABLE]      = BOOLEAN(IN(CONNACK), shared_subs_available, "Shared Subscription Available", "3.2.2.3.13"),
};
/* clang-format on */

/* Those that struct mqtt_props has a field for. */
#define FIELDS ((UINT64_C(1) << SL_ARRAY_LEN(rules)) - 1 - (UINT64_C(1) << MQTT_P_USER_PROPERTY))
/* Those that a server hands on unchanged (Message Expiry Interval is counted down). */
#define FORWARDABLE                                                                                \
    (UINT64_C(1) << MQTT_P_PAYLOAD_FORMAT | UINT64_C(1) << MQTT_P_CONTENT_TYPE |                   \
     UINT64_C(1) << MQTT_P_RESPONSE_TOPIC | UINT64_C(1) << MQTT_P_CORRELATION_DATA |               \
     UINT64_C(1) << MQTT_P_USER_PROPERTY)

static const struct prop_rule *rule_of(uint8_t id)
{
    return id < SL_ARRAY_LEN(rules) && rules[id].kind != NO_PROPERTY ? &rules[id] : NULL;
}

/* ---- decoding ---- */

static bool take_u8_as_u32(struct sl_cursor *c, uint32_t *ret)
{
    uint8_t v;
    if (!sl_take_u8(c, &v))
        return false;
    *ret = v;
    return true;
}

static bool take_u16_as_u32(struct sl_cursor *c, uint32_t *ret)
{
    uint16_t v;
    if (!sl_take_u16(c, &v))
        return false;
    *ret = v;
    return true;
}

/* The value behind an identifier, by its length alone. */
static bool take_value(struct sl_cursor *c, enum prop_kind kind, struct mqtt_prop_item *ret)
{
    switch (kind) {
    case NO_PROPERTY: return false;
    case BYTE: return take_u8_as_u32(c, &ret->number);
    case TWO_BYTES: return take_u16_as_u32(c, &ret->number);
    case FOUR_BYTES: return sl_take_u32(c, &ret->number);
    case VARINT: return codec_take_varint(c, &ret->number);
    case BINARY:
    case STRING: return sl_take_lp16(c, &ret->value);
    case PAIR: return sl_take_lp16(c, &ret->key) && sl_take_lp16(c, &ret->value);
    }
    return false;
}

bool mqtt_props_next(struct sl_cursor *block, struct mqtt_prop_item *ret)
{
    struct mqtt_prop_item item = { 0 };
    struct sl_cursor c = *block;
    const struct prop_rule *rule;
    if (!sl_take_u8(&c, &item.id) || !(rule = rule_of(item.id)) ||
        !take_value(&c, (enum prop_kind)rule->kind, &item))
        return false;
    item.encoded = (struct sl_slice){ block->at, block->left - c.left };
    *block = c;
    *ret = item;
    return true;
}

static uint8_t check_response_topic(struct sl_slice topic, const char **why)
{
    if (topic.len == 0)
        return codec_malformed(why, "Response Topic is empty [MQTT-4.7.3-1]");
    if (!sl_topic_valid(topic))
        return codec_protocol_error(why, "wildcard in Response Topic [MQTT-3.3.2-14]");
    return MQTT_RC_SUCCESS;
}

static uint8_t check_value(const struct prop_rule *rule, const struct mqtt_prop_item *item,
                           const char **why)
{
    if (item->number < rule->min || (rule->boolean && item->number > 1))
        return codec_refuse(why,
                            item->id == MQTT_P_TOPIC_ALIAS ? MQTT_RC_TOPIC_ALIAS_INVALID
                                                           : MQTT_RC_PROTOCOL_ERROR,
                            rule->out_of_range);
    bool text = rule->kind == STRING || rule->kind == PAIR;
    if (text && !(sl_utf8_valid(item->key) && sl_utf8_valid(item->value)))
        return codec_malformed(why, "a property is not UTF-8 text [MQTT-1.5.4-1, MQTT-1.5.4-2]");
    if (item->id == MQTT_P_RESPONSE_TOPIC)
        return check_response_topic(item->value, why);
    return MQTT_RC_SUCCESS;
}

static void store(struct mqtt_props *p, const struct prop_rule *rule,
                  const struct mqtt_prop_item *item)
{
    void *field = (uint8_t *)p + rule->offset;
    switch ((enum prop_kind)rule->kind) {
    case NO_PROPERTY:
    case PAIR: break; /* read from raw */
    case BYTE: *(uint8_t *)field = (uint8_t)item->number; break;
    case TWO_BYTES: *(uint16_t *)field = (uint16_t)item->number; break;
    case FOUR_BYTES:
    case VARINT: *(uint32_t *)field = item->number; break;
    case BINARY:
    case STRING: *(struct sl_slice *)field = item->value; break;
    }
}

static bool may_repeat(enum mqtt_prop id, unsigned place)
{
    return id == MQTT_P_USER_PROPERTY || (id == MQTT_P_SUBSCRIPTION_ID && place == MQTT_PUBLISH);
}

static uint8_t take_one(struct sl_cursor *block, unsigned place, struct mqtt_props *p,
                        const char **why)
{
    const struct prop_rule *rule = rule_of(block->at[0]);
    if (!rule)
        return codec_malformed(why, "unknown property identifier (MQTT 5, 2.2.2.2)");
    if ((rule->places >> place & 1) == 0)
        return codec_malformed(why, rule->misplaced);
    struct mqtt_prop_item item;
    if (!mqtt_props_next(block, &item))
        return codec_malformed(why, "a property runs past its block (MQTT 5, 2.2.2)");
    bool known = mqtt_has(p, item.id);
    if (known && !may_repeat(item.id, place))
        return codec_protocol_error(why, rule->twice);
    uint8_t fault = check_value(rule, &item, why);
    if (fault)
        return fault;
    if (!known)
        store(p, rule, &item);
    mqtt_set(p, item.id);
    return MQTT_RC_SUCCESS;
}

uint8_t codec_take_props(struct sl_cursor *c, unsigned place, struct mqtt_props *ret,
                         const char **why)
{
    struct mqtt_props p = { 0 };
    uint32_t len;
    if (!codec_take_varint(c, &len))
        return codec_malformed(why, "no valid Property Length [MQTT-1.5.5-1, MQTT-2.2.2-1]");
    if (!sl_take(c, len, &p.raw))
        return codec_malformed(why, "the properties run past the packet (MQTT 5, 2.2.2.1)");
    struct sl_cursor block = sl_cursor(p.raw);
    while (block.left > 0) {
        uint8_t fault = take_one(&block, place, &p, why);
        if (fault)
            return fault;
    }
    if (mqtt_has(&p, MQTT_P_AUTH_DATA) && !mqtt_has(&p, MQTT_P_AUTH_METHOD))
        return codec_protocol_error(
            why, "Authentication Data without Authentication Method (MQTT 5, 3.1.2.11.10)");
    *ret = p;
    return MQTT_RC_SUCCESS;
}

uint8_t codec_take_last_props(struct sl_cursor *c, unsigned place, struct mqtt_props *ret,
                              const char **why)
{
    struct mqtt_props p;
    uint8_t fault = codec_take_props(c, place, &p, why);
    if (fault)
        return fault;
    if (c->left > 0)
        return codec_malformed(why, "bytes after the end of the packet (MQTT 5, 2.2.2.1)");
    *ret = p;
    return MQTT_RC_SUCCESS;
}

/* ---- encoding ---- */

static const void *field_of(const struct mqtt_props *p, const struct prop_rule *rule)
{
    return (const uint8_t *)p + rule->offset;
}

static size_t field_size(const struct mqtt_props *p, const struct prop_rule *rule)
{
    switch ((enum prop_kind)rule->kind) {
    case NO_PROPERTY:
    case PAIR: return 0;
    case BYTE: return 2;
    case TWO_BYTES: return 3;
    case FOUR_BYTES: return 5;
    case VARINT: return 1 + codec_varint_size(*(const uint32_t *)field_of(p, rule));
    case BINARY:
    case STRING: return 3 + ((const struct sl_slice *)field_of(p, rule))->len;
    }
    return 0;
}

size_t codec_props_len(const struct mqtt_props *p)
{
    size_t len = p->raw.len;
    for (uint64_t left = p->present & FIELDS; left != 0; left &= left - 1)
        len += field_size(p, &rules[__builtin_ctzll(left)]);
    return len;
}

size_t codec_props_size(const struct mqtt_props *p)
{
    size_t len = codec_props_len(p);
    return codec_varint_size(len) + len;
}

static void put_field(struct sl_buf *out, const struct mqtt_props *p, uint8_t id)
{
    const struct prop_rule *rule = &rules[id];
    const void *field = field_of(p, rule);
    if (rule->kind == NO_PROPERTY)
        return;
    sl_buf_put_u8(out, id);
    switch ((enum prop_kind)rule->kind) {
    case NO_PROPERTY:
    case PAIR: break;
    case BYTE: sl_buf_put_u8(out, *(const uint8_t *)field); break;
    case TWO_BYTES: sl_buf_put_u16(out, *(const uint16_t *)field); break;
    case FOUR_BYTES: sl_buf_put_u32(out, *(const uint32_t *)field); break;
    case VARINT: codec_put_varint(out, *(const uint32_t *)field); break;
    case BINARY:
    case STRING: sl_buf_put_lp16(out, *(const struct sl_slice *)field); break;
    }
}

void codec_put_props(struct sl_buf *out, const struct mqtt_props *p)
{
    codec_put_varint(out, codec_props_len(p));
    for (uint64_t left = p->present & FIELDS; left != 0; left &= left - 1)
        put_field(out, p, (uint8_t)__builtin_ctzll(left));
    sl_buf_put_slice(out, p->raw);
}

/* ---- raw blocks ---- */

void mqtt_put_user_property(struct sl_buf *raw, struct sl_slice key, struct sl_slice value)
{
    sl_buf_put_u8(raw, MQTT_P_USER_PROPERTY);
    sl_buf_put_lp16(raw, key);
    sl_buf_put_lp16(raw, value);
}

void mqtt_put_subscription_id(struct sl_buf *raw, uint32_t id)
{
    sl_buf_put_u8(raw, MQTT_P_SUBSCRIPTION_ID);
    codec_put_varint(raw, id);
}

void mqtt_put_forwardable(struct sl_buf *out, struct sl_slice raw)
{
    struct sl_cursor block = sl_cursor(raw);
    for (struct mqtt_prop_item item; mqtt_props_next(&block, &item);)
        if (FORWARDABLE >> item.id & 1)
            sl_buf_put_slice(out, item.encoded);
}
