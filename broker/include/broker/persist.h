/* persist.h - how a broker's sessions and retained messages outlive the process.
 *
 * The broker keeps everything in memory and knows no database: it says what is to be stored as rows
 * of bytes, and whoever owns it stores them, in order: what is on disk is always what was asked for
 * up to some moment between two turns of the loop. At the next start every stored row is handed
 * back before the first listener opens. Loop thread only. */
#ifndef BROKER_PERSIST_H
#define BROKER_PERSIST_H

#include "base/err.h"
#include "base/slice.h"

struct broker;

/* In the order in which they are to be restored; rows of a kind in bytewise order of their keys. */
enum broker_row {
    BROKER_ROW_META,
    BROKER_ROW_SESSION,      /* by number */
    BROKER_ROW_SUBSCRIPTION, /* by session and filter */
    BROKER_ROW_DELIVERY,     /* QoS 1 and 2 to a client, by session and sequence */
    BROKER_ROW_RECEIVED,     /* QoS 2 from a client, by session and packet id */
    BROKER_ROW_RETAINED,     /* by topic */
    BROKER_ROWS
};

/* Says what has become of everything asked for before: SL_OK, it is on disk. */
typedef void broker_safe_fn(void *ctx, enum sl_code result);

/* The store. No call comes back into the broker before it returns. When one of the first three is
 * false the store takes nothing until it has called broker_resync(). Slices are copied. A commit
 * ends in when_safe() or between two callbacks of the loop: so what one packet leads to is there as
 * a whole, or not at all. QoS 2 relies on that: a delivery and the packet id it came under. */
struct broker_persistence {
    void *ctx;
    /* The value is head and then tail. A row that is there is replaced. */
    bool (*put)(void *ctx, enum broker_row kind, struct sl_slice key, struct sl_slice head,
                struct sl_slice tail);
    bool (*remove)(void *ctx, enum broker_row kind, struct sl_slice key);
    /* from <= key < to. */
    bool (*remove_range)(void *ctx, enum broker_row kind, struct sl_slice from, struct sl_slice to);
    /* Calls fn once, from the loop, in the order of the calls. False: it will not. */
    bool (*when_safe)(void *ctx, broker_safe_fn *fn, void *fn_ctx);
};

/* One stored row. False: it could not be used (it is damaged, or belongs to nothing); it has been
 * ignored. */
bool broker_restore(struct broker *b, enum broker_row kind, struct sl_slice key,
                    struct sl_slice value);
/* There are no more. To be called once, also when there were none. */
void broker_restored(struct broker *b);
/* The store has lost what it had, and takes rows again: puts everything. */
void broker_resync(struct broker *b);

struct broker_persist_stats {
    uint64_t sessions, deliveries; /* that have rows now, or are to have them */
    uint64_t deliveries_put;       /* rows ever put for deliveries */
    uint64_t restored_sessions, restored_deliveries, restored_retained;
    uint64_t bad_rows; /* that could not be restored */
    uint64_t refused;  /* publishes, because the store could not take them */
    bool down;         /* between a failure and broker_resync() */
};
/* All zero without persistence. */
void broker_get_persist_stats(const struct broker *b, struct broker_persist_stats *ret);

#endif
