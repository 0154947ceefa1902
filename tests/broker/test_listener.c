/* test_listener.c - listeners and connections with real sockets: TCP, Unix, TLS. The loop is real,
 * the broker's clock is the test's: nothing sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char certs[] = "/tmp/sluice-listener-XXXXXX";

static struct broker_listener *listen_on(struct rig *r, const char *unix_path,
                                         struct tls_context *tls)
{
    struct broker_listener *l = NULL;
    struct broker_listener_options o = { .name = "test",
                                         .bind = unix_path ? NULL : "127.0.0.1",
                                         .unix_path = unix_path,
                                         .tls = tls,
                                         .username_from_cert = tls != NULL };
    struct sl_err err = { 0 };
    if (broker_listen(r->broker, &o, &l, &err) != SL_OK)
        fail_msg("%s", err.text);
    return l;
}

static void subscribe(struct wire *w, enum mqtt_version v, const char *filter, uint8_t qos)
{
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str(filter), .qos = qos };
    mqtt_encode_subscribe(&b, v, 1, NULL, &e, 1);
    wire_send(w, &b);
    sl_buf_free(&b);
    (void)wire_next(w, MQTT_SUBACK);
}

static void publish(struct wire *w, enum mqtt_version v, struct sl_slice payload)
{
    struct sl_buf b = { 0 };
    mqtt_encode_publish(&b, v, &(struct mqtt_publish){ .topic = sl_str("t"), .payload = payload });
    wire_send(w, &b);
    sl_buf_free(&b);
}

static void ping(struct wire *w)
{
    struct sl_buf b = { 0 };
    mqtt_encode_pingreq(&b);
    wire_send(w, &b);
    sl_buf_free(&b);
    (void)wire_next(w, MQTT_PINGRESP);
}

/* ---- the kinds of listeners ---- */

static void tcp_on_any_port(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    rig_open(&r, NULL);
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    assert_true(port > 0);
    wire_tcp(&w, &r, port, 0);
    wire_connect(&w, MQTT_V5, "a");
    subscribe(&w, MQTT_V5, "t", 0);
    publish(&w, MQTT_V5, sl_str("hello"));
    (void)wire_next(&w, MQTT_PUBLISH);
    broker_close(r.broker, NULL, NULL); /* says goodbye */
    struct mqtt_frame f = wire_next(&w, MQTT_DISCONNECT);
    assert_int_equal(f.body.ptr[0], MQTT_RC_SHUTTING_DOWN);
    wire_wait_eof(&w);
    wire_close(&w);
    (void)uv_run(&r.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&r.loop), 0);
}

static void port_in_use_is_named(void **state)
{
    (void)state;
    struct rig r;
    struct broker_listener *second = NULL;
    struct sl_err err = { 0 };
    rig_open(&r, NULL);
    struct broker_listener_options o = { .name = "again", .bind = "127.0.0.1" };
    o.port = broker_listener_port(listen_on(&r, NULL, NULL));
    assert_int_equal(broker_listen(r.broker, &o, &second, &err), SL_IO);
    assert_null(second);
    assert_non_null(strstr(err.text, "\"again\""));
    assert_non_null(strstr(err.text, "another program listens there"));
    o = (struct broker_listener_options){ .name = "no address", .bind = "not.an.address" };
    assert_int_equal(broker_listen(r.broker, &o, &second, &err), SL_IO);
    rig_close(&r);
}

static void unix_path(char *path, size_t size, const char *name)
{
    (void)snprintf(path, size, "%s/%s", certs, name);
}

/* A socket file of a program that is gone, as kill -9 leaves it. */
static void leave_stale_socket(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(a.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    (void)close(fd);
}

static void unix_socket_replaces_a_stale_one(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    struct stat st;
    char path[128];
    rig_open(&r, NULL);
    unix_path(path, sizeof path, "mqtt.sock");
    leave_stale_socket(path);
    struct broker_listener *l = listen_on(&r, path, NULL);
    wire_unix(&w, &r, path);
    wire_connect(&w, MQTT_V311, "a");
    broker_unlisten(l);
    assert_int_not_equal(stat(path, &st), 0); /* gone with its listener ... */
    ping(&w);                                 /* ... whose connections stay */
    wire_close(&w);
    rig_close(&r);
}

static void unix_socket_leaves_others_alone(void **state)
{
    (void)state;
    struct rig r;
    struct stat st;
    struct broker_listener *l = NULL;
    struct sl_err err = { 0 };
    char path[128], used[128];
    rig_open(&r, NULL);
    unix_path(path, sizeof path, "precious.txt");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fclose(f);
    struct broker_listener_options o = { .name = "x", .unix_path = path };
    assert_int_equal(broker_listen(r.broker, &o, &l, &err), SL_IO);
    assert_non_null(strstr(err.text, path));
    wire_turn(&r);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    unix_path(used, sizeof used, "used.sock");
    (void)listen_on(&r, used, NULL);
    o.unix_path = used; /* somebody listens there */
    assert_int_equal(broker_listen(r.broker, &o, &l, &err), SL_IO);
    wire_turn(&r);
    assert_int_equal(stat(used, &st), 0);
    rig_close(&r);
}

/* ---- TLS ---- */

static struct tls_context *context(bool server, const char *name)
{
    char cert[128], key[128], ca[128], crl[128];
    struct tls_context *c = NULL;
    struct sl_err err = { 0 };
    (void)snprintf(cert, sizeof cert, "%s/%s.crt", certs, name ? name : "");
    (void)snprintf(key, sizeof key, "%s/%s.key", certs, name ? name : "");
    (void)snprintf(ca, sizeof ca, "%s/ca.crt", certs);
    (void)snprintf(crl, sizeof crl, "%s/ca.crl", certs);
    struct tls_options o = { .server = server,
                             .cert_path = name ? cert : NULL,
                             .key_path = name ? key : NULL,
                             .ca_path = ca,
                             .crl_path = server ? crl : NULL,
                             .client_cert =
                                 server ? TLS_CLIENT_CERT_REQUIRED : TLS_CLIENT_CERT_NONE };
    if (tls_context_new(&c, &o, &err) != SL_OK)
        fail_msg("%s", err.text);
    return c;
}

struct seen {
    char username[32];
};

static void see(void *ctx, const struct broker_client_view *v)
{
    struct seen *s = ctx;
    (void)snprintf(s->username, sizeof s->username, "%.*s", (int)v->username.len,
                   (const char *)v->username.ptr);
}

static void big_packets(struct broker_options *o)
{
    o->max_packet_size = 1 << 20;
}

static void tls_with_client_certificate(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    struct seen seen = { "" };
    struct tls_context *server = context(true, "server"), *client = context(false, "device");
    rig_open(&r, big_packets);
    r.broker->options.anonymous = false; /* the certificate is who it is */
    struct broker_listener *l = listen_on(&r, NULL, server);
    broker_listener_set_tls(l, server,
                            true); /* with itself: the last reference must not go first */
    wire_tcp(&w, &r, broker_listener_port(l), 4096);
    wire_tls(&w, client);
    assert_true(tls_session_established(w.tls));
    wire_connect(&w, MQTT_V5, "a");
    broker_visit_clients(r.broker, see, &seen);
    assert_string_equal(seen.username, "device-01");
    subscribe(&w, MQTT_V5, "t", 0);
    uint8_t *big = malloc(500000);
    assert_non_null(big);
    for (size_t i = 0; i < 500000; i++)
        big[i] = (uint8_t)(i * 31 >> 3);
    publish(&w, MQTT_V5, sl_bytes(big, 500000)); /* several chunks and partial writes */
    struct mqtt_publish m;
    struct mqtt_frame f = wire_next(&w, MQTT_PUBLISH);
    assert_int_equal(mqtt_decode_publish(&f, MQTT_V5, &m, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(m.payload.len, 500000);
    assert_memory_equal(m.payload.ptr, big, 500000);
    free(big);
    struct sl_buf b = { 0 };
    mqtt_encode_connect(&b, &(struct mqtt_connect){ .version = MQTT_V5 });
    wire_send(&w, &b); /* a second CONNECT: told, then closed as TLS should be */
    sl_buf_free(&b);
    (void)wire_next(&w, MQTT_DISCONNECT);
    wire_wait_eof(&w);
    assert_true(w.tls_failed);
    assert_int_equal(tls_session_cut(w.tls, NULL), SL_CLOSED);
    wire_close(&w);
    tls_context_unref(server);
    tls_context_unref(client);
    rig_close(&r);
}

static const struct tls_refusal {
    const char *name, *certificate;
} tls_refusals[] = {
    { "TLS without a client certificate", NULL },
    { "TLS with a certificate of another CA", "other-device" },
    { "TLS with a revoked certificate", "revoked" },
};

static void tls_refuses(void **state)
{
    const struct tls_refusal *c = *state;
    struct rig r;
    struct wire w;
    struct sl_buf b = { 0 };
    struct tls_context *server = context(true, "server"), *client = context(false, c->certificate);
    rig_open(&r, NULL);
    wire_tcp(&w, &r, broker_listener_port(listen_on(&r, NULL, server)), 0);
    wire_tls(&w, client);
    mqtt_encode_pingreq(&b); /* with TLS 1.3 a client may think that it is in */
    if (tls_session_established(w.tls))
        wire_send(&w, &b);
    wire_wait_eof(&w);
    assert_int_equal(w.in.len, 0);
    assert_true(w.tls_failed); /* the alert came before the end */
    wire_close(&w);
    wire_wait_clients(&r, 0);
    sl_buf_free(&b);
    tls_context_unref(server);
    tls_context_unref(client);
    rig_close(&r);
}

static void plain_bytes_on_a_tls_port(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    struct sl_buf b = { 0 };
    struct tls_context *server = context(true, "server");
    rig_open(&r, NULL);
    wire_tcp(&w, &r, broker_listener_port(listen_on(&r, NULL, server)), 0);
    mqtt_encode_connect(&b, &(struct mqtt_connect){ .version = MQTT_V311, .clean_start = true });
    wire_send(&w, &b);
    sl_buf_free(&b);
    wire_wait_eof(&w);
    wire_close(&w);
    tls_context_unref(server);
    rig_close(&r);
}

/* ---- limits ---- */

static void rate_of_two(struct broker_options *o)
{
    o->connect_rate = 2;
}

static void connect_rate_is_kept(void **state)
{
    (void)state;
    struct rig r;
    struct wire w[6];
    rig_open(&r, rate_of_two);
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    for (size_t i = 0; i < SL_ARRAY_LEN(w); i++)
        wire_tcp(&w[i], &r, port, 0);
    for (uint32_t second = 1; second <= 3; second++) {
        for (int i = 0; i < 50; i++)
            wire_turn(&r);
        assert_int_equal(r.broker->client_count, second * 2);
        rig_seconds(&r, 1);
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(w); i++)
        wire_close(&w[i]);
    rig_close(&r);
}

static void three_connections(struct broker_options *o)
{
    o->max_connections = 3;
}

static void one_connection_too_many_is_closed(void **state)
{
    (void)state;
    struct rig r;
    struct wire w[3], more;
    struct broker_stats s;
    rig_open(&r, three_connections);
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    for (size_t i = 0; i < SL_ARRAY_LEN(w); i++)
        wire_tcp(&w[i], &r, port, 0);
    wire_wait_clients(&r, 3);
    wire_tcp(&more, &r, port, 0);
    wire_wait_eof(&more);
    wire_close(&more);
    broker_get_stats(r.broker, &s);
    assert_int_equal(s.connections_refused, 1);
    wire_close(&w[1]);
    wire_wait_clients(&r, 2);
    wire_tcp(&more, &r, port, 0);
    wire_connect(&more, MQTT_V311, "x");
    wire_close(&more);
    wire_close(&w[0]);
    wire_close(&w[2]);
    rig_close(&r);
}

static void silence_before_connect_is_ended(void **state)
{
    (void)state;
    struct rig r;
    struct wire mute, drips;
    struct sl_buf b = { 0 };
    struct tls_context *server = context(true, "server");
    rig_open(&r, NULL); /* connect_timeout 10 s */
    wire_tcp(&mute, &r, broker_listener_port(listen_on(&r, NULL, server)), 0);
    wire_tcp(&drips, &r, broker_listener_port(listen_on(&r, NULL, NULL)), 0);
    wire_wait_clients(&r, 2);
    for (int i = 0; i < 10; i++) { /* a byte a second does not help */
        sl_buf_reset(&b);
        sl_buf_put(&b, i < 2 ? "\x10\x7f" : "x", 1);
        wire_send(&drips, &b);
        wire_turn(&r);
        rig_seconds(&r, 1);
        assert_int_equal(r.broker->client_count, 2);
    }
    rig_seconds(&r, 1);
    wire_wait_eof(&mute);
    wire_wait_eof(&drips);
    sl_buf_free(&b);
    wire_close(&mute);
    wire_close(&drips);
    tls_context_unref(server);
    rig_close(&r);
}

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
    subscribe(&w, MQTT_V311, "t", 0);
    wire_tcp(&from, &r, port, 0);
    wire_connect(&from, MQTT_V311, "from");
    do {
        publish(&from, MQTT_V311, sl_bytes(payload, sizeof payload));
        wire_turn(&r);
        const struct client *c = find(&r, "deaf");
        assert_true(outq_left(&c->out) + c->unsent <= 200000); /* the bound, and one packet */
        broker_get_stats(r.broker, &s);
    } while (s.dropped[BROKER_DROP_SLOW_READER] < 20);
    ping(&from);
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
    subscribe(&w, MQTT_V311, "t", 0);
    wire_tcp(&from, &r, port, 0);
    wire_connect(&from, MQTT_V311, "from");
    unsigned sent = 0;
    do {
        publish(&from, MQTT_V311, sl_bytes(payload, sizeof payload));
        sent++;
        ping(&from);
        broker_get_stats(r.broker, &s);
    } while (s.dropped[BROKER_DROP_SLOW_READER] == 0);
    for (unsigned i = 1; i < sent; i++) {
        (void)wire_next(&w, MQTT_PUBLISH);
        rig_seconds(&r, 20);
    }
    ping(&w);
    wire_close(&w);
    wire_close(&from);
    rig_close(&r);
}

/* It is told why, but what is on the way to it first is not waited for longer than a moment. */
static void closing_does_not_wait_for_a_reader(void **state)
{
    (void)state;
    struct rig r;
    struct wire w, from, again;
    static char payload[50000];
    rig_open(&r, NULL);
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    wire_tcp(&w, &r, port, 4096);
    wire_connect(&w, MQTT_V5, "same");
    subscribe(&w, MQTT_V5, "t", 0);
    wire_tcp(&from, &r, port, 0);
    wire_connect(&from, MQTT_V311, "from");
    while (find(&r, "same")->unsent == 0) {
        publish(&from, MQTT_V311, sl_bytes(payload, sizeof payload));
        ping(&from);
    }
    wire_tcp(&again, &r, port, 0);
    wire_connect(&again, MQTT_V5, "same");
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
    static char payload[50000];
    rig_open(&r, NULL);
    uint16_t port = broker_listener_port(listen_on(&r, NULL, NULL));
    wire_tcp(&w, &r, port, 4096);
    wire_connect(&w, MQTT_V5, "same");
    subscribe(&w, MQTT_V5, "t", 0);
    wire_tcp(&from, &r, port, 0);
    wire_connect(&from, MQTT_V311, "from");
    unsigned sent = 0;
    while (find(&r, "same")->unsent == 0) {
        publish(&from, MQTT_V311, sl_bytes(payload, sizeof payload));
        sent++;
        ping(&from);
    }
    wire_tcp(&again, &r, port, 0);
    wire_connect(&again, MQTT_V5, "same");
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
        subscribe(&w[i], i % 2 ? MQTT_V5 : MQTT_V311, "t", 0);
    }
    wire_tcp(&from, &r, port, 0);
    wire_connect(&from, MQTT_V311, "from");
    publish(&from, MQTT_V311, sl_bytes(big, SIZE));
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

static void fast(struct broker_options *o)
{
    o->connect_rate = 1000000;
    o->sys_interval_ms = 0;
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
    struct tls_context *server = context(true, "server"), *client = context(false, "device");
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
    subscribe(&plain[0], MQTT_V5, "t", 0);
    wire_tls(&tls[0], client);
    wire_connect(&tls[0], MQTT_V5, "deaf too");
    subscribe(&tls[0], MQTT_V5, "t", 0);
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
        publish(&plain[3], MQTT_V311, sl_bytes(payload, sizeof payload));
        ping(&plain[3]);
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

/* ---- certificates ---- */

static int run(const char *command, const char *argument)
{
    char line[512];
    (void)snprintf(line, sizeof line, "%s %s", command, argument);
    int status = system(line);
    return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(certs) && run(SLUICE_MAKE_CERTS, certs) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return run("rm -rf", certs);
}

int main(void)
{
    struct CMUnitTest tests[32];
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(tls_refusals); i++)
        tests[n++] = (struct CMUnitTest){ .name = tls_refusals[i].name,
                                          .test_func = tls_refuses,
                                          .initial_state = (void *)&tls_refusals[i] };
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(tcp_on_any_port),
        cmocka_unit_test(port_in_use_is_named),
        cmocka_unit_test(unix_socket_replaces_a_stale_one),
        cmocka_unit_test(unix_socket_leaves_others_alone),
        cmocka_unit_test(tls_with_client_certificate),
        cmocka_unit_test(plain_bytes_on_a_tls_port),
        cmocka_unit_test(connect_rate_is_kept),
        cmocka_unit_test(one_connection_too_many_is_closed),
        cmocka_unit_test(silence_before_connect_is_ended),
        cmocka_unit_test(reader_that_does_not_read_is_bounded_and_cut),
        cmocka_unit_test(slow_reader_stays),
        cmocka_unit_test(closing_does_not_wait_for_a_reader),
        cmocka_unit_test(goodbye_follows_what_is_on_the_way),
        cmocka_unit_test(big_payload_to_many),
        cmocka_unit_test(nothing_is_left_of_connections),
        cmocka_unit_test(closes_with_everything_pending),
    };
    memcpy(tests + n, plain, sizeof plain);
    n += SL_ARRAY_LEN(plain);
    return _cmocka_run_group_tests("listener", tests, n, set_up, tear_down);
}
