/* db_purge.c - what throwing away by hand asks of the database. Statements are made when they are
 * needed: that is seldom. */
#include "db_row.h"

enum sl_code db_count(struct db *db, struct disk_count *count, struct sl_err *err)
{
    /* Of text, length() counts characters; of a blob it does not read what it counts. */
    static const char *const texts[OUTBOX_LANES] = {
#define COUNT_ROWS(table)                                                                          \
    "SELECT count(*),total(bytes),max(number) FROM (SELECT number,"                                \
    "length(CAST(topic AS BLOB))+ifnull(length(props),0)+length(payload)"                          \
    "-(flags>>8&1)*" SQL_STRING(                                                                   \
        ROW_SEAL_EXTRA) " bytes FROM " table                                                       \
                        " WHERE number BETWEEN ?1 AND ?2 ORDER BY number LIMIT ?3)"
        [OUTBOX_ALERT] = COUNT_ROWS("alert"),
        [OUTBOX_NORMAL] = COUNT_ROWS("normal"),
        [OUTBOX_TELEMETRY] = COUNT_ROWS("telemetry"),
    };
    sqlite3_stmt *s = NULL;
    enum sl_code code = sql_prepare(&db->sql, &s, &texts[count->lane], 1, err);
    if (code == SL_OK) {
        (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)count->from);
        (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)count->to);
        (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)count->rows_max);
        int rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
            count->rows = (uint64_t)sqlite3_column_int64(s, 0);
            count->bytes = (uint64_t)sqlite3_column_int64(s, 1) + count->rows * DISK_ROW_OVERHEAD;
            count->last = (uint64_t)sqlite3_column_int64(s, 2);
        } else {
            code = db_fail(db, rc, err);
        }
    }
    (void)sqlite3_finalize(s); /* repeats the error that was told */
    return code;
}

enum sl_code db_remove_letters(struct db *db, unsigned lanes, uint64_t most, uint64_t *ret_removed,
                               struct sl_err *err)
{
    char text[160];
    int64_t rows = 0, bytes = 0;
    long long limit = most < INT64_MAX ? (long long)most : INT64_MAX;
    unsigned mask = lanes == OUTBOX_ALL_LANES ? INT32_MAX : lanes; /* of unknown lanes, too */
    (void)sqlite3_snprintf(sizeof text, text,
                           "DELETE FROM dead WHERE id IN (SELECT id FROM dead"
                           " WHERE (1<<lane)&%u ORDER BY id LIMIT %lld)",
                           mask, limit);
    enum sl_code code = sql_exec(&db->sql, text, err);
    if (code == SL_OK)
        code = sql_int(&db->sql, "SELECT count(*) FROM dead", &rows, err);
    if (code == SL_OK)
        code = sql_int(&db->sql, "SELECT ifnull(sum(bytes),0) FROM dead", &bytes, err);
    if (code != SL_OK)
        return code;
    uint64_t left = (uint64_t)rows;
    *ret_removed = db->dead_rows > left ? db->dead_rows - left : 0;
    db->dead_rows = left;
    db->dead_bytes = bytes > 0 ? (uint64_t)bytes : 0;
    return db_write_letters_state(db, err);
}
