/* acks.h - acknowledgements to publishers that somebody holds back until their message is safe.
 *
 * A receipt lives on the stack while one publish is handed out. The first hold turns it into a
 * broker_ack, which lives until its last hold is released, however long the connection or the
 * session lasts. */
#ifndef BROKER_ACKS_H
#define BROKER_ACKS_H

#include "broker/broker.h"

struct session;

struct broker_ack {
    struct session *session; /* NULL once it is gone, and for somebody outside: */
    broker_taken_fn *safe;    /* ... who is told by this */
    void *ctx;
    uint64_t token;
    struct broker_ack *next, *prev; /* the session's list */
    uint32_t holds, refs;
    uint8_t reason;
};

struct broker_receipt {
    struct session *session;
    struct broker_ack *ack; /* NULL until held */
    uint8_t reason;         /* above 0x80: refused */
};

static inline bool ack_done(const struct broker_ack *a)
{
    return a->holds == 0;
}
static inline struct broker_ack *ack_ref(struct broker_ack *a)
{
    a->refs++;
    return a;
}
void ack_unref(struct broker_ack *a); /* accepts NULL */
/* The session goes: its acknowledgements will have nobody to go to. */
void acks_orphan(struct session *s);

#endif
