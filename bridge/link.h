/* link.h - one outgoing connection as a byte pipe: name look-up, TCP, TLS. The only file of the
 * bridge that owns sockets.
 *
 * Addresses are tried one after the other; TLS is used when a context is given. Events come from
 * the loop, never from inside a call. After `ended` the owner calls link_close(); after
 * link_close() no event but `closed` comes, and then the link is gone. */
#ifndef BRIDGE_LINK_H
#define BRIDGE_LINK_H

#include "base/buf.h"
#include "base/err.h"
#include "base/tls.h"

#include <uv.h>

enum link_end {
    LINK_END_DNS,    /* the name has no address */
    LINK_END_TCP,    /* no address could be connected to */
    LINK_END_TLS,    /* handshake or record failure */
    LINK_END_CLOSED, /* the peer ended it in order */
    LINK_END_LOST,   /* reset, timed out */
    LINK_END_MEMORY,
};

struct link_events {
    void *ctx;
    void (*resolved)(void *ctx);
    void (*connected)(void *ctx); /* TCP is up, TLS begins; not called without TLS */
    void (*open)(void *ctx);      /* bytes can be sent */
    void (*data)(void *ctx, struct sl_slice bytes);
    void (*written)(void *ctx); /* what link_send() was given is in the kernel's hands */
    void (*ended)(void *ctx, enum link_end why, const char *text);
};

struct link_options {
    uv_loop_t *loop;
    const char *host; /* copied */
    uint16_t port;
    struct tls_context *tls; /* NULL for plain TCP; the link takes its own reference */
    int64_t user_timeout_ms; /* sent bytes unacknowledged for this long: the connection is dead */
};

struct link;

/* Looks the name up; everything further comes as an event, from the loop. SL_IO, SL_NOMEM. */
SL_NODISCARD enum sl_code link_open(struct link **ret, const struct link_options *options,
                                    const struct link_events *events, struct sl_err *err);
/* One piece at a time: not again before `written`. The bytes are taken (copied or encrypted). */
SL_NODISCARD enum sl_code link_send(struct link *l, struct sl_slice bytes, struct sl_err *err);
/* Small packets are awaited: they need not be read before there are so many, or after 2 ms. Until
 * the next call. */
void link_gather(struct link *l, uint32_t packets);
/* Once. Says goodbye (close_notify) if that can be done without waiting; closed(ctx) comes from the
 * loop. A name look-up that the system's resolver does not give up is left to end by itself. */
void link_close(struct link *l, void (*closed)(void *ctx), void *ctx);
uint64_t link_bytes_in(const struct link *l);
uint64_t link_bytes_out(const struct link *l);

#endif
