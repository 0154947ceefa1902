/* web_private.h - what the files of this folder share. The rooms:
 *   web.c     the libwebsockets context, its life, and which file a callback belongs to
 *   listen.c  the listening socket and how many connections there may be
 *   http.c    requests and answers
 *   http_login.c  requests whose password is being checked
 *   http_queue.c  an answer that has to be fetched
 *   live.c    the live WebSocket
 *   auth.c, inputs.c  no I/O
 * libwebsockets objects are called wsi after its own habit. */
#ifndef WEB_WEB_PRIVATE_H
#define WEB_WEB_PRIVATE_H

#include "web/web.h"

#include "auth.h"

#include <libwebsockets.h>

#define WEB_CONNECTIONS_MAX 96
#define WEB_REQUEST_S_MAX   10                        /* to send a request, to take an answer in */
#define WEB_BODY_MAX        ((size_t)8 * 1024 * 1024) /* of one answer */
#define WEB_CHUNK           ((size_t)16 * 1024)       /* bytes handed to the socket at once */
#define WEB_ERROR_MAX       1024                      /* text of one error */

struct live_client; /* live.c */

/* Output bytes with the headroom that lws_write() wants in front; shared by reference count. */
struct web_text {
    unsigned refs;
    size_t len;
    unsigned char room[LWS_PRE + 1]; /* the bytes follow room's LWS_PRE */
};

struct http_wait; /* http_queue.c */

/* An answer on its way out. */
struct http_answer {
    struct sl_buf body; /* what `rest` points into, unless that is an asset */
    struct sl_slice rest;
    struct http_wait *wait; /* for a body that is being fetched; NULL for none */
    bool active, close_after;
};

/* lws keeps one per connection, zeroed, from its first request (or upgrade) on. */
struct web_conn {
    struct http_answer answer;
    struct auth_viewer viewer; /* of an upgrade: who it is */
    struct live_client *live;
    /* While a request waits for its password to be checked, in web.waiting. */
    const struct auth_asked *asked;
    struct web_conn *next_waiting;
    struct lws *wsi;
    enum web_login_result result; /* of the check, for the request that is looked at again: */
    bool answered;
};

struct live {
    struct live_client *first;
    uint32_t count;
    uv_timer_t tick; /* runs while there are clients */
    struct sl_buf scratch;
};

struct web {
    struct web_options options; /* bind, cert_path and key_path are dead after web_open() */
    struct auth auth;
    struct web_conn *waiting; /* requests whose password is being checked */
    struct lws_context *lws;  /* lws sets it to NULL when it has let go of everything */
    struct lws_vhost *vhost;
    int listen_fd;
    uint16_t port;
    uv_poll_t accept;
    uv_timer_t retry;  /* accepting again after descriptors were out */
    uv_timer_t reaper; /* while closing: waits for lws */
    unsigned holds;    /* handles that libuv still points into */
    unsigned connections;
    bool closing, paused, tls;
    struct live live;
    struct web_stats stats;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* web.c */
void web_hold(struct web *w, void *handle); /* a handle was made: its data becomes w */
void web_unhold(uv_handle_t *handle);       /* its close callback */

/* listen.c: opens the socket, fills listen_fd and port, then accepts. */
SL_NODISCARD enum sl_code listen_open(struct web *w, struct sl_err *err);
SL_NODISCARD enum sl_code listen_start(struct web *w, struct sl_err *err); /* makes both handles */
void listen_connection_gone(struct web *w);
void listen_close(struct web *w); /* half-open too */

/* http.c: each returns what the lws callback has to. */
int http_request(struct web *w, struct lws *wsi, struct web_conn *c);
int http_writeable(struct web *w, struct lws *wsi, struct web_conn *c);
void http_drop(struct web_conn *c); /* any number of times */
/* http_login.c: the request waits for the check of its password. Returns 0. */
int http_wait_for_login(struct web *w, struct lws *wsi, struct web_conn *c,
                        const struct auth_asked *asked);
void http_gone(struct web *w, struct web_conn *c); /* it waits for nothing; any number of times */
/* An auth_answered_fn: the requests that wait for it are looked at again. */
void http_answered(void *ctx, struct auth_asked *asked, enum web_login_result result);
/* An upgrade: 0 go on, 1 refused with an answer, -1 hang up. */
int http_upgrade(struct web *w, struct lws *wsi, struct sl_slice protocol);
/* The same viewer once more, when the connection has its web_conn. False: hang up. */
SL_NODISCARD bool http_upgrade_viewer(struct web *w, struct lws *wsi, struct web_conn *c);

/* http_queue.c: the one body that is not there at once. Between the request and
 * its bytes stands a wait, which outlives the connection when that goes first.
 */
SL_NODISCARD enum sl_code http_wait_begin(struct web *w, struct lws *wsi, struct web_conn *c,
                                          const struct web_queue_ask *ask, bool head,
                                          struct sl_err *err);
/* It has come: true, the wait is over, and *ret_error is set (up to size) or the body is c's. */
bool http_wait_over(struct web_conn *c, bool *ret_head, char *ret_error, size_t size);
void http_wait_drop(struct web_conn *c); /* nobody waits any more */

/* live.c */
#define LIVE_CLIENTS_MAX 32
SL_NODISCARD enum sl_code live_open(struct web *w, struct sl_err *err);
int live_established(struct web *w, struct lws *wsi, struct web_conn *c);
int live_received(struct web *w, struct lws *wsi, struct web_conn *c, struct sl_slice bytes);
int live_writeable(struct lws *wsi, struct web_conn *c);
void live_gone(struct web *w, struct web_conn *c); /* any number of times */
void live_close(struct web *w);                    /* unwatches everything, stops the timer */

#endif
