/* client_input.c - what the server says: CONNACK, SUBACK, PUBACK, PUBLISH and the rest. Pure. */
#include "client_internal.h"

#include <string.h>

/* A packet that breaks the standard: a DISCONNECT that says so, then the end. */
static void violation(struct client *c, uint8_t reason, const char *packet, const char *why)
{
    if (c->version == MQTT_V5 && c->phase != CLIENT_CONNECTING)
        mqtt_encode_disconnect(&c->out, c->version, &(struct mqtt_reasoned){ .reason = reason });
    client_fail(c, CLIENT_FAULT_PROTOCOL, reason, "the server sent a %s that breaks MQTT: %s",
                packet, why ? why : mqtt_reason_name(reason));
}

/* ---- CONNACK ---- */

static void take_limits(struct client *c, const struct mqtt_props *p)
{
    c->limits.qos_max = mqtt_has(p, MQTT_P_MAXIMUM_QOS) && p->max_qos == 0 ? 0 : 1;
    c->limits.retain = !mqtt_has(p, MQTT_P_RETAIN_AVAILABLE) || p->retain_available != 0;
    c->limits.packet_max =
        mqtt_has(p, MQTT_P_MAXIMUM_PACKET_SIZE) ? p->max_packet_size : UINT32_MAX;
    c->window = c->options.in_flight_max;
    if (mqtt_has(p, MQTT_P_RECEIVE_MAXIMUM) && p->receive_max < c->window)
        c->window = p->receive_max;
    c->cautious = c->window;
    c->keep_alive_ms = (int64_t)c->options.keep_alive_s * 1000;
    if (mqtt_has(p, MQTT_P_SERVER_KEEP_ALIVE) && p->server_keep_alive > 0)
        c->keep_alive_ms = (int64_t)p->server_keep_alive * 1000;
}

/* What suspicion.h asks for before the first publish. */
static void probe(struct client *c, int64_t now_ms)
{
    if (!suspicion_careful(&c->suspicion))
        return;
    mqtt_encode_pingreq(&c->out);
    c->ping_sent_ms = now_ms;
}

static void accepted(struct client *c, const struct mqtt_connack *p, int64_t now_ms)
{
    take_limits(c, &p->props);
    probe(c, now_ms);
    if (!p->session_present) {
        flights_forget(&c->flights);
        c->subscribed = false;
    }
    c->last_ack_ms = now_ms;
    c->phase = CLIENT_UP;
    if (c->subscribed || c->options.subscriptions->count == 0)
        return;
    c->phase = CLIENT_SUBSCRIBING;
    c->subacks_missing = client_subscribe_packets(c);
    c->subscription_refused = false;
    for (size_t i = 0; i < c->subacks_missing; i++)
        c->subscribe_open[i] = true;
    client_send_subscribes(c, now_ms);
}

static const char *code_name_v3(uint8_t code)
{
    static const char *const names[] = {
        "accepted",           "protocol version not supported", "client id refused",
        "server unavailable", "bad user name or password",      "not authorized"
    };
    return code < SL_ARRAY_LEN(names) ? names[code] : "unknown code";
}

static void refused(struct client *c, const struct mqtt_connack *p)
{
    bool v5 = c->version == MQTT_V5;
    struct sl_slice detail = sl_str("");
    if (v5 && mqtt_has(&p->props, MQTT_P_REASON_STRING))
        detail = p->props.reason_string;
    bool version = v5 ? p->reason == MQTT_RC_UNSUPPORTED_VERSION : p->reason == 1;
    client_fail(c, version ? CLIENT_FAULT_VERSION : CLIENT_FAULT_REFUSED, p->reason,
                "the server refused the connection: %s (%s %u)%s%.*s",
                v5 ? mqtt_reason_name(p->reason) : code_name_v3(p->reason), v5 ? "reason" : "code",
                p->reason, detail.len ? ": " : "", SL_FMT(detail));
}

static void on_connack(struct client *c, const struct mqtt_frame *f, int64_t now_ms)
{
    const char *why = NULL;
    struct mqtt_connack p;
    /* A server that does not know version 5 answers in the older form: flags and a return code. */
    if (c->version == MQTT_V5 && f->body.len == 2 && f->body.ptr[1] == 1) {
        client_fail(c, CLIENT_FAULT_VERSION, 1, "the server does not speak MQTT 5");
        return;
    }
    uint8_t rc = mqtt_decode_connack(f, c->version, &p, &why);
    if (rc != MQTT_RC_SUCCESS)
        violation(c, rc, "CONNACK", why);
    else if (p.reason != 0)
        refused(c, &p);
    else
        accepted(c, &p, now_ms);
}

/* ---- acknowledgements ---- */

static void took_round_trip(struct client *c, const struct flight *fl, int64_t now_ms)
{
    if (fl->tries != 1 || now_ms < fl->sent_ms)
        return; /* which of several tries was answered is not known */
    int64_t sample = now_ms - fl->sent_ms;
    c->rtt_x8_ms = c->rtt_x8_ms ? c->rtt_x8_ms - c->rtt_x8_ms / 8 + sample : sample * 8;
}

static void gone(struct client *c, struct flight *fl, uint8_t dead_reason)
{
    struct outbox_item *item = fl->item;
    flights_drop(&c->flights, fl);
    if (dead_reason)
        c->events.dead(c->events.ctx, item, mqtt_reason_name(dead_reason),
                       dead_reason == MQTT_RC_PAYLOAD_FORMAT_INVALID);
    else
        c->events.acked(c->events.ctx, item);
}

static int64_t retry_wait_ms(const struct flight *fl)
{
    unsigned doublings = fl->refusals > 6 ? 6 : fl->refusals;
    return INT64_C(1000) << doublings;
}

static void publish_refused(struct client *c, struct flight *fl, uint8_t reason, int64_t now_ms)
{
    bool never = reason == MQTT_RC_NOT_AUTHORIZED || reason == MQTT_RC_TOPIC_NAME_INVALID ||
                 reason == MQTT_RC_PAYLOAD_FORMAT_INVALID;
    if (never || fl->refusals + 1 >= CLIENT_REFUSALS_MAX) {
        gone(c, fl, reason);
        return;
    }
    c->refused++;
    c->cautious = 1;
    if (c->refused_since_ms == CLIENT_NEVER)
        c->refused_since_ms = now_ms;
    flights_refuse(&c->flights, fl, now_ms + retry_wait_ms(fl));
}

static void taken(struct client *c, struct flight *fl)
{
    if (c->cautious < c->window)
        c->cautious++;
    c->refused_since_ms = CLIENT_NEVER;
    gone(c, fl, 0);
}

static void on_puback(struct client *c, const struct mqtt_frame *f, int64_t now_ms)
{
    const char *why = NULL;
    struct mqtt_ack p;
    uint8_t rc = mqtt_decode_ack(f, c->version, &p, &why);
    if (rc != MQTT_RC_SUCCESS) {
        violation(c, rc, "PUBACK", why);
        return;
    }
    struct flight *fl = flights_find(&c->flights, p.packet_id);
    if (!fl)
        return; /* the second answer to one that was sent twice */
    c->last_ack_ms = now_ms;
    c->acked_any = true;
    suspicion_clear(&c->suspicion);
    c->silent_since_ms = CLIENT_NEVER;
    if (fl->seq > c->last_ack_seq)
        c->last_ack_seq = fl->seq;
    took_round_trip(c, fl, now_ms);
    if (p.reason >= 0x80)
        publish_refused(c, fl, p.reason, now_ms);
    else
        taken(c, fl);
}

/* ---- subscriptions ---- */

static void take_suback_codes(struct client *c, size_t packet, struct sl_slice codes)
{
    for (size_t i = 0; i < codes.len; i++) {
        if (codes.ptr[i] < 0x80)
            continue;
        const struct topicmap_pair *pair =
            &c->options.subscriptions->pairs[packet * CLIENT_SUBSCRIBE_MAX + i];
        c->subscription_refused = true;
        c->events.subscription_refused(c->events.ctx, pair->cloud, codes.ptr[i]);
    }
}

static void on_suback(struct client *c, const struct mqtt_frame *f)
{
    const char *why = NULL;
    struct mqtt_suback p;
    uint8_t rc = mqtt_decode_suback(f, c->version, &p, &why);
    if (rc != MQTT_RC_SUCCESS) {
        violation(c, rc, "SUBACK", why);
        return;
    }
    size_t packet = (size_t)(p.packet_id - SUBSCRIBE_ID_FIRST);
    if (p.packet_id < SUBSCRIBE_ID_FIRST || packet >= client_subscribe_packets(c) ||
        c->phase != CLIENT_SUBSCRIBING || !c->subscribe_open[packet])
        return; /* the second answer to one that was sent twice */
    size_t want = c->options.subscriptions->count - packet * CLIENT_SUBSCRIBE_MAX;
    if (want > CLIENT_SUBSCRIBE_MAX)
        want = CLIENT_SUBSCRIBE_MAX;
    if (p.codes.len != want) {
        violation(c, MQTT_RC_PROTOCOL_ERROR, "SUBACK", "not one code for each filter");
        return;
    }
    take_suback_codes(c, packet, p.codes);
    c->subscribe_open[packet] = false;
    if (--c->subacks_missing > 0)
        return;
    c->subscribed = !c->subscription_refused;
    c->phase = CLIENT_UP;
}

/* ---- messages ---- */

/* What stands first and is done. An older server cannot be told of a refusal: it keeps the message,
 * and sends it again on the next connection. */
static void send_inbound_acks(struct client *c)
{
    while (c->inbound_first < c->inbound_next) {
        size_t at = (size_t)(c->inbound_first % CLIENT_INBOUND_WAIT);
        uint8_t reason = c->inbound[at].reason;
        if (!c->inbound[at].done)
            return;
        c->inbound_first++;
        struct mqtt_ack ack = { .packet_id = c->inbound[at].packet_id, .reason = reason };
        if (reason < 0x80 || c->version == MQTT_V5)
            mqtt_encode_ack(&c->out, c->version, MQTT_PUBACK, &ack);
    }
}

void client_message_done(struct client *c, uint64_t token, uint8_t reason, int64_t now_ms)
{
    if (token < c->inbound_first || token >= c->inbound_next ||
        (c->phase != CLIENT_UP && c->phase != CLIENT_SUBSCRIBING))
        return;
    size_t before = c->out.len, at = (size_t)(token % CLIENT_INBOUND_WAIT);
    c->inbound[at].done = true;
    c->inbound[at].reason = reason < 0x80 ? 0 : reason;
    send_inbound_acks(c);
    client_settle_output(c, before, now_ms);
}

static void answer_qos1(struct client *c, uint16_t packet_id, enum client_take take)
{
    size_t at = (size_t)(c->inbound_next++ % CLIENT_INBOUND_WAIT);
    c->inbound[at].packet_id = packet_id;
    c->inbound[at].done = take != CLIENT_TAKES_LATER;
    c->inbound[at].reason = take == CLIENT_REFUSES ? MQTT_RC_QUOTA_EXCEEDED : 0;
    send_inbound_acks(c);
}

static void on_publish(struct client *c, const struct mqtt_frame *f, int64_t now_ms)
{
    const char *why = NULL;
    struct mqtt_publish p;
    uint8_t rc = mqtt_decode_publish(f, c->version, &p, &why);
    if (rc == MQTT_RC_SUCCESS && (mqtt_has(&p.props, MQTT_P_TOPIC_ALIAS) || p.topic.len == 0)) {
        rc = MQTT_RC_TOPIC_ALIAS_INVALID;
        why = "a topic alias, though none was allowed";
    }
    if (rc != MQTT_RC_SUCCESS) {
        violation(c, rc, "PUBLISH", why);
        return;
    }
    pacer_spend(&c->pacer, f->size, now_ms); /* AWS counts both directions together */
    if (p.qos == 1 && c->inbound_next - c->inbound_first == CLIENT_INBOUND_WAIT) {
        client_fail(c, CLIENT_FAULT_MEMORY, 0, "%d messages from the server wait to be taken",
                    CLIENT_INBOUND_WAIT);
        return;
    }
    enum client_take take = c->events.message(c->events.ctx, &p, c->inbound_next);
    if (take == CLIENT_NO_MEMORY)
        client_fail(c, CLIENT_FAULT_MEMORY, 0, "no memory for a message from the server");
    else if (p.qos == 1)
        answer_qos1(c, p.packet_id, take);
    else if (p.qos == 2) /* was not asked for; one that comes is answered, but may come twice */
        mqtt_encode_ack(&c->out, c->version, MQTT_PUBREC,
                        &(struct mqtt_ack){ .packet_id = p.packet_id });
}

static void on_pubrel(struct client *c, const struct mqtt_frame *f)
{
    const char *why = NULL;
    struct mqtt_ack p;
    uint8_t rc = mqtt_decode_ack(f, c->version, &p, &why);
    if (rc != MQTT_RC_SUCCESS) {
        violation(c, rc, "PUBREL", why);
        return;
    }
    mqtt_encode_ack(&c->out, c->version, MQTT_PUBCOMP,
                    &(struct mqtt_ack){ .packet_id = p.packet_id });
}

/* ---- the rest ---- */

static void on_disconnect(struct client *c, const struct mqtt_frame *f)
{
    const char *why = NULL;
    struct mqtt_reasoned p;
    if (c->version != MQTT_V5) {
        violation(c, MQTT_RC_PROTOCOL_ERROR, "DISCONNECT", "servers send none before MQTT 5");
        return;
    }
    uint8_t rc = mqtt_decode_disconnect(f, c->version, true, &p, &why);
    if (rc != MQTT_RC_SUCCESS) {
        violation(c, rc, "DISCONNECT", why);
        return;
    }
    struct sl_slice detail = sl_str("");
    if (mqtt_has(&p.props, MQTT_P_REASON_STRING))
        detail = p.props.reason_string;
    client_fail(c, CLIENT_FAULT_DISCONNECTED, p.reason,
                "the server ended the connection: %s (reason %u)%s%.*s", mqtt_reason_name(p.reason),
                p.reason, detail.len ? ": " : "", SL_FMT(detail));
}

static void on_pingresp(struct client *c, const struct mqtt_frame *f, int64_t now_ms)
{
    const char *why = NULL;
    uint8_t rc = mqtt_decode_empty(f, &why);
    if (rc != MQTT_RC_SUCCESS)
        violation(c, rc, "PINGRESP", why);
    else if (c->quiet_until_ms == CLIENT_NEVER)
        c->quiet_until_ms = now_ms + SUSPICION_QUIET_MS;
}

static const char *packet_name(uint8_t type)
{
    static const char *const names[] = {
        "packet of type 0", "CONNECT",  "CONNACK",    "PUBLISH", "PUBACK",      "PUBREC",
        "PUBREL",           "PUBCOMP",  "SUBSCRIBE",  "SUBACK",  "UNSUBSCRIBE", "UNSUBACK",
        "PINGREQ",          "PINGRESP", "DISCONNECT", "AUTH",
    };
    return type < SL_ARRAY_LEN(names) ? names[type] : names[0];
}

void client_handle(struct client *c, const struct mqtt_frame *f, int64_t now_ms)
{
    bool first = c->phase == CLIENT_CONNECTING;
    if (first != (f->type == MQTT_CONNACK)) {
        violation(c, MQTT_RC_PROTOCOL_ERROR, packet_name(f->type),
                  first ? "the first packet must be CONNACK" : "a second CONNACK");
        return;
    }
    switch (f->type) {
    case MQTT_CONNACK: on_connack(c, f, now_ms); break;
    case MQTT_PUBLISH: on_publish(c, f, now_ms); break;
    case MQTT_PUBACK: on_puback(c, f, now_ms); break;
    case MQTT_PUBREL: on_pubrel(c, f); break;
    case MQTT_SUBACK: on_suback(c, f); break;
    case MQTT_PINGRESP: on_pingresp(c, f, now_ms); break;
    case MQTT_DISCONNECT: on_disconnect(c, f); break;
    default: /* f->type is a byte off the wire, not an enum: the rest is refused */
        violation(c, MQTT_RC_PROTOCOL_ERROR, packet_name(f->type), "a client does not get these");
        break;
    }
}
