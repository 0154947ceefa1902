/* db_make.c - making a database, and moving one out of the way. */
#include "db_private.h"

#include "base/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROW_TABLE(name)                                                                            \
    "CREATE TABLE " name "(number INTEGER PRIMARY KEY,wall_ms INTEGER,mono_ms INTEGER,"            \
    "boot INTEGER,expiry_s INTEGER,flags INTEGER,topic TEXT,props BLOB,payload BLOB,crc INTEGER);"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

/* clang-format off */
static const char schema[] =
    "PRAGMA application_id=" STRING(DB_APPLICATION_ID) ";"
    "PRAGMA user_version=" STRING(DB_VERSION) ";"
    "CREATE TABLE store(id INTEGER PRIMARY KEY,uuid INTEGER,dead_rows INTEGER,dead_bytes INTEGER);"
    "CREATE TABLE lane(id INTEGER PRIMARY KEY,name TEXT,delivered INTEGER,rows INTEGER,"
    "bytes INTEGER,last INTEGER,reserved INTEGER);"
    "CREATE TABLE loss(id INTEGER PRIMARY KEY,count INTEGER,first_ms INTEGER,last_ms INTEGER);"
    "CREATE TABLE dead(id INTEGER PRIMARY KEY,lane INTEGER,number INTEGER,wall_ms INTEGER,"
    "topic TEXT,payload BLOB,reason TEXT,bytes INTEGER);"
    "INSERT INTO lane VALUES(0,'alert',0,0,0,0,0);"
    "INSERT INTO lane VALUES(1,'normal',0,0,0,0,0);"
    "INSERT INTO lane VALUES(2,'telemetry',0,0,0,0,0);"
    ROW_TABLE("alert")
    ROW_TABLE("normal")
    ROW_TABLE("telemetry");
/* clang-format on */

void db_sync_folder_of(const char *path)
{
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return;
    SL_CLEANUP(sl_close_fd) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd); /* some file systems refuse it on folders */
}

static enum sl_code beside(char *ret, size_t size, const char *path, const char *suffix,
                           struct sl_err *err)
{
    if (snprintf(ret, size, "%s%s", path, suffix) >= (int)size)
        return sl_fail(err, SL_INVALID, "%s: the path is too long", path);
    return SL_OK;
}

bool db_log_is_there(const char *path)
{
    char log[PATH_MAX];
    return beside(log, sizeof log, path, "-wal", NULL) == SL_OK && access(log, F_OK) == 0;
}

/* ---- making ---- */

static enum sl_code make_empty(const char *path, struct sl_err *err)
{
    (void)unlink(path); /* left over from a crash, if anything */
    char journal[PATH_MAX];
    if (beside(journal, sizeof journal, path, "-journal", err) != SL_OK)
        return SL_INVALID;
    (void)unlink(journal);
    SL_CLEANUP(sl_close_fd) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return sl_fail(err, errno == ENOSPC || errno == EDQUOT ? SL_FULL : SL_IO, "%s: %s", path,
                       strerror(errno));
    return SL_OK;
}

static enum sl_code fill(struct db *db, const struct disk_lane lane[OUTBOX_LANES],
                         struct sl_err *err)
{
    uint64_t id;
    if (crypto_random(&id, sizeof id) != SL_OK)
        return sl_fail(err, SL_IO, "%s: the system gives no random numbers", db->path);
    char first[80];
    (void)snprintf(first, sizeof first, "INSERT INTO store VALUES(1,%lld,0,0)",
                   (long long)(id >> 1));
    enum sl_code code = db_exec(db, "PRAGMA page_size=" STRING(DB_PAGE_SIZE), err);
    if (code == SL_OK)
        code = db_exec(db, "BEGIN IMMEDIATE", err);
    if (code == SL_OK)
        code = db_exec(db, schema, err);
    if (code == SL_OK)
        code = db_exec(db, first, err);
    if (code == SL_OK)
        code = db_prepare(db, err);
    if (code == SL_OK)
        code = db_write_state(db, lane, err);
    if (code == SL_OK)
        code = db_exec(db, "COMMIT", err);
    return code;
}

/* Made under another name and renamed: a crash leaves no half-made database behind. */
enum sl_code db_make(const char *path, const struct disk_lane lane[OUTBOX_LANES],
                     struct sl_err *err)
{
    char temporary[PATH_MAX];
    enum sl_code code = beside(temporary, sizeof temporary, path, ".new", err);
    if (code == SL_OK)
        code = make_empty(temporary, err);
    if (code != SL_OK)
        return code;
    struct db *db = NULL;
    code = db_connect(&db, temporary, SQLITE_OPEN_READWRITE, err);
    if (code == SL_OK)
        code = fill(db, lane, err);
    db_close(db);
    if (code == SL_OK && rename(temporary, path) != 0)
        code = sl_fail(err, SL_IO, "%s: %s", path, strerror(errno));
    if (code != SL_OK) {
        (void)unlink(temporary); /* the error there is matters more */
        return code;
    }
    db_sync_folder_of(path);
    return SL_OK;
}

/* ---- moving aside ---- */

static bool name_is_free(const char *name)
{
    return access(name, F_OK) != 0 && errno == ENOENT;
}

static bool find_name(const char *path, int64_t wall_ms, char *ret, size_t size)
{
    time_t wall_s = (time_t)(wall_ms / 1000);
    struct tm tm;
    char date[32];
    if (!gmtime_r(&wall_s, &tm) || strftime(date, sizeof date, "%Y%m%d-%H%M%S", &tm) == 0)
        return false;
    for (int try = 1; try < 100; try++) {
        int n = try == 1 ? snprintf(ret, size, "%s.bad-%s", path, date)
                         : snprintf(ret, size, "%s.bad-%s-%d", path, date, try);
        if (n < 0 || (size_t)n >= size)
            return false;
        if (name_is_free(ret))
            return true;
    }
    return false;
}

static enum sl_code move_one(const char *path, const char *to, const char *suffix,
                             struct sl_err *err)
{
    char from_name[PATH_MAX], to_name[PATH_MAX];
    if (beside(from_name, sizeof from_name, path, suffix, err) != SL_OK ||
        beside(to_name, sizeof to_name, to, suffix, err) != SL_OK)
        return SL_INVALID;
    if (rename(from_name, to_name) != 0 && errno != ENOENT)
        return sl_fail(err, SL_IO, "%s: cannot be moved aside: %s", from_name, strerror(errno));
    return SL_OK;
}

/* The database last: a crash in between leaves it for the next start to move. */
enum sl_code db_move_aside(const char *path, struct disk_open *open, struct sl_err *err)
{
    char to[sizeof open->moved_to];
    if (!find_name(path, open->wall_ms, to, sizeof to))
        return sl_fail(err, SL_IO, "%s: no free name to move it aside", path);
    static const char *const suffixes[] = { "-wal", "-shm", "-journal", "" };
    for (size_t i = 0; i < SL_ARRAY_LEN(suffixes); i++) {
        enum sl_code code = move_one(path, to, suffixes[i], err);
        if (code != SL_OK)
            return code;
    }
    db_sync_folder_of(path);
    open->moved = true;
    memcpy(open->moved_to, to, sizeof to);
    return SL_OK;
}
