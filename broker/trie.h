/* trie.h - a tree of topic levels, for filters (subscriptions) and for topics (retained messages).
 *
 * Nodes exist while they, or one below them, have a value, or a cursor stands there. "+" and "#"
 * are ordinary levels here; what they mean is decided by who walks. Depth is bounded by
 * TRIE_LEVELS_MAX. */
#ifndef BROKER_TRIE_H
#define BROKER_TRIE_H

#include "base/map.h"
#include "base/slice.h"

#define TRIE_LEVELS_MAX 200

struct trie_node {
    struct trie_node *parent; /* NULL for the root */
    struct sl_map children;
    struct trie_node *first_child, *next; /* children in the order in which they came */
    struct trie_node *prev;               /* the first one's is the last one */
    void *value;                          /* the user's */
    uint32_t stamp;                       /* the user's */
    uint32_t pins;                        /* cursors that stand here */
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

/* A walk, node by node, over the topics that a valid filter fits, in the order in which they came.
 * It may pause for as long as it likes while the tree changes: what was there before and stays is
 * passed exactly once. The filter must outlive it. */
struct trie_cursor {
    struct trie *trie;
    struct trie_node *at; /* NULL: at the end */
    struct sl_slice filter;
    uint16_t depth; /* of the node */
    uint16_t fixed; /* levels of the filter, "#" not counted */
    bool hash;      /* ends in "#" */
};
void trie_cursor_begin(struct trie_cursor *c, struct trie *t, struct sl_slice filter);
/* Whether the filter fits the node's topic: else it is only on the way. */
bool trie_cursor_fits(const struct trie_cursor *c);
void trie_cursor_step(struct trie_cursor *c); /* not at the end */
void trie_cursor_end(struct trie_cursor *c);  /* wherever it stands */

#endif
