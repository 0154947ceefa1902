/* bridge_internal.h - the bridge's insides, shared by bridge.c (states, attempts, life),
 * bridge_flow.c (messages in both directions) and bridge_setup.c (options). */
#ifndef BRIDGE_INTERNAL_H
#define BRIDGE_INTERNAL_H

#include "backoff.h"
#include "batches.h"
#include "bridge/bridge.h"
#include "client.h"
#include "explain.h"
#include "link.h"
#include "pace.h"
#include "topicmap.h"

struct bridge {
    struct bridge_options options; /* strings are the bridge's own copies */
    struct bridge_callbacks callbacks;
    struct explain_peer peer;
    const char *alpn[2]; /* NULL-ended, as tls.h wants it */
    struct topicmap topics;
    struct batches batches; /* between the outbox and the client */
    struct client *client;
    struct backoff backoff;
    uv_timer_t timer;  /* the one timer: the earliest of all deadlines */
    struct link *link; /* NULL between attempts */
    unsigned holds;    /* the timer and every link that is not closed yet */

    enum bridge_state state;
    int64_t deadline_ms; /* of the state; CLIENT_NEVER for none */
    int64_t up_since_ms; /* while the link counts as up: since then; CLIENT_NEVER */
    struct sl_moment since;
    struct explanation why; /* the last failure; empty after success */
    struct explanation announced;
    enum bridge_state announced_state;
    struct explanation refused_subscription; /* on this session; "" for none */

    enum mqtt_version version; /* of the next attempt */
    unsigned kicks;        /* connections in a row that the server ended soon after they came up */
    unsigned closed_early; /* connections in a row that ended right after CONNECT */
    bool spoke_5;          /* the server took us with MQTT 5 once */
    bool guessed;          /* the older version is used because it hung up, not because it said */
    bool writing;          /* the link has not written what it was given */
    bool dry;              /* the outbox had nothing; it will call */
    bool closing;
    int64_t drain_until_ms;
    void (*on_closed)(void *ctx);
    void *closed_ctx;

    uint64_t connects, connect_failures, published, acknowledged, received, dead;
    uint64_t metered_in; /* what came down, and its acknowledgements */
    uint64_t batches_sent, batched;
    uint64_t dropped[BRIDGE_DROPS];
    uint64_t bytes_in, bytes_out; /* of links that are gone */
    int64_t cert_not_after_s;
    struct sl_buf topic, props; /* of the message that comes in */
};

/* ---- bridge_setup.c ---- */

/* On failure bridge_clear() is still to be called. */
SL_NODISCARD enum sl_code bridge_fill(struct bridge *b, const struct bridge_options *options,
                                      struct sl_err *err);
void bridge_clear(struct bridge *b);

/* ---- bridge_flow.c ---- */

/* What the bridge's client is to call. */
struct client_events bridge_client_events(struct bridge *b);
/* Sends what may be sent now and hands the gathered bytes to the link. */
void bridge_pump(struct bridge *b);
void bridge_flush(struct bridge *b);
void bridge_on_outbox_ready(void *ctx);

/* ---- bridge.c ---- */

/* After anything has happened: the client's phase becomes the bridge's state, the timer is set and
 * the owner told. Every callback from the loop ends here. */
void bridge_settle(struct bridge *b);
int64_t bridge_now(const struct bridge *b);
static inline bool bridge_is_up(const struct bridge *b)
{
    return b->state == BRIDGE_ONLINE || b->state == BRIDGE_STALLED || b->state == BRIDGE_DRAINING;
}

#endif
