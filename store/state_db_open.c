/* state_db_open.c - making and opening: what is checked, and what happens to a database that fails.
 *
 * Opening one that is in order writes nothing, so that a disk that is full at the start hides
 * nothing: what the log holds is kept in memory, and loading looks through it. */
#include "state_db_private.h"

#include "base/crypto.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define TABLE(name)                                                                                \
    "CREATE TABLE " name "(key BLOB PRIMARY KEY,value BLOB,sum INTEGER) WITHOUT ROWID;"

/* What each version changed: steps[v] leads from version v to the next. */
/* clang-format off */
static const char *const steps[STATE_DB_VERSION] = {
    "PRAGMA application_id=" SQL_STRING(STATE_DB_APPLICATION_ID) ";"
    "CREATE TABLE store(id INTEGER PRIMARY KEY,uuid INTEGER);"
    "CREATE TABLE log(id INTEGER PRIMARY KEY,changes BLOB,sum INTEGER);"
    TABLE("meta") TABLE("session") TABLE("subscription") TABLE("delivery") TABLE("received")
    TABLE("retained"),
    /* 2: the check of the key. A database of version 1 is one without a key, and stays as it is:
     * opening one that is in order writes nothing. */
    "CREATE TABLE seal(id INTEGER PRIMARY KEY,proof BLOB)",
};
/* clang-format on */

#define KIND_QUERIES(kind, table)                                                                  \
    [SQ_ADD + (kind)] = "INSERT OR IGNORE INTO " table "(key,value,sum) VALUES(?1,?2,?3)",         \
              [SQ_CHANGE + (kind)] = "UPDATE " table " SET value=?2,sum=?3 WHERE key=?1",          \
              [SQ_REMOVE + (kind)] = "DELETE FROM " table " WHERE key=?1",                         \
              [SQ_REMOVE_RANGE + (kind)] = "DELETE FROM " table " WHERE key>=?1 AND key<?2",       \
              [SQ_CLEAR + (kind)] = "DELETE FROM " table,                                          \
              [SQ_READ + (kind)] =                                                                 \
                  "SELECT key,value,sum FROM " table " WHERE key>=?1 ORDER BY key"

static const char *const queries[SQ_COUNT] = {
    [SQ_BEGIN] = "BEGIN IMMEDIATE",
    [SQ_COMMIT] = "COMMIT",
    [SQ_ID_GET] = "SELECT uuid FROM store WHERE id=1",
    [SQ_ID_SET] = "INSERT INTO store(id,uuid) VALUES(1,?1)",
    [SQ_LOG_ADD] = "INSERT INTO log(id,changes,sum) VALUES(?1,?2,?3)",
    [SQ_LOG_READ] = "SELECT id,changes,sum FROM log ORDER BY id",
    [SQ_LOG_SIZE] = "SELECT coalesce(max(id),0)+1,coalesce(sum(length(changes)),0) FROM log",
    [SQ_LOG_CLEAR] = "DELETE FROM log",
    [SQ_SEAL_GET] = "SELECT proof FROM seal WHERE id=1",
    [SQ_SEAL_SET] = "INSERT INTO seal(id,proof) VALUES(1,?1)",
    KIND_QUERIES(STATE_META, "meta"),
    KIND_QUERIES(STATE_SESSION, "session"),
    KIND_QUERIES(STATE_SUBSCRIPTION, "subscription"),
    KIND_QUERIES(STATE_DELIVERY, "delivery"),
    KIND_QUERIES(STATE_RECEIVED, "received"),
    KIND_QUERIES(STATE_RETAINED, "retained"),
};

enum sl_code state_db_ready(struct state_db *db, int query, struct sl_err *err)
{
    if (db->query[query])
        return SL_OK;
    return sql_prepare(&db->sql, &db->query[query], &queries[query], 1, err);
}

void state_db_done(struct state_db *db, int query)
{
    (void)sqlite3_finalize(db->query[query]); /* what went wrong was told when it ran */
    db->query[query] = NULL;
}

/* All tables and columns are there. */
static enum sl_code check_schema(struct state_db *db, struct sl_err *err)
{
    enum sl_code code = state_db_ready(db, SQ_LOG_ADD, err);
    for (int kind = 0; kind < STATE_KINDS && code == SL_OK; kind++) {
        code = state_db_ready(db, SQ_READ + kind, err);
        state_db_done(db, SQ_READ + kind);
    }
    return code;
}

/* ---- making ---- */

static enum sl_code make_tables(struct state_db *db, struct sl_err *err)
{
    enum sl_code code = SL_OK;
    for (int v = 0; v < STATE_DB_VERSION && code == SL_OK; v++)
        code = sql_exec(&db->sql, steps[v], err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, "PRAGMA user_version=" SQL_STRING(STATE_DB_VERSION), err);
    return code;
}

static enum sl_code set_id(struct state_db *db, struct sl_err *err)
{
    uint64_t id;
    if (crypto_random(&id, sizeof id) != SL_OK)
        return sl_fail(err, SL_IO, "%s: the system gives no random numbers", db->sql.path);
    enum sl_code code = state_db_ready(db, SQ_ID_SET, err);
    if (code != SL_OK)
        return code;
    id = id >> 2 | 4; /* none of those that mean something else */
    db->id = id;
    (void)sqlite3_bind_int64(db->query[SQ_ID_SET], 1, (sqlite3_int64)id);
    return state_db_run(db, SQ_ID_SET, err);
}

static enum sl_code fill(struct state_db *db, const uint8_t *seal_key, struct sl_err *err)
{
    enum sl_code code = sql_exec(&db->sql,
                                 SQL_SET_PAGE_SIZE ";PRAGMA auto_vacuum=INCREMENTAL;"
                                                   "PRAGMA synchronous=OFF;" /* all at the end */
                                                   "PRAGMA journal_mode=WAL",
                                 err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, "BEGIN IMMEDIATE", err);
    if (code == SL_OK)
        code = make_tables(db, err);
    if (code == SL_OK)
        code = set_id(db, err);
    if (code == SL_OK)
        code = state_db_seal_mark(db, seal_key, err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, "COMMIT", err);
    return code;
}

static enum sl_code connect_to(struct state_db **ret, const char *path, int flags,
                               struct sl_err *err)
{
    struct state_db *db = calloc(1, sizeof *db);
    if (!db)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    enum sl_code code = sql_connect(&db->sql, path, flags, err);
    if (code != SL_OK) {
        state_db_close(db);
        return code;
    }
    *ret = db;
    return SL_OK;
}

enum sl_code state_db_make_beside(const char *path, char *ret_temporary, size_t size,
                                  const uint8_t *seal_key, struct sl_err *err)
{
    enum sl_code code = sql_file_begin(path, ret_temporary, size, err);
    if (code != SL_OK)
        return code;
    struct state_db *db = NULL;
    code = connect_to(&db, ret_temporary, SQLITE_OPEN_READWRITE, err);
    if (db)
        code = fill(db, seal_key, err);
    state_db_close(db);
    return code == SL_OK ? SL_OK : sql_file_end(path, ret_temporary, code, err); /* tidies up */
}

static enum sl_code make(const char *path, const uint8_t *seal_key, struct sl_err *err)
{
    char temporary[PATH_MAX];
    enum sl_code code = state_db_make_beside(path, temporary, sizeof temporary, seal_key, err);
    return code == SL_OK ? sql_file_end(path, temporary, SL_OK, err) : code;
}

/* ---- opening ---- */

static enum sl_code check_version(struct state_db *db, struct sl_err *err)
{
    return sql_check_identity(&db->sql, STATE_DB_APPLICATION_ID, STATE_DB_VERSION, &db->version,
                              err);
}

enum sl_code state_db_look(struct state_db **ret, const char *name, int flags, struct sl_err *err)
{
    struct state_db *db = NULL;
    enum sl_code code = connect_to(&db, name, flags, err);
    if (code == SL_OK)
        code = check_version(db, err);
    if (code != SL_OK) {
        state_db_close(db);
        return code;
    }
    *ret = db;
    return SL_OK;
}

/* A statement's only row of integers. */
static enum sl_code read_once(struct state_db *db, int query, int64_t *ret, int count,
                              struct sl_err *err)
{
    enum sl_code code = state_db_ready(db, query, err);
    if (code != SL_OK)
        return code;
    sqlite3_stmt *s = db->query[query];
    int rc = sqlite3_step(s);
    for (int i = 0; i < count && rc == SQLITE_ROW; i++)
        ret[i] = sqlite3_column_int64(s, i);
    if (rc != SQLITE_ROW)
        code = rc == SQLITE_DONE ? sl_fail(err, SL_CORRUPT, "%s: a row is missing", db->sql.path)
                                 : sql_fail(&db->sql, rc, err);
    state_db_done(db, query);
    return code;
}

enum sl_code state_db_read_id(struct state_db *db, struct sl_err *err)
{
    int64_t id = 0;
    enum sl_code code = read_once(db, SQ_ID_GET, &id, 1, err);
    if (code == SL_OK && (id <= (int64_t)STATE_DB_UNREAD || id == INT64_MAX))
        code = sl_fail(err, SL_CORRUPT, "%s: its identity cannot be", db->sql.path);
    db->id = (uint64_t)id;
    return code;
}

static enum sl_code measure_log(struct state_db *db, struct sl_err *err)
{
    int64_t size[2] = { 0 };
    enum sl_code code = read_once(db, SQ_LOG_SIZE, size, 2, err);
    db->log_next = (uint64_t)size[0];
    db->log_bytes = (uint64_t)size[1];
    return code;
}

static enum sl_code find_log(struct state_db *db, struct sl_err *err)
{
    enum sl_code code = measure_log(db, err);
    if (code == SL_OK && db->log_bytes > 0)
        code = state_db_read_log(db, true, &db->found, &db->found_ops, err);
    return code;
}

enum sl_code state_db_open_checked(struct state_db **ret, const char *path, enum outbox_sync sync,
                                   const uint8_t *seal_key, bool *ret_clear, struct sl_err *err)
{
    struct state_db *db = NULL;
    enum sl_code code = connect_to(&db, path, SQLITE_OPEN_READWRITE, err);
    if (!db)
        return code;
    sql_measure_space(&db->sql);
    code = sql_configure(&db->sql, STATE_DB_PAGES_MAX, err);
    if (code == SL_OK)
        code = check_version(db, err);
    if (code == SL_OK)
        code = check_schema(db, err);
    if (code == SL_OK)
        code = state_db_read_id(db, err);
    if (code == SL_OK)
        code = state_db_seal_begin(db, seal_key, ret_clear, err);
    if (code == SL_OK)
        code = sql_set_sync(&db->sql, sync, err);
    if (code == SL_OK)
        code = find_log(db, err);
    if (code != SL_OK) {
        state_db_close(db);
        return code;
    }
    *ret = db;
    return SL_OK;
}

static enum sl_code open_mine(struct state_db **ret, const char *path, enum outbox_sync sync,
                              const struct state_db_open *open, struct sl_err *err)
{
    bool clear = false;
    struct state_db *db = NULL;
    enum sl_code code = state_db_open_checked(&db, path, sync, open->seal_key, &clear, err);
    if (code != SL_OK)
        return code;
    if (clear) {
        state_db_close(db);
        return sl_fail(err, SL_INVALID, "%s: was begun without store.encryption_key", path);
    }
    *ret = db;
    return SL_OK;
}

/* Whether what is there may be taken. */
static enum sl_code open_there(struct state_db **ret, const char *path, enum outbox_sync sync,
                               const struct state_db_open *open, struct sl_err *err)
{
    if (open->only == STATE_DB_NO_ID)
        return sl_fail(err, SL_CORRUPT, "%s: parts of it cannot be read", path);
    struct state_db *db = NULL;
    enum sl_code code = open_mine(&db, path, sync, open, err);
    if (db && open->only != STATE_DB_ANY && open->only != db->id) {
        code = sl_fail(err, SL_CORRUPT, "%s: could not be read at the start", path);
        state_db_close(db);
        db = NULL;
    }
    if (code == SL_OK)
        *ret = db;
    return code;
}

enum sl_code state_db_open(struct state_db **ret, const char *path, enum outbox_sync sync,
                           struct state_db_open *open, struct sl_err *err)
{
    struct state_db *db = NULL;
    open->moved = false;
    enum sl_code code = sql_file_look_at(path, err);
    if (code == SL_OK)
        code = open_there(&db, path, sync, open, err);
    if (code == SL_CORRUPT || (code == SL_NOTFOUND && sql_file_has_log(path))) {
        (void)snprintf(open->moved_why, sizeof open->moved_why, "%.159s", err->text);
        code = sql_file_move_aside(path, open->wall_ms, open->moved_to, sizeof open->moved_to, err);
        if (code != SL_OK)
            return code;
        open->moved = true;
        code = SL_NOTFOUND;
    }
    if (code == SL_NOTFOUND)
        code = make(path, open->seal_key, err);
    if (code == SL_OK && !db)
        code = open_mine(&db, path, sync, open, err);
    if (code != SL_OK || !db)
        return code;
    open->id = db->id;
    *ret = db;
    return SL_OK;
}

void state_db_close(struct state_db *db)
{
    if (!db)
        return;
    for (int q = 0; q < SQ_COUNT; q++)
        (void)sqlite3_finalize(db->query[q]);
    sql_close(&db->sql);
    sl_buf_free(&db->row);
    state_db_forget_found(db);
    state_db_seal_end(db);
    free(db);
}
