/* state_db_private.h - what the state_db files share. */
#ifndef STORE_STATE_DB_PRIVATE_H
#define STORE_STATE_DB_PRIVATE_H

#include "sql.h"
#include "state_db.h"

#define STATE_DB_APPLICATION_ID 0x534c5354 /* "SLST" */
#define STATE_DB_VERSION        1
#define STATE_DB_PAGES_MAX      ((uint64_t)16 * 1024 * 1024) /* 64 GiB: its owner's memory is less */

enum state_query {
    SQ_BEGIN,
    SQ_COMMIT,
    SQ_ID_GET,
    SQ_ID_SET,
    SQ_LOG_ADD,
    SQ_LOG_READ,
    SQ_LOG_SIZE,
    SQ_LOG_CLEAR,
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
    struct sl_buf row;          /* a log row while it is packed */
    struct sl_buf found;        /* what the log held at the opening, until the first commit */
    struct state_ops found_ops; /* the same, settled: loading looks through it */
    uint64_t bad_log_rows;
    uint64_t id, log_next, log_bytes;
    uint64_t rows[STATE_KINDS];     /* as committed */
    uint64_t rows_now[STATE_KINDS]; /* inside the transaction */
    uint64_t changes_written;
};

/* state_db_open.c: statements are prepared when they are first needed, since each takes two kB. */
enum sl_code state_db_ready(struct state_db *db, int query, struct sl_err *err);
void state_db_done(struct state_db *db, int query); /* it will hardly be needed again */

/* state_db.c */
enum sl_code state_db_run(struct state_db *db, int query, struct sl_err *err);
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
