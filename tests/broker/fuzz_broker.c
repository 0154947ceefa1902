/* fuzz_broker.c - several clients, a clock, and taps that hold acknowledgements, driven by bytes.
 *
 * Each step is an operation and its arguments. Most make well-formed packets, so that the fuzzer
 * gets deep; `raw` feeds bytes of its own, after which only what is true of every client is
 * checked. */
#include "world.h"

#include "base/log.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum op {
    OP_CONNECT,
    OP_SUBSCRIBE,
    OP_UNSUBSCRIBE,
    OP_PUBLISH,
    OP_PUBREL,
    OP_ACK,
    OP_DROP,
    OP_DISCONNECT,
    OP_PING,
    OP_STUCK,
    OP_TIME,
    OP_TAP,
    OP_RELEASE,
    OP_ANSWER,
    OP_FROM_INSIDE,
    OP_RAW,
    OPS
};

/* Behind OP_PING with the actor nibble 15, so that older inputs keep their meaning. */
enum more_op {
    MORE_CONNECT_AUTH,
    MORE_AUTH,
    MORE_ANSWER,
    MORE_SHARE,
    MORE_UNSHARE,
    MORE_CONNECT_ALIAS,
    MORE_OPS
};
enum { MORE = 0xF0 | OP_PING };

/* Behind OP_PING with the actor nibble 14. As the first byte it gives the broker a store. */
enum store_op {
    STORE_COMMIT,
    STORE_HOLD, /* commits come when they are asked for from now on; or at every turn's end again */
    STORE_BREAK,
    STORE_CRASH,
    STORE_SPILL,
    STORE_DENY,
    STORE_OPS
};
enum { STORE = 0xE0 | OP_PING };

static uint8_t next(struct sl_cursor *in)
{
    uint8_t v = 0;
    return sl_take_u8(in, &v) ? v : 0;
}

/* Whether the broker would take it now, so that the model knows that it has come. */
static bool may_talk(const struct actor *a)
{
    return a->open && a->connected && !a->close_wanted && !a->client.held && a->client.in.len == 0;
}

/* In one piece or two, with a turn between. */
static void feed(struct actor *a, struct sl_buf *b, bool split)
{
    struct sl_slice bytes = sl_buf_slice(b);
    if (split && bytes.len > 1) {
        actor_feed(a, sl_bytes(bytes.ptr, bytes.len / 2));
        world_turn(a->world);
        bytes.ptr += bytes.len / 2;
        bytes.len -= bytes.len / 2;
    }
    actor_feed(a, bytes);
    sl_buf_free(b);
}

static void op_connect(struct actor *a, struct world *w, struct sl_cursor *in,
                       const struct mqtt_props *extra)
{
    static const char *const names[NAMES] = { "x", "y", "z" };
    static const char *const users[] = { NULL, "yes", "no", "later" };
    static const enum mqtt_version versions[] = {
        MQTT_V311, MQTT_V5
    }; /* 3.1 cannot say whether there was a session */
    uint8_t how = next(in), limits = next(in);
    if (a->open)
        return;
    actor_open(a, w, versions[how & 1]);
    if (!a->open)
        return;
    a->name_index = (how >> 1) % NAMES;
    a->clean = how & 16;
    const char *user = users[limits & 3];
    struct mqtt_connect c = {
        .version = a->version,
        .clean_start = a->clean,
        .client_id = sl_str(names[a->name_index]),
        .keep_alive_s = how & 32 ? 5 : 0,
        .has_will = how & 64,
        .will = { .topic = sl_str("a"), .qos = (limits >> 2) % 3 },
        .has_username = user != NULL,
        .username = sl_str(user),
    };
    if (a->version == MQTT_V5) {
        c.props = *extra;
        a->alias_max = c.props.topic_alias_max;
        a->exchanges = mqtt_has(&c.props, MQTT_P_AUTH_METHOD);
        mqtt_set(&c.props, MQTT_P_SESSION_EXPIRY);
        c.props.session_expiry = how & 128 ? 10 : 0;
        mqtt_set(&c.props, MQTT_P_RECEIVE_MAXIMUM);
        c.props.receive_max = (uint16_t)(1 + (limits >> 4) % 4);
        a->window_max = c.props.receive_max < 3 ? c.props.receive_max : 3;
        if (limits & 64) {
            mqtt_set(&c.props, MQTT_P_MAXIMUM_PACKET_SIZE);
            c.props.max_packet_size = a->max_packet = 200;
        }
        if (limits & 128) {
            mqtt_set(&c.will.props, MQTT_P_WILL_DELAY);
            c.will.props.will_delay = 3;
        }
    }
    struct sl_buf b = { 0 };
    mqtt_encode_connect(&b, &c);
    feed(a, &b, limits & 8);
}

static void op_subscribe(struct actor *a, struct sl_cursor *in)
{
    uint8_t which = next(in), how = next(in);
    if (!may_talk(a))
        return;
    struct mqtt_sub_entry e = {
        .filter = sl_str(world_filters[which % FILTERS]),
        .qos = how % 3,
        .no_local = a->version == MQTT_V5 && how & 4,
        .retain_as_published = a->version == MQTT_V5 && how & 8,
        .retain_handling = a->version == MQTT_V5 ? (how >> 4) % 3 : 0,
    };
    struct mqtt_props props = { 0 };
    if (a->version == MQTT_V5 && how & 64) {
        mqtt_set(&props, MQTT_P_SUBSCRIPTION_ID);
        props.subscription_id = 1 + which;
    }
    if (a->list_count == LISTS_MAX)
        return;
    actor_lists(a, 1u << which % FILTERS, false);
    struct sl_buf b = { 0 };
    mqtt_encode_subscribe(&b, a->version, 9, &props, &e, 1);
    feed(a, &b, how & 128);
}

static void op_unsubscribe(struct actor *a, struct sl_cursor *in)
{
    unsigned which = next(in) % FILTERS;
    struct sl_slice filter = sl_str(world_filters[which]);
    struct sl_buf b = { 0 };
    if (!may_talk(a) || a->list_count == LISTS_MAX)
        return;
    actor_lists(a, 1u << which, true);
    mqtt_encode_unsubscribe(&b, a->version, 9, NULL, &filter, 1);
    feed(a, &b, false);
}

/* A serial that was given out already, of the QoS 2 publish that is repeated; or a new one. */
static uint16_t choose_serial(struct actor *a, uint8_t qos, uint16_t id, uint8_t *topic)
{
    struct world *w = a->world;
    struct name *n = a->name;
    if (qos == 2 && n->pending[id]) {
        *topic = n->pending_topic[id];
        return n->pending[id] - 1;
    }
    uint16_t serial = w->serial;
    w->serial = (uint16_t)(w->serial % (SERIALS - 1) + 1);
    w->lapped |= w->serial == 1;
    w->publisher[serial] = (uint8_t)a->name_index;
    if (qos == 2) {
        n->pending[id] = (uint16_t)(serial + 1);
        n->pending_topic[id] = *topic;
        n->received[id] = false;
    }
    return serial;
}

/* The topic is left out where the alias stands for it already. */
static void choose_alias(struct actor *a, struct mqtt_publish *p, unsigned which, uint8_t topic)
{
    mqtt_set(&p->props, MQTT_P_TOPIC_ALIAS);
    p->props.topic_alias = (uint16_t)(which + 1);
    if (a->own_alias_topic[which] == topic + 1)
        p->topic.len = 0;
    a->own_alias_topic[which] = (uint8_t)(topic + 1);
}

static void op_publish(struct actor *a, struct sl_cursor *in)
{
    static uint8_t payload[8000];
    static const size_t sizes[] = { 2, 100, 5000, 7900 };
    uint8_t how = next(in), where = next(in), topic = where % TOPICS;
    if (!may_talk(a))
        return;
    uint8_t qos = how % 3;
    uint16_t id = (uint16_t)(1 + (how >> 2) % (PACKET_IDS - 1));
    bool waits = false; /* the same id for something that is not over */
    for (unsigned i = 0; i < a->expected_count; i++)
        waits |= a->expected[i].packet_id == id;
    if (qos > 0 &&
        (waits || a->expected_count >= EXPECTED_MAX - 1 || (qos == 1 && a->name->pending[id])))
        return;
    uint16_t serial = choose_serial(a, qos, id, &topic);
    payload[0] = (uint8_t)(serial >> 8);
    payload[1] = (uint8_t)serial;
    struct mqtt_publish p = {
        .qos = qos,
        .packet_id = id,
        .retain = how & 128,
        .topic = sl_str(world_topics[topic]),
        .payload = { payload, sizes[(how >> 5) % 4] },
    };
    a->world->retained[serial] |= p.retain;
    if (a->version == MQTT_V5 && how & 64) {
        mqtt_set(&p.props, MQTT_P_MESSAGE_EXPIRY);
        p.props.message_expiry = 4;
    }
    if (a->version == MQTT_V5 && where >= 128)
        choose_alias(a, &p, where >> 5 & 1, topic);
    if (qos > 0)
        actor_expect(a, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, id, serial);
    struct sl_buf b = { 0 };
    mqtt_encode_publish(&b, a->version, &p);
    feed(a, &b, how & 16);
}

static void op_pubrel(struct actor *a, struct sl_cursor *in)
{
    uint16_t id = (uint16_t)(1 + next(in) % (PACKET_IDS - 1));
    struct sl_buf b = { 0 };
    if (!may_talk(a) || !a->name->received[id])
        return;
    a->name->pending[id] = 0;
    a->name->received[id] = false;
    mqtt_encode_ack(&b, a->version, MQTT_PUBREL, &(struct mqtt_ack){ .packet_id = id });
    feed(a, &b, false);
}

/* Acknowledges something that came, or that never did. */
static void op_ack(struct actor *a, struct sl_cursor *in)
{
    uint8_t how = next(in);
    struct sl_buf b = { 0 };
    struct mqtt_ack ack = { .packet_id = (uint16_t)(30000 + how) };
    enum mqtt_type type = how & 4 ? MQTT_PUBACK : MQTT_PUBREC;
    if (!may_talk(a))
        return;
    if (a->unacked_count > 0 && !(how & 1)) {
        struct owed *o = &a->unacked[(how >> 4) % a->unacked_count];
        type = o->type == 2 ? MQTT_PUBREC : MQTT_PUBACK;
        ack.packet_id = o->packet_id;
        *o = a->unacked[--a->unacked_count];
        if (a->version == MQTT_V5 && how & 2 && type == MQTT_PUBREC && !a->world->durable)
            ack.reason = MQTT_RC_QUOTA_EXCEEDED;
        if (type == MQTT_PUBREC && ack.reason < 0x80)
            actor_record(a, ack.packet_id);
        else
            a->in_flight--;
        if (!a->world->durable || type == MQTT_PUBACK)
            a->name->open2[ack.packet_id] = 0; /* not to be sent again */
    }
    mqtt_encode_ack(&b, a->version, type, &ack);
    feed(a, &b, false);
}

static void op_disconnect(struct actor *a, struct sl_cursor *in)
{
    struct mqtt_reasoned d = { .reason = a->version == MQTT_V5 && next(in) & 1 ? 4 : 0 };
    struct sl_buf b = { 0 };
    if (!may_talk(a))
        return;
    mqtt_encode_disconnect(&b, a->version, &d);
    feed(a, &b, false);
}

static void op_ping(struct actor *a, struct sl_cursor *in)
{
    unsigned n = next(in) * 64u + 1u;
    struct sl_buf b = { 0 };
    if (!may_talk(a))
        return;
    while (n-- > 0)
        mqtt_encode_pingreq(&b);
    feed(a, &b, false);
}

static void op_stuck(struct actor *a)
{
    if (!a->open)
        return;
    a->stuck = !a->stuck;
    broker_mark_dirty(a->world->broker, &a->client);
}

static void op_from_inside(struct world *w, struct sl_cursor *in)
{
    uint8_t how = next(in);
    struct sl_msg_parts parts = { .topic = sl_str(world_topics[how % TOPICS]),
                                  .payload = sl_bytes("\0\0", how & 8 ? 2 : 0),
                                  .expiry_s = how & 16 ? 3 : SL_MSG_NO_EXPIRY,
                                  .qos = (how >> 5) % 3,
                                  .retain = how & 128,
                                  .mono_ms = w->ms };
    struct sl_msg *m = sl_msg_new(&parts);
    if (m && !broker_publish(w->broker, m))
        abort();
    sl_msg_unref(m);
}

static void op_raw(struct actor *a, struct sl_cursor *in)
{
    struct sl_slice bytes;
    size_t n = next(in);
    a->world->raw = true;
    if (!a->open) {
        actor_open(a, a->world, MQTT_V311);
        a->name_index = 0;
    }
    if (sl_take(in, n < in->left ? n : in->left, &bytes))
        actor_feed(a, bytes);
}

static void op_share(struct actor *a, struct sl_cursor *in, bool removes)
{
    uint8_t how = next(in);
    unsigned which = how % SHARES;
    struct mqtt_sub_entry e = { .filter = sl_str(world_shares[which]), .qos = (how >> 1) % 3 };
    struct sl_buf b = { 0 };
    if (!may_talk(a) || a->list_count == LISTS_MAX)
        return;
    actor_lists(a, 1u << (FILTERS + which), removes);
    if (removes)
        mqtt_encode_unsubscribe(&b, a->version, 9, NULL, &e.filter, 1);
    else
        mqtt_encode_subscribe(&b, a->version, 9, NULL, &e, 1);
    feed(a, &b, false);
}

/* May come at any time, and say anything. */
static void op_auth(struct actor *a, struct sl_cursor *in)
{
    static const char *const data[] = { "yes", "no", "more", "" };
    uint8_t how = next(in);
    struct mqtt_reasoned r = { .reason = how & 1 ? MQTT_RC_CONTINUE_AUTH : MQTT_RC_REAUTHENTICATE };
    struct sl_buf b = { 0 };
    if (!a->open || a->close_wanted || a->client.held || a->client.in.len > 0)
        return;
    mqtt_set(&r.props, MQTT_P_AUTH_METHOD);
    r.props.auth_method = sl_str(how & 2 ? "now" : "later");
    mqtt_set(&r.props, MQTT_P_AUTH_DATA);
    r.props.auth_data = sl_str(data[(how >> 2) % SL_ARRAY_LEN(data)]);
    mqtt_encode_auth(&b, &r);
    feed(a, &b, how & 128);
}

static void more(struct world *w, struct sl_cursor *in)
{
    static const char *const data[] = { "yes", "no", "more", "" };
    uint8_t what = next(in);
    struct actor *a = &w->actors[(what >> 4) % ACTORS];
    struct mqtt_props extra = { 0 };
    switch ((enum more_op)(what % MORE_OPS)) {
    case MORE_CONNECT_AUTH:
        mqtt_set(&extra, MQTT_P_AUTH_METHOD);
        extra.auth_method = sl_str(what & 8 ? "now" : "later");
        mqtt_set(&extra, MQTT_P_AUTH_DATA);
        extra.auth_data = sl_str(data[next(in) % SL_ARRAY_LEN(data)]);
        op_connect(a, w, in, &extra);
        break;
    case MORE_AUTH: op_auth(a, in); break;
    case MORE_ANSWER: world_exchange(w, what >> 4); break;
    case MORE_SHARE: op_share(a, in, false); break;
    case MORE_UNSHARE: op_share(a, in, true); break;
    case MORE_CONNECT_ALIAS:
        mqtt_set(&extra, MQTT_P_TOPIC_ALIAS_MAXIMUM);
        extra.topic_alias_max = next(in) % (ALIASES + 1);
        op_connect(a, w, in, &extra);
        break;
    case MORE_OPS: break;
    }
}

static void store_step(struct world *w, struct sl_cursor *in)
{
    uint8_t what = next(in);
    switch ((enum store_op)(what % STORE_OPS)) {
    case STORE_COMMIT: world_commit(w); break;
    case STORE_HOLD: w->holds_commits = !w->holds_commits; break;
    case STORE_BREAK: world_break(w); break;
    case STORE_CRASH: world_crash(w, next(in)); break;
    case STORE_SPILL: world_spill(w); break;
    case STORE_DENY: world_deny(w, what / STORE_OPS % (TOPICS + 1)); break;
    case STORE_OPS: break;
    }
}

static void step(struct world *w, struct sl_cursor *in)
{
    static const struct mqtt_props nothing;
    uint8_t what = next(in);
    struct actor *a = &w->actors[(what >> 4) % ACTORS];
    if (what == MORE) {
        more(w, in);
        return;
    }
    if (what == STORE) {
        store_step(w, in);
        return;
    }
    switch ((enum op)(what % OPS)) {
    case OP_CONNECT: op_connect(a, w, in, &nothing); break;
    case OP_SUBSCRIBE: op_subscribe(a, in); break;
    case OP_UNSUBSCRIBE: op_unsubscribe(a, in); break;
    case OP_PUBLISH: op_publish(a, in); break;
    case OP_PUBREL: op_pubrel(a, in); break;
    case OP_ACK: op_ack(a, in); break;
    case OP_DROP:
        if (a->open)
            actor_drop(a);
        break;
    case OP_DISCONNECT: op_disconnect(a, in); break;
    case OP_PING: op_ping(a, in); break;
    case OP_STUCK: op_stuck(a); break;
    case OP_TIME:
        for (unsigned n = next(in) % 16u + 1u; n > 0; n--)
            world_second(w);
        break;
    case OP_TAP: w->tap_does = (enum tap_does)(next(in) % (TAP_REFUSES + 1)); break;
    case OP_RELEASE:
        world_release(w, next(in), what & 128 ? MQTT_RC_QUOTA_EXCEEDED : MQTT_RC_SUCCESS);
        break;
    case OP_ANSWER: world_answer(w, what & 128); break;
    case OP_FROM_INSIDE: op_from_inside(w, in); break;
    case OP_RAW:
        a->world = w;
        op_raw(a, in);
        break;
    case OPS: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_cursor in = { data, size };
    struct world *w = malloc(sizeof *w);
    if (!w)
        abort();
    sl_log_configure(SL_ERROR, SL_LOG_TEXT);
    world_open(w, size > 0 && data[0] == STORE);
    while (in.left > 0) {
        step(w, &in);
        world_turn(w);
        world_check(w);
    }
    world_close(w);
    free(w);
    return 0;
}
