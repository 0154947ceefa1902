/* db_boot.c - boots of the machine that began without the time, and what was between its clocks
 * once it was known: doubtful stamps are put right by it when rows are read. */
#include "db_private.h"

enum sl_code db_read_boots(struct db *db, struct sl_err *err)
{
    sqlite3_stmt *s = db->query[Q_BOOT_GET];
    int rc = SQLITE_DONE;
    db->boot_count = 0;
    while (db->boot_count < DB_BOOTS_MAX && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        db->boot[db->boot_count].id = (uint32_t)sqlite3_column_int64(s, 0);
        db->boot[db->boot_count++].offset_ms = sqlite3_column_int64(s, 1);
    }
    enum sl_code code = rc == SQLITE_ROW || rc == SQLITE_DONE ? SL_OK : db_fail(db, rc, err);
    db_reset(db, Q_BOOT_GET);
    return code;
}

/* Within the transaction. Should that fail, one boot too many is at hand: what it says is true. */
enum sl_code db_note_boot(struct db *db, int64_t offset_ms, struct sl_err *err)
{
    if (db->options.boot == 0)
        return SL_OK; /* nobody could tell it from another */
    bind_u64(db, Q_BOOT_SET, 1, db->options.boot);
    (void)sqlite3_bind_int64(db->query[Q_BOOT_SET], 2, offset_ms);
    enum sl_code code = db_run(db, Q_BOOT_SET, err);
    if (code == SL_OK)
        code = db_run(db, Q_BOOT_TRIM, err);
    return code == SL_OK ? db_read_boots(db, err) : code;
}
