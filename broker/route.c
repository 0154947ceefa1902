/* route.c - from one publish to everybody it concerns: retained messages, taps, sessions. No I/O.
 */
#include "broker_internal.h"

#include "acks.h"
#include "durable.h"
#include "session.h"
#include "share.h"
#include "sub_list.h"

#include "base/log.h"
#include "base/topic.h"

#include <stdlib.h>

enum { ROUTE_PER_TURN = 4096, FULL_TOLD_MS = 3600 * 1000, TOPIC_SHOWN_MAX = 100 };

static void deliver(struct broker *b, const struct topic_entry *e, struct sl_msg *m)
{
    frame_cache_begin(&b->frames, m);
    for (uint32_t i = 0; i < e->match_count; i++) {
        const struct match *t = &e->matches[i];
        bool own = t->session->origin == m->origin; /* No Local [MQTT-3.8.3-3] */
        uint8_t granted = own ? t->qos_own : t->qos;
        if (granted == SUBS_NO_DELIVERY)
            continue;
        struct delivery d = {
            .msg = m,
            .ids = own ? t->ids_own : t->ids,
            .qos = granted < m->qos ? granted : m->qos,
            .retain = m->retain && t->retain_as_published,
        };
        session_deliver(t->session, &d, &b->frames);
    }
    for (uint32_t i = 0; i < e->group_count; i++)
        share_deliver(b, e->groups[i], m, &b->frames);
    b->frames.msg = NULL;
}

static void tell_full(struct broker *b, const struct sl_msg *m)
{
    int64_t now = broker_now(b);
    broker_count_drop(b, BROKER_DROP_RETAINED);
    if (b->full_told_ms != 0 && now - b->full_told_ms < FULL_TOLD_MS)
        return;
    b->full_told_ms = now > 0 ? now : 1;
    struct sl_slice topic = sl_msg_topic(m);
    if (topic.len > TOPIC_SHOWN_MAX)
        topic.len = TOPIC_SHOWN_MAX;
    LOG_WARN("broker",
             "broker.max_retained_bytes is reached: the message on \"%.*s\" is delivered, but not "
             "retained (%llu such so far)",
             SL_FMT(topic), (unsigned long long)b->stats.dropped[BROKER_DROP_RETAINED]);
}

/* The gateway's own are few, and always fit. */
static void retain(struct broker *b, struct sl_msg *m, struct broker_receipt *receipt)
{
    uint64_t max = m->origin == 0 ? UINT64_MAX : b->options.max_retained_bytes;
    switch (retained_set(&b->retained, m, max)) {
    case RETAINED_DONE: persist_retained(b, m, receipt); break;
    case RETAINED_FULL:
        persist_retained_gone(b, m);
        tell_full(b, m);
        break;
    case RETAINED_NO_MEMORY: broker_receipt_refuse(receipt, MQTT_RC_QUOTA_EXCEEDED); break;
    }
}

static void hand_out(struct broker *b, const struct topic_entry *e, struct sl_msg *m,
                     struct broker_receipt *receipt)
{
    if (m->retain && b->options.retain)
        retain(b, m, receipt);
    for (uint32_t i = 0; i < e->tap_count; i++)
        e->taps[i]->fn(e->taps[i]->ctx, m, receipt);
    b->receipt = receipt;
    deliver(b, e, m);
    b->receipt = NULL;
}

bool broker_route(struct broker *b, const struct sl_msg_parts *parts,
                  struct broker_receipt *receipt)
{
    struct topic_entry *e = subs_lookup(&b->subs, parts->topic);
    if (!e) {
        broker_receipt_refuse(receipt, MQTT_RC_QUOTA_EXCEEDED);
        broker_count_drop(b, BROKER_DROP_INTERNAL);
        return false;
    }
    topic_entry_observe(e, parts->payload, parts->wall_ms);
    bool wanted = e->match_count > 0 || e->tap_count > 0 || e->group_count > 0;
    if (!wanted && !parts->retain)
        return false;
    struct sl_msg *m = sl_msg_new(parts);
    if (!m) {
        broker_receipt_refuse(receipt, MQTT_RC_QUOTA_EXCEEDED);
        broker_count_drop(b, BROKER_DROP_INTERNAL);
        return true;
    }
    hand_out(b, e, m, receipt);
    sl_msg_unref(m);
    return wanted;
}

void broker_route_to_taps(struct broker *b, const struct sl_msg_parts *parts,
                          struct broker_receipt *receipt)
{
    struct topic_entry *e = subs_lookup(&b->subs, parts->topic);
    struct sl_msg *m = e && e->tap_count > 0 ? sl_msg_new(parts) : NULL;
    if (!e || (e->tap_count > 0 && !m)) {
        broker_receipt_refuse(receipt, MQTT_RC_QUOTA_EXCEEDED);
        return;
    }
    for (uint32_t i = 0; i < e->tap_count; i++)
        e->taps[i]->fn(e->taps[i]->ctx, m, receipt);
    sl_msg_unref(m);
}

/* ---- published from inside ---- */

/* Room for one more at the end of the queue. */
static bool internal_room(struct broker *b)
{
    if (b->internal_count < b->internal_cap)
        return true;
    uint32_t cap = b->internal_cap ? b->internal_cap * 2 : 64;
    struct internal_publish *larger = malloc(cap * sizeof *larger);
    if (!larger)
        return false;
    for (uint32_t i = 0; i < b->internal_count; i++)
        larger[i] = b->internal[(b->internal_head + i) & (b->internal_cap - 1)];
    free(b->internal);
    b->internal = larger;
    b->internal_cap = cap;
    b->internal_head = 0;
    return true;
}

static struct internal_publish internal_take(struct broker *b)
{
    struct internal_publish p = b->internal[b->internal_head];
    b->internal_head = (b->internal_head + 1) & (b->internal_cap - 1);
    b->internal_count--;
    b->internal_bytes -= sl_msg_size(p.msg);
    return p;
}

static enum sl_code internal_check(struct broker *b, const struct sl_msg *m)
{
    if (!sl_topic_valid(sl_msg_topic(m)) || !trie_depth_ok(sl_msg_topic(m)))
        return SL_INVALID;
    bool full = b->internal_count == BROKER_INTERNAL_QUEUE_MAX ||
                b->internal_bytes + sl_msg_size(m) > BROKER_INTERNAL_BYTES_MAX;
    return full || !internal_room(b) ? SL_LIMIT : SL_OK;
}

/* There is room. */
static void internal_put(struct broker *b, struct sl_msg *m, struct broker_ack *ack)
{
    b->internal[(b->internal_head + b->internal_count++) & (b->internal_cap - 1)] =
        (struct internal_publish){ sl_msg_ref(m), ack };
    b->internal_bytes += sl_msg_size(m);
    if (b->internal_count > BROKER_INTERNAL_QUEUE_MAX / 2 ||
        b->internal_bytes > BROKER_INTERNAL_BYTES_MAX / 2)
        broker_pause_publisher(b);
}

enum sl_code broker_publish_for(struct broker *b, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct broker_ack *ack = NULL;
    enum sl_code rc = internal_check(b, m);
    if (rc == SL_OK && receipt && !(ack = broker_ack_hold(receipt)))
        rc = SL_LIMIT;
    if (rc == SL_LIMIT)
        broker_receipt_refuse(receipt, MQTT_RC_QUOTA_EXCEEDED);
    if (rc == SL_OK)
        internal_put(b, m, ack);
    return rc;
}

enum sl_code broker_publish_safe(struct broker *b, struct sl_msg *m, broker_taken_fn *safe,
                                 void *ctx, uint64_t token)
{
    enum sl_code rc = internal_check(b, m);
    struct broker_ack *ack = rc == SL_OK ? calloc(1, sizeof *ack) : NULL;
    if (!ack)
        return rc == SL_OK ? SL_LIMIT : rc;
    ack->safe = safe;
    ack->ctx = ctx;
    ack->token = token;
    ack->holds = ack->refs = 1;
    internal_put(b, m, ack);
    return SL_OK;
}

bool broker_publish(struct broker *b, struct sl_msg *m)
{
    return broker_publish_for(b, m, NULL) == SL_OK;
}

/* With an acknowledgement that is held for it, whoever takes the message may hold it further. What
 * comes up only while the broker closes has found its rules gone: not safe, not acknowledged. */
static void route_one_internal(struct broker *b, const struct internal_publish *p)
{
    struct broker_receipt receipt = { .ack = p->ack,
                                      .reason = b->closing ? MQTT_RC_SHUTTING_DOWN : 0 };
    bool stale = sl_msg_expired(p->msg, broker_now(b)); /* it has waited for its turn */
    struct topic_entry *e = stale ? NULL : subs_lookup(&b->subs, sl_msg_topic(p->msg));
    if (stale) {
        broker_count_drop(b, BROKER_DROP_EXPIRED);
    } else if (e) {
        topic_entry_observe(e, sl_msg_payload(p->msg), p->msg->wall_ms);
        hand_out(b, e, p->msg, p->ack ? &receipt : NULL);
    } else {
        broker_receipt_refuse(&receipt, MQTT_RC_QUOTA_EXCEEDED);
        broker_count_drop(b, BROKER_DROP_INTERNAL);
    }
    if (p->ack)
        broker_ack_release(p->ack, receipt.reason);
    sl_msg_unref(p->msg);
}

void broker_route_internal(struct broker *b)
{
    for (unsigned n = 0; b->internal_count > 0 && n < ROUTE_PER_TURN; n++) {
        struct internal_publish p = internal_take(b);
        route_one_internal(b, &p);
    }
}

void broker_drop_internal(struct broker *b)
{
    while (b->internal_count > 0) {
        struct internal_publish p = internal_take(b);
        ack_unref(p.ack); /* its session is gone: there is nobody to tell */
        sl_msg_unref(p.msg);
    }
    free(b->internal);
}

/* ---- taps ---- */

struct broker_tap *broker_tap(struct broker *b, struct sl_slice filter, broker_tap_fn *fn,
                              void *ctx)
{
    struct broker_tap *t = sl_filter_valid(filter) ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->fn = fn;
    t->ctx = ctx;
    if (!subs_add_tap(&b->subs, t, filter)) {
        free(t);
        return NULL;
    }
    return t;
}

void broker_untap(struct broker *b, struct broker_tap *t)
{
    if (!t)
        return;
    subs_remove_tap(&b->subs, t);
    free(t);
}
