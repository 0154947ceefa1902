/* notify.c - the service manager's socket, named by $NOTIFY_SOCKET. */
#include "notify.h"

#include "base/macros.h"
#include "base/text.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof a.sun_path)
        return;
    memcpy(a.sun_path, path, strlen(path));
    if (path[0] == '@')
        a.sun_path[0] = '\0'; /* the abstract namespace */
    SL_CLEANUP(sl_close_fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    /* Nobody to tell when it fails: the service manager will notice by itself. */
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&a,
                 len);
}

void notify_reloading(void)
{
    struct timespec now = { 0 };
    char text[64];
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
                   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    notify_send(text);
}

uint64_t notify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us, whose;
    if (!usec || !sl_u64_parse(sl_str(usec), &us))
        return 0;
    if (pid && (!sl_u64_parse(sl_str(pid), &whose) || whose != (uint64_t)getpid()))
        return 0;
    return us / 2000;
}
