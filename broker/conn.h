/* conn.h - connections that a listener accepts: sockets, and TLS over them. */
#ifndef BROKER_CONN_H
#define BROKER_CONN_H

#include <stdbool.h>
#include <uv.h>

struct broker;
struct tls_context;

enum { CONN_ADDRESS_SIZE = 64 };

struct conn_options {
    bool is_pipe;
    bool username_from_cert;
    struct tls_context *tls; /* NULL for plain */
};

/* Takes the connection that waits on server; one the broker has no room for is closed at once.
 * False when it could not even be taken: it waits on. */
bool conn_accept(struct broker *b, uv_stream_t *server, const struct conn_options *options);
/* For every TCP connection: no delay, and the system's own search for vanished peers. */
void conn_tune(uv_tcp_t *tcp);
/* "192.0.2.1:40000", "[2001:db8::1]:40000"; "?" when it is not known. */
void conn_peer_address(const uv_tcp_t *tcp, char ret[CONN_ADDRESS_SIZE]);
/* Once a second: those that close, and those whose peer takes nothing. */
void conns_tick(struct broker *b);
/* Close all of them, whatever they have still to say. */
void conns_abort(struct broker *b);

#endif
