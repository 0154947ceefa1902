/* ws.c - MQTT over WebSocket as a whole: its context in lws, its sites, and its end.
 *
 * Sites outlive their connections (ws_conn.c); lws' vhost of one that is closed is destroyed from
 * the loop, never inside lws' callbacks. */
#include "lws_loop.h"
#include "ws_private.h"

#include <stdio.h>
#include <stdlib.h>

#define REAP_MS           5
#define HEADERS_BYTES_MAX 4096        /* of one request */
#define HANDSHAKE_S_MAX   20          /* the broker's connect_timeout is usually shorter */
#define READ_SIZE         (16 * 1024) /* shared: what is read at once */
#define SPARE_SOCKETS     64          /* lws' own, and those that are closing */

/* Keep-alive is MQTT's: no pings. */
static const lws_retry_bo_t no_pings = { .secs_since_valid_ping = 0 };

/* ---- sites ---- */

static void site_free(struct ws_site *s)
{
    free(s->path);
    free(s);
}

static enum sl_code open_vhost(struct ws_site *s, const struct ws_site_options *o,
                               struct sl_err *err)
{
    char name[32];
    (void)snprintf(name, sizeof name, "mqtt-%u", s->ws->serial++);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .vhost_name = name,
        .protocols = ws_protocols,
        .user = s,
        .options = o->tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .ssl_cert_filepath = o->tls ? o->cert_path : NULL,
        .ssl_private_key_filepath = o->tls ? o->key_path : NULL,
        .alpn = "http/1.1",
        .timeout_secs = HANDSHAKE_S_MAX,
        .timeout_secs_ah_idle = HANDSHAKE_S_MAX,
        .retry_and_idle_policy = &no_pings,
    };
    s->setup = o;
    lws_loop_loud();
    s->vhost = lws_create_vhost(s->ws->lws, &info);
    lws_loop_quiet();
    s->setup = NULL;
    if (!s->vhost)
        return sl_fail(err, SL_TLS, "libwebsockets refused the settings%s",
                       o->tls ? "; check tls.cert and tls.key" : "");
    if (o->tls && !s->tls_ready)
        return sl_fail(err, SL_TLS,
                       "OpenSSL, which WebSocket listeners use, refused tls.ca or tls.crl");
    return SL_OK;
}

enum sl_code ws_site_open(struct ws_site **ret, struct ws *w, const struct ws_site_options *o,
                          struct sl_err *err)
{
    enum sl_code rc = o->tls ? ws_tls_check(o, err) : SL_OK;
    if (rc != SL_OK)
        return sl_wrap(err, "listener \"%s\"", o->name);
    struct ws_site *s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(o->path))) {
        free(s);
        return sl_fail(err, SL_NOMEM, "listener \"%s\": out of memory", o->name);
    }
    s->ws = w;
    s->username_from_cert = o->tls && o->username_from_cert;
    rc = open_vhost(s, o, err);
    if (rc != SL_OK && !s->vhost) {
        site_free(s);
        return sl_wrap(err, "listener \"%s\"", o->name);
    }
    s->next = w->sites;
    w->sites = s;
    if (rc != SL_OK) {
        ws_site_close(s);
        return sl_wrap(err, "listener \"%s\"", o->name);
    }
    *ret = s;
    return SL_OK;
}

void ws_site_close(struct ws_site *s)
{
    if (!s)
        return;
    s->closed = true;
    if (s->conns == 0)
        ws_reap_soon(s->ws);
}

/* lws' own way to do this later waits for its next event, which may never come. */
static void close_doomed(struct ws *w)
{
    while (w->doomed) {
        struct ws_conn *c = w->doomed;
        w->doomed = c->next_doomed;
        c->doomed = false;
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_SYNC);
    }
}

static void destroy_closed_sites(struct ws *w)
{
    for (struct ws_site **at = &w->sites; *at;) {
        struct ws_site *s = *at;
        if (!s->closed || s->conns > 0) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        lws_vhost_destroy(s->vhost);
        site_free(s);
    }
}

/* ---- life ---- */

static void on_reap(uv_timer_t *handle);

void ws_reap_soon(struct ws *w)
{
    if (!w->closing)
        (void)uv_timer_start(&w->reaper, on_reap, 0, 0);
}

static void on_reaper_closed(uv_handle_t *handle)
{
    struct ws *w = handle->data;
    while (w->sites) {
        struct ws_site *s = w->sites;
        w->sites = s->next;
        site_free(s);
    }
    if (w->closed)
        w->closed(w->closed_ctx);
    free(w->chunk);
    free(w);
}

static void on_reap(uv_timer_t *handle)
{
    struct ws *w = handle->data;
    if (!w->closing) {
        close_doomed(w);
        destroy_closed_sites(w);
        return;
    }
    if (w->lws && w->conns == 0)
        lws_loop_finish(w->lws, w->loop);
    if (!w->lws)
        uv_close((uv_handle_t *)&w->reaper, on_reaper_closed);
}

enum sl_code ws_open(struct ws **ret, uv_loop_t *loop, uint32_t connections_max,
                     const struct ws_callbacks *callbacks, struct sl_err *err)
{
    struct ws *w = calloc(1, sizeof *w);
    if (!w)
        return sl_fail(err, SL_NOMEM, "WebSocket: out of memory");
    w->loop = loop;
    w->callbacks = callbacks;
    (void)uv_timer_init(loop, &w->reaper); /* never fails */
    w->reaper.data = w;
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .pcontext = &w->lws,
        .user = w,
        .fd_limit_per_thread = connections_max + SPARE_SOCKETS,
        .max_http_header_pool2 = connections_max + SPARE_SOCKETS,
        .max_http_header_data = HEADERS_BYTES_MAX,
        .pt_serv_buf_size = READ_SIZE,
        .retry_and_idle_policy = &no_pings,
    };
    enum sl_code rc = lws_loop_create(&w->lws, &info, loop, err);
    lws_loop_quiet();
    if (rc != SL_OK) {
        ws_close(w, NULL, NULL);
        return sl_wrap(err, "WebSocket");
    }
    *ret = w;
    return SL_OK;
}

void ws_close(struct ws *w, void (*closed)(void *ctx), void *ctx)
{
    if (!w || w->closing)
        return;
    w->closing = true;
    w->closed = closed;
    w->closed_ctx = ctx;
    if (w->lws)
        lws_context_destroy(w->lws);
    (void)uv_timer_start(&w->reaper, on_reap, 0, REAP_MS);
}
