/* core_lane.c - what happens to one message: taken, settled, lost, called back for. No I/O. */
#include "core_private.h"

#include <assert.h>
#include <stdlib.h>

static struct entry *skip_gone(struct entry *e)
{
    while (e && e->gone)
        e = e->next;
    return e;
}

/* Whether its row may be on disk is told by where it stands: head or tail. */
static bool in_head(const struct entry *e)
{
    return e->where == ENTRY_DISK;
}

struct entry *lane_first_untaken(const struct core *c, const struct lane *l)
{
    if (!c->tried)
        return NULL;
    if (l->head_next)
        return l->head_next;
    return l->gap == 0 ? l->tail_next : NULL;
}

/* Move the list's "first untaken" past e, which is that; of the tail the last may go, too. */
static void pass(struct lane *l, struct entry *e)
{
    if (in_head(e)) {
        assert(l->head_next == e);
        l->head_next = e->next;
        l->ahead--;
        l->ahead_bytes -= e->bytes;
    } else {
        l->tail_next = l->tail_next == e ? skip_gone(e->next) : l->tail_next; /* or it is last */
    }
}

void lane_mark_taken(struct core *c, struct lane *l, struct entry *e)
{
    assert(!e->taken);
    pass(l, e);
    e->taken = true;
    c->in_flight++;
}

bool ranges_add(struct ranges *r, struct disk_range add)
{
    struct disk_range *last = r->count > 0 ? &r->v[r->count - 1] : NULL;
    if (last && last->lane == add.lane && add.first == last->last + 1) {
        last->last = add.last;
        return true;
    }
    if (r->count == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 64;
        struct disk_range *v = realloc(r->v, cap * sizeof *v);
        if (!v)
            return false;
        r->v = v;
        r->cap = cap;
    }
    assert(r->v);
    r->v[r->count++] = add;
    return true;
}

void core_forget_soon(struct core *c, int64_t within_ms)
{
    int64_t at = core_now(c) + within_ms;
    if (at < c->forget_at)
        c->forget_at = at;
}

/* Out of memory here leaves the row on disk: it goes to the cloud once more after a restart, under
 * the identity it had. */
void core_forget_row(struct core *c, enum outbox_lane lane, uint64_t number, uint32_t bytes,
                     bool counted)
{
    if (!ranges_add(&c->gone, (struct disk_range){ number, number, lane }))
        return;
    struct lane *l = &c->lane[lane];
    if (counted) {
        l->forget++;
        l->forget_bytes += bytes;
    }
    uint64_t under_way = c->group.out ? c->group.forgot[lane] : 0;
    core_forget_soon(c, l->forget - under_way < FORGET_ROWS ? FORGET_MS : 0);
}

void core_call_safe(struct core *c, struct entry *e, enum sl_code result)
{
    if (!e->on_safe || e->queued)
        return;
    e->result = result;
    e->queued = true;
    e->call_next = NULL;
    if (c->calls_last)
        c->calls_last->call_next = e;
    else
        c->calls_first = e;
    c->calls_last = e;
    c->wake_now = true;
}

/* The entry is in no list any more. Its callback, if one is due, still comes. */
void core_release(struct core *c, struct entry *e)
{
    (void)c;
    sl_msg_unref(e->item.msg);
    e->item.msg = NULL;
    if (e->queued)
        e->released = true;
    else
        free(e);
}

/* The message's way ends here: it no longer waits, its row (if any) will be deleted, and whoever
 * waits for it is told. The caller counts it as delivered or lost. */
void core_settle(struct core *c, struct entry *e, enum sl_code result)
{
    enum outbox_lane lane = e->item.lane;
    struct lane *l = &c->lane[lane];
    assert(!e->gone);
    if (e->taken)
        c->in_flight--;
    else
        pass(l, e);
    e->taken = false;
    l->waiting--;
    l->waiting_bytes -= e->bytes;
    c->bytes -= e->bytes;
    c->dirty = true;
    core_call_safe(c, e, result);
    if (e->where == ENTRY_WRITING) {
        e->gone = true; /* the writer reads its message: the commit's end clears up */
        return;
    }
    if (in_head(e)) {
        entry_list_remove(&l->head, e);
        core_forget_row(c, lane, e->number, e->bytes, true);
    } else {
        entry_list_remove(&l->tail, e);
        c->memory -= e->footprint;
        if (e->maybe_row)
            core_forget_row(c, lane, e->number, e->bytes, false);
    }
    core_release(c, e);
}

void core_lose(struct core *c, enum outbox_lane lane, enum outbox_loss why, uint64_t count)
{
    struct disk_loss *loss = &c->lane[lane].loss[why];
    int64_t now = sl_wall_ms(c->options.clock);
    if (loss->first_ms == 0)
        loss->first_ms = now;
    loss->last_ms = now;
    loss->count += count;
    c->lane[lane].lost += count;
    c->dirty = true;
    core_forget_soon(c,
                     FORGET_MS); /* losses are persisted soon, deliveries when there is a commit */
}

void core_drop(struct core *c, struct entry *e, enum outbox_loss why)
{
    core_lose(c, e->item.lane, why, 1);
    if (core_gives_way(c, why))
        core_hold_call(c, e);
    core_settle(c, e, SL_LIMIT);
}
