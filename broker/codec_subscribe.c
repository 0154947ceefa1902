/* codec_subscribe.c - SUBSCRIBE, UNSUBSCRIBE and their acknowledgements, both directions. Pure. */
#include "codec_internal.h"

enum { LIST_FLAGS = 2 }; /* of SUBSCRIBE and UNSUBSCRIBE [MQTT-3.8.1-1, MQTT-3.10.1-1] */

enum option_bit {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_AS_PUBLISHED = 0x08,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED = 0xC0,
};
enum { RETAIN_HANDLING_SHIFT = 4 };

/* ---- decoding SUBSCRIBE and UNSUBSCRIBE ---- */

static uint8_t check_options(uint8_t o, enum mqtt_version v, struct sl_slice filter,
                             const char **why)
{
    if (v != MQTT_V5) {
        if (o > 2)
            return codec_malformed(why, "requested QoS is not 0, 1 or 2 [MQTT-3-8.3-4 of 3.1.1]");
        return MQTT_RC_SUCCESS;
    }
    if (o & OPTION_RESERVED)
        return codec_malformed(why, "reserved bits of Subscription Options [MQTT-3.8.3-5]");
    if ((o & OPTION_QOS) == OPTION_QOS)
        return codec_protocol_error(why, "Maximum QoS is 3 (MQTT 5, 3.8.3.1)");
    if ((o & OPTION_RETAIN_HANDLING) == OPTION_RETAIN_HANDLING)
        return codec_protocol_error(why, "Retain Handling is 3 (MQTT 5, 3.8.3.1)");
    if ((o & OPTION_NO_LOCAL) && sl_slice_starts(filter, sl_str("$share/")))
        return codec_protocol_error(why, "No Local on a Shared Subscription [MQTT-3.8.3-4]");
    return MQTT_RC_SUCCESS;
}

static uint8_t check_filters(struct sl_slice list, const char **why)
{
    struct sl_cursor c = sl_cursor(list);
    struct sl_slice filter;
    while (c.left > 0) {
        uint8_t fault = codec_take_string(&c, &filter, why);
        if (fault)
            return fault;
    }
    return MQTT_RC_SUCCESS;
}

static uint8_t check_entries(struct sl_slice list, enum mqtt_version v, const char **why)
{
    struct sl_cursor c = sl_cursor(list);
    while (c.left > 0) {
        struct sl_slice filter;
        uint8_t options;
        uint8_t fault = codec_take_string(&c, &filter, why);
        if (fault)
            return fault;
        if (!sl_take_u8(&c, &options))
            return codec_malformed(why, "a filter without options (MQTT 5, 3.8.3)");
        if ((fault = check_options(options, v, filter, why)))
            return fault;
    }
    return MQTT_RC_SUCCESS;
}

static uint8_t take_list_head(const struct mqtt_frame *f, enum mqtt_version v,
                              struct mqtt_subscribe *p, const char **why)
{
    struct sl_cursor c = sl_cursor(f->body);
    if (!codec_flags_fit(f, v, LIST_FLAGS))
        return codec_malformed(why, "reserved flags are not 2 [MQTT-3.8.1-1, MQTT-3.10.1-1]");
    uint8_t fault = codec_take_packet_id(&c, &p->packet_id, why);
    if (!fault && v == MQTT_V5)
        fault = codec_take_props(&c, f->type, &p->props, why);
    if (fault)
        return fault;
    if (c.left == 0)
        return codec_protocol_error(why, "not a single topic filter [MQTT-3.8.3-2, MQTT-3.10.3-2]");
    p->list = sl_cursor_rest(&c);
    return MQTT_RC_SUCCESS;
}

uint8_t mqtt_decode_subscribe(const struct mqtt_frame *f, enum mqtt_version v,
                              struct mqtt_subscribe *ret, const char **why)
{
    struct mqtt_subscribe p = { 0 };
    uint8_t fault = take_list_head(f, v, &p, why);
    if (!fault)
        fault = check_entries(p.list, v, why);
    if (fault)
        return fault;
    struct sl_cursor c = sl_cursor(p.list);
    for (struct mqtt_sub_entry e; mqtt_subscribe_next(&c, v, &e);)
        p.count++;
    *ret = p;
    return MQTT_RC_SUCCESS;
}

uint8_t mqtt_decode_unsubscribe(const struct mqtt_frame *f, enum mqtt_version v,
                                struct mqtt_subscribe *ret, const char **why)
{
    struct mqtt_subscribe p = { 0 };
    uint8_t fault = take_list_head(f, v, &p, why);
    if (!fault)
        fault = check_filters(p.list, why);
    if (fault)
        return fault;
    struct sl_cursor c = sl_cursor(p.list);
    for (struct sl_slice filter; mqtt_unsubscribe_next(&c, &filter);)
        p.count++;
    *ret = p;
    return MQTT_RC_SUCCESS;
}

bool mqtt_subscribe_next(struct sl_cursor *list, enum mqtt_version v, struct mqtt_sub_entry *ret)
{
    struct sl_cursor c = *list;
    struct sl_slice filter;
    uint8_t o;
    if (!sl_take_lp16(&c, &filter) || !sl_take_u8(&c, &o))
        return false;
    bool v5 = v == MQTT_V5;
    *ret = (struct mqtt_sub_entry){
        .filter = filter,
        .qos = o & OPTION_QOS,
        .no_local = v5 && (o & OPTION_NO_LOCAL),
        .retain_as_published = v5 && (o & OPTION_RETAIN_AS_PUBLISHED),
        .retain_handling =
            (uint8_t)(v5 ? (o & OPTION_RETAIN_HANDLING) >> RETAIN_HANDLING_SHIFT : 0),
    };
    *list = c;
    return true;
}

bool mqtt_unsubscribe_next(struct sl_cursor *list, struct sl_slice *ret_filter)
{
    return sl_take_lp16(list, ret_filter);
}

/* ---- encoding SUBSCRIBE and UNSUBSCRIBE ---- */

static void put_list_head(struct sl_buf *out, enum mqtt_type type, enum mqtt_version v,
                          uint16_t packet_id, const struct mqtt_props *props, size_t list_size)
{
    static const struct mqtt_props none = { 0 };
    const struct mqtt_props *p = props ? props : &none;
    codec_put_fixed(out, type, LIST_FLAGS,
                    2 + (v == MQTT_V5 ? codec_props_size(p) : 0) + list_size);
    sl_buf_put_u16(out, packet_id);
    if (v == MQTT_V5)
        codec_put_props(out, p);
}

static uint8_t options_of(const struct mqtt_sub_entry *e, enum mqtt_version v)
{
    unsigned o = e->qos;
    if (v == MQTT_V5)
        o |= (e->no_local ? OPTION_NO_LOCAL : 0u) |
             (e->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0u) |
             (unsigned)e->retain_handling << RETAIN_HANDLING_SHIFT;
    return (uint8_t)o;
}

void mqtt_encode_subscribe(struct sl_buf *out, enum mqtt_version v, uint16_t packet_id,
                           const struct mqtt_props *props, const struct mqtt_sub_entry *entries,
                           size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += 2 + entries[i].filter.len + 1;
    put_list_head(out, MQTT_SUBSCRIBE, v, packet_id, props, size);
    for (size_t i = 0; i < count; i++) {
        sl_buf_put_lp16(out, entries[i].filter);
        sl_buf_put_u8(out, options_of(&entries[i], v));
    }
}

void mqtt_encode_unsubscribe(struct sl_buf *out, enum mqtt_version v, uint16_t packet_id,
                             const struct mqtt_props *props, const struct sl_slice *filters,
                             size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += 2 + filters[i].len;
    put_list_head(out, MQTT_UNSUBSCRIBE, v, packet_id, props, size);
    for (size_t i = 0; i < count; i++)
        sl_buf_put_lp16(out, filters[i]);
}

/* ---- SUBACK and UNSUBACK ---- */

static bool code_fits(uint8_t code, enum mqtt_version v, enum mqtt_type type)
{
    if (v == MQTT_V5)
        return codec_reason_fits(code, type);
    return code <= 2 || code == MQTT_RC_UNSPECIFIED;
}

static uint8_t check_codes(struct sl_slice codes, enum mqtt_version v, enum mqtt_type type,
                           const char **why)
{
    if (codes.len == 0)
        return codec_protocol_error(why, "not a single reason code [MQTT-3.9.3-1, "
                                         "MQTT-3.11.3-1]");
    for (size_t i = 0; i < codes.len; i++)
        if (!code_fits(codes.ptr[i], v, type))
            return codec_protocol_error(why, "unknown reason code [MQTT-3.9.3-2, MQTT-3.11.3-2]");
    return MQTT_RC_SUCCESS;
}

static uint8_t decode_list_ack(const struct mqtt_frame *f, enum mqtt_version v,
                               struct mqtt_suback *ret, const char **why)
{
    struct mqtt_suback p = { 0 };
    struct sl_cursor c = sl_cursor(f->body);
    enum mqtt_type type = (enum mqtt_type)f->type;
    if (!codec_flags_fit(f, v, 0))
        return codec_malformed(why, "reserved flags are not 0 [MQTT-2.1.3-1]");
    uint8_t fault = codec_take_packet_id(&c, &p.packet_id, why);
    if (!fault && v == MQTT_V5)
        fault = codec_take_props(&c, type, &p.props, why);
    if (fault)
        return fault;
    p.codes = sl_cursor_rest(&c);
    if (type == MQTT_UNSUBACK && v != MQTT_V5) {
        if (p.codes.len > 0)
            return codec_malformed(why, "UNSUBACK is longer than 2 bytes (MQTT 3.1.1, 3.11.1)");
    } else if ((fault = check_codes(p.codes, v, type, why))) {
        return fault;
    }
    *ret = p;
    return MQTT_RC_SUCCESS;
}

static void encode_list_ack(struct sl_buf *out, enum mqtt_version v, enum mqtt_type type,
                            const struct mqtt_suback *p)
{
    bool v5 = v == MQTT_V5;
    struct sl_slice codes = v5 || type == MQTT_SUBACK ? p->codes : (struct sl_slice){ NULL, 0 };
    codec_put_fixed(out, type, 0, 2 + (v5 ? codec_props_size(&p->props) : 0) + codes.len);
    sl_buf_put_u16(out, p->packet_id);
    if (v5)
        codec_put_props(out, &p->props);
    sl_buf_put_slice(out, codes);
}

uint8_t mqtt_decode_suback(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_suback *ret,
                           const char **why)
{
    return decode_list_ack(f, v, ret, why);
}

void mqtt_encode_suback(struct sl_buf *out, enum mqtt_version v, const struct mqtt_suback *p)
{
    encode_list_ack(out, v, MQTT_SUBACK, p);
}

uint8_t mqtt_decode_unsuback(const struct mqtt_frame *f, enum mqtt_version v,
                             struct mqtt_suback *ret, const char **why)
{
    return decode_list_ack(f, v, ret, why);
}

void mqtt_encode_unsuback(struct sl_buf *out, enum mqtt_version v, const struct mqtt_suback *p)
{
    encode_list_ack(out, v, MQTT_UNSUBACK, p);
}
