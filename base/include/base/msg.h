/* msg.h - a message: one immutable (but for its counts), reference-counted allocation, shared by
 * all who need it.
 *
 * Topic, forwardable MQTT 5 properties, payload and the sender's name lie behind one header. Made
 * by whoever receives or composes it, then only read. References are counted without atomics: only
 * the loop thread takes and drops them; another thread may read a message while the loop holds a
 * reference on its behalf. */
#ifndef BASE_MSG_H
#define BASE_MSG_H

#include "base/slice.h"

#define SL_MSG_NO_EXPIRY UINT32_MAX

struct sl_msg {
    uint32_t refs;
    uint32_t payload_len;
    uint32_t props_len;
    uint32_t expiry_s; /* Message Expiry Interval as received; SL_MSG_NO_EXPIRY without one */
    uint32_t
        waiting; /* queues that it waits in: counted by the broker, which bounds their memory */
    uint16_t topic_len;
    uint16_t sender_len;
    uint8_t qos; /* as published */
    bool retain; /* as published */
    uint16_t
        batch; /* to the cloud: key of the limits within which it may share a packet; 0: alone */
    uint16_t linger_ms; /* that long the sender may hold it back for that, before it goes to disk */
    int64_t mono_ms;    /* when it was accepted, monotonic: ages and expiry */
    int64_t wall_ms;    /* when it was accepted, wall clock: timestamps */
    uint64_t origin;    /* who published it (No Local); 0 for the gateway itself */
    uint8_t data[];     /* topic, props, payload, sender */
};

/* What a new message is made of. Slices are copied. */
struct sl_msg_parts {
    struct sl_slice topic;   /* at most 65,535 bytes, already validated */
    struct sl_slice props;   /* encoded MQTT 5 properties to forward as they are; may be empty */
    struct sl_slice payload; /* at most 268,435,455 bytes */
    struct sl_slice sender;  /* client id of the publisher; may be empty */
    uint32_t expiry_s;       /* SL_MSG_NO_EXPIRY for none */
    uint8_t qos;
    bool retain;
    uint16_t batch, linger_ms;
    int64_t mono_ms, wall_ms;
    uint64_t origin;
};

/* One reference, yours; NULL when memory is out or a part is over its size. */
SL_NODISCARD struct sl_msg *sl_msg_new(const struct sl_msg_parts *parts);
static inline struct sl_msg *sl_msg_ref(struct sl_msg *m)
{
    m->refs++;
    return m;
}
void sl_msg_unref(struct sl_msg *m); /* accepts NULL */

static inline struct sl_slice sl_msg_topic(const struct sl_msg *m)
{
    return (struct sl_slice){ m->data, m->topic_len };
}
static inline struct sl_slice sl_msg_props(const struct sl_msg *m)
{
    return (struct sl_slice){ m->data + m->topic_len, m->props_len };
}
static inline struct sl_slice sl_msg_payload(const struct sl_msg *m)
{
    return (struct sl_slice){ m->data + m->topic_len + m->props_len, m->payload_len };
}
static inline struct sl_slice sl_msg_sender(const struct sl_msg *m)
{
    return (struct sl_slice){ m->data + m->topic_len + m->props_len + m->payload_len,
                              m->sender_len };
}

/* True when the message's expiry has passed at mono_ms. */
static inline bool sl_msg_expired(const struct sl_msg *m, int64_t now_mono_ms)
{
    return m->expiry_s != SL_MSG_NO_EXPIRY &&
           now_mono_ms - m->mono_ms >= (int64_t)m->expiry_s * 1000;
}

/* Bytes that the message takes in memory. */
static inline size_t sl_msg_size(const struct sl_msg *m)
{
    return sizeof *m + m->topic_len + m->props_len + m->payload_len + m->sender_len;
}

#endif
