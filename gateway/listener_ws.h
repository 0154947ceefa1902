/* listener_ws.h - MQTT over WebSocket: what the broker accepts goes to the web side, and its bytes
 * come back. Neither knows the other. */
#ifndef GATEWAY_LISTENER_WS_H
#define GATEWAY_LISTENER_WS_H

#include "broker/broker.h"
#include "web/ws.h"

/* For ws_open(): peers are the broker's links. */
extern const struct ws_callbacks listener_ws_callbacks;

/* What a listener's connections become; must outlive the listener. */
struct listener_ws {
    struct broker *broker;
    struct ws_site *site; /* for new connections from now on */
};
/* For broker_listener_options; ctx: a struct listener_ws. */
void listener_ws_accepted(void *ctx, int fd, const char *address);

#endif
