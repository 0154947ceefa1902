/* test_broker_delivery.c - what is published reaches those who subscribed, as often and as whole as
 * it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"

#include "rows.h"

#include <string.h>

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
    peer_online(&from, &r, c->from, "from");
    peer_online(&to, &r, c->to, "to");
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
    peer_online(&p, &r, MQTT_V311, "p");
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
    peer_online(&p, &r, MQTT_V5, "p");
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
    peer_online(&p, &r, MQTT_V5, "p");
    peer_online(&q, &r, MQTT_V5, "q");
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
    peer_online(&p, &r, MQTT_V5, "p");
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
    peer_online(&p, &r, MQTT_V311, "p");
    peer_publish(&p, "a/b", "kept", 0, true, 0);
    peer_publish(&p, "a/c", "gone", 0, true, 0);
    peer_publish(&p, "a/c", "", 0, true, 0);
    peer_online(&late, &r, MQTT_V311, "late");
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

/* ---- packets and bounds ---- */

static void slow_reader_loses_qos0_only(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    char big[1024];
    struct broker_stats s;
    rig_open(&r, NULL); /* 100,000 bytes of output */
    peer_online(&from, &r, MQTT_V311, "from");
    peer_online(&p, &r, MQTT_V311, "p");
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
    peer_online(&p, &r, MQTT_V5, "p");
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
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(qos2_is_taken_once),
        cmocka_unit_test(overlapping_subscriptions_give_one_copy),
        cmocka_unit_test(no_local_keeps_own_messages_away),
        cmocka_unit_test(dollar_topics_are_the_brokers),
        cmocka_unit_test(retained_reaches_late_subscribers),
        cmocka_unit_test(slow_reader_loses_qos0_only),
        cmocka_unit_test(packets_in_pieces),
        cmocka_unit_test(topic_alias),
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(qos_cases)];
    size_t n = SL_ARRAY_LEN(plain);
    memcpy(tests, plain, sizeof plain);
    n += ROWS_OF(tests + n, qos_cases, delivers);
    return _cmocka_run_group_tests("delivery", tests, n, NULL, NULL);
}
