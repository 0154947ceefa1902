/* topic_cache.c - the tree's answers by topic, bounded, each good until a subscription changes. */
#include "session.h"
#include "sub_list.h"

#include "broker/mqtt.h"

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

static void clear_answer(struct topic_entry *e)
{
    for (uint32_t i = 0; i < e->match_count; i++) {
        subids_unref(e->matches[i].ids);
        subids_unref(e->matches[i].ids_own);
    }
    free(e->matches);
    free(e->taps);
    e->matches = NULL;
    e->taps = NULL;
    e->match_count = e->tap_count = 0;
}

static void entry_free(struct topic_entry *e)
{
    clear_answer(e);
    free(e);
}

void topic_cache_free(struct subs *s)
{
    for (uint32_t i = 0; i < s->ring_count; i++)
        entry_free(s->ring[i]);
    free(s->ring);
    s->ring = NULL;
    s->ring_count = 0;
    sl_map_free(&s->cache);
}

/* An answer being made: first counted, then filled. */
struct answer {
    struct subs *subs;
    struct topic_entry *entry;
    uint32_t match_max, tap_max;
    bool failed;
};

static void count_node(void *ctx, struct trie_node *n)
{
    struct answer *a = ctx;
    const struct sub_list *l = n->value;
    a->match_max += l->sub_count;
    a->tap_max += l->tap_count;
}

static bool add_id(struct subids **ids, uint32_t id)
{
    struct sl_buf encoded = { 0 };
    if (*ids)
        sl_buf_put(&encoded, (*ids)->encoded, (*ids)->len);
    mqtt_put_subscription_id(&encoded, id);
    struct subids *larger = encoded.failed ? NULL : malloc(sizeof *larger + encoded.len);
    if (larger) {
        *larger = (struct subids){ .refs = 1, .len = (uint32_t)encoded.len };
        memcpy(larger->encoded, encoded.ptr, encoded.len);
        subids_unref(*ids);
        *ids = larger;
    }
    sl_buf_free(&encoded);
    return larger != NULL;
}

static void join(struct answer *a, const struct subscription *sub)
{
    struct topic_entry *e = a->entry;
    struct session *session = sub->session;
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
    if (sub->id && !add_id(&m->ids, sub->id))
        a->failed = true;
    if (sub->id && !sub->no_local && !add_id(&m->ids_own, sub->id))
        a->failed = true;
}

static void fill_node(void *ctx, struct trie_node *n)
{
    struct answer *a = ctx;
    const struct sub_list *l = n->value;
    for (uint32_t i = 0; i < l->tap_count; i++)
        a->entry->taps[a->entry->tap_count++] = l->taps[i];
    for (uint32_t i = 0; i < l->sub_count; i++)
        join(a, l->subs[i]);
}

static bool make_answer(struct subs *s, struct topic_entry *e)
{
    struct answer a = { .subs = s, .entry = e };
    clear_answer(e);
    e->generation = s->generation;
    trie_match_topic(&s->trie, entry_topic(e), count_node, &a);
    if (a.match_max > 0 && !(e->matches = calloc(a.match_max, sizeof *e->matches)))
        a.failed = true;
    if (a.tap_max > 0 && !(e->taps = calloc(a.tap_max, sizeof(struct broker_tap *))))
        a.failed = true;
    if (!a.failed) {
        s->pass++;
        trie_match_topic(&s->trie, entry_topic(e), fill_node, &a);
    }
    if (a.failed) {
        clear_answer(e);
        e->generation = UINT64_MAX; /* never current */
    }
    return !a.failed;
}

/* Frees a slot in the ring: the first entry, from the hand on, that was not used since it last
 * passed. */
static uint32_t evict(struct subs *s)
{
    for (;;) {
        uint32_t at = s->hand;
        s->hand = (s->hand + 1) % s->ring_count;
        struct topic_entry *e = s->ring[at];
        if (e->used) {
            e->used = false;
            continue;
        }
        sl_map_remove(&s->cache, entry_topic, e);
        entry_free(e);
        return at;
    }
}

static struct topic_entry *entry_new(struct subs *s, struct sl_slice topic)
{
    if (!s->ring && !(s->ring = calloc(TOPIC_CACHE_MAX, sizeof(struct topic_entry *))))
        return NULL;
    struct topic_entry *e = calloc(1, sizeof *e + topic.len);
    if (!e)
        return NULL;
    e->generation = UINT64_MAX;
    e->topic_len = (uint16_t)topic.len;
    memcpy(e->topic, topic.ptr, topic.len);
    if (!sl_map_put(&s->cache, entry_topic, e)) {
        free(e);
        return NULL;
    }
    if (s->ring_count < TOPIC_CACHE_MAX)
        s->ring[s->ring_count++] = e;
    else
        s->ring[evict(s)] = e;
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
    if (e->generation != s->generation && !make_answer(s, e))
        return NULL;
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
