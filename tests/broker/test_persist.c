/* test_persist.c - sessions, QoS 2 and retained messages over restarts, crashes and failures of the
 * store, step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "durable_rig.h"

#define ALL SIZE_MAX

enum { PUB, SUB };

static void assert_text(struct sl_slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void assert_next(struct peer *p, const char *text, uint8_t qos, bool dup, uint16_t *ret_id)
{
    struct mqtt_publish m = peer_next_publish(p);
    assert_text(m.payload, text);
    assert_int_equal(m.qos, qos);
    assert_int_equal(m.dup, dup);
    if (ret_id)
        *ret_id = m.packet_id;
}

static void assert_acked(struct peer *p, enum mqtt_type type, uint16_t id)
{
    uint8_t reason;
    assert_int_equal(peer_next_ack(p, type, &reason), id);
    assert_true(reason < 0x80);
}

static void assert_refused(struct peer *p, enum mqtt_type type, uint16_t id)
{
    uint8_t reason;
    assert_int_equal(peer_next_ack(p, type, &reason), id);
    assert_int_equal(reason, MQTT_RC_QUOTA_EXCEEDED);
}

/* A publisher and, with this QoS, a subscriber to "t"; everything committed. */
static void open_pair(struct durable_rig *d, uint8_t qos)
{
    durable_open(d);
    (void)durable_online(d, PUB, MQTT_V5, "pub");
    (void)durable_online(d, SUB, MQTT_V5, "sub");
    durable_subscribe(d, SUB, "t", qos);
}

static void reopen_pair(struct durable_rig *d, int64_t away_ms)
{
    durable_start(d, away_ms);
    assert_true(durable_online(d, PUB, MQTT_V5, "pub"));
    assert_true(durable_online(d, SUB, MQTT_V5, "sub"));
}

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

/* ---- QoS 2 ---- */

/* The crash comes after each step in turn, and after what the disk took of the next. */
static void qos2_once_wherever_it_crashes(void **state)
{
    (void)state;
    for (unsigned crash_at = 0; crash_at < 7; crash_at++) {
        for (unsigned took = 0; took < 2; took++) {
            struct durable_rig d;
            unsigned came = 0, step = 0;
            uint16_t id = 0;
            bool recorded = false, known = false;
            open_pair(&d, 2);
#define STEP()                                                                                     \
    if (step++ == crash_at) {                                                                      \
        durable_crash(&d, took ? ALL : 0);                                                         \
        goto crashed;                                                                              \
    }
            peer_publish(&d.peers[PUB], "t", "once", 2, false, 9);
            assert_true(peer_quiet(&d.peers[SUB])); /* not before it is committed */
            STEP();
            durable_commit(&d);
            assert_acked(&d.peers[PUB], MQTT_PUBREC, 9);
            recorded = true;
            assert_next(&d.peers[SUB], "once", 2, false, &id);
            came++;
            known = true;
            STEP();
            peer_ack(&d.peers[SUB], MQTT_PUBREC, id, 0);
            assert_true(peer_quiet(&d.peers[SUB]));
            STEP();
            durable_commit(&d);
            assert_acked(&d.peers[SUB], MQTT_PUBREL, id);
            known = false;
            STEP();
            peer_ack(&d.peers[SUB], MQTT_PUBCOMP, id, 0);
            STEP();
            peer_ack(&d.peers[PUB], MQTT_PUBREL, 9, 0);
            assert_true(peer_quiet(&d.peers[PUB]));
            STEP();
            durable_commit(&d);
            assert_acked(&d.peers[PUB], MQTT_PUBCOMP, 9);
            STEP();
#undef STEP
        crashed:
            reopen_pair(&d, 1000);
            if (crash_at < 5) { /* as a client goes on */
                if (recorded) {
                    peer_ack(&d.peers[PUB], MQTT_PUBREL, 9, 0);
                } else {
                    struct sl_buf b = { 0 };
                    struct mqtt_publish m = { .qos = 2,
                                              .dup = true,
                                              .packet_id = 9,
                                              .topic = sl_str("t"),
                                              .payload = sl_str("once") };
                    mqtt_encode_publish(&b, MQTT_V5, &m);
                    peer_send(&d.peers[PUB], &b);
                    sl_buf_free(&b);
                }
                durable_commit(&d);
                assert_acked(&d.peers[PUB], recorded ? MQTT_PUBCOMP : MQTT_PUBREC, 9);
            }
            while (!peer_quiet(&d.peers[SUB])) {
                struct sl_cursor in = sl_cursor(sl_buf_slice(&d.peers[SUB].received));
                struct mqtt_frame f;
                assert_int_equal(mqtt_frame_next(&in, UINT32_MAX, &f, NULL), MQTT_FRAME_OK);
                if (f.type == MQTT_PUBLISH) {
                    struct mqtt_publish m = peer_next_publish(&d.peers[SUB]);
                    assert_text(m.payload, "once");
                    came += !(known && m.packet_id == id);
                    known = true;
                    id = m.packet_id;
                    peer_ack(&d.peers[SUB], MQTT_PUBREC, id, 0);
                } else {
                    assert_int_equal(peer_next_ack(&d.peers[SUB], MQTT_PUBREL, NULL), id);
                    known = false;
                    peer_ack(&d.peers[SUB], MQTT_PUBCOMP, id, 0);
                }
                durable_commit(&d);
            }
            assert_int_equal(came, 1);
            assert_false(known); /* nothing is left half done with the client */
            durable_close(&d);
        }
    }
}

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

/* ---- sessions ---- */

static void subscriptions_are_promised(void **state)
{
    (void)state;
    struct durable_rig d;
    durable_open(&d);
    (void)durable_online(&d, SUB, MQTT_V311, "sub");
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e[] = { { .filter = sl_str("a/+"), .qos = 1 },
                                  { .filter = sl_str("$share/g/t"), .qos = 2 } };
    mqtt_encode_subscribe(&b, MQTT_V311, 5, NULL, e, 2);
    peer_send(&d.peers[SUB], &b);
    assert_true(peer_quiet(&d.peers[SUB])); /* SUBACK waits */
    durable_commit(&d);
    (void)peer_next(&d.peers[SUB], MQTT_SUBACK);
    sl_buf_free(&b);
    durable_crash(&d, 0);
    durable_start(&d, 1000);
    (void)durable_online(&d, PUB, MQTT_V5, "pub");
    peer_publish(&d.peers[PUB], "a/b", "one", 1, false, 1);
    peer_publish(&d.peers[PUB], "t", "two", 1, false, 2);
    durable_commit(&d);
    assert_true(durable_online(&d, SUB, MQTT_V311, "sub"));
    assert_next(&d.peers[SUB], "one", 1, false, NULL);
    assert_next(&d.peers[SUB], "two", 1, false, NULL);
    struct sl_slice filter = sl_str("$share/g/t");
    mqtt_encode_unsubscribe(&b, MQTT_V311, 6, NULL, &filter, 1);
    peer_send(&d.peers[SUB], &b);
    sl_buf_free(&b);
    durable_commit(&d);
    (void)peer_next(&d.peers[SUB], MQTT_UNSUBACK);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_SUBSCRIPTION), 1);
    durable_close(&d);
}

/* What waits for a commit goes to the connection that asked, or nowhere. */
static void suback_is_for_its_own_connection(void **state)
{
    (void)state;
    struct durable_rig d;
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str("a"), .qos = 1 };
    durable_open(&d);
    (void)durable_online(&d, SUB, MQTT_V5, "sub");
    mqtt_encode_subscribe(&b, MQTT_V5, 5, NULL, &e, 1);
    peer_send(&d.peers[SUB], &b);
    sl_buf_free(&b);
    peer_drop(&d.peers[SUB]);
    assert_true(durable_online(&d, SUB, MQTT_V5, "sub"));
    durable_commit(&d);
    assert_true(peer_quiet(&d.peers[SUB]));
    durable_close(&d);
}

struct expiry_case {
    const char *name;
    bool stop;       /* in order; else a crash */
    int64_t away_ms; /* by the wall clock */
    int seconds;     /* then, while the new broker runs */
    bool want_present;
};

static const struct expiry_case expiry_cases[] = {
    { "is there again", true, 100000, 0, true },
    { "499 s later still", true, 499000, 0, true },
    { "500 s later no more", true, 500000, 1, false },
    { "goes on counting", true, 300000, 199, true },
    { "to its end", true, 300000, 201, false },
    { "a clock set back gives nothing back", true, -1000000, 501, false },
    { "a clock set back takes nothing", true, -1000000, 499, true },
    { "who was connected had all of it", false, 1000000, 499, true },
    { "and no more", false, 1000000, 501, false },
};

static void session_expiry(void **state)
{
    const struct expiry_case *c = *state;
    struct durable_rig d;
    durable_open(&d);
    (void)durable_online(&d, SUB, MQTT_V5, "sub");
    durable_commit(&d);
    if (c->stop)
        durable_stop(&d);
    else
        durable_crash(&d, 0);
    durable_start(&d, c->away_ms);
    rig_seconds(&d.r, c->seconds);
    assert_int_equal(durable_online(&d, SUB, MQTT_V5, "sub"), c->want_present);
    durable_commit(&d);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_SESSION), 1);
    durable_close(&d);
}

static void expiry_counts_over_two_restarts(void **state)
{
    (void)state;
    struct durable_rig d;
    durable_open(&d);
    (void)durable_online(&d, SUB, MQTT_V5, "sub");
    durable_stop(&d);
    durable_start(&d, 300000);
    durable_stop(&d);
    durable_start(&d, -5000000); /* what was lived is lived */
    rig_seconds(&d.r, 199);
    assert_int_equal(d.r.broker->sessions.count, 1);
    rig_seconds(&d.r, 2);
    assert_int_equal(d.r.broker->sessions.count, 0);
    durable_close(&d);
}

static void disconnect_may_end_it(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 1);
    struct sl_buf b = { 0 };
    struct mqtt_reasoned r = { 0 };
    mqtt_set(&r.props, MQTT_P_SESSION_EXPIRY); /* to 0 */
    mqtt_encode_disconnect(&b, MQTT_V5, &r);
    peer_send(&d.peers[SUB], &b);
    sl_buf_free(&b);
    durable_commit(&d);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_SESSION), 1); /* the publisher's */
    assert_int_equal(store_rows(&d.store, BROKER_ROW_SUBSCRIPTION), 0);
    durable_close(&d);
}

/* Not when something else comes: until then a crash would bring it back. */
static void an_end_is_committed_at_once(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 1);
    peer_drop(&d.peers[SUB]);
    durable_commit(&d);
    size_t waits = d.store.waits;
    peer_online(&d.peers[SUB], &d.r, MQTT_V5, "sub"); /* clean, and not kept */
    rig_turn(&d.r);
    assert_int_equal(d.store.waits, waits + 1);
    durable_close(&d);
}

static void clean_sessions_leave_no_row(void **state)
{
    (void)state;
    struct durable_rig d;
    durable_open(&d);
    peer_online(&d.peers[PUB], &d.r, MQTT_V311, "pub");
    peer_online(&d.peers[SUB], &d.r, MQTT_V5, "sub");
    peer_subscribe(&d.peers[SUB], "t", 2); /* SUBACK at once */
    peer_publish(&d.peers[PUB], "t", "one", 2, false, 1);
    assert_next(&d.peers[SUB], "one", 2, false, NULL);
    assert_acked(&d.peers[PUB], MQTT_PUBREC, 1);
    assert_int_equal(d.store.op_count, 0);
    durable_close(&d);
}

struct will_case {
    const char *name;
    uint32_t delay_s;
    int64_t away_ms;
    int quiet_s; /* after the restart nothing comes for so long */
};

static const struct will_case will_cases[] = {
    { "counts on", 100, 40000, 59 },
    { "is due at once", 100, 200000, 0 },
    { "starts with the crash for one who was connected", 0, 0, 0 },
};

static void wills_survive(void **state)
{
    const struct will_case *c = *state;
    struct durable_rig d;
    durable_open(&d);
    (void)durable_online(&d, PUB, MQTT_V5, "watch");
    durable_subscribe(&d, PUB, "will", 1);
    struct mqtt_connect m = { .version = MQTT_V5, .client_id = sl_str("w"), .has_will = true };
    m.will = (struct mqtt_will){ .topic = sl_str("will"), .payload = sl_str("gone"), .qos = 1 };
    mqtt_set(&m.will.props, MQTT_P_WILL_DELAY);
    m.will.props.will_delay = c->delay_s;
    mqtt_set(&m.props, MQTT_P_SESSION_EXPIRY);
    m.props.session_expiry = 500;
    peer_open(&d.peers[SUB], &d.r, MQTT_V5);
    peer_send_connect(&d.peers[SUB], &m);
    (void)peer_next(&d.peers[SUB], MQTT_CONNACK);
    if (c->delay_s > 0)
        peer_drop(&d.peers[SUB]);
    durable_commit(&d);
    durable_crash(&d, 0);
    durable_start(&d, c->away_ms);
    assert_true(durable_online(&d, PUB, MQTT_V5, "watch"));
    rig_seconds(&d.r, c->quiet_s);
    assert_true(peer_quiet(&d.peers[PUB]));
    rig_seconds(&d.r, 1);
    assert_next(&d.peers[PUB], "gone", 1, false, NULL);
    durable_commit(&d);
    rig_seconds(&d.r, 2);
    assert_true(peer_quiet(&d.peers[PUB]));
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

/* ---- a store that takes nothing ---- */

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

/* ---- access lists, shares ---- */

static const struct acl_entry_options all_rights[] = {
    { .publish = (const char *const[]){ "#", NULL },
      .subscribe = (const char *const[]){ "#", NULL } },
};
static const struct acl_entry_options no_t[] = {
    { .deny = (const char *const[]){ "t", NULL } },
    { .publish = (const char *const[]){ "#", NULL },
      .subscribe = (const char *const[]){ "#", NULL } },
};

static void set_list(struct durable_rig *d, const struct acl_entry_options *entries, size_t count)
{
    struct acl *a = acl_new(entries, count);
    assert_non_null(a);
    broker_set_acl(d->r.broker, a);
    acl_unref(a);
}

/* Whether there was a session. */
static bool log_in(struct durable_rig *d, unsigned peer, const char *id, const char *user)
{
    struct mqtt_connack ack;
    struct mqtt_connect c = { .version = MQTT_V5,
                              .client_id = sl_str(id),
                              .has_username = user != NULL,
                              .username = sl_str(user) };
    mqtt_set(&c.props, MQTT_P_SESSION_EXPIRY);
    c.props.session_expiry = 500;
    d->r.answer = true;
    peer_open(&d->peers[peer], &d->r, MQTT_V5);
    peer_send_connect(&d->peers[peer], &c);
    struct mqtt_frame f = peer_next(&d->peers[peer], MQTT_CONNACK);
    assert_int_equal(mqtt_decode_connack(&f, MQTT_V5, &ack, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(ack.reason, 0);
    return ack.session_present;
}

static const struct user_case {
    const char *name, *before, *after;
    bool late; /* the list comes after the rows */
    bool want;
} user_cases[] = {
    { "a user's session is still his", "bob", "bob", false, true },
    { "a user's session is not another's", "bob", "eve", false, false },
    { "a user's session is not one's without a name", "bob", NULL, false, false },
    { "a session without a name is not a user's", NULL, "eve", false, false },
    { "a session without a name is for any other", NULL, NULL, false, true },
    { "a user's session is not another's, under a new list", "bob", "eve", true, false },
    { "a user's session is still his, under a new list", "bob", "bob", true, true },
};

static void sessions_keep_their_users(void **state)
{
    const struct user_case *c = *state;
    struct durable_rig d;
    durable_open(&d);
    assert_false(log_in(&d, SUB, "sub", c->before));
    durable_subscribe(&d, SUB, "t", 2);
    peer_drop(&d.peers[SUB]);
    (void)durable_online(&d, PUB, MQTT_V5, "pub");
    peer_publish(&d.peers[PUB], "t", "secret", 2, false, 9);
    durable_commit(&d);
    durable_crash(&d, 0);
    durable_start(&d, 1000);
    set_list(&d, all_rights, SL_ARRAY_LEN(all_rights));
    if (!c->late) { /* rows that are written again say the same */
        durable_stop(&d);
        durable_start(&d, 1000);
        set_list(&d, all_rights, SL_ARRAY_LEN(all_rights));
    }
    assert_int_equal(log_in(&d, SUB, "sub", c->after), c->want);
    durable_commit(&d);
    if (c->want)
        assert_next(&d.peers[SUB], "secret", 2, true, NULL);
    assert_true(peer_quiet(&d.peers[SUB]));
    durable_close(&d);
}

/* Taken away during a restart: what waits does not come, and no packet id stays behind. */
static void rights_are_asked_again(void **state)
{
    (void)state;
    struct durable_rig d;
    uint16_t id;
    uint8_t reason;
    open_pair(&d, 2);
    peer_publish(&d.peers[PUB], "t", "begun", 2, false, 9);
    durable_commit(&d);
    assert_next(&d.peers[SUB], "begun", 2, false, &id);
    peer_drop(&d.peers[SUB]);
    peer_publish(&d.peers[PUB], "t", "waits", 1, false, 10);
    durable_commit(&d);
    durable_crash(&d, 0);
    durable_start(&d, 1000);
    set_list(&d, no_t, SL_ARRAY_LEN(no_t));
    assert_true(durable_online(&d, SUB, MQTT_V5, "sub"));
    assert_int_equal(peer_next_ack(&d.peers[SUB], MQTT_PUBREL, &reason), id);
    assert_true(peer_quiet(&d.peers[SUB]));
    peer_ack(&d.peers[SUB], MQTT_PUBCOMP, id, 0);
    rig_seconds(&d.r, 1);
    durable_commit(&d);
    assert_int_equal(store_rows(&d.store, BROKER_ROW_DELIVERY), 0);
    durable_close(&d);
}

/* What a share gave to one that does not come back goes to another, also after a restart; QoS 2 may
 * have been begun. [MQTT-4.8.2-5] */
static void shares_are_remembered(void **state)
{
    (void)state;
    struct durable_rig d;
    open_pair(&d, 0);
    durable_subscribe(&d, SUB, "$share/g/a/+", 2);
    peer_drop(&d.peers[SUB]);
    peer_publish(&d.peers[PUB], "a/b", "one", 1, false, 1);
    peer_publish(&d.peers[PUB], "a/b", "two", 2, false, 2);
    durable_commit(&d);
    durable_crash(&d, 0);
    durable_start(&d, 1000);
    assert_false(durable_online(&d, 2, MQTT_V5, "other"));
    durable_subscribe(&d, 2, "$share/g/a/+", 1);
    peer_open(&d.peers[SUB], &d.r, MQTT_V5);
    peer_connect(&d.peers[SUB], "sub", true, 0); /* its session ends */
    durable_commit(&d);
    assert_next(&d.peers[2], "one", 1, false, NULL);
    assert_true(peer_quiet(&d.peers[2]));
    durable_close(&d);
}

#define MAX_TESTS 64

int main(void)
{
    struct CMUnitTest tests[MAX_TESTS] = {
        cmocka_unit_test(who_answers_costs_nothing),
        cmocka_unit_test(who_does_not_answer_is_stored),
        cmocka_unit_test(for_one_who_is_away),
        cmocka_unit_test(going_away_stores_at_once),
        cmocka_unit_test(the_end_of_a_session_frees_its_publishers),
        cmocka_unit_test(order_and_numbers_survive),
        cmocka_unit_test(qos2_once_wherever_it_crashes),
        cmocka_unit_test(a_reused_packet_id_is_no_repeat),
        cmocka_unit_test(a_repeated_pubrel_gets_one_answer),
        cmocka_unit_test(taps_get_it_again),
        cmocka_unit_test(subscriptions_are_promised),
        cmocka_unit_test(suback_is_for_its_own_connection),
        cmocka_unit_test(expiry_counts_over_two_restarts),
        cmocka_unit_test(disconnect_may_end_it),
        cmocka_unit_test(an_end_is_committed_at_once),
        cmocka_unit_test(clean_sessions_leave_no_row),
        cmocka_unit_test(message_expiry_goes_on),
        cmocka_unit_test(bounds_lowered_keep_what_was_promised),
        cmocka_unit_test(retained_messages_survive),
        cmocka_unit_test(origins_survive),
        cmocka_unit_test(a_full_disk_refuses_who_needs_it),
        cmocka_unit_test(a_failed_commit_refuses_and_closes),
        cmocka_unit_test(qos2_waits_for_the_disk),
        cmocka_unit_test(refused_qos2_does_not_come),
        cmocka_unit_test(durable_no_more),
        cmocka_unit_test(rights_are_asked_again),
        cmocka_unit_test(answers_that_wait_are_bounded),
        cmocka_unit_test(unsubscribing_from_nothing_writes_nothing),
        cmocka_unit_test(shares_are_remembered),
        cmocka_unit_test(one_group_a_turn),
    };
    size_t n = 0;
    while (tests[n].test_func)
        n++;
    for (size_t i = 0; i < SL_ARRAY_LEN(expiry_cases); i++)
        tests[n++] = (struct CMUnitTest){ .name = expiry_cases[i].name,
                                          .test_func = session_expiry,
                                          .initial_state = (void *)&expiry_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(will_cases); i++)
        tests[n++] = (struct CMUnitTest){ .name = will_cases[i].name,
                                          .test_func = wills_survive,
                                          .initial_state = (void *)&will_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(user_cases); i++)
        tests[n++] = (struct CMUnitTest){ .name = user_cases[i].name,
                                          .test_func = sessions_keep_their_users,
                                          .initial_state = (void *)&user_cases[i] };
    return _cmocka_run_group_tests("persist", tests, n, NULL, NULL);
}
