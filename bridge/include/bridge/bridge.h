/* bridge.h - the cloud side: an MQTT client over mutual TLS that sends what the outbox holds, and
 * brings messages down.
 *
 * One connection, one state machine; reconnects by itself with full-jitter back-off. "Online" means
 * that the cloud acknowledges. The outbox is told the link's state and is the only source of
 * messages. Loop thread only. */
#ifndef BRIDGE_BRIDGE_H
#define BRIDGE_BRIDGE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/msg.h"
#include "bridge/batch.h"
#include "store/outbox.h"

#include <uv.h>

enum bridge_state {
    BRIDGE_DISABLED,
    BRIDGE_RESOLVING,
    BRIDGE_CONNECTING,
    BRIDGE_HANDSHAKING,
    BRIDGE_CONNACK,
    BRIDGE_SUBSCRIBING,
    BRIDGE_ONLINE,
    BRIDGE_STALLED,  /* connected, but acknowledgements are overdue */
    BRIDGE_DRAINING, /* stopping: waits for acknowledgements, then DISCONNECT */
    BRIDGE_BACKOFF,
    BRIDGE_STOPPED,
};
/* The interface's word for a state: online, stalled, connecting, offline, disabled. */
const char *bridge_state_word(enum bridge_state s);

struct bridge_subscription {
    const char *cloud; /* filter in the cloud */
    const char
        *local;  /* filter here: '#' and '+' take over what those of `cloud` matched, in order */
    uint8_t qos; /* 0 or 1 */
};

/* Strings and arrays are copied. */
struct bridge_options {
    uv_loop_t *loop;
    const struct sl_clock *clock;
    struct outbox *outbox;  /* borrowed until bridge_close()'s callback */
    const char *gateway_id; /* first part of sluice-id */
    const char *host;
    uint16_t port;
    const char *client_id;
    const char *ca_path, *cert_path, *key_path; /* no ca: plain TCP (only for type mqtt) */
    const char *alpn;                /* protocol to offer in the TLS handshake; NULL for none */
    const char *username, *password; /* optional (type mqtt) */
    int protocol_version;            /* 5 (falling back to 4 when refused) or 4 */
    int64_t keep_alive_ms, connect_timeout_ms, reconnect_min_ms, reconnect_max_ms;
    uint32_t in_flight_max;      /* publishes without acknowledgement */
    double publishes_per_second; /* 0 for no limit */
    uint64_t bytes_per_second;   /* 0 for no limit */
    uint32_t payload_max;        /* larger ones go to the dead letters */
    bool aws_limits;             /* topic: 256 bytes, 7 slashes; QoS at most 1 */
    uint64_t origin;             /* of messages that come from the cloud */
    const struct bridge_subscription *subscriptions;
    size_t subscription_count;
    /* Limits of the outputs that may be batched; the standard is for those of an earlier
     * configuration that are in no table any more. */
    struct bridge_batch batch_standard;
    const struct bridge_batch *batches;
    size_t batch_count;
};

/* What becomes of a message from the cloud. */
enum bridge_take {
    BRIDGE_TAKEN,       /* acknowledge it */
    BRIDGE_TAKES_LATER, /* bridge_message_done() will tell */
    BRIDGE_INVALID,     /* cannot be taken, ever: acknowledged and counted */
    BRIDGE_NO_ROOM,     /* refused and counted */
};

/* Why messages from the cloud were dropped. */
enum bridge_drop {
    BRIDGE_DROP_EXPIRED,         /* its Message Expiry had passed: stale */
    BRIDGE_DROP_NO_SUBSCRIPTION, /* no subscription of ours fits (an old session's, say) */
    BRIDGE_DROP_INVALID,
    BRIDGE_DROP_NO_ROOM,
    BRIDGE_DROPS
};
const char *bridge_drop_name(enum bridge_drop why); /* "expired", "no_subscription", ... */

struct bridge_status {
    enum bridge_state state;
    int64_t since_wall_ms; /* when the link came up, or was lost: an attempt to connect does not end
                              an outage */
    char cause[64];        /* short and stable: "connack-refused", "tls", "dns", "keep-alive" ... */
    char error[384];       /* the last failure: what happened and what to do; "" after success */
    /* published, acknowledged and dead count outputs; batches the packets that held `batched` of
     * them. */
    uint64_t metered; /* messages as AWS counts them (metering.h), both ways, with what it takes to
                         connect */
    uint64_t connects, connect_failures, published, acknowledged, received, dead, bytes_out,
        bytes_in, batches, batched;
    uint64_t dropped[BRIDGE_DROPS]; /* messages from the cloud */
    uint64_t refused;               /* times the cloud said "not now" to a publish */
    uint32_t in_flight;
    int64_t round_trip_ms;    /* smoothed publish-to-acknowledgement */
    int64_t next_attempt_ms;  /* until the next try, while in back-off */
    int protocol_version;     /* in use */
    int64_t cert_not_after_s; /* our certificate's end, 0 without one */
};

struct bridge_callbacks {
    void *ctx;
    void (*on_state)(void *ctx,
                     const struct bridge_status *status); /* when word, cause or error changed */
    /* A message from the cloud, its topic already the local one. The message is borrowed. With QoS
     * 1 it may be taken later: the cloud's acknowledgement waits for it. */
    enum bridge_take (*on_message)(void *ctx, struct sl_msg *m, uint64_t token);
    /* The cloud can never take it: it goes to the dead letters. May be NULL. */
    void (*on_dead)(void *ctx, const struct sl_msg *m, const char *reason);
};

struct bridge;

/* Whether both sides are filters, and the local one has no wildcard that the other cannot fill. */
SL_NODISCARD enum sl_code bridge_check_subscription(const struct bridge_subscription *s,
                                                    struct sl_err *err);

/* Checks the certificate files: one that is missing or bad does not fail, it leaves the bridge in
 * back-off with the error in its status and is read again at every attempt (it may be renewed).
 * Fails for lack of memory, and with SL_INVALID for a subscription that bridge_check_subscription()
 * refuses. The process must ignore SIGPIPE. The first on_state comes from the loop. */
SL_NODISCARD enum sl_code bridge_open(struct bridge **ret, const struct bridge_options *options,
                                      const struct bridge_callbacks *callbacks, struct sl_err *err);
/* Stop: no new publishes, wait up to grace_ms for acknowledgements, DISCONNECT, then closed(ctx)
 * from the loop. */
void bridge_close(struct bridge *b, int64_t grace_ms, void (*closed)(void *ctx), void *ctx);
/* Other limits, after a reload; copied. False when memory is out: the old ones stay. */
SL_NODISCARD bool bridge_set_batches(struct bridge *b, const struct bridge_batch *batches,
                                     size_t count);
/* A message that on_message takes later is safe (reason below 0x80), or is not. Not from inside a
 * callback of the bridge. */
void bridge_message_done(struct bridge *b, uint64_t token, uint8_t reason);
void bridge_get_status(const struct bridge *b, struct bridge_status *ret);
bool bridge_is_connected(const struct bridge *b); /* from CONNACK on */

#endif
