/* client.h - an MQTT client as a pure state machine: bytes, messages and the time go in; bytes,
 * messages and the next deadline come out.
 *
 * It knows no socket, no TLS and no clock. The owner opens a byte stream, calls client_start(),
 * feeds what arrives, sends what lies in client_output(), and calls client_tick() when
 * client_deadline() has come. After each of these it looks at client_phase(); on CLIENT_FAILED,
 * and when the stream ends, it calls client_lost() and closes the stream. What outlives a
 * connection (the session: identifiers of unacknowledged publishes, whether the server knows our
 * subscriptions) stays here. Callbacks run inside client_feed(), client_publish(), client_tick()
 * and client_written(); they must not call back into the client. */
#ifndef BRIDGE_CLIENT_H
#define BRIDGE_CLIENT_H

#include "base/err.h"
#include "broker/mqtt.h"
#include "store/outbox.h"
#include "topicmap.h"

enum client_phase {
    CLIENT_IDLE,        /* no connection */
    CLIENT_CONNECTING,  /* CONNECT is out; nothing else may be sent */
    CLIENT_SUBSCRIBING, /* accepted; SUBSCRIBE is out */
    CLIENT_UP,          /* publishes */
    CLIENT_ENDING,      /* DISCONNECT is out */
    CLIENT_FAILED,      /* client_fault() says why */
};

enum client_fault_kind {
    CLIENT_FAULT_NONE,
    CLIENT_FAULT_REFUSED,      /* CONNACK with `reason` */
    CLIENT_FAULT_VERSION,      /* the server does not speak this protocol version */
    CLIENT_FAULT_DISCONNECTED, /* the server's DISCONNECT, with `reason` */
    CLIENT_FAULT_PROTOCOL,     /* it sent what the standard forbids */
    CLIENT_FAULT_KEEP_ALIVE,   /* no answer to PINGREQ */
    CLIENT_FAULT_NO_SUBACK,
    CLIENT_FAULT_NO_PUBACK,
    CLIENT_FAULT_NOT_READING, /* it sends, but does not read our acknowledgements */
    CLIENT_FAULT_MEMORY,
};

struct client_fault {
    enum client_fault_kind kind;
    uint8_t reason; /* MQTT 5 reason, or 3.1.1's CONNACK code */
    char text[256]; /* what happened, a clause without hints */
};

/* What becomes of a message from the server. */
enum client_take {
    CLIENT_TAKEN,       /* acknowledge it */
    CLIENT_TAKES_LATER, /* client_message_done() will tell */
    CLIENT_REFUSES,     /* no room: MQTT 5 servers are told, older ones get no acknowledgement */
    CLIENT_NO_MEMORY,   /* not acknowledged, and the connection fails */
};

struct client_events {
    void *ctx;
    /* What was given to client_publish(), with all that is chained to it. */
    void (*acked)(void *ctx, struct outbox_item *item);
    /* content: the server objects to what is in it, not to where it goes. */
    void (*dead)(void *ctx, struct outbox_item *item, const char *reason, bool content);
    /* A message from the server; slices live until it returns. */
    enum client_take (*message)(void *ctx, const struct mqtt_publish *p, uint64_t token);
    void (*subscription_refused)(void *ctx, const char *filter, uint8_t reason);
};

/* Strings and the map are borrowed for the client's life. */
struct client_options {
    const char *gateway_id, *client_id;
    const char *username, *password; /* NULL for none */
    const struct topicmap *subscriptions;
    uint16_t keep_alive_s;  /* 0: no keep-alive */
    int64_t ask_after_ms;   /* a publish waits, and nothing comes for so long: PINGREQ; 0: never */
    int64_t ack_timeout_ms; /* a publish or SUBSCRIBE unacknowledged for this long is sent again */
    uint32_t in_flight_max; /* 1 to FLIGHTS_WINDOW_MAX; brought into range */
    uint32_t payload_max;   /* 0 for no limit of ours */
    double publishes_per_second; /* 0 for no limit */
    uint64_t bytes_per_second;   /* 0 for no limit */
    bool aws;
};

/* Bytes gathered for one write; above it nothing more is taken until they are handed over. */
#define CLIENT_OUTPUT_HIGH   ((size_t)64 * 1024)
#define CLIENT_INBOUND_MAX   ((uint32_t)1024 * 1024)
#define CLIENT_QOS0_MAX      256 /* QoS 0 publishes not yet written to the socket */
#define CLIENT_TRIES_MAX     3   /* of one publish on one connection */
#define CLIENT_REFUSALS_MAX  100 /* PUBACKs "not now" before a message counts as dead */
#define CLIENT_SUBSCRIBE_MAX 8   /* filters in one packet: AWS takes no more */
#define CLIENT_SESSION_S     ((uint32_t)7 * 24 * 3600)
#define CLIENT_INBOUND_WAIT  128 /* messages from the server not acknowledged yet */
#define CLIENT_RECEIVE_MAX   100 /* what we announce of that */
#define CLIENT_NEVER         INT64_MAX

struct client;

/* Idle. SL_LIMIT when there are more subscriptions than one connection can ask for, SL_NOMEM. */
SL_NODISCARD enum sl_code client_new(struct client **ret, const struct client_options *options,
                                     const struct client_events *events, int64_t now_ms,
                                     struct sl_err *err);
void client_free(struct client *c); /* accepts NULL */

/* A connection is open: CONNECT goes out. Another version than last time forgets the session. */
void client_start(struct client *c, enum mqtt_version version, int64_t now_ms);
void client_feed(struct client *c, struct sl_slice bytes, int64_t now_ms);
void client_tick(struct client *c, int64_t now_ms);
/* When client_tick() is to be called next; CLIENT_NEVER for not at all. */
int64_t client_deadline(struct client *c, int64_t now_ms);

/* Bytes to send. The owner takes them all and calls client_handed(); when they are written to the
 * socket, client_written(): QoS 0 publishes among them count as delivered. One hand-over at a
 * time. */
struct sl_buf *client_output(struct client *c);
void client_handed(struct client *c);
void client_written(struct client *c);

/* When the next publish may be given: now_ms (or earlier), a later moment, or CLIENT_NEVER: not
 * before something else has happened. */
int64_t client_room_at(struct client *c, int64_t now_ms);
/* Only while client_room_at() is not later than now_ms. The item of a batch is its first, the
 * others are chained to it (element.h). */
void client_publish(struct client *c, struct outbox_item *item, int64_t now_ms);

/* A message that was to be taken later: taken, or not (reason from 0x80 on). Acknowledgements go
 * out in the order of the messages [MQTT-4.6.0-2]. One of an earlier connection is not looked at.
 */
void client_message_done(struct client *c, uint64_t token, uint8_t reason, int64_t now_ms);

/* DISCONNECT goes out, nothing after it. */
void client_disconnect(struct client *c);
/* The connection is gone; no item is held any more. hung_up: the server closed it in order, without
 * a word. */
void client_lost(struct client *c, bool hung_up);

/* This connection has acknowledged something, or there was nothing to acknowledge: when it ends, no
 * publish of ours is to blame. */
bool client_blameless(const struct client *c);

enum client_phase client_phase(const struct client *c);
const struct client_fault *client_fault(const struct client *c);
/* Why the connection does not count as online, though it stands. */
enum client_stall {
    CLIENT_FLOWS,
    CLIENT_OVERDUE, /* publishes had to be sent again */
    CLIENT_REFUSED, /* for REFUSED_STALL_MS nothing but "not now" */
    CLIENT_SILENT,  /* no answer to anything */
};
enum client_stall client_stall(const struct client *c, int64_t now_ms);
/* PUBLISH, CONNECT and SUBSCRIBE sent so far, as AWS meters them. */
uint64_t client_metered(const struct client *c);
/* PUBACKs that said "not now", ever. */
uint64_t client_refused(const struct client *c);
uint32_t client_in_flight(const struct client *c);
/* What the server takes at most; valid while it is up. */
size_t client_payload_max(const struct client *c);
size_t client_packet_max(const struct client *c);
int64_t client_round_trip_ms(const struct client *c); /* smoothed; 0 while unknown */
enum mqtt_version client_version(const struct client *c);

#endif
