/* db_migrate.c - databases of older versions, brought to this one step by step.
 *
 * Each step is a transaction of its own that sets the version it leads to: what a power cut leaves
 * goes on from there. Rows are never rewritten. */
#include "db_private.h"

#include <assert.h>

/* From version i + 1 to i + 2. */
static const char *const steps[] = {
    /* 2: dead letters that are sealed, the check of the key */
    "ALTER TABLE dead ADD COLUMN flags INTEGER DEFAULT 0;" DB_SEAL_TABLE,
    /* 3: boots that began without the time */
    DB_BOOT_TABLE,
};
static_assert(SL_ARRAY_LEN(steps) == DB_VERSION - 1, "a step for each version");

static enum sl_code step_to(struct db *db, int version, struct sl_err *err)
{
    static const char *const set[] = { "PRAGMA user_version=2", "PRAGMA user_version=3" };
    static_assert(SL_ARRAY_LEN(set) == SL_ARRAY_LEN(steps), "a version for each step");
    enum sl_code code = sql_exec(&db->sql, "BEGIN IMMEDIATE", err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, steps[version - 2], err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, set[version - 2], err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, "COMMIT", err);
    sql_rollback(&db->sql);
    return code;
}

enum sl_code db_migrate(struct db *db, int version, struct sl_err *err)
{
    enum sl_code code = SL_OK;
    while (code == SL_OK && version < DB_VERSION)
        code = step_to(db, ++version, err);
    return code;
}
