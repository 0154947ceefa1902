/* transport_private.h - links: clients over somebody else's connections. The owner's side is in transport.h. */
#ifndef BROKER_TRANSPORT_PRIVATE_H
#define BROKER_TRANSPORT_PRIVATE_H

#include <stdbool.h>
#include <uv.h>

struct broker;

typedef void link_accepted_fn(void *ctx, int fd, const char *address);

/* Takes the connection that waits on a TCP server and hands it over as a socket of its own. False
 * when it could not even be taken: it waits on. */
bool link_accept(struct broker *b, uv_stream_t *server, link_accepted_fn *accepted, void *ctx);
/* Once a second: those that close, and those whose peer takes nothing. */
void links_tick(struct broker *b);
bool links_left(const struct broker *b);
/* Close all of them, whatever they have still to say. */
void links_abort(struct broker *b);
/* The end of a turn: what went during it. */
void links_bury(struct broker *b);

#endif
