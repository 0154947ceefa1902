/* persist_store.c - rows as the store is told of them: their keys, their values, and that it may
 * take nothing. */
#include "persist_internal.h"

#include "client.h"
#include "share.h"

#include "base/log.h"

enum { ORIGINS_AHEAD = 4096, SEQUENCES_AHEAD = 1024 };

struct record_now persist_now(struct persist *p)
{
    return (struct record_now){ broker_now(p->broker), broker_wall(p->broker) };
}

static bool took(struct persist *p, bool ok)
{
    p->down |= !ok;
    return ok;
}

bool persist_put(struct persist *p, enum broker_row kind, struct sl_slice key, struct sl_slice head,
                 struct sl_slice tail)
{
    return !p->down && took(p, p->store.put(p->store.ctx, kind, key, head, tail));
}

/* What is to go while the store takes nothing is not there after broker_resync(). */
void persist_remove(struct persist *p, enum broker_row kind, struct sl_slice key)
{
    if (!p->down && !p->closing)
        (void)took(p, p->store.remove(p->store.ctx, kind, key));
}

void persist_remove_range(struct persist *p, enum broker_row kind, struct sl_slice from,
                          struct sl_slice to)
{
    if (!p->down && !p->closing)
        (void)took(p, p->store.remove_range(p->store.ctx, kind, from, to));
}

/* The record in the scratch buffer, with m's payload (m may be NULL). */
static void put_scratch(struct persist *p, enum broker_row kind, struct sl_slice key,
                        const struct sl_msg *m)
{
    struct sl_slice tail = m ? sl_msg_payload(m) : (struct sl_slice){ 0 };
    if (p->scratch.failed)
        p->down = true; /* no memory for a record: as bad as a store that takes none */
    else
        (void)persist_put(p, kind, key, sl_buf_slice(&p->scratch), tail);
    sl_buf_reset(&p->scratch);
    sl_buf_shrink(&p->scratch, 4096);
}

void persist_reserve_origin(struct persist *p, uint64_t origin)
{
    if (origin < p->origins_reserved)
        return;
    p->origins_reserved = origin + ORIGINS_AHEAD;
    record_put_origins(&p->scratch, p->origins_reserved);
    put_scratch(p, BROKER_ROW_META, sl_str(RECORD_META_ORIGINS), NULL);
}

static int64_t positive(int64_t ms)
{
    return ms > 0 ? ms : 0;
}

void persist_put_session(struct persist *p, const struct session *s)
{
    const struct client *c = s->client;
    struct record_now now = persist_now(p);
    int64_t whole_ms = (int64_t)s->expiry_s * 1000;
    const struct sl_msg *will = c ? c->will : s->will;
    struct record_session r = {
        .client_id = session_id(s),
        .user = persist_user(s),
        .left_ms = c ? whole_ms : positive(whole_ms - (now.mono_ms - s->offline_since_ms)),
        .expiry_s = s->expiry_s,
        .next_sequence = s->durable->reserved,
        .online = c != NULL,
        .will_left_ms =
            c ? (int64_t)c->will_delay_s * 1000 : positive(s->will_due_ms - now.mono_ms),
    };
    struct record_key key = record_key_session(s->origin);
    record_put_session(&p->scratch, &r, will, now);
    put_scratch(p, BROKER_ROW_SESSION, record_key_slice(&key), will);
}

/* The session's row comes first: no delivery's number may be given out again. */
static void reserve_sequence(struct persist *p, struct session *s, uint64_t sequence)
{
    if (sequence < s->durable->reserved)
        return;
    s->durable->reserved = sequence + SEQUENCES_AHEAD;
    persist_put_session(p, s);
}

void persist_put_delivery(struct persist *p, struct session *s, struct delivery *d)
{
    uint64_t sequence = session_sequence(s, d);
    struct sl_buf share = { 0 };
    if (SL_UNLIKELY(d->group != 0) && !d->released)
        share_put_text(&p->broker->subs, d->group, &share);
    struct record_delivery r = {
        .qos = d->qos,
        .retain = d->retain,
        .released = d->released,
        .ids = d->ids ? sl_bytes(d->ids->encoded, d->ids->len) : (struct sl_slice){ 0 },
        .share = sl_buf_slice(&share),
    };
    struct record_key key = record_key_delivery(s->origin, sequence);
    reserve_sequence(p, s, sequence);
    record_put_delivery(&p->scratch, &r, d->msg, persist_now(p));
    p->scratch.failed |= share.failed;
    sl_buf_free(&share);
    put_scratch(p, BROKER_ROW_DELIVERY, record_key_slice(&key), d->released ? NULL : d->msg);
    s->durable->stored += !d->stored;
    p->stats.deliveries += !d->stored;
    d->stored = true;
    if (sequence >= s->durable->stored_end)
        s->durable->stored_end = sequence + 1;
    p->stats.deliveries_put++;
}

void persist_put_subscription(struct persist *p, const struct session *s, struct sl_slice filter,
                              const struct subscription *sub)
{
    struct record_subscription r = {
        .id = sub->id,
        .qos = sub->qos,
        .no_local = sub->no_local,
        .retain_as_published = sub->retain_as_published,
    };
    struct sl_buf key = { 0 };
    record_put_key_subscription(&key, s->origin, filter);
    record_put_subscription(&p->scratch, &r);
    p->scratch.failed |= key.failed;
    put_scratch(p, BROKER_ROW_SUBSCRIPTION, sl_buf_slice(&key), NULL);
    sl_buf_free(&key);
}

void persist_put_received(struct persist *p, const struct session *s, uint16_t packet_id)
{
    struct record_key key = record_key_received(s->origin, packet_id);
    record_put_received(&p->scratch);
    put_scratch(p, BROKER_ROW_RECEIVED, record_key_slice(&key), NULL);
}

bool persist_keeps_retained(const struct sl_msg *m)
{
    return m->origin != 0 && m->data[0] != '$';
}

void persist_put_retained(struct persist *p, const struct sl_msg *m)
{
    persist_reserve_origin(p, m->origin);
    record_put_retained(&p->scratch, m, persist_now(p));
    put_scratch(p, BROKER_ROW_RETAINED, sl_msg_topic(m), m);
}

void persist_remove_done(struct persist *p, struct durable *d)
{
    uint64_t end = session_oldest(d->session);
    if (end > d->stored_end)
        end = d->stored_end;
    if (end <= d->removed_end)
        return;
    struct record_key from = record_key_delivery(d->session->origin, d->removed_end);
    struct record_key to = record_key_delivery(d->session->origin, end);
    persist_remove_range(p, BROKER_ROW_DELIVERY, record_key_slice(&from), record_key_slice(&to));
    d->removed_end = end;
}
