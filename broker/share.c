/* share.c - groups of shared subscriptions: their members, and whose turn it is. */
#include "share.h"

#include "access.h"
#include "broker_internal.h"
#include "session.h"
#include "sub_list.h"

#include <assert.h>
#include <stdlib.h>

bool share_split(struct sl_slice text, struct share_text *ret)
{
    const struct sl_slice prefix = sl_str("$share/");
    *ret = (struct share_text){ .filter = text };
    if (!sl_slice_starts(text, prefix))
        return true;
    struct sl_slice rest = { text.ptr + prefix.len, text.len - prefix.len };
    const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    if (!slash || slash == rest.ptr)
        return false;
    ret->name = sl_bytes(rest.ptr, (size_t)(slash - rest.ptr));
    ret->filter = sl_bytes(slash + 1, rest.len - ret->name.len - 1);
    return ret->filter.len > 0 && !memchr(ret->name.ptr, '+', ret->name.len) &&
           !memchr(ret->name.ptr, '#', ret->name.len);
}

/* ---- groups ---- */

static struct sl_slice number_key(const void *value)
{
    const struct share_group *g = value;
    return sl_bytes(&g->number, sizeof g->number);
}

static struct share_group *group_of_number(const struct subs *s, uint32_t number)
{
    return sl_map_get(&s->groups, number_key, sl_bytes(&number, sizeof number));
}

struct share_group *share_find(const struct trie_node *n, struct sl_slice name)
{
    const struct sub_list *l = n->value;
    struct share_group *g = l ? l->groups : NULL;
    while (g && !sl_slice_eq((struct sl_slice){ g->name, g->name_len }, name))
        g = g->next;
    return g;
}

void share_put_text(const struct subs *s, uint32_t number, struct sl_buf *out)
{
    const struct share_group *g = number ? group_of_number(s, number) : NULL;
    if (g)
        subs_put_filter(g->members[0].sub, out);
}

uint32_t share_number(const struct subs *s, struct sl_slice text)
{
    struct share_text t;
    const struct trie_node *n =
        share_split(text, &t) && t.name.len > 0 ? trie_find(&s->trie, t.filter) : NULL;
    const struct share_group *g = n ? share_find(n, t.name) : NULL;
    return g ? g->number : 0;
}

struct share_group *share_make(struct subs *s, struct trie_node *n, struct sl_slice name)
{
    struct share_group *g = share_find(n, name);
    struct sub_list *l = n->value;
    if (g)
        return g;
    if (!(g = calloc(1, sizeof *g + name.len)))
        return NULL;
    g->node = n;
    g->name_len = (uint16_t)name.len; /* a part of a UTF-8 string of MQTT: at most 65,535 */
    memcpy(g->name, name.ptr, name.len);
    do
        g->number = ++s->group_number;
    while (g->number == 0 || group_of_number(s, g->number));
    if (!sl_map_put(&s->groups, number_key, g)) {
        free(g);
        return NULL;
    }
    g->next = l->groups;
    l->groups = g;
    l->group_count++;
    return g;
}

void share_drop_if_empty(struct subs *s, struct share_group *g)
{
    struct sub_list *l = g->node->value;
    struct share_group **at = &l->groups;
    if (g->count > 0)
        return;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    l->group_count--;
    sl_map_remove(&s->groups, number_key, g);
    free(g->members);
    g->members = NULL;
    g->next = s->ended_groups;
    s->ended_groups = g;
}

void share_free_ended(struct subs *s)
{
    while (s->ended_groups) {
        struct share_group *g = s->ended_groups;
        s->ended_groups = g->next;
        free(g);
    }
}

/* ---- members ---- */

bool share_join(struct share_group *g, struct subscription *sub)
{
    struct subids *ids;
    void *array = g->members;
    if (!subids_of(sub->id, &ids))
        return false;
    if (!sub_array_room(&array, g->count, sizeof *g->members)) {
        subids_unref(ids);
        return false;
    }
    g->members = array;
    sub->index = g->count;
    g->members[g->count++] = (struct share_member){ sub, ids };
    return true;
}

bool share_update(struct share_group *g, const struct subscription *sub)
{
    struct subids *ids;
    if (!subids_of(sub->id, &ids))
        return false;
    subids_unref(g->members[sub->index].ids);
    g->members[sub->index].ids = ids;
    return true;
}

void share_leave(struct subs *s, struct subscription *sub)
{
    struct share_group *g = sub->at.group;
    assert(g->members[sub->index].sub == sub);
    subids_unref(g->members[sub->index].ids);
    g->members[sub->index] = g->members[--g->count];
    if (sub->index < g->count)
        g->members[sub->index].sub->index = sub->index;
    share_drop_if_empty(s, g);
}

/* ---- delivering ---- */

static uint8_t qos_for(const struct share_member *m, uint8_t published)
{
    return m->sub->qos < published ? m->sub->qos : published;
}

/* The first in turn of those that can take it best. The place, or the count when there is none. */
static uint32_t choose(struct share_group *g, const struct sl_msg *m)
{
    enum session_room best = SESSION_NEVER;
    uint32_t chosen = g->count;
    for (uint32_t i = 0; i < g->count && best != SESSION_NOW; i++) {
        uint32_t at = g->turn + i < g->count ? g->turn + i : g->turn + i - g->count;
        const struct share_member *t = &g->members[at];
        if (!access_may_receive(t->sub->session, sl_msg_topic(m)))
            continue;
        enum session_room room = session_room(t->sub->session, qos_for(t, m->qos), sl_msg_size(m));
        if (room < best) {
            best = room;
            chosen = at;
        }
    }
    return chosen;
}

void share_deliver(struct broker *b, struct share_group *g, struct sl_msg *m,
                   struct frame_cache *frames)
{
    if (g->turn >= g->count)
        g->turn = 0;
    uint32_t at = choose(g, m);
    if (at >= g->count) { /* everyone is away, and QoS 0 or without room */
        if (m->qos > 0 && g->count > 0)
            broker_count_drop(b, BROKER_DROP_QUEUE_FULL);
        return;
    }
    const struct share_member *t = &g->members[at];
    g->turn = at + 1;
    struct delivery d = {
        .msg = m,
        .ids = subids_ref(t->ids), /* sending may close a connection and end its session */
        .qos = qos_for(t, m->qos),
        .retain = m->retain && t->sub->retain_as_published,
        .group = g->number,
    };
    session_deliver(t->sub->session, &d, frames);
    subids_unref(d.ids);
}

static void reassign_ring(struct broker *b, const struct delivery_ring *r, bool begun)
{
    /* What comes from before a restart may have been begun there. */
    for (uint32_t i = 0; i < r->count; i++) {
        const struct delivery *d = &r->items[(r->head + i) & (r->cap - 1)];
        if (!d->msg || d->group == 0 || (d->qos == 2 && (begun || d->again)) ||
            sl_msg_expired(d->msg, broker_now(b)))
            continue;
        struct share_group *g = group_of_number(&b->subs, d->group);
        if (g)
            share_deliver(b, g, d->msg, NULL);
    }
}

void share_reassign(struct broker *b, const struct session *s)
{
    if (b->subs.groups.count == 0)
        return;
    reassign_ring(b, &s->window, true);
    reassign_ring(b, &s->queue, false);
}
