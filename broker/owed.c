/* owed.c - retained messages on their way to new subscriptions. */
#include "owed.h"

#include "access.h"
#include "broker_internal.h"
#include "client.h"
#include "session.h"

#include <stdlib.h>

static struct sl_slice filter_of(const struct owed_one *one)
{
    return (struct sl_slice){ one->filter, one->filter_len };
}

static void free_one(struct owed_one *one)
{
    if (one->begun)
        trie_cursor_end(&one->walk);
    subids_unref(one->ids);
    free(one);
}

static void leave_hungry(struct broker *b, struct owed *o)
{
    struct owed **at = &b->hungry;
    while (o->hungry && *at != o)
        at = &(*at)->next_hungry;
    if (o->hungry)
        *at = o->next_hungry;
    o->hungry = false;
}

/* Ends the debts that `over` says yes to. */
static void drop_some(struct session *s, bool (*over)(const struct owed_one *, struct sl_slice),
                      struct sl_slice arg)
{
    struct owed *o = s->owed;
    if (!o)
        return;
    o->last = NULL;
    for (struct owed_one **at = &o->first; *at;) {
        struct owed_one *one = *at;
        if (over(one, arg)) {
            *at = one->next;
            free_one(one);
        } else {
            o->last = one;
            at = &one->next;
        }
    }
    if (o->first)
        return;
    leave_hungry(s->broker, o);
    free(o);
    s->owed = NULL;
}

static bool has_filter(const struct owed_one *one, struct sl_slice filter)
{
    return sl_slice_eq(filter_of(one), filter);
}

static bool is_qos0(const struct owed_one *one, struct sl_slice unused)
{
    (void)unused;
    return one->qos == 0;
}

static bool any(const struct owed_one *one, struct sl_slice unused)
{
    (void)one;
    (void)unused;
    return true;
}

void owed_forget(struct session *s, struct sl_slice filter)
{
    drop_some(s, has_filter, filter);
}

void owed_detach(struct session *s)
{
    drop_some(s, is_qos0, (struct sl_slice){ 0 });
}

void owed_free(struct session *s)
{
    drop_some(s, any, (struct sl_slice){ 0 });
}

static struct owed_one *one_new(struct broker *b, struct sl_slice filter,
                                const struct subscription *sub)
{
    struct owed_one *one = calloc(1, sizeof *one + filter.len);
    if (!one || !subids_of(sub->id, &one->ids)) {
        free(one);
        return NULL;
    }
    one->epoch = ++b->retained.epoch;
    one->qos = sub->qos;
    one->no_local = sub->no_local;
    one->filter_len = (uint16_t)filter.len;
    memcpy(one->filter, filter.ptr, filter.len);
    return one;
}

bool owed_add(struct session *s, struct sl_slice filter, const struct subscription *sub)
{
    owed_forget(s, filter);
    struct owed_one *one = one_new(s->broker, filter, sub);
    if (one && !s->owed && (s->owed = calloc(1, sizeof *s->owed)))
        s->owed->session = s;
    if (!one || !s->owed) {
        if (one)
            free_one(one);
        return false;
    }
    if (s->owed->last)
        s->owed->last->next = one;
    else
        s->owed->first = one;
    s->owed->last = one;
    return true;
}

/* ---- sending ---- */

/* Whether the message under the cursor is owed. Epochs go round; no debt is so old. */
static bool is_owed(const struct session *s, const struct owed_one *one)
{
    const struct trie_node *n = one->walk.at;
    const struct sl_msg *m = n->value;
    if (!m || !trie_cursor_fits(&one->walk) || (int32_t)(n->stamp - one->epoch) >= 0)
        return false;
    if (one->no_local && m->origin == s->origin) /* [MQTT-3.8.3-3] */
        return false;
    return !sl_msg_expired(m, broker_now(s->broker)) && access_may_receive(s, sl_msg_topic(m));
}

/* False: no room, or the connection ended in making some. */
static bool send_one(struct session *s, const struct owed_one *one)
{
    struct sl_msg *m = one->walk.at->value;
    struct delivery d = {
        .msg = m,
        .ids = one->ids,
        .qos = one->qos < m->qos ? one->qos : m->qos,
        .retain = true,
    };
    return session_offer(s, &d);
}

/* One more step of this turn; false when there are none left. */
static bool take_step(struct broker *b, struct owed *o)
{
    if (o->turn != b->turn) {
        o->turn = b->turn;
        o->steps_left = OWED_STEPS_SESSION;
    }
    if (o->steps_left > 0 && b->owed_steps_left > 0) {
        o->steps_left--;
        b->owed_steps_left--;
        return true;
    }
    if (!o->hungry) {
        struct owed **at = &b->hungry; /* behind the others: each gets its turn */
        while (*at)
            at = &(*at)->next_hungry;
        *at = o;
        o->next_hungry = NULL;
        o->hungry = true;
    }
    return false;
}

/* Goes on with the first; false when it has to wait. */
static bool pump_first(struct session *s, struct owed_one *one)
{
    if (!one->begun)
        trie_cursor_begin(&one->walk, &s->broker->retained.trie, filter_of(one));
    one->begun = true;
    while (one->walk.at) {
        if (!take_step(s->broker, s->owed))
            return false;
        if (is_owed(s, one) && !send_one(s, one))
            return false; /* `one` may be gone */
        trie_cursor_step(&one->walk);
    }
    return true;
}

void owed_pump(struct session *s)
{
    while (s->client && s->owed) {
        struct owed_one *one = s->owed->first;
        if (!pump_first(s, one))
            return;
        s->owed->first = one->next;
        if (!one->next)
            s->owed->last = NULL;
        free_one(one);
        if (!s->owed->first)
            owed_free(s);
    }
}

void owed_turn(struct broker *b)
{
    struct owed *next;
    b->turn++;
    b->owed_steps_left = OWED_STEPS_TURN;
    for (struct owed *o = b->hungry; o; o = next) {
        next = o->next_hungry;
        o->hungry = false;
        if (o->session->client)
            broker_mark_dirty(b, o->session->client);
    }
    b->hungry = NULL;
}
