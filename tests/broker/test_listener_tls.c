/* test_listener_tls.c - what TLS listeners cost and refuse: handshakes begun and dropped, dripped
 * or all at once, certificates replaced. Real sockets and loop, the test's clock: nothing sleeps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "listener_rig.h"

#include "rows.h"

#include "base/log.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct tls_context *server_of(const char *cert, const char *ca)
{
    const struct side side = { .cert = cert, .ca = ca, .client_cert = TLS_CLIENT_CERT_OPTIONAL };
    return context(true, &side, 0);
}

/* A broker with a TLS listener, and a client's context that fits. */
struct scene {
    struct rig rig;
    struct broker_listener *listener;
    struct tls_context *client;
    uint16_t port;
};

static void scene_open(struct scene *s, const char *server_cert, const char *client_cert)
{
    struct tls_context *server = server_of(server_cert, "ca");
    struct broker_listener_options o = {
        .name = "test", .bind = "127.0.0.1", .tls = server, .username_from_cert = true
    };
    rig_open(&s->rig, fast);
    assert_int_equal(broker_listen(s->rig.broker, &o, &s->listener, NULL), SL_OK);
    tls_context_unref(server);
    s->port = broker_listener_port(s->listener);
    s->client = client_tls(client_cert);
}

static void scene_close(struct scene *s)
{
    tls_context_unref(s->client);
    rig_close(&s->rig);
}

static struct broker_stats stats(const struct scene *s)
{
    struct broker_stats ret;
    broker_get_stats(s->rig.broker, &ret);
    return ret;
}

/* A client's first flight. */
static struct sl_buf hello(const struct scene *s)
{
    struct tls_session *t = NULL;
    struct sl_buf wire = { 0 }, plain = { 0 };
    assert_int_equal(tls_session_new(&t, s->client, "localhost", NULL), SL_OK);
    assert_int_equal(tls_session_feed(t, sl_bytes("", 0), &plain, &wire, NULL), SL_OK);
    tls_session_free(t);
    assert_true(wire.len > 100);
    return wire;
}

static void send_bytes(struct wire *w, const uint8_t *p, size_t n)
{
    assert_int_equal(send(w->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL), n);
}

static void wait_failed(struct scene *s, uint64_t count)
{
    for (int i = 0; stats(s).tls_failed < count; i++) {
        assert_true(i < 10000);
        wire_turn(&s->rig);
        (void)usleep(100); /* the kernel's loopback, not the clock */
    }
}

/* ---- handshakes that come to nothing ---- */

static void abandon(struct scene *s, unsigned rounds)
{
    struct sl_buf h = hello(s);
    for (unsigned i = 0; i < rounds; i++) {
        struct wire w;
        wire_tcp(&w, &s->rig, s->port, 0);
        size_t n = i % 3 == 0 ? h.len : i % 3 == 1 ? h.len / 2 : 0;
        if (n > 0)
            send_bytes(&w, h.ptr, n);
        wire_turn(&s->rig);
        if (i % 2) { /* reset instead of closed */
            struct linger l = { .l_onoff = 1 };
            (void)setsockopt(w.fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        }
        wire_turn(&s->rig);
        wire_close(&w);
    }
    wire_wait_clients(&s->rig, 0);
    sl_buf_free(&h);
}

static void abandoned_handshakes_leave_nothing(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "server", NULL);
    sl_log_configure(SL_WARN, SL_LOG_TEXT);
    abandon(&s, 60);
    uint64_t failed = stats(&s).tls_failed;
    assert_int_equal(failed, 40);         /* who only connected has not begun one */
    size_t before = mallinfo2().uordblks; /* 0 with the sanitizer, which looks for leaks itself */
    abandon(&s, 600);
    assert_true(mallinfo2().uordblks <= before + 65536);
    assert_int_equal(stats(&s).tls_failed, 440);
    assert_int_equal(stats(&s).tls_full, 0);
    sl_log_configure(SL_INFO, SL_LOG_TEXT);
    scene_close(&s);
}

/* A client that drips its ClientHello has no longer than one that says nothing. */
static void dripped_handshake_is_ended(void **state)
{
    (void)state;
    struct scene s;
    struct wire w;
    scene_open(&s, "server", NULL);
    struct sl_buf h = hello(&s);
    wire_tcp(&w, &s.rig, s.port, 0);
    wire_wait_clients(&s.rig, 1);
    unsigned seconds = 0;
    for (; s.rig.broker->client_count > 0; seconds++) {
        assert_true(seconds < 60);
        if (seconds < 8)
            send_bytes(&w, h.ptr + seconds, 1);
        wire_turn(&s.rig);
        rig_seconds(&s.rig, 1);
        wire_turn(&s.rig);
    }
    int64_t limit = s.rig.broker->options.connect_timeout_ms / 1000;
    assert_in_range(seconds, limit, limit + 4); /* and the time to say goodbye */
    assert_int_equal(stats(&s).tls_failed, 1);
    wire_close(&w);
    sl_buf_free(&h);
    scene_close(&s);
}

static const struct rubbish {
    const char *name, *bytes;
    size_t len;
} rubbish[] = {
    { "MQTT on a TLS port", "\x10\x0c\0\4MQTT\4\2\0\x3c\0\0", 14 },
    { "HTTP on a TLS port", "GET / HTTP/1.1\r\n\r\n", 18 },
    { "zeros on a TLS port", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
    { "a record that is too long", "\x16\3\1\xff\xff\1\0\0\0\0\0\0\0\0\0\0", 16 },
    { "a handshake of another kind", "\x16\3\1\0\4\x14\0\0\0", 9 },
    { "application data first", "\x17\3\3\0\4abcd", 9 },
    { "an alert first", "\x15\3\3\0\2\2\x28", 7 },
    { "SSL 2", "\x80\x2e\1\0\2\0\x15\0\0\0\x10\1\0\x80", 14 },
};

static void rubbish_is_refused(void **state)
{
    const struct rubbish *c = *state;
    struct scene s;
    struct wire w, other;
    scene_open(&s, "server", NULL);
    wire_tcp(&other, &s.rig, s.port, 0);
    wire_tls(&other, s.client);
    wire_connect(&other, MQTT_V5, "other");
    wire_tcp(&w, &s.rig, s.port, 0);
    send_bytes(&w, (const uint8_t *)c->bytes, c->len);
    wire_wait_eof(&w);
    assert_int_equal(stats(&s).tls_failed, 1);
    wire_close(&w);
    wire_close(&other);
    scene_close(&s);
}

/* ---- many at once ---- */

enum { CROWD = 40 };

static int64_t cpu_ns(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* However many ask for a handshake at once, a turn of the loop stays short, and everybody comes
 * to their turn. */
static void a_crowd_does_not_stall_the_loop(void **state)
{
    (void)state;
    struct scene s;
    struct wire w[CROWD];
    scene_open(&s, "server-rsa", NULL);
    struct sl_buf h = hello(&s);
    for (int i = 0; i < CROWD; i++)
        wire_tcp(&w[i], &s.rig, s.port, 0);
    wire_wait_clients(&s.rig, CROWD);
    for (int i = 0; i < CROWD; i++)
        send_bytes(&w[i], h.ptr, h.len);
    unsigned turns = 0, answered = 0, before;
    while (answered < CROWD) {
        assert_true(turns++ < 5000);
        before = answered;
        int64_t since = cpu_ns(); /* a busy machine takes time away, but gives none */
        wire_turn(&s.rig);
        int64_t spent = cpu_ns() - since;
        answered = 0;
        for (int i = 0; i < CROWD; i++) {
            uint8_t byte;
            answered += recv(w[i].fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
        }
        if (answered > before + 1) /* more than one: then they have fit into the time of a turn */
            assert_true(spent < 10 * TLS_SHAKES_NS_PER_TURN);
    }
    assert_true(turns >= 3); /* forty signatures take several times the ten milliseconds */
    for (int i = 0; i < CROWD; i++)
        wire_close(&w[i]);
    wire_wait_clients(&s.rig, 0);
    sl_buf_free(&h);
    scene_close(&s);
}

static void established_sessions_do_not_wait(void **state)
{
    (void)state;
    struct scene s;
    struct wire w;
    struct sl_buf b = { 0 };
    scene_open(&s, "server", "device");
    wire_tcp(&w, &s.rig, s.port, 0);
    wire_tls(&w, s.client);
    wire_connect(&w, MQTT_V5, "a");
    const struct client *c = s.rig.broker->clients[0];
    struct conn_tls fresh = { 0 };
    s.rig.broker->tls_shakes.spent_ns = TLS_SHAKES_NS_PER_TURN;
    assert_true(conn_tls_must_wait(&fresh, &s.rig.broker->tls_shakes));
    s.rig.broker->tls_shakes.spent_ns--;
    assert_false(conn_tls_must_wait(&fresh, &s.rig.broker->tls_shakes));
    mqtt_encode_pingreq(&b);
    wire_send(&w, &b);
    (void)wire_next(&w, MQTT_PINGRESP);
    assert_string_equal(c->username, "device-01");
    assert_int_equal(stats(&s).tls_full, 1);
    sl_buf_free(&b);
    wire_close(&w);
    scene_close(&s);
}

/* ---- names and contexts ---- */

static void refused_connect(struct scene *s, uint8_t reason)
{
    struct wire w;
    struct sl_buf b = { 0 };
    struct mqtt_connack a;
    wire_tcp(&w, &s->rig, s->port, 0);
    wire_tls(&w, s->client);
    mqtt_encode_connect(&b, &(struct mqtt_connect){ .version = MQTT_V5, .clean_start = true });
    wire_send(&w, &b);
    struct mqtt_frame f = wire_next(&w, MQTT_CONNACK);
    assert_int_equal(mqtt_decode_connack(&f, MQTT_V5, &a, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(a.reason, reason);
    sl_buf_free(&b);
    wire_close(&w);
}

static void certificate_without_a_name_is_nobody(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "server", "nameless");
    s.rig.broker->options.anonymous = false;
    refused_connect(&s, MQTT_RC_NOT_AUTHORIZED);
    scene_close(&s);
}

/* What a reload does: whoever is connected stays, whoever comes sees the new certificate. */
static void replaced_certificate(void **state)
{
    (void)state;
    struct scene s;
    struct wire before, after;
    struct sl_buf b = { 0 };
    scene_open(&s, "server", "device");
    wire_tcp(&before, &s.rig, s.port, 0);
    wire_tls(&before, s.client);
    wire_connect(&before, MQTT_V5, "before");
    struct tls_context *other = server_of("other-server", "other-ca");
    broker_listener_set_tls(s.listener, other, true);
    tls_context_unref(other);
    wire_tcp(&after, &s.rig, s.port, 0);
    wire_tls(&after, s.client); /* does not know that CA */
    assert_true(after.tls_failed);
    tls_context_unref(s.client);
    s.client = context(false, &(struct side){ .cert = "other-device", .ca = "other-ca" }, 0);
    wire_close(&after);
    wire_tcp(&after, &s.rig, s.port, 0);
    wire_tls(&after, s.client);
    wire_connect(&after, MQTT_V5, "after");
    mqtt_encode_pingreq(&b);
    wire_send(&before, &b);
    (void)wire_next(&before, MQTT_PINGRESP);
    sl_buf_free(&b);
    wire_close(&before);
    wire_close(&after);
    scene_close(&s);
}

/* A connection that has not begun its handshake keeps the context of its time. */
static void context_goes_before_the_handshake(void **state)
{
    (void)state;
    struct scene s;
    struct wire w;
    scene_open(&s, "server", NULL);
    wire_tcp(&w, &s.rig, s.port, 0);
    wire_wait_clients(&s.rig, 1);
    broker_listener_set_tls(s.listener, NULL, false);
    wire_tls(&w, s.client);
    wire_connect(&w, MQTT_V5, "a");
    wire_close(&w);
    scene_close(&s);
}

/* ---- the log ---- */

static void a_flood_of_failures_is_told_in_one_line(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "server", NULL);
    for (int i = 0; i < TLS_SHAKES_TOLD_MAX + 5; i++) {
        struct wire w;
        wire_tcp(&w, &s.rig, s.port, 0);
        send_bytes(&w, (const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18);
        wire_wait_eof(&w);
        wire_close(&w);
    }
    wait_failed(&s, TLS_SHAKES_TOLD_MAX + 5);
    assert_int_equal(s.rig.broker->tls_shakes.told, TLS_SHAKES_TOLD_MAX);
    assert_int_equal(s.rig.broker->tls_shakes.untold, 5);
    rig_seconds(&s.rig, TLS_SHAKES_TOLD_MS / 1000 + 1);
    wire_turn(&s.rig);
    assert_int_equal(s.rig.broker->tls_shakes.told, 0);
    assert_int_equal(s.rig.broker->tls_shakes.untold, 0);
    scene_close(&s);
}

int main(void)
{
    static const struct CMUnitTest plain[] = {
        cmocka_unit_test(abandoned_handshakes_leave_nothing),
        cmocka_unit_test(dripped_handshake_is_ended),
        cmocka_unit_test(a_crowd_does_not_stall_the_loop),
        cmocka_unit_test(established_sessions_do_not_wait),
        cmocka_unit_test(certificate_without_a_name_is_nobody),
        cmocka_unit_test(replaced_certificate),
        cmocka_unit_test(context_goes_before_the_handshake),
        cmocka_unit_test(a_flood_of_failures_is_told_in_one_line),
    };
    static struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(rubbish)];
    size_t n = 0;
    n += ROWS_OF(tests + n, rubbish, rubbish_is_refused);
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[n++] = plain[i];
    return cmocka_run_group_tests_name("listener_tls", tests, tls_pair_make_certs,
                                       tls_pair_remove_certs);
}
