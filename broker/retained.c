/* retained.c - retained messages in a tree of topics. */
#include "retained.h"

#include <stdlib.h>

enum { NODE_BYTES = 128 }; /* about what a level takes in the tree */

static void drop_value(struct retained *r, struct trie_node *n)
{
    struct sl_msg *m = n->value;
    if (!m)
        return;
    r->count--;
    r->expiring -= m->expiry_s != SL_MSG_NO_EXPIRY;
    r->bytes -= sl_msg_size(m);
    sl_msg_unref(m);
    n->value = NULL;
}

static void forget(struct retained *r, struct trie_node *n)
{
    drop_value(r, n);
    trie_prune(&r->trie, n);
}

enum retained_result retained_set(struct retained *r, struct sl_msg *m, uint64_t bytes_max)
{
    struct trie_node *n;
    if (m->payload_len == 0) {
        if ((n = trie_find(&r->trie, sl_msg_topic(m))) && n->value)
            forget(r, n);
        return RETAINED_DONE;
    }
    if (!(n = trie_make(&r->trie, sl_msg_topic(m))))
        return RETAINED_NO_MEMORY;
    drop_value(r, n);
    if (r->bytes + sl_msg_size(m) + r->trie.nodes * NODE_BYTES > bytes_max) {
        trie_prune(&r->trie, n);
        return RETAINED_FULL;
    }
    n->value = sl_msg_ref(m);
    r->count++;
    r->expiring += m->expiry_s != SL_MSG_NO_EXPIRY;
    r->bytes += sl_msg_size(m);
    return RETAINED_DONE;
}

struct expired {
    int64_t now_mono_ms;
    struct trie_node **nodes;
    uint64_t count;
};

static void note_expired(void *ctx, struct trie_node *n)
{
    struct expired *e = ctx;
    if (sl_msg_expired(n->value, e->now_mono_ms))
        e->nodes[e->count++] = n;
}

void retained_purge(struct retained *r, int64_t now_mono_ms)
{
    struct expired e = { .now_mono_ms = now_mono_ms };
    if (r->expiring == 0 || !(e.nodes = calloc(r->expiring, sizeof(struct trie_node *))))
        return; /* without memory, another time */
    trie_match_filter(&r->trie, sl_str("#"), note_expired, &e);
    for (uint64_t i = 0; i < e.count; i++)
        forget(r, e.nodes[i]); /* prunes nodes without a value only: the others are still there */
    free(e.nodes);
}

struct visit {
    retained_visit_fn *fn;
    void *ctx;
};

static void visit_node(void *ctx, struct trie_node *n)
{
    const struct visit *v = ctx;
    v->fn(v->ctx, n->value);
}

void retained_match(struct retained *r, struct sl_slice filter, retained_visit_fn *visit, void *ctx)
{
    struct visit v = { visit, ctx };
    trie_match_filter(&r->trie, filter, visit_node, &v);
}

static void unref_value(void *value)
{
    sl_msg_unref(value);
}

void retained_free(struct retained *r)
{
    trie_free(&r->trie, unref_value);
    *r = (struct retained){ 0 };
}
