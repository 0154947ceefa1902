/* test_broker.c - CONNECT, sessions, wills and time-outs, without sockets and under a clock that
 * the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"

#include "rows.h"

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
    peer_online(&p, &r, MQTT_V5, "a");
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

/* ---- sessions ---- */

static void session_waits_for_its_client(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    bool present;
    rig_open(&r, NULL);
    peer_online(&from, &r, MQTT_V311, "from");
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
    peer_online(&old, &r, MQTT_V5, "same");
    peer_online(&young, &r, MQTT_V5, "same");
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
    peer_online(&from, &r, MQTT_V311, "from");
    peer_online(&p, &r, MQTT_V311, "p");
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
    peer_online(&q, &r, MQTT_V311, "q");
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

int main(void)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(first_packet_must_be_connect),
        cmocka_unit_test(second_connect_is_refused),
        cmocka_unit_test(late_answer),
        cmocka_unit_test(session_waits_for_its_client),
        cmocka_unit_test(take_over),
        cmocka_unit_test(window_is_bounded),
        cmocka_unit_test(silence_is_ended),
    };
    struct CMUnitTest
        tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(connect_cases) + SL_ARRAY_LEN(will_cases)];
    size_t n = SL_ARRAY_LEN(plain);
    memcpy(tests, plain, sizeof plain);
    n += ROWS_OF(tests + n, connect_cases, connects);
    n += ROWS_OF(tests + n, will_cases, wills);
    return _cmocka_run_group_tests("broker", tests, n, NULL, NULL);
}
