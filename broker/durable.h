/* durable.h - what keeps sessions and retained messages in the store, and publishers waiting for
 * it.
 *
 * A session is durable when the broker has a store and the session may outlive its connection. Its
 * subscriptions, its place in QoS 2 exchanges and the messages that wait for it have rows. Everyone
 * else pays one comparison.
 *
 * A delivery of QoS 1 to a client that answers is not written at all: it holds the publisher's
 * acknowledgement for spill_ms at most, until the client acknowledges. What takes longer, and
 * everything for a client that is away or behind, is put at once, and the publisher waits for the
 * commit. Deliveries of QoS 2, and all that come of a QoS 2 publish, are put at once, together with
 * the publisher's packet id: one commit holds both or neither, so that a publish that is sent again
 * is neither lost nor delivered twice. A delivery of QoS 2 goes out only when it is committed, and
 * so does its PUBREL.
 *
 * What waits for a commit is gathered in a group, one a loop turn. All of it is answered from the
 * loop, never inside a route. */
#ifndef BROKER_DURABLE_H
#define BROKER_DURABLE_H

#include "session.h"

#include "broker/persist.h"

struct persist;

/* The durable part of a session. Outlives it while something waits for a commit on its behalf. */
struct durable {
    struct session *session; /* NULL once it is gone */
    uint32_t refs;
    uint32_t connection;  /* counts them: what waits for one is not sent on another */
    uint32_t held_bytes;  /* answers to this one that wait for a commit, and what they take */
    uint32_t stored;      /* deliveries that have a row and are not done with */
    bool lagging;         /* in the list of those that have rows to remove */
    char *user;           /* who connected last; NULL: somebody without a name */
    uint64_t reserved;    /* sequence numbers below may have been used */
    uint64_t stored_end;  /* of the rows ever put */
    uint64_t removed_end; /* of those that were removed again */
    struct durable *next_lagging;
};

/* With the broker's options; restoring is the store's turn (persist.h). */
SL_NODISCARD enum sl_code persist_open(struct broker *b, struct sl_err *err);
/* Spills what waits: the end is near. */
void persist_pause(struct broker *b);
/* Closes the timer; from then on nothing is removed from the store any more. */
void persist_close(struct broker *b);
void persist_free(struct broker *b);
/* The end of a loop turn: whoever waits for a commit. */
void persist_turn(struct broker *b);
/* Once a second: rows that are not needed any more. */
void persist_tick(struct broker *b);

/* ---- sessions ---- */

/* A client was attached; the session's expiry is set. */
void persist_attach(struct session *s);
/* The session goes on without its client. */
void persist_detach(struct session *s);
/* The user that a durable session is of; ptr NULL: it has no name. */
struct sl_slice persist_user(const struct session *s);
/* Something that stands in the session's row has changed. */
void persist_save(struct session *s);
/* The session ends, and its rows with it. */
void persist_end(struct session *s);
void persist_subscribed(struct session *s, struct sl_slice filter, const struct subscription *sub);
void persist_unsubscribed(struct session *s, struct sl_slice filter);
/* What lies in the client's output from start on is sent when everything so far is committed. */
void persist_hold_output(struct client *c, size_t start);
/* The same for SUBACK, which says no where that fails. fresh has a byte for each entry of list that
 * is not 0 where the subscription is new. */
void persist_hold_suback(struct client *c, size_t start, struct sl_slice fresh,
                         struct sl_slice list);
/* The store takes nothing now. */
bool persist_is_down(const struct broker *b);
uint8_t persist_refused_subscription(enum mqtt_version v); /* SUBACK's code for it */

/* ---- deliveries ---- */

/* Whether the publish that is being routed must be refused instead of being delivered to s: it
 * would need the store, which takes nothing. Says so to the publisher. */
bool persist_refuses(struct session *s, const struct sl_msg *m, uint8_t qos);
/* Whether a delivery must be committed before it is sent. */
bool persist_commits_first(const struct session *s, uint8_t qos);
/* A new delivery has its place in window or queue. */
void persist_placed(struct session *s, struct delivery *d);
/* A delivery leaves: acknowledged to the end, expired, dropped. */
void persist_done(struct session *s, struct delivery *d);
static inline void persist_leave(struct session *s, struct delivery *d)
{
    if (d->wait || d->stored)
        persist_done(s, d);
}
/* PUBREC came: true when PUBREL has to wait. */
bool persist_released(struct session *s, struct delivery *d);

/* ---- QoS 2 in ---- */

/* A publish with QoS 2 was taken: in a session that is kept its row is put, and PUBREC waits. */
void persist_received(struct session *s, struct qos2_in *q, struct broker_receipt *receipt);
/* PUBREL came: true when PUBCOMP has to wait, false when the entry can go. */
bool persist_complete(struct session *s, struct qos2_in *q);
void persist_forget_received(struct session *s, struct qos2_in *q);

/* ---- retained ---- */

/* m has become its topic's retained message, or (with an empty payload) has ended it. */
void persist_retained(struct broker *b, const struct sl_msg *m, struct broker_receipt *receipt);
void persist_retained_gone(struct broker *b, const struct sl_msg *m);

#endif
