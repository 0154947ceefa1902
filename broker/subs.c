/* subs.c - subscriptions and taps in the tree. The cache of answers is in topic_cache.c. */
#include "subs.h"

#include "session.h"
#include "sub_list.h"

#include <stdlib.h>

static void list_drop_if_empty(struct subs *s, struct trie_node *n)
{
    struct sub_list *l = n->value;
    if (l->sub_count > 0 || l->tap_count > 0)
        return;
    free(l->subs);
    free(l->taps);
    free(l);
    n->value = NULL;
    trie_prune(&s->trie, n);
}

static struct trie_node *node_with_list(struct subs *s, struct sl_slice filter)
{
    struct trie_node *n = trie_make(&s->trie, filter);
    if (!n)
        return NULL;
    if (!n->value && !(n->value = calloc(1, sizeof(struct sub_list)))) {
        trie_prune(&s->trie, n);
        return NULL;
    }
    return n;
}

/* Makes room for one more pointer in an array that grows by doubling. */
static bool grow(void **array, uint32_t count)
{
    if (count > 0 && (count & (count - 1)) != 0)
        return true;
    size_t cap = count ? (size_t)count * 2 : 1;
    void *larger = realloc(*array, cap * sizeof(void *));
    if (!larger)
        return false;
    *array = larger;
    return true;
}

static void set_options(struct subscription *sub, const struct subscription *wanted)
{
    sub->id = wanted->id;
    sub->qos = wanted->qos;
    sub->no_local = wanted->no_local;
    sub->retain_as_published = wanted->retain_as_published;
}

/* Looks the session up in the shorter of the two lists: its own subscriptions, or the filter's
 * subscribers. */
static struct subscription *find_existing(const struct trie_node *n, const struct session *session)
{
    const struct sub_list *l = n->value;
    if (l->sub_count <= session->sub_count) {
        for (uint32_t i = 0; i < l->sub_count; i++)
            if (l->subs[i]->session == session)
                return l->subs[i];
        return NULL;
    }
    for (struct subscription *sub = session->subs; sub; sub = sub->next)
        if (sub->node == n)
            return sub;
    return NULL;
}

/* About what a subscription takes: a node of the tree with its map for each level. */
static size_t bytes_of(struct sl_slice filter)
{
    enum { LEVEL_BYTES = 128 };
    size_t levels = 1;
    for (size_t i = 0; i < filter.len; i++)
        levels += filter.ptr[i] == '/';
    return sizeof(struct subscription) + filter.len + levels * LEVEL_BYTES;
}

static bool link_new(struct subs *s, struct trie_node *n, struct subscription *sub)
{
    struct sub_list *l = n->value;
    struct session *session = sub->session;
    void *array = l->subs;
    if (!grow(&array, l->sub_count))
        return false;
    l->subs = array;
    sub->index = l->sub_count;
    l->subs[l->sub_count++] = sub;
    sub->node = n;
    sub->next = session->subs;
    session->subs = sub;
    session->sub_count++;
    session->sub_bytes += sub->bytes;
    s->count++;
    s->generation++;
    return true;
}

static bool add_new(struct subs *s, struct session *session, struct sl_slice filter,
                    const struct subscription *wanted)
{
    size_t bytes = bytes_of(filter);
    if (session->sub_count >= SUBS_PER_SESSION_MAX || session->sub_bytes + bytes > SUBS_BYTES_MAX)
        return false;
    struct trie_node *n = node_with_list(s, filter);
    if (!n)
        return false;
    struct subscription *sub = calloc(1, sizeof *sub);
    if (sub) {
        set_options(sub, wanted);
        sub->session = session;
        sub->bytes = (uint32_t)bytes;
    }
    if (sub && link_new(s, n, sub))
        return true;
    free(sub);
    list_drop_if_empty(s, n);
    return false;
}

bool subs_add(struct subs *s, struct session *session, struct sl_slice filter,
              const struct subscription *wanted, bool *ret_existed)
{
    const struct trie_node *n = trie_find(&s->trie, filter);
    struct subscription *sub = n && n->value ? find_existing(n, session) : NULL;
    *ret_existed = sub != NULL;
    if (!sub)
        return add_new(s, session, filter, wanted);
    set_options(sub, wanted);
    s->generation++;
    return true;
}

static void detach_from_list(struct subs *s, struct subscription *sub)
{
    struct sub_list *l = sub->node->value;
    struct subscription *last = l->subs[--l->sub_count];
    l->subs[sub->index] = last;
    last->index = sub->index;
    sub->session->sub_count--;
    sub->session->sub_bytes -= sub->bytes;
    list_drop_if_empty(s, sub->node);
    s->count--;
    s->generation++;
}

bool subs_remove(struct subs *s, struct session *session, struct sl_slice filter)
{
    const struct trie_node *n = trie_find(&s->trie, filter);
    if (!n)
        return false;
    for (struct subscription **at = &session->subs; *at; at = &(*at)->next) {
        struct subscription *sub = *at;
        if (sub->node != n)
            continue;
        *at = sub->next;
        detach_from_list(s, sub);
        free(sub);
        return true;
    }
    return false;
}

void subs_remove_all(struct subs *s, struct session *session)
{
    while (session->subs) {
        struct subscription *sub = session->subs;
        session->subs = sub->next;
        detach_from_list(s, sub);
        free(sub);
    }
}

bool subs_add_tap(struct subs *s, struct broker_tap *tap, struct sl_slice filter)
{
    struct trie_node *n = node_with_list(s, filter);
    if (!n)
        return false;
    struct sub_list *l = n->value;
    void *array = l->taps;
    if (!grow(&array, l->tap_count)) {
        list_drop_if_empty(s, n);
        return false;
    }
    l->taps = array;
    l->taps[l->tap_count++] = tap;
    tap->node = n;
    s->generation++;
    return true;
}

void subs_remove_tap(struct subs *s, struct broker_tap *tap)
{
    struct sub_list *l = tap->node->value;
    for (uint32_t i = 0; i < l->tap_count; i++) {
        if (l->taps[i] != tap)
            continue;
        /* Keep the order: rules run in the order in which they were added. */
        memmove(l->taps + i, l->taps + i + 1, (l->tap_count - i - 1) * sizeof *l->taps);
        l->tap_count--;
        break;
    }
    list_drop_if_empty(s, tap->node);
    s->generation++;
}

void subs_free(struct subs *s)
{
    topic_cache_free(s);
    trie_free(&s->trie, free); /* lists are empty: sessions and taps are gone */
    *s = (struct subs){ 0 };
}
