/* cloud.c - the cloud: takes CONNECT, SUBSCRIBE and PUBLISH, remembers what has arrived, and
 * answers well, late, badly or not at all. */
#include "sim.h"

#include "base/text.h"

#include <stdlib.h>

void cloud_open(struct sim *s, struct link *l)
{
    struct cloud *c = &s->cloud;
    c->subscribed = false;
    c->conn = l; /* a client that comes back takes the place of what is left of it */
    sl_buf_free(&c->in);
}

void cloud_lost(struct sim *s, struct link *l)
{
    struct cloud *c = &s->cloud;
    if (c->conn != l)
        return;
    c->conn = NULL;
    sl_buf_free(&c->in);
}

static void answer(struct link *l, struct sl_buf *b, int64_t delay_ms)
{
    must(!b->failed);
    net_send(l, sl_buf_slice(b), delay_ms);
    sl_buf_free(b);
}

static void on_connect(struct sim *s, struct link *l, const struct mqtt_frame *f)
{
    static const uint8_t reasons[] = { MQTT_RC_SERVER_UNAVAILABLE, MQTT_RC_SERVER_BUSY,
                                       MQTT_RC_NOT_AUTHORIZED, MQTT_RC_QUOTA_EXCEEDED };
    struct mqtt_connect p;
    struct mqtt_connack ack = { 0 };
    struct sl_buf b = { 0 };
    must(mqtt_decode_connect(f, &p, NULL) == MQTT_RC_SUCCESS);
    s->cloud.version = p.version;
    if (s->old_cloud && p.version == MQTT_V5) {
        ack.reason = MQTT_RC_UNSUPPORTED_VERSION;
    } else if (sim_chance(s, s->faults.connack)) {
        if (sim_chance(s, 500)) {
            net_hang_up(l);
            return;
        }
        ack.reason = reasons[sim_below(s, SL_ARRAY_LEN(reasons))];
        if (p.version != MQTT_V5)
            ack.reason = mqtt_connack_code_v3(ack.reason);
    }
    mqtt_encode_connack(&b, p.version, &ack);
    answer(l, &b, (int64_t)sim_below(s, 500));
    if (ack.reason)
        net_hang_up(l);
}

/* ---- commands: kept until they are acknowledged, and sent again on each connection ---- */

static void send_command(struct sim *s, size_t i, bool again)
{
    struct cloud *c = &s->cloud;
    struct sl_buf b = { 0 };
    char payload[64];
    uint32_t id = c->commands[i].message;
    int len = snprintf(payload, sizeof payload, "{\"id\":%u,\"v\":1}", id);
    struct mqtt_publish p = { .qos = 1,
                              .dup = again,
                              .packet_id = c->commands[i].packet_id,
                              .topic = sl_str("cmd/a"),
                              .payload = sl_bytes(payload, (size_t)len) };
    if (c->commands[i].stale)
        mqtt_set(&p.props, MQTT_P_MESSAGE_EXPIRY); /* of 0 seconds */
    s->message[id].sent++;
    mqtt_encode_publish(&b, c->version, &p);
    answer(c->conn, &b, (int64_t)sim_below(s, 100));
}

void cloud_step(struct sim *s)
{
    struct cloud *c = &s->cloud;
    size_t i = 0;
    while (i < SIM_COMMANDS && c->commands[i].message != 0)
        i++;
    if (!c->conn || !c->subscribed || i == SIM_COMMANDS)
        return;
    bool stale = c->version == MQTT_V5 && sim_chance(s, 200);
    uint32_t id = sim_new_message(s, KIND_COMMAND, stale ? 0 : 1u << OUTBOX_NORMAL);
    if (id == 0)
        return;
    c->next_id = (uint16_t)(c->next_id % 60000 + 1);
    c->commands[i].message = id;
    c->commands[i].packet_id = c->next_id;
    c->commands[i].stale = stale;
    send_command(s, i, false);
}

bool cloud_is_done(const struct sim *s)
{
    for (size_t i = 0; i < SIM_COMMANDS; i++)
        if (s->cloud.commands[i].message != 0)
            return false;
    return true;
}

/* Acknowledged: what follows from it is safe. Refused: the cloud has been told, and forgets it. */
static void on_puback(struct sim *s, const struct mqtt_frame *f)
{
    struct cloud *c = &s->cloud;
    struct mqtt_ack p;
    must(mqtt_decode_ack(f, c->version, &p, NULL) == MQTT_RC_SUCCESS);
    for (size_t i = 0; i < SIM_COMMANDS; i++) {
        if (c->commands[i].message == 0 || c->commands[i].packet_id != p.packet_id)
            continue;
        s->message[c->commands[i].message].acked = p.reason < 0x80;
        c->commands_taken += p.reason < 0x80;
        c->commands[i].message = 0;
        return;
    }
    must_say(false, "PUBACK %u, which nobody waits for", p.packet_id);
}

static void resend_commands(struct sim *s)
{
    s->cloud.subscribed = true;
    for (size_t i = 0; i < SIM_COMMANDS; i++) {
        uint32_t id = s->cloud.commands[i].message;
        if (id == 0)
            continue;
        if (s->cloud.commands[i].stale && s->cloud.version != MQTT_V5) {
            /* 3.1.1 has no Message Expiry: from here on it is a command like any other. */
            s->cloud.commands[i].stale = false;
            s->message[id].wanted = 1u << OUTBOX_NORMAL;
        }
        send_command(s, i, true);
    }
}

static void on_subscribe(struct link *l, enum mqtt_version v, const struct mqtt_frame *f)
{
    struct mqtt_subscribe p;
    struct mqtt_sub_entry e;
    struct sl_buf b = { 0 }, codes = { 0 };
    must(mqtt_decode_subscribe(f, v, &p, NULL) == MQTT_RC_SUCCESS);
    for (struct sl_cursor list = sl_cursor(p.list); mqtt_subscribe_next(&list, v, &e);)
        sl_buf_put_u8(&codes, e.qos);
    mqtt_encode_suback(
        &b, v, &(struct mqtt_suback){ .packet_id = p.packet_id, .codes = sl_buf_slice(&codes) });
    sl_buf_free(&codes);
    answer(l, &b, 0);
}

/* ---- what arrives ---- */

static enum outbox_lane lane_of_topic(struct sl_slice topic)
{
    enum outbox_lane lane = OUTBOX_LANES;
    must(topic.len > 3 && outbox_lane_parse(sl_bytes(topic.ptr + 3, topic.len - 3), &lane));
    return lane;
}

/* "gw/lane/number". */
static uint64_t number_of(struct sl_slice identity, enum outbox_lane lane)
{
    char want[64];
    uint64_t number;
    int n = snprintf(want, sizeof want, "gw/%s/", outbox_lane_name(lane));
    must(sl_slice_starts(identity, sl_bytes(want, (size_t)n)));
    must(sl_u64_parse(sl_bytes(identity.ptr + n, identity.len - (size_t)n), &number));
    return number;
}

/* When it was accepted, by the true time; without one (0) only if its bytes had been made before
 * the clock was set: then they are on their way. */
static void check_time(const struct sim *s, uint32_t id, uint64_t ts)
{
    bool on_its_way = s->loop.now_ms < s->clock_set_ms + SIM_WRITE_MS + SIM_UP_MS;
    if (s->jumped || (ts == 0 && s->late_clock && on_its_way))
        return;
    int64_t accepted = (int64_t)ts - SIM_WALL_OFFSET_MS, made = s->message[id].made_ms;
    must_say(accepted >= made && accepted <= s->loop.now_ms,
             "message %u was accepted at %lld ms, by its stamp, and made at %lld", id,
             (long long)accepted, (long long)made);
}

static uint64_t time_of(const struct mqtt_publish *p)
{
    struct mqtt_prop_item item;
    uint64_t ts = 0;
    for (struct sl_cursor c = sl_cursor(p->props.raw); mqtt_props_next(&c, &item);)
        if (item.id == MQTT_P_USER_PROPERTY && sl_slice_eq(item.key, sl_str("sluice-ts")))
            must(sl_u64_parse(item.value, &ts));
    return ts;
}

/* Among the user properties. */
static uint64_t identity(const struct mqtt_publish *p, enum outbox_lane lane)
{
    struct mqtt_prop_item item;
    for (struct sl_cursor c = sl_cursor(p->props.raw); mqtt_props_next(&c, &item);) {
        if (item.id != MQTT_P_USER_PROPERTY || !sl_slice_eq(item.key, sl_str("sluice-id")))
            continue;
        return number_of(item.value, lane);
    }
    must_say(false, "a message without its identity");
}

static struct sim_identity *find_identity(struct cloud *c, enum outbox_lane lane, uint64_t number)
{
    size_t at = (size_t)(number * 0x9e3779b97f4a7c15u >> 20) % SIM_IDENTITIES;
    while (c->seen[at].number != 0 && (c->seen[at].number != number || c->seen[at].lane != lane))
        at = (at + 1) % SIM_IDENTITIES;
    return &c->seen[at];
}

/* Each number belongs to one message for ever, and numbers come in order. */
static void note_identity(struct sim *s, uint32_t id, enum outbox_lane lane, uint64_t number)
{
    struct cloud *c = &s->cloud;
    struct sim_message *m = &s->message[id];
    struct sim_identity *seen = find_identity(c, lane, number);
    must(number > 0 && number < UINT64_C(1) << 53);
    must(lane != OUTBOX_ALERT || !report_has_number(s, number));
    if (seen->number != 0) {
        must_say(seen->message == id, "%s/%llu was message %u and is message %u",
                 outbox_lane_name(lane), (unsigned long long)number, seen->message, id);
        return;
    }
    must_say(m->number[lane] == 0 || m->sent > 1, "message %u came as %llu and as %llu", id,
             (unsigned long long)m->number[lane], (unsigned long long)number);
    bool came_nameless =
        ((unsigned)m->nameless >> lane & 1u) != 0; /* over 3.1.1: this is a repeat of that */
    bool may_be_back = number <= c->back_to[lane];
    must_say(number > c->last[lane] || s->reorders || came_nameless || may_be_back,
             "message %u (%s/%llu) came behind %llu", id, outbox_lane_name(lane),
             (unsigned long long)number, (unsigned long long)c->last[lane]);
    must(++c->seen_count < SIM_IDENTITIES / 2);
    *seen = (struct sim_identity){ number, lane, id };
    m->number[lane] = number;
    if (number > c->last[lane])
        c->last[lane] = number;
}

/* number 0: it has none, since the protocol has no place for it. */
static void note_arrival(struct sim *s, uint32_t id, enum outbox_lane lane, uint64_t number)
{
    struct sim_message *m = &s->message[id];
    must(m->wanted & 1u << lane);
    if (number > 0)
        note_identity(s, id, lane, number);
    else
        m->nameless |= (uint8_t)(1u << lane);
    s->cloud.publishes++;
    s->cloud.repeats += (unsigned)m->arrived >> lane & 1u;
    m->arrived |= (uint8_t)(1u << lane);
}

/* Decided when it comes for the first time, and then for good. */
static bool never(struct sim *s, uint32_t id, enum outbox_lane lane)
{
    struct sim_message *m = &s->message[id];
    uint8_t bit = (uint8_t)(1u << lane);
    if (!(m->arrived & bit) && sim_chance(s, s->faults.never))
        m->buried |= bit;
    return (m->buried & bit) != 0;
}

/* ---- batches ---- */

struct sl_slice sim_between(struct sl_slice text, const char *from, const char *to)
{
    const uint8_t *begin = memmem(text.ptr, text.len, from, strlen(from));
    must(begin);
    begin += strlen(from);
    const uint8_t *end = memmem(begin, (size_t)(text.ptr + text.len - begin), to, strlen(to));
    must(end);
    return sl_bytes(begin, (size_t)(end - begin));
}

/* The next element of "[{...},{...}]": what is in them has no braces. */
static bool next_element(struct sl_slice *rest, struct sl_slice *ret)
{
    must(rest->len >= 1);
    if (rest->ptr[0] == ']') {
        must(rest->len == 1);
        return false;
    }
    must(rest->ptr[0] == '[' || rest->ptr[0] == ',');
    const uint8_t *end = memchr(rest->ptr, '}', rest->len);
    must(end);
    *ret = sl_bytes(rest->ptr + 1, (size_t)(end - rest->ptr));
    *rest = sl_bytes(end + 1, (size_t)(rest->ptr + rest->len - end - 1));
    return true;
}

struct arrival {
    uint32_t id;
    uint64_t number;
};
enum { ARRIVALS_MAX = CONFIG_BATCH_COUNT };

/* Each element carries its identity and its time. */
static unsigned read_batch(struct sim *s, const struct mqtt_publish *p, enum outbox_lane lane,
                           struct arrival *ret)
{
    struct sl_slice rest = p->payload, e;
    unsigned n = 0;
    while (next_element(&rest, &e)) {
        must(n < ARRIVALS_MAX);
        ret[n].id = sensor_message_of(e);
        ret[n].number = number_of(sim_between(e, "\"sluice-id\":\"", "\""), lane);
        uint64_t ts = 0;
        if (memmem(e.ptr, e.len, "\"sluice-ts\":", 12))
            must(sl_u64_parse(sim_between(e, "\"sluice-ts\":", "}"), &ts) && ts > 0);
        check_time(s, ret[n].id, ts);
        must(n == 0 || ret[n].number > ret[n - 1].number);
        n++;
    }
    /* What an earlier life has left on disk may find no limits any more but the standard's. */
    must_say(n >= 1 && n <= (s->lives > 1 ? CONFIG_BATCH_COUNT : s->batch_count),
             "%u elements in a batch", n);
    must_say(n == 1 || p->payload.len <= s->batch_bytes, "a batch of %zu bytes", p->payload.len);
    s->cloud.batches++;
    s->cloud.batched += n;
    return n;
}

static unsigned read_arrivals(struct sim *s, const struct mqtt_publish *p, enum outbox_lane lane,
                              struct arrival *ret)
{
    unsigned n = 1;
    if (p->payload.len > 0 && p->payload.ptr[0] == '[')
        n = read_batch(s, p, lane, ret);
    else
        ret[0] = (struct arrival){ sensor_message_of(p->payload),
                                   s->cloud.version == MQTT_V5 ? identity(p, lane) : 0 };
    for (unsigned i = 0; i < n; i++)
        must(ret[i].id > 0 && ret[i].id <= s->message_count);
    if (n == 1 && ret[0].number > 0 && p->payload.ptr[0] != '[')
        check_time(s, ret[0].id, time_of(p));
    return n;
}

static bool refused_for_good(struct sim *s, const struct arrival *list, unsigned n,
                             enum outbox_lane lane)
{
    bool any = false;
    for (unsigned i = 0; i < n; i++)
        any |= never(s, list[i].id, lane);
    if (any && n > 1)
        s->reorders = true; /* they are sent again, one by one */
    return any;
}

/* Of an outage, or of losses: a message of the lane alert like others. */
static uint8_t take_report(struct sim *s, const struct mqtt_publish *p)
{
    struct cloud *c = &s->cloud;
    uint64_t number = c->version == MQTT_V5 ? identity(p, OUTBOX_ALERT) : 0;
    if (number > 0) {
        must(find_identity(c, OUTBOX_ALERT, number)->number == 0);
        must(number > c->last[OUTBOX_ALERT] || s->reorders || number <= c->back_to[OUTBOX_ALERT] ||
             report_has_number(s, number));
    }
    if (c->version == MQTT_V5 && sim_chance(s, s->faults.refused)) {
        s->reorders |= s->window > 1 || ++c->refused_in_a_row > 4;
        return MQTT_RC_QUOTA_EXCEEDED;
    }
    uint8_t reason = report_arrives(s, p->payload, number);
    if (reason != MQTT_RC_SUCCESS)
        return reason;
    c->refused_in_a_row = 0;
    if (number > c->last[OUTBOX_ALERT])
        c->last[OUTBOX_ALERT] = number;
    return reason;
}

/* The answer to other messages: whether they count as taken, too. */
static uint8_t take_messages(struct sim *s, const struct mqtt_publish *p)
{
    struct arrival list[ARRIVALS_MAX];
    enum outbox_lane lane = lane_of_topic(p->topic);
    unsigned n = read_arrivals(s, p, lane, list);
    bool five = s->cloud.version == MQTT_V5;
    if (five && sim_chance(s, s->faults.refused)) {
        /* Those in flight pass it; and after so many refusals it no longer holds the others back.
         */
        s->reorders |= s->window > 1 || ++s->cloud.refused_in_a_row > 4;
        return MQTT_RC_QUOTA_EXCEEDED;
    }
    if (five && refused_for_good(s, list, n, lane))
        return n > 1 ? MQTT_RC_PAYLOAD_FORMAT_INVALID : MQTT_RC_TOPIC_NAME_INVALID;
    s->cloud.refused_in_a_row = 0;
    for (unsigned i = 0; i < n; i++)
        note_arrival(s, list[i].id, lane, list[i].number);
    return MQTT_RC_SUCCESS;
}

static void on_publish(struct sim *s, struct link *l, const struct mqtt_frame *f)
{
    struct mqtt_publish p;
    struct sl_buf b = { 0 };
    must(mqtt_decode_publish(f, s->cloud.version, &p, NULL) == MQTT_RC_SUCCESS);
    must(p.qos == 1);
    bool report = sl_slice_eq(p.topic, sl_str(SIM_REPORT_TOPIC));
    struct mqtt_ack ack = { .packet_id = p.packet_id,
                            .reason = report ? take_report(s, &p) : take_messages(s, &p) };
    if (sim_chance(s, s->faults.ack_lost))
        return;
    mqtt_encode_ack(&b, s->cloud.version, MQTT_PUBACK, &ack);
    answer(l, &b, sim_chance(s, s->faults.ack_late) ? (int64_t)sim_below(s, 20000) : 0);
}

static void on_frame(struct sim *s, struct link *l, const struct mqtt_frame *f)
{
    struct sl_buf b = { 0 };
    switch (f->type) {
    case MQTT_CONNECT: on_connect(s, l, f); break;
    case MQTT_SUBSCRIBE:
        on_subscribe(l, s->cloud.version, f);
        resend_commands(s);
        break;
    case MQTT_PUBACK: on_puback(s, f); break;
    case MQTT_PUBLISH: on_publish(s, l, f); break;
    case MQTT_PINGREQ:
        mqtt_encode_pingresp(&b);
        answer(l, &b, 0);
        break;
    case MQTT_DISCONNECT: net_hang_up(l); break;
    default: must_say(false, "packet type %u from the bridge", f->type);
    }
    if (s->cloud.conn == l && sim_chance(s, s->faults.kick))
        net_hang_up(l);
}

void cloud_receive(struct sim *s, struct link *l, struct sl_slice bytes)
{
    struct cloud *c = &s->cloud;
    struct mqtt_frame f;
    if (c->conn != l)
        return;
    sl_buf_put_slice(&c->in, bytes);
    for (;;) {
        struct sl_cursor in = sl_cursor(sl_buf_slice(&c->in));
        if (mqtt_frame_next(&in, UINT32_MAX, &f, NULL) != MQTT_FRAME_OK)
            return; /* more is to come */
        on_frame(s, l, &f);
        if (c->conn != l)
            return;
        sl_buf_consume(&c->in, f.size);
    }
}
