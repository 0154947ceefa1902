/* db.c - the outbox's statements, and its counters' rows. */
#include "db_private.h"
#include "numbers.h"

#include <stdio.h>
#include <stdlib.h>

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
    [Q_STORE_GET] = "SELECT uuid,dead_rows,dead_bytes FROM store WHERE id=1",
    [Q_STORE_SET] = "UPDATE store SET dead_rows=?1,dead_bytes=?2 WHERE id=1",
    [Q_LANE_GET] = "SELECT delivered,rows,bytes,last,reserved FROM lane WHERE id=?1",
    [Q_LANE_SET] = "UPDATE lane SET delivered=?2,rows=?3,bytes=?4,last=?5,reserved=?6 WHERE id=?1",
    [Q_LOSS_GET] = "SELECT count,first_ms,last_ms FROM loss WHERE id=?1",
    [Q_LOSS_SET] = "INSERT OR REPLACE INTO loss(id,count,first_ms,last_ms) VALUES(?1,?2,?3,?4)",
    [Q_DEAD_ADD] = "INSERT INTO dead(lane,number,wall_ms,topic,payload,reason,bytes,flags)"
                   " VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [Q_DEAD_OLDEST] = "SELECT id,bytes FROM dead ORDER BY id LIMIT 1",
    [Q_DEAD_DELETE] = "DELETE FROM dead WHERE id=?1",
    [Q_DEAD_READ] = "SELECT id,lane,number,wall_ms,topic,payload,reason,bytes,flags FROM dead"
                    " WHERE id>=?1 ORDER BY id LIMIT ?2",
    /* Of a payload only its length, unless the topic is in it. */
    [Q_THIN] = "SELECT number,wall_ms,mono_ms,boot,expiry_s,flags,topic,length(props),"
               "CASE WHEN flags&256 THEN payload END,length(payload) FROM telemetry"
               " WHERE number BETWEEN ?1 AND ?2 ORDER BY number LIMIT ?3",
    [Q_SEAL_GET] = "SELECT proof FROM seal WHERE id=1",
    [Q_SEAL_SET] = "INSERT OR REPLACE INTO seal(id,proof) VALUES(1,?1)",
    /* Later boots have more between their clocks. */
    [Q_BOOT_GET] =
        "SELECT id,offset_ms FROM boot ORDER BY offset_ms DESC LIMIT " SQL_STRING(DB_BOOTS_MAX),
    [Q_BOOT_SET] = "INSERT OR REPLACE INTO boot(id,offset_ms) VALUES(?1,?2)",
    [Q_BOOT_TRIM] = "DELETE FROM boot WHERE id NOT IN (SELECT id FROM boot ORDER BY offset_ms DESC"
                    " LIMIT " SQL_STRING(DB_BOOTS_MAX) ")",
    ROW_QUERIES(OUTBOX_ALERT, "alert"),
    ROW_QUERIES(OUTBOX_NORMAL, "normal"),
    ROW_QUERIES(OUTBOX_TELEMETRY, "telemetry"),
};

const char *db_library_version(void)
{
    return sqlite3_libversion();
}

enum sl_code db_connect(struct db **ret, const char *path, int flags, struct sl_err *err)
{
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    enum sl_code code = sql_connect(&db->sql, path, flags, err);
    if (code != SL_OK) {
        db_close(db);
        return code;
    }
    *ret = db;
    return SL_OK;
}

enum sl_code db_prepare(struct db *db, struct sl_err *err)
{
    return sql_prepare(&db->sql, db->query, queries, Q_COUNT, err);
}

void db_prepare_some(struct db *db)
{
    struct sl_err ignored;
    for (int q = 0; q < Q_COUNT; q++)
        if (sql_prepare(&db->sql, &db->query[q], &queries[q], 1, &ignored) != SL_OK)
            db->query[q] = NULL;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (int q = 0; q < Q_COUNT; q++)
        (void)sqlite3_finalize(db->query[q]);
    db_seal_end(db);
    sql_close(&db->sql);
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
            code = sl_fail(err, SL_CORRUPT, "%s: a counter is negative", db->sql.path);
    } else {
        code = rc == SQLITE_DONE
                   ? sl_fail(err, SL_CORRUPT, "%s: a lane's counters are missing", db->sql.path)
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
            code = sl_fail(err, SL_CORRUPT, "%s: a loss counter is negative", db->sql.path);
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
                   ? sl_fail(err, SL_CORRUPT, "%s: its first row is missing", db->sql.path)
                   : db_fail(db, rc, err);
    }
    db_reset(db, Q_STORE_GET);
    return code;
}

enum sl_code db_read_state(struct db *db, struct sl_err *err)
{
    enum sl_code code = read_store(db, err);
    if (code == SL_OK)
        code = db_read_boots(db, err);
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
        numbers_write(db->sql.path, reserved);
}
