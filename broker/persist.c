/* persist.c - which sessions are durable, and what of theirs is stored when. */
#include "persist_internal.h"

#include "access.h"
#include "client.h"

#include <assert.h>
#include <stdlib.h>

enum { REMOVE_AT_LEAST = 1024, HELD_BYTES_MAX = 64 * 1024 };

enum sl_code persist_open(struct broker *b, struct sl_err *err)
{
    struct persist *p = calloc(1, sizeof *p);
    if (!p)
        return sl_fail(err, SL_NOMEM, "broker: out of memory");
    p->broker = b;
    p->store = *b->options.persistence;
    p->parked.persist = p;
    (void)uv_timer_init(b->options.loop, &p->spill); /* only fills in a struct */
    p->spill.data = p;
    b->persist = p;
    return SL_OK;
}

static void drop_lagging(struct persist *p, bool remove)
{
    while (p->lagging) {
        struct durable *d = p->lagging;
        p->lagging = d->next_lagging;
        d->lagging = false;
        if (d->session && remove)
            persist_remove_done(p, d);
        durable_unref(d);
    }
}

void persist_pause(struct broker *b)
{
    if (b->persist)
        persist_spill(b->persist, true);
}

static void on_spill_closed(uv_handle_t *h)
{
    struct persist *p = h->data;
    broker_release(p->broker);
}

void persist_close(struct broker *b)
{
    if (!b->persist)
        return;
    persist_tick(b);
    b->persist->closing = true;
    b->holds++;
    uv_close((uv_handle_t *)&b->persist->spill, on_spill_closed);
}

void persist_free(struct broker *b)
{
    struct persist *p = b->persist;
    if (!p)
        return;
    drop_lagging(p, false);
    persist_drop(p);
    persist_wait_close(p);
    sl_buf_free(&p->scratch);
    sl_map_free(&p->by_number);
    free(p);
    b->persist = NULL;
}

void persist_turn(struct broker *b)
{
    struct persist *p = b->persist;
    if (!p || !p->gathered)
        return;
    drop_lagging(p, true); /* there is a commit anyway: less to send again after a crash */
    persist_commit(p);
}

void persist_tick(struct broker *b)
{
    if (b->persist)
        drop_lagging(b->persist, true);
}

void broker_get_persist_stats(const struct broker *b, struct broker_persist_stats *ret)
{
    *ret = (struct broker_persist_stats){ 0 };
    if (!b->persist)
        return;
    *ret = b->persist->stats;
    ret->down = b->persist->down;
}

/* ---- sessions ---- */

/* Without memory it is an ordinary session that ends with the process. */
static void begin(struct persist *p, struct session *s)
{
    struct durable *d = calloc(1, sizeof *d);
    if (!d)
        return;
    d->refs = 1;
    d->session = s;
    d->removed_end = d->stored_end = d->reserved = s->next_sequence;
    s->durable = d;
    p->stats.sessions++;
    persist_reserve_origin(p, s->origin);
}

struct sl_slice persist_user(const struct session *s)
{
    const char *user = s->durable->user;
    return user ? sl_str(user) : (struct sl_slice){ 0 };
}

/* False when memory is out. */
static bool note_user(struct session *s)
{
    struct sl_slice user = access_user(s->client);
    struct durable *d = s->durable;
    if (!user.ptr == !d->user && sl_slice_eq(user, persist_user(s)))
        return true;
    free(d->user);
    d->user = user.ptr ? sl_slice_dup(user) : NULL;
    return d->user || !user.ptr;
}

void persist_attach(struct session *s)
{
    struct persist *p = s->broker->persist;
    if (!p)
        return;
    if (s->expiry_s == 0) { /* from now on it ends with its connection */
        persist_end(s);
        return;
    }
    if (!s->durable)
        begin(p, s);
    if (!s->durable)
        return;
    if (!note_user(s)) { /* it must not be found by somebody else after a restart */
        persist_end(s);
        return;
    }
    s->durable->connection++;
    s->durable->held_bytes = 0;
    persist_put_session(p, s);
}

static void store_waiting(struct persist *p, struct session *s, struct delivery *d)
{
    if (!d->wait)
        return;
    struct broker_ack *ack = persist_wait_take(p, d->wait);
    d->wait = 0;
    persist_store_delivery(p, s, d, ack);
}

static void store_each(void *ctx, struct session *s, struct delivery *d)
{
    store_waiting(ctx, s, d);
}

void persist_detach(struct session *s)
{
    struct persist *p = s->broker->persist;
    if (!s->durable)
        return;
    session_visit(s, store_each, p);
    persist_put_session(p, s);
}

void persist_save(struct session *s)
{
    if (s->durable)
        persist_put_session(s->broker->persist, s);
}

/* Nobody waits for a place in a session that is gone, and no commit speaks of it any more: where
 * the session goes on with its connection, what has begun must not wait for one. */
static void release_each(void *ctx, struct session *s, struct delivery *d)
{
    struct persist *p = ctx;
    (void)s;
    d->unsafe = false;
    if (!d->wait)
        return;
    struct broker_ack *ack = persist_wait_take(p, d->wait);
    d->wait = 0;
    if (ack)
        persist_gather(p, (struct item){ .kind = ITEM_ACK, .ack = ack });
}

static void release_received(struct session *s)
{
    struct qos2_in *q;
    for (uint32_t i = 0; (q = sl_map_next(&s->qos2, &i));)
        q->stored = q->completing = false;
}

static void remove_all_of(struct persist *p, uint64_t number)
{
    static const enum broker_row kinds[] = { BROKER_ROW_RECEIVED, BROKER_ROW_DELIVERY,
                                             BROKER_ROW_SUBSCRIPTION };
    struct record_key from = record_key_session(number), to = record_key_session(number + 1);
    for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++)
        persist_remove_range(p, kinds[i], record_key_slice(&from), record_key_slice(&to));
    persist_remove(p, BROKER_ROW_SESSION, record_key_slice(&from));
}

void persist_end(struct session *s)
{
    struct persist *p = s->broker->persist;
    struct durable *d = s->durable;
    if (!d)
        return;
    session_visit(s, release_each, p);
    release_received(s);
    remove_all_of(p, s->origin);
    if (!p->closing) /* committed at once: after a crash it must not be there again */
        persist_gather(p, (struct item){ .kind = ITEM_ACK });
    p->stats.sessions--;
    p->stats.deliveries -= d->stored;
    d->session = NULL;
    s->durable = NULL;
    durable_unref(d);
}

void persist_subscribed(struct session *s, struct sl_slice filter, const struct subscription *sub)
{
    if (s->durable)
        persist_put_subscription(s->broker->persist, s, filter, sub);
}

void persist_unsubscribed(struct session *s, struct sl_slice filter)
{
    struct sl_buf key = { 0 };
    if (!s->durable)
        return;
    record_put_key_subscription(&key, s->origin, filter);
    if (!key.failed)
        persist_remove(s->broker->persist, BROKER_ROW_SUBSCRIPTION, sl_buf_slice(&key));
    sl_buf_free(&key);
}

void persist_hold_output(struct client *c, size_t start)
{
    struct session *s = c->session;
    struct sl_buf *out = &c->out.bytes;
    if (!s || !s->durable || s->broker->persist->down || out->failed || out->len <= start)
        return;
    size_t len = out->len - start;
    uint8_t *bytes = malloc(len);
    if (!bytes)
        return; /* said before it is safe rather than never */
    memcpy(bytes, out->ptr + start, len);
    out->len = start;
    persist_hold(c, (struct item){ .kind = ITEM_BYTES, .bytes = bytes, .sequence = (uint32_t)len });
}

void persist_hold(struct client *c, struct item item)
{
    struct durable *d = c->session->durable;
    item.durable = durable_ref(d);
    item.connection = d->connection;
    d->held_bytes += item.sequence + (uint32_t)sizeof item;
    if (d->held_bytes > HELD_BYTES_MAX)
        client_hold_input(c, HOLD_COMMIT);
    persist_gather(c->broker->persist, item);
}

/* ---- deliveries ---- */

static bool is_behind(const struct session *s)
{
    return !s->client || s->durable->stored > 0;
}

bool persist_refuses(struct session *s, const struct sl_msg *m, uint8_t qos)
{
    struct broker *b = s->broker;
    if (!s->durable || !b->persist->down || !b->receipt)
        return false;
    if (qos == 0 || (m->qos < 2 && !is_behind(s)))
        return false;
    b->persist->stats.refused++;
    broker_receipt_refuse(b->receipt, MQTT_RC_QUOTA_EXCEEDED);
    return true;
}

bool persist_commits_first(const struct session *s, uint8_t qos)
{
    return s->durable && qos == 2 && !s->broker->persist->down;
}

void persist_store_delivery(struct persist *p, struct session *s, struct delivery *d,
                            struct broker_ack *ack)
{
    struct item item = { .kind = ITEM_ACK, .ack = ack };
    persist_put_delivery(p, s, d);
    if (d->unsafe) {
        item.kind = ITEM_DELIVERY;
        item.durable = durable_ref(s->durable);
        item.sequence = d->sequence;
    }
    if (item.durable || ack)
        persist_gather(p, item);
}

void persist_placed(struct session *s, struct delivery *d)
{
    struct persist *p = s->broker->persist;
    struct broker_receipt *receipt = s->broker->receipt;
    if (p->down && !receipt && is_behind(s))
        return; /* kept in memory; stored when the store is back */
    struct broker_ack *ack = receipt ? broker_ack_hold(receipt) : NULL;
    if (d->msg->qos < 2 && !is_behind(s) && !s->broker->store_at_once)
        d->wait = persist_wait_add(p, s, d->sequence, ack);
    if (!d->wait)
        persist_store_delivery(p, s, d, ack);
}

void persist_done(struct session *s, struct delivery *d)
{
    struct persist *p = s->broker->persist;
    if (d->wait) {
        struct broker_ack *ack = persist_wait_take(p, d->wait);
        d->wait = 0;
        if (ack)
            broker_ack_release(ack, MQTT_RC_SUCCESS);
    }
    struct durable *durable = s->durable;
    if (!d->stored || !durable)
        return;
    d->stored = false;
    durable->stored--;
    p->stats.deliveries--;
    if (session_sequence(s, d) >= durable->removed_end + REMOVE_AT_LEAST)
        persist_remove_done(p, durable);
    if (durable->lagging)
        return;
    durable->lagging = true;
    durable->next_lagging = p->lagging;
    p->lagging = durable_ref(durable);
}

bool persist_released(struct session *s, struct delivery *d)
{
    struct persist *p = s->broker->persist;
    if (!s->durable || !d->stored)
        return false;
    if (d->unsafe)
        return true; /* it has come before */
    d->unsafe = true;
    persist_put_delivery(p, s, d);
    persist_gather(p, (struct item){ .kind = ITEM_PUBREL,
                                     .durable = durable_ref(s->durable),
                                     .sequence = d->sequence });
    return true;
}

/* ---- QoS 2 in ---- */

void persist_received(struct session *s, struct qos2_in *q, struct broker_receipt *receipt)
{
    struct persist *p = s->broker->persist;
    struct broker_ack *ack = s->durable ? broker_ack_hold(receipt) : NULL;
    if (!ack)
        return;
    persist_put_received(p, s, q->packet_id);
    q->stored = true;
    persist_gather(p, (struct item){ .kind = ITEM_ACK, .ack = ack });
}

bool persist_complete(struct session *s, struct qos2_in *q)
{
    struct persist *p = s->broker->persist;
    if (q->completing)
        return true;
    if (!s->durable || !q->stored)
        return false;
    persist_forget_received(s, q);
    q->completing = true;
    persist_gather(p, (struct item){ .kind = ITEM_PUBCOMP,
                                     .durable = durable_ref(s->durable),
                                     .packet_id = q->packet_id });
    return true;
}

void persist_forget_received(struct session *s, struct qos2_in *q)
{
    if (!s->durable || !q->stored)
        return;
    struct record_key key = record_key_received(s->origin, q->packet_id);
    q->stored = false;
    persist_remove(s->broker->persist, BROKER_ROW_RECEIVED, record_key_slice(&key));
}

/* ---- retained ---- */

void persist_retained(struct broker *b, const struct sl_msg *m, struct broker_receipt *receipt)
{
    struct persist *p = b->persist;
    if (!p || !persist_keeps_retained(m))
        return;
    if (m->payload_len > 0)
        persist_put_retained(p, m);
    else
        persist_remove(p, BROKER_ROW_RETAINED, sl_msg_topic(m));
    struct broker_ack *ack = m->qos > 0 ? broker_ack_hold(receipt) : NULL;
    if (ack)
        persist_gather(p, (struct item){ .kind = ITEM_ACK, .ack = ack });
}

void persist_retained_gone(struct broker *b, const struct sl_msg *m)
{
    if (b->persist && persist_keeps_retained(m))
        persist_remove(b->persist, BROKER_ROW_RETAINED, sl_msg_topic(m));
}
