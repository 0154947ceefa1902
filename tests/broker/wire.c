/* wire.c - clients over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void wire_turn(struct rig *r)
{
    (void)uv_run(&r->loop, UV_RUN_NOWAIT); /* says whether more is to be done: we know */
}

static int64_t real_ms(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Lets the broker work until the socket has something, for a moment at most. */
static void turn_until(struct wire *w, short events, int64_t deadline)
{
    struct pollfd p = { .fd = w->fd, .events = events };
    wire_turn(w->rig);
    (void)poll(&p, 1, 1); /* interrupted or not: the caller looks for itself */
    assert_true(real_ms() < deadline);
}

static void start(struct wire *w, struct rig *r, int family, const void *address, socklen_t len,
                  int receive_buffer)
{
    *w = (struct wire){ .rig = r, .fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    assert_true(w->fd >= 0);
    if (receive_buffer)
        assert_int_equal(
            setsockopt(w->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer), 0);
    assert_int_equal(connect(w->fd, address, len), 0); /* the backlog takes it */
}

void wire_tcp(struct wire *w, struct rig *r, uint16_t port, int receive_buffer)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    start(w, r, AF_INET, &a, sizeof a, receive_buffer);
    int on = 1;
    assert_int_equal(setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

void wire_unix(struct wire *w, struct rig *r, const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    assert_true(strlen(path) < sizeof a.sun_path);
    memcpy(a.sun_path, path, strlen(path));
    start(w, r, AF_UNIX, &a, sizeof a, 0);
}

void wire_close(struct wire *w)
{
    (void)close(w->fd);
    tls_session_free(w->tls);
    sl_buf_free(&w->in);
    sl_buf_free(&w->out);
}

static void send_raw(struct wire *w, struct sl_slice bytes)
{
    int64_t deadline = real_ms() + WIRE_WAIT_MS;
    while (bytes.len > 0 && !w->eof) {
        ssize_t n = send(w->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            bytes.ptr += n;
            bytes.len -= (size_t)n;
        } else if (errno == EAGAIN) {
            turn_until(w, POLLOUT, deadline);
        } else {
            w->eof = true;
        }
    }
}

static void take(struct wire *w, struct sl_slice bytes)
{
    if (!w->tls) {
        sl_buf_put_slice(&w->in, bytes);
        return;
    }
    if (tls_session_feed(w->tls, bytes, &w->in, &w->out, NULL) != SL_OK)
        w->tls_failed = true;
    send_raw(w, sl_buf_slice(&w->out));
    sl_buf_reset(&w->out);
}

static void receive(struct wire *w)
{
    uint8_t buf[16384];
    ssize_t n = recv(w->fd, buf, sizeof buf, MSG_DONTWAIT);
    if (n > 0)
        take(w, sl_bytes(buf, (size_t)n));
    else if (n == 0 || errno != EAGAIN)
        w->eof = true;
}

void wire_tls(struct wire *w, struct tls_context *c)
{
    int64_t deadline = real_ms() + WIRE_WAIT_MS;
    assert_int_equal(tls_session_new(&w->tls, c, "localhost", NULL), SL_OK);
    take(w, (struct sl_slice){ 0 });
    while (!tls_session_established(w->tls) && !w->tls_failed && !w->eof) {
        turn_until(w, POLLIN, deadline);
        receive(w);
    }
}

void wire_send(struct wire *w, const struct sl_buf *bytes)
{
    assert_false(bytes->failed);
    if (!w->tls) {
        send_raw(w, sl_buf_slice(bytes));
        return;
    }
    assert_int_equal(tls_session_write(w->tls, sl_buf_slice(bytes), &w->out, NULL), SL_OK);
    send_raw(w, sl_buf_slice(&w->out));
    sl_buf_reset(&w->out);
}

struct mqtt_frame wire_next(struct wire *w, enum mqtt_type type)
{
    static struct sl_buf body; /* freed by nobody: one for the whole program, kept from packet to
                                  packet */
    int64_t deadline = real_ms() + WIRE_WAIT_MS;
    for (;;) {
        struct mqtt_frame f;
        struct sl_cursor in = sl_cursor(sl_buf_slice(&w->in));
        if (mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK) {
            assert_int_equal(f.type, type);
            sl_buf_reset(&body);
            sl_buf_put_slice(&body, f.body);
            assert_false(body.failed);
            f.body = sl_buf_slice(&body);
            sl_buf_consume(&w->in, f.size);
            return f;
        }
        assert_false(w->eof);
        turn_until(w, POLLIN, deadline);
        receive(w);
    }
}

void wire_wait_eof(struct wire *w)
{
    int64_t deadline = real_ms() + WIRE_WAIT_MS;
    while (!w->eof) {
        turn_until(w, POLLIN, deadline);
        receive(w);
    }
}

void wire_wait_clients(struct rig *r, uint32_t count)
{
    int64_t deadline = real_ms() + WIRE_WAIT_MS;
    while (r->broker->client_count != count) {
        wire_turn(r);
        assert_true(real_ms() < deadline);
    }
}

void wire_connect(struct wire *w, enum mqtt_version v, const char *id)
{
    struct sl_buf b = { 0 };
    struct mqtt_connack a;
    mqtt_encode_connect(
        &b, &(struct mqtt_connect){ .version = v, .clean_start = true, .client_id = sl_str(id) });
    wire_send(w, &b);
    sl_buf_free(&b);
    struct mqtt_frame f = wire_next(w, MQTT_CONNACK);
    assert_int_equal(mqtt_decode_connack(&f, v, &a, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(a.reason, 0);
}

void wire_subscribe(struct wire *w, enum mqtt_version v, const char *filter, uint8_t qos)
{
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str(filter), .qos = qos };
    mqtt_encode_subscribe(&b, v, 1, NULL, &e, 1);
    wire_send(w, &b);
    sl_buf_free(&b);
    (void)wire_next(w, MQTT_SUBACK);
}

void wire_publish(struct wire *w, enum mqtt_version v, struct sl_slice payload)
{
    struct sl_buf b = { 0 };
    mqtt_encode_publish(&b, v, &(struct mqtt_publish){ .topic = sl_str("t"), .payload = payload });
    wire_send(w, &b);
    sl_buf_free(&b);
}

void wire_ping(struct wire *w)
{
    struct sl_buf b = { 0 };
    mqtt_encode_pingreq(&b);
    wire_send(w, &b);
    sl_buf_free(&b);
    (void)wire_next(w, MQTT_PINGRESP);
}
