/* db_open.c - opening: what is checked, and what happens to a database that fails.
 *
 * The check costs the same however much waits: header, application id, version, schema (by
 * preparing every statement), counters. Rows are checked as they are read. */
#include "db_private.h"
#include "numbers.h"

#include <assert.h>
#include <stdio.h>

static enum sl_code check_identity(struct db *db, int *ret_version, struct sl_err *err)
{
    return sql_check_identity(&db->sql, DB_APPLICATION_ID, DB_VERSION, ret_version, err);
}

static enum sl_code configure(struct db *db, struct sl_err *err)
{
    const struct db_options *o = &db->options;
    uint64_t pages = (o->max_bytes + o->max_bytes / 4 + db->dead_bytes_max) / SQL_PAGE_SIZE + 128;
    return sql_configure(&db->sql, pages, err);
}

/* Every lane's rows were counted where counters could be read: they are what was lost with them. */
static void salvage(const struct db *db, struct disk_lane ret[OUTBOX_LANES])
{
    for (int i = 0; i < OUTBOX_LANES; i++) {
        ret[i] = db->lane[i];
        ret[i].loss[OUTBOX_LOST_CORRUPT].count += ret[i].rows;
        ret[i].rows = ret[i].bytes = ret[i].last = 0;
    }
}

static uint64_t dead_bytes_max(uint64_t max_bytes)
{
    const uint64_t least = 64 * 1024, most = 16 * 1024 * 1024;
    uint64_t share = max_bytes / 16;
    return share < least ? least : share > most ? most : share;
}

/* On failure `saved` has the counters as far as they could be read (else it is as it was). */
static enum sl_code open_checked(struct db **ret, const struct db_options *options,
                                 struct disk_lane saved[OUTBOX_LANES], struct sl_err *err)
{
    struct db *db = NULL;
    enum sl_code code = db_connect(&db, options->path, SQLITE_OPEN_READWRITE, err);
    if (code != SL_OK)
        return code;
    db->options = *options;
    db->options.path = db->sql.path;
    db->dead_bytes_max = dead_bytes_max(options->max_bytes);
    sql_measure_space(&db->sql);
    code = configure(db, err);
    int version = DB_VERSION;
    if (code == SL_OK)
        code = check_identity(db, &version, err);
    bool newer = code == SL_CORRUPT; /* or foreign: then its tables will hardly fit */
    if (code == SL_OK)
        code = db_migrate(db, version, err);
    struct sl_err *second = newer ? NULL : err;
    enum sl_code state = code == SL_OK || newer ? db_prepare(db, second) : code;
    if (state == SL_OK)
        state = db_read_state(db, second);
    if (state == SL_OK && newer)
        salvage(db, saved);
    code = code == SL_OK ? state : code;
    if (code == SL_OK)
        code = db_seal_begin(db, true, err);
    if (code != SL_OK) {
        db_close(db);
        return code;
    }
    *ret = db;
    return SL_OK;
}

/* Numbers are reserved with a full sync before the first of them is used. On a full disk that has
 * to wait for the first commit that succeeds: what is there can be sent meanwhile. */
static void reserve_numbers(struct db *db, struct disk_open *open)
{
    struct disk_lane lane[OUTBOX_LANES];
    memcpy(lane, db->lane, sizeof lane);
    for (int i = 0; i < OUTBOX_LANES; i++) {
        uint64_t from = lane[i].reserved > open->next[i] ? lane[i].reserved : open->next[i];
        lane[i].reserved = from + DISK_NUMBERS_AT_ONCE;
    }
    struct sl_err ignored;
    enum sl_code code = db_run(db, Q_BEGIN, &ignored);
    if (code == SL_OK)
        code = db_write_state(db, lane, &ignored);
    if (code == SL_OK)
        code = db_run(db, Q_COMMIT, &ignored);
    if (code == SL_OK)
        db_committed(db, lane);
    sql_rollback(&db->sql); /* the next commit tells what is the matter */
}

static enum sl_code hand_over(struct db **ret, struct db *db, struct disk_open *open,
                              struct sl_err *err)
{
    assert(db);
    uint64_t noted[OUTBOX_LANES];
    numbers_read(db->sql.path, noted);
    for (int i = 0; i < OUTBOX_LANES; i++) {
        open->free_from[i] = noted[i] > db->lane[i].reserved ? noted[i] : db->lane[i].reserved;
        if (open->free_from[i] > open->next[i])
            open->next[i] = open->free_from[i];
    }
    reserve_numbers(db, open);
    enum sl_code code = sql_set_sync(&db->sql, db->options.sync, err);
    if (code != SL_OK) {
        db_close(db);
        return code;
    }
    memcpy(open->lane, db->lane, sizeof open->lane);
    open->id = db->id;
    open->dead_rows = db->dead_rows;
    open->bytes_written = sql_bytes_written(&db->sql);
    open->syncs = sql_syncs(&db->sql);
    open->file_bytes = sql_file_bytes(&db->sql);
    db->opened_mono_ms = open->mono_ms;
    db->opened_wall_ms = open->wall_ms;
    *ret = db;
    return SL_OK;
}

static enum sl_code open_fresh(struct db **ret, const struct db_options *options,
                               struct disk_open *open, struct disk_lane saved[OUTBOX_LANES],
                               struct sl_err *err)
{
    struct db *db = NULL;
    enum sl_code code = db_make(options->path, saved, err);
    if (code == SL_OK)
        code = open_checked(&db, options, saved, err);
    if (code != SL_OK)
        return code;
    open->fresh = true;
    return hand_over(ret, db, open, err);
}

/* True: it waits for the damaged one to be moved away. */
static bool salvage_rows(const struct db_options *options, struct disk_open *open)
{
    struct sl_err why;
    return db_salvage(options->path, open->known_id, &open->salvaged, &why) == SL_OK;
}

/* False: a fresh one has to do. */
static bool open_salvaged(struct db **ret, const struct db_options *options, struct sl_err *err)
{
    struct disk_lane unused[OUTBOX_LANES];
    db_salvage_end(options->path);
    return open_checked(ret, options, unused, err) == SL_OK;
}

enum sl_code db_open(struct db **ret, const struct db_options *options, struct disk_open *open,
                     struct sl_err *err)
{
    struct disk_lane saved[OUTBOX_LANES] = { 0 };
    struct db *db = NULL;
    open->fresh = open->moved = false;
    open->salvaged = 0;
    numbers_read(options->path, open->free_from); /* known also when nothing else can be read */
    db_salvage_end(options->path);
    enum sl_code code = sql_file_look_at(options->path, err);
    if (code == SL_OK)
        code = open->set_aside ? sl_fail(err, SL_CORRUPT, "%s: rows cannot be read", options->path)
                               : open_checked(&db, options, saved, err);
    if (code == SL_OK)
        return hand_over(ret, db, open, err);
    if (code == SL_CORRUPT || (code == SL_NOTFOUND && sql_file_has_log(options->path))) {
        (void)snprintf(open->moved_why, sizeof open->moved_why, "%.159s", err->text);
        bool saved_some = code == SL_CORRUPT && salvage_rows(options, open);
        code = sql_file_move_aside(options->path, open->wall_ms, open->moved_to,
                                   sizeof open->moved_to, err);
        if (code != SL_OK)
            return code;
        open->moved = true;
        if (saved_some && open_salvaged(&db, options, err))
            return hand_over(ret, db, open, err);
    } else if (code != SL_NOTFOUND) {
        open->kept = code == SL_IO ? db_count_kept(options->path) : 0;
        return code;
    }
    return open_fresh(ret, options, open, saved, err);
}

static enum sl_code prepare_to_read(struct db *db, struct sl_err *err)
{
    int version = 0;
    enum sl_code code = check_identity(db, &version, err);
    if (code == SL_OK && version < DB_VERSION)
        return sl_fail(err, SL_UNSUPPORTED,
                       "%s: was made by an older version: start the gateway once", db->sql.path);
    if (code == SL_OK)
        code = db_prepare(db, err);
    if (code == SL_OK)
        code = db_read_state(db, err);
    return code == SL_OK ? db_seal_begin(db, false, err) : code;
}

enum sl_code db_open_to_read(struct db **ret, const struct db_options *options, struct sl_err *err)
{
    enum sl_code code = sql_file_look_at(options->path, err);
    if (code != SL_OK)
        return code;
    struct db *db = NULL;
    code = db_connect(&db, options->path, SQLITE_OPEN_READONLY, err);
    if (code != SL_OK)
        return code;
    db->options = *options;
    db->options.path = db->sql.path;
    code = prepare_to_read(db, err);
    if (code != SL_OK) {
        db_close(db);
        return code;
    }
    *ret = db;
    return SL_OK;
}
