/* codec.c - framing, the pieces that all packets share, and the packets without a body. Pure. */
#include "codec_internal.h"

#include "base/topic.h"

/* ---- framing ---- */

/* The remaining length behind the first byte. *ret_size is how many bytes it takes; false when it
 * goes on past the bytes there are or past four bytes (then *ret_size is 5). Longer forms than
 * needed are accepted here: 3.1.1 allows them, and devices that reserve four bytes exist. */
static bool read_remaining(const struct sl_cursor *in, uint32_t *ret_len, uint32_t *ret_size)
{
    uint32_t len = 0, i = 0;
    while (i < 4 && 1 + i < in->left) {
        uint8_t b = in->at[1 + i];
        len |= (uint32_t)(b & 0x7F) << (7 * i);
        i++;
        if (b < 0x80) {
            *ret_len = len;
            *ret_size = i;
            return true;
        }
    }
    *ret_size = i < 4 ? i : 5;
    return false;
}

enum mqtt_frame_result mqtt_frame_next(struct sl_cursor *in, uint32_t max_size,
                                       struct mqtt_frame *ret, uint32_t *ret_need)
{
    uint32_t len, len_size;
    if (ret_need)
        *ret_need = 0;
    if (in->left == 0)
        return MQTT_FRAME_MORE;
    if (in->at[0] < MQTT_CONNECT << 4) /* type 0 is forbidden (MQTT 5, 2.1.2) */
        return MQTT_FRAME_MALFORMED;
    if (!read_remaining(in, &len, &len_size))
        return len_size > 4 ? MQTT_FRAME_MALFORMED : MQTT_FRAME_MORE;
    uint32_t size = 1 + len_size + len; /* below 2^28 + 5 */
    if (size > max_size)
        return MQTT_FRAME_TOO_LARGE;
    if (size > in->left) {
        if (ret_need)
            *ret_need = size;
        return MQTT_FRAME_MORE;
    }
    *ret = (struct mqtt_frame){
        .type = in->at[0] >> 4,
        .flags = in->at[0] & 0x0F,
        .body = { in->at + 1 + len_size, len },
        .size = size,
    };
    in->at += size;
    in->left -= size;
    return MQTT_FRAME_OK;
}

void codec_put_fixed(struct sl_buf *out, enum mqtt_type type, uint8_t flags, size_t remaining)
{
    if (remaining > CODEC_REMAINING_MAX) {
        out->failed = true;
        return;
    }
    sl_buf_put_u8(out, (uint8_t)(type << 4 | flags));
    codec_put_varint(out, remaining);
}

/* ---- variable byte integers ---- */

bool codec_take_varint(struct sl_cursor *c, uint32_t *ret)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < 4 && i < c->left; i++) {
        uint8_t b = c->at[i];
        v |= (uint32_t)(b & 0x7F) << (7 * i);
        if (b >= 0x80)
            continue;
        if (b == 0 && i > 0) /* longer than needed */
            return false;
        c->at += i + 1;
        c->left -= i + 1;
        *ret = v;
        return true;
    }
    return false;
}

size_t codec_varint_size(size_t n)
{
    return n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x200000 ? 3 : 4;
}

uint8_t *codec_write_varint(uint8_t *at, size_t n)
{
    for (; n >= 0x80; n >>= 7)
        *at++ = (uint8_t)(n | 0x80);
    *at++ = (uint8_t)n;
    return at;
}

void codec_put_varint(struct sl_buf *out, size_t n)
{
    if (n > CODEC_REMAINING_MAX) {
        out->failed = true;
        return;
    }
    uint8_t bytes[4];
    sl_buf_put(out, bytes, (size_t)(codec_write_varint(bytes, n) - bytes));
}

/* ---- strings, packet ids, topics ---- */

uint8_t codec_take_string(struct sl_cursor *c, struct sl_slice *ret, const char **why)
{
    struct sl_slice s;
    if (!sl_take_lp16(c, &s))
        return codec_malformed(why, "a string runs past the packet (MQTT 5, 1.5.4)");
    if (!sl_utf8_valid(s))
        return codec_malformed(why, "a string is not UTF-8 text [MQTT-1.5.4-1, MQTT-1.5.4-2]");
    *ret = s;
    return MQTT_RC_SUCCESS;
}

uint8_t codec_take_packet_id(struct sl_cursor *c, uint16_t *ret, const char **why)
{
    uint16_t id;
    if (!sl_take_u16(c, &id))
        return codec_malformed(why, "no Packet Identifier (MQTT 5, 2.2.1)");
    if (id == 0)
        return codec_protocol_error(why, "Packet Identifier is 0 [MQTT-2.2.1-3, MQTT-2.2.1-4]");
    *ret = id;
    return MQTT_RC_SUCCESS;
}

uint8_t codec_check_topic(struct sl_slice topic, const char **why)
{
    if (SL_LIKELY(sl_topic_valid(topic)))
        return MQTT_RC_SUCCESS;
    if (topic.len == 0)
        return codec_malformed(why, "the topic is empty [MQTT-4.7.3-1]");
    if (!sl_utf8_valid(topic))
        return codec_malformed(why, "the topic is not UTF-8 text [MQTT-3.3.2-1, MQTT-1.5.4-2]");
    return codec_refuse(why, MQTT_RC_TOPIC_NAME_INVALID, "wildcard in a topic name [MQTT-3.3.2-2]");
}

/* ---- PINGREQ, PINGRESP ---- */

uint8_t mqtt_decode_empty(const struct mqtt_frame *f, const char **why)
{
    if (f->flags != 0)
        return codec_malformed(why, "reserved flags of a ping are not 0 [MQTT-2.1.3-1]");
    if (f->body.len != 0)
        return codec_malformed(why, "a ping has a body (MQTT 5, 3.12.1 and 3.13.1)");
    return MQTT_RC_SUCCESS;
}

void mqtt_encode_pingreq(struct sl_buf *out)
{
    codec_put_fixed(out, MQTT_PINGREQ, 0, 0);
}

void mqtt_encode_pingresp(struct sl_buf *out)
{
    codec_put_fixed(out, MQTT_PINGRESP, 0, 0);
}
