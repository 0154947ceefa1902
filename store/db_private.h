/* db_private.h - what the db files share: the connection, its statements, running them. */
#ifndef STORE_DB_PRIVATE_H
#define STORE_DB_PRIVATE_H

#include "base/crypto.h"
#include "db.h"
#include "sql.h"

#define DB_APPLICATION_ID 0x534c4358 /* "SLCX" */
#define DB_VERSION        3
#define DB_VERSION_SEAL   2 /* from here on there is a check of the key */
#define DB_BOOT_TABLE     "CREATE TABLE boot(id INTEGER PRIMARY KEY,offset_ms INTEGER);"
#define DB_BOOTS_MAX      32
#define DB_SEAL_TABLE     "CREATE TABLE seal(id INTEGER PRIMARY KEY,proof BLOB);"

enum query {
    Q_BEGIN,
    Q_COMMIT,
    Q_STORE_GET,
    Q_STORE_SET,
    Q_LANE_GET,
    Q_LANE_SET,
    Q_LOSS_GET,
    Q_LOSS_SET,
    Q_DEAD_ADD,
    Q_DEAD_OLDEST,
    Q_DEAD_DELETE,
    Q_DEAD_READ,
    Q_THIN,
    Q_SEAL_GET,
    Q_SEAL_SET,
    Q_BOOT_GET,
    Q_BOOT_SET,
    Q_BOOT_TRIM,
    Q_ROW_ADD, /* one for each lane from here on */
    Q_ROW_DELETE = Q_ROW_ADD + OUTBOX_LANES,
    Q_ROW_READ = Q_ROW_DELETE + OUTBOX_LANES,
    Q_COUNT = Q_ROW_READ + OUTBOX_LANES,
};

struct db {
    struct sql sql;
    sqlite3_stmt *query[Q_COUNT];
    struct db_options options;
    struct disk_lane lane[OUTBOX_LANES]; /* as committed */
    uint64_t id, dead_rows, dead_bytes, dead_bytes_max;
    struct sealer *sealer;       /* NULL: rows lie as they are */
    struct sl_buf plain, cipher; /* of the row at hand */
    bool gone;                   /* see sql_rescue.c */
    struct {
        uint32_t id;
        int64_t offset_ms;
    } boot[DB_BOOTS_MAX]; /* boots whose time became known, the newest first */
    size_t boot_count;
    int64_t opened_mono_ms, opened_wall_ms;
};

/* db.c */
enum sl_code db_connect(struct db **ret, const char *path, int flags, struct sl_err *err);
enum sl_code db_prepare(struct db *db, struct sl_err *err);
/* What cannot be prepared stays NULL. */
void db_prepare_some(struct db *db);
enum sl_code db_read_state(struct db *db, struct sl_err *err);
enum sl_code db_write_state(struct db *db, const struct disk_lane lane[OUTBOX_LANES],
                            struct sl_err *err);

/* Takes over what was committed; numbers newly reserved are noted beside the database as well. */
void db_committed(struct db *db, const struct disk_lane lane[OUTBOX_LANES]);

/* db_rows.c */
struct sl_slice db_column(sqlite3_stmt *s, int at); /* of a text or blob: its bytes */

/* db_boot.c: what was between the clocks, in boots that began without the time */
enum sl_code db_read_boots(struct db *db, struct sl_err *err);
enum sl_code db_note_boot(struct db *db, int64_t offset_ms, struct sl_err *err);

/* db_peek.c: 0, too, when it cannot even be read. Locks nobody out, and is locked out by nobody. */
uint64_t db_count_kept(const char *path);

/* db_migrate.c */
enum sl_code db_migrate(struct db *db, int version, struct sl_err *err);

/* db_seal.c: the key, with db->id known. SL_INVALID: it is not the right one. */
enum sl_code db_seal_begin(struct db *db, bool may_write, struct sl_err *err);
void db_seal_end(struct db *db);

/* db_salvage.c: what can be read of a damaged database waits beside it, until that was moved away.
 * id: its identity, should it not tell; 0 if nobody knows. */
enum sl_code db_salvage(const char *path, uint64_t id, uint64_t *ret_rows, struct sl_err *err);
void db_salvage_end(const char *path); /* at the start, and when it was moved away */

/* db_make.c */
enum sl_code db_make(const char *path, const struct disk_lane lane[OUTBOX_LANES],
                     struct sl_err *err);

/* db_purge.c: the oldest letters of these lanes go, within the transaction. */
enum sl_code db_remove_letters(struct db *db, unsigned lanes, uint64_t most, uint64_t *ret_removed,
                               struct sl_err *err);
/* db_rows.c */
enum sl_code db_write_letters_state(struct db *db, struct sl_err *err);

static inline enum sl_code db_fail(struct db *db, int rc, struct sl_err *err)
{
    return sql_fail(&db->sql, rc, err);
}

static inline enum sl_code db_run(struct db *db, enum query q, struct sl_err *err)
{
    return sql_run(&db->sql, db->query[q], err);
}

static inline void db_reset(struct db *db, enum query q)
{
    sql_reset(db->query[q]);
}

static inline void bind_u64(struct db *db, enum query q, int at, uint64_t v)
{
    (void)sqlite3_bind_int64(db->query[q], at, (sqlite3_int64)v); /* fails only for a wrong index */
}

#endif
