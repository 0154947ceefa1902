/* db_rescue.c - somebody removed the database while it was in use: it is written anew.
 *
 * A file that has no name any more takes commits as if nothing had happened, and is gone with the
 * process. So no commit counts before the files were seen to be there after it. All that was
 * committed can still be read through the open connection. */
#include "db_private.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool has_moved(struct db *db)
{
    int moved = 0;
    (void)sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved); /* else 0 */
    return moved != 0;
}

bool db_is_gone(struct db *db)
{
    bool logs = db->log_pages_written > 0; /* where there is no log, none is missed */
    return has_moved(db) || (logs && !db_log_is_there(db->path));
}

static enum sl_code copy_to(struct db *db, const char *path, struct sl_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->handle, "VACUUM INTO ?1", -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(s, 1, path, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    enum sl_code code = rc == SQLITE_DONE ? SL_OK : db_fail(db, rc, err);
    (void)sqlite3_finalize(s); /* repeats the error of the step, which was told */
    return code;
}

static enum sl_code sync_file(const char *path, struct sl_err *err)
{
    SL_CLEANUP(sl_close_fd) int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return sl_fail(err, SL_IO, "%s: %s", path, strerror(errno));
    return SL_OK;
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
    db_sync_folder_of(path);
    return SL_OK;
}

static enum sl_code write_anew(struct db *db, struct sl_err *err)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.new", db->path) >= (int)sizeof temporary)
        return sl_fail(err, SL_INVALID, "%s: the path is too long", db->path);
    make_folder_of(db->path);
    (void)unlink(temporary); /* left over from a crash, if anything */
    enum sl_code code = copy_to(db, temporary, err);
    if (code == SL_OK)
        code = sync_file(temporary, err);
    if (code == SL_OK)
        code = take_place(temporary, db->path, err);
    if (code != SL_OK)
        (void)unlink(temporary); /* the error there is matters more */
    return code;
}

/* SL_IO when it is there again: it has to be opened. SL_BUSY keeps the connection, which has the
 * only copy. */
enum sl_code db_rescue(struct db *db, struct sl_err *err)
{
    struct sl_err why;
    if (has_moved(db) && access(db->path, F_OK) == 0)
        return sl_fail(err, SL_BUSY,
                       "%s: another file took its place while it was in use: move that away",
                       db->path);
    if (write_anew(db, &why) != SL_OK)
        return sl_fail(err, SL_BUSY,
                       "%s: was removed while it was in use, and cannot be written anew: %.150s",
                       db->path, why.text);
    return sl_fail(err, SL_IO, "%s: was removed while it was in use: it was written anew",
                   db->path);
}
