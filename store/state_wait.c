/* state_wait.c - an array that is begun anew whenever it has run empty. */
#include "state_wait.h"

#include <stdlib.h>

#define KEEP_MAX 4096 /* waiters that an empty queue keeps room for */

/* What was taken from the front makes room before more memory does. */
static bool make_room(struct state_wait *w)
{
    if (w->head > w->cap / 2) {
        memmove(w->at, w->at + w->head, (w->count - w->head) * sizeof *w->at);
        w->count -= w->head;
        w->head = 0;
        return true;
    }
    size_t cap = w->cap > 0 ? w->cap * 2 : 16;
    struct state_waiter *at = realloc(w->at, cap * sizeof *at);
    if (!at)
        return false;
    w->at = at;
    w->cap = cap;
    return true;
}

bool state_wait_add(struct state_wait *w, const struct state_waiter *waiter)
{
    if (w->count == w->cap && !make_room(w))
        return false;
    w->at[w->count++] = *waiter;
    return true;
}

/* Later batches are at the end. */
void state_wait_fail(struct state_wait *w, uint64_t batch, enum sl_code code)
{
    for (size_t i = w->count; i > w->head && w->at[i - 1].batch >= batch; i--)
        if (w->at[i - 1].batch == batch && w->at[i - 1].code == SL_OK)
            w->at[i - 1].code = code;
}

bool state_wait_ready(const struct state_wait *w, uint64_t end)
{
    return w->head < w->count && w->at[w->head].batch < end;
}

bool state_wait_take(struct state_wait *w, uint64_t end, struct state_waiter *ret)
{
    if (!state_wait_ready(w, end))
        return false;
    *ret = w->at[w->head++];
    if (w->head < w->count)
        return true;
    w->head = w->count = 0;
    if (w->cap > KEEP_MAX)
        state_wait_free(w);
    return true;
}

void state_wait_free(struct state_wait *w)
{
    free(w->at);
    *w = (struct state_wait){ 0 };
}
