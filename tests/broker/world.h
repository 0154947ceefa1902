/* world.h - a broker without sockets and a model of what its clients may expect, for fuzzing.
 *
 * A few clients with a few ids, topics and filters. Every packet that comes out is decoded and held
 * against the model; world_check() looks at the broker from inside. A broken promise aborts. */
#ifndef TESTS_BROKER_WORLD_H
#define TESTS_BROKER_WORLD_H

#include "broker_internal.h"
#include "client.h"
#include "fake_store.h"
#include "session.h"

#include "broker/mqtt.h"

enum {
    ACTORS = 5,
    NAMES = 3,
    FILTERS = 8,
    TOPICS = 6,
    PACKET_IDS = 8, /* that clients publish with: 1 to 7 */
    SERIALS = 4096,
    HOLDS_MAX = 256,
    EXPECTED_MAX = 64,
    SHARES = 2,
    ALIASES = 2,
    LISTS_MAX = 32,
};

/* What a client with this id remembers from connection to connection. */
struct name {
    uint32_t filters;                 /* it has ever subscribed to, by bit; shares after FILTERS */
    uint32_t current;                 /* ... and has not been told to be rid of */
    uint8_t taken[SERIALS];           /* how often it was handed a QoS 2 message */
    uint16_t last[ACTORS][TOPICS][3]; /* serial that came last, by publisher, topic and QoS */
    uint16_t open2[65536];            /* serial + 1 of the QoS 2 delivery with this packet id */
    uint16_t pending[PACKET_IDS];     /* serial + 1 of the QoS 2 publish it has not released */
    uint8_t pending_topic[PACKET_IDS];
    bool received[PACKET_IDS]; /* PUBREC came for it */
};

struct owed {
    uint8_t type;
    uint16_t packet_id;
    uint16_t serial; /* of the message, 0 for one without */
};

struct hold {
    struct broker_ack *ack;
    uint16_t serial;
    bool store_down; /* its publish may be refused: then the next with its serial is another */
};

/* A SUBSCRIBE or UNSUBSCRIBE that is not answered. */
struct list {
    uint32_t filters;
    bool removes;
};

/* A connection. */
struct actor {
    struct client client;
    struct world *world;
    struct sl_buf received;
    struct name *name; /* NULL until CONNACK said yes */
    unsigned name_index;
    enum mqtt_version version;
    bool open, stuck, close_wanted, connected, clean;
    uint32_t window_max, in_flight; /* deliveries */
    struct owed unacked[4];         /* of those, what the client has not answered at all */
    unsigned unacked_count;
    uint16_t recorded[4]; /* ... and what it has answered with PUBREC; 0 for a free place */
    struct owed expected[EXPECTED_MAX]; /* acknowledgements, in order */
    unsigned expected_count;
    struct list lists[LISTS_MAX]; /* in order */
    unsigned list_count;
    uint32_t max_packet;
    uint16_t alias_max;               /* it takes from the broker */
    uint8_t alias_topic[ALIASES];     /* topic + 1 of the broker's aliases */
    uint8_t own_alias_topic[ALIASES]; /* ... of its own */
    bool exchanges;                   /* it named an authentication method */
    bool heard; /* everything from before the last access list: what it denies does not come */
};

enum tap_does { TAP_NOTHING, TAP_HOLDS, TAP_HOLDS_TWICE, TAP_RELEASES, TAP_PUBLISHES, TAP_REFUSES };

struct world {
    uv_loop_t loop;
    struct sl_clock clock;
    int64_t ms;
    struct broker *broker;
    struct actor actors[ACTORS];
    struct name names[NAMES];
    struct broker_tap *taps[2];
    struct hold holds[HOLDS_MAX];
    unsigned hold_count;
    struct broker_auth *asked[ACTORS];
    unsigned asked_count;
    enum tap_does tap_does;
    uint16_t serial;
    bool retained[SERIALS];
    uint8_t publisher[SERIALS]; /* name's index */
    bool lapped;                /* serials have come round: their order says nothing */
    struct broker_exchange *thinking[ACTORS];
    unsigned thinking_count;
    unsigned memories; /* of the authentication plug-in */
    bool raw;    /* bytes of the fuzzer's own went in: the model does not know what they say */
    bool unsafe; /* something was refused that had been handed out */
    bool closed;
    bool durable;                 /* with a store, and crashes */
    bool holds_commits, crashing; /* commits come when they are asked for; the end of a broker */
    unsigned denied;              /* topic + 1 that nobody may receive; 0: no access list */
    bool forgets; /* a session that has ended may be there again: its end was not committed */
    bool failed;  /* the disk, since the last start */
    struct fake_store store;
};

extern const char *const world_filters[FILTERS];
extern const char *const world_topics[TOPICS];
extern const char *const world_shares[SHARES];

void world_open(struct world *w, bool durable);
void world_close(struct world *w); /* everything that is left, and the loop */
void world_turn(struct world *w);
void world_second(struct world *w);
void world_release(struct world *w, unsigned at, uint8_t reason); /* a hold */
void world_answer(struct world *w, bool ok);                      /* the oldest question */
/* The oldest question of an authentication: 0 go on, 1 let in, 2 refuse. */
void world_exchange(struct world *w, unsigned verdict);
void world_check(struct world *w);

/* ---- world_store.c: with a store ---- */
void world_commit(struct world *w); /* unless commits are held, at every turn's end */
void world_spill(struct world *w);
void world_break(struct world *w); /* the disk takes nothing, or again */
/* The process is killed, ops steps later than the last commit, and starts again. */
void world_crash(struct world *w, size_t ops);
/* An access list that denies a topic, or (0) none. */
void world_deny(struct world *w, unsigned topic);

/* for it */
void world_start(struct world *w);
void world_end(struct world *w);

void actor_open(struct actor *a, struct world *w, enum mqtt_version v);
void actor_drop(struct actor *a);
void actor_feed(struct actor *a, struct sl_slice bytes);
/* A QoS 2 delivery is answered with PUBREC: it is over with PUBCOMP. */
void actor_record(struct actor *a, uint16_t packet_id);
/* A SUBSCRIBE or UNSUBSCRIBE is on its way. */
void actor_lists(struct actor *a, uint32_t filters, bool removes);
void actor_expect(struct actor *a, uint8_t type, uint16_t packet_id, uint16_t serial);

#endif
