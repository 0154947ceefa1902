/* http_login.c - requests that wait until their password has been checked, and are looked at again
 * then: a list of connections in struct web. */
#include "web_private.h"

#define CHECK_S_MAX 60 /* of a password */

/* On a busy machine it may take its time: an answer that comes late is better than none. */
int http_wait_for_login(struct web *w, struct lws *wsi, struct web_conn *c,
                        const struct auth_asked *asked)
{
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, CHECK_S_MAX);
    c->asked = asked;
    c->wsi = wsi;
    c->next_waiting = w->waiting;
    w->waiting = c;
    return 0;
}

void http_gone(struct web *w, struct web_conn *c)
{
    http_drop(c);
    for (struct web_conn **at = &w->waiting; *at; at = &(*at)->next_waiting)
        if (*at == c) {
            *at = c->next_waiting;
            break;
        }
    c->asked = NULL;
    c->answered = false;
}

void http_answered(void *ctx, struct auth_asked *asked, enum web_login_result result)
{
    struct web *w = ctx;
    for (struct web_conn **at = &w->waiting; *at;) {
        struct web_conn *c = *at;
        if (c->asked != asked) {
            at = &c->next_waiting;
            continue;
        }
        *at = c->next_waiting;
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_HTTP_CONTENT, WEB_REQUEST_S_MAX);
        c->asked = NULL;
        c->answered = true;
        c->result = result;
        lws_callback_on_writable(c->wsi);
    }
    auth_answer(&w->auth, asked, result, (int64_t)uv_now(w->options.loop));
}
