/* state_ops.h - changes to the state as a list, and what of it is left once it is settled.
 *
 * Pure: no I/O, no clock. Slices in a list belong to whoever made it. */
#ifndef STORE_STATE_OPS_H
#define STORE_STATE_OPS_H

#include "base/buf.h"
#include "base/slice.h"
#include "store/state.h"

enum state_what { STATE_OP_RANGE, STATE_OP_REMOVE, STATE_OP_PUT }; /* the order of settled ones */

struct state_op {
    struct sl_slice key;   /* of a range: from */
    struct sl_slice value; /* of a range: to */
    uint32_t seq;          /* its place among those that were added */
    uint8_t what;          /* enum state_what */
    uint8_t kind;          /* enum state_kind */
    bool dead;             /* only while settling */
};

/* The zero value is empty. */
struct state_ops {
    struct state_op *at;
    size_t count, cap;
};

/* False when memory is out: nothing was added. */
SL_NODISCARD bool state_ops_add(struct state_ops *ops, enum state_what what, enum state_kind kind,
                                struct sl_slice key, struct sl_slice value);
void state_ops_free(struct state_ops *ops);

/* Bytewise; a prefix comes before what it begins. */
int state_key_compare(struct sl_slice a, struct sl_slice b);

/* Puts the list into the order in which it is cheapest to do, and leaves out what a later change
 * makes void: first the ranges, joined where they touch, then at most one change a key, sorted. The
 * outcome is the same. False when memory is out: the list is then in no useful order. */
SL_NODISCARD bool state_ops_settle(struct state_ops *ops);

/* ---- as bytes: a row of the log ---- */

/* How many bytes it takes, at least: one change a call, to be added up. */
size_t state_op_bytes(const struct state_op *op);
void state_ops_pack(const struct state_ops *ops, struct sl_buf *to);
/* Adds what is packed in `from`, which must stay where it is. SL_CORRUPT: nothing of it is added,
 * and what was there stays. */
SL_NODISCARD enum sl_code state_ops_unpack(struct state_ops *ops, struct sl_slice from);

#endif
