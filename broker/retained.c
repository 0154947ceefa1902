/* retained.c - retained messages in a tree of topics. */
#include "retained.h"

#include <stdlib.h>

enum {
    NODE_BYTES = 128,    /* about what a level takes in the tree */
    PURGE_STEPS = 50000, /* at a time: some milliseconds */
};

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

uint64_t retained_total(const struct retained *r)
{
    return r->bytes + r->trie.nodes * NODE_BYTES;
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
    if (retained_total(r) + sl_msg_size(m) > bytes_max) {
        trie_prune(&r->trie, n);
        return RETAINED_FULL;
    }
    n->value = sl_msg_ref(m);
    n->stamp = r->epoch;
    r->count++;
    r->expiring += m->expiry_s != SL_MSG_NO_EXPIRY;
    r->bytes += sl_msg_size(m);
    return RETAINED_DONE;
}

bool retained_purge(struct retained *r, int64_t now_mono_ms, retained_visit_fn *forgotten,
                    void *ctx)
{
    if (r->expiring == 0 && !r->purging)
        return true;
    if (!r->purging)
        trie_cursor_begin(&r->purge, &r->trie, sl_str("#"));
    r->purging = true;
    for (int i = 0; i < PURGE_STEPS && r->purge.at; i++) {
        struct trie_node *n = r->purge.at;
        if (n->value && sl_msg_expired(n->value, now_mono_ms)) {
            forgotten(ctx, n->value);
            drop_value(r, n); /* the step leaves the node, which prunes it */
        }
        trie_cursor_step(&r->purge);
    }
    r->purging = r->purge.at != NULL;
    return !r->purging;
}

void retained_visit(struct retained *r, retained_visit_fn *visit, void *ctx)
{
    struct trie_cursor walk;
    for (trie_cursor_begin(&walk, &r->trie, sl_str("#")); walk.at; trie_cursor_step(&walk))
        if (walk.at->value)
            visit(ctx, walk.at->value);
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
