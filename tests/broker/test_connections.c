/* test_connections.c - how many connections there may be: by address, without a CONNECT, and what
 * thousands of them leave behind. The last tests have real sockets; the clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire.h"

#include "rows.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t refused(const struct rig *r, enum broker_refusal why)
{
    struct broker_stats s;
    broker_get_stats(r->broker, &s);
    return s.refused[why];
}

static uint32_t unfinished(const struct rig *r)
{
    struct broker_stats s;
    broker_get_stats(r->broker, &s);
    return s.unfinished;
}

/* ---- hosts ---- */

static const struct host_case {
    const char *name, *a, *b;
    bool known, same; /* a is a host; b is the same */
} host_cases[] = {
    { "two ports", "192.0.2.1:1", "192.0.2.1:65535", true, true },
    { "two addresses", "192.0.2.1:1", "192.0.2.2:1", true, false },
    { "one /64", "[2001:db8::1]:1", "[2001:db8::ffff:1:2:3]:1", true, true },
    { "two /64", "[2001:db8::1]:1", "[2001:db8:0:1::1]:1", true, false },
    { "mapped IPv4", "192.0.2.1:1", "[::ffff:192.0.2.1]:1", true, true },
    { "mapped IPv4 is not one /64", "[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", true, false },
    { "link-local with its zone", "[fe80::1%eth0]:1", "[fe80::2]:1", true, true },
    { "without a port", "192.0.2.1", "192.0.2.1:1", true, true },
    { "Unix socket", "unix", "unix", false, false },
    { "unknown", "?", "?", false, false },
    { "nothing", "", "", false, false },
    { "bracket alone", "[", "[]", false, false },
    { "colon alone", ":1", ":1", false, false },
    { "name", "localhost:1", "localhost:1", false, false },
    { "too long", "[11111111111111111111111111111111111111111111111111111111111111111111111]:1", "",
      false, false },
};

static void hosts(void **state)
{
    const struct host_case *c = *state;
    struct broker_host a, b;
    assert_int_equal(broker_host_of(sl_str(c->a), &a), c->known);
    if (c->known) {
        assert_true(broker_host_of(sl_str(c->b), &b));
        assert_int_equal(memcmp(&a, &b, sizeof a) == 0, c->same);
    }
}

/* ---- by address ---- */

static void two_per_address(struct broker_options *o)
{
    o->max_per_address = 2;
}

static void connections_by_address(void **state)
{
    (void)state;
    struct rig r;
    struct peer p[6], more;
    rig_open(&r, two_per_address);
    assert_true(peer_open_from(&p[0], &r, MQTT_V5, "192.0.2.1:1"));
    assert_true(peer_open_from(&p[1], &r, MQTT_V5, "[::ffff:192.0.2.1]:2"));
    assert_false(peer_open_from(&more, &r, MQTT_V5, "192.0.2.1:3"));
    assert_true(peer_open_from(&p[2], &r, MQTT_V5, "192.0.2.2:1"));
    assert_true(peer_open_from(&p[3], &r, MQTT_V5, "[2001:db8::1]:1"));
    assert_true(peer_open_from(&p[4], &r, MQTT_V5, "[2001:db8::2]:1"));
    assert_false(peer_open_from(&more, &r, MQTT_V5, "[2001:db8::3]:1"));
    assert_int_equal(refused(&r, BROKER_REFUSED_ADDRESS), 2);
    peer_connect(&p[0], "a", true, 0); /* one that has connected still counts */
    (void)peer_next(&p[0], MQTT_CONNACK);
    assert_false(peer_open_from(&more, &r, MQTT_V5, "192.0.2.1:4"));
    peer_drop(&p[0]);
    assert_true(peer_open_from(&p[0], &r, MQTT_V5, "192.0.2.1:5"));
    for (int i = 0; i < 5; i++)
        peer_drop(&p[i]);
    assert_int_equal(r.broker->bounds.hosts.count, 0);
    rig_close(&r);
}

static void unix_sockets_have_no_address(void **state)
{
    (void)state;
    struct rig r;
    struct peer p[5];
    rig_open(&r, two_per_address);
    for (int i = 0; i < 5; i++)
        assert_true(peer_open_from(&p[i], &r, MQTT_V5, "unix"));
    for (int i = 0; i < 5; i++)
        peer_drop(&p[i]);
    rig_close(&r);
}

/* ---- without a CONNECT ---- */

static void four_unfinished(struct broker_options *o)
{
    o->max_unfinished = 4;
}

static void the_oldest_unfinished_gives_way(void **state)
{
    (void)state;
    static const char *const from[] = { "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1",
                                        "192.0.2.5:1" };
    struct rig r;
    struct peer p[5], more;
    rig_open(&r, four_unfinished);
    for (int i = 0; i < 4; i++) {
        assert_true(peer_open_from(&p[i], &r, MQTT_V5, from[i]));
        rig_seconds(&r, 1);
    }
    peer_connect(&p[0], "a", true, 0); /* the oldest has finished: it stays */
    (void)peer_next(&p[0], MQTT_CONNACK);
    assert_int_equal(unfinished(&r), 3);
    assert_true(peer_open_from(&p[4], &r, MQTT_V5, from[4]));
    assert_int_equal(unfinished(&r), 4);
    assert_true(peer_open_from(&more, &r, MQTT_V5, "192.0.2.6:1"));
    rig_turn(&r);
    assert_false(p[1].open);
    assert_true(p[0].open && p[2].open && p[3].open && p[4].open && more.open);
    assert_int_equal(refused(&r, BROKER_REFUSED_UNFINISHED), 1);
    assert_int_equal(unfinished(&r), 4);
    peer_drop(&p[0]);
    peer_drop(&p[2]);
    peer_drop(&p[3]);
    peer_drop(&p[4]);
    peer_drop(&more);
    assert_int_equal(unfinished(&r), 0);
    assert_int_equal(r.broker->bounds.hosts.count, 0);
    rig_close(&r);
}

/* One address alone pushes nobody else out. */
static void one_address_has_half_of_the_unfinished(void **state)
{
    (void)state;
    struct rig r;
    struct peer other, p[3], more;
    rig_open(&r, four_unfinished);
    assert_true(peer_open_from(&other, &r, MQTT_V5, "192.0.2.9:1"));
    for (int i = 0; i < 2; i++)
        assert_true(peer_open_from(&p[i], &r, MQTT_V5, "192.0.2.1:1"));
    for (int i = 0; i < 10; i++)
        assert_false(peer_open_from(&more, &r, MQTT_V5, "192.0.2.1:1"));
    rig_turn(&r);
    assert_true(other.open && p[0].open && p[1].open);
    peer_connect(&p[0], "a", true, 0);
    assert_true(peer_open_from(&p[2], &r, MQTT_V5, "192.0.2.1:1"));
    assert_int_equal(refused(&r, BROKER_REFUSED_UNFINISHED), 10);
    for (int i = 0; i < 3; i++)
        peer_drop(&p[i]);
    peer_drop(&other);
    rig_close(&r);
}

/* Whoever waits for the answer about its password has sent its CONNECT. */
static void waiting_for_a_password_is_not_unfinished(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, four_unfinished);
    r.later = true;
    assert_true(peer_open_from(&p, &r, MQTT_V5, "192.0.2.1:1"));
    assert_int_equal(unfinished(&r), 1);
    peer_send_connect(&p, &(struct mqtt_connect){ .version = MQTT_V5,
                                                  .clean_start = true,
                                                  .client_id = sl_str("a"),
                                                  .has_username = true,
                                                  .username = sl_str("u") });
    assert_int_equal(unfinished(&r), 0);
    assert_true(sl_slice_eq(broker_auth_address(r.asked), sl_str("192.0.2.1:1")));
    broker_auth_refuse(r.asked, MQTT_RC_SERVER_BUSY);
    rig_turn(&r);
    struct mqtt_connack ack;
    struct mqtt_frame f = peer_next(&p, MQTT_CONNACK);
    assert_int_equal(mqtt_decode_connack(&f, MQTT_V5, &ack, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(ack.reason, MQTT_RC_SERVER_BUSY);
    assert_int_equal(refused(&r, BROKER_REFUSED_BUSY), 1);
    assert_false(p.open);
    sl_buf_free(&p.received);
    rig_close(&r);
}

static void late_connects_are_counted(void **state)
{
    (void)state;
    struct rig r;
    struct peer p;
    rig_open(&r, NULL); /* connect_timeout 10 s */
    peer_open(&p, &r, MQTT_V5);
    rig_seconds(&r, 11);
    assert_false(p.open);
    assert_int_equal(refused(&r, BROKER_REFUSED_TIMEOUT), 1);
    rig_close(&r);
}

/* The first is told at once, the others together ten seconds later. */
static void a_burst_is_told_once(void **state)
{
    (void)state;
    struct rig r;
    struct peer p, more;
    rig_open(&r, two_per_address);
    const struct bounds_burst *burst = &r.broker->bounds.bursts[BROKER_REFUSED_ADDRESS];
    assert_true(peer_open_from(&p, &r, MQTT_V5, "192.0.2.1:1"));
    struct peer q;
    assert_true(peer_open_from(&q, &r, MQTT_V5, "192.0.2.1:1"));
    for (int i = 0; i < 100; i++)
        assert_false(peer_open_from(&more, &r, MQTT_V5, "192.0.2.1:2"));
    assert_int_equal(burst->count, 99);
    rig_seconds(&r, 9);
    assert_int_equal(burst->count, 99);
    rig_seconds(&r, 1);
    assert_int_equal(burst->count, 0);
    assert_false(peer_open_from(&more, &r, MQTT_V5, "192.0.2.1:2"));
    assert_int_equal(burst->count, 1); /* the burst goes on */
    assert_int_equal(refused(&r, BROKER_REFUSED_ADDRESS), 101);
    rig_close(&r);
    sl_buf_free(&p.received);
    sl_buf_free(&q.received);
}

/* ---- real sockets ---- */

enum { WAVE = 2000, WAVES = 5 };

static void waves(struct broker_options *o)
{
    o->connect_rate = 1000000;
    o->max_connections = WAVE;
    o->max_unfinished = 2 * WAVE;
}

static int connect_from(const char *address, uint16_t port)
{
    struct sockaddr_in from = { .sin_family = AF_INET };
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof from), 0);
    (void)connect(fd, (const struct sockaddr *)&to, sizeof to); /* goes on by itself */
    return fd;
}

static uint16_t listen_anywhere(struct rig *r)
{
    struct broker_listener *l = NULL;
    struct broker_listener_options o = { .name = "test", .bind = "127.0.0.1" };
    assert_int_equal(broker_listen(r->broker, &o, &l, NULL), SL_OK);
    return broker_listener_port(l);
}

/* All are there at once: one third silent, one third drips, one third has connected. Half go by
 * themselves, half are closed for being late or reset. */
static void wave(struct rig *r, uint16_t port, unsigned count)
{
    int *fds = test_calloc(count, sizeof *fds);
    struct sl_buf hello = { 0 };
    for (unsigned i = 0; i < count; i++) {
        fds[i] = connect_from(i & 1 ? "127.0.0.1" : "127.0.0.2", port);
        if (i % 256 == 255)
            wire_wait_clients(r, i + 1);
    }
    wire_wait_clients(r, count);
    for (unsigned i = 0; i < count; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "c%u", i);
        sl_buf_reset(&hello);
        mqtt_encode_connect(&hello, &(struct mqtt_connect){ .version = MQTT_V311,
                                                            .clean_start = true,
                                                            .client_id = sl_str(id) });
        size_t some = i % 3 == 0 ? 0 : i % 3 == 1 ? 5 : hello.len;
        assert_int_equal(send(fds[i], hello.ptr, some, MSG_NOSIGNAL), some);
    }
    while (r->broker->attached < count / 3)
        wire_turn(r);
    for (unsigned i = 0; i < count; i += 2) {
        struct linger reset = { .l_onoff = i % 4 == 0 };
        (void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        (void)close(fds[i]);
    }
    rig_seconds(r, 11); /* connect_timeout is 10 s */
    for (unsigned i = 1; i < count; i += 2)
        (void)close(fds[i]);
    wire_wait_clients(r, 0);
    sl_buf_free(&hello);
    test_free(fds);
}

static void thousands_leave_nothing(void **state)
{
    (void)state;
    struct rig r;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < 2 * WAVE + 100)
        skip();
    rig_open(&r, waves);
    uint16_t port = listen_anywhere(&r);
    wave(&r, port, 100);
    size_t before = mallinfo2().uordblks; /* 0 with the sanitizer, which looks for leaks itself */
    for (int i = 0; i < WAVES; i++)
        wave(&r, port, WAVE);
    /* glibc's caches for each thread count as used: some 70 kB, however many waves. */
    assert_true(mallinfo2().uordblks <= before + 128 * 1024);
    assert_int_equal(r.broker->sessions.count, 0);
    assert_int_equal(r.broker->bounds.hosts.count, 0);
    assert_null(r.broker->bounds.unfinished);
    assert_int_equal(r.broker->holds, 6); /* five handles and the listener */
    rig_close(&r);
}

static void one_per_address(struct broker_options *o)
{
    o->max_per_address = 1;
}

static void addresses_of_sockets(void **state)
{
    (void)state;
    struct rig r;
    char byte;
    rig_open(&r, one_per_address);
    uint16_t port = listen_anywhere(&r);
    int one = connect_from("127.0.0.1", port), two = connect_from("127.0.0.2", port);
    wire_wait_clients(&r, 2);
    int again = connect_from("127.0.0.2", port);
    while (recv(again, &byte, 1, 0) < 0 && refused(&r, BROKER_REFUSED_ADDRESS) == 0)
        wire_turn(&r);
    assert_int_equal(r.broker->client_count, 2);
    (void)close(again);
    (void)close(two);
    wire_wait_clients(&r, 1);
    again = connect_from("127.0.0.2", port);
    wire_wait_clients(&r, 2);
    (void)close(again);
    (void)close(one);
    wire_wait_clients(&r, 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(connections_by_address),
        cmocka_unit_test(unix_sockets_have_no_address),
        cmocka_unit_test(the_oldest_unfinished_gives_way),
        cmocka_unit_test(one_address_has_half_of_the_unfinished),
        cmocka_unit_test(waiting_for_a_password_is_not_unfinished),
        cmocka_unit_test(late_connects_are_counted),
        cmocka_unit_test(a_burst_is_told_once),
        cmocka_unit_test(thousands_leave_nothing),
        cmocka_unit_test(addresses_of_sockets),
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(host_cases) + SL_ARRAY_LEN(others)];
    struct rlimit files;
    size_t n = 0;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* both ends of WAVE connections */
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    n += ROWS_OF(tests + n, host_cases, hosts);
    for (size_t i = 0; i < SL_ARRAY_LEN(others); i++)
        tests[n++] = others[i];
    return _cmocka_run_group_tests("connections", tests, n, NULL, NULL);
}
