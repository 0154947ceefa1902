/* outbox.h - what waits for the cloud: three lanes, each one FIFO whose head may lie on disk.
 *
 * New messages go to memory. One that the cloud has not acknowledged within spill_after is appended
 * to disk, and as long as a lane has anything on disk later messages queue behind it; while the
 * link is known to be down nothing waits for it. One writer thread owns the only SQLite connection:
 * it takes what has gathered, commits it as one transaction, and reports back to the loop.
 *
 * Promises: on_safe(SL_OK) is called only once the message is acknowledged by the cloud or
 * committed (synced as `sync` says). accepted = delivered + waiting + lost, by lane, exactly, at
 * all times. Numbers in a lane only grow and never repeat, across restarts and crashes too. Memory
 * does not grow with the backlog; neither does start-up time.
 *
 * Numbers begin high (they follow the clock's seconds), have gaps, and stay below 2^53. Rows are
 * only added while a reserve of the file system stays free (8 MiB, or an eighth of a smaller one),
 * or in the place of rows that have left: on a full disk when_full applies before max_bytes.
 *
 * Loop thread only. Callbacks never run inside the call that caused them (they come from the loop),
 * so callers need not be re-entrant. */
#ifndef STORE_OUTBOX_H
#define STORE_OUTBOX_H

#include "base/clock.h"
#include "base/err.h"
#include "base/msg.h"
#include "store/sync.h"

#include <uv.h>

enum outbox_lane { OUTBOX_ALERT, OUTBOX_NORMAL, OUTBOX_TELEMETRY, OUTBOX_LANES };
const char *outbox_lane_name(enum outbox_lane lane); /* "alert", "normal", "telemetry" */
SL_NODISCARD bool outbox_lane_parse(struct sl_slice name, enum outbox_lane *ret);

/* THIN: of the oldest half of the telemetry lane every second message of each topic goes, and again
 * when that is full; what cannot be thinned any more is dropped, the oldest first. */
enum outbox_when_full { OUTBOX_DROP_OLDEST, OUTBOX_DROP_NEWEST, OUTBOX_REFUSE, OUTBOX_THIN };

/* Why a message was lost: the ledger's rows. */
enum outbox_loss {
    OUTBOX_LOST_FULL,    /* max_bytes: oldest (or newest) dropped */
    OUTBOX_LOST_AGE,     /* older than max_age, or its own ttl */
    OUTBOX_LOST_DEAD,    /* the cloud can never take it: in the dead letters */
    OUTBOX_LOST_DISK,    /* the disk takes nothing at all, and memory's bound reached */
    OUTBOX_LOST_CORRUPT, /* a row failed its checksum, or a database was set aside */
    OUTBOX_LOST_PURGED,  /* by hand */
    OUTBOX_LOST_BURST,   /* came faster than the disk takes it, and memory's bound reached */
    OUTBOX_LOST_THINNED, /* max_bytes, or the disk: one of two messages of a topic, of the oldest
                            telemetry */
    OUTBOX_LOST_NO_ROOM, /* as FULL, but the disk was full before max_bytes was reached */
    OUTBOX_LOSSES
};
const char *outbox_loss_name(enum outbox_loss why);

struct outbox_options {
    uv_loop_t *loop;
    const struct sl_clock *clock;
    bool (*clock_is_set)(void); /* whether the wall clock has the time, once it shows more than
                                   SL_WALL_PLAUSIBLE_MS; NULL: always */
    const char *path;           /* queue.db; its folder exists. Borrowed during outbox_open() */
    uint64_t
        max_bytes; /* payload, topic, properties and a fixed overhead a row; covers all lanes */
    int64_t max_age_ms;
    const uint8_t *seal_key; /* SEAL_KEY_BYTES, copied: rows are sealed with it; NULL: they lie on
                                the disk as they are */
    enum outbox_when_full when_full;
    int64_t spill_after_ms, commit_interval_ms;
    enum outbox_sync sync;
    uint64_t memory_max_bytes; /* bound of what is in memory only, eight times as much for what has
                                  an on_safe while the disk works; 0 means 4 MiB */
    uint32_t read_ahead;       /* messages read from disk ahead of sending; 0 means 256 */
};

/* What an accepted message is called back with, once: SL_OK when it is safe, or has given way as
 * when_full says and the ledger has that on disk; SL_LIMIT when it was dropped before it was safe
 * for another reason (age, memory bound); SL_CLOSED when the outbox closed first. */
typedef void outbox_safe_fn(void *ctx, enum sl_code result);

/* A message on its way out, lent to the sender between outbox_take() and one of ack, dead, or
 * return. */
struct outbox_item {
    struct sl_msg
        *msg; /* topic is the cloud's; qos and retain as to be sent; wall_ms when accepted */
    enum outbox_lane lane;
    uint64_t number; /* the identity's last part */
    /* When it was accepted, put right if the clock was set only later, also while it is lent:
     * outbox_tell_time(). 0: not known. */
    int64_t wall_ms;
    void *sender_data; /* the sender's own; NULL when taken */
};

struct outbox_lane_stats {
    uint64_t accepted, delivered, waiting, lost; /* accepted = delivered + waiting + lost */
    uint64_t waiting_bytes, on_disk;
    int64_t oldest_wall_ms; /* of what waits; 0 when nothing does, or its time is not known */
    struct {
        uint64_t count;
        int64_t first_ms, last_ms; /* wall clock */
    } loss[OUTBOX_LOSSES];
};

struct outbox_stats {
    struct outbox_lane_stats lane[OUTBOX_LANES];
    uint64_t thin_passes; /* ended since the start */
    uint64_t in_memory, in_flight, commits, rows_written, bytes_written_estimate, syncs_estimate,
        dead;
    uint64_t file_bytes;
    uint64_t lost_written; /* losses, of all lanes and reasons, that the ledger on the disk has */
    bool opening; /* the first open is still under way: what is on disk is not counted yet */
    bool disk_ok; /* also true while the first open is still under way */
    bool no_room; /* not disk_ok, but what is there can be deleted: when_full makes room */
    char disk_error[256]; /* when not disk_ok: what happened and what to do */
    char set_aside[512];  /* where a database that could not be used was moved; "" if none */
    char set_aside_why[160];
    uint64_t salvaged; /* rows that were brought over from it */
    uint64_t kept;     /* on a disk that cannot be written since the start: not counted, nor sent,
                          before it can */
};

struct outbox;

/* Opens or makes the database. One that cannot be used is moved aside with a date in its name and a
 * fresh one is started (stats.set_aside tells) with the rows that could be read; meanwhile nothing
 * is given to the sender, so that the order stays. Where even that fails (read-only, full), the
 * outbox runs in bounded memory, disk_ok is false, and the disk is tried again every few seconds.
 * Fails only for lack of memory or threads. */
SL_NODISCARD enum sl_code outbox_open(struct outbox **ret, const struct outbox_options *options,
                                      struct sl_err *err);
/* Blocking, before outbox_open(): SL_INVALID when the database is sealed with another key, or there
 * is none (NULL). Changes nothing. Opened all the same, the outbox would run in memory only. */
SL_NODISCARD enum sl_code outbox_check_key(const char *path, const uint8_t *seal_key,
                                           struct sl_err *err);
/* Spills what is in memory, waits for the commit (at most ~3 s), joins the writer, then calls
 * closed(ctx) from the loop. Return what is taken before. From then on o must not be touched; until
 * then puts are refused and takes give nothing. */
void outbox_close(struct outbox *o, void (*closed)(void *ctx), void *ctx);

/* Accept m into lane (takes its own reference). on_safe may be NULL. False when when_full is
 * `refuse` and there is no room, or memory is out: nothing was accepted and on_safe will not be
 * called. */
SL_NODISCARD bool outbox_put(struct outbox *o, enum outbox_lane lane, struct sl_msg *m,
                             outbox_safe_fn *on_safe, void *ctx);

/* Whether messages come faster than the disk takes them, and memory for them is half full: whoever
 * can should send slower. Not while the disk fails, since waiting would not help. */
bool outbox_pressed(const struct outbox *o);

/* ---- the sender's side (the bridge) ---- */

/* Called from the loop when outbox_take() may give something again. */
void outbox_on_ready(struct outbox *o, void (*ready)(void *ctx), void *ctx);
/* The link's state: while it is up messages may stay in memory for spill_after; down, they go to
 * disk at once and all items are to be returned. A fresh outbox is "down". */
void outbox_set_link(struct outbox *o, bool up);
/* Next to send: alert before normal before telemetry, each in order; NULL when there is nothing
 * now. */
struct outbox_item *outbox_take(struct outbox *o);
/* What is taken is about to be sent, perhaps again: from the moment at which the clock is set,
 * items' wall_ms are right. */
void outbox_tell_time(struct outbox *o);
void outbox_ack(struct outbox *o, struct outbox_item *item); /* delivered; item is gone */
/* The cloud can never take it: to the dead letters, with a short reason. Item is gone. */
void outbox_dead(struct outbox *o, struct outbox_item *item, const char *reason);
/* The link was lost: everything taken goes back to where it was, in order. All items are gone. */
void outbox_return_all(struct outbox *o);

/* ---- looking at it ---- */

void outbox_get_stats(const struct outbox *o, struct outbox_stats *ret);

struct outbox_row {
    enum outbox_lane lane;
    uint64_t number;
    uint64_t position; /* a later listing goes on behind it with `from` = position + 1 */
    int64_t wall_ms;   /* 0: not known */
    struct sl_slice topic, props, payload; /* valid during the call */
    uint32_t expiry_s;                     /* SL_MSG_NO_EXPIRY without one */
    uint8_t qos;
    bool retain;
    const char *reason; /* dead letters, of which topic and payload are kept; else NULL */
};
#define OUTBOX_POSITION_LAST UINT64_MAX /* nothing comes behind this one */
/* Visits what waits (or the dead letters), oldest first in lane order, at most limit rows;
 * done(ctx, code) comes last. Both are called from the loop. lane OUTBOX_LANES means all. Messages
 * that are in memory only are visited as well. Page by page: one lane, or the dead letters. */
struct outbox_list_request {
    enum outbox_lane lane;
    bool dead;
    uint32_t limit;
    uint64_t from;      /* positions before it (in the first lane) are passed over; LAST: all */
    uint64_t bytes_max; /* no row comes after those that have so many bytes; 0: no such bound */
    const uint8_t *seal_key; /* outbox_list_file() only: see outbox_options */
    void (*row)(void *ctx, const struct outbox_row *row);
    void (*done)(void *ctx, enum sl_code code, const char *error);
    void *ctx;
};
SL_NODISCARD enum sl_code outbox_list(struct outbox *o, const struct outbox_list_request *request);

/* For the command line when no gateway runs: opens the database read-only, visits, closes;
 * blocking. SL_NOTFOUND when there is no database. */
SL_NODISCARD enum sl_code outbox_list_file(const char *path,
                                           const struct outbox_list_request *request,
                                           struct sl_err *err);

/* ---- throwing away by hand ---- */

/* Of which lanes: bit OUTBOX_ALERT and so on. */
#define OUTBOX_ALL_LANES ((1u << OUTBOX_LANES) - 1)

/* What a purge took away: messages, in the ledger as `purged`, or dead letters, which the ledger
 * has had all along. */
struct outbox_purged {
    uint64_t messages, letters;
};
struct outbox_purge_request {
    unsigned lanes;
    bool dead;               /* the dead letters instead of what waits */
    uint64_t limit;          /* the oldest, lane by lane; UINT64_MAX: all */
    const uint8_t *seal_key; /* outbox_purge_file() only: see outbox_options */
    /* Once, from the loop. With an error, purged is what went before it; may be NULL. */
    void (*done)(void *ctx, enum sl_code code, const char *error,
                 const struct outbox_purged *purged);
    void *ctx;
};
/* Throws away what was accepted until now and is not with the sender; their publishers, if they
 * still wait, are acknowledged. In steps between other commits: meanwhile nothing of these lanes is
 * sent. SL_BUSY: another is under way, or the store is being opened. */
SL_NODISCARD enum sl_code outbox_purge(struct outbox *o,
                                       const struct outbox_purge_request *request);
/* For the command line when no gateway runs; blocking. SL_NOTFOUND when there is no database. */
SL_NODISCARD enum sl_code outbox_purge_file(const char *path,
                                            const struct outbox_purge_request *request,
                                            struct outbox_purged *ret, struct sl_err *err);

/* "3.40.1": the SQLite in use. */
const char *outbox_library_version(void);

#endif
