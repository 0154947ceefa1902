/* lock.c - flock() on the data folder. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

enum sl_code lock_data_dir(const char *data_dir, enum lock_kind kind, int *ret_fd,
                           struct sl_err *err)
{
    SL_CLEANUP(sl_close_fd) int fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sl_fail(err, errno == ENOENT ? SL_NOTFOUND : SL_IO, "%s: %s", data_dir,
                       strerror(errno));
    int rc = flock(fd, (kind == LOCK_ALONE ? LOCK_EX : LOCK_SH) | LOCK_NB);
    if (rc != 0 && errno == EWOULDBLOCK)
        return sl_fail(err, SL_BUSY, "%s is in use", data_dir);
    *ret_fd = rc == 0 ? sl_take_fd(&fd) : -1;
    return SL_OK;
}
