/* peer.h - a broker without sockets for tests: clients whose bytes the test writes and reads, and a
 * clock it moves. */
#ifndef TESTS_BROKER_PEER_H
#define TESTS_BROKER_PEER_H

#include "broker_internal.h"
#include "client.h"
#include "session.h"

#include "broker/broker.h"
#include "broker/mqtt.h"

struct rig {
    uv_loop_t loop;
    struct broker *broker;
    int64_t mono_ms, wall_ms;
    struct sl_clock clock;
    bool closed;
    /* The authenticate hook: answers at once with `answer`, or keeps the question in `asked`. */
    bool answer, later, nameless;
    struct broker_auth *asked;
};

struct peer {
    struct client client;
    struct rig *rig;
    struct sl_buf received; /* what the broker sent and the test has not read */
    bool open, reading, close_wanted;
    bool stuck; /* takes no output: a reader that does not read */
    const char *address;
    enum mqtt_version version;
};

void rig_open(struct rig *r, void (*adjust)(struct broker_options *o));
void rig_close(struct rig *r); /* asserts that the loop has nothing left */
/* Ends the broker's loop turn: routes what is queued, flushes output. */
void rig_turn(struct rig *r);
/* Moves the clock in steps of a second and lets the broker's tick see each. */
void rig_seconds(struct rig *r, int seconds);

void peer_open(struct peer *p, struct rig *r, enum mqtt_version v);
/* From an address such as "192.0.2.1:5". False: the broker closes it at once. */
bool peer_open_from(struct peer *p, struct rig *r, enum mqtt_version v, const char *address);
void peer_connect(struct peer *p, const char *id, bool clean, uint32_t session_expiry_s);
/* Opened, connected with a clean session, CONNACK read. */
void peer_online(struct peer *p, struct rig *r, enum mqtt_version v, const char *id);
void peer_send_connect(struct peer *p, const struct mqtt_connect *c);
void peer_send(struct peer *p, const struct sl_buf *bytes);
/* The connection breaks. */
void peer_drop(struct peer *p);
void peer_disconnect(struct peer *p);
void peer_subscribe(struct peer *p, const char *filter, uint8_t qos);
void peer_publish(struct peer *p, const char *topic, const char *payload, uint8_t qos, bool retain,
                  uint16_t id);
void peer_ack(struct peer *p, enum mqtt_type type, uint16_t id, uint8_t reason);

/* The next packet the broker sent; fails the test when there is none or it has another type. */
struct mqtt_frame peer_next(struct peer *p, enum mqtt_type type);
/* It must be a DISCONNECT with this reason, after which the connection is closed. */
void peer_expect_disconnect(struct peer *p, uint8_t reason);
bool peer_quiet(struct peer *p); /* nothing was sent that is not read yet */
struct mqtt_publish peer_next_publish(struct peer *p);
uint16_t peer_next_ack(struct peer *p, enum mqtt_type type, uint8_t *ret_reason);
void assert_text(struct sl_slice got, const char *want);

#endif
