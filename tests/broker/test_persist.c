/* test_persist.c - QoS 1 and retained messages over restarts and crashes, step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "durable_rig.h"

#include <stdio.h>

/* ---- QoS 1 ---- */

/* A subscriber that answers costs no write, and the publisher waits for it. */
static void who_answers_costs_nothing(void **state)
{
    (void)state;
    struct durable_rig d;
    uint16_t id;
    open_pair(&d, 1);
    size_t puts = d.store.puts[BROKER_ROW_DELIVERY];
    peer_publish(&d.peers[PUB], "t", "one", 1, false, 1);
    assert_next(&d.peers[SUB], "one", 1, false, &id);
    assert_true(peer_quiet(&d.peers[PUB]));
    peer_ack(&d.peers[SUB], MQTT_PUBACK, id, 0);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 1);
    durable_spill(&d);
    durable_commit(&d);
    assert_int_equal(d.store.puts[BROKER_ROW_DELIVERY], puts);
    durable_close(&d);
}

static void who_does_not_answer_is_stored(void **state)
{
    (void)state;
    struct durable_rig d;
    uint16_t id, again;
    open_pair(&d, 1);
    peer_publish(&d.peers[PUB], "t", "one", 1, false, 1);
    assert_next(&d.peers[SUB], "one", 1, false, &id);
    durable_spill(&d);
    assert_true(peer_quiet(&d.peers[PUB])); /* put, not committed */
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 1);
    peer_publish(&d.peers[PUB], "t", "two", 1, false, 2); /* it is behind: nobody waits for it */
    assert_next(&d.peers[SUB], "two", 1, false, NULL);
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 2);
    durable_crash(&d, 0);
    reopen_pair(&d, 1000);
    assert_next(&d.peers[SUB], "one", 1, true, &again);
    assert_int_equal(again, id); /* as its client knows it */
    peer_ack(&d.peers[SUB], MQTT_PUBACK, id, 0);
    assert_next(&d.peers[SUB], "two", 1, true, &again);
    peer_ack(&d.peers[SUB], MQTT_PUBACK, again, 0);
    rig_seconds(&d.r, 1);
    durable_commit(&d);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_DELIVERY), 0);
    durable_close(&d);
}

static void for_one_who_is_away(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 1);
    peer_drop(&d.peers[SUB]);
    peer_publish(&d.peers[PUB], "t", "one", 1, false, 1);
    assert_true(peer_quiet(&d.peers[PUB]));
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 1);
    peer_publish(&d.peers[PUB], "t", "lost", 1, false, 2);
    durable_crash(&d, 0); /* not acknowledged: may be lost */
    reopen_pair(&d, 1000);
    assert_next(&d.peers[SUB], "one", 1, true, NULL);
    assert_true(peer_quiet(&d.peers[SUB]));
    durable_close(&d);
}

static void going_away_stores_at_once(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 1);
    peer_publish(&d.peers[PUB], "t", "one", 1, false, 1);
    peer_drop(&d.peers[SUB]);
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 1);
    durable_crash(&d, 0);
    reopen_pair(&d, 1000);
    assert_next(&d.peers[SUB], "one", 1, true, NULL);
    durable_close(&d);
}

static void the_end_of_a_session_frees_its_publishers(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 1);
    peer_publish(&d.peers[PUB], "t", "one", 1, false, 1);
    peer_open(&d.peers[2], &d.r, MQTT_V5);
    peer_connect(&d.peers[2], "sub", true, 0); /* takes over with a clean start */
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 1);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_DELIVERY), 0);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_SUBSCRIPTION), 0);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_SESSION), 1); /* the publisher's */
    durable_close(&d);
}

static void order_and_numbers_survive(void **state)
{
    (void)state;
    struct durable_rig d;
    char text[16];
    open_pair(&d, 1);
    peer_drop(&d.peers[SUB]);
    for (uint16_t i = 1; i <= 100; i++) {
        (void)snprintf(text, sizeof text, "%u", i);
        peer_publish(&d.peers[PUB], "t", text, 1, false, i);
        durable_commit(&d);
        assert_acked(&d.peers[PUB], MQTT_PUBACK, i);
        if (i == 50) {
            durable_crash(&d, 0);
            durable_start(&d, 1000);
            assert_true(durable_online(&d, PUB, MQTT_V5, "pub"));
        }
    }
    assert_true(durable_online(&d, SUB, MQTT_V5, "sub"));
    for (unsigned i = 1; i <= 100; i++) {
        uint16_t id;
        (void)snprintf(text, sizeof text, "%u", i);
        assert_next(&d.peers[SUB], text, 1, i <= 50, &id);
        /* after the restart numbers go on where nobody has been */
        assert_int_equal(id, i <= 50 ? i : 1024 + i - 50);
        peer_ack(&d.peers[SUB], MQTT_PUBACK, id, 0);
    }
    durable_close(&d);
}

/* ---- messages ---- */

static void publish_expiring(struct peer *p, const char *topic, uint32_t expiry_s, bool retain,
                             uint16_t id)
{
    struct sl_buf b = { 0 };
    struct mqtt_publish m = { .qos = 1,
                              .packet_id = id,
                              .retain = retain,
                              .topic = sl_str(topic),
                              .payload = sl_str("short") };
    mqtt_set(&m.props, MQTT_P_MESSAGE_EXPIRY);
    m.props.message_expiry = expiry_s;
    mqtt_put_user_property(&b, sl_str("k"), sl_str("v"));
    m.props.raw = sl_buf_slice(&b);
    struct sl_buf packet = { 0 };
    mqtt_encode_publish(&packet, MQTT_V5, &m);
    peer_send(p, &packet);
    sl_buf_free(&packet);
    sl_buf_free(&b);
}

static void message_expiry_goes_on(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 1);
    peer_drop(&d.peers[SUB]);
    publish_expiring(&d.peers[PUB], "t", 50, false, 1);
    publish_expiring(&d.peers[PUB], "t", 100, false, 2);
    durable_commit(&d);
    durable_crash(&d, 0);
    reopen_pair(&d, 60000);
    struct mqtt_publish m = peer_next_publish(&d.peers[SUB]);
    assert_text(m.payload, "short");
    assert_true(mqtt_has(&m.props, MQTT_P_MESSAGE_EXPIRY));
    struct sl_cursor block = sl_cursor(m.props.raw);
    struct mqtt_prop_item item;
    bool user = false;
    while (mqtt_props_next(&block, &item)) {
        if (item.id == MQTT_P_MESSAGE_EXPIRY)
            assert_int_equal(item.number, 40);
        user |= item.id == MQTT_P_USER_PROPERTY && sl_slice_eq(item.value, sl_str("v"));
    }
    assert_true(user);
    assert_true(peer_quiet(&d.peers[SUB])); /* the first has expired */
    durable_close(&d);
}

static void bounds_lowered_keep_what_was_promised(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 1);
    peer_drop(&d.peers[SUB]);
    for (uint16_t i = 1; i <= 20; i++) {
        peer_publish(&d.peers[PUB], "t", "kept", 1, false, i);
        durable_commit(&d);
        assert_acked(&d.peers[PUB], MQTT_PUBACK, i);
    }
    durable_crash(&d, 0);
    durable_start(&d, 0);
    d.r.broker->options.max_queued_messages = 5;
    assert_true(durable_online(&d, PUB, MQTT_V5, "pub"));
    peer_publish(&d.peers[PUB], "t", "too many", 1, false, 1);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 1);
    assert_true(durable_online(&d, SUB, MQTT_V5, "sub"));
    for (int i = 0; i < 20; i++) {
        uint16_t id;
        assert_next(&d.peers[SUB], "kept", 1, true, &id);
        peer_ack(&d.peers[SUB], MQTT_PUBACK, id, 0);
    }
    assert_true(peer_quiet(&d.peers[SUB]));
    durable_close(&d);
}

/* ---- retained ---- */

static void from_inside(struct durable_rig *d, const char *topic, uint64_t origin)
{
    struct sl_msg_parts parts = { .topic = sl_str(topic),
                                  .payload = sl_str("in"),
                                  .expiry_s = SL_MSG_NO_EXPIRY,
                                  .retain = true,
                                  .mono_ms = d->r.mono_ms,
                                  .origin = origin };
    struct sl_msg *m = sl_msg_new(&parts);
    assert_true(broker_publish(d->r.broker, m));
    sl_msg_unref(m);
    rig_turn(&d->r);
}

static void retained_messages_survive(void **state)
{
    (void)state;
    struct durable_rig d;
    durable_open(&d);
    (void)durable_online(&d, PUB, MQTT_V5, "pub");
    peer_publish(&d.peers[PUB], "r/zero", "0", 0, true, 0);
    peer_publish(&d.peers[PUB], "r/one", "old", 1, true, 1);
    assert_true(peer_quiet(&d.peers[PUB])); /* waits for the commit */
    peer_publish(&d.peers[PUB], "r/one", "new", 1, true, 2);
    peer_publish(&d.peers[PUB], "r/gone", "x", 1, true, 3);
    peer_publish(&d.peers[PUB], "r/gone", "", 1, true, 4);
    durable_commit(&d);
    for (uint16_t i = 1; i <= 4; i++)
        assert_acked(&d.peers[PUB], MQTT_PUBACK, i);
    publish_expiring(&d.peers[PUB], "r/short", 10, true, 5);
    durable_commit(&d);
    from_inside(&d, "$SYS/x", 0);
    from_inside(&d, "r/own", 0);  /* the gateway says it again */
    from_inside(&d, "r/rule", 1); /* a rule's output */
    from_inside(&d, "r/cloud", BROKER_ORIGIN_OUTSIDE);
    durable_commit(&d);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_RETAINED), 5);
    durable_crash(&d, 0);
    durable_start(&d, 20000);
    (void)durable_online(&d, SUB, MQTT_V5, "sub");
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str("r/#") };
    mqtt_encode_subscribe(&b, MQTT_V5, 77, NULL, &e, 1);
    peer_send(&d.peers[SUB], &b); /* they need not wait for SUBACK */
    sl_buf_free(&b);
    assert_next(&d.peers[SUB], "in", 0, false, NULL); /* by topic: cloud, one, rule, zero */
    assert_next(&d.peers[SUB], "new", 0, false, NULL);
    assert_next(&d.peers[SUB], "in", 0, false, NULL);
    assert_next(&d.peers[SUB], "0", 0, false, NULL);
    assert_true(peer_quiet(&d.peers[SUB]));
    durable_commit(&d);
    (void)peer_next(&d.peers[SUB], MQTT_SUBACK);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_RETAINED), 4); /* r/short has expired */
    durable_close(&d);
}

/* No Local and retained messages: who published it is still known. */
static void origins_survive(void **state)
{
    (void)state;
    struct durable_rig d;
    durable_open(&d);
    (void)durable_online(&d, PUB, MQTT_V5, "pub");
    peer_publish(&d.peers[PUB], "own", "x", 1, true, 1);
    durable_commit(&d);
    durable_crash(&d, 0);
    durable_start(&d, 0);
    assert_true(durable_online(&d, PUB, MQTT_V5, "pub"));
    (void)durable_online(&d, SUB, MQTT_V5, "sub");
    for (unsigned i = 0; i < 2; i++) {
        struct sl_buf b = { 0 };
        struct mqtt_sub_entry e = { .filter = sl_str("own"), .qos = 0, .no_local = true };
        mqtt_encode_subscribe(&b, MQTT_V5, 5, NULL, &e, 1);
        peer_send(&d.peers[i], &b);
        sl_buf_free(&b);
    }
    durable_commit(&d);
    (void)peer_next(&d.peers[PUB], MQTT_SUBACK);
    assert_true(peer_quiet(&d.peers[PUB]));
    assert_next(&d.peers[SUB], "x", 0, false, NULL);
    durable_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_answers_costs_nothing),
        cmocka_unit_test(who_does_not_answer_is_stored),
        cmocka_unit_test(for_one_who_is_away),
        cmocka_unit_test(going_away_stores_at_once),
        cmocka_unit_test(the_end_of_a_session_frees_its_publishers),
        cmocka_unit_test(order_and_numbers_survive),
        cmocka_unit_test(message_expiry_goes_on),
        cmocka_unit_test(bounds_lowered_keep_what_was_promised),
        cmocka_unit_test(retained_messages_survive),
        cmocka_unit_test(origins_survive),
    };
    return cmocka_run_group_tests_name("persist", tests, NULL, NULL);
}
