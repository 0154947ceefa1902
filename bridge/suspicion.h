/* suspicion.h - finding the message for which a server hangs up.
 *
 * MQTT 3.1.1 has no way to refuse a publish but closing the connection, and MQTT 5 servers may do
 * the same. Such a message would be sent again on every connection and block its lane for ever.
 * After SUSPICION_BARREN connections in a row that the server closed without acknowledging anything
 * sent, publishes go one at a time, and the first only once the server has answered a ping and then
 * left the connection alone for SUSPICION_QUIET_MS: so that one which hangs up whatever we do is
 * told from one that hangs up because of the message. The one that is out when the server closes
 * SUSPICION_STRIKES times more is convicted. Should the server be the one to blame after all, this
 * must not cost message after message: each conviction without an acknowledgement in between takes
 * twice the strikes of the one before. Any acknowledgement ends the suspicion. Pure. */
#ifndef BRIDGE_SUSPICION_H
#define BRIDGE_SUSPICION_H

#include "store/outbox.h"

#define SUSPICION_BARREN        2
#define SUSPICION_STRIKES       3
#define SUSPICION_DOUBLINGS_MAX 5 /* 96 connections a message */
#define SUSPICION_QUIET_MS      2000

struct suspicion {
    unsigned barren; /* connections in a row that were closed without an acknowledgement */
    unsigned strikes;
    unsigned convicted;    /* since the last acknowledgement */
    enum outbox_lane lane; /* of the suspect, when there are strikes */
    uint64_t number;
};

/* The server closed the connection on purpose, nothing had been acknowledged on it, and this
 * publish was the oldest unacknowledged one. */
void suspicion_hung_up(struct suspicion *s, enum outbox_lane lane, uint64_t number);
/* The server acknowledged (or refused in words) a publish. */
void suspicion_clear(struct suspicion *s);
/* Publishes are to go one at a time. */
static inline bool suspicion_careful(const struct suspicion *s)
{
    return s->barren >= SUSPICION_BARREN;
}
/* The message is the one. The next still goes alone, until an acknowledgement comes. */
bool suspicion_convicts(struct suspicion *s, const struct outbox_item *item);

#endif
