/* flights.h - QoS 1 publishes that the server has not acknowledged: packet identifiers and times.
 *
 * A flight is `sent` (waits for its PUBACK), `refused` (the server said "not now"; it is sent again
 * later) or `remembered`: its connection is gone and its item went back to the outbox, but the
 * identifier is kept, because a server that kept the session wants the same message to come again
 * under the same identifier [MQTT-4.4.0-1]. Pure; items are borrowed. */
#ifndef BRIDGE_FLIGHTS_H
#define BRIDGE_FLIGHTS_H

#include "base/macros.h"
#include "store/outbox.h"

#include <stdbool.h>
#include <stdint.h>

#define FLIGHTS_WINDOW_MAX 4096
/* So many refusals of one publish hold back what comes after it, so that order is kept: not more,
 * or one that the server never takes would block all. */
#define FLIGHTS_HOLD 4
/* Identifiers above it are the client's own, for SUBSCRIBE. */
#define FLIGHTS_ID_MAX 0x7FFF

enum flight_state { FLIGHT_FREE, FLIGHT_SENT, FLIGHT_REFUSED, FLIGHT_REMEMBERED };

struct flight {
    enum flight_state state;
    enum outbox_lane lane;
    uint64_t number;
    struct outbox_item *item; /* NULL when free or remembered */
    uint16_t packet_id;
    uint8_t tries;     /* times sent on this connection */
    uint16_t refusals; /* times the server said "not now" */
    bool dup;          /* was sent before, in this session */
    uint64_t seq;      /* order of sending */
    int64_t sent_ms, retry_ms;
    struct flight *older, *newer; /* sent ones in the order of sending */
};

struct flights {
    struct flight *slots; /* a flight lies at its identifier modulo the size */
    uint32_t mask;
    uint32_t sent, refused, remembered;
    uint32_t late; /* sent ones that had to be sent again */
    struct flight *oldest, *newest;
    uint16_t last_id;
    uint64_t last_seq;
};

/* window: the most that will be sent and refused together, 1 to FLIGHTS_WINDOW_MAX. False when
 * memory is out. */
SL_NODISCARD bool flights_init(struct flights *f, uint32_t window);
void flights_free(struct flights *f);

static inline uint32_t flights_count(const struct flights *f)
{
    return f->sent + f->refused;
}

/* A new flight for the item, sent at now_ms; the remembered one, with dup set, if there is one.
 * Call only while flights_count() is below the window. */
struct flight *flights_add(struct flights *f, struct outbox_item *item, int64_t now_ms);
/* The sent flight with that identifier, or NULL. */
struct flight *flights_find(struct flights *f, uint16_t packet_id);
/* Sent, or refused and now sent again: becomes the newest. */
void flights_again(struct flights *f, struct flight *fl, int64_t now_ms);
/* Sent: the server does not take it now. */
void flights_refuse(struct flights *f, struct flight *fl, int64_t retry_ms);
/* The refused flight whose turn comes first, or NULL. Those that hold others back have their turns
 * in the order of lane and number, whatever their own times are. */
struct flight *flights_next_retry(struct flights *f);
/* Whether a refused one holds back what is new. */
bool flights_hold(const struct flights *f);
/* Acknowledged or given up. */
void flights_drop(struct flights *f, struct flight *fl);
/* The connection is gone: sent ones are remembered, refused ones (whose identifiers the server has
 * released) forgotten. No item is pointed to any more. */
void flights_remember(struct flights *f);
/* The session is gone: nothing is remembered. */
void flights_forget(struct flights *f);

#endif
