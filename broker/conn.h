/* conn.h - connections that a listener accepts: sockets, and TLS over them. */
#ifndef BROKER_CONN_H
#define BROKER_CONN_H

#include <stdbool.h>
#include <uv.h>

struct broker;
struct tls_context;

struct conn_options {
    bool is_pipe;
    bool username_from_cert;
    struct tls_context *tls; /* NULL for plain */
};

/* Takes the connection that waits on server; one the broker has no room for is closed at once.
 * False when it could not even be taken: it waits on. */
bool conn_accept(struct broker *b, uv_stream_t *server, const struct conn_options *options);
/* Once a second: those that close, and those whose peer takes nothing. */
void conns_tick(struct broker *b);
/* Close all of them, whatever they have still to say. */
void conns_abort(struct broker *b);

#endif
