/* sql_rescue.c - somebody removed the database while it was in use: it is written anew.
 *
 * A file that has no name any more takes commits as if nothing had happened, and is gone with the
 * process. So no commit counts before the files were seen to be there after it. All that was
 * committed can still be read through the open connection. */
#include "sql.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool has_moved(struct sql *s)
{
    int moved = 0;
    (void)sqlite3_file_control(s->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved); /* else 0 */
    return moved != 0;
}

bool sql_is_gone(struct sql *s)
{
    bool logs = s->log_pages_written > 0; /* where there is no log, none is missed */
    return has_moved(s) || (logs && !sql_file_has_log(s->path));
}

static enum sl_code copy_to(struct sql *s, const char *path, struct sl_err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(s->handle, "VACUUM INTO ?1", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    enum sl_code code = rc == SQLITE_DONE ? SL_OK : sql_fail(s, rc, err);
    (void)sqlite3_finalize(statement); /* repeats the error of the step, which was told */
    return code;
}

/* The folder is made when it is missing, as at the start. */
static void make_folder_of(const char *path)
{
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", path) < (int)sizeof copy)
        (void)mkdir(dirname(copy), 0750); /* mostly it is there; else the copy says what is wrong */
}

/* A log that has kept its name would be taken for the new database's own. */
static enum sl_code take_place(const char *from, const char *path, struct sl_err *err)
{
    char log[PATH_MAX];
    if (snprintf(log, sizeof log, "%s-wal", path) >= (int)sizeof log)
        return sl_fail(err, SL_INVALID, "%s: the path is too long", path);
    if ((unlink(log) != 0 && errno != ENOENT) || rename(from, path) != 0)
        return sl_fail(err, SL_IO, "%s: %s", path, strerror(errno));
    sql_file_sync_folder_of(path);
    return SL_OK;
}

static enum sl_code write_anew(struct sql *s, struct sl_err *err)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.new", s->path) >= (int)sizeof temporary)
        return sl_fail(err, SL_INVALID, "%s: the path is too long", s->path);
    make_folder_of(s->path);
    (void)unlink(temporary); /* left over from a crash, if anything */
    enum sl_code code = copy_to(s, temporary, err);
    if (code == SL_OK)
        code = sql_file_sync(temporary, err);
    if (code == SL_OK)
        code = take_place(temporary, s->path, err);
    if (code != SL_OK)
        (void)unlink(temporary); /* the error there is matters more */
    return code;
}

/* SL_IO when it is there again: it has to be opened. SL_BUSY keeps the connection, which has the
 * only copy. */
enum sl_code sql_rescue(struct sql *s, struct sl_err *err)
{
    struct sl_err why;
    if (has_moved(s) && access(s->path, F_OK) == 0)
        return sl_fail(err, SL_BUSY,
                       "%s: another file took its place while it was in use: move that away",
                       s->path);
    if (write_anew(s, &why) != SL_OK)
        return sl_fail(err, SL_BUSY,
                       "%s: was removed while it was in use, and cannot be written anew: %.150s",
                       s->path, why.text);
    return sl_fail(err, SL_IO, "%s: was removed while it was in use: it was written anew", s->path);
}
