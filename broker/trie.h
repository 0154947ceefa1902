/* trie.h - a tree of topic levels, for filters (subscriptions) and for topics (retained messages).
 *
 * Nodes exist while they, or one below them, have a value. "+" and "#" are ordinary levels here;
 * what they mean is decided by who walks. Depth is bounded by TRIE_LEVELS_MAX. */
#ifndef BROKER_TRIE_H
#define BROKER_TRIE_H

#include "base/map.h"
#include "base/slice.h"

#define TRIE_LEVELS_MAX 200

struct trie_node {
    struct trie_node *parent; /* NULL for the root */
    struct sl_map children;
    void *value; /* the user's */
    uint16_t level_len;
    uint8_t level[];
};

struct trie {
    struct trie_node *root; /* made with the first value */
    size_t nodes;
};

/* Whether a topic or filter has at most TRIE_LEVELS_MAX levels. */
bool trie_depth_ok(struct sl_slice topic);
struct trie_node *trie_find(const struct trie *t, struct sl_slice topic);
/* Finds or makes the node; NULL when memory is out or it is too deep. */
struct trie_node *trie_make(struct trie *t, struct sl_slice topic);
struct trie_node *trie_child(const struct trie_node *n, struct sl_slice level);
/* A node's topic or filter, as far as it fits; returns its whole length. */
size_t trie_path(const struct trie_node *n, uint8_t *buf, size_t size);
/* To be called when a node's value has become NULL: removes it and its ancestors as far as they are
 * empty. */
void trie_prune(struct trie *t, struct trie_node *n);
/* Frees all nodes; each value that is not NULL is handed to free_value first. */
void trie_free(struct trie *t, void (*free_value)(void *value));

/* Visits the values of filters in t that fit topic. */
typedef void trie_visit_fn(void *ctx, struct trie_node *n);
void trie_match_topic(const struct trie *t, struct sl_slice topic, trie_visit_fn *visit, void *ctx);
/* Visits the values of topics in t that filter fits. The visitor must not change the tree. */
void trie_match_filter(const struct trie *t, struct sl_slice filter, trie_visit_fn *visit,
                       void *ctx);

#endif
