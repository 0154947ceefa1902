/* fake_store.h - a store for tests that commits when it is told to, so that a broker can crash
 * between any two steps: what the next broker finds is what was committed, or more of it. */
#ifndef TESTS_BROKER_FAKE_STORE_H
#define TESTS_BROKER_FAKE_STORE_H

#include "broker/broker.h"
#include "broker/persist.h"

#include "base/buf.h"

#include <stdlib.h>

struct fake_row {
    struct sl_buf key, value;
};

struct fake_table {
    struct fake_row *rows; /* in order of their keys */
    size_t count, cap;
};

enum fake_what { FAKE_PUT, FAKE_REMOVE, FAKE_RANGE, FAKE_CLEAR, FAKE_WAITER };

struct fake_op {
    enum fake_what what;
    enum broker_row kind;
    struct sl_buf key, value; /* FAKE_RANGE: from, to */
    broker_safe_fn *fn;
    void *fn_ctx;
    bool ends_step; /* a commit may end behind it */
};

struct fake_store {
    struct broker_persistence face; /* for broker_options */
    struct fake_table tables[BROKER_ROWS];
    struct fake_op *ops; /* not committed */
    size_t op_count, op_cap;
    size_t puts[BROKER_ROWS]; /* since the start */
    size_t waits;             /* calls of when_safe */
    bool broken;              /* refuses changes */
    bool automatic;           /* commits at every store_turn() */
};

void store_open(struct fake_store *s);
void store_free(struct fake_store *s);
/* Commits what was asked for and tells who waits. */
void store_commit(struct fake_store *s);
/* Loses what is not committed, and tells who waits so; refuses until store_repair(). */
void store_break(struct fake_store *s);
/* Takes changes again, empty: the broker puts everything. */
void store_repair(struct fake_store *s, struct broker *b);
/* The broker has crashed: the disk may have taken ops of them more than anybody was told. Nobody is
 * told; store_bury() tells the old broker, once it is taken apart. */
void store_crash(struct fake_store *s, size_t ops);
/* The loop may turn to something else here: a real store's commit can end with what was asked for
 * until now, but never within one step, such as a PUBLISH. */
void store_step_over(struct fake_store *s);
/* As many ops, and those that are to come with them. */
size_t store_step_end(const struct fake_store *s, size_t ops);
void store_bury(struct fake_store *s);
/* Hands every row to a new broker. */
void store_restore(struct fake_store *s, struct broker *b);
size_t store_rows(const struct fake_store *s, enum broker_row kind);

#endif
