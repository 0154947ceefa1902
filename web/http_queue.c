/* http_queue.c - the answer that has to be fetched: a page of what waits for the cloud, which
 * partly lies on the disk.
 *
 * A wait belongs to two: the connection that asked, and whoever fetches. It is freed when both have
 * let go; whoever fetches always does, with its one call. */
#include "web_private.h"

#include <stdio.h>
#include <stdlib.h>

struct http_wait {
    struct web_conn *c; /* NULL: nobody waits any more */
    struct lws *wsi;    /* valid while c is */
    bool fetched, head;
    char error[WEB_ERROR_MAX / 2]; /* "" for none */
};

static void on_fetched(void *ctx, struct sl_buf *json, const char *error)
{
    struct http_wait *h = ctx;
    if (!h->c) {
        free(h);
        return;
    }
    h->fetched = true;
    if (json) {
        h->c->answer.body = *json;
        *json = (struct sl_buf){ 0 };
    } else {
        (void)snprintf(h->error, sizeof h->error, "%s", error);
    }
    lws_callback_on_writable(h->wsi);
}

enum sl_code http_wait_begin(struct web *w, struct lws *wsi, struct web_conn *c,
                             const struct web_queue_ask *ask, bool head, struct sl_err *err)
{
    const struct web_view *v = &w->options.view;
    struct http_wait *h = calloc(1, sizeof *h);
    if (!h)
        return sl_fail(err, SL_NOMEM, "out of memory");
    *h = (struct http_wait){ .c = c, .wsi = wsi, .head = head };
    enum sl_code rc = v->queue(v->ctx, ask, on_fetched, h, err);
    if (rc == SL_OK)
        c->answer.wait = h;
    else
        free(h);
    return rc;
}

bool http_wait_over(struct web_conn *c, bool *ret_head, char *ret_error, size_t size)
{
    struct http_wait *h = c->answer.wait;
    if (!h->fetched)
        return false;
    *ret_head = h->head;
    (void)snprintf(ret_error, size, "%s", h->error);
    http_wait_drop(c);
    return true;
}

void http_wait_drop(struct web_conn *c)
{
    struct http_wait *h = c->answer.wait;
    c->answer.wait = NULL;
    if (!h)
        return;
    h->c = NULL;
    if (h->fetched)
        free(h);
}
