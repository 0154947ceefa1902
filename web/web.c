/* web.c - the libwebsockets context on the gateway's loop: made, asked and taken down here. lws'
 * callback is one big switch by design; it only hands each reason to the file that owns it.
 *
 * Closing: lws frees its handles from the loop and sets w->lws to NULL at the very end, so a timer
 * looks for that, and then our own handles go. The last one to close frees struct web. */
#include "lws_loop.h"
#include "web_private.h"

#include "base/log.h"
#include "base/tls.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define REAP_MS           5
#define HEADERS_BYTES_MAX 16384 /* cookies of other services on this host come along */
#define KEEPALIVE_S       15    /* an idle connection between two requests */

/* On every answer, lws' own included. No 'unsafe-inline': the page has no inline script or style.
 */
static const struct lws_protocol_vhost_options security_headers[] = {
    { &security_headers[1], NULL, "content-security-policy:",
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
      "'self'; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
    { &security_headers[2], NULL, "x-content-type-options:", "nosniff" },
    { &security_headers[3], NULL, "x-frame-options:", "DENY" },
    { &security_headers[4], NULL, "referrer-policy:", "no-referrer" },
    { &security_headers[5], NULL, "cross-origin-opener-policy:", "same-origin" },
    { NULL, NULL, "cross-origin-resource-policy:", "same-origin" },
};

/* A viewer that vanished without a word is noticed by its missing pong. */
static const lws_retry_bo_t idle_policy = { .secs_since_valid_ping = 20,
                                            .secs_since_valid_hangup = 45 };

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len);

/* lws takes the first for plain HTTP and for a WebSocket that asks for no sub-protocol. */
static const struct lws_protocols protocols[] = {
    { .name = "sluice.live",
      .callback = on_lws,
      .per_session_data_size = sizeof(struct web_conn),
      .rx_buffer_size = INPUT_COMMAND_MAX,
      .tx_packet_size = WEB_CHUNK },
    { .name = NULL },
};

/* ---- lws' callbacks ---- */

static int on_http(struct web *w, struct lws *wsi, enum lws_callback_reasons reason,
                   struct web_conn *c)
{
    if (reason == LWS_CALLBACK_HTTP)
        return http_request(w, wsi, c);
    if (reason == LWS_CALLBACK_HTTP_WRITEABLE)
        return http_writeable(w, wsi, c);
    http_gone(w, c);
    return 0;
}

static int on_live(struct web *w, struct lws *wsi, enum lws_callback_reasons reason,
                   struct web_conn *c, struct sl_slice in)
{
    if (reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION)
        return http_upgrade_viewer(w, wsi, c) ? 0 : -1;
    if (reason == LWS_CALLBACK_ESTABLISHED)
        return live_established(w, wsi, c);
    if (reason == LWS_CALLBACK_RECEIVE)
        return live_received(w, wsi, c, in);
    if (reason == LWS_CALLBACK_SERVER_WRITEABLE)
        return live_writeable(wsi, c);
    live_gone(w, c);
    return 0;
}

static void count_connection(struct web *w, enum lws_callback_reasons reason)
{
    if (reason == LWS_CALLBACK_WSI_CREATE) {
        w->connections++;
        return;
    }
    assert(w->connections > 0);
    w->connections--;
    listen_connection_gone(w);
}

/* lws has some hundred reasons, most of them not for servers: this switch keeps its default. */
static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    struct lws_context *context = lws_get_context(wsi);
    struct web *w = context ? lws_context_user(context) : NULL;
    if (!w)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_WSI_CREATE:
    case LWS_CALLBACK_WSI_DESTROY: count_connection(w, reason); return 0;
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL: return user ? on_http(w, wsi, reason, user) : 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return http_upgrade(w, wsi, sl_str(in));
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        return user ? on_live(w, wsi, reason, user, sl_bytes(in, in ? len : 0)) : 0;
    default: return 0;
    }
}

/* ---- opening ---- */

static enum sl_code check_tls_files(struct web *w, struct sl_err *err)
{
    const struct web_options *o = &w->options;
    if (!o->cert_path && !o->key_path)
        return SL_OK;
    if (!o->cert_path || !o->key_path)
        return sl_fail(err, SL_INVALID, "web: web.tls needs both cert and key");
    struct tls_context *tls;
    struct tls_options options = { .server = true,
                                   .cert_path = o->cert_path,
                                   .key_path = o->key_path };
    if (tls_context_new(&tls, &options, err) != SL_OK) /* its text says more than OpenSSL's would */
        return sl_wrap(err, "web: web.tls");
    tls_context_unref(tls);
    w->tls = true;
    return SL_OK;
}

static enum sl_code open_context(struct web *w, struct sl_err *err)
{
    struct lws_context_creation_info info = {
        .options = w->tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .pcontext = &w->lws,
        .user = w,
        .fd_limit_per_thread = WEB_CONNECTIONS_MAX + 8, /* its own pipe, and those it is closing */
        .max_http_header_pool = WEB_CONNECTIONS_MAX,
        .max_http_header_data = HEADERS_BYTES_MAX,
        .pt_serv_buf_size = 4096,
        .retry_and_idle_policy = &idle_policy,
    };
    enum sl_code rc = lws_loop_create(&w->lws, &info, w->options.loop, err);
    return rc == SL_OK ? SL_OK : sl_wrap(err, "web");
}

static enum sl_code open_vhost(struct web *w, struct sl_err *err)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .vhost_name = "sluice",
        .protocols = protocols,
        .headers = security_headers,
        .options = w->tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .ssl_cert_filepath = w->tls ? w->options.cert_path : NULL,
        .ssl_private_key_filepath = w->tls ? w->options.key_path : NULL,
        .alpn = "http/1.1",
        .keepalive_timeout = KEEPALIVE_S,
        .timeout_secs = WEB_REQUEST_S_MAX,
        .timeout_secs_ah_idle = WEB_REQUEST_S_MAX,
        .retry_and_idle_policy = &idle_policy,
    };
    w->vhost = lws_create_vhost(w->lws, &info);
    if (!w->vhost)
        return sl_fail(err, SL_TLS, "web: libwebsockets refused the settings%s",
                       w->tls ? "; check web.tls.cert and web.tls.key" : "");
    return SL_OK;
}

static enum sl_code open_all(struct web *w, struct sl_err *err)
{
    enum sl_code rc = check_tls_files(w, err);
    if (rc == SL_OK)
        rc = auth_init(&w->auth, &w->options, http_answered, w);
    if (rc == SL_OK)
        rc = listen_open(w, err);
    if (rc == SL_OK)
        rc = open_context(w, err);
    if (rc == SL_OK)
        rc = open_vhost(w, err);
    if (rc == SL_OK)
        rc = live_open(w, err);
    if (rc == SL_OK)
        rc = listen_start(w, err);
    return rc;
}

enum sl_code web_open(struct web **ret, const struct web_options *options, struct sl_err *err)
{
    struct web *w = calloc(1, sizeof *w);
    if (!w)
        return sl_fail(err, SL_NOMEM, "web: out of memory");
    w->options = *options;
    w->listen_fd = -1;
    (void)uv_timer_init(options->loop, &w->reaper); /* never fails */
    web_hold(w, &w->reaper);
    enum sl_code rc = open_all(w, err);
    w->options.bind = w->options.cert_path = w->options.key_path = NULL; /* borrowed until here */
    if (rc != SL_OK) {
        web_close(w, NULL, NULL); /* the rest goes with the loop's next turns */
        return rc;
    }
    lws_loop_quiet();
    *ret = w;
    return SL_OK;
}

/* ---- closing ---- */

void web_hold(struct web *w, void *handle)
{
    ((uv_handle_t *)handle)->data = w;
    w->holds++;
}

void web_unhold(uv_handle_t *handle)
{
    struct web *w = handle->data;
    assert(w->holds > 0);
    if (--w->holds > 0)
        return;
    if (w->closed)
        w->closed(w->closed_ctx);
    sl_buf_free(&w->live.scratch);
    auth_close(&w->auth);
    free(w);
}

static void on_reap(uv_timer_t *handle)
{
    struct web *w = handle->data;
    if (w->lws && w->connections == 0)
        lws_loop_finish(w->lws, w->options.loop);
    if (!w->lws)
        uv_close((uv_handle_t *)&w->reaper, web_unhold);
}

void web_close(struct web *w, void (*closed)(void *ctx), void *ctx)
{
    if (!w || w->closing)
        return;
    w->closing = true;
    w->closed = closed;
    w->closed_ctx = ctx;
    listen_close(w);
    live_close(w);
    if (w->lws)
        lws_context_destroy(w->lws);
    (void)uv_timer_start(&w->reaper, on_reap, 0, REAP_MS);
}

/* ---- the rest of the face ---- */

uint16_t web_port(const struct web *w)
{
    return w->port;
}

void web_forget_logins(struct web *w)
{
    auth_forget(&w->auth);
}

void web_get_stats(const struct web *w, struct web_stats *ret)
{
    *ret = w->stats;
    ret->live_clients = w->live.count;
}

#define TEXT_OF(x)                        #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

/* Of the headers; the library of another minor version has another name, so it is that one. */
const char *web_library_version(void)
{
    return VERSION_TEXT(LWS_LIBRARY_VERSION_MAJOR, LWS_LIBRARY_VERSION_MINOR,
                        LWS_LIBRARY_VERSION_PATCH);
}
