/* rig.c - see rig.h. */
#include "rig.h"

#include "base/crypto.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TICK_MS 5

/* ---- the server's side ---- */

static void on_tick(uv_timer_t *timer)
{
    struct rig *rig = timer->data;
    rig->fake.now_ms += TICK_MS;
    if (!rig->fake.hold)
        fake_answer(&rig->fake);
    if (rig->on_tick)
        rig->on_tick(rig);
}

static void on_call(uv_async_t *async)
{
    struct rig *rig = async->data;
    if (rig->on_loop) {
        rig->on_loop(rig);
        rig->on_loop = NULL;
        (void)sem_post(&rig->called);
    }
}

static void on_closed(void *ctx)
{
    ((struct rig *)ctx)->closed++;
}

static void on_done(uv_async_t *async)
{
    struct rig *rig = async->data;
    web_get_stats(rig->web, &rig->stats);
    web_close(rig->web, on_closed, rig);
    uv_close((uv_handle_t *)&rig->call, NULL);
    uv_close((uv_handle_t *)&rig->done, NULL);
    uv_close((uv_handle_t *)&rig->tick, NULL);
}

static void *run_script(void *arg)
{
    struct rig *rig = arg;
    rig->script(rig);
    (void)uv_async_send(&rig->done);
    return NULL;
}

void rig_init(struct rig *rig, enum web_anonymous anonymous)
{
    *rig = (struct rig){
        .fake = { .started_ms = 1764000000000, .now_ms = 1764000000000, .cloud_state = "online" }
    };
    sl_log_configure(SL_ERROR, SL_LOG_TEXT);
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    rig->options = (struct web_options){ .loop = &rig->loop,
                                         .bind = "127.0.0.1",
                                         .anonymous = anonymous,
                                         .view = fake_view(&rig->fake) };
}

static void init_handles(struct rig *rig)
{
    assert_int_equal(uv_async_init(&rig->loop, &rig->call, on_call), 0);
    assert_int_equal(uv_async_init(&rig->loop, &rig->done, on_done), 0);
    assert_int_equal(uv_timer_init(&rig->loop, &rig->tick), 0);
    rig->call.data = rig->done.data = rig->tick.data = rig;
    assert_int_equal(uv_timer_start(&rig->tick, on_tick, TICK_MS, TICK_MS), 0);
    assert_int_equal(sem_init(&rig->called, 0, 0), 0);
}

void rig_run(struct rig *rig, void (*script)(struct rig *rig))
{
    struct sl_err err = { 0 };
    if (web_open(&rig->web, &rig->options, &err) != SL_OK)
        fail_msg("%s", err.text);
    rig->port = web_port(rig->web);
    rig->script = script;
    init_handles(rig);
    assert_int_equal(pthread_create(&rig->thread, NULL, run_script, rig), 0);
    (void)uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(pthread_join(rig->thread, NULL), 0);
    fake_answer(&rig->fake); /* to nobody: the server is gone */
    (void)sem_destroy(&rig->called);
    for (unsigned i = 0; i < rig->socket_count; i++)
        if (rig->sockets[i] >= 0)
            (void)close(rig->sockets[i]);
    if (rig->failure[0])
        fail_msg("%s", rig->failure);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(fake_watching(&rig->fake), 0);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
}

/* ---- the client's side ---- */

void rig_failed(struct rig *rig, const char *file, int line, const char *what, const char *fmt, ...)
{
    if (rig->failure[0])
        return;
    va_list args;
    va_start(args, fmt);
    int n = snprintf(rig->failure, sizeof rig->failure, "%s:%d: %s", file, line, what);
    if (n > 0 && (size_t)n < sizeof rig->failure)
        (void)vsnprintf(rig->failure + n, sizeof rig->failure - (size_t)n, fmt, args);
    va_end(args);
}

void rig_call(struct rig *rig, void (*fn)(struct rig *rig))
{
    rig->on_loop = fn; /* the loop reads it after uv_async_send(), which orders the two */
    (void)uv_async_send(&rig->call);
    while (sem_wait(&rig->called) != 0 && errno == EINTR)
        ;
}

int client_connect(struct rig *rig)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(rig->port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct timeval patience = { .tv_sec = 5 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || rig->socket_count == RIG_SOCKETS)
        return -1;
    rig->sockets[rig->socket_count++] = fd;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return connect(fd, (struct sockaddr *)&at, sizeof at) == 0 ? fd : -1;
}

void client_close(struct rig *rig, int fd)
{
    for (unsigned i = 0; i < rig->socket_count; i++)
        if (rig->sockets[i] == fd)
            rig->sockets[i] = rig->sockets[--rig->socket_count];
    (void)close(fd);
}

bool client_send(int fd, struct sl_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes = sl_bytes(bytes.ptr + n, bytes.len - (size_t)n);
    }
    return true;
}

bool client_say(int fd, const char *text)
{
    return client_send(fd, sl_str(text));
}

static bool read_bytes(int fd, struct sl_buf *out, size_t n)
{
    while (n > 0) {
        uint8_t *room = sl_buf_reserve(out, n);
        ssize_t got = room ? recv(fd, room, n, 0) : -1;
        if (got <= 0)
            return false;
        out->len += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}

static bool read_head(int fd, struct sl_buf *head)
{
    while (head->len < 16384) {
        if (!read_bytes(fd, head, 1))
            return false;
        if (head->len >= 4 && memcmp(head->ptr + head->len - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

bool client_reply(int fd, bool body_expected, struct reply *r)
{
    reply_free(r);
    unsigned status = 0;
    unsigned long length = 0;
    if (!read_head(fd, &r->head) || sscanf(sl_buf_cstr(&r->head), "HTTP/1.%*c %3u", &status) != 1)
        return false;
    r->status = (int)status;
    const char *line = strcasestr(sl_buf_cstr(&r->head), "\r\ncontent-length:");
    if (line && sscanf(line + 17, " %lu", &length) != 1)
        return false;
    return !body_expected || read_bytes(fd, &r->body, length);
}

void reply_free(struct reply *r)
{
    sl_buf_free(&r->head);
    sl_buf_free(&r->body);
    *r = (struct reply){ 0 };
}

bool reply_has(const struct reply *r, const char *text)
{
    return memmem(r->head.ptr, r->head.len, text, strlen(text)) != NULL;
}

bool client_ask(struct rig *rig, const char *line, const char *headers, struct reply *r)
{
    char text[4096];
    int fd = client_connect(rig);
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", line,
                   rig->port, headers ? headers : "");
    bool ok = fd >= 0 && client_say(fd, text) && client_reply(fd, strncmp(line, "HEAD", 4) != 0, r);
    if (fd >= 0)
        client_close(rig, fd);
    return ok;
}

bool client_is_closed(int fd)
{
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        ;
    return n == 0 || errno == ECONNRESET;
}

/* ---- WebSocket ---- */

int ws_open(struct rig *rig, const char *path, const char *headers, int *ret_fd)
{
    char text[2048];
    struct reply r = { 0 };
    int fd = client_connect(rig);
    *ret_fd = fd;
    (void)snprintf(text, sizeof text,
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\n"
                   "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                   path, rig->port, headers ? headers : "");
    if (fd < 0 || !client_say(fd, text) || !client_reply(fd, false, &r))
        r.status = 0;
    int status = r.status;
    reply_free(&r);
    return status;
}

bool ws_send(int fd, uint8_t opcode, bool final, struct sl_slice bytes)
{
    static const uint8_t mask[4] = { 0x12, 0x34, 0x56, 0x78 };
    struct sl_buf frame = { 0 };
    sl_buf_put_u8(&frame, (uint8_t)((final ? 0x80 : 0) | opcode));
    if (bytes.len < 126) {
        sl_buf_put_u8(&frame, (uint8_t)(0x80 | bytes.len));
    } else {
        sl_buf_put_u8(&frame, 0x80 | 126);
        sl_buf_put_u16(&frame, (uint16_t)bytes.len);
    }
    sl_buf_put(&frame, mask, sizeof mask);
    for (size_t i = 0; i < bytes.len; i++)
        sl_buf_put_u8(&frame, bytes.ptr[i] ^ mask[i % 4]);
    bool ok = client_send(fd, sl_buf_slice(&frame));
    sl_buf_free(&frame);
    return ok;
}

bool ws_say(int fd, const char *text)
{
    return ws_send(fd, 1, true, sl_str(text));
}

/* One frame as it comes; long messages come in several. */
static bool read_frame(int fd, uint8_t *first, struct sl_buf *out)
{
    struct sl_buf head = { 0 };
    uint64_t n = 0;
    bool ok = read_bytes(fd, &head, 2);
    if (ok && head.ptr[1] >= 126) {
        size_t more = head.ptr[1] == 126 ? 2 : 8;
        ok = read_bytes(fd, &head, more);
        for (size_t i = 0; ok && i < more; i++)
            n = n << 8 | head.ptr[2 + i];
    } else if (ok) {
        n = head.ptr[1];
    }
    if (ok)
        *first = head.ptr[0];
    sl_buf_free(&head);
    return ok && n < 16u * 1024 * 1024 && read_bytes(fd, out, n);
}

bool ws_read(int fd, uint8_t *ret_opcode, struct sl_buf *out)
{
    uint8_t first = 0;
    sl_buf_reset(out);
    *ret_opcode = 0;
    do {
        size_t before = out->len;
        if (!read_frame(fd, &first, out))
            return false;
        if ((first & 0x0f) == 9) { /* ping */
            (void)ws_send(fd, 10, true, sl_bytes(out->ptr + before, out->len - before));
            out->len = before;
            first = 0;
        } else if ((first & 0x0f) != 0) {
            *ret_opcode = first & 0x0f;
        }
    } while (!(first & 0x80));
    return true;
}

bool ws_read_other(int fd, struct sl_buf *out)
{
    uint8_t opcode;
    for (int i = 0; i < 100000; i++) {
        if (!ws_read(fd, &opcode, out) || opcode != 1)
            return false;
        if (!sl_slice_starts(sl_buf_slice(out), sl_str("{\"type\":\"status\"")))
            return true;
    }
    return false;
}

int ws_close_code(int fd)
{
    struct sl_buf frame = { 0 };
    uint8_t opcode = 0;
    int code = 0;
    while (ws_read(fd, &opcode, &frame))
        if (opcode == 8) {
            code = frame.len >= 2 ? frame.ptr[0] << 8 | frame.ptr[1] : 1005;
            break;
        }
    sl_buf_free(&frame);
    return code;
}
