/* broker_internal.h - the broker's state, shared by the files of broker/. */
#ifndef BROKER_INTERNAL_H
#define BROKER_INTERNAL_H

#include "bounds.h"
#include "conn_tls.h"
#include "frames.h"
#include "gather.h"
#include "outq.h"
#include "retained.h"
#include "subs.h"

#include "broker/broker.h"

#define BROKER_INTERNAL_QUEUE_MAX 16384
#define BROKER_INTERNAL_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define BROKER_RETAINED_BYTES     ((uint64_t)64 * 1024 * 1024)
#define BROKER_QUEUED_TOTAL       ((uint64_t)256 * 1024 * 1024)
#define BROKER_PAUSE_MS           10
#define BROKER_CLIENT_ID_MAX      1024
#define BROKER_READ_SIZE          (64 * 1024)

struct broker_link;
struct client;
struct owed;
struct persist;
struct session;

/* $SYS/broker/load: what is counted, as events a minute, averaged over 1, 5 and 15 minutes. */
#define SYS_LOADS 9
struct sys_loads {
    int64_t at_ms; /* of the last look; 0: none yet */
    uint64_t last[SYS_LOADS];
    double average[SYS_LOADS][3];
};

struct internal_publish {
    struct sl_msg *msg;
    struct broker_ack *ack; /* held for it; NULL when nobody waits */
};

struct broker {
    struct broker_options options;
    struct subs subs;
    struct retained retained;
    struct acl *acl; /* NULL: everything is allowed */
    struct bounds bounds;
    struct sl_map sessions;
    struct persist *persist;        /* NULL without a store */
    struct broker_receipt *receipt; /* of the publish that is being delivered; NULL for none */
    bool store_at_once; /* what is being delivered was promised before: it has no time to wait */
    struct session **buried; /* ended during this turn; freed at its end */
    uint32_t buried_count, buried_cap;
    struct client **clients;
    uint32_t client_count, client_cap;
    uint32_t attached; /* sessions that have a client */
    struct client *dirty;
    struct broker_link *dead_links; /* went during this turn */
    uint8_t
        *read_buffer; /* one for all connections: input is parsed out of it before the next read */
    struct tls_shakes tls_shakes;
    struct outq_pool pool;
    struct frame_cache frames;
    struct owed *hungry; /* sessions whose retained messages go on next turn */
    uint32_t owed_steps_left;
    uint64_t turn;
    uint64_t queued_bytes; /* messages that wait in sessions, each counted once, and their places */
    uint64_t output_bytes; /* in connections' outputs */
    uint64_t next_origin;
    struct broker_stats stats;
    int64_t now_ms; /* of this loop turn; 0: not read yet */

    /* Published from inside, waiting for its turn. */
    struct internal_publish *internal;
    uint32_t internal_cap, internal_head, internal_count;
    size_t internal_bytes;

    struct broker_listener *listeners;
    unsigned holds; /* handles libuv points into, connections, listeners */
    bool closing, paused;
    bool pause_publisher; /* asked for while a client's message was handed out */
    void (*closed)(void *ctx);
    void *closed_ctx;
    uv_timer_t tick;
    struct gather gather;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t pause; /* runs while publishers are paused */
    uv_idle_t again;  /* runs while there is more to route than one turn takes */
    int64_t sys_due_ms, purge_due_ms;
    int64_t full_told_ms; /* no room for retained messages: when the log said so; 0: never */
    struct sys_loads loads;
};

static inline void broker_count_drop(struct broker *b, enum broker_drop d)
{
    b->stats.dropped[d]++;
}
/* Whether all that waits together has reached its bound. */
static inline bool broker_is_full(const struct broker *b)
{
    return b->queued_bytes + b->output_bytes >= b->options.max_queued_total;
}
int64_t broker_now(struct broker *b); /* monotonic, read once a loop turn */
int64_t broker_wall(struct broker *b);

/* Hand one publish to everybody it concerns. parts become a message only when somebody wants it.
 * Returns whether anybody did. */
bool broker_route(struct broker *b, const struct sl_msg_parts *parts,
                  struct broker_receipt *receipt);

/* The same for taps alone: everybody else has had it before a restart. */
void broker_route_to_taps(struct broker *b, const struct sl_msg_parts *parts,
                          struct broker_receipt *receipt);

/* Routes what was published from inside: as much as one turn may take. */
void broker_route_internal(struct broker *b);
void broker_drop_internal(struct broker *b); /* and its queue */

/* False when the broker closes, its bounds are reached (which is counted), or memory is out. */
SL_NODISCARD bool broker_add_client(struct broker *b, struct client *c);
void broker_remove_client(struct broker *b, struct client *c);
/* client_turn() at the end of this turn of the loop. Any number of times. */
void broker_mark_dirty(struct broker *b, struct client *c);
/* The client's message was handed out: a tap may have asked for a pause. */
void broker_pause_if_asked(struct broker *b, struct client *c);
/* The session ends: out of the map and the tree now, freed at the end of the turn. */
void broker_bury(struct broker *b, struct session *s);
/* The time of s's will has come; nobody else has seen it yet. */
void broker_publish_will(struct broker *b, struct session *s, struct sl_msg *will);
void broker_flush(struct broker *b);
/* One hold less; the last one ends the broker. */
void broker_release(struct broker *b);
void sys_publish(struct broker *b);

#endif
