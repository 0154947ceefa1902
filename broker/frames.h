/* frames.h - PUBLISH frames for delivery, encoded once for all receivers that get the same bytes.
 *
 * Receivers of one message differ in version, QoS, packet id, flags and properties. Frames without
 * properties of the delivery's own are encoded once per version and QoS; packet id and retain flag
 * are patched into the copy. */
#ifndef BROKER_FRAMES_H
#define BROKER_FRAMES_H

#include "base/msg.h"
#include "broker/mqtt.h"
#include "outq.h"

struct subids;

struct frame {
    bool ready;
    uint32_t id_at; /* where the packet id is; 0 for QoS 0 */
    struct sl_buf bytes;
};

/* Slots are by version (5 or older) and QoS. The memory is kept from message to message. */
struct frame_cache {
    const struct sl_msg *msg;
    struct frame slots[2][3];
};

struct frame_request {
    struct sl_msg *msg;
    const struct subids *ids; /* NULL for none */
    enum mqtt_version version;
    uint8_t qos;
    bool retain, dup;
    uint16_t packet_id;  /* QoS 1 and 2 */
    uint16_t alias;      /* the receiver's for this topic; 0 for none */
    bool alias_known;    /* ... which it was told: the topic is left out */
    uint32_t max_size;   /* the receiver's maximum packet size */
    int64_t now_mono_ms; /* for the rest of the message's expiry */
};

enum frame_result { FRAME_OK, FRAME_TOO_LARGE, FRAME_NO_MEMORY };

/* For one message after another; m is borrowed until the next begin, or free. */
void frame_cache_begin(struct frame_cache *c, const struct sl_msg *m);
void frame_cache_free(struct frame_cache *c);
/* Append the frame to q; nothing is appended unless FRAME_OK. cache may be NULL. */
enum frame_result frame_put(struct outq *q, struct outq_pool *pool, struct frame_cache *cache,
                            const struct frame_request *r);

#endif
