/* conn.c - connections: read, write, close; TLS in between. Each is a client's transport. */
#include "conn.h"

#include "broker_internal.h"
#include "client.h"
#include "conn_tls.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
    LINGER_MS = 1500,       /* from wanting to close to closing, whatever the peer does */
    STUCK_MS = 60000,       /* a peer that takes not one byte of its output for this long is cut */
    KEEP_ALIVE_S = 300,     /* TCP's own, for peers that vanish without MQTT's */
    TLS_CHUNK = 128 * 1024, /* encrypted at a time, so that output is not in memory twice */
    TLS_IDLE_MS = 5000,     /* then its buffers are given back */
};

/* A connection. libuv points into it until its handle is closed; then client_fini() and free. */
struct conn {
    struct client client;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } u;
    struct conn_tls *tls; /* NULL for plain */
    struct write *writing;
    int64_t give_up_ms; /* while ending: closed by then */
    bool username_from_cert, reading;
    bool ending;       /* to be closed when all is written */
    bool said_goodbye; /* TLS: close_notify is written */
    bool shut;         /* our direction is closed; waits for the peer's */
    bool closing;      /* the handle is */
    char address[CONN_ADDRESS_SIZE];
};

/* What the socket did not take at once, on its way. */
struct write {
    uv_write_t req;
    struct conn *conn;
    struct outq out;
    size_t writing; /* bytes of out in this request */
    struct sl_buf wire;
    size_t wire_sent;
    size_t stuck_at; /* what was left of it all when last seen to change, and since when */
    int64_t stuck_since_ms;
};

static struct conn *conn_of(struct client *c)
{
    return SL_CONTAINER_OF(c, struct conn, client);
}

/* ---- closing ---- */

static void on_conn_closed(uv_handle_t *h)
{
    struct conn *n = h->data;
    struct broker *b = n->client.broker;
    assert(!n->writing);
    client_fini(&n->client);
    conn_tls_end(b, n->tls, n->address);
    free(n);
    broker_release(b);
}

static void conn_close_now(struct conn *n)
{
    if (n->closing)
        return;
    n->closing = true;
    client_close(&n->client, 0, NULL);
    uv_close(&n->u.handle, on_conn_closed);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf);
static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf);

/* Close our direction and wait a little for the peer to read and close: closing at once with unread
 * input would reset the connection, and the peer would never see why. */
static void conn_linger(struct conn *n)
{
    int fd;
    if (n->shut || n->closing)
        return;
    if (n->client.broker->closing || uv_fileno(&n->u.handle, &fd) != 0 ||
        shutdown(fd, SHUT_WR) != 0) {
        conn_close_now(n);
        return;
    }
    n->shut = true;
    if (!n->reading && uv_read_start(&n->u.stream, on_alloc, on_read) != 0)
        conn_close_now(n);
    n->reading = true;
}

/* ---- writing ---- */

static void on_written(uv_write_t *req, int status);

static void write_done(struct write *w)
{
    struct conn *n = w->conn;
    n->writing = NULL;
    n->client.unsent = 0;
    outq_release(&w->out, &n->client.broker->pool);
    sl_buf_free(&w->wire);
    free(w);
}

/* Hands the next pieces to libuv, which sends them when the socket takes them. */
static int write_more(struct write *w)
{
    struct conn *n = w->conn;
    uv_buf_t bufs[OUTQ_IOV_MAX];
    struct outq_iov iov[OUTQ_IOV_MAX];
    unsigned count = outq_iov(&w->out, iov);
    w->writing = 0;
    for (unsigned i = 0; i < count; i++) {
        bufs[i] = uv_buf_init((char *)iov[i].ptr, (unsigned)iov[i].len);
        w->writing += iov[i].len;
    }
    if (w->wire.len > w->wire_sent) { /* TLS: then there is nothing in `out` */
        bufs[0] =
            uv_buf_init((char *)w->wire.ptr + w->wire_sent, (unsigned)(w->wire.len - w->wire_sent));
        count = 1;
    }
    n->client.unsent = outq_left(&w->out) + w->wire.len - w->wire_sent;
    return uv_write(&w->req, &n->u.stream, bufs, count, on_written);
}

static void on_written(uv_write_t *req, int status)
{
    struct write *w = req->data;
    struct conn *n = w->conn;
    if (status == 0 && !n->closing && !w->wire.ptr) {
        outq_advance(&w->out, w->writing);
        if (outq_left(&w->out) > 0 && write_more(w) == 0)
            return;
        if (outq_left(&w->out) > 0)
            status = UV_ENOMEM;
    }
    write_done(w);
    if (n->closing)
        return;
    if (status < 0) {
        conn_close_now(n);
        return;
    }
    broker_mark_dirty(n->client.broker, &n->client);
}

/* What the socket did not take at once. Exactly one of q and wire has something left. */
static void write_rest(struct conn *n, struct outq *q, struct sl_buf *wire, size_t wire_sent)
{
    struct write *w = calloc(1, sizeof *w);
    if (!w) {
        conn_close_now(n);
        return;
    }
    w->conn = n;
    w->req.data = w;
    w->out = *q;
    w->wire = *wire;
    w->wire_sent = wire_sent;
    *q = (struct outq){ 0 };
    *wire = (struct sl_buf){ 0 };
    n->writing = w;
    if (write_more(w) != 0) {
        write_done(w);
        conn_close_now(n);
    }
}

static void count_out(struct conn *n, size_t bytes)
{
    n->client.broker->stats.bytes_out += bytes;
}

/* Bytes taken, 0 when it has to wait, or a UV_ error. What is one piece, as most acknowledgements
 * are, goes by send(): that spares the kernel write()'s layers for files, 3% of all CPU time a
 * message (sensors in bursts). */
static int try_send(struct conn *n, const uv_buf_t *bufs, unsigned count)
{
    uv_os_fd_t fd;
    ssize_t sent;
    if (count > 1 || uv_fileno(&n->u.handle, &fd) != 0) {
        sent = uv_try_write(&n->u.stream, bufs, count);
    } else {
        do {
            sent = send(fd, bufs[0].base, bufs[0].len, MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0) /* ENOBUFS as in libuv: the kernel is short of memory for the moment */
            sent = errno == ENOBUFS ? UV_EAGAIN : uv_translate_sys_error(errno);
    }
    return sent == UV_EAGAIN ? 0 : (int)sent;
}

static void flush_plain(struct conn *n)
{
    struct outq *q = &n->client.out;
    while (outq_left(q) > 0) {
        struct outq_iov iov[OUTQ_IOV_MAX];
        uv_buf_t bufs[OUTQ_IOV_MAX];
        unsigned count = outq_iov(q, iov);
        size_t total = 0;
        for (unsigned i = 0; i < count; i++) {
            bufs[i] = uv_buf_init((char *)iov[i].ptr, (unsigned)iov[i].len);
            total += iov[i].len;
        }
        int sent = try_send(n, bufs, count);
        if (sent < 0) {
            conn_close_now(n);
            return;
        }
        count_out(n, (size_t)sent);
        outq_advance(q, (size_t)sent);
        if ((size_t)sent == total)
            continue;
        count_out(n, outq_left(q));
        struct sl_buf no_wire = { 0 };
        write_rest(n, q, &no_wire, 0);
        return;
    }
    outq_release(q, &n->client.broker->pool);
}

/* Encrypts up to TLS_CHUNK of the output; false when the session cannot. */
static bool encrypt_some(struct conn *n)
{
    struct outq *q = &n->client.out;
    while (outq_left(q) > 0 && n->tls->wire.len < TLS_CHUNK) {
        struct outq_iov iov[OUTQ_IOV_MAX];
        (void)outq_iov(q, iov); /* at least one */
        size_t room = TLS_CHUNK - n->tls->wire.len;
        struct sl_slice plain = { iov[0].ptr, iov[0].len < room ? iov[0].len : room };
        if (tls_session_write(n->tls->session, plain, &n->tls->wire, NULL) != SL_OK)
            return false;
        outq_advance(q, plain.len);
    }
    if (outq_left(q) > 0)
        return true;
    outq_release(q, &n->client.broker->pool);
    if (n->ending && !n->said_goodbye)
        tls_session_close(n->tls->session, &n->tls->wire);
    n->said_goodbye = n->ending;
    return true;
}

/* True when the socket took all of it. */
static bool send_wire(struct conn *n)
{
    uv_buf_t buf = uv_buf_init((char *)n->tls->wire.ptr, (unsigned)n->tls->wire.len);
    int sent = try_send(n, &buf, 1);
    if (sent < 0) {
        conn_close_now(n);
        return false;
    }
    count_out(n, n->tls->wire.len);
    if ((size_t)sent == n->tls->wire.len) {
        sl_buf_free(&n->tls->wire);
        return true;
    }
    struct outq none = { 0 }; /* the rest of the output stays where it is */
    write_rest(n, &none, &n->tls->wire, (size_t)sent);
    return false;
}

static void flush_tls(struct conn *n)
{
    do {
        bool failed = conn_tls_established(n->tls) && !encrypt_some(n);
        if (failed || n->tls->wire.failed) {
            conn_close_now(n);
            return;
        }
    } while (n->tls->wire.len > 0 && send_wire(n) && outq_left(&n->client.out) > 0);
}

static void conn_flush(struct client *c)
{
    struct conn *n = conn_of(c);
    if (n->closing || n->shut || n->writing) /* on_written comes back here */
        return;
    if (c->out.bytes.failed)
        conn_close_now(n); /* a packet is cut short: nothing after it would be understood */
    else if (n->tls)
        flush_tls(n);
    else
        flush_plain(n);
    if (n->ending && !n->writing)
        conn_linger(n);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    const struct conn *n = h->data;
    struct broker *b = n->client.broker;
    bool wait = n->tls && conn_tls_must_wait(n->tls, &b->tls_shakes);
    *buf = uv_buf_init((char *)b->read_buffer, wait ? 0 : BROKER_READ_SIZE);
}

static void take_cert_name(struct conn *n)
{
    char name[256];
    if (!tls_session_has_cert(n->tls->session))
        return;
    struct sl_slice cn = tls_session_peer_name(n->tls->session, name, sizeof name);
    if (cn.len == 0)
        conn_tls_tell(n->client.broker, n->address,
                      "the client's certificate has no common name that could be a user name");
    else
        n->client.username = sl_slice_dup(cn);
    n->client.cert_name = n->client.username != NULL;
}

static void feed_tls(struct conn *n, struct sl_slice bytes)
{
    struct sl_buf plain = { 0 };
    bool shaking = !conn_tls_established(n->tls);
    enum sl_code rc = conn_tls_feed(n->client.broker, n->tls, bytes, &plain, n->address);
    if (shaking && n->username_from_cert && conn_tls_established(n->tls))
        take_cert_name(n);
    if (plain.len > 0)
        client_receive(&n->client, sl_buf_slice(&plain));
    sl_buf_free(&plain);
    if (n->tls->wire.len > 0)
        broker_mark_dirty(n->client.broker, &n->client);
    if (rc != SL_OK)
        client_close(&n->client, 0, NULL); /* an alert in `wire` goes out first */
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct conn *n = stream->data;
    if (size == 0 || size == UV_ENOBUFS || n->closing) /* ENOBUFS: a handshake that waits */
        return;
    if (size < 0) {
        conn_tls_cut(n->client.broker, n->tls, n->address);
        conn_close_now(n); /* the peer has closed, or reset: either way nothing more can be said */
        return;
    }
    if (n->ending)
        return; /* read only so that the peer is not reset */
    struct sl_slice bytes = sl_bytes(buf->base, (size_t)size);
    n->client.broker->gather.turn_inputs++;
    if (n->tls)
        feed_tls(n, bytes);
    else
        client_receive(&n->client, bytes);
}

static void conn_read(struct client *c, bool on)
{
    struct conn *n = conn_of(c);
    if (n->closing || n->reading == on)
        return;
    n->reading = on;
    if (!on)
        (void)uv_read_stop(&n->u.stream); /* always 0 */
    else if (uv_read_start(&n->u.stream, on_alloc, on_read) != 0)
        conn_close_now(n);
}

static void conn_close(struct client *c)
{
    struct conn *n = conn_of(c);
    n->ending = true;
    n->give_up_ms = broker_now(c->broker) + LINGER_MS;
    broker_mark_dirty(c->broker, c); /* the flush sends what is left, then closes */
}

static struct sl_slice conn_address(struct client *c)
{
    return sl_str(conn_of(c)->address);
}

static const struct client_transport conn_transport = { conn_flush, conn_read, conn_close,
                                                        conn_address };

/* ---- accepting ---- */

void conn_peer_address(const uv_tcp_t *tcp, char ret[CONN_ADDRESS_SIZE])
{
    struct sockaddr_storage ss;
    int len = sizeof ss;
    char ip[INET6_ADDRSTRLEN] = "?";
    if (uv_tcp_getpeername(tcp, (struct sockaddr *)&ss, &len) != 0) {
        (void)snprintf(ret, CONN_ADDRESS_SIZE, "?");
    } else if (ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&ss;
        (void)uv_ip6_name(a, ip, sizeof ip); /* "?" when it fails */
        (void)snprintf(ret, CONN_ADDRESS_SIZE, "[%s]:%u", ip, ntohs(a->sin6_port));
    } else {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&ss;
        (void)uv_ip4_name(a, ip, sizeof ip);
        (void)snprintf(ret, CONN_ADDRESS_SIZE, "%s:%u", ip, ntohs(a->sin_port));
    }
}

void conn_tune(uv_tcp_t *tcp)
{
    (void)uv_tcp_nodelay(tcp, 1); /* output is gathered already; without it only slower */
    (void)uv_tcp_keepalive(tcp, 1, KEEP_ALIVE_S); /* without it only later found dead */
}

static void on_orphan_closed(uv_handle_t *h)
{
    struct conn *n = h->data;
    struct broker *b = n->client.broker;
    conn_tls_end(b, n->tls, n->address);
    free(n);
    broker_release(b);
}

/* The connection is accepted; true when its client could be opened. */
static bool conn_start(struct conn *n, struct broker *b, const struct conn_options *o)
{
    if (o->is_pipe) {
        (void)snprintf(n->address, sizeof n->address, "unix");
    } else {
        conn_peer_address(&n->u.tcp, n->address);
        conn_tune(&n->u.tcp);
    }
    n->username_from_cert = o->username_from_cert;
    if (o->tls && !(n->tls = conn_tls_new(o->tls))) {
        bounds_refused(b, BROKER_REFUSED_MEMORY, sl_str(n->address), NULL);
        return false;
    }
    if (!client_open(&n->client, b, &conn_transport))
        return false;
    n->reading = true;
    return true;
}

bool conn_accept(struct broker *b, uv_stream_t *server, const struct conn_options *o)
{
    struct conn *n = calloc(1, sizeof *n);
    if (!n)
        return false;
    int rc = o->is_pipe ? uv_pipe_init(b->options.loop, &n->u.pipe, 0)
                        : uv_tcp_init(b->options.loop, &n->u.tcp);
    if (rc != 0) {
        free(n);
        return false;
    }
    n->u.handle.data = n;
    n->client.broker = b;
    b->holds++;
    if (uv_accept(server, &n->u.stream) != 0 || !conn_start(n, b, o)) {
        uv_close(&n->u.handle, on_orphan_closed);
        return true;
    }
    if (uv_read_start(&n->u.stream, on_alloc, on_read) != 0)
        conn_close_now(n);
    return true;
}

/* ---- time ---- */

/* What libuv has still to write, to the byte. */
static size_t left_to_write(const struct conn *n)
{
    const struct write *w = n->writing;
    return outq_left(&w->out) - w->writing + uv_stream_get_write_queue_size(&n->u.stream);
}

/* What the system has still to send: minutes' worth, with a slow peer, before libuv may write. */
static size_t left_to_send(const struct conn *n)
{
    int fd, bytes = 0;
    if (uv_fileno(&n->u.handle, &fd) != 0 || ioctl(fd, TIOCOUTQ, &bytes) != 0 || bytes < 0)
        return 0;
    return (size_t)bytes;
}

static void conn_check_time(struct conn *n, int64_t now)
{
    if (n->ending && now >= n->give_up_ms)
        conn_close_now(n);
    if (n->closing)
        return;
    if (n->tls && n->tls->session && now - n->client.last_in_ms >= TLS_IDLE_MS)
        tls_session_trim(n->tls->session);
    if (!n->writing)
        return;
    n->client.unsent = left_to_write(n);
    size_t left = n->client.unsent + left_to_send(n);
    if (left != n->writing->stuck_at) {
        n->writing->stuck_at = left;
        n->writing->stuck_since_ms = now;
    } else if (now - n->writing->stuck_since_ms >= STUCK_MS) {
        struct sl_kv kv[] = { SL_KV_STR("from", n->address), SL_KV_END };
        sl_log(SL_INFO, "broker", kv, "connection closed: it reads nothing of what is sent to it");
        conn_close_now(n);
    }
}

void conns_tick(struct broker *b)
{
    int64_t now = broker_now(b);
    tls_shakes_tick(b, now);
    for (uint32_t i = 0; i < b->client_count; i++)
        if (b->clients[i]->transport == &conn_transport)
            conn_check_time(conn_of(b->clients[i]), now);
}

void conns_abort(struct broker *b)
{
    for (uint32_t i = 0; i < b->client_count; i++)
        if (b->clients[i]->transport == &conn_transport)
            conn_close_now(conn_of(b->clients[i]));
}
