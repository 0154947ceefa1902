/* test_sessions.c - what a session owes its client over several connections, wills, retained
 * messages: the corners. Without sockets, under a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"

#include "rows.h"

/* Version 5, session kept for 500 s; receive_max and max_packet 0: not said. */
static void connect_limited(struct peer *p, struct rig *r, uint16_t receive_max,
                            uint32_t max_packet)
{
    struct mqtt_connect c = { .version = MQTT_V5, .client_id = sl_str("p") };
    mqtt_set(&c.props, MQTT_P_SESSION_EXPIRY);
    c.props.session_expiry = 500;
    if (receive_max) {
        mqtt_set(&c.props, MQTT_P_RECEIVE_MAXIMUM);
        c.props.receive_max = receive_max;
    }
    if (max_packet) {
        mqtt_set(&c.props, MQTT_P_MAXIMUM_PACKET_SIZE);
        c.props.max_packet_size = max_packet;
    }
    peer_open(p, r, MQTT_V5);
    peer_send_connect(p, &c);
    (void)peer_next(p, MQTT_CONNACK);
}

static uint64_t drops(struct rig *r, enum broker_drop d)
{
    struct broker_stats s;
    broker_get_stats(r->broker, &s);
    return s.dropped[d];
}

/* What was sent before is sent again, but no more at a time than the new connection takes. */
static void resending_keeps_receive_maximum(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    rig_open(&r, NULL); /* max_inflight 4 */
    peer_online(&from, &r, MQTT_V311, "from");
    connect_limited(&p, &r, 0, 0);
    peer_subscribe(&p, "t", 2);
    for (uint16_t i = 1; i <= 6; i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "%u", i);
        peer_publish(&from, "t", text, i == 2 ? 2 : 1, false, i);
    }
    uint16_t ids[5] = { 0 };
    for (int i = 1; i <= 4; i++)
        ids[i] = peer_next_publish(&p).packet_id;
    assert_true(peer_quiet(&p));
    peer_ack(&p, MQTT_PUBREC, ids[2], 0);
    (void)peer_next_ack(&p, MQTT_PUBREL, NULL);
    peer_drop(&p);

    connect_limited(&p, &r, 2, 0);
    struct mqtt_publish m = peer_next_publish(&p);
    assert_true(m.dup);
    assert_text(m.payload, "1");
    assert_int_equal(peer_next_ack(&p, MQTT_PUBREL, NULL), ids[2]);
    assert_true(peer_quiet(&p));          /* one PUBLISH and one PUBREL are on their way */
    peer_ack(&p, MQTT_PUBACK, ids[4], 0); /* not sent on this connection: makes no room */
    assert_true(peer_quiet(&p));
    peer_ack(&p, MQTT_PUBCOMP, ids[2], 0);
    m = peer_next_publish(&p);
    assert_true(m.dup);
    assert_text(m.payload, "3");
    peer_ack(&p, MQTT_PUBACK, ids[1], 0);
    m = peer_next_publish(&p); /* 4 is done with: new ones */
    assert_false(m.dup);
    assert_text(m.payload, "5");
    peer_ack(&p, MQTT_PUBACK, ids[3], 0);
    peer_ack(&p, MQTT_PUBACK, m.packet_id, 0);
    assert_text(peer_next_publish(&p).payload, "6");
    assert_true(peer_quiet(&p));
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

static void too_large_to_send_again_is_done_with(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    char big[300];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    rig_open(&r, NULL);
    peer_online(&from, &r, MQTT_V311, "from");
    connect_limited(&p, &r, 0, 0);
    peer_subscribe(&p, "t", 1);
    peer_publish(&from, "t", big, 1, false, 1);
    peer_publish(&from, "t", "small", 1, false, 2);
    peer_drop(&p);
    connect_limited(&p, &r, 0, 100);
    assert_text(peer_next_publish(&p).payload, "small");
    assert_int_equal(p.client.session->window.count, 1);
    assert_int_equal(drops(&r, BROKER_DROP_TOO_LARGE), 1);
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

static void expired_messages_make_room(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    struct sl_buf b = { 0 };
    rig_open(&r, NULL); /* 10 in the queue */
    peer_online(&from, &r, MQTT_V5, "from");
    connect_limited(&p, &r, 0, 0);
    peer_subscribe(&p, "t", 1);
    peer_drop(&p);
    struct mqtt_publish m = { .topic = sl_str("t"), .payload = sl_str("short-lived"), .qos = 1 };
    for (uint16_t i = 1; i <= 9; i++) {
        m.packet_id = i;
        m.props.present = 0;
        if (i != 5)
            mqtt_set(&m.props, MQTT_P_MESSAGE_EXPIRY);
        m.props.message_expiry = 5;
        sl_buf_reset(&b);
        mqtt_encode_publish(&b, MQTT_V5, &m);
        peer_send(&from, &b);
    }
    sl_buf_free(&b);
    rig_seconds(&r, 6);
    for (uint16_t i = 10; i < 19; i++)
        peer_publish(&from, "t", "new", 1, false, i);
    assert_int_equal(drops(&r, BROKER_DROP_QUEUE_FULL), 0);
    assert_int_equal(drops(&r, BROKER_DROP_EXPIRED), 8);
    connect_limited(&p, &r, 0, 0);
    assert_text(peer_next_publish(&p).payload, "short-lived"); /* the one that was not */
    assert_text(peer_next_publish(&p).payload, "new");
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

/* ---- answers the client cannot take ---- */

static void answers_above_maximum_packet_size(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, q;
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry many[40];
    struct mqtt_connect c = { .version = MQTT_V5,
                              .client_id = sl_str("tiny"),
                              .has_will = true,
                              .will = { .topic = sl_str("w") } };
    rig_open(&r, NULL);
    peer_online(&q, &r, MQTT_V311, "q");
    peer_subscribe(&q, "w", 0);
    mqtt_set(&c.props, MQTT_P_MAXIMUM_PACKET_SIZE);
    c.props.max_packet_size = 10; /* CONNACK has properties */
    peer_open(&p, &r, MQTT_V5);
    peer_send_connect(&p, &c);
    assert_true(peer_quiet(&p) && !p.open);
    assert_true(peer_quiet(&q)); /* it was never connected: no will */
    connect_limited(&p, &r, 0, 40);
    for (size_t i = 0; i < SL_ARRAY_LEN(many); i++)
        many[i] = (struct mqtt_sub_entry){ .filter = sl_str("t") };
    mqtt_encode_subscribe(&b, MQTT_V5, 1, NULL, many, SL_ARRAY_LEN(many));
    peer_send(&p, &b);
    peer_expect_disconnect(&p, MQTT_RC_PACKET_TOO_LARGE);
    sl_buf_free(&b);
    peer_drop(&q);
    rig_close(&r);
}

/* ---- wills ---- */

/* Its life begins when it is sent, however long the connection lasted before. */
static void wills_expire_from_their_sending(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, q;
    struct mqtt_connect c = { .version = MQTT_V5,
                              .client_id = sl_str("dies"),
                              .has_will = true,
                              .will = { .topic = sl_str("w"), .payload = sl_str("x"), .qos = 1 } };
    rig_open(&r, NULL);
    connect_limited(&q, &r, 0, 0);
    peer_subscribe(&q, "w", 1);
    mqtt_set(&c.will.props, MQTT_P_MESSAGE_EXPIRY);
    c.will.props.message_expiry = 60;
    peer_open(&p, &r, MQTT_V5);
    peer_send_connect(&p, &c);
    rig_seconds(&r, 1000);
    peer_drop(&q);
    peer_drop(&p);
    rig_seconds(&r, 20);
    connect_limited(&q, &r, 0, 0);
    struct mqtt_publish m = peer_next_publish(&q);
    assert_text(m.payload, "x");
    assert_int_equal(m.props.message_expiry, 40);
    peer_drop(&q);
    rig_close(&r);
}

static const struct goodbye_case {
    const char *name;
    uint8_t reason;
    bool will;
} goodbyes[] = {
    { "DISCONNECT 0x00: no will", 0x00, false },
    { "DISCONNECT 0x04: with will", 0x04, true },
    { "DISCONNECT 0x80: with will as well", 0x80, true },
};

static void goodbye(void **state)
{
    const struct goodbye_case *g = *state;
    struct rig r;
    struct peer p, q;
    struct sl_buf b = { 0 };
    struct mqtt_connect c = { .version = MQTT_V5,
                              .client_id = sl_str("leaves"),
                              .has_will = true,
                              .will = { .topic = sl_str("w"), .payload = sl_str("x") } };
    rig_open(&r, NULL);
    peer_online(&q, &r, MQTT_V311, "q");
    peer_subscribe(&q, "w", 0);
    peer_open(&p, &r, MQTT_V5);
    peer_send_connect(&p, &c);
    mqtt_encode_disconnect(&b, MQTT_V5, &(struct mqtt_reasoned){ .reason = g->reason });
    peer_send(&p, &b);
    rig_turn(&r);
    assert_false(p.open);
    assert_int_equal(peer_quiet(&q), !g->will);
    sl_buf_free(&b);
    sl_buf_free(&p.received);
    peer_drop(&q);
    rig_close(&r);
}

/* ---- retained messages and bursts ---- */

static void no_local_holds_for_retained_too(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, q;
    struct sl_buf b = { 0 };
    rig_open(&r, NULL);
    peer_online(&p, &r, MQTT_V5, "p");
    peer_online(&q, &r, MQTT_V5, "q");
    peer_publish(&p, "a/mine", "1", 0, true, 0);
    peer_publish(&q, "a/yours", "2", 0, true, 0);
    struct mqtt_sub_entry e = { .filter = sl_str("a/#"), .no_local = true };
    mqtt_encode_subscribe(&b, MQTT_V5, 3, NULL, &e, 1);
    peer_send(&p, &b);
    (void)peer_next(&p, MQTT_SUBACK);
    assert_text(peer_next_publish(&p).topic, "a/yours");
    assert_true(peer_quiet(&p));
    sl_buf_free(&b);
    peer_drop(&p);
    peer_drop(&q);
    rig_close(&r);
}

/* More in one turn than the output's bound, to a client that reads: nothing is lost. */
static void burst_is_not_a_slow_reader(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    struct sl_buf b = { 0 };
    char big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    rig_open(&r, NULL); /* 100,000 bytes of output */
    peer_online(&from, &r, MQTT_V311, "from");
    peer_online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "t", 0);
    struct mqtt_publish m = { .topic = sl_str("t"), .payload = sl_str(big) };
    for (int i = 0; i < 500; i++)
        mqtt_encode_publish(&b, MQTT_V311, &m);
    peer_send(&from, &b);
    assert_int_equal(p.received.len, b.len);
    assert_int_equal(drops(&r, BROKER_DROP_SLOW_READER), 0);
    sl_buf_free(&b);
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

/* Mosquitto's, as it is configured when nobody says otherwise; its notices go nowhere. */
static const struct bridge_case {
    const char *name, *will;
    enum mqtt_version version;
    bool bridge, fine;
} bridges[] = {
    { "a bridge's notice", "$SYS/broker/connection/barn.home/state", MQTT_V311, true, true },
    { "from one that calls itself a client", "$SYS/broker/connection/barn.home/state", MQTT_V311,
      false, true },
    { "of version 5", "$SYS/broker/connection/barn.home/state", MQTT_V5, false, true },
    { "of version 3.1", "$SYS/broker/connection/barn.home/state", MQTT_V31, true, true },
    { "another $SYS topic", "$SYS/broker/version", MQTT_V311, true, false },
    { "nearly", "$SYS/broker/connectio", MQTT_V311, true, false },
};

static void mosquittos_bridge(void **state)
{
    const struct bridge_case *t = *state;
    struct rig r;
    struct peer p, q;
    struct mqtt_connect c = {
        .version = t->version,
        .bridge = t->bridge,
        .client_id = sl_str("bridge"),
        .clean_start = true,
        .keep_alive_s = 60,
        .has_will = true,
        .will = { .topic = sl_str(t->will), .payload = sl_str("0"), .qos = 1, .retain = true }
    };
    rig_open(&r, NULL);
    peer_online(&q, &r, MQTT_V311, "q");
    peer_subscribe(&q, "$SYS/broker/connection/#", 1);
    peer_open(&p, &r, t->version);
    peer_send_connect(&p, &c);
    struct mqtt_frame f = peer_next(&p, MQTT_CONNACK);
    assert_int_equal(f.body.ptr[1] == 0, t->fine);
    if (t->fine) {
        peer_publish(&p, t->will, "1", 1, true, 7);
        (void)peer_next(&p, MQTT_PUBACK); /* it goes on */
    }
    peer_drop(&p);
    assert_true(peer_quiet(&q)); /* and nobody hears of it */
    peer_drop(&q);
    rig_close(&r);
}

int main(void)
{
    struct CMUnitTest tests[32];
    size_t n = 0;
    n += ROWS_OF(tests + n, goodbyes, goodbye);
    n += ROWS_OF(tests + n, bridges, mosquittos_bridge);
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(resending_keeps_receive_maximum),
        cmocka_unit_test(too_large_to_send_again_is_done_with),
        cmocka_unit_test(expired_messages_make_room),
        cmocka_unit_test(answers_above_maximum_packet_size),
        cmocka_unit_test(wills_expire_from_their_sending),
        cmocka_unit_test(no_local_holds_for_retained_too),
        cmocka_unit_test(burst_is_not_a_slow_reader),
    };
    memcpy(tests + n, plain, sizeof plain);
    n += SL_ARRAY_LEN(plain);
    return _cmocka_run_group_tests("sessions", tests, n, NULL, NULL);
}
