/* trie_cursor.c - walking the tree step by step, with pauses in which it may change.
 *
 * The node where a cursor stands is pinned, and so are, by having a child, those above it. Children
 * are kept in order and new ones come last, so going on from a node misses nothing. */
#include "trie.h"

#include "base/topic.h"

static bool is_dollar(const struct trie_node *n)
{
    return n->level_len > 0 && n->level[0] == '$';
}

static void stand_at(struct trie_cursor *c, struct trie_node *n)
{
    struct trie_node *left = c->at;
    if (n)
        n->pins++;
    c->at = n;
    if (left && --left->pins == 0)
        trie_prune(c->trie, left);
}

void trie_cursor_begin(struct trie_cursor *c, struct trie *t, struct sl_slice filter)
{
    *c = (struct trie_cursor){ .trie = t, .filter = filter };
    struct sl_levels it = sl_levels(filter);
    for (struct sl_slice level; sl_levels_next(&it, &level);) {
        if (sl_slice_eq(level, sl_str("#")))
            c->hash = true;
        else
            c->fixed++;
    }
    stand_at(c, t->root);
}

void trie_cursor_end(struct trie_cursor *c)
{
    stand_at(c, NULL);
}

bool trie_cursor_fits(const struct trie_cursor *c)
{
    return c->depth == c->fixed || (c->hash && c->depth > c->fixed); /* "a/#" fits "a" */
}

/* The only level that children of a node at this depth may have; false when any will do. */
static bool one_level(const struct trie_cursor *c, uint16_t depth, struct sl_slice *ret)
{
    struct sl_levels it = sl_levels(c->filter);
    if (depth >= c->fixed)
        return false;
    for (uint16_t i = 0; i <= depth; i++)
        if (!sl_levels_next(&it, ret))
            return false;
    return !sl_slice_eq(*ret, sl_str("+"));
}

/* The first from n on that a wildcard at this depth may stand for: not a $-topic at the beginning
 * [MQTT-4.7.2-1]. */
static struct trie_node *wild(struct trie_node *n, uint16_t depth)
{
    while (n && depth == 0 && is_dollar(n))
        n = n->next;
    return n;
}

static struct trie_node *first_below(const struct trie_cursor *c)
{
    struct sl_slice level;
    if (c->depth >= c->fixed && !c->hash)
        return NULL;
    if (one_level(c, c->depth, &level))
        return trie_child(c->at, level);
    return wild(c->at->first_child, c->depth);
}

/* What follows n, which is at this depth, below the same parent. */
static struct trie_node *next_beside(const struct trie_cursor *c, const struct trie_node *n,
                                     uint16_t depth)
{
    struct sl_slice level;
    uint16_t above = (uint16_t)(depth - 1);
    return one_level(c, above, &level) ? NULL : wild(n->next, above);
}

void trie_cursor_step(struct trie_cursor *c)
{
    struct trie_node *n = c->at, *to = first_below(c);
    uint16_t depth = (uint16_t)(c->depth + 1);
    while (!to && --depth > 0) {
        to = next_beside(c, n, depth);
        n = n->parent;
    }
    c->depth = depth;
    stand_at(c, to);
}
