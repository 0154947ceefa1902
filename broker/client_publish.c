/* client_publish.c - PUBLISH, SUBSCRIBE and UNSUBSCRIBE from a client. */
#include "access.h"
#include "broker_internal.h"
#include "client.h"
#include "client_rare.h"
#include "durable.h"
#include "owed.h"
#include "session.h"
#include "share.h"

#include "base/topic.h"

#include <stdlib.h>

/* ---- PUBLISH ---- */

/* Replaces an alias by its topic, or remembers the topic for it. Returns 0 or the reason to
 * disconnect with. */
static uint8_t resolve_alias(struct client *c, struct mqtt_publish *p)
{
    uint32_t max = c->broker->options.topic_alias_max;
    if (!mqtt_has(&p->props, MQTT_P_TOPIC_ALIAS))
        return 0;
    if (p->props.topic_alias == 0 || p->props.topic_alias > max) /* [MQTT-3.3.2-8, 3.3.2-9] */
        return MQTT_RC_TOPIC_ALIAS_INVALID;
    struct client_rare *rare = client_rare(c);
    if (!rare || (!rare->aliases_in && !(rare->aliases_in = calloc(max, sizeof(char *)))))
        return MQTT_RC_QUOTA_EXCEEDED;
    char **place = &rare->aliases_in[p->props.topic_alias - 1];
    if (p->topic.len == 0) {
        if (!*place)
            return MQTT_RC_PROTOCOL_ERROR;
        p->topic = sl_str(*place);
        return 0;
    }
    char *copy = sl_slice_dup(p->topic);
    if (!copy)
        return MQTT_RC_QUOTA_EXCEEDED;
    free(*place);
    *place = copy;
    return 0;
}

/* 0 to take it, or the reason to disconnect with. */
static uint8_t check_publish(struct client *c, struct mqtt_publish *p, const char **why)
{
    const struct broker_options *o = &c->broker->options;
    uint8_t fault = resolve_alias(c, p);
    if (fault) {
        *why = "topic alias not valid";
        return fault;
    }
    if (p->qos > o->max_qos) { /* [MQTT-3.2.2-11] */
        *why = "QoS above max_qos";
        return MQTT_RC_QOS_NOT_SUPPORTED;
    }
    if (p->retain && !o->retain) { /* [MQTT-3.2.2-14] */
        *why = "retain while retained messages are off";
        return MQTT_RC_RETAIN_NOT_SUPPORTED;
    }
    if (mqtt_has(&p->props, MQTT_P_SUBSCRIPTION_ID)) { /* [MQTT-3.3.4-6] */
        *why = "subscription identifier in a client's PUBLISH";
        return MQTT_RC_PROTOCOL_ERROR;
    }
    return 0;
}

/* Whether the topic is one that this client may publish to; $-topics are the broker's own. */
static uint8_t topic_refusal(const struct client *c, struct sl_slice topic)
{
    if (!trie_depth_ok(topic))
        return MQTT_RC_TOPIC_NAME_INVALID;
    if (topic.ptr[0] != '$' && access_may_publish(c->session, topic))
        return 0;
    broker_count_drop(c->broker, BROKER_DROP_DENIED);
    return MQTT_RC_NOT_AUTHORIZED;
}

/* again: only to those who may not have had it before a restart. */
static bool route(struct client *c, const struct mqtt_publish *p, struct broker_receipt *receipt,
                  bool again)
{
    struct session *s = c->session;
    struct sl_buf forwardable = { 0 };
    if (p->props.raw.len > 0)
        mqtt_put_forwardable(&forwardable, p->props.raw);
    if (forwardable.failed) {
        sl_buf_free(&forwardable);
        broker_receipt_refuse(receipt, MQTT_RC_QUOTA_EXCEEDED);
        broker_count_drop(c->broker, BROKER_DROP_INTERNAL);
        return true;
    }
    struct sl_msg_parts parts = {
        .topic = p->topic,
        .props = sl_buf_slice(&forwardable),
        .payload = p->payload,
        .sender = session_id(s),
        .expiry_s =
            mqtt_has(&p->props, MQTT_P_MESSAGE_EXPIRY) ? p->props.message_expiry : SL_MSG_NO_EXPIRY,
        .qos = p->qos,
        .retain = p->retain,
        .mono_ms = broker_now(c->broker),
        .wall_ms = broker_wall(c->broker),
        .origin = s->origin,
    };
    bool wanted = true;
    if (again)
        broker_route_to_taps(c->broker, &parts, receipt);
    else
        wanted = broker_route(c->broker, &parts, receipt);
    sl_buf_free(&forwardable);
    return wanted;
}

/* A QoS 2 PUBLISH with a known packet id was taken already: only its PUBREC is wanted. */
static bool repeated_qos2(struct client *c, const struct mqtt_publish *p)
{
    struct qos2_in *q = session_qos2_find(c->session, p->packet_id);
    if (q && q->restored)
        return false;
    if (q)
        client_queue_ack(c, MQTT_PUBREC, p->packet_id, MQTT_RC_SUCCESS, q->ack);
    return q != NULL;
}

/* Taken before a restart: its sessions have the message. Taps get it once more, since they may not
 * have been done with it, and the acknowledgement waits for them. */
static bool forget_restored(struct session *s, uint16_t packet_id)
{
    struct qos2_in *q = session_qos2_find(s, packet_id);
    if (!q || !q->restored)
        return false;
    q->restored = false;
    return true;
}

static void take_acknowledged(struct client *c, const struct mqtt_publish *p)
{
    enum mqtt_type type = p->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC;
    if (c->version == MQTT_V5 &&
        client_receive_window(c) >= c->broker->options.receive_maximum) { /* [MQTT-3.3.4-9] */
        client_close(c, MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED,
                     "more unacknowledged publishes than receive_maximum");
        return;
    }
    if (p->qos == 2 && repeated_qos2(c, p))
        return;
    struct broker_receipt receipt = { .session = c->session };
    receipt.reason = topic_refusal(c, p->topic);
    bool again = p->qos == 2 && forget_restored(c->session, p->packet_id);
    if (!receipt.reason && p->qos == 2 && !again && !session_qos2_add(c->session, p->packet_id))
        receipt.reason = MQTT_RC_QUOTA_EXCEEDED;
    bool wanted = !receipt.reason && route(c, p, &receipt, again);
    if (!wanted && !receipt.reason && c->version == MQTT_V5)
        receipt.reason = MQTT_RC_NO_MATCHING_SUBSCRIBERS;
    if (!c->session) { /* routing closed this connection */
        ack_unref(receipt.ack);
        return;
    }
    struct qos2_in *q = p->qos == 2 ? session_qos2_find(c->session, p->packet_id) : NULL;
    if (q && receipt.reason >= 0x80) { /* said later, perhaps, and on another connection: forgotten
                                          now, so that it is not taken for a repeat then */
        session_qos2_remove(c->session, p->packet_id);
        q = NULL;
    }
    if (q && wanted && !again)
        persist_received(c->session, q, &receipt);
    if (q && receipt.ack)
        q->ack = ack_ref(receipt.ack);
    client_queue_ack(c, type, p->packet_id, receipt.reason, receipt.ack);
    ack_unref(receipt.ack);
}

void client_handle_publish(struct client *c, const struct mqtt_frame *f)
{
    struct mqtt_publish p;
    const char *why = NULL;
    uint8_t fault = mqtt_decode_publish(f, c->version, &p, &why);
    if (!fault)
        fault = check_publish(c, &p, &why);
    if (fault) {
        client_close(c, fault, why ? why : mqtt_reason_name(fault));
        return;
    }
    c->broker->stats.publish_in++;
    c->broker->pause_publisher = false; /* what was published from inside has no publisher */
    if (p.qos > 0)
        take_acknowledged(c, &p);
    else if (!topic_refusal(c, p.topic))
        (void)route(c, &p, NULL, false); /* QoS 0: nobody is told whether somebody wanted it */
    broker_pause_if_asked(c->broker, c);
}

/* ---- SUBSCRIBE ---- */

static uint8_t check_entry(const struct client *c, const struct mqtt_sub_entry *e)
{
    struct share_text text;
    if (!sl_utf8_valid(e->filter) || !share_split(e->filter, &text) ||
        !sl_filter_valid(text.filter) || !trie_depth_ok(text.filter))
        return c->version == MQTT_V5 ? MQTT_RC_TOPIC_FILTER_INVALID : MQTT_RC_UNSPECIFIED;
    if (!access_may_subscribe(c->session, e->filter))
        return c->version == MQTT_V5 ? MQTT_RC_NOT_AUTHORIZED : MQTT_RC_UNSPECIFIED;
    return 0;
}

/* Returns the code for SUBACK. Retained messages follow after it. */
static uint8_t subscribe(struct client *c, const struct mqtt_sub_entry *e, uint32_t id,
                         bool *ret_fresh, bool *ret_send_retained)
{
    uint8_t max_qos = c->broker->options.max_qos;
    struct subscription wanted = {
        .id = id,
        .qos = e->qos < max_qos ? e->qos : max_qos,
        .no_local = e->no_local,
        .retain_as_published = e->retain_as_published,
    };
    bool existed;
    uint8_t refusal = check_entry(c, e);
    if (refusal)
        return refusal;
    if (c->session->durable && persist_is_down(c->broker) &&
        !subs_has(&c->broker->subs, c->session, e->filter))
        return persist_refused_subscription(c->version);
    if (!subs_add(&c->broker->subs, c->session, e->filter, &wanted, &existed))
        return c->version == MQTT_V5 ? MQTT_RC_QUOTA_EXCEEDED : MQTT_RC_UNSPECIFIED;
    persist_subscribed(c->session, e->filter, &wanted);
    *ret_fresh = !existed;
    *ret_send_retained = !sl_slice_starts(e->filter, sl_str("$share/")) &&
                         (e->retain_handling == 0 || (e->retain_handling == 1 && !existed));
    return wanted.qos;
}

/* Walks the list again for the retained messages, which follow SUBACK. `send` has a byte per entry.
 */
static void send_retained(struct client *c, const struct mqtt_subscribe *p, uint32_t id,
                          struct sl_slice send)
{
    struct sl_cursor list = sl_cursor(p->list);
    struct mqtt_sub_entry e;
    for (size_t i = 0; c->session && i < send.len && mqtt_subscribe_next(&list, c->version, &e);
         i++) {
        uint8_t max_qos = c->broker->options.max_qos;
        struct subscription sub = { .id = id,
                                    .qos = e.qos < max_qos ? e.qos : max_qos,
                                    .no_local = e.no_local };
        if (send.ptr[i] && !owed_add(c->session, e.filter, &sub))
            broker_count_drop(c->broker, BROKER_DROP_INTERNAL);
    }
    if (c->session)
        session_pump(c->session);
}

void client_handle_subscribe(struct client *c, const struct mqtt_frame *f)
{
    struct mqtt_subscribe p;
    const char *why = NULL;
    uint8_t fault = mqtt_decode_subscribe(f, c->version, &p, &why);
    if (fault) {
        client_close(c, fault, why ? why : mqtt_reason_name(fault));
        return;
    }
    uint32_t id = mqtt_has(&p.props, MQTT_P_SUBSCRIPTION_ID) ? p.props.subscription_id : 0;
    struct sl_buf codes = { 0 }, send = { 0 }, fresh = { 0 };
    struct sl_cursor list = sl_cursor(p.list);
    struct mqtt_sub_entry e;
    while (mqtt_subscribe_next(&list, c->version, &e)) {
        bool is_new = false, retained = false;
        sl_buf_put_u8(&codes, subscribe(c, &e, id, &is_new, &retained));
        sl_buf_put_u8(&send, retained);
        sl_buf_put_u8(&fresh, is_new);
    }
    if (codes.failed || send.failed || fresh.failed) {
        client_close(c, MQTT_RC_QUOTA_EXCEEDED, "out of memory for SUBACK");
    } else {
        struct mqtt_suback ack = { .packet_id = p.packet_id, .codes = sl_buf_slice(&codes) };
        size_t start;
        if (client_send_list_ack(c, MQTT_SUBACK, &ack, &start)) {
            persist_hold_suback(c, start, sl_buf_slice(&fresh), p.list);
            send_retained(c, &p, id, sl_buf_slice(&send));
        }
    }
    sl_buf_free(&codes);
    sl_buf_free(&send);
    sl_buf_free(&fresh);
}

void client_handle_unsubscribe(struct client *c, const struct mqtt_frame *f)
{
    struct mqtt_subscribe p;
    const char *why = NULL;
    uint8_t fault = mqtt_decode_unsubscribe(f, c->version, &p, &why);
    if (fault) {
        client_close(c, fault, why ? why : mqtt_reason_name(fault));
        return;
    }
    struct sl_buf codes = { 0 };
    struct sl_cursor list = sl_cursor(p.list);
    for (struct sl_slice filter; mqtt_unsubscribe_next(&list, &filter);) {
        bool existed = subs_remove(&c->broker->subs, c->session, filter);
        owed_forget(c->session, filter); /* [MQTT-3.10.4-2] */
        if (existed)
            persist_unsubscribed(c->session, filter);
        sl_buf_put_u8(&codes, existed ? MQTT_RC_SUCCESS : MQTT_RC_NO_SUBSCRIPTION_EXISTED);
    }
    struct mqtt_suback ack = { .packet_id = p.packet_id, .codes = sl_buf_slice(&codes) };
    size_t start;
    if (client_send_list_ack(c, MQTT_UNSUBACK, &ack, &start)) /* else it has closed */
        persist_hold_output(c, start);
    if (codes.failed)
        client_close(c, MQTT_RC_QUOTA_EXCEEDED, "out of memory for UNSUBACK");
    sl_buf_free(&codes);
}
