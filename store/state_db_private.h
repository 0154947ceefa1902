/* state_db_private.h - what the state_db files share. */
#ifndef STORE_STATE_DB_PRIVATE_H
#define STORE_STATE_DB_PRIVATE_H

#include "sql.h"
#include "state_db.h"

#include "base/seal.h"

#define STATE_DB_APPLICATION_ID 0x534c5354 /* "SLST" */
#define STATE_DB_VERSION        2
#define STATE_DB_VERSION_SEAL                                                                      \
    2 /* from here on there is a check of the key; else all is the same                            \
       */
#define STATE_DB_PAGES_MAX ((uint64_t)16 * 1024 * 1024) /* 64 GiB: its owner's memory is less */

enum state_query {
    SQ_BEGIN,
    SQ_COMMIT,
    SQ_ID_GET,
    SQ_ID_SET,
    SQ_LOG_ADD,
    SQ_LOG_READ,
    SQ_LOG_SIZE,
    SQ_LOG_CLEAR,
    SQ_SEAL_GET,
    SQ_SEAL_SET,
    SQ_ADD, /* one for each kind from here on */
    SQ_CHANGE = SQ_ADD + STATE_KINDS,
    SQ_REMOVE = SQ_CHANGE + STATE_KINDS,
    SQ_REMOVE_RANGE = SQ_REMOVE + STATE_KINDS,
    SQ_CLEAR = SQ_REMOVE_RANGE + STATE_KINDS,
    SQ_READ = SQ_CLEAR + STATE_KINDS,
    SQ_COUNT = SQ_READ + STATE_KINDS,
};

struct state_db {
    struct sql sql;
    sqlite3_stmt *query[SQ_COUNT];
    struct sealer *sealer; /* NULL: rows lie as they are */
    struct state_sealing { /* of the row at hand */
        struct sl_buf key, value, beside;
    } sealing;
    struct sl_buf row;          /* a log row while it is packed */
    struct sl_buf found;        /* what the log held at the opening, until the first commit */
    struct state_ops found_ops; /* the same, settled: loading looks through it */
    uint64_t bad_log_rows;
    int version;
    bool read_failed; /* once: it may succeed another time */
    uint64_t id, log_next, log_bytes;
    uint64_t rows[STATE_KINDS];     /* as committed */
    uint64_t rows_now[STATE_KINDS]; /* inside the transaction */
    uint64_t changes_written;
};

/* state_db_open.c: statements are prepared when they are first needed, since each takes two kB. */
enum sl_code state_db_ready(struct state_db *db, int query, struct sl_err *err);
void state_db_done(struct state_db *db, int query); /* it will hardly be needed again */
/* *ret_clear: see state_db_seal_begin(). */
enum sl_code state_db_open_checked(struct state_db **ret, const char *path, enum outbox_sync sync,
                                   const uint8_t *seal_key, bool *ret_clear, struct sl_err *err);
/* To look at: nothing is configured, and nothing checked but whose it is. */
enum sl_code state_db_look(struct state_db **ret, const char *name, int flags, struct sl_err *err);
enum sl_code state_db_read_id(struct state_db *db, struct sl_err *err);
/* A new one, complete, under a name for the meantime: sql_file_end() gives it its own. */
enum sl_code state_db_make_beside(const char *path, char *ret_temporary, size_t size,
                                  const uint8_t *seal_key, struct sl_err *err);

/* state_db_seal.c: without a key everything is as it is. What they return lies in db->sealing until
 * the next call of the same sort. */

/* Compares the key with that of the database, whose version and id are known. SL_INVALID: it is not
 * the right one. *ret_clear: there is a key, and the database was begun without. */
enum sl_code state_db_seal_begin(struct state_db *db, const uint8_t *seal_key, bool *ret_clear,
                                 struct sl_err *err);
/* Of a database that is being made. */
enum sl_code state_db_seal_mark(struct state_db *db, const uint8_t *seal_key, struct sl_err *err);
void state_db_seal_end(struct state_db *db);
/* Whether keys of the kind lie in another order than that of what they mean. */
bool state_db_hides_keys(const struct state_db *db, enum state_kind kind);
/* The part of such a key that stays in the clear. */
struct sl_slice state_db_clear_part(enum state_kind kind, struct sl_slice key);
enum sl_code state_db_seal_key(struct state_db *db, enum state_kind kind, struct sl_slice key,
                               struct sl_slice *ret, struct sl_err *err);
/* `key` as it is stored. */
enum sl_code state_db_seal_value(struct state_db *db, enum state_kind kind, struct sl_slice key,
                                 struct sl_slice value, struct sl_slice *ret, struct sl_err *err);
enum sl_code state_db_seal_log(struct state_db *db, uint64_t number, struct sl_slice row,
                               struct sl_slice *ret, struct sl_err *err);
/* SL_CORRUPT: it does not open; the others but SL_OK: SL_NOMEM. */
enum sl_code state_db_open_key(struct state_db *db, enum state_kind kind, struct sl_slice stored,
                               struct sl_slice *ret);
enum sl_code state_db_open_value(struct state_db *db, enum state_kind kind, struct sl_slice key,
                                 struct sl_slice stored, struct sl_slice *ret);
enum sl_code state_db_open_log(struct state_db *db, uint64_t number, struct sl_slice stored,
                               struct sl_buf *to); /* appends */

/* state_db.c */
enum sl_code state_db_run(struct state_db *db, int query, struct sl_err *err);
enum sl_code state_db_put(struct state_db *db, const struct state_op *op, struct sl_err *err);
/* All of the log, settled, in bytes and ops. Rows that fail their check are counted;
 * what_there_is: damaged pages are too, and hide what comes after them. */
enum sl_code state_db_read_log(struct state_db *db, bool what_there_is, struct sl_buf *bytes,
                               struct state_ops *ops, struct sl_err *err);
void state_db_forget_found(struct state_db *db);
uint32_t state_db_checksum(enum state_kind kind, struct sl_slice key, struct sl_slice value);

static inline void state_bind(sqlite3_stmt *s, int at, struct sl_slice v)
{
    const void *p = v.len > 0 ? (const void *)v.ptr : ""; /* NULL would be SQL's NULL */
    (void)sqlite3_bind_blob64(s, at, p, v.len, SQLITE_STATIC);
}

static inline struct sl_slice state_column(sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_blob(s, at);
    int n = sqlite3_column_bytes(s, at);
    return (struct sl_slice){ p, p && n > 0 ? (size_t)n : 0 };
}

#endif
