/* core_held.c - publishers of messages that were lost before they were safe, on purpose or because
 * they had to give way: acknowledged when the ledger has the loss on disk, since sending it again
 * would only lose it again. No I/O. */
#include "core_private.h"

#include <stdlib.h>

/* How long a publisher may wait for the ledger: each such commit is a page or two for the flash,
 * and publishers that wait cannot send more than they may have unacknowledged. */
enum { HELD_MS = 250 };

/* Without memory, or without another commit, it is called at once. */
void core_hold_call(struct core *c, struct entry *e)
{
    bool may_be_told = e->on_safe && !e->queued && c->disk_state < CORE_ENDING;
    struct held_call *call = may_be_told ? malloc(sizeof *call) : NULL;
    if (!call)
        return;
    *call = (struct held_call){ e->on_safe, e->ctx, NULL };
    if (c->held_last)
        c->held_last->next = call;
    else
        c->held = call;
    c->held_last = call;
    e->on_safe = NULL;
    core_forget_soon(c, HELD_MS);
}

static void call_all(struct held_call **list, enum sl_code result)
{
    struct held_call *next;
    for (struct held_call *call = *list; call; call = next) {
        next = call->next;
        *list = next;
        if (call->fn)
            call->fn(call->ctx, result);
        free(call);
    }
}

void core_held_close(struct core *c)
{
    struct held_call *held = c->held;
    c->held = c->held_last = NULL; /* what the calls bring about comes behind them */
    call_all(&held, SL_CLOSED);
}

void core_held_free(struct core *c)
{
    struct held_call **lists[] = { &c->held, &c->held_landing };
    for (size_t i = 0; i < SL_ARRAY_LEN(lists); i++) {
        for (struct held_call *call = *lists[i]; call; call = call->next)
            call->fn = NULL;
        call_all(lists[i], SL_CLOSED);
    }
}

void core_held_in_commit(struct core *c)
{
    c->held_landing = c->held;
    c->held = c->held_last = NULL;
}

/* When it failed the next commit has the ledger as well. */
void core_held_landed(struct core *c, enum sl_code code)
{
    if (code == SL_OK || c->disk_state >= CORE_ENDING) { /* then there is no next one */
        call_all(&c->held_landing, code == SL_OK ? SL_OK : SL_CLOSED);
        return;
    }
    struct held_call **last = &c->held_landing;
    while (*last)
        last = &(*last)->next;
    *last = c->held;
    if (c->held_landing && !c->held_last)
        c->held_last = SL_CONTAINER_OF(last, struct held_call, next);
    c->held = c->held_landing;
    c->held_landing = NULL;
}
