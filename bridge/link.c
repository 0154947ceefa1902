/* link.c - look-up, TCP and TLS of one outgoing connection, and nothing about MQTT. */
#include "link.h"

#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define ADDRESSES_MAX 8
#define ADDRESS_MS    3000 /* for one address while another is left */
#define GATHER_MS     2
#define GATHER_MAX    256
#define PACKET_MIN    4 /* an acknowledgement, and what TLS puts around it */
#define RECORD_MIN    22
#define READ_SIZE     ((size_t)64 * 1024)
#define SEND_BUFFER   (128 * 1024) /* the kernel's: an alert must not wait behind megabytes */
#define WIRE_MAX      ((size_t)320 * 1024 * 1024)

/* One TCP handle: a fresh one for each address. Freed when libuv lets go of it. */
struct attempt {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct link *link;
};

/* A look-up may outlive its link: the resolver cannot be interrupted. */
struct lookup {
    uv_getaddrinfo_t request;
    struct link *link; /* NULL once the link does not want it any more */
};

struct link {
    uv_loop_t *loop;
    struct link_events events;
    char *host;
    char port[8];
    int64_t user_timeout_ms;
    struct tls_context *tls;
    struct tls_session *session;
    struct lookup *lookup;
    struct addrinfo *addresses, *next; /* next: the one to try when the current one fails */
    unsigned addresses_left;
    struct attempt *attempt; /* the current one; NULL before and between */
    uv_timer_t timer;
    bool open, ended, closing;
    bool writing, writing_app; /* a write is out; with bytes of the owner */
    bool app_waiting;          /* `wire` holds bytes of the owner */
    struct sl_buf plain, wire, sending;
    uint8_t *read_buf;
    int wake_bytes; /* SO_RCVLOWAT; 0: never set */
    uint64_t bytes_in, bytes_out;
    unsigned holds; /* the timer and every attempt that libuv still points into */
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

/* ---- life ---- */

static void link_release(struct link *l)
{
    assert(l->holds > 0);
    if (--l->holds > 0)
        return;
    void (*closed)(void *) = l->on_closed;
    void *ctx = l->closed_ctx;
    uv_freeaddrinfo(l->addresses);
    tls_session_free(l->session);
    tls_context_unref(l->tls);
    sl_buf_free(&l->plain);
    sl_buf_free(&l->wire);
    sl_buf_free(&l->sending);
    free(l->read_buf);
    free(l->host);
    free(l);
    if (closed)
        closed(ctx);
}

static void on_timer_closed(uv_handle_t *h)
{
    link_release(h->data);
}

static void on_attempt_closed(uv_handle_t *h)
{
    struct attempt *a = h->data;
    struct link *l = a->link;
    free(a);
    link_release(l);
}

static void drop_attempt(struct link *l)
{
    if (!l->attempt)
        return;
    uv_close((uv_handle_t *)&l->attempt->tcp, on_attempt_closed);
    l->attempt = NULL;
}

static void end(struct link *l, enum link_end why, const char *text)
{
    if (l->ended || l->closing)
        return;
    l->ended = true;
    (void)uv_timer_stop(&l->timer); /* cannot fail on an initialised timer */
    l->events.ended(l->events.ctx, why, text);
}

/* ---- writing ---- */

static void flush(struct link *l);

static void on_written(uv_write_t *request, int status)
{
    struct attempt *a = request->data;
    struct link *l = a->link;
    bool app = l->writing_app;
    l->writing = l->writing_app = false;
    sl_buf_reset(&l->sending);
    sl_buf_shrink(&l->sending, 4 * READ_SIZE);
    if (l->closing || l->ended)
        return;
    if (status < 0) {
        end(l, LINK_END_LOST, uv_strerror(status));
        return;
    }
    if (app && !l->app_waiting)
        l->events.written(l->events.ctx);
    if (!l->closing)
        flush(l);
}

/* One write at a time; what comes meanwhile gathers in `wire`. */
static void flush(struct link *l)
{
    if (l->writing || l->wire.len == 0 || !l->attempt || l->ended)
        return;
    struct sl_buf swap = l->sending;
    l->sending = l->wire;
    l->wire = swap;
    uv_buf_t buf = uv_buf_init((char *)l->sending.ptr, (unsigned)l->sending.len);
    l->attempt->write.data = l->attempt;
    int rc = uv_write(&l->attempt->write, (uv_stream_t *)&l->attempt->tcp, &buf, 1, on_written);
    if (rc < 0)
        return; /* only for a stream that is closing: its end is on its way */
    l->writing = true;
    l->writing_app = l->app_waiting;
    l->app_waiting = false;
    l->bytes_out += l->sending.len;
}

enum sl_code link_send(struct link *l, struct sl_slice bytes, struct sl_err *err)
{
    assert(l->open && !l->closing);
    if (l->session) {
        enum sl_code code = tls_session_write(l->session, bytes, &l->wire, err);
        if (code != SL_OK)
            return code;
    } else {
        sl_buf_put_slice(&l->wire, bytes);
    }
    if (l->wire.failed)
        return sl_fail(err, SL_NOMEM, "memory is out");
    l->app_waiting = true;
    flush(l);
    return SL_OK;
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct attempt *a = h->data;
    *buf = uv_buf_init((char *)a->link->read_buf, READ_SIZE);
}

static void take_tls(struct link *l, struct sl_slice in)
{
    struct sl_err err = { 0 };
    enum sl_code code = tls_session_feed(l->session, in, &l->plain, &l->wire, &err);
    bool broken = l->plain.failed || l->wire.failed;
    if (!broken && !l->open && tls_session_established(l->session)) {
        l->open = true;
        l->events.open(l->events.ctx);
    }
    if (!l->closing && l->plain.len > 0)
        l->events.data(l->events.ctx, sl_buf_slice(&l->plain));
    if (l->closing)
        return;
    sl_buf_reset(&l->plain);
    sl_buf_shrink(&l->plain, READ_SIZE);
    flush(l); /* the rest of a handshake, or the alert that tells the peer why */
    if (broken)
        end(l, LINK_END_MEMORY, "memory is out");
    else if (code == SL_CLOSED)
        end(l, LINK_END_CLOSED, "closed by the peer");
    else if (code != SL_OK)
        end(l, LINK_END_TLS, err.text);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct attempt *a = stream->data;
    struct link *l = a->link;
    if (n == 0 || l->closing || l->ended || l->attempt != a)
        return;
    if (n < 0) {
        struct sl_err err = { 0 };
        if (n == UV_EOF && l->session && !l->open && tls_session_cut(l->session, &err) != SL_OK)
            end(l, LINK_END_TLS, err.text);
        else
            end(l, n == UV_EOF ? LINK_END_CLOSED : LINK_END_LOST, uv_strerror((int)n));
        return;
    }
    l->bytes_in += (uint64_t)n;
    struct sl_slice in = sl_bytes(buf->base, (size_t)n);
    if (l->session)
        take_tls(l, in);
    else
        l->events.data(l->events.ctx, in);
}

static void wake_at(struct link *l, int bytes)
{
    uv_os_fd_t fd;
    if (l->wake_bytes == bytes || uv_fileno((uv_handle_t *)&l->attempt->tcp, &fd) != 0)
        return;
    /* Where the kernel refuses, reads come as they did. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
    l->wake_bytes = bytes;
}

static void on_gathered(uv_timer_t *timer)
{
    struct link *l = timer->data;
    if (!l->closing && !l->ended && l->attempt)
        wake_at(l, 1);
}

void link_gather(struct link *l, uint32_t packets)
{
    if (!l->open || l->closing || l->ended || !l->attempt)
        return;
    int each = l->session ? PACKET_MIN + RECORD_MIN : PACKET_MIN;
    wake_at(l, packets < GATHER_MAX ? (int)packets * each : GATHER_MAX * each);
    (void)uv_timer_start(&l->timer, on_gathered, GATHER_MS, 0); /* cannot fail: it has a callback */
}

/* ---- connecting ---- */

static void set_socket_options(struct link *l)
{
    uv_os_fd_t fd;
    (void)uv_tcp_nodelay(&l->attempt->tcp, 1); /* for speed only */
    if (uv_fileno((uv_handle_t *)&l->attempt->tcp, &fd) != 0)
        return;
    int size = SEND_BUFFER;
    unsigned timeout = (unsigned)l->user_timeout_ms;
    /* Where the kernel refuses, pings still find a dead peer: later, that is all. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

static void begin(struct link *l)
{
    struct sl_err err = { 0 };
    set_socket_options(l);
    int rc = uv_read_start((uv_stream_t *)&l->attempt->tcp, on_alloc, on_read);
    if (rc < 0) {
        end(l, LINK_END_TCP, uv_strerror(rc));
        return;
    }
    if (!l->tls) {
        l->open = true;
        l->events.open(l->events.ctx);
        return;
    }
    if (tls_session_new(&l->session, l->tls, l->host, &err) != SL_OK) {
        end(l, LINK_END_TLS, err.text);
        return;
    }
    l->events.connected(l->events.ctx);
    if (!l->closing)
        take_tls(l, sl_bytes(NULL, 0)); /* the client speaks first */
}

static void try_next(struct link *l, int last_error);

static void on_connected(uv_connect_t *request, int status)
{
    struct attempt *a = request->data;
    struct link *l = a->link;
    if (l->closing || l->ended || l->attempt != a)
        return;                     /* given up: its close callback frees it */
    (void)uv_timer_stop(&l->timer); /* cannot fail on an initialised timer */
    if (status == 0) {
        begin(l);
        return;
    }
    drop_attempt(l);
    try_next(l, status);
}

static void on_address_timeout(uv_timer_t *timer)
{
    struct link *l = timer->data;
    if (l->closing || l->ended)
        return;
    drop_attempt(l);
    try_next(l, UV_ETIMEDOUT);
}

/* Ends the link when libuv refuses the address. */
static int connect_to(struct link *l, const struct addrinfo *address)
{
    struct attempt *a = calloc(1, sizeof *a);
    if (!a)
        return UV_ENOMEM;
    int rc = uv_tcp_init(l->loop, &a->tcp);
    if (rc < 0) {
        free(a);
        return rc;
    }
    l->holds++;
    a->link = l;
    a->tcp.data = a->connect.data = a;
    l->attempt = a;
    rc = uv_tcp_connect(&a->connect, &a->tcp, address->ai_addr, on_connected);
    if (rc < 0)
        drop_attempt(l);
    return rc;
}

static void try_next(struct link *l, int last_error)
{
    while (l->next && l->addresses_left > 0) {
        const struct addrinfo *address = l->next;
        l->next = l->next->ai_next;
        l->addresses_left--;
        last_error = connect_to(l, address);
        if (last_error != 0)
            continue;
        if (l->next && l->addresses_left > 0)
            (void)uv_timer_start(&l->timer, on_address_timeout, ADDRESS_MS, 0);
        return;
    }
    end(l, LINK_END_TCP, uv_strerror(last_error));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct lookup *lookup = request->data;
    struct link *l = lookup->link;
    free(lookup);
    if (!l) {
        uv_freeaddrinfo(addresses);
        return;
    }
    l->lookup = NULL;
    if (status < 0) {
        uv_freeaddrinfo(addresses);
        end(l, LINK_END_DNS, uv_strerror(status));
        return;
    }
    l->addresses = l->next = addresses;
    l->addresses_left = ADDRESSES_MAX;
    l->events.resolved(l->events.ctx);
    if (!l->closing)
        try_next(l, UV_EADDRNOTAVAIL);
}

static int start_lookup(struct link *l)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return UV_ENOMEM;
    lookup->link = l;
    lookup->request.data = lookup;
    struct addrinfo hints = { .ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_protocol = IPPROTO_TCP };
    int rc = uv_getaddrinfo(l->loop, &lookup->request, on_resolved, l->host, l->port, &hints);
    if (rc < 0)
        free(lookup);
    else
        l->lookup = lookup;
    return rc;
}

enum sl_code link_open(struct link **ret, const struct link_options *options,
                       const struct link_events *events, struct sl_err *err)
{
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return sl_fail(err, SL_NOMEM, "memory is out");
    l->loop = options->loop;
    l->events = *events;
    l->host = sl_slice_dup(sl_str(options->host));
    l->read_buf = malloc(READ_SIZE);
    l->plain.max = l->wire.max = l->sending.max = WIRE_MAX;
    l->user_timeout_ms = options->user_timeout_ms;
    (void)snprintf(l->port, sizeof l->port, "%u", options->port); /* at most five digits */
    if (!l->host || !l->read_buf || uv_timer_init(l->loop, &l->timer) != 0) {
        free(l->host);
        free(l->read_buf);
        free(l);
        return sl_fail(err, SL_NOMEM, "memory is out");
    }
    l->timer.data = l;
    l->holds = 1;
    if (options->tls)
        l->tls = tls_context_ref(options->tls);
    int rc = start_lookup(l);
    if (rc < 0) {
        link_close(l, NULL, NULL);
        return sl_fail(err, SL_IO, "looking up \"%s\": %s", options->host, uv_strerror(rc));
    }
    *ret = l;
    return SL_OK;
}

/* A close_notify, if the socket takes it at once. */
static void say_goodbye(struct link *l)
{
    if (!l->session || !l->open || !l->attempt || l->writing)
        return;
    tls_session_close(l->session, &l->wire);
    if (l->wire.failed || l->wire.len == 0)
        return;
    uv_buf_t buf = uv_buf_init((char *)l->wire.ptr, (unsigned)l->wire.len);
    (void)uv_try_write((uv_stream_t *)&l->attempt->tcp, &buf, 1); /* a courtesy */
}

void link_close(struct link *l, void (*closed)(void *ctx), void *ctx)
{
    assert(!l->closing);
    say_goodbye(l);
    l->closing = true;
    l->on_closed = closed;
    l->closed_ctx = ctx;
    if (l->lookup) {
        l->lookup->link = NULL;
        (void)uv_cancel((uv_req_t *)&l->lookup->request); /* busy: it ends by itself */
        l->lookup = NULL;
    }
    drop_attempt(l);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

uint64_t link_bytes_in(const struct link *l)
{
    return l->bytes_in;
}

uint64_t link_bytes_out(const struct link *l)
{
    return l->bytes_out;
}
