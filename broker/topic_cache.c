/* topic_cache.c - the tree's answers by topic, bounded, each good until a subscription changes that
 * fits it. */
#include "access.h"
#include "session.h"
#include "share.h"
#include "sub_list.h"

#include "base/topic.h"

#include "broker/mqtt.h"

#include <assert.h>
#include <stdlib.h>

static struct sl_slice entry_topic(const void *value)
{
    const struct topic_entry *e = value;
    return (struct sl_slice){ e->topic, e->topic_len };
}

void subids_unref(struct subids *ids)
{
    if (ids && --ids->refs == 0)
        free(ids);
}

bool subids_of(uint32_t id, struct subids **ret)
{
    struct sl_buf encoded = { 0 };
    struct subids *ids = NULL;
    if (id > 0)
        mqtt_put_subscription_id(&encoded, id);
    if (id > 0 && !encoded.failed && (ids = malloc(sizeof *ids + encoded.len))) {
        uint32_t len = (uint32_t)encoded.len;
        *ids = (struct subids){ .refs = 1, .len = len, .cap = len };
        memcpy(ids->encoded, encoded.ptr, len);
    }
    sl_buf_free(&encoded);
    *ret = ids;
    return id == 0 || ids;
}

static void clear_answer(struct subs *s, struct topic_entry *e)
{
    assert(e->matches || e->match_count == 0);
    for (uint32_t i = 0; i < e->match_count; i++) {
        subids_unref(e->matches[i].ids);
        subids_unref(e->matches[i].ids_own);
    }
    free(e->matches);
    free(e->taps);
    free(e->groups);
    e->matches = NULL;
    e->taps = NULL;
    e->groups = NULL;
    e->match_count = e->tap_count = e->group_count = 0;
    e->stale = true;
    s->cache_bytes -= e->bytes;
    e->bytes = 0;
}

static void entry_free(struct subs *s, struct topic_entry *e)
{
    clear_answer(s, e);
    s->cache_bytes -= sizeof *e + e->topic_len;
    free(e);
}

void topic_cache_free(struct subs *s)
{
    for (uint32_t i = 0; i < s->ring_count; i++)
        entry_free(s, s->ring[i]);
    free(s->ring);
    free(s->found);
    s->ring = NULL;
    s->found = NULL;
    s->found_count = s->found_cap = 0;
    s->ring_count = s->ring_cap = 0;
    sl_map_free(&s->cache);
}

/* An answer being made: first counted, then filled. */
struct answer {
    struct subs *subs;
    struct topic_entry *entry;
    uint32_t match_max, tap_max, group_max;
    size_t id_bytes; /* at least what the lists of ids take */
    bool failed;
};

static void find_node(void *ctx, struct trie_node *n)
{
    struct answer *a = ctx;
    struct subs *s = a->subs;
    struct sub_list *l = n->value;
    if (s->found_count == s->found_cap) {
        uint32_t cap = s->found_cap ? s->found_cap * 2 : 16;
        struct sub_list **larger = realloc(s->found, cap * sizeof(struct sub_list *));
        if (!larger) {
            a->failed = true;
            return;
        }
        s->found = larger;
        s->found_cap = cap;
    }
    s->found[s->found_count++] = l;
    a->match_max += l->sub_count;
    a->tap_max += l->tap_count;
    a->group_max += l->group_count;
}

/* While the answer is being made its lists of ids have no other owner: they may grow in place. */
static bool add_id(struct answer *a, struct subids **ids, uint32_t id)
{
    struct sl_buf encoded = { 0 };
    mqtt_put_subscription_id(&encoded, id);
    uint32_t len = *ids ? (*ids)->len : 0, want = len + (uint32_t)encoded.len;
    if (!encoded.failed && (!*ids || want > (*ids)->cap)) {
        uint32_t cap = want < 8 ? 8 : want * 2;
        struct subids *larger = realloc(*ids, sizeof *larger + cap);
        encoded.failed = !larger;
        if (larger) {
            *larger = (struct subids){ .refs = 1, .len = len, .cap = cap };
            *ids = larger;
            a->id_bytes += cap;
        }
    }
    bool added = !encoded.failed;
    if (added) {
        memcpy((*ids)->encoded + len, encoded.ptr, encoded.len);
        (*ids)->len = want;
    }
    sl_buf_free(&encoded);
    return added;
}

static void join(struct answer *a, const struct subscription *sub)
{
    struct topic_entry *e = a->entry;
    struct session *session = sub->session;
    if (!access_may_receive(session, entry_topic(e)))
        return;
    if (session->match_pass != a->subs->pass) {
        session->match_pass = a->subs->pass;
        session->match_index = e->match_count;
        e->matches[e->match_count++] =
            (struct match){ .session = session, .qos_own = SUBS_NO_DELIVERY };
    }
    struct match *m = &e->matches[session->match_index];
    if (sub->qos > m->qos)
        m->qos = sub->qos;
    m->retain_as_published |= sub->retain_as_published;
    if (!sub->no_local && (m->qos_own == SUBS_NO_DELIVERY || sub->qos > m->qos_own))
        m->qos_own = sub->qos;
    if (sub->id && !add_id(a, &m->ids, sub->id))
        a->failed = true;
    if (sub->id && !sub->no_local && !add_id(a, &m->ids_own, sub->id))
        a->failed = true;
}

static void fill_from(struct answer *a, const struct sub_list *l)
{
    struct topic_entry *e = a->entry;
    for (uint32_t i = 0; i < l->tap_count; i++)
        e->taps[e->tap_count++] = l->taps[i];
    for (struct share_group *g = l->groups; g; g = g->next)
        e->groups[e->group_count++] = g;
    for (uint32_t i = 0; i < l->sub_count; i++)
        join(a, l->subs[i]);
}

static void *array_of(struct answer *a, uint32_t count, size_t element)
{
    void *array = count ? calloc(count, element) : NULL;
    a->failed |= count && !array;
    a->entry->bytes += count * element;
    return array;
}

static bool make_answer(struct subs *s, struct topic_entry *e)
{
    struct answer a = { .subs = s, .entry = e };
    clear_answer(s, e);
    s->found_count = 0;
    trie_match_topic(&s->trie, entry_topic(e), find_node, &a);
    e->matches = array_of(&a, a.match_max, sizeof *e->matches);
    e->taps = array_of(&a, a.tap_max, sizeof(struct broker_tap *));
    e->groups = array_of(&a, a.group_max, sizeof(struct share_group *));
    s->pass++;
    for (uint32_t i = 0; i < s->found_count && !a.failed; i++)
        fill_from(&a, s->found[i]);
    e->bytes += a.id_bytes;
    s->cache_bytes += e->bytes;
    e->generation = s->generation;
    e->stale = false;
    if (a.failed)
        clear_answer(s, e);
    return !a.failed;
}

/* Whether no change since the answer was made touches its topic. */
static bool still_good(const struct subs *s, struct topic_entry *e)
{
    if (e->stale || s->generation - e->generation > SUBS_CHANGES)
        return false;
    for (uint64_t n = e->generation; n < s->generation; n++) {
        const struct subs_change *c = &s->changes[n % SUBS_CHANGES];
        struct sl_slice filter = { c->filter, c->len };
        if (c->len == UINT16_MAX || sl_topic_match(filter, entry_topic(e)))
            return false;
    }
    e->generation = s->generation;
    return true;
}

void subs_forget_answers(struct subs *s)
{
    s->generation += SUBS_CHANGES + 1; /* more changes than are known */
}

/* Drops the first entry, from the hand on, that was not used since the hand last passed. There must
 * be one besides `keep`. */
static void evict(struct subs *s, const struct topic_entry *keep)
{
    for (;; s->hand++) {
        if (s->hand >= s->ring_count)
            s->hand = 0;
        struct topic_entry *e = s->ring[s->hand];
        if (e == keep)
            continue;
        if (!e->used) {
            s->ring[s->hand] = s->ring[--s->ring_count];
            sl_map_remove(&s->cache, entry_topic, e);
            entry_free(s, e);
            return;
        }
        e->used = false;
    }
}

static bool ring_room(struct subs *s)
{
    if (s->ring_count < s->ring_cap)
        return true;
    uint32_t cap = s->ring_cap ? s->ring_cap * 2 : TOPIC_CACHE_FIRST;
    struct topic_entry **larger = realloc(s->ring, cap * sizeof(struct topic_entry *));
    if (!larger)
        return false;
    s->ring = larger;
    s->ring_cap = cap;
    return true;
}

static struct topic_entry *entry_new(struct subs *s, struct sl_slice topic)
{
    if (s->ring_count < TOPIC_CACHE_MAX && !ring_room(s))
        return NULL;
    struct topic_entry *e = calloc(1, sizeof *e + topic.len);
    if (!e)
        return NULL;
    e->stale = true;
    e->topic_len = (uint16_t)topic.len;
    memcpy(e->topic, topic.ptr, topic.len);
    if (!sl_map_put(&s->cache, entry_topic, e)) {
        free(e);
        return NULL;
    }
    s->cache_bytes += sizeof *e + e->topic_len;
    if (s->ring_count == TOPIC_CACHE_MAX)
        evict(s, NULL);
    s->ring[s->ring_count++] = e;
    return e;
}

struct topic_entry *subs_lookup(struct subs *s, struct sl_slice topic)
{
    struct topic_entry *e = sl_map_get(&s->cache, entry_topic, topic);
    if (!e)
        e = entry_new(s, topic);
    if (!e)
        return NULL;
    e->used = true;
    if ((e->stale || e->generation != s->generation) && !still_good(s, e) && !make_answer(s, e))
        return NULL;
    while (s->cache_bytes > TOPIC_CACHE_BYTES && s->ring_count > 1)
        evict(s, e);
    return e;
}

void topic_entry_observe(struct topic_entry *e, struct sl_slice payload, int64_t wall_ms)
{
    e->count++;
    e->wall_ms = wall_ms;
    e->payload_len = (uint32_t)payload.len;
    e->value_len = (uint8_t)(payload.len < TOPIC_VALUE_MAX ? payload.len : TOPIC_VALUE_MAX);
    if (e->value_len > 0)
        memcpy(e->value, payload.ptr, e->value_len);
}
