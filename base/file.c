/* file.c - whole small files. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum sl_code sl_file_read(const char *path, size_t max, struct sl_buf *out, struct sl_err *err)
{
    SL_CLEANUP(sl_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sl_fail(err, errno == ENOENT ? SL_NOTFOUND : SL_IO, "%s: %s", path, strerror(errno));
    size_t start = out->len;
    for (;;) {
        uint8_t *at = sl_buf_reserve(out, 4096);
        if (!at)
            return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
        ssize_t n = read(fd, at, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sl_fail(err, SL_IO, "%s: %s", path, strerror(errno));
        if (n == 0)
            return SL_OK;
        out->len += (size_t)n;
        if (out->len - start > max)
            return sl_fail(err, SL_LIMIT, "%s: larger than %zu bytes", path, max);
    }
}

static enum sl_code write_all(int fd, struct sl_slice content)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.ptr, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == ENOSPC || errno == EDQUOT ? SL_FULL : SL_IO;
        content.ptr += n;
        content.len -= (size_t)n;
    }
    return SL_OK;
}

static void sync_folder_of(const char *path)
{
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return;
    SL_CLEANUP(sl_close_fd) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd); /* some file systems refuse it on folders; the rename is done */
}

/* Root edits files that the service owns and must go on reading. */
static void keep_owner(int fd, const char *path)
{
    struct stat old;
    if (stat(path, &old) == 0 && (old.st_uid != geteuid() || old.st_gid != getegid()) &&
        fchown(fd, old.st_uid, old.st_gid) != 0)
        return; /* not root: then the new file is ours, as every editor would leave it */
}

enum sl_code sl_file_replace(const char *path, struct sl_slice content, mode_t mode,
                             struct sl_err *err)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return sl_fail(err, SL_INVALID, "%s: the path is too long", path);
    (void)unlink(temporary); /* left over from a crash, if anything */
    SL_CLEANUP(sl_close_fd)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return sl_fail(err, SL_IO, "%s: %s", temporary, strerror(errno));
    keep_owner(fd, path);
    enum sl_code rc = fchmod(fd, mode) == 0 ? SL_OK : SL_IO; /* whatever the umask */
    if (rc == SL_OK)
        rc = write_all(fd, content);
    if (rc == SL_OK && fsync(fd) != 0)
        rc = SL_IO;
    if (rc == SL_OK && rename(temporary, path) != 0)
        rc = SL_IO;
    if (rc != SL_OK) {
        int saved = errno;
        (void)unlink(temporary); /* the error there is matters more */
        return sl_fail(err, rc, "%s: %s", path, strerror(saved));
    }
    sync_folder_of(path);
    return SL_OK;
}

/* mkdir(2) says EEXIST for a file, too. */
static enum sl_code check_folder(const char *path, struct sl_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return sl_fail(err, SL_IO, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return sl_fail(err, SL_IO, "%s: %s", path, strerror(ENOTDIR));
    return SL_OK;
}

enum sl_code sl_make_dirs(const char *path, mode_t mode, struct sl_err *err)
{
    char copy[PATH_MAX];
    if (path[0] == '\0')
        return sl_fail(err, SL_INVALID, "the path is empty");
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return sl_fail(err, SL_INVALID, "%s: the path is too long", path);
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char end = *at;
        *at = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            return sl_fail(err, errno == ENOSPC ? SL_FULL : SL_IO, "%s: %s", copy, strerror(errno));
        if (end == '\0')
            return check_folder(copy, err);
        *at = end;
    }
}
