/* db_thin.c - a walk over the oldest rows: which of them can go. Reads only. */
#include "db_row.h"

#include <assert.h>

static void unpack(sqlite3_stmt *s, struct row *r)
{
    *r = (struct row){ .number = (uint64_t)sqlite3_column_int64(s, 0),
                       .wall_ms = sqlite3_column_int64(s, 1),
                       .mono_ms = sqlite3_column_int64(s, 2),
                       .boot = (uint32_t)sqlite3_column_int64(s, 3),
                       .expiry_s = sqlite3_column_type(s, 4) == SQLITE_NULL
                                       ? SL_MSG_NO_EXPIRY
                                       : (uint32_t)sqlite3_column_int64(s, 4),
                       .flags = (uint32_t)sqlite3_column_int64(s, 5),
                       .topic = db_column(s, 6),
                       .payload = db_column(s, 8) };
    r->props.len = (size_t)sqlite3_column_int64(s, 7); /* lengths only, as a rule */
    r->payload.len = (size_t)sqlite3_column_int64(s, 9);
}

static void show(struct db *db, struct disk_thin *thin, sqlite3_stmt *s)
{
    struct row r;
    unpack(s, &r);
    struct thin_row row = { r.number, (uint32_t)row_bytes(&r) };
    thin->seen++;
    thin->from = row.number + 1;
    if (db_unseal_row(db, &r, thin->lane, false) != SL_OK)
        return; /* whoever reads it will count it */
    struct sl_slice topic = r.topic;
    if (thin_topics_show(thin->topics, topic, row, &thin->gone[thin->gone_count]))
        thin->gone_count++;
}

enum sl_code db_thin(struct db *db, struct disk_thin *thin, struct sl_err *err)
{
    assert(thin->lane == OUTBOX_TELEMETRY);
    sqlite3_stmt *s = db->query[Q_THIN];
    bind_u64(db, Q_THIN, 1, thin->from);
    bind_u64(db, Q_THIN, 2, thin->to);
    bind_u64(db, Q_THIN, 3, thin->rows_max);
    thin->seen = thin->gone_count = 0;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        show(db, thin, s);
    enum sl_code code = rc == SQLITE_DONE ? SL_OK : db_fail(db, rc, err);
    thin->end = thin->seen < thin->rows_max;
    db_reset(db, Q_THIN);
    return code;
}
