/* db_make.c - making the outbox's database. */
#include "db_private.h"

#include "base/crypto.h"

#include <limits.h>
#include <stdio.h>

#define ROW_TABLE(name)                                                                            \
    "CREATE TABLE " name "(number INTEGER PRIMARY KEY,wall_ms INTEGER,mono_ms INTEGER,"            \
    "boot INTEGER,expiry_s INTEGER,flags INTEGER,topic TEXT,props BLOB,payload BLOB,crc INTEGER);"

/* clang-format off */
static const char schema[] =
    "PRAGMA application_id=" SQL_STRING(DB_APPLICATION_ID) ";"
    "PRAGMA user_version=" SQL_STRING(DB_VERSION) ";"
    "CREATE TABLE store(id INTEGER PRIMARY KEY,uuid INTEGER,dead_rows INTEGER,dead_bytes INTEGER);"
    "CREATE TABLE lane(id INTEGER PRIMARY KEY,name TEXT,delivered INTEGER,rows INTEGER,"
    "bytes INTEGER,last INTEGER,reserved INTEGER);"
    "CREATE TABLE loss(id INTEGER PRIMARY KEY,count INTEGER,first_ms INTEGER,last_ms INTEGER);"
    "CREATE TABLE dead(id INTEGER PRIMARY KEY,lane INTEGER,number INTEGER,wall_ms INTEGER,"
    "topic TEXT,payload BLOB,reason TEXT,bytes INTEGER,flags INTEGER);"
    DB_SEAL_TABLE DB_BOOT_TABLE
    "INSERT INTO lane VALUES(0,'alert',0,0,0,0,0);"
    "INSERT INTO lane VALUES(1,'normal',0,0,0,0,0);"
    "INSERT INTO lane VALUES(2,'telemetry',0,0,0,0,0);"
    ROW_TABLE("alert")
    ROW_TABLE("normal")
    ROW_TABLE("telemetry");
/* clang-format on */

static enum sl_code fill(struct db *db, const struct disk_lane lane[OUTBOX_LANES],
                         struct sl_err *err)
{
    uint64_t id;
    if (crypto_random(&id, sizeof id) != SL_OK)
        return sl_fail(err, SL_IO, "%s: the system gives no random numbers", db->sql.path);
    char first[80];
    (void)snprintf(first, sizeof first, "INSERT INTO store VALUES(1,%lld,0,0)",
                   (long long)(id >> 1));
    enum sl_code code = sql_exec(&db->sql, SQL_SET_PAGE_SIZE, err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, "BEGIN IMMEDIATE", err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, schema, err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, first, err);
    if (code == SL_OK)
        code = db_prepare(db, err);
    if (code == SL_OK)
        code = db_write_state(db, lane, err);
    if (code == SL_OK)
        code = sql_exec(&db->sql, "COMMIT", err);
    return code;
}

enum sl_code db_make(const char *path, const struct disk_lane lane[OUTBOX_LANES],
                     struct sl_err *err)
{
    char temporary[PATH_MAX];
    enum sl_code code = sql_file_begin(path, temporary, sizeof temporary, err);
    if (code != SL_OK)
        return code;
    struct db *db = NULL;
    code = db_connect(&db, temporary, SQLITE_OPEN_READWRITE, err);
    if (code == SL_OK)
        code = fill(db, lane, err);
    db_close(db);
    return sql_file_end(path, temporary, code, err);
}
