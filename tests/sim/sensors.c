/* sensors.c - clients of the broker: each publishes, keeps what is not acknowledged, and sends it
 * again on its next connection. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAD_MAX = 1200 }; /* in a small store: it fills within seconds */

static const char *const topics[KINDS] = {
    [KIND_ALERT] = "in/alert", [KIND_NORMAL] = "in/normal", [KIND_TELEMETRY] = "in/telemetry",
    [KIND_BOTH] = "in/both",   [KIND_HOT] = "in/hot",       [KIND_CHAIN] = "in/chain",
};

uint32_t sensor_message_of(struct sl_slice payload)
{
    static const char head[] = "{\"id\":";
    size_t at = sizeof head - 1;
    uint32_t id = 0;
    must(sl_slice_starts(payload, sl_str(head)));
    for (; at < payload.len && payload.ptr[at] >= '0' && payload.ptr[at] <= '9'; at++)
        id = id * 10 + (payload.ptr[at] - '0');
    return id;
}

/* ---- the transport ---- */

static struct sensor *sensor_of(struct client *c)
{
    return SL_CONTAINER_OF(c, struct sensor, client);
}

static void flush(struct client *c)
{
    struct sensor *n = sensor_of(c);
    struct outq_iov iov[OUTQ_IOV_MAX];
    while (outq_left(&c->out) > 0) {
        unsigned count = outq_iov(&c->out, iov);
        size_t total = 0;
        for (unsigned i = 0; i < count; i++) {
            if (!n->sim->muted)
                sl_buf_put(&n->received, iov[i].ptr, iov[i].len);
            total += iov[i].len;
        }
        outq_advance(&c->out, total);
    }
    outq_release(&c->out, &c->broker->pool);
}

static void reading(struct client *c, bool on)
{
    (void)c; /* sensor_step() looks at `held` before it sends */
    (void)on;
}

static void bury(void *ctx)
{
    struct sensor *n = ctx;
    if (n->client.dirty) { /* its last turn is still to come */
        loop_later(&n->sim->loop, 0, bury, n);
        return;
    }
    struct broker *b = n->client.broker;
    client_fini(&n->client);
    sl_buf_free(&n->received);
    n->open = n->close_wanted = n->connected = false;
    broker_release(b);
}

static void want_close(struct client *c)
{
    struct sensor *n = sensor_of(c);
    n->close_wanted = true;
    broker_mark_dirty(c->broker, c);
    loop_later(&n->sim->loop, 1, bury, n);
}

static struct sl_slice address(struct client *c)
{
    return sl_str(sensor_of(c)->name);
}

void sensor_cut(struct sensor *n)
{
    if (n->open && !n->close_wanted)
        client_eof(&n->client);
    n->connected = false;
}

static void tell(struct sensor *n, struct sl_buf *b)
{
    must(!b->failed);
    if (n->open && !n->close_wanted)
        client_receive(&n->client, sl_buf_slice(b));
    sl_buf_free(b);
}

/* ---- what comes from the broker ---- */

static void forget(struct sensor *n, uint16_t packet_id, bool acked)
{
    for (unsigned i = 0; i < SIM_UNACKED; i++) {
        if (n->unacked[i].message == 0 || n->unacked[i].packet_id != packet_id)
            continue;
        if (acked)
            n->sim->message[n->unacked[i].message].acked = true;
        if (acked)
            n->unacked[i].message = 0;
        else /* it was refused: another time, as a new one */
            n->unacked[i].sent = n->unacked[i].repeat = n->unacked[i].released = false;
    }
}

static void release(struct sensor *n, uint16_t packet_id)
{
    struct sl_buf b = { 0 };
    for (unsigned i = 0; i < SIM_UNACKED; i++) {
        if (n->unacked[i].message == 0 || n->unacked[i].packet_id != packet_id)
            continue;
        n->unacked[i].released = true;
        n->sim->message[n->unacked[i].message].acked = true; /* PUBREC: the broker's now */
    }
    mqtt_encode_ack(&b, n->version, MQTT_PUBREL, &(struct mqtt_ack){ .packet_id = packet_id });
    tell(n, &b);
}

static void on_ack(struct sensor *n, const struct mqtt_frame *f)
{
    struct mqtt_ack p;
    must(mqtt_decode_ack(f, n->version, &p, NULL) == MQTT_RC_SUCCESS);
    if (f->type == MQTT_PUBREC && p.reason < 0x80)
        release(n, p.packet_id);
    else
        forget(n, p.packet_id, p.reason < 0x80 || f->type == MQTT_PUBCOMP);
}

static void on_frame(struct sensor *n, const struct mqtt_frame *f)
{
    struct mqtt_connack ack;
    switch (f->type) {
    case MQTT_CONNACK:
        must(mqtt_decode_connack(f, n->version, &ack, NULL) == MQTT_RC_SUCCESS);
        n->connected = ack.reason == MQTT_RC_SUCCESS;
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBCOMP: on_ack(n, f); break;
    case MQTT_DISCONNECT: n->connected = false; break;
    default: must_say(false, "packet type %u from the broker", f->type);
    }
}

void sensors_read(struct sim *s)
{
    for (unsigned i = 0; i < SIM_SENSORS; i++) {
        struct sensor *n = &s->sensor[i];
        struct sl_buf bytes = n->received; /* what is answered may bring more */
        n->received = (struct sl_buf){ 0 };
        struct sl_cursor in = sl_cursor(sl_buf_slice(&bytes));
        struct mqtt_frame f;
        while (in.left > 0) {
            must(mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK);
            on_frame(n, &f);
        }
        sl_buf_free(&bytes);
    }
}

/* ---- what it does ---- */

static void connect_again(struct sensor *n)
{
    static const struct client_transport transport = { flush, reading, want_close, address };
    struct sim *s = n->sim;
    struct sl_buf b = { 0 };
    if (!s->gateway || s->gateway->stopping)
        return;
    n->open = client_open(&n->client, s->gateway->broker, &transport);
    if (!n->open)
        return;
    s->gateway->broker->holds++; /* as a connection does */
    for (unsigned i = 0; i < SIM_UNACKED; i++) {
        n->unacked[i].repeat |= n->unacked[i].sent;
        n->unacked[i].sent = false;
        n->unacked[i].released = false; /* the session is new: it is published again */
    }
    mqtt_encode_connect(&b, &(struct mqtt_connect){ .version = n->version,
                                                    .clean_start = true,
                                                    .client_id = sl_str(n->name) });
    tell(n, &b);
}

static uint8_t lanes_of(enum sim_kind kind, unsigned value)
{
    switch (kind) {
    case KIND_ALERT: return 1u << OUTBOX_ALERT;
    case KIND_NORMAL: return 1u << OUTBOX_NORMAL;
    case KIND_TELEMETRY: return 1u << OUTBOX_TELEMETRY;
    case KIND_BOTH: return 1u << OUTBOX_ALERT | 1u << OUTBOX_TELEMETRY;
    case KIND_HOT: return value > 50 ? 1u << OUTBOX_NORMAL : 0;
    case KIND_CHAIN: return 1u << OUTBOX_TELEMETRY;
    case KINDS:
    case KIND_COMMAND: break;
    }
    return 0;
}

/* The value follows from the number, so that what is sent again is the same. */
static unsigned value_of(uint32_t message)
{
    return message * 37 % 100;
}

uint32_t sim_new_message(struct sim *s, enum sim_kind kind, uint8_t wanted)
{
    if (s->message_count + 1 == SIM_MESSAGES)
        return 0;
    uint32_t id = ++s->message_count;
    s->message[id] =
        (struct sim_message){ .kind = kind, .wanted = wanted, .made_ms = s->loop.now_ms };
    return id;
}

static uint32_t new_message(struct sim *s)
{
    enum sim_kind kind = (enum sim_kind)sim_below(s, KINDS);
    return sim_new_message(s, kind, lanes_of(kind, value_of(s->message_count + 1)));
}

static void publish(struct sensor *n, unsigned i)
{
    struct sim *s = n->sim;
    uint32_t id = n->unacked[i].message;
    s->message[id].sent++;
    char pad[PAD_MAX], payload[PAD_MAX + 64];
    memset(pad, '.', sizeof pad);
    int len = snprintf(payload, sizeof payload, "{\"id\":%u,\"v\":%u,\"pad\":\"%.*s\"}", id,
                       value_of(id), (int)(s->bounded ? id * 7919 % PAD_MAX : id % 200), pad);
    struct sl_buf b = { 0 };
    mqtt_encode_publish(&b, n->version,
                        &(struct mqtt_publish){ .dup = n->unacked[i].repeat,
                                                .qos = n->unacked[i].qos,
                                                .packet_id = n->unacked[i].packet_id,
                                                .topic = sl_str(topics[s->message[id].kind]),
                                                .payload = sl_bytes(payload, (size_t)len) });
    n->unacked[i].sent = true;
    tell(n, &b);
}

void sensor_step(struct sensor *n)
{
    struct sim *s = n->sim;
    if (!n->open) {
        connect_again(n);
        return;
    }
    for (unsigned i = 0; i < SIM_UNACKED && n->connected && !n->close_wanted; i++) {
        if (n->client.held)
            return; /* it would not be read */
        if (n->unacked[i].message != 0 && !n->unacked[i].sent) {
            publish(n, i);
        } else if (n->unacked[i].message == 0 && !s->draining && sim_chance(s, 300)) {
            uint32_t id = new_message(s);
            if (id == 0)
                return;
            n->unacked[i].message = id;
            n->unacked[i].packet_id = n->next_id;
            n->unacked[i].sent = n->unacked[i].repeat = n->unacked[i].released = false;
            n->unacked[i].qos = sim_chance(s, 200) ? 2 : 1;
            n->next_id = (uint16_t)(n->next_id % 60000 + 1);
            publish(n, i);
        }
    }
}

bool sensors_are_done(const struct sim *s)
{
    for (unsigned i = 0; i < SIM_SENSORS; i++)
        for (unsigned k = 0; k < SIM_UNACKED; k++)
            if (s->sensor[i].unacked[k].message != 0)
                return false;
    return true;
}
