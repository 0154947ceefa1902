/* outgoing.h - one message of the outbox as a PUBLISH: what the server can never take, and the
 * bytes of what it can. Pure. */
#ifndef BRIDGE_OUTGOING_H
#define BRIDGE_OUTGOING_H

#include "broker/mqtt.h"
#include "store/outbox.h"

/* What this server, and the configuration, allow. */
struct outgoing_limits {
    enum mqtt_version version;
    uint32_t payload_max;
    uint32_t packet_max; /* the whole packet; UINT32_MAX for no limit */
    uint8_t qos_max;     /* 0 or 1: QoS 2 is never sent */
    bool retain;         /* the server keeps retained messages */
    bool aws;            /* topic: 256 bytes, 7 slashes; user properties 8 KiB */
};

#define OUTGOING_TOPIC_MAX_AWS   256
#define OUTGOING_SLASHES_MAX_AWS 7
#define OUTGOING_PROPS_MAX_AWS   8192

/* False when the server can never take a message with this payload; ret_reason then says why. Does
 * not look at packet_max. */
SL_NODISCARD bool outgoing_allowed(const struct outgoing_limits *l, const struct sl_msg *m,
                                   size_t payload_len, char *ret_reason, size_t reason_size);
/* What the payload of the PUBLISH takes: an item that may be batched goes as an array, with those
 * chained to it (element.h). scratch is overwritten. */
size_t outgoing_payload_len(const struct outbox_item *item, const char *gateway_id,
                            struct sl_buf *scratch);
/* The quality of service it goes out with. */
uint8_t outgoing_qos(const struct outgoing_limits *l, const struct sl_msg *m);

struct outgoing {
    const struct outbox_item *item; /* the first of a batch: its array */
    const char *gateway_id;         /* first part of sluice-id */
    uint16_t packet_id;             /* 0 with QoS 0 */
    bool dup;
    int64_t now_ms; /* monotonic: what is left of the message's expiry */
};
/* Appends the PUBLISH to out; scratch is overwritten. Look at out->failed. False, with out as it
 * was, when the packet is above packet_max. *ret_metered: what AWS charges for, in steps; 0 for
 * Basic Ingest. */
SL_NODISCARD bool outgoing_encode(struct sl_buf *out, struct sl_buf *scratch,
                                  const struct outgoing_limits *l, const struct outgoing *p,
                                  uint64_t *ret_metered);

#endif
