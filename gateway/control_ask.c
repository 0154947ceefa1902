/* control_ask.c - the control socket's client side, for the command line. Blocking. */
#include "control.h"

#include "base/buf.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum sl_code control_path(const char *data_dir, char *buf, size_t size, struct sl_err *err)
{
    struct sockaddr_un a;
    int n = snprintf(buf, size, "%s/control.sock", data_dir);
    if (n < 0 || (size_t)n >= size || (size_t)n >= sizeof a.sun_path)
        return sl_fail(
            err, SL_INVALID,
            "gateway.data_dir is too long for its control socket (%zu bytes at most): %s",
            sizeof a.sun_path - sizeof "/control.sock", data_dir);
    return SL_OK;
}

static enum sl_code connect_to(const char *data_dir, int seconds, int *ret_fd, struct sl_err *err)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    char path[sizeof a.sun_path];
    enum sl_code rc = control_path(data_dir, path, sizeof path, err);
    if (rc != SL_OK)
        return rc;
    memcpy(a.sun_path, path, sizeof path);
    SL_CLEANUP(sl_close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sl_fail(err, SL_IO, "socket: %s", strerror(errno));
    struct timeval limit = { .tv_sec = seconds };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit,
                     sizeof limit); /* without it only slower to give up */
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) != 0) {
        bool nobody = errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR;
        return sl_fail(err, nobody ? SL_NOTFOUND : SL_IO, "%s: %s", path,
                       nobody ? "no gateway is running there" : strerror(errno));
    }
    *ret_fd = sl_take_fd(&fd);
    return SL_OK;
}

bool control_answers(const char *data_dir)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (control_path(data_dir, a.sun_path, sizeof a.sun_path, NULL) != SL_OK)
        return false;
    SL_CLEANUP(sl_close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    /* EAGAIN: somebody listens, and many wait. */
    return connect(fd, (const struct sockaddr *)&a, sizeof a) == 0 || errno == EAGAIN;
}

struct asking {
    void (*line)(void *ctx, const char *text);
    void *ctx;
    struct sl_err *err;
};

/* SL_OK: go on; SL_CLOSED: that was the end. */
static enum sl_code take_line(const struct asking *a, const char *text)
{
    if (strcmp(text, "{\"end\":true}") == 0)
        return SL_CLOSED;
    if (strncmp(text, "{\"error\":", 9) == 0) {
        cJSON *json = cJSON_Parse(text);
        const char *message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "error"));
        (void)sl_fail(a->err, SL_REFUSED, "%s", message ? message : text);
        cJSON_Delete(json);
        return SL_REFUSED;
    }
    a->line(a->ctx, text);
    return SL_OK;
}

static enum sl_code take_lines(const struct asking *a, struct sl_buf *in)
{
    size_t at = 0;
    enum sl_code rc = SL_OK;
    uint8_t *newline;
    while (rc == SL_OK && at < in->len && (newline = memchr(in->ptr + at, '\n', in->len - at))) {
        *newline = 0;
        rc = take_line(a, (const char *)in->ptr + at);
        at = (size_t)(newline - in->ptr) + 1;
    }
    sl_buf_consume(in, at);
    return rc;
}

static enum sl_code read_answer(const struct asking *a, int fd)
{
    struct sl_buf in = { 0 };
    enum sl_code rc = SL_OK;
    while (rc == SL_OK) {
        uint8_t *at = sl_buf_reserve(&in, 65536);
        ssize_t n = at ? read(fd, at, 65536) : -1;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = sl_fail(a->err, SL_IO, "the gateway did not answer: %s",
                         n == 0 ? "it closed the connection" : strerror(errno));
            break;
        }
        in.len += (size_t)n;
        rc = take_lines(a, &in);
    }
    sl_buf_free(&in);
    return rc == SL_CLOSED ? SL_OK : rc;
}

enum sl_code control_ask(const char *data_dir, const char *request, int seconds,
                         void (*line)(void *ctx, const char *text), void *ctx, struct sl_err *err)
{
    SL_CLEANUP(sl_close_fd) int fd = -1;
    enum sl_code rc = connect_to(data_dir, seconds, &fd, err);
    if (rc != SL_OK)
        return rc;
    struct sl_buf out = { 0 };
    sl_buf_printf(&out, "%s\n", request);
    /* A request is far smaller than a socket's buffer: it goes whole. */
    ssize_t n = out.failed ? -1 : send(fd, out.ptr, out.len, MSG_NOSIGNAL);
    bool sent = n >= 0 && (size_t)n == out.len;
    sl_buf_free(&out);
    if (!sent)
        return sl_fail(err, SL_IO, "the gateway does not take requests: %s", strerror(errno));
    struct asking a = { line, ctx, err };
    return read_answer(&a, fd);
}
