/* listener.h - listening sockets and the connections they accept: TCP, Unix sockets, TLS. The only
 * file of broker/ with sockets. */
#ifndef BROKER_LISTENER_H
#define BROKER_LISTENER_H

struct broker;

/* Once a second: connections that linger, the rate of new connections. */
void listeners_tick(struct broker *b);
/* Close what only waits for its peer to read its last bytes. */
void listeners_abort_lingering(struct broker *b);

#endif
