/* codec_connect.c - CONNECT and CONNACK, both directions. Pure. */
#include "codec_internal.h"

#include "base/topic.h"

enum connect_flag {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN_START = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USERNAME = 0x80,
};
enum { WILL_QOS_SHIFT = 3, BRIDGE_BIT = 0x80 };

/* ---- CONNECT, decoding ---- */

static uint8_t take_version(struct sl_cursor *c, struct mqtt_connect *p, const char **why)
{
    struct sl_slice name;
    uint8_t level;
    if (!sl_take_lp16(c, &name))
        return codec_malformed(why, "CONNECT is cut short (MQTT 5, 3.1.2.1)");
    bool v31 = sl_slice_eq(name, sl_str("MQIsdp"));
    if (!v31 && !sl_slice_eq(name, sl_str("MQTT")))
        return codec_refuse(why, MQTT_RC_UNSUPPORTED_VERSION,
                            "the protocol name is not MQTT [MQTT-3.1.2-1]");
    if (!sl_take_u8(c, &level))
        return codec_malformed(why, "CONNECT is cut short (MQTT 5, 3.1.2.2)");
    p->bridge = level == (MQTT_V31 | BRIDGE_BIT) || level == (MQTT_V311 | BRIDGE_BIT);
    if (p->bridge)
        level &= (uint8_t)~BRIDGE_BIT;
    if (v31 ? level != MQTT_V31 : level != MQTT_V311 && level != MQTT_V5)
        return codec_refuse(why, MQTT_RC_UNSUPPORTED_VERSION,
                            "the protocol version is not 3.1, 3.1.1 or 5 [MQTT-3.1.2-2]");
    p->version = (enum mqtt_version)level;
    return MQTT_RC_SUCCESS;
}

/* Version 3.1 disregards will QoS and retain without a will, and its bit 0. */
static uint8_t check_flags(uint8_t flags, enum mqtt_version v, const char **why)
{
    bool has_will = (flags & FLAG_WILL) != 0;
    if ((flags & FLAG_RESERVED) && v != MQTT_V31)
        return codec_malformed(why, "reserved bit of the Connect Flags set [MQTT-3.1.2-3]");
    if (has_will && (flags & FLAG_WILL_QOS) == FLAG_WILL_QOS)
        return codec_malformed(why, "Will QoS is 3 [MQTT-3.1.2-12]");
    if (!has_will && (flags & FLAG_WILL_QOS) && v != MQTT_V31)
        return codec_malformed(why, "Will QoS without a will [MQTT-3.1.2-11]");
    if (!has_will && (flags & FLAG_WILL_RETAIN) && v != MQTT_V31)
        return codec_malformed(why, "Will Retain without a will [MQTT-3.1.2-13]");
    if ((flags & FLAG_PASSWORD) && !(flags & FLAG_USERNAME) && v != MQTT_V5)
        return codec_malformed(why, "a password without a user name [MQTT-3.1.2-22 of 3.1.1]");
    return MQTT_RC_SUCCESS;
}

static uint8_t take_header(struct sl_cursor *c, struct mqtt_connect *p, const char **why)
{
    uint8_t flags;
    if (!sl_take_u8(c, &flags) || !sl_take_u16(c, &p->keep_alive_s))
        return codec_malformed(why, "CONNECT is cut short (MQTT 5, 3.1.2)");
    uint8_t fault = check_flags(flags, p->version, why);
    if (fault)
        return fault;
    p->clean_start = (flags & FLAG_CLEAN_START) != 0;
    p->has_will = (flags & FLAG_WILL) != 0;
    p->has_username = (flags & FLAG_USERNAME) != 0;
    p->has_password = (flags & FLAG_PASSWORD) != 0;
    if (p->has_will) {
        p->will.qos = (uint8_t)((flags & FLAG_WILL_QOS) >> WILL_QOS_SHIFT);
        p->will.retain = (flags & FLAG_WILL_RETAIN) != 0;
    }
    return p->version == MQTT_V5 ? codec_take_props(c, MQTT_CONNECT, &p->props, why)
                                 : (uint8_t)MQTT_RC_SUCCESS;
}

static uint8_t take_will(struct sl_cursor *c, struct mqtt_connect *p, const char **why)
{
    if (p->version == MQTT_V5) {
        uint8_t fault = codec_take_props(c, CODEC_WILL, &p->will.props, why);
        if (fault)
            return fault;
    }
    if (!sl_take_lp16(c, &p->will.topic) || !sl_take_lp16(c, &p->will.payload))
        return codec_malformed(why, "the will runs past the packet [MQTT-3.1.2-9]");
    if (!sl_utf8_valid(p->will.topic))
        return codec_malformed(why, "the will's topic is not UTF-8 text [MQTT-3.1.3-11]");
    return codec_check_topic(p->will.topic, why);
}

/* Version 3.1 lets the strings that the flags announce be missing at the end. */
static uint8_t take_credentials(struct sl_cursor *c, struct mqtt_connect *p, const char **why)
{
    bool may_miss = p->version == MQTT_V31;
    if (may_miss && c->left == 0)
        p->has_username = p->has_password = false;
    if (p->has_username) {
        if (!sl_take_lp16(c, &p->username))
            return codec_malformed(why, "the user name runs past the packet [MQTT-3.1.2-17]");
        if (!sl_utf8_valid(p->username))
            return codec_malformed(why, "the user name is not UTF-8 text [MQTT-3.1.3-12]");
    }
    if (may_miss && c->left == 0)
        p->has_password = false;
    if (p->has_password && !sl_take_lp16(c, &p->password))
        return codec_malformed(why, "the password runs past the packet [MQTT-3.1.2-19]");
    return MQTT_RC_SUCCESS;
}

static uint8_t take_payload(struct sl_cursor *c, struct mqtt_connect *p, const char **why)
{
    if (!sl_take_lp16(c, &p->client_id))
        return codec_malformed(why, "no Client Identifier [MQTT-3.1.3-3]");
    if (!sl_utf8_valid(p->client_id))
        return codec_malformed(why, "the Client Identifier is not UTF-8 text [MQTT-3.1.3-4]");
    uint8_t fault = p->has_will ? take_will(c, p, why) : (uint8_t)MQTT_RC_SUCCESS;
    return fault ? fault : take_credentials(c, p, why);
}

uint8_t mqtt_decode_connect(const struct mqtt_frame *f, struct mqtt_connect *ret, const char **why)
{
    struct mqtt_connect p = { 0 };
    struct sl_cursor c = sl_cursor(f->body);
    uint8_t fault = take_version(&c, &p, why);
    if (!fault && !codec_flags_fit(f, p.version, 0))
        return codec_malformed(why, "reserved flags of CONNECT are not 0 [MQTT-2.1.3-1]");
    if (!fault)
        fault = take_header(&c, &p, why);
    if (!fault)
        fault = take_payload(&c, &p, why);
    if (fault)
        return fault;
    if (c.left > 0)
        return codec_malformed(why, "bytes after the end of CONNECT [MQTT-3.1.3-1]");
    *ret = p;
    return MQTT_RC_SUCCESS;
}

/* ---- CONNECT, encoding ---- */

static uint8_t connect_flags(const struct mqtt_connect *p)
{
    unsigned flags = p->clean_start ? FLAG_CLEAN_START : 0;
    if (p->has_will)
        flags |= FLAG_WILL | (unsigned)p->will.qos << WILL_QOS_SHIFT |
                 (p->will.retain ? FLAG_WILL_RETAIN : 0u);
    if (p->has_username)
        flags |= FLAG_USERNAME;
    if (p->has_password)
        flags |= FLAG_PASSWORD;
    return (uint8_t)flags;
}

static size_t connect_size(const struct mqtt_connect *p, struct sl_slice name)
{
    bool v5 = p->version == MQTT_V5;
    size_t size = 2 + name.len + 1 + 1 + 2 + 2 + p->client_id.len;
    if (v5)
        size += codec_props_size(&p->props);
    if (p->has_will)
        size += 2 + p->will.topic.len + 2 + p->will.payload.len;
    if (p->has_will && v5)
        size += codec_props_size(&p->will.props);
    if (p->has_username)
        size += 2 + p->username.len;
    if (p->has_password)
        size += 2 + p->password.len;
    return size;
}

static void put_will(struct sl_buf *out, const struct mqtt_connect *p)
{
    if (p->version == MQTT_V5)
        codec_put_props(out, &p->will.props);
    sl_buf_put_lp16(out, p->will.topic);
    sl_buf_put_lp16(out, p->will.payload);
}

void mqtt_encode_connect(struct sl_buf *out, const struct mqtt_connect *p)
{
    struct sl_slice name = sl_str(p->version == MQTT_V31 ? "MQIsdp" : "MQTT");
    bool bridge = p->bridge && p->version != MQTT_V5; /* version 5 has No Local for it */
    codec_put_fixed(out, MQTT_CONNECT, 0, connect_size(p, name));
    sl_buf_put_lp16(out, name);
    sl_buf_put_u8(out, (uint8_t)(p->version | (bridge ? BRIDGE_BIT : 0)));
    sl_buf_put_u8(out, connect_flags(p));
    sl_buf_put_u16(out, p->keep_alive_s);
    if (p->version == MQTT_V5)
        codec_put_props(out, &p->props);
    sl_buf_put_lp16(out, p->client_id);
    if (p->has_will)
        put_will(out, p);
    if (p->has_username)
        sl_buf_put_lp16(out, p->username);
    if (p->has_password)
        sl_buf_put_lp16(out, p->password);
}

/* ---- CONNACK ---- */

enum { SESSION_PRESENT = 1, CODE_V3_BAD_VERSION = 1, CODE_V3_MAX = 5 };

/* Whether it is what a server that knows only 3.1.1 answers to a CONNECT of version 5. */
static bool is_older_servers_refusal(const struct mqtt_frame *f)
{
    return f->body.len == 2 && f->body.ptr[0] == 0 && f->body.ptr[1] == CODE_V3_BAD_VERSION;
}

static uint8_t take_connack(struct sl_cursor *c, enum mqtt_version v, struct mqtt_connack *p,
                            const char **why)
{
    uint8_t flags;
    if (!sl_take_u8(c, &flags) || !sl_take_u8(c, &p->reason))
        return codec_malformed(why, "CONNACK is cut short (MQTT 5, 3.2.2)");
    if (v == MQTT_V31) /* its first byte is not used */
        flags = 0;
    if (flags & ~SESSION_PRESENT)
        return codec_malformed(why, "reserved bits of the Connect Acknowledge Flags set "
                                    "[MQTT-3.2.2-1]");
    p->session_present = (flags & SESSION_PRESENT) != 0;
    if (v == MQTT_V5 ? !codec_reason_fits(p->reason, MQTT_CONNACK) : p->reason > CODE_V3_MAX)
        return codec_protocol_error(why, "unknown reason in CONNACK [MQTT-3.2.2-8]");
    if (p->session_present && p->reason != MQTT_RC_SUCCESS)
        return codec_protocol_error(why, "CONNACK refuses with Session Present [MQTT-3.2.2-6]");
    return MQTT_RC_SUCCESS;
}

uint8_t mqtt_decode_connack(const struct mqtt_frame *f, enum mqtt_version v,
                            struct mqtt_connack *ret, const char **why)
{
    struct mqtt_connack p = { 0 };
    struct sl_cursor c = sl_cursor(f->body);
    if (!codec_flags_fit(f, v, 0))
        return codec_malformed(why, "reserved flags of CONNACK are not 0 [MQTT-2.1.3-1]");
    if (v == MQTT_V5 && is_older_servers_refusal(f)) {
        *ret = (struct mqtt_connack){ .reason = MQTT_RC_UNSUPPORTED_VERSION };
        return MQTT_RC_SUCCESS;
    }
    uint8_t fault = take_connack(&c, v, &p, why);
    if (!fault && v == MQTT_V5)
        fault = codec_take_last_props(&c, MQTT_CONNACK, &p.props, why);
    if (fault)
        return fault;
    if (c.left > 0)
        return codec_malformed(why, "CONNACK is longer than 2 bytes (MQTT 3.1.1, 3.2.1)");
    *ret = p;
    return MQTT_RC_SUCCESS;
}

void mqtt_encode_connack(struct sl_buf *out, enum mqtt_version v, const struct mqtt_connack *p)
{
    codec_put_fixed(out, MQTT_CONNACK, 0, 2 + (v == MQTT_V5 ? codec_props_size(&p->props) : 0));
    sl_buf_put_u8(out, v != MQTT_V31 && p->session_present ? SESSION_PRESENT : 0);
    sl_buf_put_u8(out, p->reason);
    if (v == MQTT_V5)
        codec_put_props(out, &p->props);
}
