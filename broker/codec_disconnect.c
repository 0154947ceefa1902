/* codec_disconnect.c - DISCONNECT and AUTH, both directions. Pure. */
#include "codec_internal.h"

/* ---- decoding ---- */

/* Reasons that only a server gives (MQTT 5, table 3-10). */
static bool only_servers_say(uint8_t reason)
{
    static const uint8_t clients_say[] = {
        MQTT_RC_SUCCESS,
        MQTT_RC_DISCONNECT_WITH_WILL,
        MQTT_RC_UNSPECIFIED,
        MQTT_RC_MALFORMED,
        MQTT_RC_PROTOCOL_ERROR,
        MQTT_RC_IMPLEMENTATION_ERROR,
        MQTT_RC_BAD_AUTH_METHOD,
        MQTT_RC_TOPIC_NAME_INVALID,
        MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED,
        MQTT_RC_TOPIC_ALIAS_INVALID,
        MQTT_RC_PACKET_TOO_LARGE,
        MQTT_RC_MESSAGE_RATE_TOO_HIGH,
        MQTT_RC_QUOTA_EXCEEDED,
        MQTT_RC_ADMINISTRATIVE,
        MQTT_RC_PAYLOAD_FORMAT_INVALID,
    };
    return !memchr(clients_say, reason, sizeof clients_say);
}

static uint8_t check_disconnect(const struct mqtt_reasoned *p, bool from_server, const char **why)
{
    if (!codec_reason_fits(p->reason, MQTT_DISCONNECT))
        return codec_protocol_error(why, "unknown reason in DISCONNECT [MQTT-3.14.2-1]");
    if (!from_server && only_servers_say(p->reason))
        return codec_protocol_error(why, "a server's reason from a client [MQTT-3.14.2-1]");
    if (from_server && p->reason == MQTT_RC_DISCONNECT_WITH_WILL)
        return codec_protocol_error(why, "a client's reason from a server [MQTT-3.14.2-1]");
    if (from_server && mqtt_has(&p->props, MQTT_P_SESSION_EXPIRY))
        return codec_protocol_error(why, "Session Expiry Interval from a server "
                                         "[MQTT-3.14.2-2]");
    return MQTT_RC_SUCCESS;
}

static uint8_t decode_disconnect_v3(const struct mqtt_frame *f, bool from_server,
                                    struct mqtt_reasoned *ret, const char **why)
{
    if (from_server)
        return codec_protocol_error(why, "DISCONNECT from a server (MQTT 3.1.1, 3.14)");
    if (f->body.len > 0)
        return codec_malformed(why, "DISCONNECT has a body (MQTT 3.1.1, 3.14.1)");
    *ret = (struct mqtt_reasoned){ 0 };
    return MQTT_RC_SUCCESS;
}

uint8_t mqtt_decode_disconnect(const struct mqtt_frame *f, enum mqtt_version v, bool from_server,
                               struct mqtt_reasoned *ret, const char **why)
{
    struct mqtt_reasoned p = { 0 };
    struct sl_cursor c = sl_cursor(f->body);
    uint8_t fault = MQTT_RC_SUCCESS;
    if (!codec_flags_fit(f, v, 0))
        return codec_malformed(why, "reserved flags of DISCONNECT are not 0 [MQTT-3.14.1-1]");
    if (v != MQTT_V5)
        return decode_disconnect_v3(f, from_server, ret, why);
    if (sl_take_u8(&c, &p.reason) && c.left > 0) /* either may be missing: normal, no properties */
        fault = codec_take_last_props(&c, MQTT_DISCONNECT, &p.props, why);
    if (!fault)
        fault = check_disconnect(&p, from_server, why);
    if (fault)
        return fault;
    *ret = p;
    return MQTT_RC_SUCCESS;
}

/* An empty body means success without properties; anything else names the method. */
uint8_t mqtt_decode_auth(const struct mqtt_frame *f, struct mqtt_reasoned *ret, const char **why)
{
    struct mqtt_reasoned p = { 0 };
    struct sl_cursor c = sl_cursor(f->body);
    if (f->flags != 0)
        return codec_malformed(why, "reserved flags of AUTH are not 0 [MQTT-3.15.1-1]");
    if (sl_take_u8(&c, &p.reason)) {
        if (!codec_reason_fits(p.reason, MQTT_AUTH))
            return codec_protocol_error(why, "unknown reason in AUTH [MQTT-3.15.2-1]");
        uint8_t fault = codec_take_last_props(&c, MQTT_AUTH, &p.props, why);
        if (fault)
            return fault;
        if (!mqtt_has(&p.props, MQTT_P_AUTH_METHOD))
            return codec_protocol_error(why,
                                        "AUTH without Authentication Method (MQTT 5, 3.15.2.2.2)");
    }
    *ret = p;
    return MQTT_RC_SUCCESS;
}

/* ---- encoding ---- */

static void put_reasoned(struct sl_buf *out, enum mqtt_type type, const struct mqtt_reasoned *p)
{
    size_t props = codec_props_size(&p->props);
    bool with_props = props > 1;
    bool with_reason = with_props || p->reason != MQTT_RC_SUCCESS;
    codec_put_fixed(out, type, 0, (with_reason ? 1u : 0u) + (with_props ? props : 0u));
    if (with_reason)
        sl_buf_put_u8(out, p->reason);
    if (with_props)
        codec_put_props(out, &p->props);
}

void mqtt_encode_disconnect(struct sl_buf *out, enum mqtt_version v, const struct mqtt_reasoned *p)
{
    if (v == MQTT_V5)
        put_reasoned(out, MQTT_DISCONNECT, p);
    else
        codec_put_fixed(out, MQTT_DISCONNECT, 0, 0);
}

void mqtt_encode_auth(struct sl_buf *out, const struct mqtt_reasoned *p)
{
    put_reasoned(out, MQTT_AUTH, p);
}
