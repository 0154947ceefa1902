/* fake_server.c - the misbehaving server. */
#include "fake_server.h"

#include "broker/mqtt.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct fake_client {
    uv_tcp_t tcp;
    struct fake_server *server;
    enum mqtt_version version;
    struct sl_buf in, out;
    bool closing;
};

static char read_space[65536];

static void on_client_closed(uv_handle_t *h)
{
    struct fake_client *c = h->data;
    if (c->server->client == c)
        c->server->client = NULL;
    sl_buf_free(&c->in);
    sl_buf_free(&c->out);
    free(c);
}

static void hang_up(struct fake_client *c)
{
    if (c->closing)
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->tcp, on_client_closed);
}

static void on_connect(struct fake_client *c, const struct mqtt_frame *f)
{
    struct fake_server *s = c->server;
    struct mqtt_connect p;
    assert_int_equal(mqtt_decode_connect(f, &p, NULL), 0);
    c->version = p.version;
    if (s->connect_count < FAKE_CONNECTS_MAX) {
        s->connects[s->connect_count].version = (uint8_t)p.version;
        s->connects[s->connect_count].at_ms = uv_hrtime() / 1000000;
    }
    s->connect_count++;
    struct mqtt_connack ack = { .reason = 0 };
    switch (s->mode) {
    case FAKE_ONLY_V4:
        if (p.version == MQTT_V5)
            sl_buf_put(&c->out, "\x20\x02\x00\x01", 4);
        else
            mqtt_encode_connack(&c->out, p.version, &ack);
        break;
    case FAKE_HANG_UP: hang_up(c); break;
    case FAKE_HANG_UP_ON_5:
        if (p.version == MQTT_V5)
            hang_up(c);
        else
            mqtt_encode_connack(&c->out, p.version, &ack);
        break;
    case FAKE_SILENT: break;
    case FAKE_REFUSE:
        ack.reason = p.version == MQTT_V5 ? MQTT_RC_NOT_AUTHORIZED : 5;
        mqtt_encode_connack(&c->out, p.version, &ack);
        break;
    case FAKE_STOP_READING:
        (void)uv_read_stop((uv_stream_t *)&c->tcp); /* always 0 */
        mqtt_encode_connack(&c->out, p.version, &ack);
        break;
    case FAKE_TAKE_OVER:
        mqtt_encode_connack(&c->out, p.version, &ack);
        mqtt_encode_disconnect(&c->out, p.version,
                               &(struct mqtt_reasoned){ .reason = MQTT_RC_SESSION_TAKEN_OVER });
        break;
    case FAKE_KICK: {
        mqtt_encode_connack(&c->out, p.version, &ack);
        uv_buf_t buf = uv_buf_init((char *)c->out.ptr, (unsigned)c->out.len);
        assert_true(uv_try_write((uv_stream_t *)&c->tcp, &buf, 1) == (int)c->out.len);
        hang_up(c);
        break;
    }
    case FAKE_ACCEPT:
    case FAKE_NO_PUBACK: mqtt_encode_connack(&c->out, p.version, &ack); break;
    }
}

static void on_publish(struct fake_client *c, const struct mqtt_frame *f)
{
    struct mqtt_publish p;
    assert_int_equal(mqtt_decode_publish(f, c->version, &p, NULL), 0);
    c->server->publish_count++;
    if (p.qos == 1 && c->server->mode != FAKE_NO_PUBACK)
        mqtt_encode_ack(&c->out, c->version, MQTT_PUBACK,
                        &(struct mqtt_ack){ .packet_id = p.packet_id });
}

static void take_packets(struct fake_client *c)
{
    struct sl_cursor in = sl_cursor(sl_buf_slice(&c->in));
    struct mqtt_frame f;
    while (!c->closing && mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK) {
        if (f.type == MQTT_CONNECT)
            on_connect(c, &f);
        else if (f.type == MQTT_PUBLISH)
            on_publish(c, &f);
        else if (f.type == MQTT_DISCONNECT)
            hang_up(c);
    }
    sl_buf_consume(&c->in, c->in.len - in.left);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    (void)suggested;
    *buf = uv_buf_init(read_space, sizeof read_space);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct fake_client *c = stream->data;
    if (n < 0) {
        hang_up(c);
        return;
    }
    if (c->server->mode == FAKE_SILENT)
        return;
    sl_buf_put(&c->in, buf->base, (size_t)n);
    take_packets(c);
    if (c->closing || c->out.len == 0)
        return;
    uv_buf_t out = uv_buf_init((char *)c->out.ptr, (unsigned)c->out.len);
    int sent = uv_try_write(stream, &out, 1);
    if (sent > 0)
        sl_buf_consume(&c->out, (size_t)sent);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct fake_server *s = listener->data;
    struct fake_client *c = calloc(1, sizeof *c);
    assert_int_equal(status, 0);
    assert_non_null(c);
    c->server = s;
    assert_int_equal(uv_tcp_init(s->loop, &c->tcp), 0);
    c->tcp.data = c;
    s->client = c;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&c->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0);
}

void fake_start(struct fake_server *s, uv_loop_t *loop, enum fake_mode mode)
{
    struct sockaddr_in a;
    int size = sizeof a;
    *s = (struct fake_server){ .loop = loop, .mode = mode };
    assert_int_equal(uv_tcp_init(loop, &s->listener), 0);
    s->listener.data = s;
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &a), 0);
    assert_int_equal(uv_tcp_bind(&s->listener, (const struct sockaddr *)&a, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&s->listener, 8, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&s->listener, (struct sockaddr *)&a, &size), 0);
    s->port = ntohs(a.sin_port);
}

void fake_cut(struct fake_server *s)
{
    assert_non_null(s->client);
    hang_up(s->client);
}

void fake_resume(struct fake_server *s)
{
    assert_non_null(s->client);
    assert_int_equal(uv_read_start((uv_stream_t *)&s->client->tcp, on_alloc, on_read), 0);
}

void fake_stop(struct fake_server *s)
{
    if (s->client)
        hang_up(s->client);
    uv_close((uv_handle_t *)&s->listener, NULL);
}
