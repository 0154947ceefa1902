/* subs.c - subscriptions and taps in the tree. Groups are in share.c, the cache of answers is in
 * topic_cache.c. */
#include "subs.h"

#include "session.h"
#include "share.h"
#include "sub_list.h"

#include <stdlib.h>

static void list_drop_if_empty(struct subs *s, struct trie_node *n)
{
    struct sub_list *l = n->value;
    if (l->sub_count > 0 || l->tap_count > 0 || l->group_count > 0)
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

bool sub_array_room(void **array, uint32_t count, size_t element)
{
    if (count > 0 && (count & (count - 1)) != 0)
        return true;
    size_t cap = count ? (size_t)count * 2 : 1;
    void *larger = realloc(*array, cap * element);
    if (!larger)
        return false;
    *array = larger;
    return true;
}

/* To be called for every change that concerns answers: those that fit the filter are out of date.
 */
static void note_change(struct subs *s, const struct trie_node *n)
{
    struct subs_change *c = &s->changes[s->generation++ % SUBS_CHANGES];
    size_t len = trie_path(n, c->filter, sizeof c->filter);
    c->len = len > sizeof c->filter ? UINT16_MAX : (uint16_t)len;
}

static void set_options(struct subscription *sub, const struct subscription *wanted)
{
    sub->id = wanted->id;
    sub->qos = wanted->qos;
    sub->no_local = wanted->no_local;
    sub->retain_as_published = wanted->retain_as_published;
}

static struct trie_node *node_of(const struct subscription *sub)
{
    return sub->shared ? sub->at.group->node : sub->at.node;
}

static bool is_at(const struct subscription *sub, const struct trie_node *n,
                  const struct share_group *g)
{
    return g ? sub->shared && sub->at.group == g : !sub->shared && sub->at.node == n;
}

/* Looks the session up in the shorter of two lists: its own subscriptions, or the subscribers of
 * the filter or the group. */
static struct subscription *find_at(const struct trie_node *n, const struct share_group *g,
                                    const struct session *session)
{
    const struct sub_list *l = n->value;
    uint32_t count = g ? g->count : l->sub_count;
    for (uint32_t i = 0; count <= session->sub_count && i < count; i++) {
        struct subscription *sub = g ? g->members[i].sub : l->subs[i];
        if (sub->session == session)
            return sub;
    }
    struct subscription *sub = count <= session->sub_count ? NULL : session->subs;
    while (sub && !is_at(sub, n, g))
        sub = sub->next;
    return sub;
}

static struct subscription *find_existing(const struct subs *s, const struct share_text *text,
                                          const struct session *session)
{
    const struct trie_node *n = trie_find(&s->trie, text->filter);
    if (!n || !n->value)
        return NULL;
    const struct share_group *g = text->name.len > 0 ? share_find(n, text->name) : NULL;
    return text->name.len > 0 && !g ? NULL : find_at(n, g, session);
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

static void link_to_session(struct subs *s, struct subscription *sub)
{
    struct session *session = sub->session;
    sub->next = session->subs;
    if (sub->next)
        sub->next->prev = sub;
    session->subs = sub;
    session->sub_count++;
    session->sub_bytes += sub->bytes;
    s->count++;
}

static bool join_list(struct trie_node *n, struct subscription *sub)
{
    struct sub_list *l = n->value;
    void *array = l->subs;
    if (!sub_array_room(&array, l->sub_count, sizeof *l->subs))
        return false;
    l->subs = array;
    sub->index = l->sub_count;
    l->subs[l->sub_count++] = sub;
    sub->at.node = n;
    return true;
}

static bool join_group(struct subs *s, struct trie_node *n, struct sl_slice name,
                       struct subscription *sub)
{
    struct share_group *g = share_make(s, n, name);
    if (!g)
        return false;
    sub->at.group = g;
    if (share_join(g, sub))
        return true;
    share_drop_if_empty(s, g);
    return false;
}

static bool add_new(struct subs *s, struct session *session, const struct share_text *text,
                    const struct subscription *wanted)
{
    size_t bytes = bytes_of(text->filter) + text->name.len;
    if (session->sub_count >= SUBS_PER_SESSION_MAX || session->sub_bytes + bytes > SUBS_BYTES_MAX)
        return false;
    struct trie_node *n = node_with_list(s, text->filter);
    struct subscription *sub = n ? calloc(1, sizeof *sub) : NULL;
    if (!sub) {
        if (n)
            list_drop_if_empty(s, n);
        return false;
    }
    set_options(sub, wanted);
    sub->session = session;
    sub->bytes = (uint32_t)bytes;
    sub->shared = text->name.len > 0;
    uint32_t groups = ((struct sub_list *)n->value)->group_count;
    if (!(sub->shared ? join_group(s, n, text->name, sub) : join_list(n, sub))) {
        free(sub);
        list_drop_if_empty(s, n);
        return false;
    }
    link_to_session(s, sub);
    if (!sub->shared || ((struct sub_list *)n->value)->group_count != groups)
        note_change(s, n);
    return true;
}

static bool same_options(const struct subscription *a, const struct subscription *b)
{
    return a->id == b->id && a->qos == b->qos && a->no_local == b->no_local &&
           a->retain_as_published == b->retain_as_published;
}

bool subs_add(struct subs *s, struct session *session, struct sl_slice filter,
              const struct subscription *wanted, bool *ret_existed)
{
    struct share_text text;
    if (!share_split(filter, &text))
        return false;
    struct subscription *sub = find_existing(s, &text, session);
    *ret_existed = sub != NULL;
    if (!sub)
        return add_new(s, session, &text, wanted);
    if (same_options(sub, wanted))
        return true;
    set_options(sub, wanted);
    if (sub->shared)
        return share_update(sub->at.group, sub);
    note_change(s, sub->at.node);
    return true;
}

static void leave_list(struct subscription *sub)
{
    struct sub_list *l = sub->at.node->value;
    struct subscription *last = l->subs[--l->sub_count];
    l->subs[sub->index] = last;
    last->index = sub->index;
}

static void remove_subscription(struct subs *s, struct subscription *sub)
{
    struct session *session = sub->session;
    struct trie_node *n = node_of(sub);
    uint32_t groups = ((struct sub_list *)n->value)->group_count;
    if (sub->shared)
        share_leave(s, sub);
    else
        leave_list(sub);
    if (!sub->shared || ((struct sub_list *)n->value)->group_count != groups)
        note_change(s, n);
    list_drop_if_empty(s, n);
    if (sub->prev)
        sub->prev->next = sub->next;
    else
        session->subs = sub->next;
    if (sub->next)
        sub->next->prev = sub->prev;
    session->sub_count--;
    session->sub_bytes -= sub->bytes;
    s->count--;
    free(sub);
}

bool subs_remove(struct subs *s, struct session *session, struct sl_slice filter)
{
    struct share_text text;
    struct subscription *sub = share_split(filter, &text) ? find_existing(s, &text, session) : NULL;
    if (sub)
        remove_subscription(s, sub);
    return sub != NULL;
}

bool subs_has(const struct subs *s, const struct session *session, struct sl_slice filter)
{
    struct share_text text;
    return share_split(filter, &text) && find_existing(s, &text, session);
}

void subs_remove_all(struct subs *s, struct session *session)
{
    while (session->subs)
        remove_subscription(s, session->subs);
}

void subs_put_filter(const struct subscription *sub, struct sl_buf *out)
{
    const struct trie_node *levels[TRIE_LEVELS_MAX];
    const struct share_group *g = sub->shared ? sub->at.group : NULL;
    size_t depth = 0;
    for (const struct trie_node *n = g ? g->node : sub->at.node; n->parent; n = n->parent)
        levels[depth++] = n;
    if (g) {
        sl_buf_put_str(out, "$share/");
        sl_buf_put(out, g->name, g->name_len);
        sl_buf_put_u8(out, '/');
    }
    for (size_t i = depth; i-- > 0;) {
        sl_buf_put(out, levels[i]->level, levels[i]->level_len);
        if (i > 0)
            sl_buf_put_u8(out, '/');
    }
}

bool subs_add_tap(struct subs *s, struct broker_tap *tap, struct sl_slice filter)
{
    struct trie_node *n = node_with_list(s, filter);
    if (!n)
        return false;
    struct sub_list *l = n->value;
    void *array = l->taps;
    if (!sub_array_room(&array, l->tap_count, sizeof *l->taps)) {
        list_drop_if_empty(s, n);
        return false;
    }
    l->taps = array;
    l->taps[l->tap_count++] = tap;
    tap->node = n;
    note_change(s, n);
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
    note_change(s, tap->node);
    list_drop_if_empty(s, tap->node);
}

void subs_free(struct subs *s)
{
    topic_cache_free(s);
    share_free_ended(s);
    trie_free(&s->trie, free); /* lists are empty: sessions and taps are gone */
    *s = (struct subs){ 0 };
}
