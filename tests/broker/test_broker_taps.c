/* test_broker_taps.c - taps, acknowledgements that somebody holds, and publishing from inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "acks.h"
#include "peer.h"

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
    peer_online(&p, &r, MQTT_V5, "p");
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
    peer_online(&p, &r, MQTT_V311, "p");
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
    peer_online(&p, &r, MQTT_V5, "p");
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
    peer_online(&five, &r, MQTT_V5, "five");
    for (uint16_t i = 1; i <= 5; i++)
        peer_publish(&five, "t", "hold", 1, false, i);
    struct mqtt_frame f = peer_next(&five, MQTT_DISCONNECT);
    assert_int_equal(f.body.ptr[0], MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED);
    assert_false(five.open);
    sl_buf_free(&five.received);

    peer_online(&three, &r, MQTT_V311, "three");
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
    peer_online(&p, &r, MQTT_V311, "p");
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
    peer_online(&p, &r, MQTT_V311, "p");
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
    peer_online(&p, &r, MQTT_V5, "p");
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
    peer_online(&p, &r, MQTT_V311, "p");
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
    peer_online(&p, &r, MQTT_V311, "p");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests_name("taps", tests, NULL, NULL);
}
