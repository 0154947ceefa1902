/* listen.c - the listening socket. We own it rather than libwebsockets: so a port in use has its
 * reason, and connections are counted before they cost anything. Accepted sockets are handed to
 * lws. */
#include "web_private.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG         64
#define ACCEPTS_AT_ONCE 16 /* then the loop has its turn */
#define RETRY_MS        500

struct address {
    struct sockaddr_storage at;
    socklen_t len;
};

static bool parse_address(const char *bind_to, uint16_t port, struct address *ret)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    *ret = (struct address){ 0 };
    if (inet_pton(AF_INET, bind_to, &v4.sin_addr) == 1) {
        memcpy(&ret->at, &v4, sizeof v4);
        ret->len = sizeof v4;
        return true;
    }
    if (inet_pton(AF_INET6, bind_to, &v6.sin6_addr) == 1) {
        memcpy(&ret->at, &v6, sizeof v6);
        ret->len = sizeof v6;
        return true;
    }
    return false;
}

static enum sl_code say_bind_error(const struct web *w, int error, struct sl_err *err)
{
    const char *advice = "";
    if (error == EADDRINUSE)
        advice = ": another program uses this port; change web.port or stop it";
    else if (error == EADDRNOTAVAIL)
        advice = ": this machine has no such address; change web.bind";
    else if (error == EACCES)
        advice = ": ports below 1024 need a privilege; change web.port";
    return sl_fail(err, error == EADDRINUSE ? SL_BUSY : SL_IO,
                   "web: cannot listen on %s port %u: %s%s", w->options.bind, w->options.port,
                   strerror(error), advice);
}

static int open_socket(const struct address *a)
{
    static const int on = 1;
    SL_CLEANUP(sl_close_fd)
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&a->at, a->len) != 0 || listen(fd, BACKLOG) != 0)
        return -1;
    return sl_take_fd(&fd);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage at = { 0 };
    socklen_t len = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return 0;
    /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): getsockname filled it in */
    in_port_t port = at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                              : ((struct sockaddr_in *)&at)->sin_port;
    return ntohs(port);
}

enum sl_code listen_open(struct web *w, struct sl_err *err)
{
    struct address a;
    if (!parse_address(w->options.bind, w->options.port, &a))
        return sl_fail(err, SL_INVALID,
                       "web: \"%s\" is not an IPv4 or IPv6 address to listen on; change web.bind",
                       w->options.bind);
    w->listen_fd = open_socket(&a);
    if (w->listen_fd < 0)
        return say_bind_error(w, errno, err);
    w->port = port_of(w->listen_fd);
    return SL_OK;
}

/* ---- accepting ---- */

static void on_readable(uv_poll_t *handle, int status, int events);

static void on_retry(uv_timer_t *handle)
{
    struct web *w = handle->data;
    if (!w->closing && w->paused && w->connections < WEB_CONNECTIONS_MAX) {
        w->paused = false;
        (void)uv_poll_start(&w->accept, UV_READABLE, on_readable); /* it worked before */
    }
}

/* What waits stays in the kernel's backlog. retry_ms 0: until a connection goes. */
static void pause_accepting(struct web *w, uint64_t retry_ms)
{
    w->paused = true;
    (void)uv_poll_stop(&w->accept);
    if (retry_ms > 0)
        (void)uv_timer_start(&w->retry, on_retry, retry_ms, 0);
}

/* True while there may be more to accept. */
static bool accept_one(struct web *w)
{
    if (w->connections >= WEB_CONNECTIONS_MAX) {
        w->stats.rejected++;
        pause_accepting(w, 0);
        return false;
    }
    int fd = accept4(w->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            LOG_WARN("web", "cannot accept a connection: %s", strerror(errno));
            pause_accepting(w, RETRY_MS);
            return false;
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
    if (!lws_adopt_socket_vhost(w->vhost, fd)) /* it closes fd itself */
        w->stats.rejected++;
    return true;
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct web *w = handle->data;
    (void)events;
    if (status < 0 || w->closing)
        return;
    for (int i = 0; i < ACCEPTS_AT_ONCE && accept_one(w); i++)
        ;
}

enum sl_code listen_start(struct web *w, struct sl_err *err)
{
    int rc = uv_poll_init(w->options.loop, &w->accept, w->listen_fd);
    if (rc != 0)
        return sl_fail(err, SL_IO, "web: %s", uv_strerror(rc));
    web_hold(w, &w->accept);
    (void)uv_timer_init(w->options.loop, &w->retry); /* never fails */
    web_hold(w, &w->retry);
    rc = uv_poll_start(&w->accept, UV_READABLE, on_readable);
    if (rc != 0)
        return sl_fail(err, SL_IO, "web: %s", uv_strerror(rc));
    return SL_OK;
}

void listen_connection_gone(struct web *w)
{
    /* From the loop, not from here: lws is in the middle of a close. */
    if (!w->closing && w->paused && !uv_is_active((uv_handle_t *)&w->retry))
        (void)uv_timer_start(&w->retry, on_retry, 0, 0);
}

void listen_close(struct web *w)
{
    if (w->accept.data)
        uv_close((uv_handle_t *)&w->accept, web_unhold); /* stops at once: fd may be closed */
    if (w->retry.data)
        uv_close((uv_handle_t *)&w->retry, web_unhold);
    sl_close_fd(&w->listen_fd);
}
