/* control.c - the control socket's server side. */
#include "control_private.h"

#include "gateway.h"

#include "base/log.h"
#include "base/text.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct control {
    uv_pipe_t server;
    struct gateway *gateway;
    struct control_client *clients;
    unsigned client_count, holds;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct control_write {
    uv_write_t req;
    uint8_t *bytes;
    struct control_client *client;
};

static void control_release(struct control *c)
{
    assert(c->holds > 0);
    if (--c->holds > 0)
        return;
    if (c->closed)
        c->closed(c->closed_ctx);
    free(c);
}

static void client_release(struct control_client *cl)
{
    if (!cl->handle_closed || cl->waiting)
        return;
    struct control *c = cl->control;
    for (struct control_client **at = &c->clients; *at; at = &(*at)->next) {
        if (*at == cl) {
            *at = cl->next;
            break;
        }
    }
    c->client_count--;
    sl_buf_free(&cl->in);
    sl_buf_free(&cl->out);
    free(cl);
    control_release(c);
}

bool control_waited(struct control_client *cl)
{
    cl->waiting = false;
    if (!cl->closing)
        return true;
    client_release(cl);
    return false;
}

static void on_client_closed(uv_handle_t *h)
{
    struct control_client *cl = h->data;
    cl->handle_closed = true;
    client_release(cl);
}

static void client_end(struct control_client *cl)
{
    if (cl->closing)
        return;
    cl->closing = true;
    uv_close((uv_handle_t *)&cl->pipe, on_client_closed);
}

static void on_written(uv_write_t *req, int status)
{
    struct control_write *w = req->data;
    (void)status; /* sent or not, this was the answer: the connection ends */
    client_end(w->client);
    free(w->bytes);
    free(w);
}

/* Sends what was gathered, then ends the connection: one request, one answer. The bytes go with
 * the request, since the client may be gone before it. */
void control_answer(struct control_client *cl)
{
    if (cl->closing)
        return;
    if (cl->out.failed) {
        sl_buf_reset(&cl->out);
        sl_buf_put_str(&cl->out, "{\"error\":\"the answer is larger than 256 MiB\"}\n");
    }
    struct control_write *w = calloc(1, sizeof *w);
    if (!w) {
        client_end(cl);
        return;
    }
    w->client = cl;
    w->req.data = w;
    w->bytes = cl->out.ptr;
    uv_buf_t buf = uv_buf_init((char *)cl->out.ptr, (unsigned)cl->out.len);
    cl->out = (struct sl_buf){ 0 };
    if (uv_write(&w->req, (uv_stream_t *)&cl->pipe, &buf, 1, on_written) != 0) {
        free(w->bytes);
        free(w);
        client_end(cl);
    }
}

void control_answer_error(struct control_client *cl, const char *text)
{
    sl_buf_put_str(&cl->out, "{\"error\":");
    sl_buf_put_json(&cl->out, sl_str(text));
    sl_buf_put_str(&cl->out, "}\n");
    control_answer(cl);
}

static void answer_status(struct control_client *cl)
{
    status_json(cl->control->gateway, &cl->out);
    sl_buf_put_str(&cl->out, "\n{\"end\":true}\n");
    control_answer(cl);
}

static void handle_request(struct control_client *cl)
{
    if (cl->control->gateway->stopping) { /* its parts go one after the other */
        control_answer_error(cl, "the gateway is stopping");
        return;
    }
    cJSON *request = cJSON_ParseWithLength((const char *)cl->in.ptr, cl->in.len);
    const char *cmd = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "cmd"));
    if (cmd && strcmp(cmd, "status") == 0)
        answer_status(cl);
    else if (cmd && strcmp(cmd, "queue") == 0)
        control_queue(cl, cl->control->gateway, request);
    else if (cmd && strcmp(cmd, "purge") == 0)
        control_purge(cl, cl->control->gateway, request);
    else
        control_answer_error(cl, "unknown request: the running gateway is of another version");
    cJSON_Delete(request);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct control_client *cl = h->data;
    *buf = uv_buf_init(cl->input, sizeof cl->input);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct control_client *cl = s->data;
    if (n < 0) {
        client_end(cl);
        return;
    }
    sl_buf_put(&cl->in, buf->base, (size_t)n);
    if (cl->in.failed) {
        (void)uv_read_stop(s); /* always 0 */
        control_answer_error(cl, "the request is too long");
    } else if (cl->in.len > 0 && cl->in.ptr[cl->in.len - 1] == '\n') {
        (void)uv_read_stop(s); /* always 0 */
        handle_request(cl);
    }
}

static void on_connection(uv_stream_t *s, int status)
{
    struct control *c = s->data;
    if (status < 0 || c->closing)
        return;
    struct control_client *cl = calloc(1, sizeof *cl);
    if (!cl)
        return;
    cl->control = c;
    cl->in.max = CONTROL_REQUEST_MAX;
    if (uv_pipe_init(s->loop, &cl->pipe, 0) != 0) {
        free(cl);
        return;
    }
    cl->pipe.data = cl;
    cl->next = c->clients;
    c->clients = cl;
    c->client_count++;
    c->holds++;
    if (uv_accept(s, (uv_stream_t *)&cl->pipe) != 0)
        client_end(cl);
    else if (c->client_count > CONTROL_CLIENTS_MAX)
        control_answer_error(cl, "too many ask at the same time: try again");
    else if (uv_read_start((uv_stream_t *)&cl->pipe, on_alloc, on_read) != 0)
        client_end(cl);
}

static void on_server_closed(uv_handle_t *h)
{
    control_release(h->data);
}

/* Bound and listening; or a libuv error. */
static int start_listening(struct control *c, const char *path)
{
    mode_t old = umask(0177); /* for the gateway's own user only, from the first moment */
    int rc = uv_pipe_bind(&c->server, path);
    (void)umask(old); /* always succeeds */
    return rc != 0 ? rc : uv_listen((uv_stream_t *)&c->server, CONTROL_CLIENTS_MAX, on_connection);
}

static enum sl_code listen_failed(const char *path, int rc, struct sl_err *err)
{
    bool no_room = rc == UV_ENOSPC || rc == UV_EROFS || rc == -EDQUOT;
    const char *hint = rc == UV_EACCES ? " (gateway.data_dir must be writable)" : "";
    return sl_fail(err, no_room ? SL_FULL : SL_IO, "control socket %s: %s%s", path, uv_strerror(rc),
                   hint);
}

enum sl_code control_open(struct control **ret, struct gateway *g, const char *data_dir,
                          struct sl_err *err)
{
    char path[PATH_MAX];
    enum sl_code rc = control_path(data_dir, path, sizeof path, err);
    if (rc != SL_OK)
        return rc;
    if (control_answers(data_dir))
        return sl_fail(err, SL_BUSY, "another sluice runs with data_dir %s", data_dir);
    /* Left from a crash; bind says so if it is still there, but would not say why. */
    if (unlink(path) != 0 && errno == EROFS)
        return listen_failed(path, UV_EROFS, err);
    struct control *c = calloc(1, sizeof *c);
    if (!c || uv_pipe_init(&g->loop, &c->server, 0) != 0) {
        free(c);
        return sl_fail(err, SL_NOMEM, "control socket: out of memory");
    }
    c->gateway = g;
    c->server.data = c;
    c->holds = 1;
    int started = start_listening(c, path);
    if (started != 0) {
        control_close(c, NULL, NULL);
        return listen_failed(path, started, err);
    }
    *ret = c;
    return SL_OK;
}

void control_close(struct control *c, void (*closed)(void *ctx), void *ctx)
{
    c->closing = true;
    c->closed = closed;
    c->closed_ctx = ctx;
    for (struct control_client *cl = c->clients; cl; cl = cl->next)
        client_end(cl);
    uv_close((uv_handle_t *)&c->server, on_server_closed); /* libuv removes the socket file */
}
