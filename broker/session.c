/* session.c - deliveries of a session: window, queue, acknowledgements. */
#include "session.h"

#include "broker_internal.h"
#include "client.h"

#include <assert.h>
#include <stdlib.h>

struct sl_slice session_key(const void *value)
{
    return session_id(value);
}

struct session *session_new(struct broker *b, struct sl_slice client_id)
{
    struct session *s = calloc(1, sizeof *s + client_id.len);
    if (!s)
        return NULL;
    s->broker = b;
    s->origin = b->next_origin++;
    s->head_id = 1;
    s->id_len = (uint16_t)client_id.len; /* a UTF-8 string of MQTT: at most 65,535 */
    if (client_id.len > 0)
        memcpy(s->client_id, client_id.ptr, client_id.len);
    return s;
}

/* ---- rings ---- */

static struct delivery *ring_at(const struct delivery_ring *r, uint32_t i)
{
    assert(i < r->count);
    return &r->items[(r->head + i) & (r->cap - 1)];
}

static struct delivery *ring_push(struct delivery_ring *r)
{
    if (r->count == r->cap) {
        uint32_t cap = r->cap ? r->cap * 2 : 4;
        struct delivery *larger = calloc(cap, sizeof *larger);
        if (!larger)
            return NULL;
        for (uint32_t i = 0; i < r->count; i++)
            larger[i] = *ring_at(r, i);
        free(r->items);
        *r = (struct delivery_ring){ larger, cap, 0, r->count };
    }
    r->count++;
    return ring_at(r, r->count - 1);
}

static void ring_pop(struct delivery_ring *r)
{
    r->head = (r->head + 1) & (r->cap - 1);
    if (--r->count == 0) { /* an idle session owns no ring */
        free(r->items);
        *r = (struct delivery_ring){ 0 };
    }
}

static void delivery_drop(struct delivery *d)
{
    sl_msg_unref(d->msg);
    subids_unref(d->ids);
    *d = (struct delivery){ 0 };
}

static void ring_free(struct delivery_ring *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        delivery_drop(ring_at(r, i));
    free(r->items);
    *r = (struct delivery_ring){ 0 };
}

static struct sl_slice qos2_key(const void *value)
{
    const struct qos2_in *q = value;
    return sl_bytes(&q->packet_id, sizeof q->packet_id);
}

static void qos2_free(struct session *s)
{
    struct qos2_in *q;
    for (uint32_t i = 0; (q = sl_map_next(&s->qos2, &i));) {
        ack_unref(q->ack);
        free(q);
    }
    sl_map_free(&s->qos2);
}

void session_free(struct session *s)
{
    assert(!s->client && s->sub_count == 0);
    s->broker->stats.queued -= s->queue.count;
    ring_free(&s->window);
    ring_free(&s->queue);
    acks_orphan(s);
    qos2_free(s);
    sl_msg_unref(s->will);
    free(s);
}

/* ---- the window ---- */

/* Packet ids run 1..65535 and round again. */
static uint16_t id_after(uint16_t id, uint32_t steps)
{
    return (uint16_t)((id - 1u + steps) % 65535u + 1u);
}

/* The open delivery with this packet id, or NULL. */
static struct delivery *window_find(struct session *s, uint16_t packet_id)
{
    if (packet_id == 0)
        return NULL;
    uint32_t at = (packet_id + 65535u - s->head_id) % 65535u;
    if (at >= s->window.count)
        return NULL;
    struct delivery *d = ring_at(&s->window, at);
    return d->msg ? d : NULL;
}

static void window_close(struct session *s, struct delivery *d)
{
    delivery_drop(d);
    s->window_open--;
    while (s->window.count > 0 && !ring_at(&s->window, 0)->msg) {
        ring_pop(&s->window);
        s->head_id = id_after(s->head_id, 1);
    }
}

/* Whether one more QoS 1 or 2 message may be sent now. */
static bool window_has_room(const struct session *s)
{
    if (!s->client || !client_accepts_output(s->client))
        return false;
    uint32_t limit = s->broker->options.max_inflight;
    if (s->client->receive_max < limit)
        limit = s->client->receive_max;
    return s->window_open < limit && s->window.count < 2 * limit && s->window.count < 32768;
}

static enum frame_result send_delivery(struct session *s, const struct delivery *d, uint16_t id,
                                       bool dup, struct frame_cache *frames)
{
    struct frame_request r = {
        .msg = d->msg,
        .ids = d->ids,
        .qos = d->qos,
        .retain = d->retain,
        .dup = dup,
        .packet_id = id,
    };
    return client_send_publish(s->client, &r, frames);
}

/* Takes over d's references. */
static void send_in_window(struct session *s, struct delivery d, struct frame_cache *frames)
{
    struct delivery *place = ring_push(&s->window);
    enum frame_result sent = FRAME_NO_MEMORY;
    if (place) {
        *place = d;
        s->window_open++;
        sent = send_delivery(s, place, id_after(s->head_id, s->window.count - 1), false, frames);
    }
    if (sent == FRAME_OK)
        return;
    broker_count_drop(s->broker,
                      sent == FRAME_TOO_LARGE ? BROKER_DROP_TOO_LARGE : BROKER_DROP_INTERNAL);
    if (place)
        window_close(s, place);
    else
        delivery_drop(&d);
}

static void enqueue(struct session *s, struct delivery d)
{
    const struct broker_options *o = &s->broker->options;
    size_t size = sl_msg_size(d.msg);
    struct delivery *place = NULL;
    if (s->queue.count < o->max_queued_messages && s->queued_bytes + size <= o->max_queued_bytes)
        place = ring_push(&s->queue);
    if (!place) {
        broker_count_drop(s->broker, BROKER_DROP_QUEUE_FULL);
        delivery_drop(&d);
        return;
    }
    *place = d;
    s->queued_bytes += size;
    s->broker->stats.queued++;
}

void session_deliver(struct session *s, struct sl_msg *m, uint8_t qos, bool retain,
                     struct subids *ids, struct frame_cache *frames)
{
    if (qos == 0) {
        /* Without a connection QoS 0 is not kept: the standard leaves that to the server. */
        if (s->client) {
            struct frame_request r = { .msg = m, .ids = ids, .retain = retain };
            client_send_qos0(s->client, &r, frames);
        }
        return;
    }
    struct delivery d = {
        .msg = sl_msg_ref(m), .ids = subids_ref(ids), .qos = qos, .retain = retain
    };
    if (s->queue.count == 0 && window_has_room(s))
        send_in_window(s, d, frames);
    else
        enqueue(s, d);
}

void session_pump(struct session *s)
{
    while (s->queue.count > 0 && window_has_room(s)) {
        struct delivery d = *ring_at(&s->queue, 0);
        ring_pop(&s->queue);
        s->queued_bytes -= sl_msg_size(d.msg);
        s->broker->stats.queued--;
        if (sl_msg_expired(d.msg, broker_now(s->broker))) {
            broker_count_drop(s->broker, BROKER_DROP_EXPIRED);
            delivery_drop(&d);
            continue;
        }
        send_in_window(s, d, NULL);
    }
}

/* A new connection begins with an empty receive window [MQTT-4.9.0-1]: what an earlier one left
 * unreleased, its client may have forgotten. */
static void qos2_close_window(struct session *s)
{
    struct qos2_in *q;
    for (uint32_t i = 0; (q = sl_map_next(&s->qos2, &i));)
        q->open = false;
    s->qos2_open = 0;
}

void session_resume(struct session *s)
{
    qos2_close_window(s);
    for (uint32_t i = 0; i < s->window.count; i++) {
        struct delivery *d = ring_at(&s->window, i);
        uint16_t id = id_after(s->head_id, i);
        if (d->msg && d->released)
            client_send_ack(s->client, MQTT_PUBREL, id, MQTT_RC_SUCCESS);
        else if (d->msg)
            (void)send_delivery(s, d, id, true,
                                NULL); /* cannot be sent: stays, for the next connection */
    }
    session_pump(s);
}

/* ---- the client's acknowledgements ---- */

bool session_on_puback(struct session *s, uint16_t packet_id)
{
    struct delivery *d = window_find(s, packet_id);
    if (!d || d->qos != 1)
        return false;
    window_close(s, d);
    session_pump(s);
    return true;
}

bool session_on_pubrec(struct session *s, uint16_t packet_id, bool failed)
{
    struct delivery *d = window_find(s, packet_id);
    if (!d || d->qos != 2)
        return false;
    if (failed) { /* [MQTT-4.3.3-4]: the packet id is free again */
        window_close(s, d);
        session_pump(s);
    } else {
        d->released = true; /* from here on only PUBREL is sent again */
    }
    return true;
}

bool session_on_pubcomp(struct session *s, uint16_t packet_id)
{
    struct delivery *d = window_find(s, packet_id);
    if (!d || d->qos != 2 || !d->released)
        return false;
    window_close(s, d);
    session_pump(s);
    return true;
}

/* ---- QoS 2 in ---- */

struct qos2_in *session_qos2_find(struct session *s, uint16_t packet_id)
{
    return sl_map_get(&s->qos2, qos2_key, sl_bytes(&packet_id, sizeof packet_id));
}

bool session_qos2_add(struct session *s, uint16_t packet_id)
{
    struct qos2_in *q = calloc(1, sizeof *q);
    if (!q)
        return false;
    q->packet_id = packet_id;
    if (sl_map_put(&s->qos2, qos2_key, q))
        return true;
    free(q);
    return false;
}

void session_qos2_received(struct session *s, uint16_t packet_id)
{
    struct qos2_in *q = session_qos2_find(s, packet_id);
    if (!q)
        return;
    q->received = true;
    s->qos2_open += !q->open;
    q->open = true;
}

void session_qos2_remove(struct session *s, uint16_t packet_id)
{
    struct qos2_in *q = session_qos2_find(s, packet_id);
    if (!q)
        return;
    s->qos2_open -= q->open;
    sl_map_remove(&s->qos2, qos2_key, q);
    ack_unref(q->ack);
    free(q);
}
