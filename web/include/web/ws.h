/* ws.h - WebSocket connections that carry somebody's bytes: MQTT over WebSocket (MQTT 5.0, chapter
 * 6).
 *
 * Knows no MQTT but the names of its sub-protocols, and accepts no connections: sockets are given
 * in with ws_adopt(), and what comes in their binary frames, in whatever pieces, is handed to their
 * peer. Output is fetched from the peer when the socket can take it, so none is kept here. Loop
 * thread only. */
#ifndef WEB_WS_H
#define WEB_WS_H

#include "base/err.h"
#include "base/slice.h"
#include "base/tls.h"

#include <uv.h>

struct ws;      /* all of it */
struct ws_site; /* what one listener says: path and TLS */
struct ws_conn;

enum ws_next {
    WS_IDLE, /* nothing until ws_wake() */
    WS_MORE, /* ask again */
    WS_END,  /* that was all: close */
};

struct ws_piece {
    size_t len;
    bool last; /* of a message, which becomes one in WebSocket's sense, too */
};

/* What a connection does for its peer. None of them may end the connection at once. */
struct ws_callbacks {
    /* The client's certificate has this common name; comes before anything is received. */
    void (*named)(void *peer, struct sl_slice name);
    void (*received)(void *peer, struct sl_slice bytes);
    size_t (*next_size)(void *peer); /* bytes left of the next message; 0: there is none */
    enum ws_next (*output)(void *peer, uint8_t *out, size_t room, struct ws_piece *ret);
    /* The last word, once; the peer is not asked again. why: for the log, or NULL. */
    void (*gone)(void *peer, const char *why);
};

/* callbacks must outlive it. */
SL_NODISCARD enum sl_code ws_open(struct ws **ret, uv_loop_t *loop, uint32_t connections_max,
                                  const struct ws_callbacks *callbacks, struct sl_err *err);
/* Closes all that is left; closed() comes from the loop when nothing of ours is on it any more.
 * Accepts NULL (then closed() never comes). */
void ws_close(struct ws *w, void (*closed)(void *ctx), void *ctx);

struct ws_site_options {
    const char *name; /* for errors */
    const char *path; /* "/mqtt"; what else is asked for does not exist */
    bool tls;         /* the rest is for TLS only */
    const char *cert_path, *key_path, *ca_path, *crl_path;
    enum tls_client_cert client_cert;
    int min_version; /* 12 or 13 */
    bool username_from_cert;
};
/* Strings are borrowed during the call. */
SL_NODISCARD enum sl_code ws_site_open(struct ws_site **ret, struct ws *w,
                                       const struct ws_site_options *options, struct sl_err *err);
/* No new connections; those there are stay. Accepts NULL. Not after ws_close(). */
void ws_site_close(struct ws_site *s);

/* fd is ours from here on, also when this fails: then it is closed, and peer hears nothing. */
SL_NODISCARD struct ws_conn *ws_adopt(struct ws_site *s, int fd, void *peer);
/* These until gone() was called. */
void ws_wake(struct ws_conn *c); /* there is output, or an end */
void ws_read(struct ws_conn *c, bool on);
void ws_abort(struct ws_conn *c);          /* gone() follows from the loop */
size_t ws_unsent(const struct ws_conn *c); /* bytes fetched that this machine still has */

#endif
