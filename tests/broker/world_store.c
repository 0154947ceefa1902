/* world_store.c - the world with a store under its broker: commits, failures, crashes, access
 * lists.
 */
#include "world.h"

#include "persist_internal.h"

#include <stdlib.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

void world_commit(struct world *w)
{
    if (!w->durable)
        return;
    if (w->crashing)
        store_bury(&w->store);
    else if (!w->store.broken)
        store_commit(&w->store);
}

void world_spill(struct world *w)
{
    struct persist *p = w->broker->persist;
    w->broker->now_ms = 0;
    if (!p || !uv_is_active((uv_handle_t *)&p->spill))
        return;
    (void)uv_timer_stop(&p->spill); /* always 0 */
    p->spill.timer_cb(&p->spill);
}

void world_break(struct world *w)
{
    if (!w->durable)
        return;
    w->failed = true;
    w->unsafe = true; /* what is refused may have been handed out to those who need no store */
    if (w->store.broken)
        store_repair(&w->store, w->broker);
    else
        store_break(&w->store);
}

/* Serials that were under way are sent again in whatever order. */
void world_crash(struct world *w, size_t ops)
{
    if (!w->durable)
        return;
    w->lapped = true;
    ops = store_step_end(&w->store, ops);
    w->forgets |= w->failed || ops < w->store.op_count;
    w->failed = false;
    store_crash(&w->store, ops);
    w->crashing = true;
    world_end(w);
    store_bury(&w->store);
    w->crashing = w->holds_commits = false;
    world_start(w);
    world_deny(w, w->denied);
    store_restore(&w->store, w->broker);
    world_second(w);
}

static struct acl *list_against(const char *topic)
{
    const char *const denied[] = { topic, NULL }, *const all[] = { "#", "$SYS/#", "$x", NULL };
    const struct acl_entry_options entries[] = { { .deny = denied },
                                                 { .publish = all, .subscribe = all } };
    return acl_new(entries, SL_ARRAY_LEN(entries));
}

void world_deny(struct world *w, unsigned topic)
{
    struct acl *list = topic > 0 ? list_against(world_topics[topic - 1]) : NULL;
    must(list || topic == 0);
    broker_set_acl(w->broker, list);
    acl_unref(list);
    w->denied = topic;
    for (unsigned i = 0; i < ACTORS; i++) {
        struct actor *a = &w->actors[i];
        a->heard = a->open && outq_left(&a->client.out) == 0 && a->received.len == 0;
    }
}
