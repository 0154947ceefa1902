/* ws_private.h - what ws.c, ws_conn.c and ws_tls.c share. */
#ifndef WEB_WS_PRIVATE_H
#define WEB_WS_PRIVATE_H

#include "web/ws.h"

#include <libwebsockets.h>

#define WS_NAME_MAX 256 /* bytes of a user name out of a certificate */

struct ws {
    uv_loop_t *loop;
    const struct ws_callbacks *callbacks;
    struct lws_context *lws; /* lws sets it to NULL when it has let go of everything */
    struct ws_site *sites;   /* all that are not destroyed */
    struct ws_conn *doomed;  /* to be closed from the loop */
    uv_timer_t reaper;       /* does that, destroys closed sites; while closing, waits for lws */
    uint32_t conns;
    unsigned serial; /* for vhosts' names */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    unsigned char *chunk; /* of all connections: lws copies what it cannot send */
    size_t chunk_size;    /* behind LWS_PRE */
};

struct ws_site {
    struct ws *ws;
    struct ws_site *next;
    struct lws_vhost *vhost;
    const struct ws_site_options *setup; /* while it is being opened */
    char *path;
    uint32_t conns;
    bool username_from_cert, closed, tls_ready;
};

struct ws_conn {
    struct lws *wsi;
    struct ws_site *site;
    void *peer; /* NULL: it was told that this has ended */
    struct ws_conn *next_doomed;
    bool established, inside, ending, doomed; /* inside: a message that is sent in part */
};

/* ws_conn.c. In the order of preference of a client that has none; ends with one without a name. */
extern const struct lws_protocols ws_protocols[];

/* ws.c: closes what is doomed and destroys what is closed, from the loop. */
void ws_reap_soon(struct ws *w);

/* ws_tls.c: OpenSSL, which is what Debian's libwebsockets speaks TLS with. */

/* Reads the files as base/tls.h does, for the sake of its error texts. */
SL_NODISCARD enum sl_code ws_tls_check(const struct ws_site_options *o, struct sl_err *err);
/* Everything that lws has no option for, or another idea of. ssl_ctx: lws' own. */
SL_NODISCARD bool ws_tls_setup(void *ssl_ctx, const struct ws_site_options *o);
/* The verified certificate's common name; empty when there is none. */
struct sl_slice ws_tls_peer_name(struct lws *wsi, char buf[WS_NAME_MAX]);

#endif
