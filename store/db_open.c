/* db_open.c - opening: what is checked, and what happens to a database that fails.
 *
 * The check costs the same however much waits: header, application id, version, schema (by
 * preparing every statement), counters. Rows are checked as they are read. */
#include "db_private.h"
#include "numbers.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES 100

/* Before SQLite looks: it takes an empty file for an empty database. */
static enum sl_code look_at(const char *path, struct sl_err *err)
{
    SL_CLEANUP(sl_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return sl_fail(err, errno == ENOENT ? SL_NOTFOUND : SL_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0)
        return sl_fail(err, SL_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return sl_fail(err, SL_IO, "%s: is not a file", path);
    char header[HEADER_BYTES];
    ssize_t n = pread(fd, header, sizeof header, 0);
    if (n < 0)
        return sl_fail(err, SL_IO, "%s: %s", path, strerror(errno));
    if (n == 0)
        return sl_fail(err, SL_CORRUPT, "%s: the file is empty", path);
    if (n < HEADER_BYTES || memcmp(header, "SQLite format 3", 16) != 0)
        return sl_fail(err, SL_CORRUPT, "%s: is not a database", path);
    return SL_OK;
}

static enum sl_code check_identity(struct db *db, struct sl_err *err)
{
    int64_t id = 0, version = 0;
    enum sl_code code = db_pragma_int(db, "PRAGMA application_id", &id, err);
    if (code == SL_OK)
        code = db_pragma_int(db, "PRAGMA user_version", &version, err);
    if (code != SL_OK)
        return code;
    if (id != DB_APPLICATION_ID)
        return sl_fail(err, SL_CORRUPT, "%s: belongs to another program (application id %lld)",
                       db->path, (long long)id);
    if (version > DB_VERSION)
        return sl_fail(err, SL_CORRUPT, "%s: was made by a newer version (%lld, this one knows %d)",
                       db->path, (long long)version, DB_VERSION);
    if (version < DB_VERSION)
        return sl_fail(err, SL_CORRUPT, "%s: has the unknown version %lld", db->path,
                       (long long)version);
    return SL_OK;
}

static enum sl_code configure(struct db *db, struct sl_err *err)
{
    const struct db_options *o = &db->options;
    uint64_t pages = (o->max_bytes + o->max_bytes / 4 + db->dead_bytes_max) / DB_PAGE_SIZE + 128;
    char bound[64];
    (void)snprintf(bound, sizeof bound, "PRAGMA max_page_count=%llu", (unsigned long long)pages);
    /* Exclusive first: then the log's index is in this process's memory, and nobody else gets in.
     */
    enum sl_code code = db_exec(db, "PRAGMA locking_mode=EXCLUSIVE", err);
    if (code == SL_OK)
        code = db_exec(db, "PRAGMA journal_mode=WAL", err);
    if (code == SL_OK)
        code = db_exec(db,
                       "PRAGMA synchronous=FULL;PRAGMA cache_size=-1024;PRAGMA temp_store=MEMORY;"
                       "PRAGMA journal_size_limit=4194304;PRAGMA mmap_size=0;"
                       "PRAGMA trusted_schema=OFF",
                       err);
    if (code == SL_OK)
        code = db_exec(db, bound, err);
    return code;
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
    db->options.path = db->path;
    db->dead_bytes_max = dead_bytes_max(options->max_bytes);
    db_measure_space(db);
    code = configure(db, err);
    if (code == SL_OK)
        code = check_identity(db, err);
    bool newer = code == SL_CORRUPT; /* or foreign: then its tables will hardly fit */
    struct sl_err *second = newer ? NULL : err;
    enum sl_code state = code == SL_OK || newer ? db_prepare(db, second) : code;
    if (state == SL_OK)
        state = db_read_state(db, second);
    if (state == SL_OK && newer)
        salvage(db, saved);
    code = code == SL_OK ? state : code;
    if (code != SL_OK) {
        db_close(db);
        return code;
    }
    *ret = db;
    return SL_OK;
}

static const char *sync_pragma(enum outbox_sync sync)
{
    switch (sync) {
    case OUTBOX_SYNC_FULL: return "PRAGMA synchronous=FULL";
    case OUTBOX_SYNC_NORMAL: return "PRAGMA synchronous=NORMAL";
    case OUTBOX_SYNC_OFF: return "PRAGMA synchronous=OFF";
    }
    return "PRAGMA synchronous=FULL";
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
    else if (!sqlite3_get_autocommit(db->handle))
        (void)db_run(db, Q_ROLLBACK, &ignored); /* the next commit tells what is the matter */
}

static enum sl_code hand_over(struct db **ret, struct db *db, struct disk_open *open,
                              struct sl_err *err)
{
    assert(db);
    uint64_t noted[OUTBOX_LANES];
    numbers_read(db->path, noted);
    for (int i = 0; i < OUTBOX_LANES; i++) {
        open->free_from[i] = noted[i] > db->lane[i].reserved ? noted[i] : db->lane[i].reserved;
        if (open->free_from[i] > open->next[i])
            open->next[i] = open->free_from[i];
    }
    reserve_numbers(db, open);
    enum sl_code code = db_exec(db, sync_pragma(db->options.sync), err);
    if (code != SL_OK) {
        db_close(db);
        return code;
    }
    memcpy(open->lane, db->lane, sizeof open->lane);
    open->id = db->id;
    open->dead_rows = db->dead_rows;
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

enum sl_code db_open(struct db **ret, const struct db_options *options, struct disk_open *open,
                     struct sl_err *err)
{
    struct disk_lane saved[OUTBOX_LANES] = { 0 };
    struct db *db = NULL;
    open->fresh = open->moved = false;
    enum sl_code code = look_at(options->path, err);
    if (code == SL_OK)
        code = open->set_aside ? sl_fail(err, SL_CORRUPT, "%s: rows cannot be read", options->path)
                               : open_checked(&db, options, saved, err);
    if (code == SL_OK)
        return hand_over(ret, db, open, err);
    if (code == SL_CORRUPT || (code == SL_NOTFOUND && db_log_is_there(options->path))) {
        (void)snprintf(open->moved_why, sizeof open->moved_why, "%.159s", err->text);
        code = db_move_aside(options->path, open, err);
        if (code != SL_OK)
            return code;
    } else if (code != SL_NOTFOUND) {
        return code;
    }
    return open_fresh(ret, options, open, saved, err);
}

enum sl_code db_open_to_read(struct db **ret, const char *path, struct sl_err *err)
{
    enum sl_code code = look_at(path, err);
    if (code != SL_OK)
        return code;
    struct db *db = NULL;
    code = db_connect(&db, path, SQLITE_OPEN_READONLY, err);
    if (code != SL_OK)
        return code;
    code = check_identity(db, err);
    if (code == SL_OK)
        code = db_prepare(db, err);
    if (code != SL_OK) {
        db_close(db);
        return code;
    }
    *ret = db;
    return SL_OK;
}
