/* state_wait.h - who waits for which batch: a queue in the order of the calls. Pure. */
#ifndef STORE_STATE_WAIT_H
#define STORE_STATE_WAIT_H

#include "store/state.h"

struct state_waiter {
    state_safe_fn *fn;
    void *ctx;
    uint64_t batch;
    enum sl_code code;
};

/* The zero value is empty. */
struct state_wait {
    struct state_waiter *at;
    size_t head, count, cap; /* from at[head] to at[count - 1] */
};

/* False when memory is out. */
SL_NODISCARD bool state_wait_add(struct state_wait *w, const struct state_waiter *waiter);
/* Whoever waits for that batch will be told so. */
void state_wait_fail(struct state_wait *w, uint64_t batch, enum sl_code code);
/* The first, if it waits for a batch before `end`: takes it out. */
bool state_wait_take(struct state_wait *w, uint64_t end, struct state_waiter *ret);
/* Whether the first does. */
bool state_wait_ready(const struct state_wait *w, uint64_t end);
static inline size_t state_wait_count(const struct state_wait *w)
{
    return w->count - w->head;
}

void state_wait_free(struct state_wait *w);

#endif
