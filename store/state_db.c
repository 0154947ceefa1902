/* state_db.c - changes into the log, and from there into the tables. */
#include "state_db_private.h"
#include "sum64.h"

#include <stdlib.h>

#define FREE_PAGES_KEPT  1024 /* the log and ordinary comings and goings need that many */
#define PAGES_PER_SHRINK "PRAGMA incremental_vacuum(256)"

uint32_t state_db_checksum(enum state_kind kind, struct sl_slice key, struct sl_slice value)
{
    uint64_t sum = sum64_add((uint64_t)kind, key.ptr, key.len);
    return sum64_fold(sum64_add(sum, value.ptr, value.len));
}

static uint32_t log_checksum(struct sl_slice row)
{
    return sum64_fold(sum64_add(STATE_KINDS, row.ptr, row.len));
}

enum sl_code state_db_run(struct state_db *db, int query, struct sl_err *err)
{
    enum sl_code code = state_db_ready(db, query, err); /* mostly it was, to be bound */
    return code == SL_OK ? sql_run(&db->sql, db->query[query], err) : code;
}

/* ---- the tables ---- */

enum sl_code state_db_put(struct state_db *db, const struct state_op *op, struct sl_err *err)
{
    enum state_kind kind = (enum state_kind)op->kind;
    struct sl_slice key, value;
    enum sl_code code = state_db_seal_key(db, kind, op->key, &key, err);
    if (code == SL_OK)
        code = state_db_seal_value(db, kind, key, op->value, &value, err);
    if (code != SL_OK)
        return code;
    uint32_t sum = state_db_checksum(kind, key, value);
    static const int tries[] = { SQ_ADD, SQ_CHANGE }; /* the second when there is one already */
    for (size_t i = 0; i < SL_ARRAY_LEN(tries); i++) {
        int query = tries[i] + op->kind;
        code = state_db_ready(db, query, err);
        if (code != SL_OK)
            return code;
        state_bind(db->query[query], 1, key);
        state_bind(db->query[query], 2, value);
        (void)sqlite3_bind_int64(db->query[query], 3, sum);
        code = state_db_run(db, query, err);
        if (code != SL_OK)
            return code;
        if (sqlite3_changes(db->sql.handle) > 0) {
            db->rows_now[op->kind] += tries[i] == SQ_ADD;
            return SL_OK;
        }
    }
    return sl_fail(err, SL_CORRUPT, "%s: a row is neither there nor away", db->sql.path);
}

/* Of one key as it is stored, or (to) a range of them. */
static enum sl_code take_stored(struct state_db *db, int kind, struct sl_slice key,
                                const struct sl_slice *to, struct sl_err *err)
{
    int query = (to ? SQ_REMOVE_RANGE : SQ_REMOVE) + kind;
    enum sl_code code = state_db_ready(db, query, err);
    if (code != SL_OK)
        return code;
    state_bind(db->query[query], 1, key);
    if (to)
        state_bind(db->query[query], 2, *to);
    code = state_db_run(db, query, err);
    uint64_t gone = code == SL_OK ? (uint64_t)sqlite3_changes(db->sql.handle) : 0;
    uint64_t *rows = &db->rows_now[kind];
    *rows -= gone < *rows ? gone : *rows;
    return code;
}

static bool is_within(struct sl_slice key, const struct state_op *range)
{
    return state_key_compare(range->key, key) <= 0 && state_key_compare(key, range->value) < 0;
}

/* The stored keys of a range of hidden ones, each behind its length. */
static enum sl_code find_hidden(struct state_db *db, const struct state_op *range,
                                struct sl_buf *found, struct sl_err *err)
{
    enum state_kind kind = (enum state_kind)range->kind;
    enum sl_code code = state_db_ready(db, SQ_READ + range->kind, err);
    if (code != SL_OK)
        return code;
    sqlite3_stmt *s = db->query[SQ_READ + range->kind];
    struct sl_slice end = state_db_clear_part(kind, range->value);
    state_bind(s, 1, state_db_clear_part(kind, range->key));
    int rc = SQLITE_DONE;
    while (code == SL_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct sl_slice stored = state_column(s, 0), key;
        if (state_key_compare(state_db_clear_part(kind, stored), end) > 0)
            break;
        code = state_db_open_key(db, kind, stored, &key);
        if (code == SL_OK && is_within(key, range)) {
            sl_buf_put_u32(found, (uint32_t)stored.len);
            sl_buf_put_slice(found, stored);
        }
        code = code == SL_CORRUPT ? SL_OK : code; /* the next start finds it */
    }
    if (found->failed || code != SL_OK)
        code = sl_fail(err, SL_NOMEM, "%s: out of memory", db->sql.path);
    else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        code = sql_fail(&db->sql, rc, err);
    state_db_done(db, SQ_READ + range->kind);
    return code;
}

static enum sl_code take_hidden_range(struct state_db *db, const struct state_op *range,
                                      struct sl_err *err)
{
    struct sl_buf found = { 0 };
    enum sl_code code = find_hidden(db, range, &found, err);
    struct sl_cursor c = sl_cursor(sl_buf_slice(&found));
    uint32_t len;
    struct sl_slice key;
    while (code == SL_OK && sl_take_u32(&c, &len) && sl_take(&c, len, &key))
        code = take_stored(db, range->kind, key, NULL, err);
    sl_buf_free(&found);
    return code;
}

static bool is_clear(enum state_kind kind, struct sl_slice key)
{
    return state_db_clear_part(kind, key).len == key.len;
}

static enum sl_code take_away(struct state_db *db, const struct state_op *op, struct sl_err *err)
{
    enum state_kind kind = (enum state_kind)op->kind;
    struct sl_slice key;
    if (op->what == STATE_OP_RANGE)
        return !state_db_hides_keys(db, kind) ||
                       (is_clear(kind, op->key) && is_clear(kind, op->value))
                   ? take_stored(db, op->kind, op->key, &op->value, err)
                   : take_hidden_range(db, op, err);
    enum sl_code code = state_db_seal_key(db, kind, op->key, &key, err);
    return code == SL_OK ? take_stored(db, op->kind, key, NULL, err) : code;
}

static enum sl_code apply(struct state_db *db, const struct state_ops *ops, struct sl_err *err)
{
    enum sl_code code = SL_OK;
    for (size_t i = 0; i < ops->count && code == SL_OK; i++) {
        const struct state_op *op = &ops->at[i];
        code = op->what == STATE_OP_PUT ? state_db_put(db, op, err) : take_away(db, op, err);
    }
    return code;
}

static enum sl_code clear(struct state_db *db, struct sl_err *err)
{
    enum sl_code code = state_db_run(db, SQ_LOG_CLEAR, err);
    for (int kind = 0; kind < STATE_KINDS && code == SL_OK; kind++) {
        code = state_db_run(db, SQ_CLEAR + kind, err);
        state_db_done(db, SQ_CLEAR + kind);
        db->rows_now[kind] = 0;
    }
    if (code == SL_OK)
        db->log_bytes = 0;
    return code;
}

/* ---- the log ---- */

/* A row that fails its check is left out: what others hold is still good, each for itself. */
static enum sl_code read_log_row(struct state_db *db, struct sl_buf *bytes, struct sl_err *err)
{
    sqlite3_stmt *s = db->query[SQ_LOG_READ];
    struct sl_slice row = state_column(s, 1);
    if (log_checksum(row) != (uint32_t)sqlite3_column_int64(s, 2)) {
        db->bad_log_rows++;
        return SL_OK;
    }
    enum sl_code code = state_db_open_log(db, (uint64_t)sqlite3_column_int64(s, 0), row, bytes);
    db->bad_log_rows += code == SL_CORRUPT;
    return code == SL_NOMEM ? sl_fail(err, SL_NOMEM, "%s: out of memory", db->sql.path) : SL_OK;
}

enum sl_code state_db_read_log(struct state_db *db, bool what_there_is, struct sl_buf *bytes,
                               struct state_ops *ops, struct sl_err *err)
{
    enum sl_code code = state_db_ready(db, SQ_LOG_READ, err);
    if (code != SL_OK)
        return code;
    int rc = SQLITE_DONE;
    while (code == SL_OK && (rc = sqlite3_step(db->query[SQ_LOG_READ])) == SQLITE_ROW)
        code = read_log_row(db, bytes, err);
    if (code == SL_OK && rc != SQLITE_DONE)
        code = sql_fail(&db->sql, rc, err);
    sql_reset(db->query[SQ_LOG_READ]);
    db->read_failed = db->read_failed || code == SL_IO;
    if ((code == SL_CORRUPT || code == SL_IO) && what_there_is) {
        db->bad_log_rows++;
        code = SL_OK;
    }
    if (code != SL_OK)
        return code;
    code = state_ops_unpack(ops, sl_buf_slice(bytes));
    if (code == SL_OK && !state_ops_settle(ops))
        code = SL_NOMEM;
    return code == SL_OK ? code
                         : sl_fail(err, code, "%s: the log: %s", db->sql.path, sl_code_name(code));
}

void state_db_forget_found(struct state_db *db)
{
    state_ops_free(&db->found_ops);
    sl_buf_free(&db->found);
}

static bool add_all(struct state_ops *to, const struct state_ops *from)
{
    bool ok = true;
    for (size_t i = 0; i < from->count && ok; i++) {
        const struct state_op *op = &from->at[i];
        ok = state_ops_add(to, (enum state_what)op->what, (enum state_kind)op->kind, op->key,
                           op->value);
    }
    return ok;
}

/* What the log holds, then `more`, into the tables. */
static enum sl_code merge(struct state_db *db, const struct state_ops *more, struct sl_err *err)
{
    struct sl_buf bytes = { 0 };
    struct state_ops all = { 0 };
    enum sl_code code = state_db_read_log(db, false, &bytes, &all, err);
    if (code == SL_OK && (!add_all(&all, more) || !state_ops_settle(&all)))
        code = sl_fail(err, SL_NOMEM, "%s: out of memory", db->sql.path);
    if (code == SL_OK)
        code = apply(db, &all, err);
    if (code == SL_OK)
        code = state_db_run(db, SQ_LOG_CLEAR, err);
    if (code == SL_OK)
        db->log_bytes = 0;
    state_ops_free(&all);
    sl_buf_free(&bytes);
    return code;
}

static enum sl_code add_log_row(struct state_db *db, const struct state_ops *ops,
                                struct sl_err *err)
{
    enum sl_code code = state_db_ready(db, SQ_LOG_ADD, err);
    if (code != SL_OK)
        return code;
    sl_buf_reset(&db->row);
    state_ops_pack(ops, &db->row);
    if (db->row.failed)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", db->sql.path);
    struct sl_slice row;
    code = state_db_seal_log(db, db->log_next, sl_buf_slice(&db->row), &row, err);
    if (code != SL_OK)
        return code;
    (void)sqlite3_bind_int64(db->query[SQ_LOG_ADD], 1, (sqlite3_int64)db->log_next++);
    state_bind(db->query[SQ_LOG_ADD], 2, row);
    (void)sqlite3_bind_int64(db->query[SQ_LOG_ADD], 3, log_checksum(row));
    code = state_db_run(db, SQ_LOG_ADD, err);
    db->log_bytes += row.len;
    return code;
}

/* ---- the transaction ---- */

#define SEALED_MORE (SEAL_OVERHEAD + SEAL_NAME_OVERHEAD)

static uint64_t bytes_of(const struct state_db *db, const struct state_ops *ops, bool all)
{
    uint64_t n = 0, more = db->sealer ? SEALED_MORE : 0;
    for (size_t i = 0; i < ops->count; i++)
        if (all || ops->at[i].what == STATE_OP_PUT)
            n += state_op_bytes(&ops->at[i]) + more;
    return n;
}

/* Pages that were freed go back to the file system, some at a time, when there are many. */
static enum sl_code shrink(struct state_db *db, struct sl_err *err)
{
    int64_t unused = 0, all = 0;
    enum sl_code code = sql_int(&db->sql, "PRAGMA freelist_count", &unused, err);
    if (code == SL_OK)
        code = sql_int(&db->sql, "PRAGMA page_count", &all, err);
    if (code == SL_OK && unused > FREE_PAGES_KEPT && unused > all / 2)
        code = sql_exec(&db->sql, PAGES_PER_SHRINK, err);
    return code;
}

static enum sl_code write_anew(struct state_db *db, const struct state_ops *ops, struct sl_err *err)
{
    enum sl_code code = clear(db, err);
    if (code == SL_OK) /* what was cleared has made room */
        code = sql_check_space(&db->sql, bytes_of(db, ops, false) * 5 / 4, err);
    return code == SL_OK ? apply(db, ops, err) : code;
}

static enum sl_code write_changes(struct state_db *db, const struct state_ops *ops,
                                  struct sl_err *err)
{
    uint64_t bytes = bytes_of(db, ops, true);
    if (bytes <= STATE_LOG_ROW_MAX && db->log_bytes + bytes <= STATE_LOG_MAX)
        return add_log_row(db, ops, err);
    enum sl_code code = db->log_bytes > 0 ? merge(db, ops, err) : apply(db, ops, err);
    return code == SL_OK ? shrink(db, err) : code;
}

static enum sl_code commit(struct state_db *db, const struct state_ops *ops, bool anew,
                           struct sl_err *err)
{
    enum sl_code code = state_db_run(db, SQ_BEGIN, err);
    if (code == SL_OK)
        code = anew ? write_anew(db, ops, err) : write_changes(db, ops, err);
    if (code == SL_OK)
        code = state_db_run(db, SQ_COMMIT, err);
    if (code == SL_OK && sql_is_gone(&db->sql))
        code = sl_fail(err, SL_IO, "%s: was removed while it was in use: it is written anew",
                       db->sql.path);
    return code;
}

enum sl_code state_db_commit(struct state_db *db, struct state_ops *ops, bool anew,
                             struct sl_err *err)
{
    uint64_t log_bytes = db->log_bytes, puts;
    if (!state_ops_settle(ops))
        return sl_fail(err, SL_NOMEM, "%s: out of memory", db->sql.path);
    state_db_forget_found(db);
    if (ops->count == 0 && !anew)
        return SL_OK;
    puts = bytes_of(db, ops, false);
    enum sl_code code = puts > 0 && !anew ? sql_check_space(&db->sql, puts * 5 / 4, err) : SL_OK;
    if (code == SL_OK)
        code = commit(db, ops, anew, err);
    if (code == SL_OK) {
        memcpy(db->rows, db->rows_now, sizeof db->rows);
        db->changes_written += ops->count;
        sl_buf_shrink(&db->row, STATE_LOG_ROW_MAX / 4);
        return SL_OK;
    }
    sql_rollback(&db->sql);
    memcpy(db->rows_now, db->rows, sizeof db->rows);
    db->log_bytes = log_bytes;
    return code;
}

enum sl_code state_db_probe(struct state_db *db, uint64_t bytes, struct sl_err *err)
{
    enum sl_code code = sql_check_space(&db->sql, bytes / 2, err);
    if (code != SL_OK)
        return code;
    return sql_exec(&db->sql,
                    db->version < STATE_DB_VERSION
                        ? "PRAGMA user_version=1"
                        : "PRAGMA user_version=" SQL_STRING(STATE_DB_VERSION),
                    err);
}

void state_db_upkeep(struct state_db *db)
{
    sql_upkeep(&db->sql);
}

void state_db_get_stats(const struct state_db *db, struct state_db_stats *ret)
{
    *ret = (struct state_db_stats){ .bad_log_rows = db->bad_log_rows,
                                    .file_bytes = sql_file_bytes(&db->sql),
                                    .bytes_written = sql_bytes_written(&db->sql),
                                    .syncs = sql_syncs(&db->sql),
                                    .changes_written = db->changes_written,
                                    .log_bytes = db->log_bytes };
    memcpy(ret->rows, db->rows, sizeof ret->rows);
}
