/* db_thin.c - a walk over the oldest rows: which of them can go. Reads only. */
#include "db_private.h"

#include <assert.h>

static void show(struct disk_thin *thin, sqlite3_stmt *s)
{
    struct sl_slice topic = db_column(s, 1);
    struct thin_row row = { .number = (uint64_t)sqlite3_column_int64(s, 0),
                            .bytes = (uint32_t)(DISK_ROW_OVERHEAD + topic.len) +
                                     (uint32_t)sqlite3_column_int(s, 2) +
                                     (uint32_t)sqlite3_column_int(s, 3) };
    thin->seen++;
    thin->from = row.number + 1;
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
        show(thin, s);
    enum sl_code code = rc == SQLITE_DONE ? SL_OK : db_fail(db, rc, err);
    thin->end = thin->seen < thin->rows_max;
    db_reset(db, Q_THIN);
    return code;
}
