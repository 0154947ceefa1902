/* codec_internal.h - what the codec's files share: taking and putting the pieces packets are made
 * of. Private to codec*.c; everything here is pure. */
#ifndef BROKER_CODEC_INTERNAL_H
#define BROKER_CODEC_INTERNAL_H

#include "broker/mqtt.h"

/* The largest remaining length that four bytes hold (MQTT 5, 2.1.4). */
#define CODEC_REMAINING_MAX 268435455u

/* Where a block of properties stands: the packet's type, or this for a will inside CONNECT. */
enum { CODEC_WILL = 0 };

/* Ends a decoder: "return codec_refuse(why, MQTT_RC_MALFORMED, "...")". */
static inline uint8_t codec_refuse(const char **why, uint8_t reason, const char *text)
{
    if (why)
        *why = text;
    return reason;
}

static inline uint8_t codec_malformed(const char **why, const char *text)
{
    return codec_refuse(why, MQTT_RC_MALFORMED, text);
}

static inline uint8_t codec_protocol_error(const char **why, const char *text)
{
    return codec_refuse(why, MQTT_RC_PROTOCOL_ERROR, text);
}

/* Version 3.1 calls the flags of most packets "not used" and lets a repeated SUBSCRIBE, UNSUBSCRIBE
 * or PUBREL carry DUP; later versions fix all four [MQTT-2.1.3-1]. */
static inline bool codec_flags_fit(const struct mqtt_frame *f, enum mqtt_version v, uint8_t want)
{
    return f->flags == want || v == MQTT_V31;
}

/* ---- codec.c ---- */

/* A variable byte integer. Refuses more than four bytes and forms longer than needed
 * [MQTT-1.5.5-1]; the cursor is then untouched. */
SL_NODISCARD bool codec_take_varint(struct sl_cursor *c, uint32_t *ret);
size_t codec_varint_size(size_t n); /* n at most CODEC_REMAINING_MAX */
uint8_t *codec_write_varint(uint8_t *at, size_t n);
void codec_put_varint(struct sl_buf *out, size_t n);

/* The fixed header. Above CODEC_REMAINING_MAX out fails. */
void codec_put_fixed(struct sl_buf *out, enum mqtt_type type, uint8_t flags, size_t remaining);

/* A string: its length, and UTF-8 without U+0000. */
uint8_t codec_take_string(struct sl_cursor *c, struct sl_slice *ret, const char **why);
/* A packet id, which is never 0. */
uint8_t codec_take_packet_id(struct sl_cursor *c, uint16_t *ret, const char **why);
/* Why a topic that sl_topic_valid() refuses is refused; MQTT_RC_SUCCESS for a valid one. */
uint8_t codec_check_topic(struct sl_slice topic, const char **why);

/* ---- codec_reason.c ---- */

/* Whether the standard lists the reason for that packet (MQTT 5, table 2-6). */
bool codec_reason_fits(uint8_t reason, enum mqtt_type type);

/* ---- codec_props.c ---- */

/* Takes a length and that many bytes of properties. `place` is a packet type or CODEC_WILL. *ret is
 * written on success only. */
uint8_t codec_take_props(struct sl_cursor *c, unsigned place, struct mqtt_props *ret,
                         const char **why);
/* The same, and nothing may follow. */
uint8_t codec_take_last_props(struct sl_cursor *c, unsigned place, struct mqtt_props *ret,
                              const char **why);
/* Bytes that the block takes without its length. */
size_t codec_props_len(const struct mqtt_props *p);
/* The same with its length before it. */
size_t codec_props_size(const struct mqtt_props *p);
void codec_put_props(struct sl_buf *out, const struct mqtt_props *p);

#endif
