/* test_share.c - shared subscriptions: what is one, who gets a message, and what happens to
 * messages of members that go. Without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"
#include "share.h"

#include "rows.h"

/* ---- the text of a subscription ---- */

static const struct split_case {
    const char *text;
    bool valid;
    const char *share, *filter;
} split_cases[] = {
    { "$share/g/a/b", true, "g", "a/b" },
    { "$share/g/#", true, "g", "#" },
    { "$share/g//", true, "g", "/" },
    { "$share/g//a", true, "g", "/a" },
    { "$share/g/$share/h/a", true, "g", "$share/h/a" },
    { "$share", true, "", "$share" },
    { "$shared/g/a", true, "", "$shared/g/a" },
    { "a/$share/g/a", true, "", "a/$share/g/a" },
    { "$share/", false, NULL, NULL },
    { "$share/g", false, NULL, NULL },
    { "$share/g/", false, NULL, NULL },
    { "$share//a", false, NULL, NULL },
    { "$share/g+/a", false, NULL, NULL },
    { "$share/+/a", false, NULL, NULL },
    { "$share/#/a", false, NULL, NULL },
    { "$share/g#", false, NULL, NULL },
};

static void splits(void **state)
{
    const struct split_case *c = *state;
    struct share_text t;
    assert_int_equal(share_split(sl_str(c->text), &t), c->valid);
    if (!c->valid)
        return;
    assert_true(sl_slice_eq(t.name, sl_str(c->share)));
    assert_true(sl_slice_eq(t.filter, sl_str(c->filter)));
}

/* ---- subscribing ---- */

static uint8_t subscribe(struct peer *p, const char *filter, uint8_t qos, uint32_t id)
{
    struct sl_buf b = { 0 };
    struct mqtt_suback a;
    struct mqtt_sub_entry e = { .filter = sl_str(filter), .qos = qos };
    struct mqtt_props props = { 0 };
    if (id > 0) {
        mqtt_set(&props, MQTT_P_SUBSCRIPTION_ID);
        props.subscription_id = id;
    }
    mqtt_encode_subscribe(&b, p->version, 7, &props, &e, 1);
    peer_send(p, &b);
    sl_buf_free(&b);
    struct mqtt_frame f = peer_next(p, MQTT_SUBACK);
    assert_int_equal(mqtt_decode_suback(&f, p->version, &a, NULL), MQTT_RC_SUCCESS);
    return a.codes.ptr[0];
}

static uint8_t unsubscribe(struct peer *p, const char *filter)
{
    struct sl_buf b = { 0 };
    struct mqtt_suback a;
    struct sl_slice one = sl_str(filter);
    mqtt_encode_unsubscribe(&b, p->version, 8, NULL, &one, 1);
    peer_send(p, &b);
    sl_buf_free(&b);
    struct mqtt_frame f = peer_next(p, MQTT_UNSUBACK);
    assert_int_equal(mqtt_decode_unsuback(&f, p->version, &a, NULL), MQTT_RC_SUCCESS);
    return a.codes.len > 0 ? a.codes.ptr[0] : 0;
}

/* How many it was sent at QoS 0; reads them. */
static unsigned count_publishes(struct peer *p)
{
    unsigned n = 0;
    while (!peer_quiet(p)) {
        (void)peer_next_publish(p);
        n++;
    }
    return n;
}

static void online_durable(struct peer *p, struct rig *r, const char *id)
{
    peer_open(p, r, MQTT_V5);
    peer_connect(p, id, false, 500);
    (void)peer_next(p, MQTT_CONNACK);
}

/* A publisher, and two that may become members of the share "g" of "t". */
struct scene {
    struct rig r;
    struct peer from, first, second;
};

static void scene_open(struct scene *s, enum mqtt_version from)
{
    *s = (struct scene){ 0 };
    rig_open(&s->r, NULL); /* four in flight */
    peer_online(&s->from, &s->r, from, "from");
}

/* Whoever is still there goes first. */
static void scene_close(struct scene *s)
{
    struct peer *const peers[] = { &s->first, &s->second, &s->from };
    for (size_t i = 0; i < SL_ARRAY_LEN(peers); i++)
        if (peers[i]->open)
            peer_drop(peers[i]);
    rig_close(&s->r);
}

static void join(struct scene *s, struct peer *p, uint8_t qos)
{
    peer_online(p, &s->r, MQTT_V5, p == &s->first ? "first" : "second");
    assert_int_equal(subscribe(p, "$share/g/t", qos, 0), qos);
}

/* With a session that is kept for 500 s. */
static void join_durable(struct scene *s, struct peer *p, uint8_t qos)
{
    online_durable(p, &s->r, p == &s->first ? "first" : "second");
    assert_int_equal(subscribe(p, "$share/g/t", qos, 0), qos);
}

static void connack_says_available(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct mqtt_connack a;
    rig_open(&r, NULL);
    peer_open(&p, &r, MQTT_V5);
    peer_connect(&p, "p", true, 0);
    struct mqtt_frame f = peer_next(&p, MQTT_CONNACK);
    assert_int_equal(mqtt_decode_connack(&f, MQTT_V5, &a, NULL), MQTT_RC_SUCCESS);
    assert_true(!mqtt_has(&a.props, MQTT_P_SHARED_SUBS_AVAILABLE) || a.props.shared_subs_available);
    peer_drop(&p);
    rig_close(&r);
}

/* [MQTT-4.8.2-1, 4.8.2-2]; what is refused leaves nothing behind. */
static void what_is_no_share_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = { "$share/",     "$share/g",    "$share//a",
                                         "$share/g/",   "$share/+/a",  "$share/a#/a",
                                         "$share/g/a#", "$share/g/+a", "$share/g/#/a" };
    struct rig r;
    struct peer p, old;
    rig_open(&r, NULL);
    peer_online(&p, &r, MQTT_V5, "p");
    peer_online(&old, &r, MQTT_V311, "old");
    for (size_t i = 0; i < SL_ARRAY_LEN(wrong); i++) {
        assert_int_equal(subscribe(&p, wrong[i], 0, 0), MQTT_RC_TOPIC_FILTER_INVALID);
        assert_int_equal(subscribe(&old, wrong[i], 0, 0), 0x80);
    }
    assert_int_equal(r.broker->subs.count, 0);
    assert_int_equal(r.broker->subs.groups.count, 0);
    peer_drop(&p);
    peer_drop(&old);
    rig_close(&r);
}

static void no_local_is_a_protocol_error(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str("$share/g/a"), .no_local = true };
    rig_open(&r, NULL);
    peer_online(&p, &r, MQTT_V5, "p");
    mqtt_encode_subscribe(&b, MQTT_V5, 1, NULL, &e, 1);
    peer_send(&p, &b);
    sl_buf_free(&b);
    peer_expect_disconnect(&p, MQTT_RC_PROTOCOL_ERROR); /* [MQTT-3.8.3-4] */
    rig_close(&r);
}

static void no_retained_message_at_subscribe(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    peer_online(&p, &r, MQTT_V5, "p");
    peer_publish(&p, "a", "kept", 0, true, 0);
    assert_int_equal(subscribe(&p, "$share/g/a", 0, 0), 0);
    assert_true(peer_quiet(&p));
    assert_int_equal(subscribe(&p, "a", 0, 0), 0);
    assert_int_equal(count_publishes(&p), 1);
    peer_drop(&p);
    rig_close(&r);
}

/* ---- who gets it ---- */

static void each_message_goes_to_one_member_in_turn(void **state)
{
    (void)state;
    struct rig r;
    struct peer p[3], from, other, plain;
    rig_open(&r, NULL);
    peer_online(&from, &r, MQTT_V311, "from");
    for (int i = 0; i < 3; i++) {
        char id[] = { 'm', (char)('0' + i), 0 };
        peer_online(&p[i], &r, i == 2 ? MQTT_V311 : MQTT_V5, id);
        assert_int_equal(subscribe(&p[i], "$share/g/t/+", 0, 0), 0);
    }
    peer_online(&other, &r, MQTT_V5, "other");
    assert_int_equal(subscribe(&other, "$share/h/t/+", 0, 0), 0); /* a group of its own */
    peer_online(&plain, &r, MQTT_V5, "plain");
    assert_int_equal(subscribe(&plain, "t/#", 0, 0), 0);
    for (int i = 0; i < 30; i++)
        peer_publish(&from, i % 2 ? "t/1" : "t/2", "x", 0, false, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(count_publishes(&p[i]), 10);
    assert_int_equal(count_publishes(&other), 30);
    assert_int_equal(count_publishes(&plain), 30);
    /* One goes, one unsubscribes: the rest is for who is left, and then for nobody. */
    peer_drop(&p[0]);
    for (int i = 0; i < 10; i++)
        peer_publish(&from, "t/1", "x", 0, false, 0);
    assert_int_equal(count_publishes(&p[1]), 5);
    assert_int_equal(count_publishes(&p[2]), 5);
    assert_int_equal(unsubscribe(&p[1], "$share/g/t/+"), MQTT_RC_SUCCESS);
    assert_int_equal(unsubscribe(&p[1], "$share/g/t/+"), MQTT_RC_NO_SUBSCRIPTION_EXISTED);
    assert_int_equal(unsubscribe(&p[1], "t/+"), MQTT_RC_NO_SUBSCRIPTION_EXISTED);
    peer_publish(&from, "t/1", "x", 0, false, 0);
    assert_int_equal(count_publishes(&p[1]), 0);
    assert_int_equal(count_publishes(&p[2]), 1);
    (void)unsubscribe(&p[2], "$share/g/t/+");
    peer_publish(&from, "t/1", "x", 0, false, 0);
    assert_int_equal(count_publishes(&p[2]), 0);
    assert_int_equal(r.broker->subs.groups.count, 1);
    peer_drop(&p[1]);
    peer_drop(&p[2]);
    peer_drop(&other);
    peer_drop(&plain);
    assert_int_equal(r.broker->subs.groups.count, 0);
    assert_int_equal(r.broker->subs.trie.nodes, 0);
    peer_drop(&from);
    rig_close(&r);
}

/* A client may be a member and a subscriber of its own, and a member of two groups: a copy each. */
static void a_share_does_not_join_with_other_subscriptions(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL);
    peer_online(&p, &r, MQTT_V5, "p");
    assert_int_equal(subscribe(&p, "t", 0, 1), 0);
    assert_int_equal(subscribe(&p, "$share/g/t", 0, 2), 0);
    assert_int_equal(subscribe(&p, "$share/h/t", 0, 3), 0);
    assert_int_equal(p.client.session->sub_count, 3);
    peer_publish(&p, "t", "x", 0, false, 0);
    unsigned seen = 0;
    for (int i = 0; i < 3; i++) {
        struct mqtt_publish m = peer_next_publish(&p);
        assert_int_equal(m.props.raw.len, 2); /* one identifier */
        seen |= 1u << m.props.raw.ptr[1];
    }
    assert_int_equal(seen, 1u << 1 | 1u << 2 | 1u << 3);
    assert_true(peer_quiet(&p));
    assert_int_equal(subscribe(&p, "$share/g/t", 0, 9), 0); /* replaced */
    assert_int_equal(p.client.session->sub_count, 3);
    (void)unsubscribe(&p, "t");
    (void)unsubscribe(&p, "$share/h/t");
    peer_publish(&p, "t", "x", 0, false, 0);
    assert_int_equal(peer_next_publish(&p).props.raw.ptr[1], 9);
    peer_drop(&p);
    rig_close(&r);
}

/* The minimum of what was published and what was granted [MQTT-4.8.2-3]. */
static void qos_is_the_granted_one(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, MQTT_V311);
    join(&s, &s.first, 1);
    for (uint8_t qos = 0; qos < 3; qos++) {
        peer_publish(&s.from, "t", "x", qos, false, 5);
        assert_int_equal(peer_next_publish(&s.first).qos, qos < 1 ? qos : 1);
    }
    scene_close(&s);
}

static void members_with_room_come_first(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, MQTT_V311);
    join(&s, &s.first, 1);  /* busy */
    join(&s, &s.second, 1); /* idle */
    for (uint16_t i = 1; i <= 30; i++) {
        peer_publish(&s.from, "t", "x", 1, false, i);
        if (!peer_quiet(&s.second)) /* one of them answers */
            peer_ack(&s.second, MQTT_PUBACK, peer_next_publish(&s.second).packet_id, 0);
    }
    assert_int_equal(count_publishes(&s.first), 4);
    assert_int_equal(s.first.client.session->queue.count, 0);
    assert_true(peer_quiet(&s.second));
    /* The same for QoS 0: who does not read is passed over. */
    s.first.stuck = true;
    char big[4000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    for (int i = 0; i < 200; i++)
        peer_publish(&s.from, "t", big, 0, false, 0);
    assert_in_range(count_publishes(&s.second), 160, 180);
    struct broker_stats stats;
    broker_get_stats(s.r.broker, &stats);
    assert_int_equal(stats.dropped[BROKER_DROP_SLOW_READER], 0);
    s.first.stuck = false;
    scene_close(&s);
}

static void who_is_away_comes_last(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, MQTT_V311);
    join_durable(&s, &s.first, 1);
    join(&s, &s.second, 1);
    peer_drop(&s.first);
    for (uint16_t i = 1; i <= 12; i++) /* more than its window: the rest waits with it */
        peer_publish(&s.from, "t", "x", 1, false, i);
    assert_int_equal(count_publishes(&s.second), 4);
    assert_int_equal(s.second.client.session->queue.count, 8);
    assert_int_equal(s.r.broker->stats.queued, 8);
    peer_drop(
        &s.second); /* its session ends: all twelve are for the one who is away; ten find room */
    assert_int_equal(s.r.broker->stats.queued, 10);
    assert_int_equal(s.r.broker->stats.dropped[BROKER_DROP_QUEUE_FULL], 2);
    peer_publish(&s.from, "t", "x", 0, false, 0); /* kept for nobody */
    online_durable(&s.first, &s.r, "first");
    assert_int_equal(count_publishes(&s.first), 4);
    scene_close(&s);
}

/* ---- members that go ---- */

/* QoS 1 without an acknowledgement and what is not begun goes to another member when the session
 * ends; not before. */
static void unacknowledged_messages_find_another_member(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, MQTT_V311);
    join_durable(&s, &s.first, 1);
    (void)subscribe(&s.first, "mine", 1, 0);
    for (uint16_t i = 1; i <= 3; i++)
        peer_publish(&s.from, "t", "x", 1, false, i);
    peer_publish(&s.from, "mine", "x", 1, false, 4);
    peer_publish(&s.from, "t", "waits", 1, false, 5);
    peer_ack(&s.first, MQTT_PUBACK, peer_next_publish(&s.first).packet_id, 0);
    join(&s, &s.second, 1);
    peer_drop(&s.first);
    rig_seconds(&s.r, 499);
    assert_true(peer_quiet(&s.second));
    rig_seconds(&s.r, 2);
    assert_int_equal(s.r.broker->sessions.count, 2);
    assert_int_equal(count_publishes(&s.second), 3); /* two in flight and one that waited */
    scene_close(&s);
}

/* [MQTT-4.8.2-4] completed with the session, [MQTT-4.8.2-5] never begun with another. */
static void qos2_stays_with_its_session(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, MQTT_V5);
    join_durable(&s, &s.first, 2);
    peer_publish(&s.from, "t", "recorded", 2, false, 1);
    peer_publish(&s.from, "t", "sent", 2, false, 2);
    uint16_t recorded = peer_next_publish(&s.first).packet_id;
    uint16_t sent = peer_next_publish(&s.first).packet_id;
    peer_ack(&s.first, MQTT_PUBREC, recorded, 0);
    (void)peer_next_ack(&s.first, MQTT_PUBREL, NULL);
    join(&s, &s.second, 2);
    peer_drop(&s.first);
    online_durable(&s.first, &s.r, "first");
    assert_int_equal(peer_next_ack(&s.first, MQTT_PUBREL, NULL), recorded);
    struct mqtt_publish again = peer_next_publish(&s.first);
    assert_int_equal(again.packet_id, sent);
    assert_true(again.dup);
    peer_drop(&s.first);
    rig_seconds(&s.r, 501);
    assert_int_equal(s.r.broker->sessions.count, 2);
    assert_true(peer_quiet(&s.second));
    scene_close(&s);
}

/* [MQTT-4.8.2-6]: a refusal is the end of it. */
static void refused_messages_are_not_tried_elsewhere(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, MQTT_V5);
    join(&s, &s.first, 2);
    peer_publish(&s.from, "t", "x", 1, false, 1);
    peer_publish(&s.from, "t", "x", 2, false, 2);
    join(&s, &s.second, 2);
    peer_ack(&s.first, MQTT_PUBACK, peer_next_publish(&s.first).packet_id, MQTT_RC_QUOTA_EXCEEDED);
    peer_ack(&s.first, MQTT_PUBREC, peer_next_publish(&s.first).packet_id, MQTT_RC_QUOTA_EXCEEDED);
    assert_int_equal(s.first.client.session->window_open, 0);
    peer_drop(&s.first);
    assert_true(peer_quiet(&s.second));
    scene_close(&s);
}

/* The last members all go in the middle of routing: the group outlives the route, not the turn. */
static void a_group_may_end_while_it_is_served(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, MQTT_V311);
    join(&s, &s.first, 1);
    peer_publish(&s.from, "t", "x", 1, false, 1);
    assert_int_equal(count_publishes(&s.first), 1);
    peer_drop(&s.first); /* what it had finds nobody */
    assert_int_equal(s.r.broker->subs.groups.count, 0);
    assert_null(s.r.broker->subs.ended_groups);
    peer_publish(&s.from, "t", "x", 1, false, 2);
    scene_close(&s);
}

/* ---- the cache of answers ---- */

/* Members come and go, and others subscribe elsewhere: the answer stays. */
static void answers_outlive_changes_that_do_not_touch_them(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, MQTT_V311);
    join(&s, &s.first, 0);
    peer_online(&s.second, &s.r, MQTT_V5, "second");
    peer_publish(&s.from, "t", "x", 0, false, 0);
    const struct topic_entry *e = subs_lookup(&s.r.broker->subs, sl_str("t"));
    uint64_t pass = s.r.broker->subs.pass;
    (void)subscribe(&s.second, "$share/g/t", 0, 0);
    (void)subscribe(&s.second, "other/#", 0, 0);
    (void)unsubscribe(&s.second, "other/#");
    assert_ptr_equal(subs_lookup(&s.r.broker->subs, sl_str("t")), e);
    assert_int_equal(s.r.broker->subs.pass, pass); /* not made again */
    for (int i = 0; i < 4; i++)
        peer_publish(&s.from, "t", "x", 0, false, 0);
    assert_int_equal(count_publishes(&s.first), 3);
    assert_int_equal(count_publishes(&s.second), 2);
    (void)subscribe(&s.second, "+", 0, 0);
    (void)subs_lookup(&s.r.broker->subs, sl_str("t"));
    assert_int_equal(s.r.broker->subs.pass, pass + 1);
    for (int i = 0; i < SUBS_CHANGES + 1; i++) { /* more than are remembered */
        (void)subscribe(&s.second, "other/#", (uint8_t)(i % 2), 0);
    }
    (void)subs_lookup(&s.r.broker->subs, sl_str("t"));
    assert_int_equal(s.r.broker->subs.pass, pass + 2);
    char filter[SUBS_CHANGE_BYTES + 2];
    memset(filter, 'f', sizeof filter);
    filter[sizeof filter - 1] = '\0'; /* longer than is remembered */
    (void)subscribe(&s.second, filter, 0, 0);
    (void)subs_lookup(&s.r.broker->subs, sl_str("t"));
    assert_int_equal(s.r.broker->subs.pass, pass + 3);
    scene_close(&s);
}

int main(void)
{
    struct CMUnitTest tests[64];
    size_t n = 0;
    n += ROWS_OF(tests + n, split_cases, splits);
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(connack_says_available),
        cmocka_unit_test(what_is_no_share_is_refused),
        cmocka_unit_test(no_local_is_a_protocol_error),
        cmocka_unit_test(no_retained_message_at_subscribe),
        cmocka_unit_test(each_message_goes_to_one_member_in_turn),
        cmocka_unit_test(a_share_does_not_join_with_other_subscriptions),
        cmocka_unit_test(qos_is_the_granted_one),
        cmocka_unit_test(members_with_room_come_first),
        cmocka_unit_test(who_is_away_comes_last),
        cmocka_unit_test(unacknowledged_messages_find_another_member),
        cmocka_unit_test(qos2_stays_with_its_session),
        cmocka_unit_test(refused_messages_are_not_tried_elsewhere),
        cmocka_unit_test(a_group_may_end_while_it_is_served),
        cmocka_unit_test(answers_outlive_changes_that_do_not_touch_them),
    };
    memcpy(tests + n, plain, sizeof plain);
    n += SL_ARRAY_LEN(plain);
    return _cmocka_run_group_tests("share", tests, n, NULL, NULL);
}
