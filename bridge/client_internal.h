/* client_internal.h - the client's insides, shared by client.c (connection, sending),
 * client_input.c (what the server says) and client_time.c (deadlines). */
#ifndef BRIDGE_CLIENT_INTERNAL_H
#define BRIDGE_CLIENT_INTERNAL_H

#include "client.h"
#include "flights.h"
#include "outgoing.h"
#include "pacer.h"
#include "suspicion.h"

struct client {
    struct client_options options;
    struct client_events events;
    enum client_phase phase;
    struct client_fault fault;

    /* The session: outlives a connection. */
    enum mqtt_version version;
    struct flights flights;
    bool subscribed; /* every filter was granted on some connection of this session */
    struct pacer pacer;
    struct suspicion suspicion;
    int64_t rtt_x8_ms;

    /* The connection. */
    struct outgoing_limits limits;
    uint32_t window;
    uint32_t
        cautious; /* publishes in flight at most: 1 after a refusal, one more with each success */
    uint64_t metered;         /* packets sent, as AWS counts them, ever */
    uint64_t refused;         /* PUBACKs that said "not now", ever */
    int64_t refused_since_ms; /* no success since then; CLIENT_NEVER */
    int64_t keep_alive_ms;    /* in force; 0 for none */
    int64_t last_sent_ms, last_received_ms;
    int64_t ping_sent_ms; /* CLIENT_NEVER while none is out */
    int64_t last_ack_ms;
    bool acked_any;          /* on this connection */
    int64_t quiet_until_ms;  /* under suspicion: no publish before; CLIENT_NEVER: no PINGRESP yet */
    int64_t asked_ms;        /* when an overdue publish was last sent again */
    int64_t silent_since_ms; /* no acknowledgement since then though asked; CLIENT_NEVER */
    uint64_t last_ack_seq;   /* the highest order of sending that was acknowledged */
    int64_t subscribe_sent_ms;
    uint8_t subscribe_tries;
    size_t subacks_missing;
    bool *subscribe_open; /* per SUBSCRIBE packet: no SUBACK yet */
    bool subscription_refused;
    struct outbox_item *qos0[CLIENT_QOS0_MAX]; /* oldest first */
    uint32_t qos0_count, qos0_handed;

    /* Messages from the server that are not acknowledged, a ring by token; tokens go on over
     * connections. */
    struct {
        uint16_t packet_id;
        bool done;
        uint8_t reason;
    } inbound[CLIENT_INBOUND_WAIT];
    uint64_t inbound_first, inbound_next;

    struct sl_buf in;  /* an unfinished packet */
    struct sl_buf out; /* gathered for the next hand-over */
    struct sl_buf scratch;
};

#define SUBSCRIBE_ID_FIRST 0x8000 /* above the publishes' identifiers */
#define SUBSCRIBES_MAX     128    /* SUBSCRIBE packets: 1,024 filters */
#define PING_TIMEOUT_MS    10000
#define SILENT_MS          2000 /* without an answer to a ping while a publish waits: stalled */
#define REFUSED_STALL_MS   5000 /* nothing but refusals for so long: stalled */

/* To CLIENT_FAILED; the first reason stays. */
void client_fail(struct client *c, enum client_fault_kind kind, uint8_t reason, const char *fmt,
                 ...) SL_PRINTF(4, 5);
/* Every function that appends to `out` ends here: the time of the last packet, and the bound. */
void client_settle_output(struct client *c, size_t before, int64_t now_ms);
/* A publish that is overdue, or whose wait after a refusal is over. */
void client_send_again(struct client *c, struct flight *fl, int64_t now_ms);
/* Sends every SUBSCRIBE that has no SUBACK yet. */
void client_send_subscribes(struct client *c, int64_t now_ms);
/* One packet off the wire; may fail the client. */
void client_handle(struct client *c, const struct mqtt_frame *f, int64_t now_ms);
/* A publish waits, and neither its acknowledgement nor the answer to a ping comes. */
bool client_silent(const struct client *c, int64_t now_ms);
/* Slow links are given twice their round trip. */
int64_t client_patience_ms(const struct client *c, int64_t ms);

static inline size_t client_subscribe_packets(const struct client *c)
{
    return (c->options.subscriptions->count + CLIENT_SUBSCRIBE_MAX - 1) / CLIENT_SUBSCRIBE_MAX;
}

#endif
