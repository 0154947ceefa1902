/* test_persist_sessions.c - sessions, their wills, users and shares over restarts and crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "durable_rig.h"

#include "rows.h"

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

int main(void)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(subscriptions_are_promised),
        cmocka_unit_test(suback_is_for_its_own_connection),
        cmocka_unit_test(expiry_counts_over_two_restarts),
        cmocka_unit_test(disconnect_may_end_it),
        cmocka_unit_test(an_end_is_committed_at_once),
        cmocka_unit_test(clean_sessions_leave_no_row),
        cmocka_unit_test(rights_are_asked_again),
        cmocka_unit_test(shares_are_remembered),
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(expiry_cases) +
                            SL_ARRAY_LEN(will_cases) + SL_ARRAY_LEN(user_cases)];
    size_t n = SL_ARRAY_LEN(plain);
    memcpy(tests, plain, sizeof plain);
    n += ROWS_OF(tests + n, expiry_cases, session_expiry);
    n += ROWS_OF(tests + n, will_cases, wills_survive);
    n += ROWS_OF(tests + n, user_cases, sessions_keep_their_users);
    return _cmocka_run_group_tests("persist sessions", tests, n, NULL, NULL);
}
