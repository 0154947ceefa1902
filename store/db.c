/* db.c - the connection: statements, errors, the counters' rows. */
#include "db_private.h"
#include "numbers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BUSY_MS 500 /* a reader that looks at the file from the command line is soon done */

#define ROW_COLUMNS "number,wall_ms,mono_ms,boot,expiry_s,flags,topic,props,payload,crc"
#define ROW_QUERIES(i, table)                                                                      \
    [Q_ROW_ADD + (int)(i)] = "INSERT OR REPLACE INTO " table "(" ROW_COLUMNS                       \
                             ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",                           \
                 [Q_ROW_DELETE + (int)(i)] =                                                       \
                     "DELETE FROM " table " WHERE number BETWEEN ?1 AND ?2",                       \
                 [Q_ROW_READ + (int)(i)] = "SELECT " ROW_COLUMNS " FROM " table                    \
                                           " WHERE number>=?1 ORDER BY number LIMIT ?2"

static const char *const queries[Q_COUNT] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",
    [Q_STORE_GET] = "SELECT uuid,dead_rows,dead_bytes FROM store WHERE id=1",
    [Q_STORE_SET] = "UPDATE store SET dead_rows=?1,dead_bytes=?2 WHERE id=1",
    [Q_LANE_GET] = "SELECT delivered,rows,bytes,last,reserved FROM lane WHERE id=?1",
    [Q_LANE_SET] = "UPDATE lane SET delivered=?2,rows=?3,bytes=?4,last=?5,reserved=?6 WHERE id=?1",
    [Q_LOSS_GET] = "SELECT count,first_ms,last_ms FROM loss WHERE id=?1",
    [Q_LOSS_SET] = "INSERT OR REPLACE INTO loss(id,count,first_ms,last_ms) VALUES(?1,?2,?3,?4)",
    [Q_DEAD_ADD] = "INSERT INTO dead(lane,number,wall_ms,topic,payload,reason,bytes)"
                   " VALUES(?1,?2,?3,?4,?5,?6,?7)",
    [Q_DEAD_OLDEST] = "SELECT id,bytes FROM dead ORDER BY id LIMIT 1",
    [Q_DEAD_DELETE] = "DELETE FROM dead WHERE id=?1",
    [Q_DEAD_READ] = "SELECT id,lane,number,wall_ms,topic,payload,reason,bytes FROM dead"
                    " WHERE id>=?1 ORDER BY id LIMIT ?2",
    ROW_QUERIES(OUTBOX_ALERT, "alert"),
    ROW_QUERIES(OUTBOX_NORMAL, "normal"),
    ROW_QUERIES(OUTBOX_TELEMETRY, "telemetry"),
};

const char *db_library_version(void)
{
    return sqlite3_libversion();
}

/* ---- errors ---- */

static enum sl_code code_of(struct db *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return SL_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return SL_BUSY;
    case SQLITE_FULL: {
        int64_t pages = 0, most = 0;
        if (db_pragma_int(db, "PRAGMA page_count", &pages, NULL) == SL_OK &&
            db_pragma_int(db, "PRAGMA max_page_count", &most, NULL) == SL_OK && pages >= most)
            return SL_LIMIT;
        return SL_FULL;
    }
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* statements are ours: a table or column is missing */
    case SQLITE_MISMATCH:
    case SQLITE_SCHEMA: return SL_CORRUPT;
    default: return SL_IO; /* SQLite's codes are ints, and new ones come */
    }
}

enum sl_code db_fail(struct db *db, int rc, struct sl_err *err)
{
    char text[160];
    (void)snprintf(text, sizeof text, "%s", sqlite3_errmsg(db->handle));
    int sys = sqlite3_system_errno(db->handle);
    enum sl_code code = code_of(db, rc);
    if ((rc & 0xff) == SQLITE_IOERR && (sys == ENOSPC || sys == EDQUOT))
        code = SL_FULL; /* of the log's index, say, it is told as an I/O error */
    if (code == SL_FULL)
        return sl_fail(err, code, "%s: no room on the file system: free some", db->path);
    if (code == SL_LIMIT)
        return sl_fail(err, code, "%s: has reached its greatest size", db->path);
    if (code == SL_BUSY)
        return sl_fail(err, code, "%s: another program has it open: end that one", db->path);
    if (code == SL_IO && sys != 0)
        return sl_fail(err, code, "%s: %s (%s): check the disk and the file's owner", db->path,
                       text, strerror(sys));
    return sl_fail(err, code, "%s: %s", db->path, text);
}

/* ---- statements ---- */

void db_reset(struct db *db, enum query q)
{
    (void)sqlite3_reset(db->query[q]); /* repeats the error of the step, which was told */
    (void)sqlite3_clear_bindings(db->query[q]);
}

enum sl_code db_run(struct db *db, enum query q, struct sl_err *err)
{
    int rc = sqlite3_step(db->query[q]);
    enum sl_code code = rc == SQLITE_DONE ? SL_OK : db_fail(db, rc, err);
    db_reset(db, q);
    return code;
}

enum sl_code db_exec(struct db *db, const char *sql, struct sl_err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? SL_OK : db_fail(db, rc, err);
}

enum sl_code db_pragma_int(struct db *db, const char *sql, int64_t *ret, struct sl_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    enum sl_code code = SL_OK;
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(s, 0);
    else if (err) /* code_of() asks without: no way round in a circle */
        code = db_fail(db, rc, err);
    else
        code = SL_IO;
    (void)sqlite3_finalize(s);
    return code;
}

enum sl_code db_prepare(struct db *db, struct sl_err *err)
{
    for (int q = 0; q < Q_COUNT; q++) {
        int rc = sqlite3_prepare_v3(db->handle, queries[q], -1, SQLITE_PREPARE_PERSISTENT,
                                    &db->query[q], NULL);
        if (rc != SQLITE_OK)
            return db_fail(db, rc, err);
    }
    return SL_OK;
}

/* ---- the connection ---- */

static int on_log_grown(void *ctx, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    struct db *db = ctx;
    uint64_t now = pages > 0 ? (uint64_t)pages : 0;
    db->log_pages_written += now > db->log_pages ? now - db->log_pages : now; /* or begun anew */
    db->log_pages = now;
    return SQLITE_OK;
}

/* Pages are allocated as they are needed instead of twenty at a time: an idle gateway uses three.
 * Only before the first connection; later it is refused, and was done already. */
static void spare_pages(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

/* err holds a copy of what went wrong; the handle exists even when opening failed. */
enum sl_code db_connect(struct db **ret, const char *path, int flags, struct sl_err *err)
{
    struct db *db = calloc(1, sizeof *db);
    char *copy = strdup(path);
    if (!db || !copy) {
        free(db);
        free(copy);
        return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    }
    db->path = copy;
    spare_pages();
    int rc = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        enum sl_code code =
            db->handle ? db_fail(db, rc, err) : sl_fail(err, SL_NOMEM, "%s: out of memory", path);
        db_close(db);
        return code;
    }
    (void)sqlite3_extended_result_codes(db->handle, 1);
    (void)sqlite3_busy_timeout(db->handle, BUSY_MS);
    (void)sqlite3_wal_hook(db->handle, on_log_grown, db); /* instead of automatic checkpoints */
    *ret = db;
    return SL_OK;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (int q = 0; q < Q_COUNT; q++)
        (void)sqlite3_finalize(db->query[q]);
    (void)sqlite3_close(db->handle); /* moves the log into the database; what fails is done at the
                                        next start */
    free(db->path);
    free(db);
}

/* ---- counters ---- */

static enum sl_code read_lane(struct db *db, int lane, struct sl_err *err)
{
    struct disk_lane *l = &db->lane[lane];
    (void)sqlite3_bind_int(db->query[Q_LANE_GET], 1, lane);
    sqlite3_stmt *s = db->query[Q_LANE_GET];
    int rc = sqlite3_step(s);
    enum sl_code code = SL_OK;
    if (rc == SQLITE_ROW) {
        l->delivered = (uint64_t)sqlite3_column_int64(s, 0);
        l->rows = (uint64_t)sqlite3_column_int64(s, 1);
        l->bytes = (uint64_t)sqlite3_column_int64(s, 2);
        l->last = (uint64_t)sqlite3_column_int64(s, 3);
        l->reserved = (uint64_t)sqlite3_column_int64(s, 4);
        if ((l->delivered | l->rows | l->bytes | l->last | l->reserved) > INT64_MAX)
            code = sl_fail(err, SL_CORRUPT, "%s: a counter is negative", db->path);
    } else {
        code = rc == SQLITE_DONE
                   ? sl_fail(err, SL_CORRUPT, "%s: a lane's counters are missing", db->path)
                   : db_fail(db, rc, err);
    }
    db_reset(db, Q_LANE_GET);
    return code;
}

static int loss_id(int lane, int why)
{
    return lane * 64 + why;
}

static enum sl_code read_loss(struct db *db, int lane, int why, struct sl_err *err)
{
    struct disk_loss *loss = &db->lane[lane].loss[why];
    sqlite3_stmt *s = db->query[Q_LOSS_GET];
    (void)sqlite3_bind_int(s, 1, loss_id(lane, why));
    int rc = sqlite3_step(s);
    enum sl_code code = SL_OK;
    if (rc == SQLITE_ROW) {
        loss->count = (uint64_t)sqlite3_column_int64(s, 0);
        loss->first_ms = sqlite3_column_int64(s, 1);
        loss->last_ms = sqlite3_column_int64(s, 2);
        if (loss->count > INT64_MAX)
            code = sl_fail(err, SL_CORRUPT, "%s: a loss counter is negative", db->path);
    } else if (rc != SQLITE_DONE) { /* no row: no such loss yet */
        code = db_fail(db, rc, err);
    }
    db_reset(db, Q_LOSS_GET);
    return code;
}

static enum sl_code read_store(struct db *db, struct sl_err *err)
{
    sqlite3_stmt *s = db->query[Q_STORE_GET];
    int rc = sqlite3_step(s);
    enum sl_code code = SL_OK;
    if (rc == SQLITE_ROW) {
        db->id = (uint64_t)sqlite3_column_int64(s, 0);
        db->dead_rows = (uint64_t)sqlite3_column_int64(s, 1);
        db->dead_bytes = (uint64_t)sqlite3_column_int64(s, 2);
    } else {
        code = rc == SQLITE_DONE
                   ? sl_fail(err, SL_CORRUPT, "%s: its first row is missing", db->path)
                   : db_fail(db, rc, err);
    }
    db_reset(db, Q_STORE_GET);
    return code;
}

enum sl_code db_read_state(struct db *db, struct sl_err *err)
{
    enum sl_code code = read_store(db, err);
    for (int i = 0; i < OUTBOX_LANES && code == SL_OK; i++) {
        code = read_lane(db, i, err);
        for (int why = 0; why < OUTBOX_LOSSES && code == SL_OK; why++)
            code = read_loss(db, i, why, err);
    }
    return code;
}

static enum sl_code write_losses(struct db *db, int lane, const struct disk_lane *now,
                                 struct sl_err *err)
{
    enum sl_code code = SL_OK;
    for (int why = 0; why < OUTBOX_LOSSES && code == SL_OK; why++) {
        const struct disk_loss *loss = &now->loss[why], *was = &db->lane[lane].loss[why];
        if (loss->count == was->count && loss->last_ms == was->last_ms)
            continue;
        (void)sqlite3_bind_int(db->query[Q_LOSS_SET], 1, loss_id(lane, why));
        bind_u64(db, Q_LOSS_SET, 2, loss->count);
        (void)sqlite3_bind_int64(db->query[Q_LOSS_SET], 3, loss->first_ms);
        (void)sqlite3_bind_int64(db->query[Q_LOSS_SET], 4, loss->last_ms);
        code = db_run(db, Q_LOSS_SET, err);
    }
    return code;
}

enum sl_code db_write_state(struct db *db, const struct disk_lane lane[OUTBOX_LANES],
                            struct sl_err *err)
{
    enum sl_code code = SL_OK;
    for (int i = 0; i < OUTBOX_LANES && code == SL_OK; i++) {
        const struct disk_lane *l = &lane[i], *was = &db->lane[i];
        if (l->delivered != was->delivered || l->rows != was->rows || l->bytes != was->bytes ||
            l->last != was->last || l->reserved != was->reserved) {
            (void)sqlite3_bind_int(db->query[Q_LANE_SET], 1, i);
            bind_u64(db, Q_LANE_SET, 2, l->delivered);
            bind_u64(db, Q_LANE_SET, 3, l->rows);
            bind_u64(db, Q_LANE_SET, 4, l->bytes);
            bind_u64(db, Q_LANE_SET, 5, l->last);
            bind_u64(db, Q_LANE_SET, 6, l->reserved);
            code = db_run(db, Q_LANE_SET, err);
        }
        if (code == SL_OK)
            code = write_losses(db, i, l, err);
    }
    return code;
}

void db_committed(struct db *db, const struct disk_lane lane[OUTBOX_LANES])
{
    uint64_t reserved[OUTBOX_LANES];
    bool more = false;
    for (int i = 0; i < OUTBOX_LANES; i++) {
        reserved[i] = lane[i].reserved;
        more = more || lane[i].reserved != db->lane[i].reserved;
    }
    memcpy(db->lane, lane, sizeof db->lane);
    if (more) /* once in a million messages */
        numbers_write(db->path, reserved);
}
