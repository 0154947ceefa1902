/* client.c - a connection's life: feeding, closing, output. */
#include "client.h"

#include "alias_out.h"
#include "broker_internal.h"
#include "client_rare.h"
#include "durable.h"
#include "owed.h"
#include "session.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>

#define CLIENT_ANSWERS_MAX ((size_t)64 * 1024)

bool client_open(struct client *c, struct broker *b, const struct client_transport *transport)
{
    *c = (struct client){
        .broker = b,
        .transport = transport,
        .state = CLIENT_NEW,
        .version = MQTT_V311,
        .receive_max = UINT16_MAX,
        .max_packet = UINT32_MAX,
        .opened_ms = broker_now(b),
    };
    c->last_in_ms = c->opened_ms;
    return broker_add_client(b, c);
}

void client_fini(struct client *c)
{
    assert(c->state == CLIENT_CLOSING && !c->session && !c->dirty);
    broker_remove_client(c->broker, c);
    c->broker->output_bytes -= c->counted_out;
    c->counted_out = 0;
    outq_release(&c->out, &c->broker->pool);
    sl_buf_free(&c->in);
    client_rare_free(c);
    free(c->username);
}

/* ---- input ---- */

static void protocol_fault(struct client *c, uint8_t reason, const char *why)
{
    client_close(c, reason, why ? why : mqtt_reason_name(reason));
}

static bool handle_pubrel(struct client *c, uint16_t packet_id)
{
    struct qos2_in *q = session_qos2_find(c->session, packet_id);
    if (q && !q->received) { /* [MQTT-4.3.3-5] */
        protocol_fault(c, MQTT_RC_PROTOCOL_ERROR, "PUBREL before PUBREC was sent");
        return true;
    }
    if (q && persist_complete(c->session, q)) /* PUBCOMP comes with the commit */
        return true;
    client_send_ack(c, MQTT_PUBCOMP, packet_id, q ? MQTT_RC_SUCCESS : MQTT_RC_PACKET_ID_NOT_FOUND);
    session_qos2_remove(c->session, packet_id);
    return q != NULL;
}

static void handle_ack(struct client *c, const struct mqtt_frame *f)
{
    struct mqtt_ack a;
    const char *why = NULL;
    uint8_t fault = mqtt_decode_ack(f, c->version, &a, &why);
    if (fault) {
        protocol_fault(c, fault, why);
        return;
    }
    bool known = true, wait = false;
    switch (f->type) {
    case MQTT_PUBACK: known = session_on_puback(c->session, a.packet_id); break;
    case MQTT_PUBREC:
        known = session_on_pubrec(c->session, a.packet_id, a.reason >= 0x80, &wait);
        if (a.reason < 0x80 && !wait) /* also for an unknown id, so that the client can forget it */
            client_send_ack(c, MQTT_PUBREL, a.packet_id,
                            known ? MQTT_RC_SUCCESS : MQTT_RC_PACKET_ID_NOT_FOUND);
        break;
    case MQTT_PUBREL: known = handle_pubrel(c, a.packet_id); break;
    case MQTT_PUBCOMP: known = session_on_pubcomp(c->session, a.packet_id); break;
    }
    if (!known)
        LOG_DEBUG("broker", "acknowledgement of an unknown packet id %u", a.packet_id);
}

static void handle_disconnect(struct client *c, const struct mqtt_frame *f)
{
    struct mqtt_reasoned d;
    const char *why = NULL;
    uint8_t fault = mqtt_decode_disconnect(f, c->version, false, &d, &why);
    if (fault) {
        protocol_fault(c, fault, why);
        return;
    }
    struct session *s = c->session;
    if (mqtt_has(&d.props, MQTT_P_SESSION_EXPIRY)) {
        if (s->expiry_s == 0 && d.props.session_expiry != 0) { /* [MQTT-3.14.2-2] */
            protocol_fault(c, MQTT_RC_PROTOCOL_ERROR, "session expiry raised from 0 in DISCONNECT");
            return;
        }
        uint32_t max = c->broker->options.session_expiry_max_s;
        s->expiry_s = d.props.session_expiry < max ? d.props.session_expiry : max;
    }
    c->clean_disconnect = d.reason == MQTT_RC_SUCCESS; /* [MQTT-3.14.4-3] */
    client_close(c, 0, NULL);
}

static void handle_pingreq(struct client *c, const struct mqtt_frame *f)
{
    const char *why = NULL;
    uint8_t fault = mqtt_decode_empty(f, &why);
    if (fault)
        protocol_fault(c, fault, why);
    else
        mqtt_encode_pingresp(client_out(c));
}

static void handle_frame(struct client *c, const struct mqtt_frame *f)
{
    c->broker->stats.messages_in++;
    if (c->state == CLIENT_NEW) {
        client_handle_connect(c, f);
        return;
    }
    if (c->state == CLIENT_EXCHANGING) {
        client_handle_exchange(c, f);
        return;
    }
    switch ((enum mqtt_type)f->type) {
    case MQTT_PUBLISH: client_handle_publish(c, f); break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: handle_ack(c, f); break;
    case MQTT_SUBSCRIBE: client_handle_subscribe(c, f); break;
    case MQTT_UNSUBSCRIBE: client_handle_unsubscribe(c, f); break;
    case MQTT_PINGREQ: handle_pingreq(c, f); break;
    case MQTT_DISCONNECT: handle_disconnect(c, f); break;
    case MQTT_CONNECT: /* [MQTT-3.1.0-2] */
        protocol_fault(c, MQTT_RC_PROTOCOL_ERROR, "a second CONNECT");
        break;
    case MQTT_AUTH: client_handle_auth(c, f); break;
    case MQTT_CONNACK:
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
    case MQTT_PINGRESP:
        protocol_fault(c, MQTT_RC_PROTOCOL_ERROR, "a packet that only servers send");
        break;
    }
}

static bool may_parse(const struct client *c)
{
    return c->state != CLIENT_CLOSING && !c->held && !c->broker->paused;
}

static size_t output_left(const struct client *c)
{
    return outq_left(&c->out) + c->unsent;
}

/* Publishes stop at max_queued_bytes by themselves; what passes it by this much are answers to a
 * client that does not read them. */
static void hold_if_deaf(struct client *c)
{
    if (output_left(c) > c->broker->options.max_queued_bytes + CLIENT_ANSWERS_MAX)
        client_hold_input(c, HOLD_OUTPUT);
}

static void parse(struct client *c, struct sl_cursor *in)
{
    struct mqtt_frame f;
    while (may_parse(c)) {
        struct sl_cursor before = *in;
        if (c->state == CLIENT_NEW && in->left > 0 && in->at[0] >> 4 != MQTT_CONNECT) {
            client_close(c, 0, "the first packet is not CONNECT"); /* [MQTT-3.1.0-1] */
            return;
        }
        switch (mqtt_frame_next(in, c->broker->options.max_packet_size, &f, NULL)) {
        case MQTT_FRAME_MORE: return;
        case MQTT_FRAME_TOO_LARGE: protocol_fault(c, MQTT_RC_PACKET_TOO_LARGE, NULL); return;
        case MQTT_FRAME_MALFORMED: protocol_fault(c, MQTT_RC_MALFORMED, NULL); return;
        case MQTT_FRAME_OK: handle_frame(c, &f); break;
        }
        if (c->state == CLIENT_AUTHENTICATING) {
            *in = before; /* CONNECT is decoded again when the answer is there */
            return;
        }
        hold_if_deaf(c);
    }
}

static void parse_kept(struct client *c)
{
    struct sl_cursor in = sl_cursor(sl_buf_slice(&c->in));
    parse(c, &in);
    sl_buf_consume(&c->in, c->in.len - in.left);
    if (c->in.len == 0)
        sl_buf_free(&c->in);
}

static void keep(struct client *c, struct sl_slice bytes)
{
    sl_buf_put_slice(&c->in, bytes);
    if (c->in.failed)
        client_close(c, MQTT_RC_QUOTA_EXCEEDED, "out of memory for input");
}

void client_receive(struct client *c, struct sl_slice bytes)
{
    if (c->state == CLIENT_CLOSING)
        return;
    c->broker->stats.bytes_in += bytes.len;
    c->last_in_ms = broker_now(c->broker);
    if (c->in.len > 0 || !may_parse(c)) {
        keep(c, bytes);
        if (may_parse(c))
            parse_kept(c);
        return;
    }
    struct sl_cursor in = sl_cursor(bytes);
    parse(c, &in);
    if (in.left > 0 && c->state != CLIENT_CLOSING)
        keep(c, sl_cursor_rest(&in));
}

void client_hold_input(struct client *c, enum client_hold why)
{
    if (c->state == CLIENT_CLOSING)
        return;
    c->held |= (uint8_t)why;
    c->resume = false;
    c->transport->read(c, false);
}

void client_release_input(struct client *c, enum client_hold why)
{
    if (!(c->held & why) || c->state == CLIENT_CLOSING)
        return;
    c->held &= (uint8_t)~why;
    if (c->held)
        return;
    c->last_in_ms = broker_now(c->broker); /* it could not be heard while it was held */
    c->resume = true;
    broker_mark_dirty(c->broker, c);
}

static void resume_input(struct client *c)
{
    c->resume = false;
    if (c->in.len > 0)
        parse_kept(c);
    if (may_parse(c))
        c->transport->read(c, true);
}

void client_eof(struct client *c)
{
    client_close(c, 0, NULL);
}

/* ---- closing ---- */

void client_detach(struct client *c, bool will)
{
    struct session *s = c->session;
    if (!s)
        return;
    client_drop_acks(c);
    c->session = NULL;
    s->client = NULL;
    owed_detach(s);
    c->broker->attached--;
    s->offline_since_ms = broker_now(c->broker);
    if (will && c->will) {
        /* The delay ends with the session at the latest [MQTT-3.1.3-9]. */
        if (c->will_delay_s > 0 && s->expiry_s > 0) {
            s->will = c->will;
            c->will = NULL;
            s->will_due_ms = s->offline_since_ms + (int64_t)c->will_delay_s * 1000;
        } else {
            broker_publish_will(c->broker, s, c->will);
        }
    }
    sl_msg_unref(c->will);
    c->will = NULL;
    if (s->expiry_s == 0)
        broker_bury(c->broker, s);
    else
        persist_detach(s);
}

static void log_close(const struct client *c, uint8_t reason, const char *why)
{
    if (!why)
        return;
    struct sl_kv kv[] = {
        SL_KV_SLICE("client", c->session ? session_id(c->session) : sl_str("")),
        SL_KV_SLICE("from", c->transport->address((struct client *)c)),
        SL_KV_INT("reason", reason),
        SL_KV_END,
    };
    sl_log(SL_INFO, "broker", kv, "connection closed: %s", why);
}

void client_close(struct client *c, uint8_t reason, const char *why)
{
    if (c->state == CLIENT_CLOSING)
        return;
    log_close(c, reason, why);
    if (c->session && reason && c->version == MQTT_V5)
        client_send_disconnect(c, reason, why);
    if (c->auth) {
        broker_auth_abandon(c->auth);
        c->auth = NULL;
    }
    client_drop_exchange(c);
    c->state = CLIENT_CLOSING;
    bounds_finished(c->broker, c);
    client_detach(c, !c->clean_disconnect);
    c->transport->close(c);
}

/* A connection that came to nothing. */
static void client_give_up(struct client *c, enum broker_refusal why)
{
    bounds_refused(c->broker, why, c->transport->address(c), NULL);
    client_close(c, 0, NULL);
}

void client_check_time(struct client *c, int64_t now)
{
    bool unfinished = c->state == CLIENT_NEW || c->state == CLIENT_EXCHANGING;
    if (unfinished && now - c->opened_ms > c->broker->options.connect_timeout_ms)
        client_give_up(c, BROKER_REFUSED_TIMEOUT);
    else if (c->state == CLIENT_CONNECTED && c->keep_alive_ms && !c->held &&
             now - c->last_in_ms > c->keep_alive_ms)
        client_close(c, MQTT_RC_KEEP_ALIVE_TIMEOUT,
                     "keep-alive passed one and a half times"); /* [MQTT-3.1.2-22] */
}

/* ---- output ---- */

struct sl_buf *client_out(struct client *c)
{
    c->broker->stats.messages_out++;
    broker_mark_dirty(c->broker, c);
    return outq_bytes(&c->out, &c->broker->pool);
}

bool client_check_size(struct client *c, size_t start, uint8_t reason)
{
    if (client_fits(c, start))
        return true;
    c->out.bytes.len = start;
    client_close(c, reason, "an answer is larger than its maximum packet size");
    return false;
}

/* What a connection may always have, however much waits in the others: it would come to a halt. */
enum { OUTPUT_ALWAYS = 4096 };

bool client_has_room(const struct client *c)
{
    size_t left = output_left(c);
    return c->state == CLIENT_CONNECTED && left < c->broker->options.max_queued_bytes &&
           (left < OUTPUT_ALWAYS || !broker_is_full(c->broker));
}

/* Brings the sum over all connections up to date. An output is far below 4 GiB. */
static void count_output(struct client *c)
{
    uint32_t left = (uint32_t)output_left(c);
    c->broker->output_bytes += left;
    c->broker->output_bytes -= c->counted_out;
    c->counted_out = left;
}

/* Output is gathered for a whole turn, which may be more than the bound while the socket would take
 * it all. */
bool client_make_room(struct client *c)
{
    if (client_has_room(c))
        return true;
    if (c->state == CLIENT_CONNECTED) {
        c->transport->flush(c);
        count_output(c);
    }
    return client_has_room(c);
}

void client_turn(struct client *c)
{
    if (c->resume && may_parse(c))
        resume_input(c);
    c->transport->flush(c);
    count_output(c);
    if (c->state != CLIENT_CONNECTED)
        return;
    if (output_left(c) <= c->broker->options.max_queued_bytes)
        client_release_input(c, HOLD_OUTPUT);
    session_pump(c->session);
}

/* An alias that is new makes the packet longer: where that is too long, the topic goes alone. */
static enum frame_result put_aliased(struct client *c, struct alias_out *aliases,
                                     struct frame_request *r, struct frame_cache *frames)
{
    struct sl_slice topic = sl_msg_topic(r->msg);
    struct alias_choice choice = alias_out_choose(aliases, topic);
    r->alias = choice.alias;
    r->alias_known = choice.known;
    enum frame_result result = frame_put(&c->out, &c->broker->pool, frames, r);
    if (result == FRAME_OK && choice.alias && !choice.known)
        alias_out_told(aliases, choice, topic);
    if (result != FRAME_TOO_LARGE || !choice.alias || choice.known)
        return result;
    r->alias = 0;
    return frame_put(&c->out, &c->broker->pool, frames, r);
}

enum frame_result client_send_publish(struct client *c, struct frame_request *r,
                                      struct frame_cache *frames)
{
    r->version = c->version;
    r->max_size = c->max_packet;
    r->now_mono_ms = broker_now(c->broker);
    struct alias_out *aliases = c->rare ? c->rare->aliases_out : NULL;
    enum frame_result result = SL_UNLIKELY(aliases != NULL)
                                   ? put_aliased(c, aliases, r, frames)
                                   : frame_put(&c->out, &c->broker->pool, frames, r);
    if (result == FRAME_OK) {
        c->broker->stats.messages_out++;
        c->broker->stats.publish_out++;
        broker_mark_dirty(c->broker, c);
        count_output(c);
    }
    return result;
}

void client_send_qos0(struct client *c, struct frame_request *r, struct frame_cache *frames)
{
    if (!client_make_room(c)) {
        bool own = output_left(c) >= c->broker->options.max_queued_bytes;
        broker_count_drop(c->broker, own || c->state != CLIENT_CONNECTED ? BROKER_DROP_SLOW_READER
                                                                         : BROKER_DROP_TOTAL);
        return;
    }
    switch (client_send_publish(c, r, frames)) {
    case FRAME_OK: break;
    case FRAME_TOO_LARGE: broker_count_drop(c->broker, BROKER_DROP_TOO_LARGE); break;
    case FRAME_NO_MEMORY: broker_count_drop(c->broker, BROKER_DROP_INTERNAL); break;
    }
}
