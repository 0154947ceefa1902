/* gateway_web.c - what the web side may see and do: the view handed to it. */
#include "gateway.h"

#include "queue_page.h"
#include "watch.h"

#include "base/log.h"

#include <stdlib.h>

static void view_status(void *ctx, struct sl_buf *out)
{
    status_json(ctx, out);
}

static void view_metrics(void *ctx, struct sl_buf *out)
{
    metrics_text(ctx, out);
}

static bool view_list(void *ctx, const char *name, struct sl_slice after, unsigned limit,
                      struct sl_buf *out)
{
    return status_list(ctx, name, after, limit, out);
}

static enum sl_code view_queue(void *ctx, const struct web_queue_ask *ask, web_queue_fn *done,
                               void *done_ctx, struct sl_err *err)
{
    struct gateway *g = ctx;
    return queue_page(g->outbox, ask, done, done_ctx, err);
}

static bool view_history(void *ctx, struct sl_slice series, int64_t since_ms, struct sl_buf *out)
{
    struct gateway *g = ctx;
    return history_json(&g->history, series, since_ms, out);
}

static bool view_healthy(void *ctx, struct sl_buf *reasons)
{
    return status_healthy(ctx, reasons);
}

static bool view_ready(void *ctx, struct sl_buf *reasons)
{
    return status_ready(ctx, reasons);
}

static struct logins *logins_of(const struct gateway *g)
{
    return g->web_logins ? g->web_logins : g->logins;
}

static bool view_login(void *ctx, struct sl_slice user, struct sl_slice password)
{
    struct logins *l = logins_of(ctx);
    return l && logins_verify(l, user, password);
}

/* What waits for one answer, across the two modules' words for it. */
struct web_ask {
    web_login_fn *fn;
    void *ctx;
};

static void on_answer(void *ctx, enum logins_result result)
{
    static const enum web_login_result results[] = { [LOGINS_RIGHT] = WEB_LOGIN_RIGHT,
                                                     [LOGINS_WRONG] = WEB_LOGIN_WRONG,
                                                     [LOGINS_BUSY] = WEB_LOGIN_BUSY };
    struct web_ask ask = *(struct web_ask *)ctx;
    free(ctx);
    ask.fn(ask.ctx, results[result]);
}

static bool view_login_later(void *ctx, struct sl_slice user, struct sl_slice password,
                             struct sl_slice address, web_login_fn *fn, void *fn_ctx)
{
    struct logins *l = logins_of(ctx);
    struct web_ask *ask = l ? malloc(sizeof *ask) : NULL;
    if (!ask)
        return false;
    *ask = (struct web_ask){ fn, fn_ctx };
    if (logins_ask(l, address, user, password, on_answer, ask))
        return true;
    free(ask);
    return false;
}

static void *view_watch(void *ctx, struct sl_slice user, struct sl_slice filter, web_tap_fn *fn,
                        void *fn_ctx)
{
    struct gateway *g = ctx;
    return watch_open(g->broker, &g->watches, user, filter, fn, fn_ctx);
}

static void view_unwatch(void *ctx, void *watch)
{
    (void)ctx;
    watch_close(watch);
}

enum sl_code gateway_open_web(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    if (!c->web.present)
        return SL_OK;
    if (c->web.users_file) {
        enum sl_code rc =
            logins_open(&g->web_logins, &g->loop, g->clock, &g->throttle, c->web.users_file, err);
        if (rc != SL_OK)
            return rc;
    }
    struct web_options o = {
        .loop = &g->loop,
        .bind = c->web.bind,
        .port = c->web.port,
        .anonymous = (enum web_anonymous)c->web.anonymous,
        .cert_path = c->web.tls_cert,
        .key_path = c->web.tls_key,
        .view = { .ctx = g,
                  .status = view_status,
                  .metrics = view_metrics,
                  .list = view_list,
                  .queue = view_queue,
                  .history = view_history,
                  .healthy = view_healthy,
                  .ready = view_ready,
                  .login = view_login,
                  .login_later = view_login_later,
                  .watch = view_watch,
                  .unwatch = view_unwatch },
    };
    enum sl_code rc = web_open(&g->web, &o, err);
    if (rc == SL_OK)
        LOG_INFO("web", "status page on %s://%s:%u", c->web.tls_cert ? "https" : "http",
                 c->web.bind, web_port(g->web));
    return rc;
}
