/* explain.h - a failure of the cloud link in words: a short, stable cause, and a sentence that says
 * what happened and what to do. Pure. */
#ifndef BRIDGE_EXPLAIN_H
#define BRIDGE_EXPLAIN_H

#include "bridge/bridge.h"
#include "client.h"
#include "link.h"

/* Whom we talk to, for the texts. */
struct explain_peer {
    const char *host, *client_id;
    uint16_t port;
    int64_t connect_timeout_ms;
    bool aws;
};

struct explanation {
    char cause[64];
    char error[384];
};

/* The client core failed. */
void explain_fault(struct explanation *ret, const struct explain_peer *peer,
                   const struct client_fault *fault);
/* The byte pipe ended, in that state. */
void explain_end(struct explanation *ret, const struct explain_peer *peer, enum bridge_state state,
                 enum link_end why, const char *text);
/* The connection was not made within its time; state tells how far it came. */
void explain_timeout(struct explanation *ret, const struct explain_peer *peer,
                     enum bridge_state state);
/* The certificate files could not be used, or the connection could not be begun. */
void explain_start(struct explanation *ret, const struct explain_peer *peer,
                   const struct sl_err *err, bool files);
/* The server ended so many connections in a row right after they came up. */
void explain_kicks(struct explanation *ret, const struct explain_peer *peer, unsigned count);
/* TLS failed, and this machine's clock was never set; what was said before is kept behind it. */
void explain_clock(struct explanation *ret, int64_t wall_ms);
/* Connected, but nothing new can be sent. */
void explain_stall(struct explanation *ret, enum client_stall why);
void explain_subscription(struct explanation *ret, const struct explain_peer *peer,
                          const char *filter, uint8_t reason);

#endif
