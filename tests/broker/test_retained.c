/* test_retained.c - retained messages on their way to new subscriptions, and the walk over the tree
 * that brings them. Without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owed.h"
#include "peer.h"

#include "base/topic.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the walk ---- */

static const char *const topics[] = { "a",  "a/b",   "a/b/c", "a/c",  "b",   "b/a",    "/",
                                      "/a", "a//b",  "$s",    "$s/a", "a/$", "a/b/d",  "c/b/c",
                                      "a/", "x/y/z", "x/y",   "//",   "c/b", "c/d/e/f" };
static const char *const walk_filters[] = { "a",   "a/b", "#",     "+",     "+/#",  "a/#",  "a/+",
                                            "+/b", "/+",  "+/+/c", "a/+/c", "$s/#", "$s/+", "+/+",
                                            "/#",  "//",  "nope",  "a/+/#", "x/y/#" };

static void values(struct trie *t, bool present[SL_ARRAY_LEN(topics)], size_t i, bool on)
{
    struct trie_node *n = trie_make(t, sl_str(topics[i]));
    assert_non_null(n);
    n->value = on ? (void *)topics[i] : NULL;
    present[i] = on;
    if (!on)
        trie_prune(t, n);
}

static size_t index_of(const struct trie_node *n)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
        if (n->value == topics[i])
            return i;
    return SL_ARRAY_LEN(topics);
}

/* Every filter, against the answer of sl_topic_match(). */
static void walks_what_the_filter_fits(void **state)
{
    const char *filter = *state;
    struct trie t = { 0 };
    struct trie_cursor c;
    bool present[SL_ARRAY_LEN(topics)];
    int seen[SL_ARRAY_LEN(topics)] = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
        values(&t, present, i, true);
    for (trie_cursor_begin(&c, &t, sl_str(filter)); c.at; trie_cursor_step(&c))
        if (c.at->value && trie_cursor_fits(&c))
            seen[index_of(c.at)]++;
    for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
        assert_int_equal(seen[i], sl_topic_match(sl_str(filter), sl_str(topics[i])));
    for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
        values(&t, present, i, false);
    assert_int_equal(t.nodes, 0);
    trie_cursor_begin(&c, &t, sl_str(filter)); /* over nothing */
    assert_null(c.at);
    trie_cursor_end(&c);
}

/* Topics come and go at random under three cursors: what stays is passed once. */
static void walks_while_the_tree_changes(void **state)
{
    const char *filter = *state;
    srand(7);
    for (int round = 0; round < 300; round++) {
        struct trie t = { 0 };
        struct trie_cursor c[3];
        bool present[SL_ARRAY_LEN(topics)] = { 0 }, stays[SL_ARRAY_LEN(topics)];
        int seen[3][SL_ARRAY_LEN(topics)] = { 0 };
        for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
            if (rand() % 3)
                values(&t, present, i, true);
        memcpy(stays, present, sizeof stays);
        for (size_t k = 0; k < 3; k++)
            trie_cursor_begin(&c[k], &t, sl_str(filter));
        while (c[0].at || c[1].at || c[2].at) {
            size_t k = (size_t)rand() % 3, i = (size_t)rand() % SL_ARRAY_LEN(topics);
            if (c[k].at && c[k].at->value && trie_cursor_fits(&c[k]))
                seen[k][index_of(c[k].at)]++;
            if (c[k].at)
                trie_cursor_step(&c[k]);
            if (rand() % 2) {
                values(&t, present, i, !present[i]);
                stays[i] = false;
            }
        }
        for (size_t k = 0; k < 3; k++)
            for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
                if (stays[i])
                    assert_int_equal(seen[k][i], sl_topic_match(sl_str(filter), sl_str(topics[i])));
        for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
            values(&t, present, i, false);
        assert_int_equal(t.nodes, 0);
    }
}

/* ---- sending ---- */

enum { MANY = 5000 };

static void room_for_many(struct broker_options *o)
{
    o->max_retained_bytes = 64 * 1024 * 1024;
    o->topic_alias_max = 0;
}

static void keep_many(struct peer *from, int count)
{
    struct sl_buf b = { 0 };
    for (int i = 0; i < count; i++) {
        char topic[32];
        (void)snprintf(topic, sizeof topic, "s/%d/v", i);
        struct mqtt_publish m = { .retain = true,
                                  .topic = sl_str(topic),
                                  .payload = sl_str("a value as long as many"),
                                  .qos = 2,
                                  .packet_id = 1 };
        mqtt_encode_publish(&b, from->version, &m);
        peer_send(from, &b);
        sl_buf_reset(&b);
        (void)peer_next_ack(from, MQTT_PUBREC, NULL);
        peer_ack(from, MQTT_PUBREL, 1, 0);
        (void)peer_next_ack(from, MQTT_PUBCOMP, NULL);
    }
    sl_buf_free(&b);
}

/* Reads on and answers until nothing comes; returns how many messages came. */
static int read_on(struct peer *p)
{
    int count = 0;
    for (int quiet = 0; quiet < 3; quiet++) {
        rig_turn(p->rig);
        if (!peer_quiet(p))
            quiet = 0;
        while (!peer_quiet(p)) {
            struct mqtt_publish m = peer_next_publish(p);
            uint16_t id = m.packet_id;
            assert_true(m.retain);
            count++;
            if (m.qos == 1)
                peer_ack(p, MQTT_PUBACK, id, 0);
            if (m.qos == 2) {
                struct sl_buf kept = p->received; /* others came meanwhile */
                p->received = (struct sl_buf){ 0 };
                peer_ack(p, MQTT_PUBREC, id, 0);
                assert_int_equal(peer_next_ack(p, MQTT_PUBREL, NULL), id);
                peer_ack(p, MQTT_PUBCOMP, id, 0);
                sl_buf_put_slice(&kept, sl_buf_slice(&p->received));
                sl_buf_free(&p->received);
                p->received = kept;
            }
        }
    }
    return count;
}

static uint64_t all_drops(struct rig *r)
{
    uint64_t n = 0;
    struct broker_stats s;
    broker_get_stats(r->broker, &s);
    for (int i = 0; i < BROKER_DROPS; i++)
        n += s.dropped[i];
    return n;
}

/* Far more than queue (10) and window (4) hold. */
static void all_of_them_arrive(void **state)
{
    uint8_t qos = (uint8_t)(uintptr_t)*state;
    struct rig r;
    struct peer p, from;
    rig_open(&r, room_for_many);
    peer_online(&from, &r, MQTT_V5, "from");
    keep_many(&from, MANY);
    peer_online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "s/+/v", qos);
    assert_true(r.broker->stats.queued == 0);
    assert_int_equal(read_on(&p), MANY);
    assert_null(p.client.session->owed);
    assert_int_equal(all_drops(&r), 0);
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

/* One turn is for all: a subscriber gets a part, and the loop is asked to come again. */
static void a_turn_has_an_end(void **state)
{
    (void)state;
    struct rig r;
    struct peer p[12], from;
    rig_open(&r, room_for_many);
    peer_online(&from, &r, MQTT_V5, "from");
    keep_many(&from, MANY);
    for (int i = 0; i < 12; i++) {
        char id[] = { 'p', (char)('a' + i), 0 };
        peer_online(&p[i], &r, MQTT_V311, id);
        peer_subscribe(&p[i], "#", 0);
        assert_true(p[i].received.len < 1100 * 45);
        assert_true(uv_is_active((uv_handle_t *)&r.broker->again));
    }
    uint64_t before = r.broker->stats.publish_out;
    rig_turn(&r);
    assert_in_range(r.broker->stats.publish_out - before, 1, OWED_STEPS_TURN);
    peer_drop(&p[3]); /* from the middle of those that wait */
    for (int i = 0; i < 40; i++)
        rig_turn(&r);
    assert_false(uv_is_active((uv_handle_t *)&r.broker->again));
    for (int i = 0; i < 12; i++) {
        if (i == 3)
            continue;
        assert_int_equal(read_on(&p[i]), MANY);
        peer_drop(&p[i]);
    }
    peer_drop(&from);
    rig_close(&r);
}

static void a_slow_reader_gets_them_when_it_reads(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    rig_open(&r, room_for_many);
    peer_online(&from, &r, MQTT_V5, "from");
    keep_many(&from, MANY);
    peer_online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "nothing", 0);
    p.stuck = true;
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str("#") };
    mqtt_encode_subscribe(&b, MQTT_V311, 5, NULL, &e, 1);
    peer_send(&p, &b);
    sl_buf_free(&b);
    for (int i = 0; i < 50; i++)
        rig_turn(&r);
    assert_in_range(outq_left(&p.client.out), 99000, 101000);    /* max_queued_bytes */
    assert_false(uv_is_active((uv_handle_t *)&r.broker->again)); /* it waits for the reader */
    p.stuck = false;
    broker_mark_dirty(r.broker, &p.client);
    rig_turn(&r);
    (void)peer_next(&p, MQTT_SUBACK);
    assert_int_equal(read_on(&p), MANY);
    assert_int_equal(all_drops(&r), 0);
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

/* What changes under way: removed ones are not sent, replaced ones come once, as they are
 * published; new ones, too. */
static void what_changes_under_way_comes_once(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    rig_open(&r, room_for_many);
    peer_online(&from, &r, MQTT_V5, "from");
    keep_many(&from, 100);
    peer_online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "s/#", 1); /* four are on their way */
    for (int i = 50; i < 60; i++) {
        char topic[32];
        (void)snprintf(topic, sizeof topic, "s/%d/v", i);
        peer_publish(&from, topic, "", 0, true, 0); /* p is told at QoS 0 */
        (void)snprintf(topic, sizeof topic, "s/%d/v", i + 20);
        peer_publish(&from, topic, "other", 0, true, 0);
        (void)snprintf(topic, sizeof topic, "s/new/%d", i);
        peer_publish(&from, topic, "new", 0, true, 0);
    }
    int live = 0, kept = 0;
    for (int quiet = 0; quiet < 3; quiet++) {
        rig_turn(&r);
        if (!peer_quiet(&p))
            quiet = 0;
        while (!peer_quiet(&p)) {
            struct mqtt_publish m = peer_next_publish(&p);
            kept += m.retain;
            live += !m.retain;
            if (m.qos > 0)
                peer_ack(&p, MQTT_PUBACK, m.packet_id, 0);
        }
    }
    assert_int_equal(live, 30);
    assert_int_equal(kept, 80);
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

static void unsubscribe(struct peer *p, const char *filter)
{
    struct sl_buf b = { 0 };
    struct sl_slice one = sl_str(filter);
    mqtt_encode_unsubscribe(&b, p->version, 8, NULL, &one, 1);
    peer_send(p, &b);
    sl_buf_free(&b);
}

/* [MQTT-3.10.4-2]; and who subscribes again begins again. */
static void unsubscribing_ends_it(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    rig_open(&r, room_for_many);
    peer_online(&from, &r, MQTT_V5, "from");
    keep_many(&from, 100);
    peer_online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "s/#", 1);
    sl_buf_reset(&p.received);
    peer_subscribe(&p, "s/1/v", 1);
    unsubscribe(&p, "s/#");
    (void)peer_next(&p, MQTT_UNSUBACK);
    for (uint16_t id = 1; id <= 4; id++)
        peer_ack(&p, MQTT_PUBACK, id, 0);
    assert_int_equal(read_on(&p), 1); /* the other one's */
    assert_null(p.client.session->owed);
    for (int i = 0; i < 3; i++) {
        peer_subscribe(&p, "s/1/v", 0);
        assert_int_equal(read_on(&p), 1);
    }
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

static void a_session_that_goes_on_is_owed_the_rest(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    rig_open(&r, room_for_many);
    peer_online(&from, &r, MQTT_V5, "from");
    keep_many(&from, MANY);
    for (uint8_t qos = 0; qos < 2; qos++) {
        peer_open(&p, &r, MQTT_V5);
        peer_connect(&p, "p", false, 100);
        (void)peer_next(&p, MQTT_CONNACK);
        peer_subscribe(&p, "s/#", qos);
        peer_drop(&p);
        peer_open(&p, &r, MQTT_V5);
        peer_connect(&p, "p", false, 100);
        (void)peer_next(&p, MQTT_CONNACK);
        assert_int_equal(read_on(&p), qos ? MANY : 0);
        peer_drop(&p);
    }
    /* Its end, or the broker's, while some are owed. */
    peer_open(&p, &r, MQTT_V5);
    peer_connect(&p, "p", true, 10);
    (void)peer_next(&p, MQTT_CONNACK);
    peer_subscribe(&p, "s/#", 1);
    peer_drop(&p);
    rig_seconds(&r, 11);
    assert_int_equal(r.broker->sessions.count, 1);
    peer_open(&p, &r, MQTT_V5);
    peer_connect(&p, "p", true, 10);
    (void)peer_next(&p, MQTT_CONNACK);
    peer_subscribe(&p, "#", 1);
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

/* Expired ones go, also while a cursor stands on one. */
static void purging_does_not_hurt_a_cursor(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, from;
    rig_open(&r, room_for_many);
    peer_online(&from, &r, MQTT_V5, "from");
    for (int i = 0; i < 50; i++) {
        struct sl_buf b = { 0 };
        char topic[32];
        (void)snprintf(topic, sizeof topic, "s/%d", i);
        struct mqtt_publish m = {
            .retain = true, .topic = sl_str(topic), .payload = sl_str("x"), .qos = 1, .packet_id = 1
        };
        if (i % 5) {
            mqtt_set(&m.props, MQTT_P_MESSAGE_EXPIRY);
            m.props.message_expiry = 30;
        }
        mqtt_encode_publish(&b, MQTT_V5, &m);
        peer_send(&from, &b);
        sl_buf_free(&b);
        (void)peer_next_ack(&from, MQTT_PUBACK, NULL);
    }
    peer_online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "#", 1);
    rig_seconds(&r, 100);
    assert_int_equal(r.broker->retained.count, 10);
    assert_int_equal(read_on(&p), 4 + 9); /* sent before, and what is left */
    assert_int_equal(r.broker->retained.trie.nodes, 12);
    peer_drop(&p);
    peer_drop(&from);
    rig_close(&r);
}

int main(void)
{
    struct CMUnitTest tests[64];
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(walk_filters); i++) {
        tests[n++] = (struct CMUnitTest){ .name = walk_filters[i],
                                          .test_func = walks_what_the_filter_fits,
                                          .initial_state = (void *)walk_filters[i] };
        tests[n++] = (struct CMUnitTest){ .name = walk_filters[i],
                                          .test_func = walks_while_the_tree_changes,
                                          .initial_state = (void *)walk_filters[i] };
    }
    for (uintptr_t qos = 0; qos < 3; qos++)
        tests[n++] = (struct CMUnitTest){ .name = "all of them arrive",
                                          .test_func = all_of_them_arrive,
                                          .initial_state = (void *)qos };
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(a_turn_has_an_end),
        cmocka_unit_test(a_slow_reader_gets_them_when_it_reads),
        cmocka_unit_test(what_changes_under_way_comes_once),
        cmocka_unit_test(unsubscribing_ends_it),
        cmocka_unit_test(a_session_that_goes_on_is_owed_the_rest),
        cmocka_unit_test(purging_does_not_hurt_a_cursor),
    };
    memcpy(tests + n, plain, sizeof plain);
    n += SL_ARRAY_LEN(plain);
    return _cmocka_run_group_tests("retained", tests, n, NULL, NULL);
}
