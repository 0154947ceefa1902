/* durable_rig.h - a broker with a fake store under it, that can stop, crash and start again. */
#ifndef TESTS_BROKER_DURABLE_RIG_H
#define TESTS_BROKER_DURABLE_RIG_H

#include "fake_store.h"
#include "peer.h"
#include "persist_internal.h"

enum { RIG_SPILL_MS = 200, RIG_PEERS = 4 };

struct durable_rig {
    struct rig r;
    struct fake_store store;
    struct peer peers[RIG_PEERS]; /* those that are open go down with the broker */
};

void durable_open(struct durable_rig *d);
/* As at SIGTERM: everything is committed, then the broker ends. */
void durable_stop(struct durable_rig *d);
/* Pulls the plug: of what was not committed, the disk took this many steps. */
void durable_crash(struct durable_rig *d, size_t ops);
/* Another broker finds what the last one left; away_ms later by the wall clock, which may have
 * stepped. */
void durable_start(struct durable_rig *d, int64_t away_ms);
void durable_close(struct durable_rig *d); /* and all of it */
/* Lets spill_ms pass. */
void durable_spill(struct durable_rig *d);
/* Commits, and lets the broker do what it waited for. */
void durable_commit(struct durable_rig *d);

/* Opens, connects with a session that is kept for 500 s, reads CONNACK. Returns whether there was a
 * session. */
bool durable_online(struct durable_rig *d, unsigned peer, enum mqtt_version v, const char *id);
/* SUBACK waits for a commit. */
void durable_subscribe(struct durable_rig *d, unsigned peer, const char *filter, uint8_t qos);

/* Two of the peers, in version 5: "pub" and "sub". */
enum { PUB, SUB };
/* A publisher and, with this QoS, a subscriber to "t"; everything committed. */
void open_pair(struct durable_rig *d, uint8_t qos);
/* Both come back to their sessions. */
void reopen_pair(struct durable_rig *d, int64_t away_ms);

/* The next packet is a PUBLISH with this payload. ret_id may be NULL. */
void assert_next(struct peer *p, const char *text, uint8_t qos, bool dup, uint16_t *ret_id);
/* It is this acknowledgement, with success; or with "quota exceeded". */
void assert_acked(struct peer *p, enum mqtt_type type, uint16_t id);
void assert_refused(struct peer *p, enum mqtt_type type, uint16_t id);

#endif
