/* nap.c - waiting for time or for other threads, but not for sockets.
 *
 * A commit's end comes by uv_async_send(). If it had to wait for the pause to be over, so would the
 * next commit, and a disk that syncs in 0.1 ms would be idle for most of the time. */
#include "nap.h"

#include <poll.h>
#include <time.h>

/* The eventfd behind all uv_async_t of a loop. libuv has it in its header, the same from 1.44 to
 * 1.50, though not in its manual. -1: nobody sends anything, and poll() then only waits. */
static int news_fd(const uv_loop_t *loop)
{
    return loop->async_io_watcher.fd;
}

void nap(const uv_loop_t *loop, uint64_t ns)
{
    struct pollfd news = { .fd = news_fd(loop), .events = POLLIN };
    struct timespec most = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
    (void)ppoll(&news, 1, &most, NULL); /* interrupted, it is shorter */
}
