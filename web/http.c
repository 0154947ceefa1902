/* http.c - requests and answers: which path gives what, to whom, and how errors look.
 *
 * Answers are made whole and sent in chunks as the socket takes them. Errors are one small JSON
 * object, sent at once; after a request with a body, or with a method we do not serve, the
 * connection ends too, so that nobody's body is ever read. */
#include "web_private.h"

#include "assets.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PATH_MAX_BYTES 256
#define ARG_MAX        1100 /* "after=" and a client id or topic */
#define HEAD_MAX       2048
#define LIST_MAX       1000
#define LIST_DEFAULT   100

enum method { METHOD_GET, METHOD_HEAD, METHOD_OTHER };

struct request {
    struct web *w;
    struct lws *wsi;
    struct web_conn *c; /* NULL for an upgrade, which gets errors only */
    enum method method;
    bool has_body;
    char path[PATH_MAX_BYTES];
    struct auth_viewer viewer;
};

/* What goes before a body. NULL: no such header. */
struct head {
    unsigned status;
    const char *type, *cache, *etag;
    const char *name, *value; /* one more: "allow:" say */
    size_t length;
};

/* ---- writing ---- */

static bool add_header(struct lws *wsi, const char *name, const char *value, unsigned char **p,
                       unsigned char *end)
{
    return !value || lws_add_http_header_by_name(wsi, (const unsigned char *)name,
                                                 (const unsigned char *)value, (int)strlen(value),
                                                 p, end) == 0;
}

static bool send_head(const struct request *r, const struct head *h, bool close_after)
{
    unsigned char room[LWS_PRE + HEAD_MAX], *start = room + LWS_PRE, *p = start,
                                            *end = room + sizeof room;
    struct lws *wsi = r->wsi;
    if (lws_add_http_header_status(wsi, h->status | LWSAHH_FLAG_NO_SERVER_NAME, &p, end) != 0 ||
        !add_header(wsi, "content-type:", h->type, &p, end) ||
        !add_header(wsi, "cache-control:", h->cache, &p, end) ||
        !add_header(wsi, "etag:", h->etag, &p, end) ||
        !add_header(wsi, h->name, h->value, &p, end) ||
        !add_header(wsi, "connection:", close_after ? "close" : NULL, &p, end) ||
        lws_add_http_header_content_length(wsi, h->length, &p, end) != 0 ||
        lws_finalize_http_header(wsi, &p, end) != 0)
        return false;
    size_t n = (size_t)(p - start);
    return lws_write(wsi, start, n, LWS_WRITE_HTTP_HEADERS) == (int)n;
}

/* The end of an answer: -1 closes, after what is still on its way. */
static int finish(struct lws *wsi, bool close_after)
{
    return close_after || lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int give_fetched(struct web *w, struct lws *wsi, struct web_conn *c);
static int look_at(struct web *w, struct lws *wsi, struct web_conn *c);

int http_writeable(struct web *w, struct lws *wsi, struct web_conn *c)
{
    struct http_answer *a = &c->answer;
    if (c->answered)
        return look_at(w, wsi, c);
    if (!a->active)
        return a->wait ? give_fetched(w, wsi, c) : 0;
    unsigned char room[LWS_PRE + WEB_CHUNK];
    size_t n = a->rest.len < WEB_CHUNK ? a->rest.len : WEB_CHUNK;
    bool last = n == a->rest.len;
    memcpy(room + LWS_PRE, a->rest.ptr, n);
    if (lws_write(wsi, room + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) != (int)n)
        return -1;
    a->rest = sl_bytes(a->rest.ptr + n, a->rest.len - n);
    if (!last) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    bool close_after = a->close_after;
    http_drop(c);
    return finish(wsi, close_after);
}

void http_drop(struct web_conn *c)
{
    http_wait_drop(c);
    sl_buf_free(&c->answer.body);
    c->answer = (struct http_answer){ 0 };
}

/* Sends the head; the body follows as the socket takes it. It lies in c->answer.body or is static.
 */
static int answer(struct request *r, struct head h, struct sl_slice body)
{
    h.length = body.len;
    if (!send_head(r, &h, false))
        return -1;
    if (r->method == METHOD_HEAD || body.len == 0) {
        http_drop(r->c);
        return finish(r->wsi, false);
    }
    r->c->answer.rest = body;
    r->c->answer.active = true;
    lws_callback_on_writable(r->wsi);
    return 0;
}

/* Small, and at once: head and body. For upgrades whoever called lws' callback ends the
 * transaction. */
static int answer_now(struct request *r, struct head h, struct sl_buf *body)
{
    bool close_after = r->has_body || r->method == METHOD_OTHER;
    h.type = "application/json";
    h.cache = "no-store";
    h.length = body->len;
    r->w->stats.errors += h.status >= 500;
    if (r->c)
        http_drop(r->c);
    unsigned char room[LWS_PRE + WEB_ERROR_MAX];
    if (body->failed || body->len > WEB_ERROR_MAX || !send_head(r, &h, close_after))
        return -1;
    memcpy(room + LWS_PRE, body->ptr, body->len);
    if (r->method != METHOD_HEAD &&
        lws_write(r->wsi, room + LWS_PRE, body->len, LWS_WRITE_HTTP_FINAL) != (int)body->len)
        return -1;
    return r->c ? finish(r->wsi, close_after) : 1;
}

static int fail_with(struct request *r, struct head h, const char *text)
{
    struct sl_buf body = { .max = WEB_ERROR_MAX };
    sl_buf_put_str(&body, "{\"error\":");
    sl_buf_put_json(&body, sl_str(text));
    sl_buf_put_str(&body, "}");
    int rc = answer_now(r, h, &body);
    sl_buf_free(&body);
    return rc;
}

static int fail(struct request *r, unsigned status, const char *text)
{
    return fail_with(r, (struct head){ .status = status }, text);
}

/* ---- the request's own words ---- */

/* The value of ?name=; false when there is none. Cut values are refused by *ret_bad. */
static bool query_arg(struct lws *wsi, const char *name, char *ret, size_t size, bool *ret_bad)
{
    struct sl_slice prefix = sl_str(name);
    char text[ARG_MAX + 16];
    for (int i = 0; lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) > 0; i++) {
        int n = lws_hdr_copy_fragment(wsi, text, sizeof text, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0 || !sl_slice_starts(sl_bytes(text, (size_t)n), prefix))
            continue;
        size_t len = (size_t)n - prefix.len;
        *ret_bad |= len >= size;
        (void)snprintf(ret, size, "%.*s", (int)len, text + prefix.len);
        return true;
    }
    return false;
}

static bool query_number(struct lws *wsi, const char *name, uint64_t otherwise, uint64_t max,
                         uint64_t *ret)
{
    char text[24];
    bool bad = false;
    *ret = otherwise;
    if (!query_arg(wsi, name, text, sizeof text, &bad))
        return true;
    return !bad && sl_u64_parse(sl_str(text), ret) && *ret <= max;
}

/* ---- what there is ---- */

static int send_body(struct request *r, const char *type)
{
    struct sl_buf *body = &r->c->answer.body;
    if (body->failed)
        return fail(r, 503, "the answer does not fit into memory");
    return answer(r, (struct head){ .status = 200, .type = type, .cache = "no-store" },
                  sl_buf_slice(body));
}

static struct sl_buf *new_body(struct request *r)
{
    http_drop(r->c);
    r->c->answer.body.max = WEB_BODY_MAX;
    return &r->c->answer.body;
}

static int give_status(struct request *r)
{
    const struct web_view *v = &r->w->options.view;
    if (!v->status)
        return fail(r, 404, "there is no status here");
    v->status(v->ctx, new_body(r));
    return send_body(r, "application/json");
}

static int give_metrics(struct request *r)
{
    const struct web_view *v = &r->w->options.view;
    if (!v->metrics)
        return fail(r, 404, "there are no metrics here");
    v->metrics(v->ctx, new_body(r));
    return send_body(r, "text/plain; version=0.0.4; charset=utf-8");
}

static int give_history(struct request *r)
{
    const struct web_view *v = &r->w->options.view;
    char series[64];
    bool bad = false;
    uint64_t since;
    if (!query_arg(r->wsi, "series=", series, sizeof series, &bad) || bad)
        return fail(r, 400, "name a series: /api/v1/history?series=in");
    if (!query_number(r->wsi, "since=", 0, INT64_MAX, &since))
        return fail(r, 400, "since is a time in milliseconds since 1970");
    if (!v->history || !v->history(v->ctx, sl_str(series), (int64_t)since, new_body(r)))
        return fail(r, 404, "no such series");
    return send_body(r, "application/json");
}

static int give_list(struct request *r)
{
    const struct web_view *v = &r->w->options.view;
    const char *name = strrchr(r->path, '/') + 1;
    char after[ARG_MAX] = "";
    bool bad = false;
    uint64_t limit;
    if (!query_number(r->wsi, "limit=", LIST_DEFAULT, LIST_MAX, &limit) || limit == 0)
        return fail(r, 400, "limit is a number from 1 to 1000");
    (void)query_arg(r->wsi, "after=", after, sizeof after, &bad); /* absent: from the start */
    if (bad)
        return fail(r, 400, "after is too long");
    if (!v->list || !v->list(v->ctx, name, sl_str(after), (unsigned)limit, new_body(r)))
        return fail(r, 404, "there is no such list");
    return send_body(r, "application/json");
}

static bool query_flag(struct lws *wsi, const char *name, bool *ret)
{
    char text[8];
    bool bad = false;
    *ret = false;
    if (!query_arg(wsi, name, text, sizeof text, &bad))
        return true;
    *ret = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    return !bad && (*ret || strcmp(text, "false") == 0 || strcmp(text, "0") == 0);
}

static int give_queue(struct request *r)
{
    char after[ARG_MAX] = "", lane[32] = "";
    bool bad = false;
    uint64_t limit;
    struct web_queue_ask ask = { 0 };
    struct sl_err err;
    if (!query_number(r->wsi, "limit=", LIST_DEFAULT, LIST_MAX, &limit) || limit == 0)
        return fail(r, 400, "limit is a number from 1 to 1000");
    (void)query_arg(r->wsi, "after=", after, sizeof after, &bad); /* absent: from the start */
    (void)query_arg(r->wsi, "lane=", lane, sizeof lane, &bad);    /* absent: all */
    if (bad)
        return fail(r, 400, "after or lane is too long");
    if (!query_flag(r->wsi, "dead=", &ask.dead))
        return fail(r, 400, "dead is true or false");
    if (!r->w->options.view.queue)
        return fail(r, 404, "there is no queue here");
    ask.after = sl_str(after);
    ask.lane = sl_str(lane);
    ask.limit = (unsigned)limit;
    http_drop(r->c);
    enum sl_code rc = http_wait_begin(r->w, r->wsi, r->c, &ask, r->method == METHOD_HEAD, &err);
    return rc == SL_OK ? 0 : fail(r, rc == SL_INVALID ? 400 : 503, err.text);
}

static int give_fetched(struct web *w, struct lws *wsi, struct web_conn *c)
{
    struct request r = { .w = w, .wsi = wsi, .c = c, .method = METHOD_GET };
    char error[WEB_ERROR_MAX / 2] = "";
    bool head;
    if (!http_wait_over(c, &head, error, sizeof error))
        return 0;
    if (head)
        r.method = METHOD_HEAD;
    return error[0] ? fail(&r, 503, error) : send_body(&r, "application/json");
}

/* 200, or 503 with the reasons: {"error":"not ready","reasons":[...]}. */
static int give_check(struct request *r, bool (*check)(void *ctx, struct sl_buf *reasons),
                      const char *good, const char *bad)
{
    struct sl_buf reasons = { .max = WEB_ERROR_MAX - 64 }, body = { .max = WEB_ERROR_MAX };
    bool ok = !check || check(r->w->options.view.ctx, &reasons);
    const char *why = reasons.failed || reasons.len == 0 ? "[]" : sl_buf_cstr(&reasons);
    bool alarms = ok && strcmp(why, "[]") != 0;
    if (ok)
        sl_buf_printf(&body, "{\"status\":\"%s\"%s%s}", good, alarms ? ",\"alarms\":" : "",
                      alarms ? why : "");
    else
        sl_buf_printf(&body, "{\"error\":\"%s\",\"reasons\":%s}", bad, why);
    int rc = answer_now(r, (struct head){ .status = ok ? 200 : 503 }, &body);
    sl_buf_free(&reasons);
    sl_buf_free(&body);
    return rc;
}

static int give_health(struct request *r)
{
    return give_check(r, r->w->options.view.healthy, "healthy", "not healthy");
}

static int give_ready(struct request *r)
{
    return give_check(r, r->w->options.view.ready, "ready", "not ready");
}

static int give_live(struct request *r)
{
    return fail_with(r, (struct head){ .status = 426, .name = "upgrade:", .value = "websocket" },
                     "this is a WebSocket");
}

static int give_asset(struct request *r, const struct web_asset *a)
{
    char known[128];
    int n = lws_hdr_copy(r->wsi, known, sizeof known, WSI_TOKEN_HTTP_IF_NONE_MATCH);
    struct head h = { .type = a->type, .cache = "no-cache", .etag = a->etag };
    bool same = n > 0 && input_etag_match(sl_bytes(known, (size_t)n), sl_str(a->etag));
    h.status = same ? 304 : 200;
    return answer(r, h, same ? sl_str("") : sl_bytes(a->ptr, a->len));
}

static const struct route {
    const char *path;
    int (*give)(struct request *r);
    bool open; /* to everyone, whatever web.anonymous says */
} routes[] = {
    { "/healthz", give_health, true },          { "/readyz", give_ready, true },
    { "/metrics", give_metrics, false },        { "/api/v1/status", give_status, false },
    { "/api/v1/clients", give_list, false },    { "/api/v1/rules", give_list, false },
    { "/api/v1/queue", give_queue, false },     { "/api/v1/events", give_list, false },
    { "/api/v1/history", give_history, false }, { "/api/v1/live", give_live, false },
};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(routes); i++)
        if (strcmp(routes[i].path, path) == 0)
            return &routes[i];
    return NULL;
}

static const struct web_asset *find_asset(const char *path)
{
    const char *name = strcmp(path, "/index.html") == 0 ? "/" : path;
    for (size_t i = 0; i < web_assets_count; i++)
        if (strcmp(web_assets[i].path, name) == 0)
            return &web_assets[i];
    return NULL;
}

/* ---- who asks ---- */

static int64_t monotonic_ms(const struct web *w)
{
    return (int64_t)uv_now(w->options.loop);
}

/* A password that was right is known now. */
static bool was_refused(struct web_conn *c, enum auth_verdict *ret_verdict, struct auth_viewer *ret)
{
    bool answered = c && c->answered;
    if (answered)
        c->answered = false;
    if (!answered || c->result == WEB_LOGIN_RIGHT)
        return false;
    *ret_verdict = c->result == WEB_LOGIN_WRONG ? AUTH_WRONG : AUTH_LATER;
    *ret = (struct auth_viewer){ .wait_ms = AUTH_BUSY_MS };
    return true;
}

/* Only with a connection can it be AUTH_ASKED. */
static enum auth_verdict identify(struct web *w, struct lws *wsi, struct web_conn *c,
                                  struct auth_viewer *ret)
{
    enum auth_verdict verdict;
    if (was_refused(c, &verdict, ret))
        return verdict;
    char header[INPUT_BASIC_MAX + 1], peer[AUTH_PEER_TEXT_MAX] = "";
    int n = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    *ret = (struct auth_viewer){ 0 };
    if (n > 0 && lws_hdr_copy(wsi, header, sizeof header, WSI_TOKEN_HTTP_AUTHORIZATION) != n)
        return AUTH_WRONG; /* longer than any name and password we take */
    (void)lws_get_peer_simple(wsi, peer, sizeof peer); /* unknown ones share a slot */
    struct sl_slice text = sl_bytes(header, n > 0 ? (size_t)n : 0);
    return c ? auth_check(&w->auth, text, peer, monotonic_ms(w), ret)
             : auth_check_now(&w->auth, text, peer, monotonic_ms(w), ret);
}

static int refuse_viewer(struct request *r, enum auth_verdict verdict)
{
    r->w->stats.rejected++;
    if (verdict == AUTH_LATER) {
        char seconds[24];
        (void)snprintf(seconds, sizeof seconds, "%lld",
                       (long long)(r->viewer.wait_ms + 999) / 1000);
        return fail_with(r,
                         (struct head){ .status = 429, .name = "retry-after:", .value = seconds },
                         "too many failed log-ins; wait a little");
    }
    return fail_with(r,
                     (struct head){ .status = 401,
                                    .name = "www-authenticate:",
                                    .value = "Basic realm=\"Sluice\", charset=\"UTF-8\"" },
                     verdict == AUTH_WRONG ? "wrong user name or password" : "log in to see this");
}

/* ---- a request, from its first line to its answer ---- */

static void read_request(struct request *r)
{
    int path = -1;
    r->method = METHOD_OTHER;
    if ((path = lws_hdr_copy(r->wsi, r->path, sizeof r->path, WSI_TOKEN_GET_URI)) != 0)
        r->method = METHOD_GET;
    else if ((path = lws_hdr_copy(r->wsi, r->path, sizeof r->path, WSI_TOKEN_HEAD_URI)) != 0)
        r->method = METHOD_HEAD;
    else if ((path = lws_hdr_copy(r->wsi, r->path, sizeof r->path, WSI_TOKEN_POST_URI)) == 0)
        path = -1; /* another method: what it asks for does not matter */
    if (path < 0)
        r->path[0] = '\0'; /* longer than anything we have */
    char length[4] = "";
    int n = lws_hdr_copy(r->wsi, length, sizeof length, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    r->has_body = n < 0 || (n > 0 && strcmp(length, "0") != 0) ||
                  lws_hdr_total_length(r->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
}

static int serve(struct request *r)
{
    const struct route *route = find_route(r->path);
    const struct web_asset *asset = route ? NULL : find_asset(r->path);
    if (!route || !route->open) {
        enum auth_verdict verdict = identify(r->w, r->wsi, r->c, &r->viewer);
        if (verdict == AUTH_ASKED)
            return http_wait_for_login(r->w, r->wsi, r->c, r->viewer.asked);
        if (verdict != AUTH_OK)
            return refuse_viewer(r, verdict);
    }
    if (r->method == METHOD_OTHER && (route || asset || r->path[0] == '\0'))
        return fail_with(r, (struct head){ .status = 405, .name = "allow:", .value = "GET, HEAD" },
                         "only GET and HEAD are served here");
    if (!route && !asset)
        return fail(r, 404, "there is nothing here");
    if (r->has_body)
        return fail(r, 400, "a request to read something takes no body");
    return asset ? give_asset(r, asset) : route->give(r);
}

static int look_at(struct web *w, struct lws *wsi, struct web_conn *c)
{
    struct request r = { .w = w, .wsi = wsi, .c = c };
    http_drop(c);
    read_request(&r);
    return serve(&r);
}

int http_request(struct web *w, struct lws *wsi, struct web_conn *c)
{
    w->stats.requests++;
    http_gone(w, c); /* whatever was before it */
    return look_at(w, wsi, c);
}

/* ---- upgrades ---- */

static bool origin_fits(struct lws *wsi)
{
    char origin[300], host[300];
    int n = lws_hdr_copy(wsi, origin, sizeof origin, WSI_TOKEN_ORIGIN);
    int m = lws_hdr_copy(wsi, host, sizeof host, WSI_TOKEN_HOST);
    if (n == 0)
        return true; /* no browser: they all send it */
    return n > 0 && m > 0 &&
           input_same_origin(sl_bytes(origin, (size_t)n), sl_bytes(host, (size_t)m));
}

int http_upgrade(struct web *w, struct lws *wsi, struct sl_slice protocol)
{
    struct request r = { .w = w, .wsi = wsi };
    w->stats.requests++;
    if (!sl_slice_eq(protocol, sl_str("websocket")))
        return -1; /* h2c */
    read_request(&r);
    if (r.method != METHOD_GET || r.has_body)
        return -1;
    enum auth_verdict verdict = identify(w, wsi, NULL, &r.viewer);
    if (verdict != AUTH_OK)
        return refuse_viewer(&r, verdict);
    if (strcmp(r.path, "/api/v1/live") != 0)
        return fail(&r, 404, "there is no WebSocket here");
    if (!origin_fits(wsi)) {
        w->stats.rejected++;
        return fail(&r, 403, "this page may not read from another site");
    }
    if (w->live.count >= LIVE_CLIENTS_MAX) {
        w->stats.rejected++;
        return fail(&r, 503, "too many live viewers; the status is at /api/v1/status as well");
    }
    return 0;
}

bool http_upgrade_viewer(struct web *w, struct lws *wsi, struct web_conn *c)
{
    return identify(w, wsi, NULL, &c->viewer) == AUTH_OK;
}
