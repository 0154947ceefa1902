/* test_listener_load.c - connections with real sockets: readers that do not read, big payloads,
 * many connections, everything at once. The loop is real, the clock is the test's: nothing sleeps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "listener_rig.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* ---- readers that do not read ---- */

static const struct client *find(const struct rig *r, const char *id)
{
    const struct session *s = sl_map_get(&r->broker->sessions, session_key, sl_str(id));
    assert_non_null(s);
    return s->client;
}

static void reader_that_does_not_read_is_bounded_and_cut(void **state)
{
    (void)state;
    struct rig r;
    struct wire w, from;
    struct broker_stats s;
    static char payload[50000];
    rig_open(&r, NULL); /* 100,000 bytes of output */
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    wire_tcp(&w, &r, port, 4096);
    wire_connect(&w, MQTT_V311, "deaf");
    wire_subscribe(&w, MQTT_V311, "t", 0);
    wire_tcp(&from, &r, port, 0);
    wire_connect(&from, MQTT_V311, "from");
    do {
        wire_publish(&from, MQTT_V311, sl_bytes(payload, sizeof payload));
        wire_turn(&r);
        const struct client *c = find(&r, "deaf");
        assert_true(outq_left(&c->out) + c->unsent <= 200000); /* the bound, and one packet */
        broker_get_stats(r.broker, &s);
    } while (s.dropped[BROKER_DROP_SLOW_READER] < 20);
    wire_ping(&from);
    rig_seconds(&r, 59);
    assert_int_equal(r.broker->client_count, 2);
    rig_seconds(&r, 2);
    wire_wait_clients(&r, 1); /* nothing went for a minute */
    wire_close(&w);
    wire_close(&from);
    rig_close(&r);
}

/* The same, but it does read: slowly, and it gets everything that was not dropped. */
static void slow_reader_stays(void **state)
{
    (void)state;
    struct rig r;
    struct wire w, from;
    struct broker_stats s;
    static char payload[50000];
    rig_open(&r, NULL);
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    wire_tcp(&w, &r, port, 4096);
    wire_connect(&w, MQTT_V311, "slow");
    wire_subscribe(&w, MQTT_V311, "t", 0);
    wire_tcp(&from, &r, port, 0);
    wire_connect(&from, MQTT_V311, "from");
    unsigned sent = 0;
    do {
        wire_publish(&from, MQTT_V311, sl_bytes(payload, sizeof payload));
        sent++;
        wire_ping(&from);
        broker_get_stats(r.broker, &s);
    } while (s.dropped[BROKER_DROP_SLOW_READER] == 0);
    for (unsigned i = 1; i < sent; i++) {
        (void)wire_next(&w, MQTT_PUBLISH);
        rig_seconds(&r, 20);
    }
    wire_ping(&w);
    wire_close(&w);
    wire_close(&from);
    rig_close(&r);
}

/* Somebody who does not read what is published, until the socket takes no more; then another comes
 * under the same name. Returns how many were published. */
static unsigned taken_over_while_behind(struct rig *r, struct wire *w, struct wire *from,
                                        struct wire *again)
{
    static char payload[50000];
    unsigned sent = 0;
    uint16_t port = broker_listener_port(listen_on(r, NULL, NULL));
    wire_tcp(w, r, port, 4096);
    wire_connect(w, MQTT_V5, "same");
    wire_subscribe(w, MQTT_V5, "t", 0);
    wire_tcp(from, r, port, 0);
    wire_connect(from, MQTT_V311, "from");
    while (find(r, "same")->unsent == 0) {
        wire_publish(from, MQTT_V311, sl_bytes(payload, sizeof payload));
        sent++;
        wire_ping(from);
    }
    wire_tcp(again, r, port, 0);
    wire_connect(again, MQTT_V5, "same");
    return sent;
}

/* It is told why, but what is on the way to it first is not waited for longer than a moment. */
static void closing_does_not_wait_for_a_reader(void **state)
{
    (void)state;
    struct rig r;
    struct wire w, from, again;
    rig_open(&r, NULL);
    (void)taken_over_while_behind(&r, &w, &from, &again);
    assert_int_equal(r.broker->client_count, 3);
    rig_seconds(&r, 3);
    wire_wait_clients(&r, 2);
    wire_close(&w);
    wire_close(&from);
    wire_close(&again);
    rig_close(&r);
}

/* Taken over while it is behind: it reads on, and finds out why at the end. */
static void goodbye_follows_what_is_on_the_way(void **state)
{
    (void)state;
    struct rig r;
    struct wire w, from, again;
    rig_open(&r, NULL);
    unsigned sent = taken_over_while_behind(&r, &w, &from, &again);
    rig_seconds(&r, 1);
    while (sent-- > 0)
        (void)wire_next(&w, MQTT_PUBLISH);
    assert_int_equal(wire_next(&w, MQTT_DISCONNECT).body.ptr[0], MQTT_RC_SESSION_TAKEN_OVER);
    wire_wait_eof(&w);
    wire_close(&w);
    wire_close(&from);
    wire_close(&again);
    rig_close(&r);
}

/* ---- much ---- */

static void big_payload_to_many(void **state)
{
    (void)state;
    enum { RECEIVERS = 8, SIZE = 200 * 1024 };
    struct rig r;
    struct wire w[RECEIVERS], from;
    rig_open(&r, big_packets);
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    uint8_t *big = malloc(SIZE);
    assert_non_null(big);
    for (size_t i = 0; i < SIZE; i++)
        big[i] = (uint8_t)(i * 131 >> 5);
    for (int i = 0; i < RECEIVERS; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "r%d", i);
        wire_tcp(&w[i], &r, port, 4096); /* so that it takes many writes */
        wire_connect(&w[i], i % 2 ? MQTT_V5 : MQTT_V311, id);
        wire_subscribe(&w[i], i % 2 ? MQTT_V5 : MQTT_V311, "t", 0);
    }
    wire_tcp(&from, &r, port, 0);
    wire_connect(&from, MQTT_V311, "from");
    wire_publish(&from, MQTT_V311, sl_bytes(big, SIZE));
    for (int i = 0; i < RECEIVERS; i++) {
        struct mqtt_publish m;
        struct mqtt_frame f = wire_next(&w[i], MQTT_PUBLISH);
        assert_int_equal(mqtt_decode_publish(&f, i % 2 ? MQTT_V5 : MQTT_V311, &m, NULL),
                         MQTT_RC_SUCCESS);
        assert_int_equal(m.payload.len, SIZE);
        assert_memory_equal(m.payload.ptr, big, SIZE);
        wire_close(&w[i]);
    }
    wire_close(&from);
    free(big);
    rig_close(&r);
}

static void come_and_go(struct rig *r, uint16_t port, unsigned rounds)
{
    struct sl_buf hello = { 0 }, torn = { 0 };
    mqtt_encode_connect(&hello, &(struct mqtt_connect){ .version = MQTT_V311,
                                                        .clean_start = true,
                                                        .client_id = sl_str("c") });
    sl_buf_put(&torn, "\x10\x7f\x00\x04MQ", 6);
    for (unsigned i = 0; i < rounds; i++) {
        struct wire w;
        wire_tcp(&w, r, port, 0);
        if (i % 4 != 3)
            wire_send(&w, i % 4 ? &hello : &torn);
        if (i % 4 == 2)
            (void)wire_next(&w, MQTT_CONNACK);
        if (i % 8 == 1) { /* reset instead of closed */
            struct linger l = { .l_onoff = 1 };
            (void)setsockopt(w.fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        }
        wire_turn(r);
        wire_close(&w);
    }
    wire_wait_clients(r, 0);
    sl_buf_free(&hello);
    sl_buf_free(&torn);
}

/* Thousands come and go; nothing of them stays. */
static void nothing_is_left_of_connections(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, fast);
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    come_and_go(&r, port, 500);
    size_t before = mallinfo2().uordblks; /* 0 with the sanitizer, which looks for leaks itself */
    come_and_go(&r, port, 4000);
    assert_true(mallinfo2().uordblks <= before + 65536);
    assert_int_equal(r.broker->sessions.count, 0);
    assert_int_equal(r.broker->holds, 6); /* five handles and the listener */
    rig_close(&r);
}

/* Everything is pending at once when the broker closes. */
static void closes_with_everything_pending(void **state)
{
    (void)state;
    struct rig r;
    struct wire plain[4], tls[4];
    struct tls_context *server = server_tls(), *client = client_tls("device");
    static char payload[50000];
    char path[128];
    rig_open(&r, NULL);
    r.later = true;
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    uint16_t tls_port = broker_listener_port(listen_on(&r, NULL, server));
    unix_path(path, sizeof path, "closing.sock");
    (void)listen_on(&r, path, NULL);
    for (int i = 0; i < 4; i++) {
        wire_tcp(&plain[i], &r, port, 4096);
        wire_tcp(&tls[i], &r, tls_port, 4096);
    }
    wire_connect(&plain[0], MQTT_V5, "deaf"); /* a write is under way */
    wire_subscribe(&plain[0], MQTT_V5, "t", 0);
    wire_tls(&tls[0], client);
    wire_connect(&tls[0], MQTT_V5, "deaf too");
    wire_subscribe(&tls[0], MQTT_V5, "t", 0);
    wire_tls(&tls[1], client); /* no CONNECT */
    struct sl_buf b = { 0 };   /* waits for its answer; and one whose CONNECT is torn */
    struct mqtt_connect c = { .version = MQTT_V5, .has_username = true, .username = sl_str("u") };
    mqtt_encode_connect(&b, &c);
    wire_send(&plain[1], &b);
    b.len = 7;
    wire_send(&plain[2], &b);
    sl_buf_free(&b);
    wire_connect(&plain[3], MQTT_V311, "from");
    while (find(&r, "deaf")->unsent == 0 || find(&r, "deaf too")->unsent == 0) {
        wire_publish(&plain[3], MQTT_V311, sl_bytes(payload, sizeof payload));
        wire_ping(&plain[3]);
    }
    assert_non_null(r.asked);
    broker_close(r.broker, NULL, NULL);
    broker_auth_done(r.asked, true);
    (void)uv_run(&r.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&r.loop), 0);
    for (int i = 0; i < 4; i++) {
        wire_close(&plain[i]);
        wire_close(&tls[i]);
    }
    tls_context_unref(server);
    tls_context_unref(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_that_does_not_read_is_bounded_and_cut),
        cmocka_unit_test(slow_reader_stays),
        cmocka_unit_test(closing_does_not_wait_for_a_reader),
        cmocka_unit_test(goodbye_follows_what_is_on_the_way),
        cmocka_unit_test(big_payload_to_many),
        cmocka_unit_test(nothing_is_left_of_connections),
        cmocka_unit_test(closes_with_everything_pending),
    };
    return cmocka_run_group_tests_name("listener under load", tests, tls_pair_make_certs,
                                       tls_pair_remove_certs);
}
