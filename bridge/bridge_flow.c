/* bridge_flow.c - messages through the bridge: from the outbox to the cloud, and down. */
#include "bridge_internal.h"

#include "element.h"

#include "base/log.h"
#include "bridge/metering.h"

#include <string.h>

/* ---- up ---- */

static void on_acked(void *ctx, struct outbox_item *item)
{
    struct bridge *b = ctx;
    for (struct outbox_item *next; item; item = next) {
        next = element_next(item);
        b->acknowledged++;
        outbox_ack(b->options.outbox, item);
    }
}

/* A topic that is refused is refused for all; of a content that is refused one element may be to
 * blame, so the outputs of a batch are then sent one by one. */
static void on_dead(void *ctx, struct outbox_item *item, const char *reason, bool content)
{
    struct bridge *b = ctx;
    if (content && element_next(item)) {
        batches_split(&b->batches, item);
        return;
    }
    for (struct outbox_item *next; item; item = next) {
        next = element_next(item);
        b->dead++;
        if (b->callbacks.on_dead)
            b->callbacks.on_dead(b->callbacks.ctx, item->msg, reason);
        outbox_dead(b->options.outbox, item, reason);
    }
}

static void publish(struct bridge *b, struct outbox_item *first, int64_t now)
{
    b->batches_sent += first->msg->batch != 0;
    for (const struct outbox_item *item = first; item; item = element_next(item)) {
        b->published++;
        b->batched += first->msg->batch != 0;
    }
    client_publish(b->client, first, now);
}

/* take: what the outbox holds goes as well, not only what was taken from it already. */
static void send_what_may(struct bridge *b, bool take)
{
    int64_t now = bridge_now(b);
    while (client_room_at(b->client, now) <= now) {
        struct outbox_item *item = batches_next(&b->batches, now);
        if (item) {
            publish(b, item, now);
            continue;
        }
        item = take && !b->dry ? outbox_take(b->options.outbox) : NULL;
        if (!item) {
            b->dry = b->dry || take;
            return;
        }
        batches_put(&b->batches, item, now);
    }
}

/* The link takes one piece at a time; while it has one, bytes gather in the client, and above
 * CLIENT_OUTPUT_HIGH nothing more is taken from the outbox. */
void bridge_flush(struct bridge *b)
{
    struct sl_buf *out = client_output(b->client);
    if (!b->link || b->writing || out->len == 0)
        return;
    struct sl_err err = { 0 };
    b->writing = true;
    /* A failed session ends by itself: the link reports it from the loop. */
    if (link_send(b->link, sl_buf_slice(out), &err) != SL_OK)
        LOG_DEBUG("bridge", "send: %s", err.text);
    client_handed(b->client);
}

void bridge_pump(struct bridge *b)
{
    outbox_tell_time(b->options.outbox);
    if (b->state == BRIDGE_ONLINE || b->state == BRIDGE_DRAINING)
        send_what_may(b, b->state == BRIDGE_ONLINE);
    bridge_flush(b);
}

void bridge_on_outbox_ready(void *ctx)
{
    struct bridge *b = ctx;
    b->dry = false;
    bridge_settle(b);
}

/* ---- down ---- */

const char *bridge_drop_name(enum bridge_drop why)
{
    static const char *const names[] = {
        [BRIDGE_DROP_EXPIRED] = "expired",
        [BRIDGE_DROP_NO_SUBSCRIPTION] = "no_subscription",
        [BRIDGE_DROP_INVALID] = "invalid",
        [BRIDGE_DROP_NO_ROOM] = "no_room",
    };
    return names[why];
}

static enum client_take drop(struct bridge *b, enum bridge_drop why, enum client_take answer)
{
    b->dropped[why]++;
    return answer;
}

/* Its topic is in b->topic. */
static struct sl_msg *make_message(struct bridge *b, const struct mqtt_publish *p)
{
    bool expires = mqtt_has(&p->props, MQTT_P_MESSAGE_EXPIRY);
    sl_buf_reset(&b->props);
    mqtt_put_forwardable(&b->props, p->props.raw);
    struct sl_msg_parts parts = {
        .topic = sl_buf_slice(&b->topic),
        .props = sl_buf_slice(&b->props),
        .payload = p->payload,
        .expiry_s = expires ? p->props.message_expiry : SL_MSG_NO_EXPIRY,
        .qos = p->qos,
        .retain = p->retain,
        .mono_ms = bridge_now(b),
        .wall_ms = sl_wall_ms(b->options.clock),
        .origin = b->options.origin,
    };
    return b->props.failed ? NULL : sl_msg_new(&parts);
}

static enum client_take hand_over(struct bridge *b, struct sl_msg *m, uint64_t token)
{
    switch (b->callbacks.on_message(b->callbacks.ctx, m, token)) {
    case BRIDGE_TAKEN: break;
    case BRIDGE_TAKES_LATER: return CLIENT_TAKES_LATER;
    case BRIDGE_INVALID: return drop(b, BRIDGE_DROP_INVALID, CLIENT_TAKEN);
    case BRIDGE_NO_ROOM: return drop(b, BRIDGE_DROP_NO_ROOM, CLIENT_REFUSES);
    }
    return CLIENT_TAKEN;
}

/* A stale command is not replayed: what the server hands out when its time is over is dropped. */
static enum client_take on_message(void *ctx, const struct mqtt_publish *p, uint64_t token)
{
    struct bridge *b = ctx;
    b->metered_in +=
        bridge_metered(p->topic.len + p->payload.len + p->props.raw.len) + (p->qos > 0);
    if (mqtt_has(&p->props, MQTT_P_MESSAGE_EXPIRY) && p->props.message_expiry == 0)
        return drop(b, BRIDGE_DROP_EXPIRED, CLIENT_TAKEN);
    sl_buf_reset(&b->topic);
    if (!topicmap_apply(&b->topics, p->topic, &b->topic))
        return b->topic.failed ? CLIENT_NO_MEMORY
                               : drop(b, BRIDGE_DROP_NO_SUBSCRIPTION, CLIENT_TAKEN);
    struct sl_msg *m = make_message(b, p);
    if (!m)
        return CLIENT_NO_MEMORY;
    b->received++;
    enum client_take take = hand_over(b, m, token);
    sl_msg_unref(m);
    return take;
}

void bridge_message_done(struct bridge *b, uint64_t token, uint8_t reason)
{
    b->dropped[BRIDGE_DROP_NO_ROOM] += reason >= 0x80;
    client_message_done(b->client, token, reason, bridge_now(b));
    bridge_settle(b);
}

static void on_subscription_refused(void *ctx, const char *filter, uint8_t reason)
{
    struct bridge *b = ctx;
    explain_subscription(&b->refused_subscription, &b->peer, filter, reason);
}

struct client_events bridge_client_events(struct bridge *b)
{
    return (struct client_events){ .ctx = b,
                                   .acked = on_acked,
                                   .dead = on_dead,
                                   .message = on_message,
                                   .subscription_refused = on_subscription_refused };
}
