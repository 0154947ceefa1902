/* transport.h - clients over connections that are not the broker's own: MQTT over WebSocket, say.
 *
 * A broker_listener with `accepted` takes connections under all the rules of the others and hands
 * each on as a socket. Whoever owns it opens a link for it at once, so that connect_timeout and
 * max_connections hold for its handshakes, too; feeds the link the MQTT bytes that come, and
 * fetches the bytes to send when the connection can take them. Loop thread only.
 *
 * A link lives until broker_link_gone(), which is the owner's to call, once, whoever wanted the
 * end. No link function calls back but where it says so; the owner's functions are called while the
 * link lives, never from inside broker_link_output() and broker_link_gone(). */
#ifndef BROKER_TRANSPORT_H
#define BROKER_TRANSPORT_H

#include "broker/broker.h"

struct broker_link;

/* What the owner of the connection does for its link. None may call into the link at once. */
struct broker_link_ops {
    /* There is output, or an end to come to: call broker_link_output() when the connection can be
     * written. Called again and again until then. */
    void (*wake)(void *ctx);
    void (*read)(void *ctx, bool on); /* pause or resume reading */
    void (*abort)(void *ctx);         /* close soon, whatever there is still to say */
    /* Bytes that were fetched and have not left this machine, as far as that is known. */
    size_t (*unsent)(void *ctx);
};

/* address: the peer's, copied. NULL when the broker has no room: close the connection. The owner's
 * functions are called from broker_link_start() on. */
SL_NODISCARD struct broker_link *broker_link_open(struct broker *b,
                                                  const struct broker_link_ops *ops,
                                                  const char *address);
void broker_link_start(struct broker_link *l, void *ctx);
/* The connection's certificate was verified and has this name: the client's user name. */
void broker_link_set_user(struct broker_link *l, struct sl_slice name);
/* MQTT bytes from the peer. Those that come while reading is paused are kept. Calls read. */
void broker_link_receive(struct broker_link *l, struct sl_slice bytes);

enum broker_link_state {
    BROKER_LINK_IDLE, /* nothing to send until wake() */
    BROKER_LINK_MORE, /* there is more to send: fetch again when this is gone */
    BROKER_LINK_END,  /* that was all: close */
};
struct broker_link_piece {
    size_t len;
    bool last; /* with it the packet is whole */
};
/* Bytes that are left of the packet that is to be sent next; 0: there is none. */
size_t broker_link_next(struct broker_link *l);
/* Takes up to room bytes of output, of one MQTT packet at most. */
enum broker_link_state broker_link_output(struct broker_link *l, uint8_t *out, size_t room,
                                          struct broker_link_piece *ret);
/* The connection has ended; why, for the log, or NULL. The link is dead afterwards. */
void broker_link_gone(struct broker_link *l, const char *why);

#endif
