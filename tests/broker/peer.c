/* peer.c - clients without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"

static int64_t fake_mono(void *ctx)
{
    return ((struct rig *)ctx)->mono_ms;
}

static int64_t fake_wall(void *ctx)
{
    return ((struct rig *)ctx)->wall_ms;
}

static void authenticate(void *ctx, struct broker_auth *auth, struct sl_slice user,
                         struct sl_slice password)
{
    struct rig *r = ctx;
    (void)user;
    (void)password;
    if (r->later)
        r->asked = auth;
    else if (r->nameless)
        broker_auth_nameless(auth);
    else
        broker_auth_done(auth, r->answer);
}

void rig_open(struct rig *r, void (*adjust)(struct broker_options *o))
{
    *r = (struct rig){ .mono_ms = 1000000, .wall_ms = 1764000000000, .answer = true };
    r->clock = (struct sl_clock){ fake_mono, fake_wall, r };
    assert_int_equal(uv_loop_init(&r->loop), 0);
    struct broker_options o = {
        .loop = &r->loop,
        .clock = &r->clock,
        .hooks = { .ctx = r, .authenticate = authenticate },
        .version = "test",
        .anonymous = true,
        .max_connections = 100,
        .max_packet_size = 65536,
        .max_inflight = 4,
        .receive_maximum = 4,
        .max_queued_messages = 10,
        .max_queued_bytes = 100000,
        .topic_alias_max = 4,
        .max_qos = 2,
        .retain = true,
        .max_keep_alive_s = 3600,
        .session_expiry_max_s = 1000,
        .connect_timeout_ms = 10000,
        .connect_rate = 100,
    };
    if (adjust)
        adjust(&o);
    assert_int_equal(broker_open(&r->broker, &o, NULL), SL_OK);
}

static void on_closed(void *ctx)
{
    ((struct rig *)ctx)->closed = true;
}

void rig_close(struct rig *r)
{
    broker_close(r->broker, on_closed, r);
    (void)uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_true(r->closed);
    assert_int_equal(uv_loop_close(&r->loop), 0);
}

void rig_turn(struct rig *r)
{
    broker_flush(r->broker);
}

void rig_seconds(struct rig *r, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        r->mono_ms += 1000;
        r->wall_ms += 1000;
        r->broker->now_ms = 0;
        r->broker->tick.timer_cb(&r->broker->tick);
        rig_turn(r);
    }
}

static struct peer *peer_of(struct client *c)
{
    return SL_CONTAINER_OF(c, struct peer, client);
}

static void finish(struct peer *p)
{
    p->open = false;
    client_fini(&p->client);
}

static void flush(struct client *c)
{
    struct peer *p = peer_of(c);
    struct outq_iov iov[OUTQ_IOV_MAX];
    while (!p->stuck && outq_left(&c->out) > 0) {
        unsigned n = outq_iov(&c->out, iov);
        size_t total = 0;
        for (unsigned i = 0; i < n; i++) {
            sl_buf_put(&p->received, iov[i].ptr, iov[i].len);
            total += iov[i].len;
        }
        outq_advance(&c->out, total);
    }
    if (!p->stuck)
        outq_release(&c->out, &c->broker->pool);
    if (p->close_wanted && p->open)
        finish(p);
}

static void reading(struct client *c, bool on)
{
    peer_of(c)->reading = on;
}

static void want_close(struct client *c)
{
    peer_of(c)->close_wanted = true;
    broker_mark_dirty(c->broker, c);
}

static struct sl_slice address(struct client *c)
{
    return sl_str(peer_of(c)->address);
}

bool peer_open_from(struct peer *p, struct rig *r, enum mqtt_version v, const char *from)
{
    static const struct client_transport transport = { flush, reading, want_close, address };
    *p = (struct peer){ .rig = r, .version = v, .reading = true, .address = from };
    p->open = client_open(&p->client, r->broker, &transport);
    return p->open;
}

void peer_open(struct peer *p, struct rig *r, enum mqtt_version v)
{
    assert_true(peer_open_from(p, r, v, "test"));
}

void peer_send(struct peer *p, const struct sl_buf *bytes)
{
    assert_true(p->open);
    client_receive(&p->client, sl_buf_slice(bytes));
    rig_turn(p->rig);
}

static void send_and_free(struct peer *p, struct sl_buf *bytes)
{
    assert_false(bytes->failed);
    peer_send(p, bytes);
    sl_buf_free(bytes);
}

void peer_send_connect(struct peer *p, const struct mqtt_connect *c)
{
    struct sl_buf b = { 0 };
    mqtt_encode_connect(&b, c);
    send_and_free(p, &b);
}

void peer_connect(struct peer *p, const char *id, bool clean, uint32_t session_expiry_s)
{
    struct mqtt_connect c = { .version = p->version,
                              .clean_start = clean,
                              .client_id = sl_str(id) };
    if (p->version == MQTT_V5 && session_expiry_s > 0) {
        mqtt_set(&c.props, MQTT_P_SESSION_EXPIRY);
        c.props.session_expiry = session_expiry_s;
    }
    peer_send_connect(p, &c);
}

void peer_online(struct peer *p, struct rig *r, enum mqtt_version v, const char *id)
{
    peer_open(p, r, v);
    peer_connect(p, id, true, 0);
    (void)peer_next(p, MQTT_CONNACK);
}

void peer_drop(struct peer *p)
{
    client_eof(&p->client);
    rig_turn(p->rig);
    assert_false(p->open);
    sl_buf_free(&p->received);
}

void peer_disconnect(struct peer *p)
{
    struct sl_buf b = { 0 };
    mqtt_encode_disconnect(&b, p->version, &(struct mqtt_reasoned){ 0 });
    send_and_free(p, &b);
    assert_false(p->open);
    sl_buf_free(&p->received);
}

struct mqtt_frame peer_next(struct peer *p, enum mqtt_type type)
{
    struct mqtt_frame f;
    static uint8_t kept[70000]; /* the frame outlives the buffer it is taken from */
    struct sl_cursor in = sl_cursor(sl_buf_slice(&p->received));
    assert_int_equal(mqtt_frame_next(&in, UINT32_MAX, &f, NULL), MQTT_FRAME_OK);
    assert_int_equal(f.type, type);
    assert_true(f.body.len <= sizeof kept);
    memcpy(kept, f.body.ptr, f.body.len);
    f.body.ptr = kept;
    sl_buf_consume(&p->received, f.size);
    return f;
}

void peer_expect_disconnect(struct peer *p, uint8_t reason)
{
    struct mqtt_frame f = peer_next(p, MQTT_DISCONNECT);
    assert_int_equal(f.body.len ? f.body.ptr[0] : 0, reason);
    assert_false(p->open);
    sl_buf_free(&p->received);
}

bool peer_quiet(struct peer *p)
{
    return p->received.len == 0;
}

struct mqtt_publish peer_next_publish(struct peer *p)
{
    struct mqtt_publish out;
    struct mqtt_frame f = peer_next(p, MQTT_PUBLISH);
    assert_int_equal(mqtt_decode_publish(&f, p->version, &out, NULL), MQTT_RC_SUCCESS);
    return out;
}

uint16_t peer_next_ack(struct peer *p, enum mqtt_type type, uint8_t *ret_reason)
{
    struct mqtt_ack a;
    struct mqtt_frame f = peer_next(p, type);
    assert_int_equal(mqtt_decode_ack(&f, p->version, &a, NULL), MQTT_RC_SUCCESS);
    if (ret_reason)
        *ret_reason = a.reason;
    return a.packet_id;
}

void peer_subscribe(struct peer *p, const char *filter, uint8_t qos)
{
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str(filter), .qos = qos };
    mqtt_encode_subscribe(&b, p->version, 77, NULL, &e, 1);
    send_and_free(p, &b);
    (void)peer_next(p, MQTT_SUBACK);
}

void peer_publish(struct peer *p, const char *topic, const char *payload, uint8_t qos, bool retain,
                  uint16_t id)
{
    struct sl_buf b = { 0 };
    struct mqtt_publish m = { .qos = qos,
                              .retain = retain,
                              .packet_id = id,
                              .topic = sl_str(topic),
                              .payload = sl_str(payload) };
    mqtt_encode_publish(&b, p->version, &m);
    send_and_free(p, &b);
}

void peer_ack(struct peer *p, enum mqtt_type type, uint16_t id, uint8_t reason)
{
    struct sl_buf b = { 0 };
    mqtt_encode_ack(&b, p->version, type, &(struct mqtt_ack){ .packet_id = id, .reason = reason });
    send_and_free(p, &b);
}

void assert_text(struct sl_slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}
