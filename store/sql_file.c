/* sql_file.c - the database as a file: looked at, made, moved out of the way. */
#include "sql.h"

#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEADER_BYTES 100

enum sl_code sql_file_look_at(const char *path, struct sl_err *err)
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

void sql_file_sync_folder_of(const char *path)
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

bool sql_file_has_log(const char *path)
{
    char log[PATH_MAX];
    return beside(log, sizeof log, path, "-wal", NULL) == SL_OK && access(log, F_OK) == 0;
}

/* "file:PATH?immutable=1" */
bool sql_file_immutable_name(const char *path, char *ret, size_t size)
{
    struct sl_buf b = { .max = size - 1 };
    sl_buf_put_str(&b, "file:");
    for (const char *c = path; *c; c++) {
        if (*c == '%' || *c == '?' || *c == '#')
            sl_buf_printf(&b, "%%%02X", (unsigned)(unsigned char)*c);
        else
            sl_buf_put_u8(&b, (uint8_t)*c);
    }
    sl_buf_put_str(&b, "?immutable=1");
    bool ok = !b.failed && b.len < size;
    if (ok)
        (void)snprintf(ret, size, "%s", sl_buf_cstr(&b));
    sl_buf_free(&b);
    return ok;
}

/* ---- making ---- */

static enum sl_code make_empty(const char *path, struct sl_err *err)
{
    (void)unlink(path); /* left over from a crash, if anything */
    static const char *const suffixes[] = { "-wal", "-shm", "-journal" };
    for (size_t i = 0; i < SL_ARRAY_LEN(suffixes); i++) {
        char log[PATH_MAX];
        if (beside(log, sizeof log, path, suffixes[i], err) != SL_OK)
            return SL_INVALID;
        (void)unlink(log);
    }
    SL_CLEANUP(sl_close_fd) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return sl_fail(err, errno == ENOSPC || errno == EDQUOT ? SL_FULL : SL_IO, "%s: %s", path,
                       strerror(errno));
    return SL_OK;
}

enum sl_code sql_file_sync(const char *path, struct sl_err *err)
{
    SL_CLEANUP(sl_close_fd) int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return sl_fail(err, SL_IO, "%s: %s", path, strerror(errno));
    return SL_OK;
}

enum sl_code sql_file_begin(const char *path, char *ret_temporary, size_t size, struct sl_err *err)
{
    enum sl_code code = beside(ret_temporary, size, path, ".new", err);
    return code == SL_OK ? make_empty(ret_temporary, err) : code;
}

enum sl_code sql_file_end(const char *path, const char *temporary, enum sl_code code,
                          struct sl_err *err)
{
    if (code == SL_OK)
        code = sql_file_sync(temporary, err);
    if (code == SL_OK && rename(temporary, path) != 0)
        code = sl_fail(err, SL_IO, "%s: %s", path, strerror(errno));
    if (code != SL_OK) {
        (void)unlink(temporary); /* the error there is matters more */
        return code;
    }
    sql_file_sync_folder_of(path);
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
enum sl_code sql_file_move_aside(const char *path, int64_t wall_ms, char *ret_to, size_t size,
                                 struct sl_err *err)
{
    if (!find_name(path, wall_ms, ret_to, size)) {
        *ret_to = '\0';
        return sl_fail(err, SL_IO, "%s: no free name to move it aside", path);
    }
    static const char *const suffixes[] = { "-wal", "-shm", "-journal", "" };
    for (size_t i = 0; i < SL_ARRAY_LEN(suffixes); i++) {
        enum sl_code code = move_one(path, ret_to, suffixes[i], err);
        if (code != SL_OK)
            return code;
    }
    sql_file_sync_folder_of(path);
    return SL_OK;
}
