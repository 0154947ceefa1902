/* session.h - what the broker keeps for a client id: subscriptions, what is in flight, what waits.
 *
 * A session may outlive its connection. It decides what goes out next; how bytes are made and sent
 * is the connection's matter (client.h). No I/O. */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include "acks.h"
#include "frames.h"
#include "subs.h"

struct client;
struct durable;
struct owed;

/* A message on its way to this client. Deliveries are numbered in the order in which they are to go
 * out; the packet id follows from the number, so that what is sent again after a restart has the id
 * that the client knows. */
struct delivery {
    struct sl_msg *msg; /* a reference; NULL: this place in the window is free again */
    struct subids *ids; /* a reference, or NULL */
    uint32_t sequence;  /* the low half: session_sequence() gives the whole */
    uint32_t wait;      /* not written yet: its place in persist_wait.c; else 0 */
    uint16_t packet_id;
    uint8_t qos;       /* granted */
    bool retain : 1;   /* the flag to send */
    bool released : 1; /* QoS 2: PUBREC received, PUBREL is what is outstanding */
    bool stored : 1;   /* has a row */
    bool unsafe : 1;   /* ... that must be committed before the packet goes out */
    bool again : 1;    /* was sent before a restart, perhaps */
    uint32_t group;    /* number of the shared subscription it came by; 0 for none */
};

/* A ring of deliveries that grows up to a bound. */
struct delivery_ring {
    struct delivery *items;
    uint32_t cap, head, count; /* cap is a power of two */
};

/* A QoS 2 publish received and not yet released: a repeated PUBLISH must not be taken twice
 * [MQTT-4.3.3-10]. As many as there are packet ids at most. */
struct qos2_in {
    struct broker_ack *ack; /* a reference when its PUBREC is or was held back; else NULL */
    uint16_t packet_id;
    bool received;   /* PUBREC was sent: only now may PUBREL come */
    bool open;       /* ... on this connection: counts in its receive window */
    bool stored;     /* has a row */
    bool restored;   /* from before a restart: the sessions have its message, taps perhaps not */
    bool completing; /* PUBREL came; PUBCOMP waits for the commit */
};

struct session {
    struct broker *broker;
    struct client *client;    /* attached connection or NULL */
    struct acl_view *access;  /* NULL: no list, or its user is not known yet (access.c) */
    struct durable *durable;  /* NULL: it ends with the process */
    uint64_t origin;          /* identity for No Local; never reused */
    uint32_t expiry_s;        /* UINT32_MAX: never */
    int64_t offline_since_ms; /* monotonic, while client is NULL */
    int64_t since_wall_ms;
    struct subscription *subs;
    uint32_t sub_count, sub_bytes;
    uint64_t match_pass; /* scratch of topic_cache.c */
    uint32_t match_index;

    /* Out: the window holds what was sent, in order; acknowledged places stay until the head
     * reaches them. The queue follows. */
    uint64_t next_sequence;
    struct delivery_ring window, queue;
    uint64_t queued_bytes;
    uint32_t window_open; /* deliveries in the window that are not acknowledged */
    uint32_t window_sent; /* places from the head that this connection was sent */
    uint32_t in_flight;   /* of those, the ones not acknowledged */
    uint16_t next_id;     /* packet id that goes with next_sequence */
    int64_t purge_due_ms; /* when the queue may be looked through for what has expired */

    /* In. */
    struct sl_map qos2; /* struct qos2_in by packet id */
    uint32_t qos2_open;
    struct broker_ack *acks; /* held back, in no order */

    struct owed *owed;   /* retained messages for new subscriptions; NULL: none */
    struct sl_msg *will; /* waiting for its delay after a lost connection */
    int64_t will_due_ms;

    bool access_changed; /* what it has subscribed to or what waits may be older than its rights */
    uint16_t id_len;
    uint8_t client_id[];
};

static inline struct sl_slice session_id(const struct session *s)
{
    return (struct sl_slice){ s->client_id, s->id_len };
}
struct sl_slice session_key(const void *session); /* for the map of sessions */

/* The delivery's whole number: at most 2^32 before the next one. */
static inline uint64_t session_sequence(const struct session *s, const struct delivery *d)
{
    return s->next_sequence - (uint32_t)((uint32_t)s->next_sequence - d->sequence);
}
/* Packet ids run 1 to 65,535 and round again. */
static inline uint16_t session_packet_id(uint64_t sequence)
{
    return (uint16_t)(1 + sequence % 65535);
}

/* In no map yet; the id is copied. NULL when memory is out. */
SL_NODISCARD struct session *session_new(struct broker *b, struct sl_slice client_id);
/* Drops everything; it must be detached and out of the map. */
void session_free(struct session *s);

/* Hand over a message to be delivered; its references stay the caller's. frames shares encodings
 * between receivers (NULL: none). */
void session_deliver(struct session *s, const struct delivery *d, struct frame_cache *frames);
/* The same, unless it would have to wait: then false, and nothing is done. Making room may end the
 * connection, which is false as well. */
SL_NODISCARD bool session_offer(struct session *s, const struct delivery *d);
/* How well a session could take a message now, best first. Nothing is sent to find out. */
enum session_room {
    SESSION_NOW,   /* it would be sent */
    SESSION_WAITS, /* it would be queued, and sent soon */
    SESSION_FULL,  /* it would be dropped */
    SESSION_AWAY,  /* it would be queued, for a client that is not there */
    SESSION_NEVER,
};
enum session_room session_room(const struct session *s, uint8_t qos, size_t size);
/* A connection was attached. */
void session_resume(struct session *s);
/* Send again what an earlier connection left unacknowledged [MQTT-4.4.0-1], then what waits, as far
 * as window and output allow. */
void session_pump(struct session *s);

/* For persist*.c: the open delivery with this number, or NULL; all of them, oldest first; the
 * number of the oldest; one that must not come after all; whether this connection was sent it. */
struct delivery *session_find(struct session *s, uint32_t sequence);
typedef void session_visit_fn(void *ctx, struct session *s, struct delivery *d);
void session_visit(struct session *s, session_visit_fn *visit, void *ctx);
uint64_t session_oldest(const struct session *s);
void session_drop(struct session *s, struct delivery *d);
bool session_was_sent(const struct session *s, const struct delivery *d);
/* A delivery from before a restart; false when memory is out or it does not follow the others.
 * Takes over d's references on success. */
SL_NODISCARD bool session_restore(struct session *s, struct delivery d, uint64_t sequence);

/* The client's acknowledgements. False: no such packet id in that state. */
bool session_on_puback(struct session *s, uint16_t packet_id);
/* *ret_wait: PUBREL goes out later. */
bool session_on_pubrec(struct session *s, uint16_t packet_id, bool failed, bool *ret_wait);
bool session_on_pubcomp(struct session *s, uint16_t packet_id);

/* QoS 2 in: the entry, or NULL. */
struct qos2_in *session_qos2_find(struct session *s, uint16_t packet_id);
SL_NODISCARD bool session_qos2_add(struct session *s, uint16_t packet_id);
/* PUBREC goes out: the client owes PUBREL. */
void session_qos2_received(struct session *s, uint16_t packet_id);
void session_qos2_remove(struct session *s, uint16_t packet_id);

#endif
