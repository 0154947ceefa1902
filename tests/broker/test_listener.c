/* test_listener.c - listeners with real sockets: TCP, Unix, TLS, and their limits. The loop is
 * real, the clock is the test's: nothing sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "listener_rig.h"

#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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
    wire_subscribe(&w, MQTT_V5, "t", 0);
    wire_publish(&w, MQTT_V5, sl_str("hello"));
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
    wire_ping(&w);                            /* ... whose connections stay */
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
    assert_non_null(strstr(err.text, "no socket"));
    wire_turn(&r);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    unix_path(used, sizeof used, "used.sock");
    (void)listen_on(&r, used, NULL);
    o.unix_path = used; /* somebody listens there */
    assert_int_equal(broker_listen(r.broker, &o, &l, &err), SL_IO);
    assert_non_null(strstr(err.text, "another program listens there"));
    wire_turn(&r);
    assert_int_equal(stat(used, &st), 0);
    unix_path(used, sizeof used, "no-folder/mqtt.sock"); /* libuv calls it "permission denied" */
    assert_int_equal(broker_listen(r.broker, &o, &l, &err), SL_IO);
    assert_non_null(strstr(err.text, "its folder is not there"));
    wire_turn(&r);
    rig_close(&r);
}

/* ---- TLS ---- */

struct seen {
    char username[32];
};

static void see(void *ctx, const struct broker_client_view *v)
{
    struct seen *s = ctx;
    (void)snprintf(s->username, sizeof s->username, "%.*s", (int)v->username.len,
                   (const char *)v->username.ptr);
}

static void tls_with_client_certificate(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    struct seen seen = { "" };
    struct tls_context *server = server_tls(), *client = client_tls("device");
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
    wire_subscribe(&w, MQTT_V5, "t", 0);
    uint8_t *big = malloc(500000);
    assert_non_null(big);
    for (size_t i = 0; i < 500000; i++)
        big[i] = (uint8_t)(i * 31 >> 3);
    wire_publish(&w, MQTT_V5, sl_bytes(big, 500000)); /* several chunks and partial writes */
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
    struct tls_context *server = server_tls(), *client = client_tls(c->certificate);
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
    struct tls_context *server = server_tls();
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
    struct tls_context *server = server_tls();
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

int main(void)
{
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
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(tls_refusals)];
    size_t n = SL_ARRAY_LEN(plain);
    memcpy(tests, plain, sizeof plain);
    n += ROWS_OF(tests + n, tls_refusals, tls_refuses);
    return _cmocka_run_group_tests("listener", tests, n, tls_pair_make_certs,
                                   tls_pair_remove_certs);
}
