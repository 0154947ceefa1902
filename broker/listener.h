/* listener.h - listening sockets: TCP and Unix. With conn.c the only files of broker/ with sockets.
 */
#ifndef BROKER_LISTENER_H
#define BROKER_LISTENER_H

struct broker;

/* Once a second: the rate of new connections. */
void listeners_tick(struct broker *b);

#endif
