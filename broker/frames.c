/* frames.c - encoding deliveries. */
#include "frames.h"

#include "subs.h"

void frame_cache_begin(struct frame_cache *c, const struct sl_msg *m)
{
    c->msg = m;
    for (size_t v = 0; v < 2; v++)
        for (size_t q = 0; q < 3; q++)
            c->slots[v][q].ready = false;
}

void frame_cache_free(struct frame_cache *c)
{
    for (size_t v = 0; v < 2; v++)
        for (size_t q = 0; q < 3; q++)
            sl_buf_free(&c->slots[v][q].bytes);
}

/* What is left of the message's life, in whole seconds [MQTT-3.3.2-6]. */
static uint32_t expiry_left(const struct sl_msg *m, int64_t now_mono_ms)
{
    int64_t gone_s = (now_mono_ms - m->mono_ms) / 1000;
    if (gone_s <= 0)
        return m->expiry_s;
    return gone_s >= (int64_t)m->expiry_s ? 0 : m->expiry_s - (uint32_t)gone_s;
}

/* raw is scratch for the property block. */
static void encode_head(struct sl_buf *out, struct sl_buf *raw, const struct frame_request *r)
{
    struct mqtt_publish p = {
        .dup = r->dup,
        .retain = r->retain,
        .qos = r->qos,
        .packet_id = r->packet_id,
        .topic = sl_msg_topic(r->msg),
        .payload = sl_msg_payload(r->msg),
    };
    if (r->version == MQTT_V5) {
        if (r->msg->expiry_s != SL_MSG_NO_EXPIRY) {
            mqtt_set(&p.props, MQTT_P_MESSAGE_EXPIRY);
            p.props.message_expiry = expiry_left(r->msg, r->now_mono_ms);
        }
        if (r->alias) {
            mqtt_set(&p.props, MQTT_P_TOPIC_ALIAS);
            p.props.topic_alias = r->alias;
            if (r->alias_known)
                p.topic.len = 0;
        }
        p.props.raw = sl_msg_props(r->msg);
        if (r->ids) {
            sl_buf_put_slice(raw, p.props.raw);
            sl_buf_put(raw, r->ids->encoded, r->ids->len);
            p.props.raw = sl_buf_slice(raw);
        }
    }
    mqtt_encode_publish_head(out, r->version, &p);
}

static enum frame_result put_uncached(struct outq *q, struct outq_pool *pool,
                                      const struct frame_request *r)
{
    struct sl_buf *out = outq_bytes(q, pool);
    struct sl_buf raw = { 0 };
    size_t start = out->len;
    if (out->failed) /* a packet before this one is cut short: the connection is about to end */
        return FRAME_NO_MEMORY;
    encode_head(out, &raw, r);
    bool failed = out->failed || raw.failed;
    sl_buf_free(&raw);
    uint64_t size = (uint64_t)(out->len - start) + r->msg->payload_len;
    enum frame_result result = failed               ? FRAME_NO_MEMORY
                               : size > r->max_size ? FRAME_TOO_LARGE
                                                    : FRAME_OK;
    if (result == FRAME_OK && r->msg->payload_len >= OUTQ_REF_MIN) {
        if (!outq_put_payload(q, r->msg))
            result = FRAME_NO_MEMORY;
    } else if (result == FRAME_OK) {
        sl_buf_put_slice(out, sl_msg_payload(r->msg));
        if (out->failed)
            result = FRAME_NO_MEMORY;
    }
    if (result != FRAME_OK)
        out->len = start;
    out->failed = false;
    return result;
}

/* Encodes into the slot: topic length and topic follow the fixed header, then comes the packet id.
 */
static bool fill_slot(struct frame *f, const struct frame_request *r)
{
    struct frame_request plain = *r;
    struct sl_buf raw = { 0 };
    plain.retain = plain.dup = false;
    plain.packet_id = 1;
    sl_buf_reset(&f->bytes);
    encode_head(&f->bytes, &raw, &plain); /* no ids: raw stays empty */
    sl_buf_put_slice(&f->bytes, sl_msg_payload(r->msg));
    if (f->bytes.failed)
        return false;
    uint32_t fixed = 2;
    while (f->bytes.ptr[fixed - 1] & 0x80)
        fixed++;
    f->id_at = r->qos > 0 ? fixed + 2 + r->msg->topic_len : 0;
    f->ready = true;
    return true;
}

static bool shares_bytes(const struct frame_cache *cache, const struct frame_request *r)
{
    return cache && cache->msg == r->msg && !r->ids && !r->dup && !r->alias &&
           r->msg->payload_len < OUTQ_REF_MIN && r->msg->props_len < OUTQ_REF_MIN &&
           (r->version != MQTT_V5 || r->msg->expiry_s == SL_MSG_NO_EXPIRY);
}

enum frame_result frame_put(struct outq *q, struct outq_pool *pool, struct frame_cache *cache,
                            const struct frame_request *r)
{
    if (!shares_bytes(cache, r))
        return put_uncached(q, pool, r);
    struct frame *f = &cache->slots[r->version == MQTT_V5][r->qos];
    if (!f->ready && !fill_slot(f, r))
        return FRAME_NO_MEMORY;
    if (f->bytes.len > r->max_size)
        return FRAME_TOO_LARGE;
    struct sl_buf *out = outq_bytes(q, pool);
    bool whole = !out->failed;
    uint8_t *at = sl_buf_reserve(out, f->bytes.len);
    if (!at) {
        out->failed = !whole; /* what could not be appended is not missing */
        return FRAME_NO_MEMORY;
    }
    memcpy(at, f->bytes.ptr, f->bytes.len);
    if (r->retain)
        at[0] |= 1;
    if (f->id_at) {
        at[f->id_at] = (uint8_t)(r->packet_id >> 8);
        at[f->id_at + 1] = (uint8_t)r->packet_id;
    }
    out->len += f->bytes.len;
    return FRAME_OK;
}
