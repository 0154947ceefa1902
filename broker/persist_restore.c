/* persist_restore.c - rows from before a restart become sessions and retained messages again, and
 * all of them rows when the store has lost them. */
#include "access.h"
#include "persist_internal.h"
#include "share.h"

#include "base/log.h"
#include "base/topic.h"

#include <stdlib.h>

static struct sl_slice number_of(const void *value)
{
    const struct session *s = value;
    return sl_bytes(&s->origin, sizeof s->origin);
}

static struct session *find_session(struct persist *p, struct sl_cursor *key)
{
    uint64_t number;
    if (!record_key_take_session(key, &number))
        return NULL;
    return sl_map_get(&p->by_number, number_of, sl_bytes(&number, sizeof number));
}

/* ---- one row ---- */

static bool restore_origins(struct persist *p, struct sl_slice key, struct sl_slice value)
{
    uint64_t next;
    if (!sl_slice_eq(key, sl_str(RECORD_META_ORIGINS)) || !record_take_origins(value, &next) ||
        next > UINT64_MAX / 2)
        return false;
    p->origins_reserved = next;
    if (next > p->broker->next_origin)
        p->broker->next_origin = next;
    return true;
}

/* How much of its life is left: while it was online none of it had passed, and nobody knows how
 * long it has been away since. */
static void restore_times(struct session *s, const struct record_session *r, struct record_now now)
{
    int64_t whole_ms = (int64_t)r->expiry_s * 1000;
    int64_t away_ms = r->online ? 0 : record_elapsed_ms(r->saved_wall_ms, now.wall_ms);
    s->expiry_s = r->expiry_s;
    s->since_wall_ms = r->saved_wall_ms;
    s->offline_since_ms = now.mono_ms - (whole_ms - r->left_ms) - away_ms;
    s->will_due_ms = now.mono_ms + (r->will_left_ms > away_ms ? r->will_left_ms - away_ms : 0);
}

static bool index_session(struct persist *p, struct session *s)
{
    if (!sl_map_put(&p->broker->sessions, session_key, s))
        return false;
    if (sl_map_put(&p->by_number, number_of, s))
        return true;
    sl_map_remove(&p->broker->sessions, session_key, s);
    return false;
}

static struct session *make_session(struct persist *p, uint64_t number,
                                    const struct record_session *r)
{
    struct broker *b = p->broker;
    struct session *s = session_new(b, r->client_id);
    struct durable *d = s ? calloc(1, sizeof *d) : NULL;
    if (!d) {
        if (s)
            session_free(s);
        return NULL;
    }
    *d = (struct durable){ .session = s, .refs = 1, .reserved = r->next_sequence };
    d->user = r->user.ptr ? sl_slice_dup(r->user) : NULL;
    s->durable = d;
    s->origin = number;
    s->next_sequence = r->next_sequence;
    s->next_id = session_packet_id(r->next_sequence);
    if (number >= b->next_origin)
        b->next_origin = number + 1;
    return s;
}

static void unmake_session(struct session *s)
{
    durable_unref(s->durable);
    s->durable = NULL;
    session_free(s);
}

static bool restore_session(struct persist *p, struct sl_slice key, struct sl_slice value)
{
    struct record_session r;
    struct record_now now = persist_now(p);
    struct sl_cursor c = sl_cursor(key);
    uint64_t number;
    if (!record_key_take_session(&c, &number) || c.left > 0 || number <= BROKER_ORIGIN_OUTSIDE ||
        number > UINT64_MAX / 2 || !record_take_session(value, &r) ||
        r.next_sequence > UINT64_MAX / 2 || r.client_id.len > BROKER_CLIENT_ID_MAX ||
        sl_map_get(&p->broker->sessions, session_key, r.client_id) ||
        sl_map_get(&p->by_number, number_of, sl_bytes(&number, sizeof number)))
        return false;
    struct session *s = make_session(p, number, &r);
    if (!s)
        return false;
    bool known = (!r.user.ptr || s->durable->user) && access_restore(s, r.user);
    restore_times(s, &r, now);
    if (r.has_will)
        s->will = record_make_message(&r.will, now);
    if (!known || (r.has_will && !s->will) || !index_session(p, s)) {
        unmake_session(s);
        return false;
    }
    p->stats.restored_sessions++;
    p->stats.sessions++;
    return true;
}

static bool restore_subscription(struct persist *p, struct sl_slice key, struct sl_slice value)
{
    struct record_subscription r;
    struct sl_cursor c = sl_cursor(key);
    struct session *s = find_session(p, &c);
    struct sl_slice filter = sl_cursor_rest(&c);
    bool existed;
    struct share_text text;
    if (!s || !record_take_subscription(value, &r) || !share_split(filter, &text) ||
        !sl_filter_valid(text.filter) || !trie_depth_ok(text.filter) ||
        (text.name.len > 0 && r.no_local))
        return false;
    struct subscription wanted = {
        .id = r.id,
        .qos = r.qos,
        .no_local = r.no_local,
        .retain_as_published = r.retain_as_published,
    };
    return subs_add(&p->broker->subs, s, filter, &wanted, &existed);
}

static struct subids *make_ids(struct sl_slice encoded)
{
    if (encoded.len == 0)
        return NULL;
    struct subids *ids = malloc(sizeof *ids + encoded.len);
    if (!ids)
        return NULL;
    *ids = (struct subids){ 1, (uint32_t)encoded.len, (uint32_t)encoded.len };
    memcpy(ids->encoded, encoded.ptr, encoded.len);
    return ids;
}

/* What stands for the message of a delivery of which only PUBREL is outstanding. */
static const struct record_message no_message = { .expiry_s = SL_MSG_NO_EXPIRY };

static bool restore_delivery(struct persist *p, struct sl_slice key, struct sl_slice value)
{
    struct record_delivery r;
    struct sl_cursor c = sl_cursor(key);
    struct session *s = find_session(p, &c);
    uint64_t sequence;
    if (!s || !record_take_u64(&c, &sequence) || c.left > 0 || !record_take_delivery(value, &r))
        return false;
    struct delivery d = {
        .msg = record_make_message(r.released ? &no_message : &r.message, persist_now(p)),
        .ids = make_ids(r.ids),
        .qos = r.qos,
        .retain = r.retain,
        .released = r.released,
        .stored = true,
        .again = true,
        .group = share_number(&p->broker->subs, r.share),
    };
    if (!d.msg || (r.ids.len > 0 && !d.ids) || !session_restore(s, d, sequence)) {
        sl_msg_unref(d.msg);
        subids_unref(d.ids);
        return false;
    }
    s->durable->stored++;
    p->stats.deliveries++;
    s->durable->stored_end = sequence + 1;
    p->stats.restored_deliveries++;
    return true;
}

static bool restore_received(struct persist *p, struct sl_slice key, struct sl_slice value)
{
    struct sl_cursor c = sl_cursor(key);
    struct session *s = find_session(p, &c);
    uint16_t id;
    if (!s || !sl_take_u16(&c, &id) || c.left > 0 || id == 0 || !record_take_received(value) ||
        session_qos2_find(s, id) || !session_qos2_add(s, id))
        return false;
    struct qos2_in *q = session_qos2_find(s, id);
    q->received = q->stored = q->restored = true;
    return true;
}

static bool restore_retained(struct persist *p, struct sl_slice key, struct sl_slice value)
{
    struct broker *b = p->broker;
    struct record_message r;
    struct record_now now = persist_now(p);
    if (!record_take_retained(key, value, &r) || !b->options.retain)
        return false;
    struct sl_msg *m = record_make_message(&r, now);
    if (!m)
        return false;
    if (r.origin >= b->next_origin && r.origin <= UINT64_MAX / 2)
        b->next_origin = r.origin + 1;
    bool kept = true;
    if (sl_msg_expired(m, now.mono_ms))
        persist_remove(p, BROKER_ROW_RETAINED, key);
    else /* it was kept before, whatever the bound is now */
        kept = retained_set(&b->retained, m, UINT64_MAX) == RETAINED_DONE;
    sl_msg_unref(m);
    p->stats.restored_retained += kept;
    return kept;
}

bool broker_restore(struct broker *b, enum broker_row kind, struct sl_slice key,
                    struct sl_slice value)
{
    struct persist *p = b->persist;
    bool ok = false;
    if (!p)
        return false;
    switch (kind) {
    case BROKER_ROW_META: ok = restore_origins(p, key, value); break;
    case BROKER_ROW_SESSION: ok = restore_session(p, key, value); break;
    case BROKER_ROW_SUBSCRIPTION: ok = restore_subscription(p, key, value); break;
    case BROKER_ROW_DELIVERY: ok = restore_delivery(p, key, value); break;
    case BROKER_ROW_RECEIVED: ok = restore_received(p, key, value); break;
    case BROKER_ROW_RETAINED: ok = restore_retained(p, key, value); break;
    case BROKER_ROWS: break;
    }
    if (!ok) { /* it would come back at every start */
        p->stats.bad_rows++;
        persist_remove(p, kind, key);
    }
    return ok;
}

/* Their rows say now how much of their life is left, so that a clock that is wrong at the next
 * start does not give it back. */
void broker_restored(struct broker *b)
{
    struct persist *p = b->persist;
    struct session *s;
    if (!p)
        return;
    for (uint32_t i = 0; (s = sl_map_next(&p->by_number, &i));)
        persist_put_session(p, s);
    sl_map_free(&p->by_number);
    b->now_ms = 0;
}

/* ---- all of it again ---- */

static void put_subscriptions(struct persist *p, const struct session *s)
{
    struct sl_buf filter = { 0 };
    for (const struct subscription *sub = s->subs; sub; sub = sub->next) {
        sl_buf_reset(&filter);
        subs_put_filter(sub, &filter);
        if (filter.failed)
            p->down = true;
        else
            persist_put_subscription(p, s, sl_buf_slice(&filter), sub);
    }
    sl_buf_free(&filter);
}

static void put_delivery(void *ctx, struct session *s, struct delivery *d)
{
    if (!d->wait)
        persist_put_delivery(ctx, s, d);
}

static void put_all_of(struct persist *p, struct session *s)
{
    struct qos2_in *q;
    s->durable->removed_end = s->durable->stored_end = session_oldest(s);
    persist_put_session(p, s);
    put_subscriptions(p, s);
    session_visit(s, put_delivery, p);
    for (uint32_t i = 0; (q = sl_map_next(&s->qos2, &i));) {
        bool refused = q->ack && q->ack->reason >= 0x80; /* though it could not be told yet */
        if (q->completing || refused)
            continue;
        persist_put_received(p, s, q->packet_id);
        q->stored = true;
    }
}

static void put_retained(void *ctx, struct sl_msg *m)
{
    if (persist_keeps_retained(m))
        persist_put_retained(ctx, m);
}

void broker_resync(struct broker *b)
{
    struct persist *p = b->persist;
    struct session *s;
    if (!p)
        return;
    p->down = false;
    p->resyncs++;
    p->origins_reserved = 0;
    persist_reserve_origin(p, b->next_origin);
    for (uint32_t i = 0; (s = sl_map_next(&b->sessions, &i));)
        if (s->durable)
            put_all_of(p, s);
    retained_visit(&b->retained, put_retained, p);
    if (!p->down)
        persist_unpark(p);
    persist_commit(p);
}
