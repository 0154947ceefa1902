/* state_batch.h - changes that wait for their commit, in memory, in the order in which they came.
 *
 * Pure. A put of a key that the batch already holds takes that one's place where it fits and
 * nothing in between removed it: a topic that is retained again and again costs one record. */
#ifndef STORE_STATE_BATCH_H
#define STORE_STATE_BATCH_H

#include "state_ops.h"

struct state_batch; /* opaque */

struct state_batch *state_batch_new(void);    /* NULL when memory is out */
void state_batch_free(struct state_batch *b); /* accepts NULL */
/* Empty again; memory is kept for the next, up to a bound. */
void state_batch_reset(struct state_batch *b);

/* False when memory is out, or the batch would have more than bytes_max then: it is as it was. */
SL_NODISCARD bool state_batch_put(struct state_batch *b, enum state_kind kind, struct sl_slice key,
                                  struct sl_slice head, struct sl_slice tail, uint64_t bytes_max);
SL_NODISCARD bool state_batch_remove(struct state_batch *b, enum state_kind kind,
                                     struct sl_slice key, uint64_t bytes_max);
SL_NODISCARD bool state_batch_remove_range(struct state_batch *b, enum state_kind kind,
                                           struct sl_slice from, struct sl_slice to,
                                           uint64_t bytes_max);

size_t state_batch_count(const struct state_batch *b);
uint64_t state_batch_bytes(const struct state_batch *b); /* that it takes in memory */

/* Adds everything in it to ops, which then borrow from it. False when memory is out. */
SL_NODISCARD bool state_batch_list(const struct state_batch *b, struct state_ops *ops);

#endif
