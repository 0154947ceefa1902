/* test_access.c - the access list at work in the broker: publishing, subscribing, delivery, wills,
 * and what changes when the list does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"

#include "rows.h"

#define LIST(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static const struct acl_entry_options rights[] = {
    { .deny = LIST("private/#") },
    { .user = "sensor-*", .publish = LIST("sensors/%u/#"), .subscribe = LIST("cmd/%u/#") },
    { .user = "reader", .subscribe = LIST("#", "$SYS/#") },
    { .user = "writer", .publish = LIST("#") },
    { .anonymous = true, .publish = LIST("open/#"), .subscribe = LIST("open/#") },
};
/* Later: the reader may no longer see what sensors say. */
static const struct acl_entry_options fewer[] = {
    { .user = "reader", .deny = LIST("sensors/#"), .subscribe = LIST("#") },
    { .user = "writer", .publish = LIST("#") },
};

static void set_list(struct rig *r, const struct acl_entry_options *entries, size_t count)
{
    struct acl *a = acl_new(entries, count);
    assert_non_null(a);
    broker_set_acl(r->broker, a);
    acl_unref(a);
}
#define SET_LIST(r, list) set_list(r, list, SL_ARRAY_LEN(list))

static uint64_t denied(const struct rig *r)
{
    struct broker_stats s;
    broker_get_stats(r->broker, &s);
    return s.dropped[BROKER_DROP_DENIED];
}

static uint64_t refused(const struct rig *r, enum broker_refusal why)
{
    struct broker_stats s;
    broker_get_stats(r->broker, &s);
    return s.refused[why];
}

/* ---- clients with names ---- */

struct who {
    const char *user, *id;
    const char *will; /* topic, or NULL */
    bool resume;      /* keep and take up a session */
};

static uint8_t log_in(struct peer *p, struct rig *r, enum mqtt_version v, const struct who *w)
{
    struct mqtt_connack ack;
    struct mqtt_connect c = { .version = v,
                              .clean_start = !w->resume,
                              .client_id = sl_str(w->id),
                              .has_username = w->user != NULL,
                              .username = sl_str(w->user) };
    if (w->will) {
        c.has_will = true;
        c.will.topic = sl_str(w->will);
        c.will.payload = sl_str("gone");
    }
    if (v == MQTT_V5 && w->resume) {
        mqtt_set(&c.props, MQTT_P_SESSION_EXPIRY);
        c.props.session_expiry = 600;
    }
    peer_open(p, r, v);
    peer_send_connect(p, &c);
    struct mqtt_frame f = peer_next(p, MQTT_CONNACK);
    assert_int_equal(mqtt_decode_connack(&f, v, &ack, NULL), MQTT_RC_SUCCESS);
    if (ack.reason)
        sl_buf_free(&p->received);
    return ack.reason;
}

static void online(struct peer *p, struct rig *r, enum mqtt_version v, const char *user,
                   const char *id)
{
    assert_int_equal(log_in(p, r, v, &(struct who){ .user = user, .id = id }), 0);
}

static uint8_t subscribe(struct peer *p, const char *filter, uint8_t qos)
{
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str(filter), .qos = qos };
    struct mqtt_suback ack;
    mqtt_encode_subscribe(&b, p->version, 7, NULL, &e, 1);
    peer_send(p, &b);
    sl_buf_free(&b);
    struct mqtt_frame f = peer_next(p, MQTT_SUBACK);
    assert_int_equal(mqtt_decode_suback(&f, p->version, &ack, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(ack.codes.len, 1);
    return ack.codes.ptr[0];
}

static void expect_message(struct peer *p, const char *topic)
{
    struct mqtt_publish m = peer_next_publish(p);
    assert_true(sl_slice_eq(m.topic, sl_str(topic)));
}

/* ---- publish, subscribe ---- */

static void publish_is_checked(void **state)
{
    (void)state;
    struct rig r;
    struct peer reader, five, three;
    uint8_t reason;
    rig_open(&r, NULL);
    SET_LIST(&r, rights);
    online(&reader, &r, MQTT_V5, "reader", "reader");
    assert_int_equal(subscribe(&reader, "#", 0), 0);
    online(&five, &r, MQTT_V5, "sensor-5", "a");
    online(&three, &r, MQTT_V311, "sensor-3", "b");

    peer_publish(&five, "sensors/sensor-5/t", "1", 0, false, 0);
    expect_message(&reader, "sensors/sensor-5/t");
    peer_publish(&five, "sensors/sensor-3/t", "1", 0, false, 0);
    assert_true(peer_quiet(&five) && five.open && peer_quiet(&reader));
    assert_int_equal(denied(&r), 1);

    peer_publish(&five, "sensors/sensor-3/t", "1", 1, false, 1);
    assert_int_equal(peer_next_ack(&five, MQTT_PUBACK, &reason), 1);
    assert_int_equal(reason, MQTT_RC_NOT_AUTHORIZED);
    peer_publish(&five, "private/x", "1", 2, true, 2);
    assert_int_equal(peer_next_ack(&five, MQTT_PUBREC, &reason), 2);
    assert_int_equal(reason, MQTT_RC_NOT_AUTHORIZED);
    peer_publish(&five, "sensors/sensor-5/t", "1", 2, false, 2); /* the id is free again */
    assert_int_equal(peer_next_ack(&five, MQTT_PUBREC, &reason), 2);
    assert_int_equal(reason, MQTT_RC_SUCCESS);
    expect_message(&reader, "sensors/sensor-5/t");

    peer_publish(&three, "sensors/sensor-5/t", "1", 1, false, 3); /* told nothing, taken nothing */
    assert_int_equal(peer_next_ack(&three, MQTT_PUBACK, NULL), 3);
    peer_publish(&three, "sensors/sensor-5/t", "1", 2, false, 4);
    assert_int_equal(peer_next_ack(&three, MQTT_PUBREC, NULL), 4);
    peer_ack(&three, MQTT_PUBREL, 4, 0);
    assert_int_equal(peer_next_ack(&three, MQTT_PUBCOMP, NULL), 4);
    assert_true(three.open && peer_quiet(&reader));
    assert_int_equal(denied(&r), 5);
    assert_int_equal(r.broker->retained.count, 0);
    peer_drop(&reader);
    peer_drop(&five);
    peer_drop(&three);
    rig_close(&r);
}

static const struct sub_case {
    const char *name, *user, *filter;
    bool want;
} sub_cases[] = {
    { "own commands", "sensor-1", "cmd/sensor-1/#", true },
    { "another's commands", "sensor-1", "cmd/sensor-2/#", false },
    { "all commands", "sensor-1", "cmd/#", false },
    { "everything", "sensor-1", "#", false },
    { "everything, the reader", "reader", "#", true },
    { "$SYS, the reader", "reader", "$SYS/#", true },
    { "denied, the reader", "reader", "private/+", false },
    { "shared, allowed", "sensor-1", "$share/g/cmd/sensor-1/#", true },
    { "shared, not allowed", "sensor-1", "$share/g/cmd/#", false },
    { "shared as a name in a filter", "sensor-1", "$share/cmd/sensor-1/#", false },
    { "shared, denied", "reader", "$share/g/private/a", false },
    { "nameless, open", NULL, "open/+", true },
    { "nameless, not open", NULL, "cmd/x", false },
    { "writer reads nothing", "writer", "open/a", false },
};

static void subscribe_is_checked(void **state)
{
    const struct sub_case *c = *state;
    static const enum mqtt_version versions[] = { MQTT_V311, MQTT_V5 };
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    SET_LIST(&r, rights);
    for (size_t i = 0; i < SL_ARRAY_LEN(versions); i++) {
        bool five = versions[i] == MQTT_V5;
        online(&p, &r, versions[i], c->user, "c");
        assert_int_equal(subscribe(&p, c->filter, 1), c->want ? 1
                                                      : five  ? MQTT_RC_NOT_AUTHORIZED
                                                              : MQTT_RC_UNSPECIFIED);
        assert_int_equal(r.broker->subs.count, c->want);
        peer_drop(&p);
    }
    rig_close(&r);
}

/* ---- delivery ---- */

static void denied_topics_are_not_delivered(void **state)
{
    (void)state;
    struct rig r;
    struct peer reader, writer;
    rig_open(&r, NULL);
    peer_online(&writer, &r, MQTT_V5, "w"); /* from before the list */
    peer_publish(&writer, "private/kept", "1", 0, true, 0);
    peer_publish(&writer, "public/kept", "1", 0, true, 0);
    SET_LIST(&r, rights);
    online(&reader, &r, MQTT_V5, "reader", "reader");
    assert_int_equal(subscribe(&reader, "+/kept", 0), 0);
    expect_message(&reader, "public/kept");
    struct sl_msg_parts parts = { .topic = sl_str("private/kept"),
                                  .payload = sl_str("x"),
                                  .expiry_s = SL_MSG_NO_EXPIRY };
    struct sl_msg *m = sl_msg_new(&parts); /* the gateway's own may publish anything */
    assert_true(broker_publish(r.broker, m));
    sl_msg_unref(m);
    rig_turn(&r);
    assert_true(peer_quiet(&reader));
    peer_drop(&reader);
    peer_drop(&writer);
    rig_close(&r);
}

static void shared_subscriptions_pass_over_members_without_the_right(void **state)
{
    (void)state;
    const struct acl_entry_options list[] = {
        { .user = "half", .deny = LIST("job/secret") },
        { .user = "writer", .publish = LIST("#") },
        { .subscribe = LIST("job/#") },
    };
    struct rig r;
    struct peer half, whole, writer;
    rig_open(&r, NULL);
    SET_LIST(&r, list);
    online(&half, &r, MQTT_V5, "half", "half");
    online(&whole, &r, MQTT_V5, "whole", "whole");
    online(&writer, &r, MQTT_V5, "writer", "writer");
    assert_int_equal(subscribe(&half, "$share/g/job/#", 0), 0);
    assert_int_equal(subscribe(&whole, "$share/g/job/#", 0), 0);
    for (int i = 0; i < 4; i++)
        peer_publish(&writer, "job/secret", "x", 0, false, 0);
    assert_true(peer_quiet(&half));
    for (int i = 0; i < 4; i++)
        expect_message(&whole, "job/secret");
    for (int i = 0; i < 4; i++)
        peer_publish(&writer, "job/open", "x", 0, false, 0);
    expect_message(&half, "job/open");
    expect_message(&half, "job/open");
    peer_drop(&half);
    peer_drop(&whole);
    peer_drop(&writer);
    rig_close(&r);
}

/* ---- the list changes ---- */

static void reload_takes_effect_on_subscriptions(void **state)
{
    (void)state;
    struct rig r;
    struct peer reader, writer;
    rig_open(&r, NULL);
    SET_LIST(&r, rights);
    online(&reader, &r, MQTT_V5, "reader", "reader");
    online(&writer, &r, MQTT_V5, "writer", "writer");
    assert_int_equal(subscribe(&reader, "#", 0), 0);
    peer_publish(&writer, "sensors/a", "1", 0, false, 0);
    expect_message(&reader, "sensors/a");
    SET_LIST(&r, fewer);
    peer_publish(&writer, "sensors/a", "1", 0, false, 0);
    assert_true(peer_quiet(&reader));
    peer_publish(&writer, "private/a", "1", 0, false, 0); /* and what was denied is not any more */
    expect_message(&reader, "private/a");
    broker_set_acl(r.broker, NULL);
    peer_publish(&writer, "sensors/a", "1", 0, false, 0);
    expect_message(&reader, "sensors/a");
    peer_publish(&reader, "x", "1", 0, false, 0);
    expect_message(&reader, "x");
    SET_LIST(&r, rights);
    peer_publish(&reader, "x", "1", 0, false, 0);
    assert_true(peer_quiet(&reader));
    peer_drop(&reader);
    peer_drop(&writer);
    rig_close(&r);
}

static void reload_takes_effect_on_what_waits(void **state)
{
    (void)state;
    struct rig r;
    struct peer reader, writer;
    struct who w = { .user = "reader", .id = "reader", .resume = true };
    rig_open(&r, NULL);
    SET_LIST(&r, rights);
    assert_int_equal(log_in(&reader, &r, MQTT_V5, &w), 0);
    online(&writer, &r, MQTT_V5, "writer", "writer");
    assert_int_equal(subscribe(&reader, "#", 1), 1);
    peer_drop(&reader);
    peer_publish(&writer, "sensors/a", "1", 1, false, 1);
    peer_publish(&writer, "other/a", "1", 1, false, 2);
    SET_LIST(&r, fewer);
    peer_publish(&writer, "sensors/b", "1", 1, false, 3);
    assert_int_equal(log_in(&reader, &r, MQTT_V5, &w), 0);
    expect_message(&reader, "other/a");
    assert_true(peer_quiet(&reader));
    assert_int_equal(denied(&r), 1); /* the third never came so far */
    peer_drop(&reader);
    peer_drop(&writer);
    rig_close(&r);
}

/* As after a restart: the session is there, but nobody knows whose it was. */
static void session_from_before_the_list(void **state)
{
    (void)state;
    struct rig r;
    struct peer reader, writer;
    struct who w = { .user = "reader", .id = "reader", .resume = true };
    rig_open(&r, NULL);
    assert_int_equal(log_in(&reader, &r, MQTT_V311, &w), 0);
    assert_int_equal(subscribe(&reader, "#", 1), 1);
    peer_drop(&reader);
    SET_LIST(&r, rights);
    online(&writer, &r, MQTT_V5, "writer", "writer");
    peer_publish(&writer, "x/1", "1", 1, false, 1);
    set_list(&r, fewer, 0); /* nobody may do anything */
    set_list(&r, rights, 4);
    struct sl_msg_parts parts = {
        .topic = sl_str("private/a"), .payload = sl_str("x"), .qos = 1, .expiry_s = SL_MSG_NO_EXPIRY
    };
    struct sl_msg *m = sl_msg_new(&parts);
    assert_true(broker_publish(r.broker, m));
    rig_turn(&r);
    assert_int_equal(log_in(&reader, &r, MQTT_V311, &w), 0);
    expect_message(&reader, "x/1");
    assert_true(broker_publish(r.broker, m));
    rig_turn(&r);
    sl_msg_unref(m);
    assert_true(peer_quiet(&reader));
    assert_int_equal(denied(&r), 1);
    peer_drop(&reader);
    peer_drop(&writer);
    rig_close(&r);
}

static void session_is_not_handed_to_another_user(void **state)
{
    (void)state;
    struct rig r;
    struct peer reader, writer, thief;
    struct who w = { .user = "reader", .id = "id", .resume = true };
    struct who t = { .user = "sensor-1", .id = "id", .resume = true };
    rig_open(&r, NULL);
    SET_LIST(&r, rights);
    assert_int_equal(log_in(&reader, &r, MQTT_V5, &w), 0);
    online(&writer, &r, MQTT_V5, "writer", "writer");
    assert_int_equal(subscribe(&reader, "#", 1), 1);
    peer_drop(&reader);
    peer_publish(&writer, "for/reader", "1", 1, false, 1);
    assert_int_equal(log_in(&thief, &r, MQTT_V5, &t), 0);
    assert_true(peer_quiet(&thief));
    assert_int_equal(r.broker->subs.count, 0);
    peer_drop(&thief);
    peer_drop(&writer);
    rig_close(&r);
}

/* ---- wills ---- */

static void will_is_checked_at_connect(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, before;
    struct who bad = { .user = "sensor-1", .id = "a", .will = "sensors/sensor-2/will" };
    struct who good = { .user = "sensor-1", .id = "a", .will = "sensors/sensor-1/will" };
    rig_open(&r, NULL);
    SET_LIST(&r, rights);
    assert_int_equal(log_in(&before, &r, MQTT_V5, &good), 0);
    assert_int_equal(log_in(&p, &r, MQTT_V5, &bad), MQTT_RC_NOT_AUTHORIZED);
    assert_true(!p.open && before.open); /* nobody was taken over */
    assert_int_equal(log_in(&p, &r, MQTT_V311, &bad), 5);
    assert_int_equal(refused(&r, BROKER_REFUSED_ACCESS), 2);
    peer_drop(&before);
    rig_close(&r);
}

static void will_is_checked_when_it_is_sent(void **state)
{
    (void)state;
    struct rig r;
    struct peer reader, one, two;
    struct who w1 = { .user = "sensor-1", .id = "1", .will = "sensors/sensor-1/will" };
    struct who w2 = { .user = "sensor-2", .id = "2", .will = "sensors/sensor-2/will" };
    const struct acl_entry_options later[] = {
        { .user = "sensor-1", .publish = LIST("#") },
        { .user = "reader", .subscribe = LIST("#") },
    };
    rig_open(&r, NULL);
    SET_LIST(&r, rights);
    online(&reader, &r, MQTT_V5, "reader", "reader");
    assert_int_equal(subscribe(&reader, "#", 0), 0);
    assert_int_equal(log_in(&one, &r, MQTT_V5, &w1), 0);
    assert_int_equal(log_in(&two, &r, MQTT_V5, &w2), 0);
    SET_LIST(&r, later);
    peer_drop(&two);
    peer_drop(&one);
    expect_message(&reader, "sensors/sensor-1/will");
    assert_true(peer_quiet(&reader));
    assert_int_equal(denied(&r), 1);
    peer_drop(&reader);
    rig_close(&r);
}

/* ---- who has no name ---- */

static void unchecked_name_is_none(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    r.nameless = true;
    SET_LIST(&r, rights);
    online(&p, &r, MQTT_V5, "reader", "c");
    assert_int_equal(subscribe(&p, "#", 0), MQTT_RC_NOT_AUTHORIZED);
    assert_int_equal(subscribe(&p, "open/#", 0), 0);
    peer_drop(&p);
    rig_close(&r);
}

static uint8_t only_checked(void *ctx, const struct broker_login *login)
{
    ++*(unsigned *)ctx;
    if (!login->username.ptr)
        return MQTT_RC_NOT_AUTHORIZED;
    return login->checked && sl_slice_eq(login->username, sl_str("reader"))
               ? 0
               : MQTT_RC_ADMINISTRATIVE;
}

static void clients_are_sent_away(void **state)
{
    (void)state;
    struct rig r;
    struct peer stays, nameless, unchecked, old, fresh;
    unsigned asked = 0;
    rig_open(&r, NULL);
    online(&stays, &r, MQTT_V5, "reader", "a");
    online(&nameless, &r, MQTT_V5, NULL, "b");
    online(&old, &r, MQTT_V311, "writer", "c");
    r.nameless = true;
    online(&unchecked, &r, MQTT_V5, "reader", "d");
    peer_open(&fresh, &r, MQTT_V5); /* its CONNECT is asked about when it comes */
    broker_end_clients(r.broker, only_checked, &asked);
    rig_turn(&r);
    assert_int_equal(asked, 4);
    peer_expect_disconnect(&nameless, MQTT_RC_NOT_AUTHORIZED);
    peer_expect_disconnect(&unchecked, MQTT_RC_ADMINISTRATIVE);
    assert_true(!old.open && stays.open && fresh.open && peer_quiet(&stays) && peer_quiet(&old));
    sl_buf_free(&old.received);
    peer_drop(&stays);
    peer_drop(&fresh);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(publish_is_checked),
        cmocka_unit_test(denied_topics_are_not_delivered),
        cmocka_unit_test(shared_subscriptions_pass_over_members_without_the_right),
        cmocka_unit_test(reload_takes_effect_on_subscriptions),
        cmocka_unit_test(reload_takes_effect_on_what_waits),
        cmocka_unit_test(session_from_before_the_list),
        cmocka_unit_test(session_is_not_handed_to_another_user),
        cmocka_unit_test(will_is_checked_at_connect),
        cmocka_unit_test(will_is_checked_when_it_is_sent),
        cmocka_unit_test(unchecked_name_is_none),
        cmocka_unit_test(clients_are_sent_away),
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(sub_cases) + SL_ARRAY_LEN(others)];
    size_t n = 0;
    n += ROWS_OF(tests + n, sub_cases, subscribe_is_checked);
    for (size_t i = 0; i < SL_ARRAY_LEN(others); i++)
        tests[n++] = others[i];
    return _cmocka_run_group_tests("access", tests, n, NULL, NULL);
}
