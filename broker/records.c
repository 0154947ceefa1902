/* records.c - rows of the persistence interface, encoded and decoded. */
#include "records.h"

#include "codec_internal.h"
#include "trie.h"

#include "base/clock.h"
#include "base/topic.h"

enum { VERSION = 1 };
enum { SESSION_ONLINE = 1, SESSION_WILL = 2, SESSION_USER = 4 };
enum { SUB_NO_LOCAL = 1, SUB_RETAIN_AS_PUBLISHED = 2 };
enum { DELIVERY_RETAIN = 1, DELIVERY_RELEASED = 2, DELIVERY_SHARE = 4 };

/* Ages and lives above this are damage: some 8,900 years, so that sums of a few do not overflow. */
#define SPAN_MAX_MS (INT64_C(1) << 48)

/* ---- pieces ---- */

static void write_u64(uint8_t *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (56 - 8 * i));
}

static void put_u64(struct sl_buf *out, uint64_t v)
{
    uint8_t bytes[8];
    write_u64(bytes, v);
    sl_buf_put(out, bytes, sizeof bytes);
}

bool record_take_u64(struct sl_cursor *c, uint64_t *ret)
{
    struct sl_slice s;
    if (!sl_take(c, 8, &s))
        return false;
    *ret = 0;
    for (int i = 0; i < 8; i++)
        *ret = *ret << 8 | s.ptr[i];
    return true;
}

static bool take_span(struct sl_cursor *c, int64_t *ret)
{
    uint64_t v;
    if (!record_take_u64(c, &v) || v > (uint64_t)SPAN_MAX_MS)
        return false;
    *ret = (int64_t)v;
    return true;
}

static void put_span(struct sl_buf *out, int64_t ms)
{
    put_u64(out, ms < 0 ? 0 : ms > SPAN_MAX_MS ? (uint64_t)SPAN_MAX_MS : (uint64_t)ms);
}

static bool take_version(struct sl_cursor *c)
{
    uint8_t v;
    return sl_take_u8(c, &v) && v == VERSION;
}

static bool take_flags(struct sl_cursor *c, uint8_t known, uint8_t *ret)
{
    return sl_take_u8(c, ret) && (*ret & ~known) == 0;
}

static bool take_qos(struct sl_cursor *c, uint8_t *ret)
{
    return sl_take_u8(c, ret) && *ret <= 2;
}

/* Encoded properties of which only those in `allowed` may be there. */
static bool take_props(struct sl_cursor *c, uint64_t allowed, struct sl_slice *ret)
{
    struct mqtt_props p;
    if (codec_take_props(c, MQTT_PUBLISH, &p, NULL) != MQTT_RC_SUCCESS)
        return false;
    struct sl_cursor block = sl_cursor(p.raw);
    for (struct mqtt_prop_item item; mqtt_props_next(&block, &item);)
        if (!(allowed >> item.id & 1))
            return false;
    *ret = p.raw;
    return true;
}

static void put_props(struct sl_buf *out, struct sl_slice raw)
{
    codec_put_varint(out, raw.len);
    sl_buf_put_slice(out, raw);
}

/* ---- keys ---- */

struct record_key record_key_session(uint64_t session)
{
    struct record_key k = { .len = 8 };
    write_u64(k.bytes, session);
    return k;
}

struct record_key record_key_delivery(uint64_t session, uint64_t sequence)
{
    struct record_key k = record_key_session(session);
    write_u64(k.bytes + 8, sequence);
    k.len = 16;
    return k;
}

struct record_key record_key_received(uint64_t session, uint16_t packet_id)
{
    struct record_key k = record_key_session(session);
    k.bytes[8] = (uint8_t)(packet_id >> 8);
    k.bytes[9] = (uint8_t)packet_id;
    k.len = 10;
    return k;
}

void record_put_key_subscription(struct sl_buf *out, uint64_t session, struct sl_slice filter)
{
    put_u64(out, session);
    sl_buf_put_slice(out, filter);
}

bool record_key_take_session(struct sl_cursor *key, uint64_t *ret)
{
    return record_take_u64(key, ret);
}

/* ---- messages ---- */

int64_t record_elapsed_ms(int64_t saved_wall_ms, int64_t now_wall_ms)
{
    if (saved_wall_ms < SL_WALL_PLAUSIBLE_MS || now_wall_ms <= saved_wall_ms)
        return 0;
    int64_t elapsed = now_wall_ms - saved_wall_ms;
    return elapsed < SPAN_MAX_MS ? elapsed : SPAN_MAX_MS;
}

static void put_message(struct sl_buf *out, const struct sl_msg *m, struct sl_slice topic,
                        struct record_now now)
{
    put_u64(out, (uint64_t)now.wall_ms);
    put_span(out, now.mono_ms - m->mono_ms);
    put_u64(out, (uint64_t)m->wall_ms);
    put_u64(out, m->origin);
    sl_buf_put_u32(out, m->expiry_s);
    sl_buf_put_u8(out, m->qos);
    sl_buf_put_u8(out, m->retain);
    sl_buf_put_lp16(out, topic);
    sl_buf_put_lp16(out, sl_msg_sender(m));
    put_props(out, sl_msg_props(m));
}

/* All that is left of the record is the payload. */
static bool take_message(struct sl_cursor *c, struct record_message *ret)
{
    static const uint64_t forwardable =
        UINT64_C(1) << MQTT_P_PAYLOAD_FORMAT | UINT64_C(1) << MQTT_P_CONTENT_TYPE |
        UINT64_C(1) << MQTT_P_RESPONSE_TOPIC | UINT64_C(1) << MQTT_P_CORRELATION_DATA |
        UINT64_C(1) << MQTT_P_USER_PROPERTY;
    struct record_message m = { 0 };
    uint64_t saved, wall;
    uint8_t retain;
    if (!record_take_u64(c, &saved) || !take_span(c, &m.age_ms) || !record_take_u64(c, &wall) ||
        !record_take_u64(c, &m.origin) || !sl_take_u32(c, &m.expiry_s) || !take_qos(c, &m.qos) ||
        !take_flags(c, 1, &retain) || !sl_take_lp16(c, &m.topic) || !sl_take_lp16(c, &m.sender) ||
        !take_props(c, forwardable, &m.props) || !sl_take(c, c->left, &m.payload))
        return false;
    m.saved_wall_ms = (int64_t)saved;
    m.wall_ms = (int64_t)wall;
    m.retain = retain != 0;
    *ret = m;
    return true;
}

static bool topic_ok(struct sl_slice topic)
{
    return sl_topic_valid(topic) && trie_depth_ok(topic);
}

struct sl_msg *record_make_message(const struct record_message *r, struct record_now now)
{
    struct sl_msg_parts parts = {
        .topic = r->topic,
        .props = r->props,
        .payload = r->payload,
        .sender = r->sender,
        .expiry_s = r->expiry_s,
        .qos = r->qos,
        .retain = r->retain,
        .mono_ms = now.mono_ms - r->age_ms - record_elapsed_ms(r->saved_wall_ms, now.wall_ms),
        .wall_ms = r->wall_ms,
        .origin = r->origin,
    };
    return sl_msg_new(&parts);
}

/* ---- records ---- */

bool record_take_origins(struct sl_slice value, uint64_t *ret)
{
    struct sl_cursor c = sl_cursor(value);
    return take_version(&c) && record_take_u64(&c, ret) && c.left == 0;
}

void record_put_origins(struct sl_buf *out, uint64_t next)
{
    sl_buf_put_u8(out, VERSION);
    put_u64(out, next);
}

bool record_take_session(struct sl_slice value, struct record_session *ret)
{
    struct sl_cursor c = sl_cursor(value);
    struct record_session r = { 0 };
    uint8_t flags;
    uint64_t saved;
    if (!take_version(&c) ||
        !take_flags(&c, SESSION_ONLINE | SESSION_WILL | SESSION_USER, &flags) ||
        !record_take_u64(&c, &saved) || !take_span(&c, &r.left_ms) ||
        !sl_take_u32(&c, &r.expiry_s) || !record_take_u64(&c, &r.next_sequence) ||
        !sl_take_lp16(&c, &r.client_id) || !sl_utf8_valid(r.client_id) || r.client_id.len == 0 ||
        (flags & SESSION_USER && (!sl_take_lp16(&c, &r.user) || !sl_utf8_valid(r.user))))
        return false;
    r.saved_wall_ms = (int64_t)saved;
    r.online = flags & SESSION_ONLINE;
    r.has_will = flags & SESSION_WILL;
    if (r.has_will &&
        (!take_span(&c, &r.will_left_ms) || !take_message(&c, &r.will) || !topic_ok(r.will.topic)))
        return false;
    if (c.left > 0 || r.expiry_s == 0 || r.left_ms > (int64_t)r.expiry_s * 1000)
        return false;
    *ret = r;
    return true;
}

void record_put_session(struct sl_buf *out, const struct record_session *r,
                        const struct sl_msg *will, struct record_now now)
{
    sl_buf_put_u8(out, VERSION);
    sl_buf_put_u8(out, (uint8_t)((r->online ? SESSION_ONLINE : 0) | (will ? SESSION_WILL : 0) |
                                 (r->user.ptr ? SESSION_USER : 0)));
    put_u64(out, (uint64_t)now.wall_ms);
    put_span(out, r->left_ms);
    sl_buf_put_u32(out, r->expiry_s);
    put_u64(out, r->next_sequence);
    sl_buf_put_lp16(out, r->client_id);
    if (r->user.ptr)
        sl_buf_put_lp16(out, r->user);
    if (will) {
        put_span(out, r->will_left_ms);
        put_message(out, will, sl_msg_topic(will), now);
    }
}

bool record_take_subscription(struct sl_slice value, struct record_subscription *ret)
{
    struct sl_cursor c = sl_cursor(value);
    struct record_subscription r = { 0 };
    uint8_t flags;
    if (!take_version(&c) || !take_flags(&c, SUB_NO_LOCAL | SUB_RETAIN_AS_PUBLISHED, &flags) ||
        !take_qos(&c, &r.qos) || !sl_take_u32(&c, &r.id) || r.id > CODEC_REMAINING_MAX ||
        c.left > 0)
        return false;
    r.no_local = flags & SUB_NO_LOCAL;
    r.retain_as_published = flags & SUB_RETAIN_AS_PUBLISHED;
    *ret = r;
    return true;
}

void record_put_subscription(struct sl_buf *out, const struct record_subscription *r)
{
    sl_buf_put_u8(out, VERSION);
    sl_buf_put_u8(out, (uint8_t)((r->no_local ? SUB_NO_LOCAL : 0) |
                                 (r->retain_as_published ? SUB_RETAIN_AS_PUBLISHED : 0)));
    sl_buf_put_u8(out, r->qos);
    sl_buf_put_u32(out, r->id);
}

bool record_take_delivery(struct sl_slice value, struct record_delivery *ret)
{
    struct sl_cursor c = sl_cursor(value);
    struct record_delivery r = { 0 };
    uint8_t flags;
    if (!take_version(&c) ||
        !take_flags(&c, DELIVERY_RETAIN | DELIVERY_RELEASED | DELIVERY_SHARE, &flags) ||
        !take_qos(&c, &r.qos) || r.qos == 0 ||
        (flags & DELIVERY_SHARE && (!sl_take_lp16(&c, &r.share) || r.share.len == 0)))
        return false;
    r.retain = flags & DELIVERY_RETAIN;
    r.released = flags & DELIVERY_RELEASED;
    if (r.released ? r.qos != 2 || c.left > 0
                   : !take_props(&c, UINT64_C(1) << MQTT_P_SUBSCRIPTION_ID, &r.ids) ||
                         !take_message(&c, &r.message) || !topic_ok(r.message.topic))
        return false;
    *ret = r;
    return true;
}

void record_put_delivery(struct sl_buf *out, const struct record_delivery *r,
                         const struct sl_msg *m, struct record_now now)
{
    sl_buf_put_u8(out, VERSION);
    bool share = !r->released && r->share.len > 0;
    sl_buf_put_u8(out,
                  (uint8_t)((r->retain ? DELIVERY_RETAIN : 0) |
                            (r->released ? DELIVERY_RELEASED : 0) | (share ? DELIVERY_SHARE : 0)));
    sl_buf_put_u8(out, r->qos);
    if (r->released)
        return;
    if (share)
        sl_buf_put_lp16(out, r->share);
    put_props(out, r->ids);
    put_message(out, m, sl_msg_topic(m), now);
}

bool record_take_received(struct sl_slice value)
{
    struct sl_cursor c = sl_cursor(value);
    return take_version(&c) && c.left == 0;
}

void record_put_received(struct sl_buf *out)
{
    sl_buf_put_u8(out, VERSION);
}

bool record_take_retained(struct sl_slice topic, struct sl_slice value, struct record_message *ret)
{
    struct sl_cursor c = sl_cursor(value);
    struct record_message m;
    if (!topic_ok(topic) || !take_version(&c) || !take_message(&c, &m) || m.topic.len > 0 ||
        m.payload.len == 0)
        return false;
    m.topic = topic;
    *ret = m;
    return true;
}

void record_put_retained(struct sl_buf *out, const struct sl_msg *m, struct record_now now)
{
    sl_buf_put_u8(out, VERSION);
    put_message(out, m, (struct sl_slice){ 0 }, now);
}
