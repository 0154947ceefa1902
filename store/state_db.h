/* state_db.h - the state's database, on sql.h.
 *
 * One table a kind (key, value, checksum), in the order of the keys and nothing else. A commit does
 * not touch them: it adds one row to the log table, the batch as it is, since changes of many
 * sessions would touch a page each. When the log has gathered STATE_LOG_MAX bytes, what is left of
 * them after all that has become void goes into the tables in key order, in the same transaction as
 * the commit that found it so.
 *
 * With a key everything is sealed before SQLite sees it, except what a row's place needs: see
 * state_db_seal.c.
 *
 * One thread at a time; calls wait for the disk. */
#ifndef STORE_STATE_DB_H
#define STORE_STATE_DB_H

#include "state_ops.h"
#include "store/state.h"

#define STATE_LOG_MAX     ((size_t)2 * 1024 * 1024)
#define STATE_LOG_ROW_MAX ((size_t)256 * 1024) /* a larger batch goes into the tables at once */

struct state_db;

#define STATE_DB_ANY    ((uint64_t)0)
#define STATE_DB_UNREAD ((uint64_t)1) /* none that is there: nobody has read it */
#define STATE_DB_NO_ID  UINT64_MAX    /* nor even try: it proved unusable */

struct state_db_open {
    int64_t wall_ms;
    uint64_t only; /* take no other database than that with this id; or one of those below */
    const uint8_t *seal_key; /* SEAL_KEY_BYTES; NULL: nothing is sealed */
    uint64_t id;             /* out */
    bool moved;              /* out: one that was there was moved to moved_to */
    char moved_to[512], moved_why[160];
};

/* Opens what is there; makes one where there is none; sets aside what cannot be used (SL_OK then,
 * with open->moved). SL_INVALID: with a key that is not its own, or one for a database that was
 * begun without; it stays as it is. */
SL_NODISCARD enum sl_code state_db_open(struct state_db **ret, const char *path,
                                        enum outbox_sync sync, struct state_db_open *open,
                                        struct sl_err *err);
void state_db_close(struct state_db *db); /* accepts NULL */

/* See state_check_key() and state_seal(). */
SL_NODISCARD enum sl_code state_db_check_key(const char *path, const uint8_t *seal_key,
                                             struct sl_err *err);
SL_NODISCARD enum sl_code state_db_seal(const char *path, const uint8_t *seal_key, bool *ret_done,
                                        uint64_t *ret_lost, struct sl_err *err);

struct state_db_damage {
    void (*bad_row)(void *ctx, enum state_kind kind, struct sl_slice key);
    void *ctx;
    uint64_t rows, places; /* out: added to */
};
/* SL_CORRUPT when there was a damaged place; all that could be read was visited. */
SL_NODISCARD enum sl_code state_db_load(struct state_db *db, enum state_kind kind,
                                        state_visit_fn *visit, void *ctx,
                                        struct state_db_damage *damage, struct sl_err *err);

/* Whether it takes a write now, and would take so many bytes in place of what is there: before
 * somebody goes to the trouble. */
SL_NODISCARD enum sl_code state_db_probe(struct state_db *db, uint64_t bytes, struct sl_err *err);
/* All or nothing. clear: everything that was there goes first. `ops` is settled by it. SL_FULL: the
 * disk is. */
SL_NODISCARD enum sl_code state_db_commit(struct state_db *db, struct state_ops *ops, bool clear,
                                          struct sl_err *err);
/* After commits, when nobody waits. */
void state_db_upkeep(struct state_db *db);

struct state_db_stats {
    uint64_t rows[STATE_KINDS]; /* in the tables; counted as they were loaded */
    uint64_t file_bytes, bytes_written, syncs, changes_written, log_bytes, bad_log_rows;
};
void state_db_get_stats(const struct state_db *db, struct state_db_stats *ret);

#endif
