/* trie.c - the tree of topic levels. */
#include "trie.h"

#include "base/topic.h"

#include <stdlib.h>

static struct sl_slice level_of(const void *value)
{
    const struct trie_node *n = value;
    return (struct sl_slice){ n->level, n->level_len };
}

bool trie_depth_ok(struct sl_slice topic)
{
    size_t levels = 1;
    for (size_t i = 0; i < topic.len; i++)
        levels += topic.ptr[i] == '/';
    return levels <= TRIE_LEVELS_MAX;
}

struct trie_node *trie_child(const struct trie_node *n, struct sl_slice level)
{
    return sl_map_get(&n->children, level_of, level);
}

struct trie_node *trie_find(const struct trie *t, struct sl_slice topic)
{
    struct trie_node *n = t->root;
    struct sl_levels it = sl_levels(topic);
    for (struct sl_slice level; n && sl_levels_next(&it, &level);)
        n = trie_child(n, level);
    return n;
}

static void append_child(struct trie_node *parent, struct trie_node *n)
{
    struct trie_node *first = parent->first_child;
    if (!first) {
        parent->first_child = n->prev = n;
        return;
    }
    n->prev = first->prev;
    first->prev->next = n;
    first->prev = n;
}

static void remove_child(struct trie_node *parent, struct trie_node *n)
{
    struct trie_node *first = parent->first_child;
    if (n == first)
        parent->first_child = n->next;
    else
        n->prev->next = n->next;
    if (n->next)
        n->next->prev = n->prev;
    else if (n != first)
        first->prev = n->prev;
}

static struct trie_node *node_new(struct trie *t, struct trie_node *parent, struct sl_slice level)
{
    struct trie_node *n = calloc(1, sizeof *n + level.len);
    if (!n)
        return NULL;
    n->parent = parent;
    n->level_len = (uint16_t)level.len; /* topics are at most 65,535 bytes */
    if (level.len > 0)
        memcpy(n->level, level.ptr, level.len);
    if (parent && !sl_map_put(&parent->children, level_of, n)) {
        free(n);
        return NULL;
    }
    if (parent)
        append_child(parent, n);
    t->nodes++;
    return n;
}

struct trie_node *trie_make(struct trie *t, struct sl_slice topic)
{
    if (!trie_depth_ok(topic))
        return NULL;
    if (!t->root && !(t->root = node_new(t, NULL, (struct sl_slice){ 0 })))
        return NULL;
    struct trie_node *n = t->root;
    struct sl_levels it = sl_levels(topic);
    for (struct sl_slice level; sl_levels_next(&it, &level);) {
        struct trie_node *next = trie_child(n, level);
        if (!next)
            next = node_new(t, n, level);
        if (!next) {
            trie_prune(t, n);
            return NULL;
        }
        n = next;
    }
    return n;
}

/* Written from its end, once its length is known. */
size_t trie_path(const struct trie_node *n, uint8_t *buf, size_t size)
{
    size_t len = 0;
    for (const struct trie_node *at = n; at->parent; at = at->parent)
        len += at->level_len + (at->parent->parent ? 1u : 0u);
    if (len > size)
        return len;
    size_t end = len;
    for (const struct trie_node *at = n; at->parent; at = at->parent) {
        end -= at->level_len;
        if (at->level_len > 0)
            memcpy(buf + end, at->level, at->level_len);
        if (end > 0)
            buf[--end] = '/';
    }
    return len;
}

void trie_prune(struct trie *t, struct trie_node *n)
{
    while (n && !n->value && n->children.count == 0 && n->pins == 0) {
        struct trie_node *parent = n->parent;
        if (parent) {
            remove_child(parent, n);
            sl_map_remove(&parent->children, level_of, n);
        } else {
            t->root = NULL;
        }
        free(n);
        t->nodes--;
        n = parent;
    }
}

static void free_below(struct trie_node *n, void (*free_value)(void *value))
{
    for (struct trie_node *child = n->first_child, *next; child; child = next) {
        next = child->next;
        free_below(child, free_value);
    }
    sl_map_free(&n->children);
    if (n->value)
        free_value(n->value);
    free(n);
}

void trie_free(struct trie *t, void (*free_value)(void *value))
{
    if (t->root)
        free_below(t->root, free_value);
    *t = (struct trie){ 0 };
}

struct walk {
    trie_visit_fn *visit;
    void *ctx;
};

static void visit_value(const struct walk *w, struct trie_node *n)
{
    if (n && n->value)
        w->visit(w->ctx, n);
}

/* Recursion is as deep as the tree, so at most TRIE_LEVELS_MAX. */
static void match_topic(const struct walk *w, const struct trie_node *n, struct sl_levels it,
                        bool wildcards)
{
    struct sl_slice level;
    struct trie_node *hash = wildcards ? trie_child(n, sl_str("#")) : NULL;
    visit_value(w, hash); /* also where the topic ends here: '#' fits its parent [MQTT-4.7.1-2] */
    if (!sl_levels_next(&it, &level))
        return;
    struct trie_node *next[2] = { trie_child(n, level),
                                  wildcards ? trie_child(n, sl_str("+")) : NULL };
    for (size_t i = 0; i < SL_ARRAY_LEN(next); i++) {
        if (!next[i])
            continue;
        if (!it.more)
            visit_value(w, next[i]);
        match_topic(w, next[i], it, true);
    }
}

void trie_match_topic(const struct trie *t, struct sl_slice topic, trie_visit_fn *visit, void *ctx)
{
    struct walk w = { visit, ctx };
    bool dollar = topic.len > 0 && topic.ptr[0] == '$'; /* [MQTT-4.7.2-1] */
    if (t->root)
        match_topic(&w, t->root, sl_levels(topic), !dollar);
}
