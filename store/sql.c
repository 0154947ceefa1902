/* sql.c - the connection: opening, statements, errors, the log. */
#include "sql.h"

#include "base/buf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 500 /* a reader that looks at the file from the command line is soon done */

/* ---- errors ---- */

static enum sl_code code_of(struct sql *s, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return SL_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return SL_BUSY;
    case SQLITE_FULL: {
        int64_t pages = 0, most = 0;
        if (sql_int(s, "PRAGMA page_count", &pages, NULL) == SL_OK &&
            sql_int(s, "PRAGMA max_page_count", &most, NULL) == SL_OK && pages >= most)
            return SL_LIMIT;
        return SL_FULL;
    }
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* statements are ours: a table or column is missing */
    case SQLITE_MISMATCH:
    case SQLITE_SCHEMA: return SL_CORRUPT;
    default: return SL_IO; /* SQLite's codes are ints, and new ones come */
    }
}

enum sl_code sql_fail(struct sql *s, int rc, struct sl_err *err)
{
    char text[160];
    (void)snprintf(text, sizeof text, "%s", sqlite3_errmsg(s->handle));
    int sys = sqlite3_system_errno(s->handle);
    enum sl_code code = code_of(s, rc);
    if (code == SL_IO && access(s->path, W_OK) != 0)
        sys = errno; /* of a read-only file system SQLite tells as little as it can */
    if ((rc & 0xff) == SQLITE_IOERR && (sys == ENOSPC || sys == EDQUOT))
        code = SL_FULL; /* of the log's index, say, it is told as an I/O error */
    if (code == SL_FULL)
        return sl_fail(err, code, "%s: no room on the file system: free some", s->path);
    if (code == SL_LIMIT)
        return sl_fail(err, code, "%s: has reached its greatest size", s->path);
    if (code == SL_BUSY)
        return sl_fail(err, code, "%s: another program has it open: end that one", s->path);
    if (code == SL_IO && sys != 0)
        return sl_fail(err, code, "%s: %s (%s): check the disk and the file's owner", s->path, text,
                       strerror(sys));
    return sl_fail(err, code, "%s: %s", s->path, text);
}

/* ---- statements ---- */

void sql_reset(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement); /* repeats the error of the step, which was told */
    (void)sqlite3_clear_bindings(statement);
}

enum sl_code sql_run(struct sql *s, sqlite3_stmt *statement, struct sl_err *err)
{
    int rc = sqlite3_step(statement);
    enum sl_code code = rc == SQLITE_DONE ? SL_OK : sql_fail(s, rc, err);
    sql_reset(statement);
    return code;
}

enum sl_code sql_exec(struct sql *s, const char *sql, struct sl_err *err)
{
    int rc = sqlite3_exec(s->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? SL_OK : sql_fail(s, rc, err);
}

enum sl_code sql_int(struct sql *s, const char *text, int64_t *ret, struct sl_err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(s->handle, text, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    enum sl_code code = SL_OK;
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    else if (err) /* code_of() asks without: no way round in a circle */
        code = sql_fail(s, rc, err);
    else
        code = SL_IO;
    (void)sqlite3_finalize(statement);
    return code;
}

enum sl_code sql_prepare(struct sql *s, sqlite3_stmt **ret, const char *const *texts, size_t count,
                         struct sl_err *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc =
            sqlite3_prepare_v3(s->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &ret[i], NULL);
        if (rc != SQLITE_OK)
            return sql_fail(s, rc, err);
    }
    return SL_OK;
}

void sql_rollback(struct sql *s)
{
    if (s->handle && !sqlite3_get_autocommit(s->handle))
        (void)sqlite3_exec(s->handle, "ROLLBACK", NULL, NULL, NULL); /* what led here is told */
}

/* ---- the connection ---- */

static int on_log_grown(void *ctx, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    struct sql *s = ctx;
    uint64_t now = pages > 0 ? (uint64_t)pages : 0;
    bool anew = now <= s->log_pages || s->log_pages == 0;
    s->log_pages_written += anew ? now : now - s->log_pages;
    if (s->sync != OUTBOX_SYNC_OFF && anew)
        s->syncs++; /* the log's header */
    if (s->sync == OUTBOX_SYNC_FULL)
        s->syncs++; /* the commit */
    s->log_pages = now;
    return SQLITE_OK;
}

/* Pages are allocated as they are needed instead of twenty at a time: an idle gateway uses three.
 * Nor is memory counted, for which each allocation would take a lock. Only before the first
 * connection; later it is refused, and was done already. */
static void spare_memory(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static enum sl_code connect_by(struct sql *s, const char *path, int flags, const char *vfs,
                               struct sl_err *err)
{
    *s = (struct sql){ .path = strdup(path) };
    if (!s->path)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    spare_memory();
    int rc = sqlite3_open_v2(path, &s->handle, flags | SQLITE_OPEN_NOMUTEX, vfs);
    if (!s->handle)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    if (rc != SQLITE_OK)
        return sql_fail(s, rc, err);
    (void)sqlite3_extended_result_codes(s->handle, 1);
    (void)sqlite3_busy_timeout(s->handle, BUSY_MS);
    (void)sqlite3_wal_hook(s->handle, on_log_grown, s); /* instead of automatic checkpoints */
    return SL_OK;
}

void sql_set_name(struct sql *s, const char *name)
{
    char *copy = strdup(name);
    if (!copy)
        return; /* the longer name is as good */
    free(s->path);
    s->path = copy;
}

enum sl_code sql_connect(struct sql *s, const char *path, int flags, struct sl_err *err)
{
    return connect_by(s, path, flags, NULL, err);
}

/* Hexadecimal wherever a character may mean something. */
static enum sl_code connect_immutable(struct sql *s, const char *path, struct sl_err *err)
{
    struct sl_buf uri = { 0 };
    sl_buf_put_str(&uri, "file:");
    for (const char *at = path; *at; at++) {
        if (isalnum((unsigned char)*at) || *at == '/')
            sl_buf_put_u8(&uri, (uint8_t)*at);
        else
            sl_buf_printf(&uri, "%%%02x", (unsigned char)*at);
    }
    sl_buf_put_str(&uri, "?immutable=1");
    *s = (struct sql){ 0 };
    enum sl_code code = uri.failed ? sl_fail(err, SL_NOMEM, "%s: out of memory", path)
                                   : connect_by(s, sl_buf_cstr(&uri),
                                                SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL, err);
    sl_buf_free(&uri);
    return code;
}

/* Without a log SQLite would make one, unless nothing ever changes. With one: exclusive, it is read
 * without an index beside it, which could not be made; and the lock for that would need a file that
 * is open for writing. */
enum sl_code sql_connect_to_look(struct sql *s, const char *path, struct sl_err *err)
{
    if (!sql_file_has_log(path))
        return connect_immutable(s, path, err);
    enum sl_code code = connect_by(s, path, SQLITE_OPEN_READONLY, "unix-none", err);
    if (code != SL_OK)
        return code;
    (void)sqlite3_db_config(s->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return sql_exec(s, "PRAGMA locking_mode=EXCLUSIVE", err);
}

void sql_close(struct sql *s)
{
    (void)sqlite3_close(s->handle); /* moves the log into the database; what fails is done at the
                                       next start */
    if (s->fd > 0)
        (void)close(s->fd);
    free(s->path);
    *s = (struct sql){ 0 };
}

/* secure_delete: Debian's SQLite fills what is deleted with zeros unless told not to, and writes
 * that to the disk as well. */
enum sl_code sql_configure(struct sql *s, uint64_t pages_max, struct sl_err *err)
{
    char bound[64];
    (void)snprintf(bound, sizeof bound, "PRAGMA max_page_count=%llu",
                   (unsigned long long)pages_max);
    /* Exclusive first: then the log's index is in this process's memory, and nobody else gets in.
     */
    enum sl_code code = sql_exec(s, "PRAGMA locking_mode=EXCLUSIVE", err);
    if (code == SL_OK)
        code = sql_exec(s, "PRAGMA journal_mode=WAL", err);
    if (code == SL_OK)
        code = sql_exec(s,
                        "PRAGMA synchronous=FULL;PRAGMA cache_size=-1024;PRAGMA temp_store=MEMORY;"
                        "PRAGMA journal_size_limit=4194304;PRAGMA mmap_size=0;"
                        "PRAGMA trusted_schema=OFF;PRAGMA secure_delete=OFF",
                        err);
    if (code == SL_OK)
        code = sql_exec(s, bound, err);
    if (code == SL_OK && s->fd == 0)
        s->fd = open(s->path, O_RDWR | O_CLOEXEC); /* without it no room is taken ahead */
    return code;
}

enum sl_code sql_set_sync(struct sql *s, enum outbox_sync sync, struct sl_err *err)
{
    const char *text = "PRAGMA synchronous=FULL";
    s->sync = sync;
    switch (sync) {
    case OUTBOX_SYNC_FULL: break;
    case OUTBOX_SYNC_NORMAL: text = "PRAGMA synchronous=NORMAL"; break;
    case OUTBOX_SYNC_OFF: text = "PRAGMA synchronous=OFF"; break;
    }
    return sql_exec(s, text, err);
}

enum sl_code sql_check_identity(struct sql *s, int application_id, int known, int *ret_version,
                                struct sl_err *err)
{
    int64_t id = 0, version = 0;
    enum sl_code code = sql_int(s, "PRAGMA application_id", &id, err);
    if (code == SL_OK)
        code = sql_int(s, "PRAGMA user_version", &version, err);
    if (code != SL_OK)
        return code;
    if (id != application_id)
        return sl_fail(err, SL_CORRUPT, "%s: belongs to another program (application id %lld)",
                       s->path, (long long)id);
    if (version > known)
        return sl_fail(err, SL_CORRUPT, "%s: was made by a newer version (%lld, this one knows %d)",
                       s->path, (long long)version, known);
    if (version < 1)
        return sl_fail(err, SL_CORRUPT, "%s: has the unknown version %lld", s->path,
                       (long long)version);
    *ret_version = (int)version;
    return SL_OK;
}

/* ---- the log ---- */

/* Without asking for times: after a stat() Linux gives the next write a time of its own, and the
 * sync of a commit may have to write the inode along with it. */
static uint64_t size_of(const char *path)
{
    struct statx st;
    return statx(AT_FDCWD, path, 0, STATX_SIZE, &st) == 0 ? st.stx_size : 0;
}

uint64_t sql_log_bytes(const struct sql *s)
{
    char log[4096 + 8];
    (void)snprintf(log, sizeof log, "%.4096s-wal", s->path);
    return size_of(log);
}

uint64_t sql_database_bytes(const struct sql *s)
{
    struct stat st;
    if (stat(s->path, &st) != 0)
        return 0;
    uint64_t size = (uint64_t)st.st_size, blocks = (uint64_t)st.st_blocks * 512;
    return size > blocks ? size : blocks;
}

uint64_t sql_file_bytes(const struct sql *s)
{
    return size_of(s->path) + sql_log_bytes(s);
}

uint64_t sql_bytes_written(const struct sql *s)
{
    return s->log_pages_written * SQL_FRAME_SIZE + s->checkpoint_pages * SQL_PAGE_SIZE;
}

uint64_t sql_syncs(const struct sql *s)
{
    return s->syncs;
}

void sql_upkeep(struct sql *s)
{
    if (s->log_pages >= s->log_pages_max || (s->log_is_short && s->log_pages > 0))
        sql_empty_log(s);
    s->log_is_short = false; /* a failure is not repeated before somebody has looked again */
}

void sql_empty_log(struct sql *s)
{
    int in_log = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
    if (moved > 0 && s->sync != OUTBOX_SYNC_OFF)
        s->syncs += 2; /* the log, before its pages move, and the database */
    uint64_t pages = moved > 0 ? (uint64_t)moved : 0, all = size_of(s->path) / SQL_PAGE_SIZE;
    s->checkpoint_pages += pages < all ? pages : all; /* one that is in the log twice moves once */
    if (rc == SQLITE_OK && moved == in_log)
        s->log_pages =
            0; /* the next commit begins it anew; else its pages are safe where they are */
}
