/* client.h - one connection's protocol: bytes in, packets handled, bytes out.
 *
 * Knows no sockets. A transport feeds it, is told when there is output and when to close, and sends
 * what lies in `out`. Embedded in the transport's own struct. */
#ifndef BROKER_CLIENT_H
#define BROKER_CLIENT_H

#include "acks.h"
#include "frames.h"
#include "outq.h"

#include "broker/broker.h"
#include "broker/mqtt.h"

struct client;
struct client_rare;

/* What a transport does for its client. */
struct client_transport {
    void (*flush)(struct client *c);         /* send `out`; called once per loop turn */
    void (*read)(struct client *c, bool on); /* pause or resume reading */
    void (*close)(struct client *c);         /* send what is left in `out`, then close */
    struct sl_slice (*address)(
        struct client *c); /* the peer's, for logs; lives as long as the client */
};

enum client_state {
    CLIENT_NEW,            /* no CONNECT yet */
    CLIENT_AUTHENTICATING, /* CONNECT is kept in `in` until the answer comes */
    CLIENT_EXCHANGING,     /* CONNECT is kept in `rare`; AUTH goes to and fro */
    CLIENT_CONNECTED,      /* has a session */
    CLIENT_CLOSING,        /* no session; only output is left */
};

/* Why a client's input is neither read nor parsed; bits of `held`. */
enum client_hold {
    HOLD_AUTH = 1,    /* CONNECT waits for the answer about its password */
    HOLD_ACKS = 2,    /* as many acknowledgements wait as an older client may have */
    HOLD_OUTPUT = 4,  /* it asks on and on without reading the answers */
    HOLD_PAUSE = 8,   /* what it publishes comes faster than it can be taken */
    HOLD_COMMIT = 16, /* its subscriptions change faster than they can be stored */
};

struct ack_slot {
    struct broker_ack *ack; /* a reference, or NULL: nothing holds it back but those before it */
    uint16_t packet_id;
    uint8_t type; /* MQTT_PUBACK or MQTT_PUBREC */
    uint8_t reason;
};

struct client {
    struct broker *broker;
    const struct client_transport *transport;
    struct session *session;
    struct broker_auth *auth; /* while authenticating */
    struct client *dirty_next;
    struct outq out;
    struct sl_buf in; /* an unfinished packet, or what came while input is held */
    size_t unsent;    /* bytes the transport has taken from out and not got rid of */
    enum client_state state : 8;
    enum mqtt_version version : 8;
    uint8_t held; /* enum client_hold */
    bool resume;  /* nothing holds the input any more: to be parsed and read in this turn */
    bool dirty, clean_disconnect;
    bool cert_name;                /* username comes from a verified certificate */
    bool quiet;                    /* Request Problem Information is 0: no reason strings */
    bool nameless;                 /* ... from the client alone: nobody has checked it */
    uint16_t receive_max;          /* of the client */
    uint32_t max_packet;           /* the client's maximum packet size */
    uint32_t counted_out;          /* of its output in broker.output_bytes */
    uint32_t keep_alive_ms;        /* one and a half times the keep-alive; 0 for none */
    int64_t opened_ms, last_in_ms; /* monotonic */
    struct sl_msg *will;
    uint32_t will_delay_s;
    uint32_t unfinished_at;   /* place in the broker's bounds until CONNECT is here */
    char *username;           /* or NULL */
    struct client_rare *rare; /* or NULL */

    /* Acknowledgements in the order of the PUBLISH packets [MQTT-4.6.0-2]. */
    struct ack_slot *acks;
    uint32_t ack_cap, ack_head, ack_count;

    uint32_t index; /* in the broker's list */
};

/* False when the broker has no room: the transport closes at once. */
SL_NODISCARD bool client_open(struct client *c, struct broker *b,
                              const struct client_transport *transport);
/* The transport is gone; c's memory may be released afterwards. */
void client_fini(struct client *c);

/* Bytes from the transport, copied where they have to stay. May close the connection. */
void client_receive(struct client *c, struct sl_slice bytes);
void client_eof(struct client *c); /* the peer closed, or the transport failed */
/* The end of a loop turn in which something happened: input that was held, output, and what waited
 * for room in it. */
void client_turn(struct client *c);
/* Once a second: keep-alive and CONNECT time-out. */
void client_check_time(struct client *c, int64_t now_mono_ms);

/* End the connection; reason goes out as DISCONNECT to MQTT 5 clients once connected (0: say
 * nothing). why is for the log. */
void client_close(struct client *c, uint8_t reason, const char *why);

/* Whether another PUBLISH may go into the output. client_make_room() sends what lies there first if
 * it must, which may close the connection. */
bool client_has_room(const struct client *c);
bool client_make_room(struct client *c);
enum frame_result client_send_publish(struct client *c, struct frame_request *r,
                                      struct frame_cache *frames);
void client_send_qos0(struct client *c, struct frame_request *r, struct frame_cache *frames);
/* Output buffer to append a packet to; marks the client for the next flush. */
struct sl_buf *client_out(struct client *c);
/* The packet that begins at start must not be larger than the client takes [MQTT-3.1.2-24]: then
 * the connection ends with reason instead, and this is false. */
bool client_check_size(struct client *c, size_t start, uint8_t reason);

/* ---- client_answers.c ---- */
void client_send_ack(struct client *c, enum mqtt_type type, uint16_t packet_id, uint8_t reason);
/* SUBACK or UNSUBACK, at *ret_start of the output. False when it is larger than the client takes,
 * and the connection is closed. */
bool client_send_list_ack(struct client *c, enum mqtt_type type, struct mqtt_suback *ack,
                          size_t *ret_start);
/* why may be NULL: then no reason string goes with it. */
void client_send_disconnect(struct client *c, uint8_t reason, const char *why);
/* CONNACK says no, then the connection ends: before a session there is no DISCONNECT to send
 * [MQTT-3.14.0-1]. */
void client_refuse(struct client *c, enum mqtt_version v, uint8_t reason, const char *why);
/* The same, counted as another kind of refusal than usual for this reason. */
void client_refuse_for(struct client *c, enum mqtt_version v, uint8_t reason,
                       enum broker_refusal refusal, const char *why);
/* Whether what was appended from start on is no larger than the client takes. */
bool client_fits(const struct client *c, size_t start);

/* A session's held acknowledgement is done. */
void session_ack_resolved(struct session *s, struct broker_ack *a);

/* ---- between client*.c ---- */
void client_handle_connect(struct client *c, const struct mqtt_frame *f);
void client_handle_publish(struct client *c, const struct mqtt_frame *f);
void client_handle_subscribe(struct client *c, const struct mqtt_frame *f);
void client_handle_unsubscribe(struct client *c, const struct mqtt_frame *f);
/* Queue an acknowledgement behind those before it, or send it if it is free to go. Takes its own
 * reference to ack. */
void client_queue_ack(struct client *c, enum mqtt_type type, uint16_t packet_id, uint8_t reason,
                      struct broker_ack *ack);
void client_drop_acks(struct client *c);
/* QoS 1 and 2 publishes of this connection that are not acknowledged to the end: those that wait in
 * the ring, and those that were told PUBREC and have not sent PUBREL. */
uint32_t client_receive_window(const struct client *c);
void client_hold_input(struct client *c, enum client_hold why);
/* What was kept is parsed at the end of the turn, never before this returns: acknowledgements are
 * released in the middle of routes, and a route must not begin inside another. */
void client_release_input(struct client *c, enum client_hold why);
/* The connection goes before the answer came. */
void broker_auth_abandon(struct broker_auth *auth);
/* Enhanced authentication, client_exchange.c. */
void client_begin_exchange(struct client *c, const struct mqtt_frame *f,
                           const struct mqtt_connect *p);
void client_handle_exchange(struct client *c, const struct mqtt_frame *f);
void client_handle_auth(struct client *c, const struct mqtt_frame *f);
/* Its method and the plug-in's data, for AUTH and CONNACK; nothing for a client without. */
void client_put_auth(const struct client *c, struct mqtt_props *props);
void client_drop_exchange(struct client *c);
/* Everything was checked: session, CONNACK. */
void client_accept(struct client *c, const struct mqtt_connect *p);
/* The session leaves: will, expiry. */
void client_detach(struct client *c, bool will);

#endif
