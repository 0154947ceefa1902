/* test_bounds.c - what hostile, slow and forgetful clients cannot do to the broker: every bound is
 * reached here once. Without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"

#include "rows.h"

#include <stdlib.h>

static uint64_t drops(struct rig *r, enum broker_drop d)
{
    struct broker_stats s;
    broker_get_stats(r->broker, &s);
    return s.dropped[d];
}

static void unstick(struct peer *p)
{
    p->stuck = false;
    broker_mark_dirty(p->rig->broker, &p->client);
    rig_turn(p->rig);
}

/* ---- taps that hold acknowledgements ---- */

struct holder {
    struct broker_ack *acks[64];
    size_t count;
    bool release_on_next; /* the next message that comes lets all of them go, from inside the tap */
};

static void release_all(struct holder *h, uint8_t reason)
{
    size_t n = h->count;
    h->count = 0;
    for (size_t i = 0; i < n; i++)
        broker_ack_release(h->acks[i], reason);
}

static void hold(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct holder *h = ctx;
    (void)m;
    if (h->release_on_next) {
        h->release_on_next = false;
        release_all(h, MQTT_RC_SUCCESS);
    } else if (receipt) {
        h->acks[h->count++] = broker_ack_hold(receipt);
    }
}

/* ---- input that is held ---- */

/* One client's publish releases the acknowledgements another's input waits for. What that one has
 * sent meanwhile must wait for the end of the turn: a route inside a route would free the answer
 * that the outer one still reads. */
static void no_route_begins_inside_another(void **state)
{
    (void)state;
    struct rig r;
    struct peer waits, other;
    struct holder h = { 0 };
    struct sl_buf b = { 0 };
    rig_open(&r, NULL); /* receive_maximum 4 */
    struct broker_tap *tap = broker_tap(r.broker, sl_str("#"), hold, &h);
    peer_online(&waits, &r, MQTT_V311, "waits");
    peer_online(&other, &r, MQTT_V311, "other");
    for (unsigned i = 1; i <= 4 + TOPIC_CACHE_MAX + 8; i++) {
        char topic[16];
        (void)snprintf(topic, sizeof topic, "t/%u", i);
        struct mqtt_publish m = { .qos = i <= 4, .packet_id = (uint16_t)i, .topic = sl_str(topic) };
        mqtt_encode_publish(&b, MQTT_V311, &m);
    }
    peer_send(&waits, &b);
    sl_buf_free(&b);
    assert_int_equal(h.count, 4);
    assert_false(waits.reading);
    h.release_on_next = true;
    peer_publish(&other, "go", "", 0, false, 0);
    assert_true(waits.reading);
    assert_int_equal(waits.client.in.len, 0);
    for (uint16_t i = 1; i <= 4; i++)
        assert_int_equal(peer_next_ack(&waits, MQTT_PUBACK, NULL), i);
    peer_drop(&waits);
    peer_drop(&other);
    broker_untap(r.broker, tap);
    rig_close(&r);
}

/* A client cannot be blamed for silence while it was not listened to. */
static void held_input_is_not_silence(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct holder h = { 0 };
    struct mqtt_connect c = {
        .version = MQTT_V311, .clean_start = true, .client_id = sl_str("p"), .keep_alive_s = 20
    };
    rig_open(&r, NULL);
    struct broker_tap *tap = broker_tap(r.broker, sl_str("#"), hold, &h);
    peer_open(&p, &r, MQTT_V311);
    peer_send_connect(&p, &c);
    for (uint16_t i = 1; i <= 4; i++)
        peer_publish(&p, "t", "", 1, false, i);
    assert_false(p.reading);
    rig_seconds(&r, 100);
    assert_true(p.open);
    release_all(&h, MQTT_RC_SUCCESS);
    rig_seconds(&r, 30);
    assert_true(p.open && p.reading);
    rig_seconds(&r, 1);
    assert_false(p.open);
    sl_buf_free(&p.received);
    broker_untap(r.broker, tap);
    rig_close(&r);
}

static void paused_broker_reads_nothing(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, idle;
    struct holder h = { 0 };
    struct mqtt_connect c = {
        .version = MQTT_V5, .clean_start = true, .client_id = sl_str("i"), .keep_alive_s = 1
    };
    rig_open(&r, NULL);
    struct broker_tap *tap = broker_tap(r.broker, sl_str("#"), hold, &h);
    peer_online(&p, &r, MQTT_V311, "p");
    peer_open(&idle, &r, MQTT_V5);
    peer_send_connect(&idle, &c);
    for (uint16_t i = 1; i <= 4; i++)
        peer_publish(&p, "t", "", 1, false, i);
    broker_pause(r.broker);
    release_all(&h, MQTT_RC_SUCCESS);
    rig_turn(&r);
    for (uint16_t i = 1; i <= 4; i++) /* what is safe is still acknowledged */
        assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, NULL), i);
    assert_false(p.reading);
    rig_seconds(&r, 5);
    assert_true(idle.open); /* it may well have sent PINGREQ */
    peer_drop(&p);
    peer_drop(&idle);
    broker_untap(r.broker, tap);
    rig_close(&r);
}

/* Asks on and on and never reads an answer. */
static void deaf_client_is_not_read(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct sl_buf b = { 0 };
    rig_open(&r, NULL); /* 100,000 bytes of output, and 64 KiB of answers */
    peer_online(&p, &r, MQTT_V5, "p");
    for (int i = 0; i < 1000; i++)
        mqtt_encode_pingreq(&b);
    p.stuck = true;
    for (int i = 0; i < 1000 && p.reading; i++)
        peer_send(&p, &b);
    assert_false(p.reading);
    assert_in_range(outq_left(&p.client.out), 165536, 167000);
    assert_true(p.client.in.len < 2000);
    unstick(&p);
    assert_true(p.reading);
    assert_int_equal(p.client.in.len, 0);
    sl_buf_free(&b);
    peer_drop(&p);
    rig_close(&r);
}

/* Output that was full when a QoS 1 message came, and then goes out at once: nothing else will
 * happen on this connection that could send what waits. */
static void queue_is_sent_when_output_has_gone(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    char big[4000];
    rig_open(&r, NULL);
    peer_online(&from, &r, MQTT_V311, "from");
    peer_online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "t", 1);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    p.stuck = true;
    while (drops(&r, BROKER_DROP_SLOW_READER) == 0)
        peer_publish(&from, "t", big, 0, false, 0);
    peer_publish(&from, "t", "waits", 1, false, 1);
    assert_int_equal(p.client.session->queue.count, 1);
    unstick(&p);
    assert_int_equal(p.client.session->queue.count, 0);
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

/* ---- acknowledgements that wait ---- */

/* Behind one publish that is held, whatever waits counts: repeated ones and refused ones as well.
 */
static const struct ack_flood {
    const char *name;
    enum mqtt_version version;
    const char *topic;
    bool same_id;
} ack_floods[] = {
    { "5, the same packet id again", MQTT_V5, "t", true },
    { "5, to a topic that is refused", MQTT_V5, "$SYS/x", false },
    { "5, new messages", MQTT_V5, "t", false },
    { "3.1.1, the same packet id again", MQTT_V311, "t", true },
    { "3.1.1, to a topic that is refused", MQTT_V311, "$SYS/x", false },
};

static void waiting_acknowledgements_are_bounded(void **state)
{
    const struct ack_flood *f = *state;
    struct rig r;
    struct peer p;
    struct holder h = { 0 };
    rig_open(&r, NULL); /* receive_maximum 4 */
    struct broker_tap *tap = broker_tap(r.broker, sl_str("#"), hold, &h);
    peer_online(&p, &r, f->version, "p");
    peer_publish(&p, "t", "", 1, false, 1);
    for (uint16_t i = 2; p.open && p.reading && i < 100; i++)
        peer_publish(&p, f->topic, "", 2, false, f->same_id ? 2 : i);
    assert_true(p.client.ack_count <= 4);
    if (f->version == MQTT_V5)
        peer_expect_disconnect(&p, MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED);
    else
        peer_drop(&p);
    release_all(&h, MQTT_RC_SUCCESS);
    broker_untap(r.broker, tap);
    rig_close(&r);
}

static void pubrel_before_pubrec_is_refused(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct holder h = { 0 };
    rig_open(&r, NULL);
    struct broker_tap *tap = broker_tap(r.broker, sl_str("#"), hold, &h);
    peer_online(&p, &r, MQTT_V5, "p");
    peer_publish(&p, "t", "", 2, false, 1);
    peer_ack(&p, MQTT_PUBREL, 1, 0);
    peer_expect_disconnect(&p, MQTT_RC_PROTOCOL_ERROR);
    release_all(&h, MQTT_RC_SUCCESS);
    broker_untap(r.broker, tap);
    rig_close(&r);
}

/* A client that comes back may have forgotten what it never released: that must not shut it out. */
static void old_qos2_does_not_fill_the_new_window(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    uint8_t reason;
    rig_open(&r, NULL); /* receive_maximum 4 */
    for (uint16_t i = 1; i <= 12; i++) {
        peer_open(&p, &r, MQTT_V5);
        peer_connect(&p, "p", false, 100);
        (void)peer_next(&p, MQTT_CONNACK);
        peer_publish(&p, "t", "", 2, false, i);
        assert_int_equal(peer_next_ack(&p, MQTT_PUBREC, &reason), i);
        assert_true(reason < 0x80);
        peer_drop(&p);
    }
    peer_open(&p, &r, MQTT_V5);
    peer_connect(&p, "p", false, 100);
    (void)peer_next(&p, MQTT_CONNACK);
    peer_ack(&p, MQTT_PUBREL, 3, 0);
    (void)peer_next_ack(&p, MQTT_PUBCOMP, &reason);
    assert_int_equal(reason, MQTT_RC_SUCCESS);
    peer_drop(&p);
    rig_close(&r);
}

/* ---- what a client may leave behind ---- */

static uint8_t subscribe_code(struct peer *p, const char *filter)
{
    struct sl_buf b = { 0 };
    struct mqtt_suback a;
    struct mqtt_sub_entry e = { .filter = sl_str(filter) };
    mqtt_encode_subscribe(&b, p->version, 7, NULL, &e, 1);
    peer_send(p, &b);
    sl_buf_free(&b);
    struct mqtt_frame f = peer_next(p, MQTT_SUBACK);
    assert_int_equal(mqtt_decode_suback(&f, p->version, &a, NULL), MQTT_RC_SUCCESS);
    return a.codes.ptr[0];
}

static void subscriptions_are_bounded(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, q;
    char filter[512];
    rig_open(&r, NULL);
    peer_online(&p, &r, MQTT_V5, "p");
    for (int i = 0; i < SUBS_PER_SESSION_MAX; i++) {
        (void)snprintf(filter, sizeof filter, "t/%d", i);
        assert_int_equal(subscribe_code(&p, filter), 0);
    }
    assert_int_equal(subscribe_code(&p, "one/more"), MQTT_RC_QUOTA_EXCEEDED);
    assert_int_equal(subscribe_code(&p, "t/1"), 0); /* one that it has */
    peer_online(&q, &r, MQTT_V311, "q");
    int count = 0;
    do { /* as deep as they may be */
        int n = snprintf(filter, sizeof filter, "%d", count++);
        while (n < 398)
            n += snprintf(filter + n, sizeof filter - (size_t)n, "/x");
    } while (subscribe_code(&q, filter) == 0);
    assert_in_range(count, 100, 1000);
    assert_true(r.broker->subs.trie.nodes < 100000);
    peer_drop(&p);
    peer_drop(&q);
    assert_int_equal(r.broker->subs.trie.nodes, 0);
    rig_close(&r);
}

static void little_retained(struct broker_options *o)
{
    o->max_retained_bytes = 20000;
}

static void send_retained(struct peer *p, const char *topic, const char *payload, uint32_t expiry_s)
{
    struct sl_buf b = { 0 };
    struct mqtt_publish m = { .retain = true, .topic = sl_str(topic), .payload = sl_str(payload) };
    if (expiry_s) {
        mqtt_set(&m.props, MQTT_P_MESSAGE_EXPIRY);
        m.props.message_expiry = expiry_s;
    }
    mqtt_encode_publish(&b, p->version, &m);
    peer_send(p, &b);
    sl_buf_free(&b);
}

static void retained_messages_are_bounded(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    char topic[32], big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    rig_open(&r, little_retained);
    peer_online(&p, &r, MQTT_V5, "p");
    int i = 0;
    for (; drops(&r, BROKER_DROP_RETAINED) == 0; i++) {
        (void)snprintf(topic, sizeof topic, "t/%d", i);
        send_retained(&p, topic, "value", i < 10 ? 30 : 0);
    }
    assert_in_range(i, 50, 150);
    assert_int_equal(r.broker->retained.count, i - 1);
    struct broker_stats s;
    broker_get_stats(r.broker, &s);
    assert_in_range(s.retained_bytes, 19500, 20000); /* one sees why: it counts as the bound does */
    send_retained(&p, "t/20", "other", 0);           /* no more than it was */
    assert_int_equal(drops(&r, BROKER_DROP_RETAINED), 1);
    send_retained(&p, "t/20", big, 0); /* then rather none than the old one */
    assert_int_equal(drops(&r, BROKER_DROP_RETAINED), 2);
    assert_int_equal(r.broker->retained.count, i - 2);
    rig_seconds(&r, 100); /* ten have expired */
    assert_int_equal(r.broker->retained.count, i - 12);
    assert_int_equal(r.broker->retained.expiring, 0);
    for (int k = 0; k < i; k++) {
        (void)snprintf(topic, sizeof topic, "t/%d", k);
        send_retained(&p, topic, "", 0);
    }
    assert_int_equal(r.broker->retained.bytes, 0);
    assert_int_equal(r.broker->retained.trie.nodes, 0);
    peer_drop(&p);
    rig_close(&r);
}

static void topic_cache_is_bounded_in_bytes(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    static char topic[60001];
    rig_open(&r, NULL);
    peer_online(&p, &r, MQTT_V311, "p");
    memset(topic, 'x', sizeof topic - 1);
    for (int i = 0; i < 600; i++) {
        (void)snprintf(topic, 8, "%06d", i);
        topic[6] = 'x';
        peer_publish(&p, topic, "", 0, false, 0);
        assert_true(r.broker->subs.cache_bytes <= TOPIC_CACHE_BYTES);
    }
    assert_true(r.broker->subs.ring_count > 200);
    assert_int_equal(r.broker->subs.ring_count, r.broker->subs.cache.count);
    peer_drop(&p);
    rig_close(&r);
}

static void two_connections(struct broker_options *o)
{
    o->max_connections = 2;
}

/* Sessions that wait for clients which never come back. */
static void sessions_that_wait_are_bounded(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, two_connections);
    for (int i = 0; i < 20; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "c%d", i);
        peer_open(&p, &r, i % 2 ? MQTT_V5 : MQTT_V311);
        peer_connect(&p, id, false, 100);
        struct mqtt_connack a;
        struct mqtt_frame f = peer_next(&p, MQTT_CONNACK);
        assert_int_equal(mqtt_decode_connack(&f, p.version, &a, NULL), MQTT_RC_SUCCESS);
        bool told = mqtt_has(&a.props, MQTT_P_SESSION_EXPIRY) && a.props.session_expiry == 0;
        assert_int_equal(told, p.version == MQTT_V5 && i >= 2);
        peer_drop(&p);
    }
    assert_int_equal(r.broker->sessions.count, 2);
    rig_seconds(&r, 1001);
    assert_int_equal(r.broker->sessions.count, 0);
    rig_close(&r);
}

static void many_connections(struct broker_options *o)
{
    o->max_connections = 2000;
}

/* More than one look at the map finds. */
static void many_sessions_end_together(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, many_connections);
    for (int i = 0; i < 1500; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "c%d", i);
        peer_open(&p, &r, MQTT_V5);
        peer_connect(&p, id, false, i % 3 ? 100 : 900);
        peer_drop(&p);
    }
    rig_seconds(&r, 101);
    assert_int_equal(r.broker->sessions.count, 500);
    rig_close(&r);
}

static void inside_publishes_are_bounded_in_bytes(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, NULL);
    uint8_t *big = calloc(1, 1000000);
    assert_non_null(big);
    struct sl_msg_parts parts = { .topic = sl_str("t"), .payload = sl_bytes(big, 1000000) };
    struct sl_msg *m = sl_msg_new(&parts);
    assert_non_null(m);
    int count = 0;
    while (broker_publish(r.broker, m))
        count++;
    assert_int_equal(count, BROKER_INTERNAL_BYTES_MAX / sl_msg_size(m));
    rig_turn(&r);
    assert_int_equal(r.broker->internal_bytes, 0);
    assert_true(broker_publish(r.broker, m));
    sl_msg_unref(m);
    free(big);
    rig_close(&r);
}

int main(void)
{
    struct CMUnitTest tests[64];
    size_t n = 0;
    n += ROWS_OF(tests + n, ack_floods, waiting_acknowledgements_are_bounded);
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(no_route_begins_inside_another),
        cmocka_unit_test(held_input_is_not_silence),
        cmocka_unit_test(paused_broker_reads_nothing),
        cmocka_unit_test(deaf_client_is_not_read),
        cmocka_unit_test(queue_is_sent_when_output_has_gone),
        cmocka_unit_test(pubrel_before_pubrec_is_refused),
        cmocka_unit_test(old_qos2_does_not_fill_the_new_window),
        cmocka_unit_test(subscriptions_are_bounded),
        cmocka_unit_test(retained_messages_are_bounded),
        cmocka_unit_test(topic_cache_is_bounded_in_bytes),
        cmocka_unit_test(sessions_that_wait_are_bounded),
        cmocka_unit_test(many_sessions_end_together),
        cmocka_unit_test(inside_publishes_are_bounded_in_bytes),
    };
    memcpy(tests + n, plain, sizeof plain);
    n += SL_ARRAY_LEN(plain);
    return _cmocka_run_group_tests("bounds", tests, n, NULL, NULL);
}
