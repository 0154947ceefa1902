/* gateway_rig.h - store, broker and rules of a gateway in a folder of the test's own: real ones, on
 * a real loop, without listeners. Clients are tests/broker's, whose bytes the test writes. */
#ifndef TESTS_GATEWAY_RIG_H
#define TESTS_GATEWAY_RIG_H

#include "gateway.h"
#include "peer.h"

struct gateway_rig {
    struct gateway *g;
    struct rig broker; /* for the peers: only its broker is set */
    char folder[64];
    bool closed;
};

/* sections: members of the configuration besides gateway and listeners, "\"rules\":[...]" say. */
void gateway_rig_open(struct gateway_rig *r, const char *sections);
/* Asserts that nothing is left on the loop; removes the folder. */
void gateway_rig_close(struct gateway_rig *r);
/* A configuration of these sections, for a reload. */
struct config *gateway_rig_config(const struct gateway_rig *r, const char *sections);

/* Turns the loop until done(ctx), or fails the test after some seconds. */
void gateway_rig_until(struct gateway_rig *r, bool (*done)(void *ctx), void *ctx);
/* The same until the broker has sent p something. */
void gateway_rig_wait(struct gateway_rig *r, struct peer *p);

struct engine_rule_view gateway_rig_rule(const struct gateway_rig *r, const char *name);
struct outbox_lane_stats gateway_rig_lane(const struct gateway_rig *r, enum outbox_lane lane);

#endif
