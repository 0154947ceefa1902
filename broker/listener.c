/* listener.c - listening sockets: bind, accept at the allowed rate. */
#include "listener.h"

#include "broker_internal.h"
#include "conn.h"
#include "transport_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

struct broker_listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } u;
    struct broker *broker;
    struct broker_listener *next, *prev;
    struct tls_context *tls;
    link_accepted_fn *accepted; /* NULL: MQTT at once, see conn.c */
    void *accepted_ctx;
    char *name, *unix_path;
    uint32_t taken; /* in this second */
    bool username_from_cert, waiting, closing;
};

static void accept_one(struct broker_listener *l)
{
    struct conn_options o = { l->unix_path != NULL, l->username_from_cert, l->tls };
    bool taken = l->accepted ? link_accept(l->broker, &l->u.stream, l->accepted, l->accepted_ctx)
                             : conn_accept(l->broker, &l->u.stream, &o);
    l->taken++;
    l->waiting = !taken; /* then the tick tries again */
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct broker_listener *l = stream->data;
    if (status < 0 || l->closing)
        return;
    if (l->taken >= l->broker->options.connect_rate) {
        l->waiting = true; /* stays in the backlog until the next second */
        l->broker->stats.rate_reached++;
        return;
    }
    accept_one(l);
}

void listeners_tick(struct broker *b)
{
    for (struct broker_listener *l = b->listeners; l; l = l->next) {
        l->taken = 0;
        if (l->waiting)
            accept_one(l); /* which makes libuv watch the socket again */
    }
}

/* ---- listeners ---- */

static void on_listener_closed(uv_handle_t *h)
{
    struct broker_listener *l = h->data;
    struct broker *b = l->broker;
    tls_context_unref(l->tls);
    free(l->name);
    free(l->unix_path);
    free(l);
    broker_release(b);
}

void broker_unlisten(struct broker_listener *l)
{
    if (l->closing)
        return;
    l->closing = true;
    if (l->prev)
        l->prev->next = l->next;
    else
        l->broker->listeners = l->next;
    if (l->next)
        l->next->prev = l->prev;
    uv_close(&l->u.handle, on_listener_closed); /* libuv unlinks a Unix socket's path */
}

static int bind_tcp(struct broker_listener *l, const struct broker_listener_options *o)
{
    struct sockaddr_storage ss;
    int rc = uv_ip4_addr(o->bind, o->port, (struct sockaddr_in *)&ss);
    if (rc != 0)
        rc = uv_ip6_addr(o->bind, o->port, (struct sockaddr_in6 *)&ss);
    unsigned flags = o->ipv6_only ? UV_TCP_IPV6ONLY : 0;
    return rc != 0 ? rc : uv_tcp_bind(&l->u.tcp, (const struct sockaddr *)&ss, flags);
}

/* A socket file that nobody listens on is left from a crash and may be replaced; anything else may
 * not. */
static int bind_unix(struct broker_listener *l, const char *path)
{
    struct stat st;
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof a.sun_path)
        return UV_ENAMETOOLONG;
    memcpy(a.sun_path, path, strlen(path));
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        SL_CLEANUP(sl_close_fd)
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) != 0 &&
            errno == ECONNREFUSED)
            (void)unlink(path); /* bind says so if it is still there */
    }
    int rc = uv_pipe_bind(&l->u.pipe, path);
    if (rc == 0)
        (void)uv_pipe_chmod(&l->u.pipe,
                            UV_READABLE | UV_WRITABLE); /* access is the broker's matter */
    return rc;
}

/* libuv says EACCES where the folder is not there, and the system says "in use" of any file. */
static const char *unix_reason(const char *path, int rc)
{
    struct stat st;
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    (void)snprintf(folder, sizeof folder, "%s", path); /* bind_unix() has measured it */
    if (rc == UV_EACCES && stat(dirname(folder), &st) != 0 && errno == ENOENT)
        return "its folder is not there: make it first";
    if (rc != UV_EADDRINUSE)
        return uv_strerror(rc);
    return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)
               ? "another program listens there: change \"unix\" or stop it"
               : "a file that is no socket stands there: change \"unix\" or remove it";
}

static enum sl_code listen_failed(const struct broker_listener_options *o, int rc,
                                  struct sl_err *err)
{
    if (o->unix_path)
        return sl_fail(err, SL_IO, "listener \"%s\": cannot listen on %s: %s", o->name,
                       o->unix_path, unix_reason(o->unix_path, rc));
    const char *hint = rc == UV_EADDRINUSE
                           ? " (another program listens there: change \"port\" or stop it)"
                       : rc == UV_EACCES ? " (ports below 1024 need CAP_NET_BIND_SERVICE)"
                                         : "";
    return sl_fail(err, SL_IO, "listener \"%s\": cannot listen on %s port %u: %s%s", o->name,
                   o->bind, o->port, uv_strerror(rc), hint);
}

enum sl_code broker_listen(struct broker *b, const struct broker_listener_options *o,
                           struct broker_listener **ret, struct sl_err *err)
{
    struct broker_listener *l = calloc(1, sizeof *l);
    if (!l)
        return sl_fail(err, SL_NOMEM, "listener \"%s\": out of memory", o->name);
    int rc = o->unix_path ? uv_pipe_init(b->options.loop, &l->u.pipe, 0)
                          : uv_tcp_init(b->options.loop, &l->u.tcp);
    if (rc != 0) {
        free(l);
        return listen_failed(o, rc, err);
    }
    l->u.handle.data = l;
    l->broker = b;
    l->name = strdup(o->name);
    l->unix_path = o->unix_path ? strdup(o->unix_path) : NULL;
    l->tls = o->tls ? tls_context_ref(o->tls) : NULL;
    l->username_from_cert = o->username_from_cert;
    l->accepted = o->accepted;
    l->accepted_ctx = o->accepted_ctx;
    l->next = b->listeners;
    if (l->next)
        l->next->prev = l;
    b->listeners = l;
    b->holds++;
    if (!l->name || (o->unix_path && !l->unix_path))
        rc = UV_ENOMEM;
    if (rc == 0)
        rc = o->unix_path ? bind_unix(l, o->unix_path) : bind_tcp(l, o);
    if (rc == 0)
        rc = uv_listen(&l->u.stream, BACKLOG, on_connection);
    if (rc != 0) {
        broker_unlisten(l);
        return listen_failed(o, rc, err);
    }
    *ret = l;
    return SL_OK;
}

uint16_t broker_listener_port(const struct broker_listener *l)
{
    struct sockaddr_storage ss;
    int len = sizeof ss;
    if (l->unix_path || uv_tcp_getsockname(&l->u.tcp, (struct sockaddr *)&ss, &len) != 0)
        return 0;
    return ntohs(ss.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&ss)->sin6_port
                                          : ((const struct sockaddr_in *)&ss)->sin_port);
}

void broker_listener_set_tls(struct broker_listener *l, struct tls_context *tls,
                             bool username_from_cert)
{
    struct tls_context *old = l->tls;
    l->tls = tls ? tls_context_ref(tls) : NULL;
    l->username_from_cert = username_from_cert;
    tls_context_unref(old);
}
