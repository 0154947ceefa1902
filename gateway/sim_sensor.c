/* sim_sensor.c - see sim_sensor.h. */
#include "sim_sensor.h"

#include "broker/mqtt.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { RECONNECT_MS = 1000, PACKET_MAX = 1024 * 1024 };

static void sensor_schedule(struct sensor *s, uint64_t ms);
static void sensor_finish(struct sensor *s);

/* ---- writing ---- */

struct write {
    uv_write_t req;
    struct sensor *sensor;
    struct sl_buf bytes;
};

static void on_written(uv_write_t *req, int status)
{
    struct write *w = req->data;
    (void)status; /* a lost connection shows on the reading side */
    sl_buf_free(&w->bytes);
    free(w);
}

/* Takes over bytes. False when nothing was written: done will not be called. */
static bool sensor_write(struct sensor *s, struct sl_buf *bytes, uv_write_cb done)
{
    struct write *w = bytes->failed ? NULL : calloc(1, sizeof *w);
    if (!w) {
        sl_buf_free(bytes);
        return false;
    }
    w->sensor = s;
    w->bytes = *bytes;
    w->req.data = w;
    uv_buf_t buf = uv_buf_init((char *)w->bytes.ptr, (unsigned)w->bytes.len);
    if (uv_write(&w->req, (uv_stream_t *)&s->tcp, &buf, 1, done) == 0)
        return true;
    on_written(&w->req, 0);
    return false;
}

static void send_reading(struct sensor *s, struct reading *r)
{
    struct sl_buf out = { 0 };
    struct mqtt_publish p = {
        .dup = r->sent,
        .qos = (uint8_t)s->sim->o.qos,
        .packet_id = r->packet_id,
        .topic = sl_str(s->topic),
        .payload = { r->payload, r->len },
    };
    mqtt_encode_publish(&out, MQTT_V311, &p);
    (void)sensor_write(s, &out, on_written); /* without acknowledgement it is sent again */
    s->sim->published += !r->sent;
    r->sent = true;
}

/* ---- readings ---- */

static void make_payload(struct sensor *s, struct sl_buf *out)
{
    if (s->sim->csv.row_count > 0)
        sim_csv_row(&s->sim->csv, s->row++, out);
    else
        sim_room_next(&s->room, (double)s->sim->o.interval_ms / 1000, out);
}

static bool all_made(const struct sensor *s)
{
    return s->sim->o.count > 0 && s->made >= s->sim->o.count;
}

static void take_reading(struct sensor *s)
{
    struct sl_buf payload = { 0 };
    if (s->pending_count == SIM_PENDING_MAX) {
        s->sim->skipped++; /* a sensor's memory is small: this reading is never taken */
        return;
    }
    make_payload(s, &payload);
    if (payload.failed) {
        sl_buf_free(&payload);
        return;
    }
    s->made++;
    struct reading r = { .packet_id = s->next_id, .payload = payload.ptr, .len = payload.len };
    if (s->sim->o.qos == 0) {
        if (s->up)
            send_reading(s, &r);
        else
            s->sim->skipped++;
        free(payload.ptr);
        return;
    }
    s->next_id = s->next_id == UINT16_MAX ? 1 : (uint16_t)(s->next_id + 1);
    s->pending[s->pending_count] = r;
    if (s->up)
        send_reading(s, &s->pending[s->pending_count]);
    s->pending_count++;
}

static void on_acknowledged(struct sensor *s, uint16_t packet_id)
{
    for (unsigned i = 0; i < s->pending_count; i++) {
        if (s->pending[i].packet_id != packet_id)
            continue;
        free(s->pending[i].payload);
        memmove(s->pending + i, s->pending + i + 1,
                (s->pending_count - i - 1) * sizeof *s->pending);
        s->pending_count--;
        s->acknowledged++;
        s->sim->acknowledged++;
        break;
    }
    if (all_made(s) && s->pending_count == 0)
        sensor_finish(s);
}

/* ---- the connection ---- */

static void sensor_release(struct sensor *s)
{
    assert(s->holds > 0);
    if (--s->holds > 0 || !s->closing)
        return;
    sl_buf_free(&s->in);
    for (unsigned i = 0; i < s->pending_count; i++)
        free(s->pending[i].payload);
    s->pending_count = 0;
    if (--s->sim->running == 0) {
        uv_close((uv_handle_t *)&s->sim->sigint, NULL);
        uv_close((uv_handle_t *)&s->sim->sigterm, NULL);
    }
}

static void on_timer_closed(uv_handle_t *h)
{
    sensor_release(h->data);
}

static void sensor_connect(struct sensor *s);

static void on_tcp_closed(uv_handle_t *h)
{
    struct sensor *s = h->data;
    s->open = s->up = false;
    sl_buf_reset(&s->in);
    if (!s->closing) {
        s->sim->reconnects++;
        sensor_schedule(s, RECONNECT_MS);
    }
    sensor_release(s);
}

static void sensor_drop(struct sensor *s)
{
    if (s->open && !uv_is_closing((uv_handle_t *)&s->tcp))
        uv_close((uv_handle_t *)&s->tcp, on_tcp_closed);
}

static void on_said_goodbye(uv_write_t *req, int status)
{
    struct write *w = req->data;
    struct sensor *s = w->sensor;
    on_written(req, status);
    sensor_drop(s);
}

/* DISCONNECT behind what is still on its way; the connection closes when it is written. */
static bool say_goodbye(struct sensor *s)
{
    struct sl_buf out = { 0 };
    mqtt_encode_disconnect(&out, MQTT_V311, &(struct mqtt_reasoned){ 0 });
    return sensor_write(s, &out, on_said_goodbye);
}

static void sensor_finish(struct sensor *s)
{
    if (s->closing)
        return;
    s->closing = true;
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
    if (!s->up || s->sim->stopping || !say_goodbye(s))
        sensor_drop(s);
}

static void complain(struct sim *sim, const char *text)
{
    if (!sim->complained) /* a thousand sensors have the same trouble: said once until it is over */
        (void)fprintf(stderr, "sluice simulate: %s:%llu: %s: trying again\n", sim->o.host,
                      (unsigned long long)sim->o.port, text);
    sim->complained = true;
}

static bool on_packet(struct sensor *s, const struct mqtt_frame *f)
{
    struct mqtt_connack ack;
    struct mqtt_ack a;
    if (f->type == MQTT_CONNACK && mqtt_decode_connack(f, MQTT_V311, &ack, NULL) == 0) {
        if (ack.reason != 0) {
            complain(s->sim, "the broker refused the connection (user name or password?)");
            return false;
        }
        s->up = true;
        s->sim->complained = false;
        if (s->made == 0)
            sensor_schedule(s, 0); /* the first reading does not wait for an interval */
        for (unsigned i = 0; i < s->pending_count; i++)
            send_reading(s, &s->pending[i]);
        return true;
    }
    if (f->type == MQTT_PUBACK && mqtt_decode_ack(f, MQTT_V311, &a, NULL) == 0) {
        on_acknowledged(s, a.packet_id);
        return true;
    }
    return f->type == MQTT_PINGRESP;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct sensor *s = h->data;
    *buf = uv_buf_init(s->sim->input, sizeof s->sim->input);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct sensor *s = stream->data;
    struct mqtt_frame f;
    if (n < 0) {
        if (!s->closing)
            complain(s->sim,
                     n == UV_EOF ? "the broker closed the connection" : uv_strerror((int)n));
        sensor_drop(s);
        return;
    }
    sl_buf_put(&s->in, buf->base, (size_t)n);
    struct sl_cursor in = sl_cursor(sl_buf_slice(&s->in));
    enum mqtt_frame_result result = MQTT_FRAME_MORE;
    while (!s->closing && (result = mqtt_frame_next(&in, PACKET_MAX, &f, NULL)) == MQTT_FRAME_OK) {
        if (!on_packet(s, &f)) {
            sensor_drop(s);
            return;
        }
    }
    if (result == MQTT_FRAME_MALFORMED || result == MQTT_FRAME_TOO_LARGE || s->in.failed)
        sensor_drop(s);
    sl_buf_consume(&s->in, s->in.len - in.left);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct sensor *s = req->data;
    if (status == UV_ECANCELED)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read) != 0) {
        complain(s->sim, uv_strerror(status < 0 ? status : UV_EIO));
        sensor_drop(s);
        return;
    }
    struct sl_buf out = { 0 };
    const struct sim_options *o = &s->sim->o;
    struct mqtt_connect p = {
        .version = MQTT_V311,
        .clean_start = true,
        .client_id = sl_str(s->name),
        .has_username = o->user != NULL,
        .username = sl_str(o->user),
        .has_password = s->sim->password.len > 0,
        .password = sl_buf_slice(&s->sim->password),
    };
    mqtt_encode_connect(&out, &p);
    if (!sensor_write(s, &out, on_written))
        sensor_drop(s);
}

static void sensor_connect(struct sensor *s)
{
    if (uv_tcp_init(&s->sim->loop, &s->tcp) != 0) {
        sensor_schedule(s, RECONNECT_MS);
        return;
    }
    s->tcp.data = s;
    s->connect.data = s;
    s->open = true;
    s->holds++;
    if (uv_tcp_connect(&s->connect, &s->tcp, (const struct sockaddr *)&s->sim->address,
                       on_connected) != 0)
        sensor_drop(s);
}

/* A sensor's turn: connect when there is no connection, else (or while waiting for one) take a
 * reading. */
static void on_timer(uv_timer_t *t)
{
    struct sensor *s = t->data;
    if (!s->open) {
        sensor_connect(s);
        sensor_schedule(s, (uint64_t)s->sim->o.interval_ms);
        return;
    }
    if (!all_made(s))
        take_reading(s);
    if (all_made(s) && (s->sim->o.qos == 0 || s->pending_count == 0)) {
        sensor_finish(s);
        return;
    }
    sensor_schedule(s, (uint64_t)s->sim->o.interval_ms);
}

static void sensor_schedule(struct sensor *s, uint64_t ms)
{
    if (!s->closing)
        (void)uv_timer_start(&s->timer, on_timer, ms, 0); /* fails only without a callback */
}

/* ---- its life ---- */

static void sensor_topic(struct sensor *s, const char *pattern)
{
    const char *at = strstr(pattern, "{sensor}");
    if (at)
        (void)snprintf(s->topic, sizeof s->topic, "%.*s%s%s", (int)(at - pattern), pattern, s->name,
                       at + 8);
    else
        (void)snprintf(s->topic, sizeof s->topic, "%s", pattern);
}

void sensor_start(struct sim *sim, size_t i)
{
    struct sensor *s = &sim->sensors[i];
    s->sim = sim;
    s->next_id = 1;
    s->holds = 1;
    (void)snprintf(s->name, sizeof s->name, "sim-%04u", (unsigned)(i + 1));
    sensor_topic(s, sim->o.topic);
    sim_room_init(&s->room, sim->o.seed, (uint32_t)i);
    if (sim->csv.row_count > 0)
        s->row = i * sim->csv.row_count / (size_t)sim->o.sensors;
    (void)uv_timer_init(&sim->loop, &s->timer); /* always 0 */
    s->timer.data = s;
    /* Spread over the interval, as real ones are, and over at most a second for the first
     * connection. */
    uint64_t spread = (uint64_t)sim->o.interval_ms < 1000 ? (uint64_t)sim->o.interval_ms : 1000;
    sensor_schedule(s, spread * i / sim->o.sensors);
}

void sensor_stop(struct sensor *s)
{
    if (s->closing)
        sensor_drop(s); /* no more waiting for a goodbye to be written */
    sensor_finish(s);
}
