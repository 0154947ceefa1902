/* test_persist_refuse.c - a store that takes nothing, or takes its time: who is refused, and who
 * waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "durable_rig.h"

static uint64_t refused(struct durable_rig *d)
{
    struct broker_persist_stats s;
    broker_get_persist_stats(d->r.broker, &s);
    return s.refused;
}

static void a_full_disk_refuses_who_needs_it(void **state)
{
    (void)state;
    struct durable_rig d;
    uint16_t id;
    open_pair(&d, 1);
    store_break(&d.store);
    peer_publish(&d.peers[PUB], "t", "live", 1, false, 1); /* its subscriber answers */
    assert_next(&d.peers[SUB], "live", 1, false, &id);
    peer_ack(&d.peers[SUB], MQTT_PUBACK, id, 0);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 1);
    peer_publish(&d.peers[PUB], "x", "nobody's", 1, false, 2);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 2);
    peer_drop(&d.peers[SUB]);
    peer_publish(&d.peers[PUB], "t", "away", 1, false, 3);
    rig_turn(&d.r);
    assert_refused(&d.peers[PUB], MQTT_PUBACK, 3);
    peer_publish(&d.peers[PUB], "r", "retained", 1, true, 4);
    assert_refused(&d.peers[PUB], MQTT_PUBACK, 4);
    peer_publish(&d.peers[PUB], "t", "two", 2, false, 5);
    assert_refused(&d.peers[PUB], MQTT_PUBREC, 5);
    assert_true(refused(&d) >= 3);
    store_repair(&d.store, d.r.broker);
    peer_publish(&d.peers[PUB], "t", "kept", 1, false, 6);
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBACK, 6);
    durable_crash(&d, 0);
    reopen_pair(&d, 0); /* both sessions and the subscription were put again */
    assert_next(&d.peers[SUB], "kept", 1, true, NULL);
    assert_true(peer_quiet(&d.peers[SUB]));
    durable_close(&d);
}

static void a_failed_commit_refuses_and_closes(void **state)
{
    (void)state;
    struct durable_rig d;
    durable_open(&d);
    (void)durable_online(&d, SUB, MQTT_V5, "sub");
    durable_subscribe(&d, SUB, "t", 1);
    peer_drop(&d.peers[SUB]);
    (void)durable_online(&d, PUB, MQTT_V311, "pub");
    peer_publish(&d.peers[PUB], "t", "x", 1, false, 1);
    store_break(&d.store);
    rig_turn(&d.r);
    assert_false(d.peers[PUB].open); /* an old client can only be told so */
    store_repair(&d.store, d.r.broker);
    durable_close(&d);
}

/* A disk that hangs: who subscribes on and on is not read any further. */
static void answers_that_wait_are_bounded(void **state)
{
    enum { TIMES = 5000 };
    (void)state;
    struct durable_rig d;
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str("u") };
    open_pair(&d, 1);
    for (int i = 0; i < TIMES; i++)
        mqtt_encode_subscribe(&b, MQTT_V5, (uint16_t)(i + 1), NULL, &e, 1);
    peer_send(&d.peers[SUB], &b);
    sl_buf_free(&b);
    rig_turn(&d.r);
    assert_false(d.peers[SUB].reading);
    assert_true(d.r.broker->sessions.count == 2);
    assert_true(peer_quiet(&d.peers[SUB]));
    for (int i = 0; i < TIMES; i++) {
        if (peer_quiet(&d.peers[SUB]))
            durable_commit(&d);
        (void)peer_next(&d.peers[SUB], MQTT_SUBACK);
    }
    assert_true(d.peers[SUB].reading);
    durable_close(&d);
}

/* What was not subscribed to need not be forgotten. */
static void unsubscribing_from_nothing_writes_nothing(void **state)
{
    (void)state;
    struct durable_rig d;
    struct sl_buf b = { 0 };
    struct sl_slice filter = sl_str("nothing");
    open_pair(&d, 1);
    durable_commit(&d);
    mqtt_encode_unsubscribe(&b, MQTT_V5, 1, NULL, &filter, 1);
    peer_send(&d.peers[SUB], &b);
    sl_buf_free(&b);
    assert_int_equal(d.store.op_count, 1); /* the answer waits with the others all the same */
    durable_commit(&d);
    (void)peer_next(&d.peers[SUB], MQTT_UNSUBACK);
    durable_close(&d);
}

static void one_group_a_turn(void **state)
{
    (void)state;
    struct durable_rig d;
    struct sl_buf b = { 0 };
    open_pair(&d, 1);
    peer_drop(&d.peers[SUB]);
    durable_commit(&d);
    size_t waits = d.store.waits;
    for (uint16_t i = 1; i <= 4; i++) {
        struct mqtt_publish m = { .qos = i % 2 ? 1 : 2,
                                  .packet_id = i,
                                  .retain = i > 2,
                                  .topic = sl_str("t"),
                                  .payload = sl_str("x") };
        mqtt_encode_publish(&b, MQTT_V5, &m);
    }
    peer_send(&d.peers[PUB], &b);
    sl_buf_free(&b);
    assert_int_equal(d.store.waits, waits + 1);
    durable_commit(&d);
    for (uint16_t i = 1; i <= 4; i++)
        assert_acked(&d.peers[PUB], i % 2 ? MQTT_PUBACK : MQTT_PUBREC, i);
    durable_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_refuses_who_needs_it),
        cmocka_unit_test(a_failed_commit_refuses_and_closes),
        cmocka_unit_test(answers_that_wait_are_bounded),
        cmocka_unit_test(unsubscribing_from_nothing_writes_nothing),
        cmocka_unit_test(one_group_a_turn),
    };
    return cmocka_run_group_tests_name("persist refuses", tests, NULL, NULL);
}
