/* persist_internal.h - what the files of persist*.c share. */
#ifndef BROKER_PERSIST_INTERNAL_H
#define BROKER_PERSIST_INTERNAL_H

#include "broker_internal.h"
#include "durable.h"
#include "records.h"

/* A delivery that holds its publisher back while its client may still answer. */
struct wait {
    struct session *session; /* NULL: no more */
    struct broker_ack *ack;  /* or NULL: nobody is held back */
    int64_t since_ms;
    uint32_t sequence;
};

/* Something that is done when a group is committed. */
enum item_kind {
    ITEM_ACK,      /* release ack */
    ITEM_DELIVERY, /* the same, and send the delivery */
    ITEM_PUBREL,   /* send it */
    ITEM_PUBCOMP,  /* send it, and forget the packet id */
    ITEM_BYTES,    /* send them on the connection they were made for */
    ITEM_SUBACK,   /* the same: see persist_suback.c */
};

struct item {
    struct durable *durable; /* a reference, or NULL with ITEM_ACK */
    struct broker_ack *ack;  /* or NULL */
    uint8_t *bytes;          /* ITEM_BYTES, ITEM_SUBACK */
    uint32_t sequence;       /* ITEM_DELIVERY; ITEM_BYTES, ITEM_SUBACK: how many are sent */
    uint32_t connection;     /* ITEM_BYTES, ITEM_SUBACK */
    uint16_t packet_id;
    uint8_t kind;
};

struct group {
    struct persist *persist;
    struct item *items;
    uint32_t count, cap;
    uint32_t resyncs; /* when the store was asked */
};

struct persist {
    struct broker *broker;
    struct broker_persistence store;
    struct broker_persist_stats stats;
    bool down;    /* the store takes nothing until broker_resync() */
    bool closing; /* what the store has stays */
    uint32_t resyncs;
    uint64_t origins_reserved;
    struct group *gathered; /* in this turn; NULL: nothing */
    struct group parked;    /* PUBREL and PUBCOMP that could not be committed: until resync */
    struct durable *lagging;
    struct sl_buf scratch; /* records are made in it */

    /* In order of time: a ring. */
    struct wait *waits;
    uint32_t wait_cap, wait_count; /* cap is a power of two */
    uint32_t wait_first;           /* number of the oldest */
    uv_timer_t spill;

    struct sl_map by_number; /* sessions, while rows are restored */
};

/* ---- persist_store.c: rows ---- */

/* False when the store does not take it. */
bool persist_put(struct persist *p, enum broker_row kind, struct sl_slice key, struct sl_slice head,
                 struct sl_slice tail);
void persist_remove(struct persist *p, enum broker_row kind, struct sl_slice key);
void persist_remove_range(struct persist *p, enum broker_row kind, struct sl_slice from,
                          struct sl_slice to);
/* Origins up to this one will not be given out again. */
void persist_reserve_origin(struct persist *p, uint64_t origin);
void persist_put_session(struct persist *p, const struct session *s);
void persist_put_delivery(struct persist *p, struct session *s, struct delivery *d);
void persist_put_subscription(struct persist *p, const struct session *s, struct sl_slice filter,
                              const struct subscription *sub);
void persist_put_received(struct persist *p, const struct session *s, uint16_t packet_id);
void persist_put_retained(struct persist *p, const struct sl_msg *m);
/* Whether this is one to be kept; the process's own say the same again at the next start. */
bool persist_keeps_retained(const struct sl_msg *m);
struct record_now persist_now(struct persist *p);
/* Removes the rows of deliveries that are done with, up to the oldest that is not. */
void persist_remove_done(struct persist *p, struct durable *d);

/* ---- persist_group.c: commits ---- */

/* Takes over the references in item; when memory is out it fails there and then. */
void persist_gather(struct persist *p, struct item item);
void persist_commit(struct persist *p);
/* The store takes rows again: what was parked waits for the next commit. */
void persist_unpark(struct persist *p);
void persist_drop(struct persist *p); /* whoever waits: the end */
struct durable *durable_ref(struct durable *d);
void durable_unref(struct durable *d); /* accepts NULL */

/* ---- persist_suback.c ---- */

/* What is to be sent; lies in bytes. */
struct sl_slice persist_finish_suback(struct session *s, uint8_t *bytes, bool ok);
/* persist.c: an item whose bytes are for this connection. */
void persist_hold(struct client *c, struct item item);

/* ---- persist_wait.c: deliveries that are not written yet ---- */

/* What to remember it by; 0 when memory is out. */
uint32_t persist_wait_add(struct persist *p, struct session *s, uint32_t sequence,
                          struct broker_ack *ack);
/* Takes it away; the acknowledgement it held, or NULL. */
struct broker_ack *persist_wait_take(struct persist *p, uint32_t wait);
/* Puts what has waited for long enough, or all of it. */
void persist_spill(struct persist *p, bool all);
void persist_wait_close(struct persist *p);

/* persist.c: puts a delivery and lets ack wait for the commit. */
void persist_store_delivery(struct persist *p, struct session *s, struct delivery *d,
                            struct broker_ack *ack);

#endif
