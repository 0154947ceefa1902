/* test_persist_qos2.c - QoS 2 over restarts, crashes and failures of the store, step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "durable_rig.h"

/* ---- QoS 2 from one client to another, with a crash on the way ---- */

struct flow {
    struct durable_rig d;
    unsigned came; /* how often the subscriber got the message */
    uint16_t id;   /* under which it got it last */
    bool recorded; /* the publisher has PUBREC */
    bool known;    /* the subscriber knows the id: the same again is no other message */
    bool released; /* the publisher has sent PUBREL */
};

static void publish(struct flow *f)
{
    peer_publish(&f->d.peers[PUB], "t", "once", 2, false, 9);
    assert_true(peer_quiet(&f->d.peers[SUB])); /* not before it is committed */
}

static void record(struct flow *f)
{
    durable_commit(&f->d);
    assert_acked(&f->d.peers[PUB], MQTT_PUBREC, 9);
    f->recorded = true;
    assert_next(&f->d.peers[SUB], "once", 2, false, &f->id);
    f->came++;
    f->known = true;
}

static void receive(struct flow *f)
{
    peer_ack(&f->d.peers[SUB], MQTT_PUBREC, f->id, 0);
    assert_true(peer_quiet(&f->d.peers[SUB]));
}

static void release(struct flow *f)
{
    durable_commit(&f->d);
    assert_acked(&f->d.peers[SUB], MQTT_PUBREL, f->id);
    f->known = false;
}

static void complete(struct flow *f)
{
    peer_ack(&f->d.peers[SUB], MQTT_PUBCOMP, f->id, 0);
}

static void release_publisher(struct flow *f)
{
    peer_ack(&f->d.peers[PUB], MQTT_PUBREL, 9, 0);
    f->released = true;
    assert_true(peer_quiet(&f->d.peers[PUB]));
}

static void complete_publisher(struct flow *f)
{
    durable_commit(&f->d);
    assert_acked(&f->d.peers[PUB], MQTT_PUBCOMP, 9);
}

static void (*const steps[])(struct flow *) = {
    publish, record, receive, release, complete, release_publisher, complete_publisher,
};

static void publish_again(struct peer *p)
{
    struct sl_buf b = { 0 };
    struct mqtt_publish m = {
        .qos = 2, .dup = true, .packet_id = 9, .topic = sl_str("t"), .payload = sl_str("once")
    };
    mqtt_encode_publish(&b, MQTT_V5, &m);
    peer_send(p, &b);
    sl_buf_free(&b);
}

/* As a client does that was interrupted. */
static void publisher_goes_on(struct flow *f)
{
    struct peer *p = &f->d.peers[PUB];
    if (f->released)
        return;
    if (f->recorded)
        peer_ack(p, MQTT_PUBREL, 9, 0);
    else
        publish_again(p);
    durable_commit(&f->d);
    assert_acked(p, f->recorded ? MQTT_PUBCOMP : MQTT_PUBREC, 9);
}

static void subscriber_goes_on(struct flow *f)
{
    struct peer *p = &f->d.peers[SUB];
    while (!peer_quiet(p)) {
        struct sl_cursor in = sl_cursor(sl_buf_slice(&p->received));
        struct mqtt_frame frame;
        assert_int_equal(mqtt_frame_next(&in, UINT32_MAX, &frame, NULL), MQTT_FRAME_OK);
        if (frame.type == MQTT_PUBLISH) {
            struct mqtt_publish m = peer_next_publish(p);
            assert_text(m.payload, "once");
            f->came += !(f->known && m.packet_id == f->id);
            f->known = true;
            f->id = m.packet_id;
            peer_ack(p, MQTT_PUBREC, f->id, 0);
        } else {
            assert_int_equal(peer_next_ack(p, MQTT_PUBREL, NULL), f->id);
            f->known = false;
            peer_ack(p, MQTT_PUBCOMP, f->id, 0);
        }
        durable_commit(&f->d);
    }
}

/* The crash comes after each step in turn; of what was not committed the disk took nothing, or all.
 */
static void qos2_once_wherever_it_crashes(void **state)
{
    (void)state;
    for (size_t crash_at = 0; crash_at < SL_ARRAY_LEN(steps); crash_at++) {
        for (unsigned took = 0; took < 2; took++) {
            struct flow f = { 0 };
            open_pair(&f.d, 2);
            for (size_t i = 0; i <= crash_at; i++)
                steps[i](&f);
            durable_crash(&f.d, took ? SIZE_MAX : 0);
            reopen_pair(&f.d, 1000);
            publisher_goes_on(&f);
            subscriber_goes_on(&f);
            assert_int_equal(f.came, 1);
            assert_false(f.known); /* nothing is left half done with the client */
            durable_close(&f.d);
        }
    }
}

/* ---- QoS 2, other cases ---- */

/* PUBCOMP frees the packet id: the next message with it is another. */
static void a_reused_packet_id_is_no_repeat(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 1);
    peer_drop(&d.peers[SUB]);
    peer_publish(&d.peers[PUB], "t", "one", 2, false, 9);
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBREC, 9);
    peer_ack(&d.peers[PUB], MQTT_PUBREL, 9, 0);
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBCOMP, 9);
    durable_crash(&d, 0);
    reopen_pair(&d, 1000);
    peer_publish(&d.peers[PUB], "t", "two", 2, false, 9);
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBREC, 9);
    assert_next(&d.peers[SUB], "one", 1, true, NULL);
    assert_next(&d.peers[SUB], "two", 1, false, NULL);
    durable_close(&d);
}

/* PUBREL that is sent again while its PUBCOMP waits gets one answer. */
static void a_repeated_pubrel_gets_one_answer(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 1);
    peer_publish(&d.peers[PUB], "t", "one", 2, false, 9);
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBREC, 9);
    peer_ack(&d.peers[PUB], MQTT_PUBREL, 9, 0);
    peer_drop(&d.peers[PUB]);
    assert_true(durable_online(&d, PUB, MQTT_V5, "pub"));
    peer_ack(&d.peers[PUB], MQTT_PUBREL, 9, 0);
    assert_true(peer_quiet(&d.peers[PUB]));
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBCOMP, 9);
    assert_true(peer_quiet(&d.peers[PUB]));
    durable_close(&d);
}

struct tapped {
    struct broker_ack *ack;
    unsigned count;
};

static void on_tapped(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct tapped *t = ctx;
    (void)m;
    t->count++;
    t->ack = broker_ack_hold(receipt);
}

/* A tap had not called a QoS 2 message safe when the broker crashed: it gets it again, sessions do
 * not. */
static void taps_get_it_again(void **state)
{
    (void)state;
    struct durable_rig d;
    struct tapped t = { 0 };
    open_pair(&d, 2);
    struct broker_tap *tap = broker_tap(d.r.broker, sl_str("t"), on_tapped, &t);
    peer_publish(&d.peers[PUB], "t", "once", 2, false, 9);
    durable_commit(&d);
    assert_int_equal(t.count, 1);
    assert_true(peer_quiet(&d.peers[PUB]));
    assert_next(&d.peers[SUB], "once", 2, false, NULL);
    store_crash(&d.store, 0);
    broker_untap(d.r.broker, tap);
    broker_ack_release(t.ack, 0);
    durable_crash(&d, 0);
    durable_start(&d, 1000);
    assert_true(durable_online(&d, PUB, MQTT_V5, "pub"));
    tap = broker_tap(d.r.broker, sl_str("t"), on_tapped, &t);
    peer_publish(&d.peers[PUB], "t", "once", 2, false, 9);
    durable_commit(&d);
    assert_int_equal(t.count, 2);
    assert_true(peer_quiet(&d.peers[PUB]));
    broker_ack_release(t.ack, 0);
    rig_turn(&d.r);
    assert_acked(&d.peers[PUB], MQTT_PUBREC, 9);
    assert_true(durable_online(&d, SUB, MQTT_V5, "sub"));
    assert_next(&d.peers[SUB], "once", 2, true, NULL);
    assert_true(peer_quiet(&d.peers[SUB]));
    broker_untap(d.r.broker, tap);
    durable_close(&d);
}

/* PUBREL and PUBCOMP wait until the store says the truth again. */
static void qos2_waits_for_the_disk(void **state)
{
    (void)state;
    struct durable_rig d;
    uint16_t id;
    open_pair(&d, 2);
    peer_publish(&d.peers[PUB], "t", "once", 2, false, 9);
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBREC, 9);
    assert_next(&d.peers[SUB], "once", 2, false, &id);
    store_break(&d.store);
    peer_ack(&d.peers[SUB], MQTT_PUBREC, id, 0);
    peer_ack(&d.peers[PUB], MQTT_PUBREL, 9, 0);
    rig_turn(&d.r);
    assert_true(peer_quiet(&d.peers[SUB]));
    assert_true(peer_quiet(&d.peers[PUB]));
    peer_drop(&d.peers[SUB]); /* also on another connection */
    assert_true(durable_online(&d, SUB, MQTT_V5, "sub"));
    assert_true(peer_quiet(&d.peers[SUB]));
    store_repair(&d.store, d.r.broker);
    durable_commit(&d);
    assert_acked(&d.peers[SUB], MQTT_PUBREL, id);
    assert_acked(&d.peers[PUB], MQTT_PUBCOMP, 9);
    peer_ack(&d.peers[SUB], MQTT_PUBCOMP, id, 0);
    rig_seconds(&d.r, 1);
    durable_commit(&d);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_DELIVERY), 0);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_RECEIVED), 0);
    durable_close(&d);
}

/* What is refused does not come: it is published again. */
static void refused_qos2_does_not_come(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 2);
    peer_publish(&d.peers[PUB], "t", "x", 2, false, 9);
    store_break(&d.store);
    rig_turn(&d.r);
    assert_refused(&d.peers[PUB], MQTT_PUBREC, 9);
    assert_true(peer_quiet(&d.peers[SUB]));
    store_repair(&d.store, d.r.broker);
    durable_commit(&d);
    assert_true(peer_quiet(&d.peers[SUB]));
    assert_int_equal(store_rows(&d.store, BROKER_ROW_DELIVERY), 0);
    durable_close(&d);
}

/* A session that is durable no more, since its client wants it to end with the connection, waits
 * for no commit: what has begun goes on. */
static void durable_no_more(void **state)
{
    (void)state;
    struct durable_rig d;
    uint16_t id, next;
    open_pair(&d, 2);
    durable_subscribe(&d, PUB, "u", 0);
    peer_publish(&d.peers[PUB], "t", "one", 2, false, 9);
    durable_commit(&d);
    assert_acked(&d.peers[PUB], MQTT_PUBREC, 9);
    assert_next(&d.peers[SUB], "one", 2, false, &id);
    peer_ack(&d.peers[SUB], MQTT_PUBREC, id, 0); /* PUBREL waits */
    peer_publish(&d.peers[SUB], "u", "own", 2, false, 3);
    durable_commit(&d);
    assert_acked(&d.peers[SUB], MQTT_PUBREL, id);
    assert_acked(&d.peers[SUB], MQTT_PUBREC, 3);
    assert_next(&d.peers[PUB], "own", 0, false, NULL);
    peer_publish(&d.peers[PUB], "t", "two", 2, false, 10);
    peer_ack(&d.peers[SUB], MQTT_PUBREL, 3, 0); /* PUBCOMP waits */
    peer_drop(&d.peers[SUB]);
    peer_open(&d.peers[SUB], &d.r, MQTT_V5);
    peer_connect(&d.peers[SUB], "sub", false, 0);
    (void)peer_next(&d.peers[SUB], MQTT_CONNACK);
    assert_acked(&d.peers[SUB], MQTT_PUBREL, id);
    peer_ack(&d.peers[SUB], MQTT_PUBCOMP, id, 0);
    peer_ack(&d.peers[SUB], MQTT_PUBREL, 3, 0);
    durable_commit(&d);
    assert_next(&d.peers[SUB], "two", 2, false, &next);
    assert_acked(&d.peers[SUB], MQTT_PUBCOMP, 3);
    peer_ack(&d.peers[SUB], MQTT_PUBREC, next, 0);
    assert_acked(&d.peers[SUB], MQTT_PUBREL, next);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_SESSION), 1); /* the publisher's */
    durable_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qos2_once_wherever_it_crashes),
        cmocka_unit_test(a_reused_packet_id_is_no_repeat),
        cmocka_unit_test(a_repeated_pubrel_gets_one_answer),
        cmocka_unit_test(taps_get_it_again),
        cmocka_unit_test(qos2_waits_for_the_disk),
        cmocka_unit_test(refused_qos2_does_not_come),
        cmocka_unit_test(durable_no_more),
    };
    return cmocka_run_group_tests_name("persist QoS 2", tests, NULL, NULL);
}
