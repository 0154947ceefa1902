/* client_answers.c - the small packets a client is answered with: acknowledgements, refusals, and
 * why.
 *
 * A reason string is a courtesy: it goes to MQTT 5 clients that have not declined it with Request
 * Problem Information 0, and only where the packet stays within the client's maximum packet size
 * [MQTT-3.1.2-29, 3.2.2-19, 3.4.2-2, 3.5.2-2, 3.6.2-2, 3.7.2-2, 3.9.2-1, 3.11.2-1, 3.14.2-3]. */
#include "broker_internal.h"
#include "client.h"
#include "durable.h"

/* What somebody who reads it can do about a refusal that has no sentence of its own. */
static const char *advice(uint8_t reason)
{
    switch (reason) {
    case MQTT_RC_NOT_AUTHORIZED: return "this client may not do that: see the broker's access list";
    case MQTT_RC_TOPIC_NAME_INVALID: return "the topic has more levels than this broker takes";
    case MQTT_RC_TOPIC_FILTER_INVALID:
        return "not a valid filter: # stands alone at the end, + fills a whole level";
    case MQTT_RC_QUOTA_EXCEEDED: return "the broker has no room for it: try again later";
    case MQTT_RC_PACKET_ID_NOT_FOUND: return "nothing is in flight with this packet identifier";
    case MQTT_RC_SHARED_SUBS_NOT_SUPPORTED: return "shared subscriptions are not available here";
    default: return mqtt_reason_name(reason); /* the code's own name says enough */
    }
}

static bool explain(const struct client *c, struct mqtt_props *props, uint8_t reason,
                    const char *why)
{
    if (c->version != MQTT_V5 || c->quiet || reason < MQTT_RC_UNSPECIFIED)
        return false;
    mqtt_set(props, MQTT_P_REASON_STRING);
    props->reason_string = sl_str(why ? why : advice(reason));
    return true;
}

static void unexplain(struct mqtt_props *props)
{
    props->present &= ~(UINT64_C(1) << MQTT_P_REASON_STRING);
}

bool client_fits(const struct client *c, size_t start)
{
    return c->out.bytes.failed || c->out.bytes.len - start <= c->max_packet;
}

void client_send_ack(struct client *c, enum mqtt_type type, uint16_t packet_id, uint8_t reason)
{
    struct mqtt_ack ack = { .packet_id = packet_id, .reason = reason };
    struct sl_buf *out = client_out(c);
    size_t start = out->len;
    bool explained = explain(c, &ack.props, reason, NULL);
    mqtt_encode_ack(out, c->version, type, &ack);
    if (!explained || client_fits(c, start))
        return;
    out->len = start;
    unexplain(&ack.props);
    mqtt_encode_ack(out, c->version, type, &ack);
}

void client_send_disconnect(struct client *c, uint8_t reason, const char *why)
{
    struct mqtt_reasoned d = { .reason = reason };
    struct sl_buf *out = client_out(c);
    size_t start = out->len;
    bool explained = why && explain(c, &d.props, reason, why);
    mqtt_encode_disconnect(out, c->version, &d);
    if (!explained || client_fits(c, start))
        return;
    out->len = start;
    unexplain(&d.props);
    mqtt_encode_disconnect(out, c->version, &d);
}

static enum broker_refusal refusal_of(uint8_t reason)
{
    switch (reason) {
    case MQTT_RC_BAD_CREDENTIALS:
    case MQTT_RC_NOT_AUTHORIZED: return BROKER_REFUSED_LOGIN;
    case MQTT_RC_SERVER_BUSY: return BROKER_REFUSED_BUSY;
    case MQTT_RC_SERVER_UNAVAILABLE: return BROKER_REFUSED_MEMORY;
    }
    return BROKER_REFUSED_REQUEST;
}

void client_refuse(struct client *c, enum mqtt_version v, uint8_t reason, const char *why)
{
    client_refuse_for(c, v, reason, refusal_of(reason), why);
}

void client_refuse_for(struct client *c, enum mqtt_version v, uint8_t reason,
                       enum broker_refusal refusal, const char *why)
{
    struct mqtt_connack ack = { .reason = v == MQTT_V5 ? reason : mqtt_connack_code_v3(reason) };
    struct sl_buf *out = client_out(c);
    size_t start = out->len;
    bool explained = v == MQTT_V5 && explain(c, &ack.props, reason, why);
    mqtt_encode_connack(out, v, &ack);
    if (explained && !client_fits(c, start)) {
        out->len = start;
        unexplain(&ack.props);
        mqtt_encode_connack(out, v, &ack);
    }
    if (!client_fits(c, start)) /* [MQTT-3.1.2-24]: closing says it as well */
        out->len = start;
    bounds_refused(c->broker, refusal, c->transport->address(c), why);
    client_close(c, 0, NULL);
}

static void put_list_ack(struct sl_buf *out, enum mqtt_version v, enum mqtt_type type,
                         const struct mqtt_suback *ack)
{
    if (type == MQTT_SUBACK)
        mqtt_encode_suback(out, v, ack);
    else
        mqtt_encode_unsuback(out, v, ack);
}

bool client_send_list_ack(struct client *c, enum mqtt_type type, struct mqtt_suback *ack,
                          size_t *ret_start)
{
    struct sl_buf *out = client_out(c);
    size_t start = out->len;
    uint8_t refused = MQTT_RC_SUCCESS;
    for (size_t i = 0; i < ack->codes.len && !refused; i++)
        refused = ack->codes.ptr[i] >= MQTT_RC_UNSPECIFIED ? ack->codes.ptr[i] : 0;
    bool explained = explain(c, &ack->props, refused, NULL);
    put_list_ack(out, c->version, type, ack);
    if (explained && !client_fits(c, start)) {
        out->len = start;
        unexplain(&ack->props);
        put_list_ack(out, c->version, type, ack);
    }
    *ret_start = start;
    return client_check_size(c, start, MQTT_RC_PACKET_TOO_LARGE);
}
