/* state.h - a durable, ordered key-value store for what must survive a restart.
 *
 * Keys and values are bytes; a kind is a table of its own, in the bytewise order of its keys. The
 * owner holds everything in memory as well: it reads the store once, at the start, and from then on
 * only tells it what changes. Changes gather in a batch in memory and are committed in order, a
 * batch as one transaction, by a writer thread; so what is on disk is always a prefix of what was
 * asked for. A batch ends in state_when_safe() or between callbacks of the loop, so what is asked
 * for without one in between is committed together. Inside one batch, changes that a later one
 * makes void are not written at all.
 *
 * A commit starts at once when somebody waits (state_when_safe()) and none is under way; what comes
 * meanwhile is the next group. When nobody waits it starts after lazy_interval_ms.
 *
 * When a commit fails, or the bound of what waits is reached, what waits is dropped and whoever
 * waits is told; changes are refused from then on. Every few seconds the disk is tried again: once
 * it takes writes resync() is called, in which the owner puts everything that is to be there, and
 * that replaces the content in one transaction.
 *
 * Loop thread only. Callbacks never run inside the call that caused them (they come from the loop).
 * Ownership: slices are copied; slices given to a visitor live until it returns. */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/sync.h"

#include <uv.h>

enum state_kind {
    STATE_META,
    STATE_SESSION,
    STATE_SUBSCRIPTION,
    STATE_DELIVERY,
    STATE_RECEIVED,
    STATE_RETAINED,
    STATE_KINDS
};
const char *state_kind_name(enum state_kind kind); /* "meta", "session", ... */

struct state_options {
    uv_loop_t *loop;
    const struct sl_clock *clock;
    const char *path;        /* state.db; its folder exists. Borrowed during state_open() */
    const uint8_t *seal_key; /* SEAL_KEY_BYTES, copied: everything is sealed with it but numbers in
                                keys; NULL: it lies on the disk as it is */
    enum outbox_sync sync;
    int64_t commit_interval_ms; /* least time between the starts of two commits; 0: as often as the
                                   disk takes them, so that a wait is about one sync */
    int64_t lazy_interval_ms;   /* how long changes gather when nobody waits; 0 means 5 s */
    uint64_t memory_max_bytes;  /* bound of what is not committed yet, with some overhead a change;
                                   0 means 16 MiB. What resync() puts may pass it */
    /* Put everything that is to be in the store; may not close it. From the loop. */
    void (*resync)(void *ctx);
    void *ctx;
};

struct state_stats {
    uint64_t rows[STATE_KINDS]; /* in the tables, as loaded and changed since; what is still in the
                                   log only is not among them */
    uint64_t log_bytes;         /* committed, and not in the tables yet */
    uint64_t commits, changes_written, bytes_written_estimate, syncs_estimate, file_bytes;
    uint64_t waiting_bytes, waiting_changes; /* not committed yet */
    uint64_t bad_rows;                       /* skipped by state_load(): checksum */
    uint64_t bad_places; /* holes that damaged pages left in what state_load() could read */
    uint64_t resyncs;
    bool disk_ok;
    char disk_error[256]; /* when not disk_ok: what happened and what to do */
    char set_aside[512];  /* where a database that could not be used was moved; "" if none */
    char set_aside_why[160];
};

struct state;

/* Opens or makes the database; waits for the disk. One that cannot be used is moved aside with a
 * date in its name, and a fresh one is made (stats.set_aside tells). Where even that fails
 * (read-only, full) the store is empty, disk_ok is false, and the disk is tried again every few
 * seconds; a database found there only then is moved aside too, since nobody has read it. Fails
 * only for lack of memory or threads. */
SL_NODISCARD enum sl_code state_open(struct state **ret, const struct state_options *options,
                                     struct sl_err *err);
/* Blocking, before state_open(): SL_INVALID when the database is sealed with another key, or there
 * is none (NULL). Changes nothing. Opened all the same, the state would be empty, and stay so. */
SL_NODISCARD enum sl_code state_check_key(const char *path, const uint8_t *seal_key,
                                          struct sl_err *err);
/* After it, likewise: a database that was begun without a key is replaced by one that holds the
 * same, sealed; else nothing is done. Waits for the disk as long as that takes. When it fails
 * nothing was changed, and opened all the same the state would be empty, and stay so. */
struct state_sealed {
    bool done;
    uint64_t lost; /* rows, or places, of which nothing could be read */
};
SL_NODISCARD enum sl_code state_seal(const char *path, const uint8_t *seal_key,
                                     struct state_sealed *ret, struct sl_err *err);
/* Commits what waits (at most ~3 s), joins the writer, then calls closed(ctx) from the loop. From
 * then on s must not be touched; until then changes are refused. Who still waits is told before. */
void state_close(struct state *s, void (*closed)(void *ctx), void *ctx);

/* Every row of a kind in key order (with a seal_key retained messages, and the subscriptions of a
 * session, come in any); waits for the disk. At the start, before the loop runs. A row
 * that fails its checksum is skipped, counted and removed; damaged pages are stepped over. The
 * error says what could not be read; what could has been visited then all the same. */
typedef void state_visit_fn(void *ctx, struct sl_slice key, struct sl_slice value);
SL_NODISCARD enum sl_code state_load(struct state *s, enum state_kind kind, state_visit_fn *visit,
                                     void *ctx, struct sl_err *err);

/* Changes, done in the order of the calls. False: refused, nothing was taken; resync() will come.
 * Keys have at most STATE_KEY_MAX bytes, a subscription's begins with eight that stand for its
 * session; head and tail together at most STATE_VALUE_MAX. */
#define STATE_KEY_MAX   ((size_t)128 * 1024)
#define STATE_VALUE_MAX ((size_t)512 * 1024 * 1024)
/* The value is head followed by tail. A row that is there is replaced. */
SL_NODISCARD bool state_put(struct state *s, enum state_kind kind, struct sl_slice key,
                            struct sl_slice head, struct sl_slice tail);
SL_NODISCARD bool state_remove(struct state *s, enum state_kind kind, struct sl_slice key);
/* All keys from <= key < to. */
SL_NODISCARD bool state_remove_range(struct state *s, enum state_kind kind, struct sl_slice from,
                                     struct sl_slice to);

/* fn comes, once, when every change asked for so far is committed and synced (SL_OK) or cannot be:
 * SL_LIMIT (the bound was reached), SL_IO (the disk), SL_CLOSED. In the order of the calls. False
 * when memory is out: fn will not be called. */
typedef void state_safe_fn(void *ctx, enum sl_code result);
SL_NODISCARD bool state_when_safe(struct state *s, state_safe_fn *fn, void *ctx);

/* Cheap: bytes not committed yet. Whoever produces faster than the disk takes should pause well
 * before memory_max_bytes. */
uint64_t state_waiting_bytes(const struct state *s);
void state_get_stats(const struct state *s, struct state_stats *ret);

#endif
