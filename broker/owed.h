/* owed.h - retained messages that a session is still to be sent for its new subscriptions.
 *
 * They are not copied into a queue: each subscription has a cursor over the tree of retained
 * messages, which moves on as window and output have room, so that any number of them costs no
 * memory and none is dropped. What is retained after the subscription is not the cursor's matter:
 * the client gets it as it is published. Fresh messages may overtake.
 *
 * What a client has not been sent when its connection ends is owed on if the session goes on and
 * the subscription is for QoS 1 or 2; it does not outlive the process. Unsubscribing ends it. */
#ifndef BROKER_OWED_H
#define BROKER_OWED_H

#include "subs.h"
#include "trie.h"

#define OWED_STEPS_SESSION 1024 /* nodes that one session's cursors pass in a turn */
#define OWED_STEPS_TURN    8192 /* and all of them */

struct broker;

/* One subscription's. */
struct owed_one {
    struct owed_one *next;
    struct trie_cursor walk;
    struct subids *ids;
    uint32_t epoch; /* what has this stamp or a later one came after the subscription */
    uint8_t qos;
    bool no_local, begun;
    uint16_t filter_len;
    uint8_t filter[];
};

/* One session's. */
struct owed {
    struct session *session;
    struct owed *next_hungry;
    struct owed_one *first, *last;
    uint64_t turn; /* that steps_left is of */
    uint32_t steps_left;
    bool hungry; /* among those that could have gone on, had the turn been longer */
};

/* The session's subscription to a filter is new: it gets the retained messages, from now on. An
 * earlier debt for the same filter ends. False: memory is out. */
SL_NODISCARD bool owed_add(struct session *s, struct sl_slice filter,
                           const struct subscription *sub);
/* The session has unsubscribed. */
void owed_forget(struct session *s, struct sl_slice filter);
/* Sends as much as there is room for, and as one turn may take. */
void owed_pump(struct session *s);
/* The session's connection has ended. */
void owed_detach(struct session *s);
void owed_free(struct session *s);
/* A turn begins: those that the last one kept waiting may go on. */
void owed_turn(struct broker *b);

#endif
