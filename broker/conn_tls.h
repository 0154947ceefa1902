/* conn_tls.h - the TLS of one connection, and what all handshakes together may cost. No sockets. */
#ifndef BROKER_CONN_TLS_H
#define BROKER_CONN_TLS_H

#include "base/tls.h"

struct broker;

/* Handshakes are the dearest thing that a stranger can ask for: milliseconds each. Once they have
 * had this much of a loop turn, those that still wait do so until everybody else has been served:
 * their bytes stay in the socket. A turn is longer by this and one handshake's step at most. */
#define TLS_SHAKES_NS_PER_TURN INT64_C(10000000)

/* Failures are told one by one, but not more of them than this in TLS_SHAKES_TOLD_MS; then only how
 * many there were. */
enum { TLS_SHAKES_TOLD_MAX = 20, TLS_SHAKES_TOLD_MS = 10000 };

struct tls_shakes {
    int64_t spent_ns; /* in this turn */
    int64_t told_since_ms;
    uint32_t told;
    uint64_t untold;
};

/* A session costs 40 kB, so there is none before the client's first bytes. */
struct conn_tls {
    struct tls_context *context; /* one reference, until then */
    struct tls_session *session; /* from then on */
    struct sl_buf wire;          /* encrypted bytes to send */
    bool done;                   /* the handshake has been counted */
};

struct conn_tls *conn_tls_new(struct tls_context *context); /* NULL: out of memory */
/* The connection is gone. A handshake that nobody finished is counted; t may be NULL. */
void conn_tls_end(struct broker *b, struct conn_tls *t, const char *from);
bool conn_tls_established(const struct conn_tls *t);
/* A handshake that is not to be read in this turn any more. */
bool conn_tls_must_wait(const struct conn_tls *t, const struct tls_shakes *shakes);
/* As tls_session_feed(), output to wire. What is wrong is counted and told; from is the peer. */
enum sl_code conn_tls_feed(struct broker *b, struct conn_tls *t, struct sl_slice bytes,
                           struct sl_buf *plain_out, const char *from);
/* The peer has ended the connection under it; t may be NULL. */
void conn_tls_cut(struct broker *b, struct conn_tls *t, const char *from);
/* One line about a peer's TLS, if there have not been too many. */
void conn_tls_tell(struct broker *b, const char *from, const char *text);
/* Once a second: lines that were held back. */
void tls_shakes_tick(struct broker *b, int64_t now_ms);

#endif
