/* test_suback.c - SUBACK of a session that is kept, with a store that commits when it is told to,
 * or cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "durable_rig.h"

static const enum mqtt_version versions[] = { MQTT_V311, MQTT_V5 };

static uint8_t refusal(const struct peer *p)
{
    return p->version == MQTT_V5 ? MQTT_RC_QUOTA_EXCEEDED : MQTT_RC_UNSPECIFIED;
}

static void ask(struct durable_rig *d, const char *const *filters, size_t count)
{
    struct mqtt_sub_entry e[8] = { 0 };
    struct sl_buf b = { 0 };
    for (size_t i = 0; i < count; i++)
        e[i] = (struct mqtt_sub_entry){ .filter = sl_str(filters[i]), .qos = 1 };
    mqtt_encode_subscribe(&b, d->peers[SUB].version, 77, NULL, e, count);
    peer_send(&d->peers[SUB], &b);
    sl_buf_free(&b);
    rig_turn(&d->r);
}

static void ask_one(struct durable_rig *d, const char *filter)
{
    ask(d, &filter, 1);
}

static void expect_codes(struct durable_rig *d, const uint8_t *codes, size_t count)
{
    struct mqtt_suback ack;
    struct mqtt_frame f = peer_next(&d->peers[SUB], MQTT_SUBACK);
    assert_int_equal(mqtt_decode_suback(&f, d->peers[SUB].version, &ack, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(ack.packet_id, 77);
    assert_int_equal(ack.codes.len, count);
    assert_memory_equal(ack.codes.ptr, codes, count);
}

static void expect_code(struct durable_rig *d, uint8_t code)
{
    expect_codes(d, &code, 1);
}

/* A message of QoS 0 to the topic: whether the subscriber gets it. */
static bool arrives(struct durable_rig *d, const char *topic)
{
    peer_publish(&d->peers[PUB], topic, "x", 0, false, 0);
    rig_turn(&d->r);
    if (peer_quiet(&d->peers[SUB]))
        return false;
    (void)peer_next_publish(&d->peers[SUB]);
    return true;
}

static void open_both(struct durable_rig *d, const enum mqtt_version *version)
{
    durable_open(d);
    (void)durable_online(d, PUB, MQTT_V5, "pub");
    (void)durable_online(d, SUB, *version, "sub");
    durable_commit(d);
}

static void it_waits_for_the_commit(void **state)
{
    struct durable_rig d;
    open_both(&d, *state);
    ask_one(&d, "t");
    assert_true(peer_quiet(&d.peers[SUB]));
    durable_commit(&d);
    expect_code(&d, 1);
    durable_crash(&d, 0);
    durable_start(&d, 0);
    assert_true(durable_online(&d, SUB, *(const enum mqtt_version *)*state, "sub"));
    (void)durable_online(&d, PUB, MQTT_V5, "pub");
    assert_true(arrives(&d, "t"));
    durable_close(&d);
}

static void a_failed_commit_says_no(void **state)
{
    struct durable_rig d;
    open_both(&d, *state);
    durable_subscribe(&d, SUB, "old", 1);
    static const char *const filters[] = { "old", "new", "a#", "new", "other/+" };
    ask(&d, filters, SL_ARRAY_LEN(filters));
    store_break(&d.store);
    rig_turn(&d.r);
    const uint8_t no = refusal(&d.peers[SUB]);
    const uint8_t invalid =
        d.peers[SUB].version == MQTT_V5 ? MQTT_RC_TOPIC_FILTER_INVALID : MQTT_RC_UNSPECIFIED;
    expect_codes(&d, (const uint8_t[]){ 1, no, invalid, no, no }, SL_ARRAY_LEN(filters));
    assert_true(arrives(&d, "old"));
    assert_false(arrives(&d, "new"));
    assert_false(arrives(&d, "other/x"));
    store_repair(&d.store, d.r.broker);
    durable_commit(&d);
    durable_crash(&d, 0);
    durable_start(&d, 0);
    assert_true(durable_online(&d, SUB, *(const enum mqtt_version *)*state, "sub"));
    (void)durable_online(&d, PUB, MQTT_V5, "pub");
    assert_true(arrives(&d, "old"));
    assert_false(arrives(&d, "new"));
    durable_close(&d);
}

static void twice_in_one_commit(void **state)
{
    struct durable_rig d;
    open_both(&d, *state);
    ask_one(&d, "t");
    ask_one(&d, "t");
    store_break(&d.store);
    rig_turn(&d.r);
    expect_code(&d, refusal(&d.peers[SUB]));
    expect_code(&d, refusal(&d.peers[SUB]));
    assert_false(arrives(&d, "t"));
    durable_close(&d);
}

/* At once: nobody knows when the disk will be back. */
static void a_store_that_is_down_says_no(void **state)
{
    struct durable_rig d;
    open_both(&d, *state);
    durable_subscribe(&d, SUB, "old", 1);
    store_break(&d.store);
    peer_publish(&d.peers[PUB], "r", "x", 1, true, 1); /* somebody has to notice */
    rig_turn(&d.r);
    ask_one(&d, "new");
    expect_code(&d, refusal(&d.peers[SUB]));
    ask_one(&d, "old"); /* it is there, and stored */
    expect_code(&d, 1);
    assert_false(arrives(&d, "new"));
    assert_true(arrives(&d, "old"));
    store_repair(&d.store, d.r.broker);
    durable_commit(&d);
    ask_one(&d, "new");
    durable_commit(&d);
    expect_code(&d, 1);
    assert_true(arrives(&d, "new"));
    durable_close(&d);
}

/* Its client may be told nothing: what it asked for is not kept for the next connection. */
static void a_client_that_has_left(void **state)
{
    struct durable_rig d;
    open_both(&d, *state);
    ask_one(&d, "t");
    peer_drop(&d.peers[SUB]);
    store_break(&d.store);
    rig_turn(&d.r);
    assert_true(durable_online(&d, SUB, *(const enum mqtt_version *)*state, "sub"));
    assert_false(arrives(&d, "t"));
    store_repair(&d.store, d.r.broker);
    durable_close(&d);
}

/* Nothing is promised to a new session, so its subscriptions need no disk. */
static void a_new_session_is_not_kept(void **state)
{
    const enum mqtt_version *version = *state;
    struct durable_rig d;
    struct mqtt_connack ack;
    durable_open(&d);
    (void)durable_online(&d, PUB, MQTT_V5, "pub");
    durable_commit(&d);
    store_break(&d.store);
    peer_publish(&d.peers[PUB], "r", "x", 1, true, 1);
    rig_turn(&d.r);
    peer_open(&d.peers[SUB], &d.r, *version);
    peer_connect(&d.peers[SUB], "sub", false, 500);
    struct mqtt_frame f = peer_next(&d.peers[SUB], MQTT_CONNACK);
    assert_int_equal(mqtt_decode_connack(&f, *version, &ack, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(ack.reason, 0);
    if (*version == MQTT_V5) {
        assert_true(mqtt_has(&ack.props, MQTT_P_SESSION_EXPIRY));
        assert_int_equal(ack.props.session_expiry, 0);
    }
    ask_one(&d, "t");
    expect_code(&d, 1);
    assert_true(arrives(&d, "t"));
    peer_drop(&d.peers[SUB]);
    store_repair(&d.store, d.r.broker);
    durable_commit(&d);
    assert_false(durable_online(&d, SUB, *version, "sub"));
    assert_false(arrives(&d, "t"));
    durable_subscribe(&d, SUB, "t", 1); /* and now it is */
    peer_drop(&d.peers[SUB]);
    assert_true(durable_online(&d, SUB, *version, "sub"));
    durable_close(&d);
}

int main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction test;
    } all[] = {
        { "it waits for the commit", it_waits_for_the_commit },
        { "a failed commit says no", a_failed_commit_says_no },
        { "twice in one commit", twice_in_one_commit },
        { "a store that is down says no", a_store_that_is_down_says_no },
        { "a client that has left", a_client_that_has_left },
        { "a new session is not kept", a_new_session_is_not_kept },
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(all) * SL_ARRAY_LEN(versions)] = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(tests); i++)
        tests[i] = (struct CMUnitTest){ .name = all[i / 2].name,
                                        .test_func = all[i / 2].test,
                                        .initial_state = (void *)(uintptr_t)&versions[i % 2] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
