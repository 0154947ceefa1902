/* session.c - deliveries of a session: window, queue, acknowledgements. */
#include "session_internal.h"

#include "access.h"
#include "broker_internal.h"
#include "client.h"
#include "durable.h"
#include "owed.h"

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
    s->next_id = 1;
    s->id_len = (uint16_t)client_id.len; /* a UTF-8 string of MQTT: at most 65,535 */
    if (client_id.len > 0)
        memcpy(s->client_id, client_id.ptr, client_id.len);
    return s;
}

void session_free(struct session *s)
{
    assert(!s->client && s->sub_count == 0 && !s->durable);
    for (uint32_t i = 0; i < s->queue.count; i++)
        session_forget_queued(s, ring_at(&s->queue, i));
    ring_free(&s->window);
    ring_free(&s->queue);
    owed_free(s);
    acks_orphan(s);
    session_qos2_free(s);
    sl_msg_unref(s->will);
    acl_view_free(s->access);
    free(s);
}

/* ---- the window ---- */

/* Takes the next number, and references of its own. */
static struct delivery new_delivery(struct session *s, const struct delivery *wanted)
{
    struct delivery d = *wanted;
    sl_msg_ref(d.msg);
    subids_ref(d.ids);
    d.sequence = (uint32_t)s->next_sequence++;
    d.packet_id = s->next_id;
    s->next_id = (uint16_t)(s->next_id % 65535 + 1);
    return d;
}

/* How many numbers a packet id lies behind the window's head, if it is there. */
static uint32_t steps_from_head(const struct session *s, uint16_t packet_id)
{
    return (packet_id + 65535u - ring_at(&s->window, 0)->packet_id) % 65535;
}

/* The place of the open delivery with this packet id; false when there is none. Numbers may be
 * missing (what was dropped in the queue), so a place is at most as far from the head as its number
 * is, and mostly just there. */
bool session_window_find(const struct session *s, uint16_t packet_id, uint32_t *ret_at)
{
    if (packet_id == 0 || s->window.count == 0)
        return false;
    uint32_t steps = steps_from_head(s, packet_id), low = 0;
    uint32_t high = steps < s->window.count ? steps + 1 : s->window.count;
    for (uint32_t at = high - 1; low < high; at = low + (high - low) / 2) {
        const struct delivery *d = ring_at(&s->window, at);
        uint32_t there = steps_from_head(s, d->packet_id);
        *ret_at = at;
        if (there == steps)
            return d->msg != NULL;
        if (there < steps)
            low = at + 1;
        else
            high = at;
    }
    return false;
}

void session_window_close(struct session *s, uint32_t at)
{
    persist_leave(s, ring_at(&s->window, at));
    delivery_drop(ring_at(&s->window, at));
    s->window_open--;
    if (at < s->window_sent)
        s->in_flight--;
    while (s->window.count > 0 && !ring_at(&s->window, 0)->msg) {
        ring_pop(&s->window);
        if (s->window_sent > 0)
            s->window_sent--;
    }
}

static uint32_t window_limit(const struct session *s)
{
    uint32_t limit = s->broker->options.max_inflight;
    return s->client->receive_max < limit ? s->client->receive_max : limit;
}

/* Whether a PUBLISH of QoS 1 or 2 may go out now [MQTT-3.3.4-9]. */
static bool may_send(const struct session *s)
{
    return s->client && s->in_flight < window_limit(s) && client_make_room(s->client);
}

/* The same for one that is not in the window yet, whose number this is. The window must not hold
 * two with the same packet id. */
static bool window_has_place(const struct session *s, uint32_t sequence)
{
    return s->window_sent == s->window.count && s->window.count < 2 * window_limit(s) &&
           (s->window.count == 0 || sequence - ring_at(&s->window, 0)->sequence < 65535);
}

static bool window_has_room(const struct session *s, uint32_t sequence)
{
    return may_send(s) && window_has_place(s, sequence);
}

static enum frame_result send_delivery(struct session *s, const struct delivery *d, bool dup,
                                       struct frame_cache *frames)
{
    struct frame_request r = {
        .msg = d->msg,
        .ids = d->ids,
        .qos = d->qos,
        .retain = d->retain,
        .dup = dup,
        .packet_id = d->packet_id,
    };
    return client_send_publish(s->client, &r, frames);
}

/* Takes over d's references. NULL when it could not be sent and is gone. */
static struct delivery *send_in_window(struct session *s, struct delivery d,
                                       struct frame_cache *frames)
{
    struct delivery *place = ring_push(&s->window);
    enum frame_result sent = FRAME_NO_MEMORY;
    if (place) {
        *place = d;
        s->window_open++;
        s->in_flight++;
        s->window_sent = s->window.count;
        if (d.released) { /* before a restart */
            client_send_ack(s->client, MQTT_PUBREL, d.packet_id, MQTT_RC_SUCCESS);
            return place;
        }
        sent = send_delivery(s, place, d.again, frames);
    }
    if (sent == FRAME_OK)
        return place;
    broker_count_drop(s->broker,
                      sent == FRAME_TOO_LARGE ? BROKER_DROP_TOO_LARGE : BROKER_DROP_INTERNAL);
    if (place) {
        session_window_close(s, s->window.count - 1);
    } else {
        persist_leave(s, &d);
        delivery_drop(&d);
    }
    return NULL;
}

/* A packet id that the client may know from before a restart does not go unused: QoS 2 is brought
 * to its end. */
static bool may_drop(const struct delivery *d)
{
    return !d->again || d->qos < 2;
}

/* Drops what has expired while it waited; at most once a second, since it looks at all of it. */
static void purge_expired(struct session *s)
{
    int64_t now = broker_now(s->broker);
    uint32_t kept = 0, count = s->queue.count;
    if (now < s->purge_due_ms)
        return;
    s->purge_due_ms = now + 1000;
    for (uint32_t i = 0; i < count; i++) {
        struct delivery *d = ring_at(&s->queue, i);
        if (may_drop(d) && sl_msg_expired(d->msg, now)) {
            broker_count_drop(s->broker, BROKER_DROP_EXPIRED);
            session_forget_queued(s, d);
            persist_leave(s, d);
            delivery_drop(d);
        } else {
            *ring_at(&s->queue, kept++) = *d;
        }
    }
    s->queue.count = kept;
    if (kept == 0)
        ring_free(&s->queue);
}

static bool queue_has_room(const struct session *s, size_t size)
{
    const struct broker_options *o = &s->broker->options;
    return s->queue.count < o->max_queued_messages && s->queued_bytes + size <= o->max_queued_bytes;
}

/* NULL when there is no room and it is gone. */
static struct delivery *enqueue(struct session *s, struct delivery d)
{
    size_t size = sl_msg_size(d.msg);
    if (!queue_has_room(s, size))
        purge_expired(s);
    bool room = queue_has_room(s, size), full = broker_is_full(s->broker);
    struct delivery *place = room && !full ? ring_push(&s->queue) : NULL;
    if (!place) {
        broker_count_drop(s->broker, room && full ? BROKER_DROP_TOTAL : BROKER_DROP_QUEUE_FULL);
        delivery_drop(&d);
        return NULL;
    }
    *place = d;
    session_note_queued(s, place);
    return place;
}

void session_deliver(struct session *s, const struct delivery *wanted, struct frame_cache *frames)
{
    if (wanted->qos == 0) {
        /* Without a connection QoS 0 is not kept: the standard leaves that to the server. */
        if (s->client) {
            struct frame_request r = { .msg = wanted->msg,
                                       .ids = wanted->ids,
                                       .retain = wanted->retain };
            client_send_qos0(s->client, &r, frames);
        }
        return;
    }
    if (s->durable && persist_refuses(s, wanted->msg, wanted->qos))
        return;
    struct delivery d = new_delivery(s, wanted);
    d.unsafe = persist_commits_first(s, d.qos);
    bool now = s->queue.count == 0 && !d.unsafe && window_has_room(s, d.sequence);
    struct delivery *place = now ? send_in_window(s, d, frames) : enqueue(s, d);
    if (place && s->durable)
        persist_placed(s, place);
}

/* What has to be committed before it is sent waits in the queue for that: some of them go into one
 * commit. */
static bool may_offer(const struct session *s, const struct delivery *d)
{
    enum { PER_COMMIT = 256 };
    if (!s->client)
        return false;
    if (d->qos == 0)
        return client_make_room(s->client);
    if (persist_commits_first(s, d->qos))
        return s->queue.count < PER_COMMIT && queue_has_room(s, sl_msg_size(d->msg)) &&
               !broker_is_full(s->broker);
    return s->queue.count == 0 && window_has_room(s, (uint32_t)s->next_sequence);
}

bool session_offer(struct session *s, const struct delivery *d)
{
    bool room = may_offer(s, d);
    if (room)
        session_deliver(s, d, NULL);
    return room;
}

enum session_room session_room(const struct session *s, uint8_t qos, size_t size)
{
    if (!s->client)
        return qos > 0 && queue_has_room(s, size) ? SESSION_AWAY : SESSION_NEVER;
    bool room = client_has_room(s->client);
    if (qos == 0)
        return room ? SESSION_NOW : SESSION_FULL;
    if (room && s->queue.count == 0 && s->in_flight < window_limit(s) &&
        window_has_place(s, (uint32_t)s->next_sequence))
        return SESSION_NOW;
    return queue_has_room(s, size) ? SESSION_WAITS : SESSION_FULL;
}

/* Sends the window's next place again; false when it has to wait. */
static bool resend_next(struct session *s)
{
    uint32_t at = s->window_sent;
    const struct delivery *d = ring_at(&s->window, at);
    if (d->msg && d->released) { /* not a PUBLISH: no window holds it back */
        if (!d->unsafe)          /* else it comes with the commit */
            client_send_ack(s->client, MQTT_PUBREL, d->packet_id, MQTT_RC_SUCCESS);
    } else if (d->msg) {
        if (!may_send(s))
            return false;
        switch (send_delivery(s, d, true, NULL)) {
        case FRAME_OK: break;
        case FRAME_NO_MEMORY: return false; /* tried again next turn */
        case FRAME_TOO_LARGE: /* for this connection: as if it were done [MQTT-3.1.2-25] */
            broker_count_drop(s->broker, BROKER_DROP_TOO_LARGE);
            session_window_close(s, at);
            return true;
        }
    }
    s->in_flight += d->msg != NULL;
    s->window_sent++;
    return true;
}

static bool queue_may_send(const struct session *s)
{
    const struct delivery *d = s->queue.count > 0 ? ring_at(&s->queue, 0) : NULL;
    return d && !d->unsafe && window_has_room(s, d->sequence);
}

/* Whether the queue's head, which was taken from it, may be sent. What the client may not receive
 * any more but may have begun with before a restart ends without its message: PUBREL alone frees
 * the packet id on both sides. */
static bool still_wanted(struct session *s, struct delivery *d)
{
    if (d->released)
        return true;
    if (!access_may_receive(s, sl_msg_topic(d->msg))) {
        broker_count_drop(s->broker, BROKER_DROP_DENIED);
        d->released = !may_drop(d);
        return d->released;
    }
    if (!may_drop(d) || !sl_msg_expired(d->msg, broker_now(s->broker)))
        return true;
    broker_count_drop(s->broker, BROKER_DROP_EXPIRED);
    return false;
}

void session_pump(struct session *s)
{
    while (s->client && s->window_sent < s->window.count)
        if (!resend_next(s))
            return;
    while (queue_may_send(s)) {
        struct delivery d = *ring_at(&s->queue, 0);
        ring_pop(&s->queue);
        session_forget_queued(s, &d);
        if (!still_wanted(s, &d)) {
            persist_leave(s, &d);
            delivery_drop(&d);
            continue;
        }
        (void)send_in_window(s, d, NULL); /* what cannot be sent is counted there */
    }
    if (s->owed)
        owed_pump(s);
}

void session_resume(struct session *s)
{
    session_qos2_close_window(s);
    s->window_sent = s->in_flight = 0;
    session_pump(s);
}

/* ---- the client's acknowledgements ---- */

static bool close_acknowledged(struct session *s, uint32_t at)
{
    session_window_close(s, at);
    session_pump(s);
    return true;
}

bool session_on_puback(struct session *s, uint16_t packet_id)
{
    uint32_t at;
    if (!session_window_find(s, packet_id, &at) || ring_at(&s->window, at)->qos != 1)
        return false;
    return close_acknowledged(s, at);
}

bool session_on_pubrec(struct session *s, uint16_t packet_id, bool failed, bool *ret_wait)
{
    uint32_t at;
    *ret_wait = false;
    if (!session_window_find(s, packet_id, &at) || ring_at(&s->window, at)->qos != 2)
        return false;
    if (failed) /* [MQTT-4.3.3-4]: the packet id is free again */
        return close_acknowledged(s, at);
    ring_at(&s->window, at)->released = true; /* from here on only PUBREL is sent again */
    *ret_wait = persist_released(s, ring_at(&s->window, at));
    return true;
}

bool session_on_pubcomp(struct session *s, uint16_t packet_id)
{
    uint32_t at;
    if (!session_window_find(s, packet_id, &at) || !ring_at(&s->window, at)->released ||
        ring_at(&s->window, at)->unsafe)
        return false;
    return close_acknowledged(s, at);
}
