/* test_broker.c - sessions, routing and acknowledgements, without sockets and under a clock that
 * the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "acks.h"
#include "peer.h"

static void online(struct peer *p, struct rig *r, enum mqtt_version v, const char *id)
{
    peer_open(p, r, v);
    peer_connect(p, id, true, 0);
    (void)peer_next(p, MQTT_CONNACK);
}

static uint8_t connack(struct peer *p, bool *ret_present)
{
    struct mqtt_connack a;
    struct mqtt_frame f = peer_next(p, MQTT_CONNACK);
    assert_int_equal(mqtt_decode_connack(&f, p->version, &a, NULL), MQTT_RC_SUCCESS);
    if (ret_present)
        *ret_present = a.session_present;
    return a.reason;
}

/* ---- CONNECT ---- */

static void closed_anonymous(struct broker_options *o)
{
    o->anonymous = false;
}

static const struct connect_case {
    const char *name;
    struct mqtt_connect connect;
    bool anonymous, answer;
    int reason; /* of CONNACK; -1: closed without one */
} connect_cases[] = {
    { "3.1.1 is let in",
      { .version = MQTT_V311, .clean_start = true, .client_id = { (const uint8_t *)"a", 1 } },
      true,
      false,
      0 },
    { "3.1 is let in",
      { .version = MQTT_V31, .clean_start = true, .client_id = { (const uint8_t *)"a", 1 } },
      true,
      false,
      0 },
    { "5 is let in",
      { .version = MQTT_V5, .clean_start = true, .client_id = { (const uint8_t *)"a", 1 } },
      true,
      false,
      0 },
    { "5 without a client id is given one", { .version = MQTT_V5 }, true, false, 0 },
    { "3.1.1 without a client id, clean",
      { .version = MQTT_V311, .clean_start = true },
      true,
      false,
      0 },
    { "3.1.1 without a client id, not clean", { .version = MQTT_V311 }, true, false, 2 },
    { "anonymous off, 3.1.1",
      { .version = MQTT_V311, .clean_start = true, .client_id = { (const uint8_t *)"a", 1 } },
      false,
      false,
      5 },
    { "anonymous off, 5",
      { .version = MQTT_V5, .client_id = { (const uint8_t *)"a", 1 } },
      false,
      false,
      0x87 },
    { "right password",
      { .version = MQTT_V5,
        .has_username = true,
        .username = { (const uint8_t *)"u", 1 },
        .client_id = { (const uint8_t *)"a", 1 } },
      false,
      true,
      0 },
    { "wrong password, 5",
      { .version = MQTT_V5,
        .has_username = true,
        .username = { (const uint8_t *)"u", 1 },
        .client_id = { (const uint8_t *)"a", 1 } },
      false,
      false,
      0x86 },
    { "wrong password, 3.1.1",
      { .version = MQTT_V311,
        .clean_start = true,
        .has_username = true,
        .username = { (const uint8_t *)"u", 1 },
        .client_id = { (const uint8_t *)"a", 1 } },
      false,
      false,
      4 },
    { "will on a wildcard topic",
      { .version = MQTT_V5,
        .client_id = { (const uint8_t *)"a", 1 },
        .has_will = true,
        .will = { .topic = { (const uint8_t *)"a/#", 3 } } },
      true,
      false,
      -1 },
};

static void connects(void **state)
{
    const struct connect_case *c = *state;
    struct rig r;
    struct peer p;
    rig_open(&r, c->anonymous ? NULL : closed_anonymous);
    r.answer = c->answer;
    peer_open(&p, &r, c->connect.version);
    peer_send_connect(&p, &c->connect);
    if (c->reason >= 0)
        assert_int_equal(connack(&p, NULL), c->reason);
    assert_int_equal(p.open, c->reason == 0);
    if (p.open)
        peer_drop(&p);
    sl_buf_free(&p.received);
    rig_close(&r);
}

static void first_packet_must_be_connect(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct sl_buf b = { 0 };
    rig_open(&r, NULL);
    peer_open(&p, &r, MQTT_V311);
    mqtt_encode_pingreq(&b);
    peer_send(&p, &b);
    assert_false(p.open);
    assert_true(peer_quiet(&p));
    sl_buf_free(&b);
    rig_close(&r);
}

static void second_connect_is_refused(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V5, "a");
    peer_connect(&p, "a", true, 0);
    struct mqtt_frame f = peer_next(&p, MQTT_DISCONNECT);
    assert_int_equal(f.body.ptr[0], MQTT_RC_PROTOCOL_ERROR);
    assert_false(p.open);
    sl_buf_free(&p.received);
    rig_close(&r);
}

/* The answer about a password comes later; what the client sent meanwhile waits. */
static void late_answer(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct sl_buf b = { 0 };
    struct mqtt_connect c = { .version = MQTT_V311,
                              .clean_start = true,
                              .client_id = sl_str("a"),
                              .has_username = true,
                              .username = sl_str("u") };
    rig_open(&r, NULL);
    r.later = true;
    peer_open(&p, &r, MQTT_V311);
    mqtt_encode_connect(&b, &c);
    mqtt_encode_pingreq(&b);
    peer_send(&p, &b);
    assert_true(peer_quiet(&p));
    assert_false(p.reading);
    broker_auth_done(r.asked, true);
    rig_turn(&r);
    assert_int_equal(connack(&p, NULL), 0);
    (void)peer_next(&p, MQTT_PINGRESP);
    assert_true(p.reading);
    peer_drop(&p);

    peer_open(&p, &r, MQTT_V311); /* gone before the answer */
    peer_send(&p, &b);
    peer_drop(&p);
    broker_auth_done(r.asked, true);
    sl_buf_free(&b);
    rig_close(&r);
}

/* ---- delivery ---- */

static const struct qos_case {
    const char *name;
    enum mqtt_version from, to;
    uint8_t publish, subscribe, want;
} qos_cases[] = {
    { "0 to 0", MQTT_V311, MQTT_V311, 0, 0, 0 }, { "1 to 0", MQTT_V311, MQTT_V5, 1, 0, 0 },
    { "0 to 2", MQTT_V5, MQTT_V311, 0, 2, 0 },   { "1 to 1", MQTT_V5, MQTT_V5, 1, 1, 1 },
    { "2 to 1", MQTT_V311, MQTT_V5, 2, 1, 1 },   { "2 to 2", MQTT_V5, MQTT_V311, 2, 2, 2 },
};

static void delivers(void **state)
{
    const struct qos_case *c = *state;
    struct rig r;
    struct peer from, to;
    rig_open(&r, NULL);
    online(&from, &r, c->from, "from");
    online(&to, &r, c->to, "to");
    peer_subscribe(&to, "a/+", c->subscribe);
    peer_publish(&from, "a/b", "hello", c->publish, false, 5);
    struct mqtt_publish m = peer_next_publish(&to);
    assert_int_equal(m.qos, c->want);
    assert_false(m.retain);
    assert_text(m.topic, "a/b");
    assert_text(m.payload, "hello");
    if (c->publish == 1)
        assert_int_equal(peer_next_ack(&from, MQTT_PUBACK, NULL), 5);
    if (c->publish == 2) {
        assert_int_equal(peer_next_ack(&from, MQTT_PUBREC, NULL), 5);
        peer_ack(&from, MQTT_PUBREL, 5, 0);
        assert_int_equal(peer_next_ack(&from, MQTT_PUBCOMP, NULL), 5);
    }
    if (c->want == 1)
        peer_ack(&to, MQTT_PUBACK, m.packet_id, 0);
    if (c->want == 2) {
        peer_ack(&to, MQTT_PUBREC, m.packet_id, 0);
        assert_int_equal(peer_next_ack(&to, MQTT_PUBREL, NULL), m.packet_id);
        peer_ack(&to, MQTT_PUBCOMP, m.packet_id, 0);
    }
    assert_int_equal(to.client.session->window.count, 0);
    assert_true(peer_quiet(&from) && peer_quiet(&to));
    peer_disconnect(&from);
    peer_disconnect(&to);
    rig_close(&r);
}

static void qos2_is_taken_once(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "t", 0);
    peer_publish(&p, "t", "x", 2, false, 9);
    peer_publish(&p, "t", "x", 2, false, 9); /* the client did not get PUBREC */
    (void)peer_next_publish(&p);
    (void)peer_next_ack(&p, MQTT_PUBREC, NULL);
    (void)peer_next_ack(&p, MQTT_PUBREC, NULL);
    assert_true(peer_quiet(&p));
    peer_drop(&p);
    rig_close(&r);
}

static void overlapping_subscriptions_give_one_copy(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V5, "p");
    peer_subscribe(&p, "a/#", 0);
    peer_subscribe(&p, "a/b", 1);
    peer_publish(&p, "a/b", "x", 1, false, 1);
    assert_int_equal(peer_next_publish(&p).qos, 1);
    (void)peer_next_ack(&p, MQTT_PUBACK, NULL);
    assert_true(peer_quiet(&p));
    peer_drop(&p);
    rig_close(&r);
}

static void no_local_keeps_own_messages_away(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, q;
    struct sl_buf b = { 0 };
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V5, "p");
    online(&q, &r, MQTT_V5, "q");
    mqtt_encode_subscribe(&b, MQTT_V5, 3, NULL,
                          &(struct mqtt_sub_entry){ .filter = sl_str("t"), .no_local = true }, 1);
    peer_send(&p, &b);
    sl_buf_free(&b);
    (void)peer_next(&p, MQTT_SUBACK);
    peer_publish(&p, "t", "mine", 0, false, 0);
    assert_true(peer_quiet(&p));
    peer_publish(&q, "t", "yours", 0, false, 0);
    assert_text(peer_next_publish(&p).payload, "yours");
    peer_drop(&p);
    peer_drop(&q);
    rig_close(&r);
}

static void dollar_topics_are_the_brokers(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    uint8_t reason;
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V5, "p");
    peer_subscribe(&p, "#", 0);
    peer_subscribe(&p, "$SYS/#", 0);
    peer_publish(&p, "$SYS/broker/version", "forged", 1, false, 1);
    (void)peer_next_ack(&p, MQTT_PUBACK, &reason);
    assert_int_equal(reason, MQTT_RC_NOT_AUTHORIZED);
    assert_true(peer_quiet(&p));
    peer_drop(&p);
    rig_close(&r);
}

/* ---- retained messages ---- */

static void retained_reaches_late_subscribers(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, late;
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V311, "p");
    peer_publish(&p, "a/b", "kept", 0, true, 0);
    peer_publish(&p, "a/c", "gone", 0, true, 0);
    peer_publish(&p, "a/c", "", 0, true, 0);
    online(&late, &r, MQTT_V311, "late");
    peer_subscribe(&late, "a/#", 1);
    struct mqtt_publish m = peer_next_publish(&late);
    assert_text(m.payload, "kept");
    assert_true(m.retain);
    assert_true(peer_quiet(&late));
    peer_publish(&p, "a/b", "new", 0, true, 0);
    assert_false(peer_next_publish(&late).retain); /* [MQTT-3.3.1-12] */
    peer_drop(&p);
    peer_drop(&late);
    rig_close(&r);
}

/* ---- sessions ---- */

static void session_waits_for_its_client(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    bool present;
    rig_open(&r, NULL);
    online(&from, &r, MQTT_V311, "from");
    peer_open(&p, &r, MQTT_V5);
    peer_connect(&p, "p", false, 500);
    assert_int_equal(connack(&p, &present), 0);
    assert_false(present);
    peer_subscribe(&p, "t", 1);
    peer_publish(&from, "t", "unacknowledged", 1, false, 1);
    uint16_t id = peer_next_publish(&p).packet_id;
    peer_drop(&p);
    peer_publish(&from, "t", "while away", 1, false, 2);
    peer_publish(&from, "t", "not kept", 0, false, 0);

    peer_open(&p, &r, MQTT_V5);
    peer_connect(&p, "p", false, 500);
    (void)connack(&p, &present);
    assert_true(present);
    struct mqtt_publish m = peer_next_publish(&p);
    assert_true(m.dup);
    assert_int_equal(m.packet_id, id);
    assert_text(m.payload, "unacknowledged");
    m = peer_next_publish(&p);
    assert_false(m.dup);
    assert_text(m.payload, "while away");
    assert_true(peer_quiet(&p));
    peer_drop(&p);
    rig_seconds(&r, 501);
    assert_int_equal(r.broker->sessions.count, 1); /* only "from" is left */
    peer_drop(&from);
    rig_close(&r);
}

static void take_over(void **state)
{
    (void)state;
    struct rig r;
    struct peer old, young;
    rig_open(&r, NULL);
    online(&old, &r, MQTT_V5, "same");
    online(&young, &r, MQTT_V5, "same");
    struct mqtt_frame f = peer_next(&old, MQTT_DISCONNECT);
    assert_int_equal(f.body.ptr[0], MQTT_RC_SESSION_TAKEN_OVER);
    assert_false(old.open);
    assert_true(young.open);
    sl_buf_free(&old.received);
    peer_drop(&young);
    rig_close(&r);
}

static void window_is_bounded(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    rig_open(&r, NULL); /* max_inflight 4, 10 in the queue */
    online(&from, &r, MQTT_V311, "from");
    online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "t", 1);
    for (uint16_t i = 1; i <= 20; i++)
        peer_publish(&from, "t", "x", 1, false, i);
    uint16_t ids[4];
    for (int i = 0; i < 4; i++)
        ids[i] = peer_next_publish(&p).packet_id;
    assert_true(peer_quiet(&p));
    struct broker_stats s;
    broker_get_stats(r.broker, &s);
    assert_int_equal(s.dropped[BROKER_DROP_QUEUE_FULL], 6);
    assert_int_equal(s.queued, 10);
    peer_ack(&p, MQTT_PUBACK, ids[1], 0); /* out of order: room for one */
    (void)peer_next_publish(&p);
    assert_true(peer_quiet(&p));
    peer_ack(&p, MQTT_PUBACK, ids[0], 0);
    (void)peer_next_publish(&p);
    peer_ack(&p, MQTT_PUBACK, 4711, 0); /* unknown: ignored */
    assert_true(peer_quiet(&p));
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

/* ---- acknowledgements that somebody holds ---- */

struct holder {
    struct broker_ack *acks[8];
    size_t count;
    unsigned seen;
};

static void hold(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct holder *h = ctx;
    h->seen++;
    if (sl_msg_payload(m).len > 0 && sl_msg_payload(m).ptr[0] == 'h')
        h->acks[h->count++] = broker_ack_hold(receipt);
}

static void held_acknowledgements_keep_order(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct holder h = { 0 };
    uint8_t reason;
    rig_open(&r, NULL);
    struct broker_tap *tap = broker_tap(r.broker, sl_str("t"), hold, &h);
    online(&p, &r, MQTT_V5, "p");
    peer_publish(&p, "t", "hold 1", 1, false, 1);
    peer_publish(&p, "t", "free", 1, false, 2);
    peer_publish(&p, "t", "hold 2", 2, false, 3);
    assert_true(peer_quiet(&p)); /* 2 waits behind 1 [MQTT-4.6.0-2] */
    broker_ack_release(h.acks[1], MQTT_RC_SUCCESS);
    rig_turn(&r);
    assert_true(peer_quiet(&p));
    broker_ack_release(h.acks[0], MQTT_RC_QUOTA_EXCEEDED);
    rig_turn(&r);
    assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, &reason), 1);
    assert_int_equal(reason, MQTT_RC_QUOTA_EXCEEDED);
    assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, &reason), 2);
    assert_int_equal(reason, MQTT_RC_SUCCESS);
    assert_int_equal(peer_next_ack(&p, MQTT_PUBREC, NULL), 3);
    peer_drop(&p);
    broker_untap(r.broker, tap);
    rig_close(&r);
}

static void unsafe_is_not_acknowledged_to_older_clients(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct holder h = { 0 };
    rig_open(&r, NULL);
    struct broker_tap *tap = broker_tap(r.broker, sl_str("#"), hold, &h);
    online(&p, &r, MQTT_V311, "p");
    peer_publish(&p, "t", "hold", 1, false, 1);
    broker_ack_release(h.acks[0], MQTT_RC_QUOTA_EXCEEDED);
    rig_turn(&r);
    assert_true(peer_quiet(&p));
    assert_false(p.open); /* so that it comes back and sends it again */
    sl_buf_free(&p.received);
    broker_untap(r.broker, tap);
    rig_close(&r);
}

/* The answer may come when connection and session are long gone. */
static void held_longer_than_the_session(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct holder h = { 0 };
    rig_open(&r, NULL);
    struct broker_tap *tap = broker_tap(r.broker, sl_str("#"), hold, &h);
    online(&p, &r, MQTT_V5, "p");
    peer_publish(&p, "t", "hold", 2, false, 1);
    peer_drop(&p);
    broker_ack_release(h.acks[0], MQTT_RC_SUCCESS);
    broker_untap(r.broker, tap);
    rig_close(&r);
}

static void receive_maximum(void **state)
{
    (void)state;
    struct rig r;
    struct peer five, three;
    struct holder h = { 0 };
    rig_open(&r, NULL); /* 4 */
    struct broker_tap *tap = broker_tap(r.broker, sl_str("#"), hold, &h);
    online(&five, &r, MQTT_V5, "five");
    for (uint16_t i = 1; i <= 5; i++)
        peer_publish(&five, "t", "hold", 1, false, i);
    struct mqtt_frame f = peer_next(&five, MQTT_DISCONNECT);
    assert_int_equal(f.body.ptr[0], MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED);
    assert_false(five.open);
    sl_buf_free(&five.received);

    online(&three, &r, MQTT_V311, "three");
    for (uint16_t i = 1; i <= 4; i++)
        peer_publish(&three, "t", "hold", 1, false, i);
    assert_false(three.reading); /* paused, not cut */
    for (size_t i = 0; i < h.count; i++)
        broker_ack_release(h.acks[i], MQTT_RC_SUCCESS);
    rig_turn(&r);
    assert_true(three.reading);
    peer_drop(&three);
    broker_untap(r.broker, tap);
    rig_close(&r);
}

/* ---- publishing from inside ---- */

static struct sl_msg *message(struct rig *r, const char *topic, const char *payload,
                              uint32_t expiry_s)
{
    struct sl_msg_parts parts = { .topic = sl_str(topic),
                                  .payload = sl_str(payload),
                                  .expiry_s = expiry_s,
                                  .qos = 1,
                                  .mono_ms = r->mono_ms };
    struct sl_msg *m = sl_msg_new(&parts);
    assert_non_null(m);
    return m;
}

static void inside_publishes_are_queued(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "#", 0);
    struct sl_msg *m = message(&r, "a", "x", SL_MSG_NO_EXPIRY),
                  *bad = message(&r, "a/#", "x", SL_MSG_NO_EXPIRY);
    assert_true(broker_publish(r.broker, m));
    assert_false(broker_publish(r.broker, bad));
    assert_true(peer_quiet(&p));
    rig_turn(&r);
    assert_text(peer_next_publish(&p).topic, "a");
    for (int i = 0; i < BROKER_INTERNAL_QUEUE_MAX; i++)
        assert_true(broker_publish(r.broker, m));
    assert_false(broker_publish(r.broker, m)); /* the bound */
    peer_drop(&p);
    sl_msg_unref(m);
    sl_msg_unref(bad);
    rig_close(&r);
}

struct safe_calls {
    unsigned count;
    uint64_t token;
    uint8_t reason;
};

static void on_safe_outside(void *ctx, uint64_t token, uint8_t reason)
{
    struct safe_calls *c = ctx;
    c->count++;
    c->token = token;
    c->reason = reason;
}

struct outside_holder {
    struct broker_ack *ack;
};

static void hold_for_outside(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    (void)m;
    ((struct outside_holder *)ctx)->ack = broker_ack_hold(receipt);
}

/* Whoever brings a message from outside is told when all who take it have it safe. */
static void outside_waits_for_those_who_take_it(void **state)
{
    (void)state;
    struct rig r;
    struct safe_calls calls = { 0 };
    struct outside_holder holder = { 0 };
    rig_open(&r, NULL);
    struct broker_tap *tap = broker_tap(r.broker, sl_str("held"), hold_for_outside, &holder);
    struct sl_msg *plain = message(&r, "a", "x", SL_MSG_NO_EXPIRY),
                  *held = message(&r, "held", "x", SL_MSG_NO_EXPIRY),
                  *bad = message(&r, "a/#", "x", SL_MSG_NO_EXPIRY),
                  *stale = message(&r, "held", "x", 5);
    assert_int_equal(broker_publish_safe(r.broker, bad, on_safe_outside, &calls, 1), SL_INVALID);
    assert_int_equal(broker_publish_safe(r.broker, plain, on_safe_outside, &calls, 2), SL_OK);
    assert_int_equal(calls.count, 0); /* never before it returns */
    rig_turn(&r);
    assert_int_equal(calls.count, 1);
    assert_int_equal(calls.token, 2);
    assert_int_equal(calls.reason, 0);
    assert_int_equal(broker_publish_safe(r.broker, held, on_safe_outside, &calls, 3), SL_OK);
    rig_turn(&r);
    assert_int_equal(calls.count, 1);
    broker_ack_release(holder.ack, MQTT_RC_QUOTA_EXCEEDED);
    assert_int_equal(calls.count, 2);
    assert_int_equal(calls.token, 3);
    assert_int_equal(calls.reason, MQTT_RC_QUOTA_EXCEEDED);
    holder.ack = NULL;
    assert_int_equal(broker_publish_safe(r.broker, stale, on_safe_outside, &calls, 4), SL_OK);
    r.mono_ms += 5000; /* its time ends while it waits for its turn */
    rig_turn(&r);
    assert_null(holder.ack);
    assert_int_equal(calls.count, 3);
    assert_int_equal(r.broker->stats.dropped[BROKER_DROP_EXPIRED], 1);
    for (int i = 0; i < BROKER_INTERNAL_QUEUE_MAX; i++)
        assert_int_equal(broker_publish_safe(r.broker, plain, on_safe_outside, &calls, 5), SL_OK);
    assert_int_equal(broker_publish_safe(r.broker, plain, on_safe_outside, &calls, 6), SL_LIMIT);
    broker_untap(r.broker, tap);
    sl_msg_unref(plain);
    sl_msg_unref(held);
    sl_msg_unref(bad);
    sl_msg_unref(stale);
    rig_close(&r);
}

/* A tap that answers a message on "in" with one on "out", and asks the publisher to wait for it. */
static void answer_on_out(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct rig *r = ctx;
    (void)m;
    struct sl_msg *out = message(r, "out", "hold", SL_MSG_NO_EXPIRY),
                  *bad = message(r, "out/#", "hold", SL_MSG_NO_EXPIRY);
    assert_int_equal(broker_publish_for(r->broker, out, receipt), SL_OK);
    assert_int_equal(broker_publish_for(r->broker, bad, receipt), SL_INVALID);
    sl_msg_unref(out);
    sl_msg_unref(bad);
}

static void claims_follow_their_message(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct holder h = { 0 };
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V311, "p");
    struct broker_tap *first = broker_tap(r.broker, sl_str("in"), answer_on_out, &r);
    peer_publish(&p, "in", "x", 1, false, 1);
    assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, NULL), 1); /* nobody holds what followed */
    struct broker_tap *second = broker_tap(r.broker, sl_str("out"), hold, &h);
    peer_publish(&p, "in", "x", 1, false, 2);
    peer_publish(&p, "in", "x", 2, false, 3);
    assert_true(peer_quiet(&p));
    assert_int_equal(h.count, 2);
    broker_ack_release(h.acks[0], MQTT_RC_SUCCESS);
    broker_ack_release(h.acks[1], MQTT_RC_SUCCESS);
    rig_turn(&r);
    assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, NULL), 2);
    assert_int_equal(peer_next_ack(&p, MQTT_PUBREC, NULL), 3);
    broker_untap(r.broker, first);
    broker_untap(r.broker, second);
    peer_drop(&p);
    rig_close(&r);
}

static void a_full_queue_refuses_the_claim(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    uint8_t reason;
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V5, "p");
    struct sl_msg *m = message(&r, "elsewhere", "x", SL_MSG_NO_EXPIRY);
    while (broker_publish(r.broker, m)) {
        /* until it is full */
    }
    struct session *s = p.client.session;
    struct broker_receipt receipt = { .session = s };
    assert_int_equal(broker_publish_for(r.broker, m, &receipt), SL_LIMIT);
    assert_int_equal(receipt.reason, MQTT_RC_QUOTA_EXCEEDED);
    assert_null(receipt.ack);
    rig_turn(&r);
    sl_msg_unref(m);
    peer_publish(&p, "none", "x", 1, false, 1);
    assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, &reason), 1);
    peer_drop(&p);
    rig_close(&r);
}

/* Stopping: what taps have published goes its way first, and a client that is let go on after that
 * is not read. */
static void pausing_routes_what_is_queued(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct holder h = { 0 };
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V311, "p");
    struct broker_tap *tap = broker_tap(r.broker, sl_str("t"), hold, &h);
    for (uint16_t i = 1; i <= 4; i++)
        peer_publish(&p, "t", "hold", 1, false, i);
    assert_false(p.reading);
    struct sl_msg *m = message(&r, "t", "x", SL_MSG_NO_EXPIRY);
    assert_true(broker_publish(r.broker, m));
    broker_pause(r.broker);
    assert_int_equal(h.seen, 5);
    for (size_t i = 0; i < h.count; i++)
        broker_ack_release(h.acks[i], MQTT_RC_SUCCESS);
    rig_turn(&r);
    for (uint16_t i = 1; i <= 4; i++)
        assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, NULL), i);
    assert_false(p.reading);
    sl_msg_unref(m);
    broker_untap(r.broker, tap);
    peer_drop(&p);
    rig_close(&r);
}

static void on_broker_closed(void *ctx)
{
    ((struct rig *)ctx)->closed = true;
}

/* A broker that closes has no rules any more: what is still queued for them is not acknowledged. */
static void closing_acknowledges_nothing_new(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V311, "p");
    struct broker_tap *tap = broker_tap(r.broker, sl_str("in"), answer_on_out, &r);
    broker_pause(r.broker);
    struct broker_receipt receipt = { .session = p.client.session };
    struct sl_msg *m = message(&r, "out", "x", SL_MSG_NO_EXPIRY);
    assert_int_equal(broker_publish_for(r.broker, m, &receipt), SL_OK);
    client_queue_ack(&p.client, MQTT_PUBACK, 7, 0, receipt.ack);
    ack_unref(receipt.ack);
    broker_untap(r.broker, tap);
    broker_close(r.broker, on_broker_closed, &r);
    assert_true(peer_quiet(&p));
    assert_false(p.open);
    sl_msg_unref(m);
    sl_buf_free(&p.received);
    (void)uv_run(&r.loop, UV_RUN_DEFAULT);
    assert_true(r.closed);
    assert_int_equal(uv_loop_close(&r.loop), 0);
}

static void expiry_counts_down(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    peer_open(&p, &r, MQTT_V5);
    peer_connect(&p, "p", false, 500);
    (void)peer_next(&p, MQTT_CONNACK);
    peer_subscribe(&p, "t", 1);
    peer_drop(&p);
    struct sl_msg *soon = message(&r, "t", "soon", 5), *late = message(&r, "t", "late", 100);
    assert_true(broker_publish(r.broker, soon) && broker_publish(r.broker, late));
    rig_seconds(&r, 40);
    peer_open(&p, &r, MQTT_V5);
    peer_connect(&p, "p", false, 500);
    (void)peer_next(&p, MQTT_CONNACK);
    struct mqtt_publish m = peer_next_publish(&p);
    assert_text(m.payload, "late");
    assert_int_equal(m.props.message_expiry, 60);
    assert_true(peer_quiet(&p));
    peer_drop(&p);
    sl_msg_unref(soon);
    sl_msg_unref(late);
    rig_close(&r);
}

/* ---- wills, time-outs, bounds ---- */

static const struct will_case {
    const char *name;
    bool polite;
    uint32_t delay_s, expiry_s;
    int after_s; /* when it comes; -1: never */
} will_cases[] = {
    { "a lost connection sends the will", false, 0, 0, 0 },
    { "DISCONNECT does not", true, 0, 0, -1 },
    { "the delay is kept", false, 10, 500, 10 },
    { "the session's end comes first", false, 100, 5, 5 },
    { "without a session there is no delay", false, 10, 0, 0 },
};

static void wills(void **state)
{
    const struct will_case *c = *state;
    struct rig r;
    struct peer p, q;
    struct mqtt_connect connect = {
        .version = MQTT_V5,
        .clean_start = true,
        .client_id = sl_str("p"),
        .has_will = true,
        .will = { .topic = sl_str("will"), .payload = sl_str("gone"), .qos = 1 }
    };
    mqtt_set(&connect.props, MQTT_P_SESSION_EXPIRY);
    connect.props.session_expiry = c->expiry_s;
    mqtt_set(&connect.will.props, MQTT_P_WILL_DELAY);
    connect.will.props.will_delay = c->delay_s;
    rig_open(&r, NULL);
    online(&q, &r, MQTT_V311, "q");
    peer_subscribe(&q, "will", 1);
    peer_open(&p, &r, MQTT_V5);
    peer_send_connect(&p, &connect);
    (void)peer_next(&p, MQTT_CONNACK);
    if (c->polite)
        peer_disconnect(&p);
    else
        peer_drop(&p);
    for (int s = 0; s < 20; s++) {
        assert_int_equal(peer_quiet(&q), s != c->after_s);
        if (s == c->after_s)
            assert_text(peer_next_publish(&q).payload, "gone");
        rig_seconds(&r, 1);
    }
    peer_drop(&q);
    rig_close(&r);
}

static void silence_is_ended(void **state)
{
    (void)state;
    struct rig r;
    struct peer mute, p;
    struct mqtt_connect c = {
        .version = MQTT_V5, .clean_start = true, .client_id = sl_str("p"), .keep_alive_s = 20
    };
    rig_open(&r, NULL);
    peer_open(&mute, &r, MQTT_V311);
    peer_open(&p, &r, MQTT_V5);
    peer_send_connect(&p, &c);
    (void)peer_next(&p, MQTT_CONNACK);
    rig_seconds(&r, 10);
    assert_true(mute.open);
    rig_seconds(&r, 1);
    assert_false(mute.open); /* no CONNECT within connect_timeout */
    rig_seconds(&r, 19);
    assert_true(p.open);
    rig_seconds(&r, 1); /* 31 s: one and a half keep-alives and one second */
    struct mqtt_frame f = peer_next(&p, MQTT_DISCONNECT);
    assert_int_equal(f.body.ptr[0], MQTT_RC_KEEP_ALIVE_TIMEOUT);
    assert_false(p.open);
    sl_buf_free(&p.received);
    rig_close(&r);
}

static void slow_reader_loses_qos0_only(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    char big[1024];
    struct broker_stats s;
    rig_open(&r, NULL); /* 100,000 bytes of output */
    online(&from, &r, MQTT_V311, "from");
    online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "t", 1);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    p.stuck = true;
    for (int i = 0; i < 200; i++)
        peer_publish(&from, "t", big, 0, false, 0);
    broker_get_stats(r.broker, &s);
    assert_in_range(s.dropped[BROKER_DROP_SLOW_READER], 90, 110);
    peer_publish(&from, "t", "kept", 1, false, 1);
    p.stuck = false;
    broker_mark_dirty(r.broker, &p.client);
    rig_turn(&r);
    struct mqtt_publish m = { 0 };
    while (!peer_quiet(&p))
        m = peer_next_publish(&p);
    assert_text(m.payload, "kept");
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

/* Byte by byte and all at once must be the same. */
static void packets_in_pieces(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct sl_buf b = { 0 };
    rig_open(&r, NULL);
    peer_open(&p, &r, MQTT_V311);
    mqtt_encode_connect(&b, &(struct mqtt_connect){ .version = MQTT_V311,
                                                    .clean_start = true,
                                                    .client_id = sl_str("p") });
    mqtt_encode_subscribe(&b, MQTT_V311, 1, NULL,
                          &(struct mqtt_sub_entry){ .filter = sl_str("#"), .qos = 0 }, 1);
    mqtt_encode_publish(
        &b, MQTT_V311,
        &(struct mqtt_publish){ .topic = sl_str("a/b"), .payload = sl_str("payload") });
    for (size_t i = 0; i < b.len; i++)
        client_receive(&p.client, sl_bytes(b.ptr + i, 1));
    rig_turn(&r);
    (void)peer_next(&p, MQTT_CONNACK);
    (void)peer_next(&p, MQTT_SUBACK);
    assert_text(peer_next_publish(&p).payload, "payload");
    assert_null(p.client.in.ptr); /* nothing is kept for an idle connection */
    sl_buf_free(&b);
    peer_drop(&p);
    rig_close(&r);
}

static void topic_alias(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct sl_buf b = { 0 };
    struct mqtt_publish m = { .topic = sl_str("long/topic"), .payload = sl_str("1") };
    mqtt_set(&m.props, MQTT_P_TOPIC_ALIAS);
    m.props.topic_alias = 4;
    rig_open(&r, NULL);
    online(&p, &r, MQTT_V5, "p");
    peer_subscribe(&p, "#", 0);
    mqtt_encode_publish(&b, MQTT_V5, &m);
    m.topic = sl_str("");
    mqtt_encode_publish(&b, MQTT_V5, &m);
    peer_send(&p, &b);
    assert_text(peer_next_publish(&p).topic, "long/topic");
    m = peer_next_publish(&p);
    assert_text(m.topic, "long/topic");
    assert_false(mqtt_has(&m.props, MQTT_P_TOPIC_ALIAS));
    sl_buf_reset(&b);
    m = (struct mqtt_publish){ .topic = sl_str("t") };
    mqtt_set(&m.props, MQTT_P_TOPIC_ALIAS);
    m.props.topic_alias = 5; /* above the maximum */
    mqtt_encode_publish(&b, MQTT_V5, &m);
    peer_send(&p, &b);
    struct mqtt_frame f = peer_next(&p, MQTT_DISCONNECT);
    assert_int_equal(f.body.ptr[0], MQTT_RC_TOPIC_ALIAS_INVALID);
    sl_buf_free(&b);
    sl_buf_free(&p.received);
    rig_close(&r);
}

int main(void)
{
    struct CMUnitTest tests[64];
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(connect_cases); i++)
        tests[n++] = (struct CMUnitTest){ .name = connect_cases[i].name,
                                          .test_func = connects,
                                          .initial_state = (void *)&connect_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(qos_cases); i++)
        tests[n++] = (struct CMUnitTest){ .name = qos_cases[i].name,
                                          .test_func = delivers,
                                          .initial_state = (void *)&qos_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(will_cases); i++)
        tests[n++] = (struct CMUnitTest){ .name = will_cases[i].name,
                                          .test_func = wills,
                                          .initial_state = (void *)&will_cases[i] };
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(first_packet_must_be_connect),
        cmocka_unit_test(second_connect_is_refused),
        cmocka_unit_test(late_answer),
        cmocka_unit_test(qos2_is_taken_once),
        cmocka_unit_test(overlapping_subscriptions_give_one_copy),
        cmocka_unit_test(no_local_keeps_own_messages_away),
        cmocka_unit_test(dollar_topics_are_the_brokers),
        cmocka_unit_test(retained_reaches_late_subscribers),
        cmocka_unit_test(session_waits_for_its_client),
        cmocka_unit_test(take_over),
        cmocka_unit_test(window_is_bounded),
        cmocka_unit_test(held_acknowledgements_keep_order),
        cmocka_unit_test(unsafe_is_not_acknowledged_to_older_clients),
        cmocka_unit_test(held_longer_than_the_session),
        cmocka_unit_test(receive_maximum),
        cmocka_unit_test(inside_publishes_are_queued),
        cmocka_unit_test(outside_waits_for_those_who_take_it),
        cmocka_unit_test(claims_follow_their_message),
        cmocka_unit_test(a_full_queue_refuses_the_claim),
        cmocka_unit_test(pausing_routes_what_is_queued),
        cmocka_unit_test(closing_acknowledges_nothing_new),
        cmocka_unit_test(expiry_counts_down),
        cmocka_unit_test(silence_is_ended),
        cmocka_unit_test(slow_reader_loses_qos0_only),
        cmocka_unit_test(packets_in_pieces),
        cmocka_unit_test(topic_alias),
    };
    memcpy(tests + n, plain, sizeof plain);
    n += SL_ARRAY_LEN(plain);
    return _cmocka_run_group_tests("broker", tests, n, NULL, NULL);
}
