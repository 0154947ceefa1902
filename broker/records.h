/* records.h - the rows that the persistence interface carries: structs to bytes and back.
 *
 * Pure. Every record begins with its version. What comes back from a disk is hostile: a decoder
 * accounts for every byte, and what it returns may go to the wire as it is. Slices in decoded
 * records point into the bytes that were decoded. Times are wall times, since nothing else survives
 * a restart. */
#ifndef BROKER_RECORDS_H
#define BROKER_RECORDS_H

#include "base/buf.h"
#include "base/msg.h"
#include "base/slice.h"

/* ---- keys ---- */

#define RECORD_META_ORIGINS "origins"

/* Session numbers, sequence numbers and packet ids big-endian, so that keys sort by them. */
struct record_key {
    uint8_t bytes[16];
    uint8_t len;
};
static inline struct sl_slice record_key_slice(const struct record_key *k)
{
    return (struct sl_slice){ k->bytes, k->len };
}
struct record_key record_key_session(uint64_t session);
struct record_key record_key_delivery(uint64_t session, uint64_t sequence);
struct record_key record_key_received(uint64_t session, uint16_t packet_id);
void record_put_key_subscription(struct sl_buf *out, uint64_t session, struct sl_slice filter);

/* Takes the number from the front of a key; false when it is too short. */
SL_NODISCARD bool record_key_take_session(struct sl_cursor *key, uint64_t *ret);
SL_NODISCARD bool record_take_u64(struct sl_cursor *c, uint64_t *ret);

/* ---- values ---- */

/* How long ago something was stored, as far as the clock can be believed: never negative, and 0
 * while one of the two times is from before the clock was set. */
int64_t record_elapsed_ms(int64_t saved_wall_ms, int64_t now_wall_ms);

/* A message without its payload, which follows as the record's tail. */
struct record_message {
    struct sl_slice topic, props, payload, sender;
    int64_t saved_wall_ms, age_ms; /* when it was stored, and how old it was then */
    int64_t wall_ms;
    uint64_t origin;
    uint32_t expiry_s;
    uint8_t qos;
    bool retain;
};

struct record_now {
    int64_t mono_ms, wall_ms;
};

/* Of each kind: take is false, and *ret untouched, for what put cannot have written; put fails as
 * its buffer does. */
SL_NODISCARD bool record_take_origins(struct sl_slice value, uint64_t *ret);
void record_put_origins(struct sl_buf *out, uint64_t next);

struct record_session {
    struct sl_slice client_id;
    struct sl_slice user; /* who connected with it last; ptr NULL: somebody without a name */
    int64_t saved_wall_ms;
    int64_t left_ms; /* of its life, when it was stored; the whole while it was online */
    uint32_t expiry_s;
    uint64_t next_sequence; /* no delivery has had it yet */
    bool online;
    bool has_will;
    int64_t will_left_ms; /* until it is due */
    struct record_message will;
};
SL_NODISCARD bool record_take_session(struct sl_slice value, struct record_session *ret);
/* With a will, its payload follows as the tail; of r->will nothing is read. */
void record_put_session(struct sl_buf *out, const struct record_session *r,
                        const struct sl_msg *will, struct record_now now);

struct record_subscription {
    uint32_t id;
    uint8_t qos;
    bool no_local, retain_as_published;
};
SL_NODISCARD bool record_take_subscription(struct sl_slice value, struct record_subscription *ret);
void record_put_subscription(struct sl_buf *out, const struct record_subscription *r);

struct record_delivery {
    uint8_t qos;
    bool retain;
    bool released;         /* no message */
    struct sl_slice ids;   /* subscription identifiers, encoded as properties */
    struct sl_slice share; /* "$share/NAME/FILTER" that it came by; empty for none */
    struct record_message message;
};
SL_NODISCARD bool record_take_delivery(struct sl_slice value, struct record_delivery *ret);
/* m's payload follows as the tail; with r->released, m may be NULL. */
void record_put_delivery(struct sl_buf *out, const struct record_delivery *r,
                         const struct sl_msg *m, struct record_now now);

SL_NODISCARD bool record_take_received(struct sl_slice value);
void record_put_received(struct sl_buf *out);

/* The topic is the key. m's payload follows as the tail. */
SL_NODISCARD bool record_take_retained(struct sl_slice topic, struct sl_slice value,
                                       struct record_message *ret);
void record_put_retained(struct sl_buf *out, const struct sl_msg *m, struct record_now now);

/* A message again, as old as it has become; NULL when memory is out. */
SL_NODISCARD struct sl_msg *record_make_message(const struct record_message *r,
                                                struct record_now now);

#endif
