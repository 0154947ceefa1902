/* fuzz_records.c - a database after a power cut, as the broker may find it: any rows in any order,
 * then a client that comes for its session.
 *
 * Rows are: kind, length of the key, length of the value (two bytes), key, value. What a decoder
 * accepts must encode to what it was; what the broker takes must not bring it down, and must reach
 * the client as packets that are well-formed. */
#include "fake_store.h"
#include "persist_internal.h"

#include "client.h"

#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    uv_loop_t loop;
    struct sl_clock clock;
    int64_t ms;
    struct fake_store store;
    struct broker *broker;
    struct client client;
    struct sl_buf received;
    bool open, closed;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- records alone ---- */

static void check_same(struct sl_buf *encoded, struct sl_slice tail, struct sl_slice value)
{
    sl_buf_put_slice(encoded, tail);
    must(!encoded->failed && sl_slice_eq(sl_buf_slice(encoded), value));
    sl_buf_free(encoded);
}

/* The rows that hold no message say the same again. Those that do hold times: they change. */
static void check_decoders(enum broker_row kind, struct sl_slice value)
{
    struct sl_buf b = { 0 };
    struct record_subscription sub;
    uint64_t origins;
    switch (kind) {
    case BROKER_ROW_META:
        if (record_take_origins(value, &origins)) {
            record_put_origins(&b, origins);
            check_same(&b, (struct sl_slice){ 0 }, value);
        }
        break;
    case BROKER_ROW_SESSION:
    case BROKER_ROW_DELIVERY:
    case BROKER_ROW_RETAINED: break;
    case BROKER_ROW_SUBSCRIPTION:
        if (record_take_subscription(value, &sub)) {
            record_put_subscription(&b, &sub);
            check_same(&b, (struct sl_slice){ 0 }, value);
        }
        break;
    case BROKER_ROW_RECEIVED:
        if (record_take_received(value)) {
            record_put_received(&b);
            check_same(&b, (struct sl_slice){ 0 }, value);
        }
        break;
    case BROKER_ROWS: break;
    }
}

/* ---- the client ---- */

static struct fuzz *fuzz_of(struct client *c)
{
    return SL_CONTAINER_OF(c, struct fuzz, client);
}

static void flush(struct client *c)
{
    struct fuzz *f = fuzz_of(c);
    struct outq_iov iov[OUTQ_IOV_MAX];
    while (outq_left(&c->out) > 0) {
        size_t total = 0;
        unsigned n = outq_iov(&c->out, iov);
        for (unsigned i = 0; i < n; i++) {
            sl_buf_put(&f->received, iov[i].ptr, iov[i].len);
            total += iov[i].len;
        }
        outq_advance(&c->out, total);
    }
    outq_release(&c->out, &c->broker->pool);
    if (c->state == CLIENT_CLOSING && f->open) {
        f->open = false;
        client_fini(c);
    }
}

static void reading(struct client *c, bool on)
{
    (void)c;
    (void)on;
}

static void want_close(struct client *c)
{
    broker_mark_dirty(c->broker, c);
}

static struct sl_slice address(struct client *c)
{
    (void)c;
    return sl_str("fuzz");
}

static void answer(struct fuzz *f, enum mqtt_type type, uint16_t id)
{
    struct sl_buf b = { 0 };
    mqtt_encode_ack(&b, MQTT_V5, type, &(struct mqtt_ack){ .packet_id = id });
    if (f->open)
        client_receive(&f->client, sl_buf_slice(&b));
    sl_buf_free(&b);
}

static void hear(struct fuzz *f, const struct mqtt_frame *frame)
{
    struct mqtt_publish p;
    struct mqtt_ack a;
    switch ((enum mqtt_type)frame->type) {
    case MQTT_PUBLISH:
        must(mqtt_decode_publish(frame, MQTT_V5, &p, NULL) == MQTT_RC_SUCCESS);
        if (p.qos > 0)
            answer(f, p.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, p.packet_id);
        break;
    case MQTT_PUBREL:
        must(mqtt_decode_ack(frame, MQTT_V5, &a, NULL) == MQTT_RC_SUCCESS);
        answer(f, MQTT_PUBCOMP, a.packet_id);
        break;
    case MQTT_CONNACK:
    case MQTT_SUBACK:
    case MQTT_DISCONNECT: break;
    default: abort();
    }
}

/* Whatever there is, to its end. */
static void drain(struct fuzz *f)
{
    do {
        struct sl_buf bytes = f->received;
        struct sl_cursor in = sl_cursor(sl_buf_slice(&bytes));
        struct mqtt_frame frame;
        f->received = (struct sl_buf){ 0 };
        while (in.left > 0) {
            must(mqtt_frame_next(&in, UINT32_MAX, &frame, NULL) == MQTT_FRAME_OK);
            hear(f, &frame);
        }
        sl_buf_free(&bytes);
        broker_flush(f->broker);
        store_commit(&f->store);
        broker_flush(f->broker);
    } while (f->received.len > 0);
}

/* The client whose id is "c" comes back and wants all that is retained. */
static void come_back(struct fuzz *f)
{
    static const struct client_transport transport = { flush, reading, want_close, address };
    struct mqtt_connect connect = { .version = MQTT_V5, .client_id = sl_str("c") };
    struct mqtt_sub_entry all = { .filter = sl_str("#"), .qos = 2 };
    struct sl_buf b = { 0 };
    mqtt_set(&connect.props, MQTT_P_SESSION_EXPIRY);
    connect.props.session_expiry = 100;
    mqtt_encode_connect(&b, &connect);
    mqtt_encode_subscribe(&b, MQTT_V5, 1, NULL, &all, 1);
    f->open = client_open(&f->client, f->broker, &transport);
    must(f->open);
    client_receive(&f->client, sl_buf_slice(&b));
    sl_buf_free(&b);
    drain(f);
}

/* ---- the broker ---- */

static int64_t now(void *ctx)
{
    return ((struct fuzz *)ctx)->ms;
}

static void open_fuzz(struct fuzz *f)
{
    *f = (struct fuzz){ .ms = 1800000000000 };
    f->clock = (struct sl_clock){ now, now, f };
    store_open(&f->store);
    struct broker_options o = {
        .loop = &f->loop,
        .clock = &f->clock,
        .version = "fuzz",
        .anonymous = true,
        .max_connections = 10,
        .max_packet_size = 65536,
        .max_inflight = 3,
        .receive_maximum = 3,
        .max_queued_messages = 5,
        .max_queued_bytes = 20000,
        .max_qos = 2,
        .retain = true,
        .max_keep_alive_s = 60,
        .session_expiry_max_s = 100,
        .connect_timeout_ms = 5000,
        .persistence = &f->store.face,
        .spill_ms = 100,
    };
    must(uv_loop_init(&f->loop) == 0);
    must(broker_open(&f->broker, &o, NULL) == SL_OK);
}

static void on_closed(void *ctx)
{
    ((struct fuzz *)ctx)->closed = true;
}

static void close_fuzz(struct fuzz *f)
{
    if (f->open)
        client_eof(&f->client);
    broker_flush(f->broker);
    broker_close(f->broker, on_closed, f);
    while (!f->closed) {
        store_commit(&f->store);
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    store_commit(&f->store);
    must(uv_loop_close(&f->loop) == 0);
    sl_buf_free(&f->received);
    store_free(&f->store);
}

static bool take_row(struct sl_cursor *in, uint8_t *kind, struct sl_slice *key,
                     struct sl_slice *value)
{
    uint8_t key_len;
    uint16_t value_len;
    return sl_take_u8(in, kind) && sl_take_u8(in, &key_len) && sl_take_u16(in, &value_len) &&
           sl_take(in, key_len, key) && sl_take(in, value_len, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_cursor in = { data, size };
    struct sl_slice key, value;
    uint8_t kind;
    struct fuzz *f = malloc(sizeof *f);
    must(f != NULL);
    sl_log_configure(SL_ERROR, SL_LOG_TEXT);
    open_fuzz(f);
    while (take_row(&in, &kind, &key, &value)) {
        check_decoders((enum broker_row)(kind % BROKER_ROWS), value);
        (void)broker_restore(f->broker, (enum broker_row)(kind % BROKER_ROWS), key, value);
    }
    broker_restored(f->broker);
    f->broker->tick.timer_cb(&f->broker->tick);
    drain(f);
    come_back(f);
    broker_resync(f->broker);
    f->ms += 200000;
    f->broker->now_ms = 0;
    f->broker->tick.timer_cb(&f->broker->tick);
    drain(f);
    close_fuzz(f);
    free(f);
    return 0;
}
