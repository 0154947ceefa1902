/* wire.h - a client of the broker over a real socket, for tests: plain or TLS. Waiting for
 * something turns the broker's loop; nothing here waits longer than WIRE_WAIT_MS. */
#ifndef TESTS_BROKER_WIRE_H
#define TESTS_BROKER_WIRE_H

#include "peer.h"

#include "base/tls.h"

enum { WIRE_WAIT_MS = 10000 };

struct wire {
    struct rig *rig;
    int fd;
    struct tls_session *tls;
    struct sl_buf in, out; /* decrypted and not looked at; encrypted and not sent */
    bool eof;              /* the broker closed, or reset */
    bool tls_failed;
};

/* receive_buffer: SO_RCVBUF, 0 for the system's. They assert that connecting succeeds. */
void wire_tcp(struct wire *w, struct rig *r, uint16_t port, int receive_buffer);
void wire_unix(struct wire *w, struct rig *r, const char *path);
/* Lets TLS begin on a connected socket, and turns until it is established or has failed. */
void wire_tls(struct wire *w, struct tls_context *c);
void wire_close(struct wire *w);

/* All of it, unless the broker closes. */
void wire_send(struct wire *w, const struct sl_buf *bytes);
void wire_connect(struct wire *w, enum mqtt_version v, const char *id); /* and reads CONNACK */
void wire_subscribe(struct wire *w, enum mqtt_version v, const char *filter,
                    uint8_t qos);                                                /* and SUBACK */
void wire_publish(struct wire *w, enum mqtt_version v, struct sl_slice payload); /* to "t", QoS 0 */
void wire_ping(struct wire *w);                                                  /* and PINGRESP */
/* The next packet: its body lives until the next call. Fails the test when none comes. */
struct mqtt_frame wire_next(struct wire *w, enum mqtt_type type);
/* Turns until the broker has closed the connection; what came before stays in `in`. */
void wire_wait_eof(struct wire *w);
/* One turn of the loop, without waiting. */
void wire_turn(struct rig *r);
/* Turns until the broker has this many connections. */
void wire_wait_clients(struct rig *r, uint32_t count);

#endif
