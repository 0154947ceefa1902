/* retained.c - retained messages in a tree of topics. */
#include "retained.h"

static void forget(struct retained *r, struct sl_slice topic)
{
    struct trie_node *n = trie_find(&r->trie, topic);
    if (!n || !n->value)
        return;
    sl_msg_unref(n->value);
    n->value = NULL;
    r->count--;
    trie_prune(&r->trie, n);
}

bool retained_set(struct retained *r, struct sl_msg *m)
{
    if (m->payload_len == 0) {
        forget(r, sl_msg_topic(m));
        return true;
    }
    struct trie_node *n = trie_make(&r->trie, sl_msg_topic(m));
    if (!n)
        return false;
    if (!n->value)
        r->count++;
    sl_msg_unref(n->value);
    n->value = sl_msg_ref(m);
    return true;
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
