/* cmd_simulate.c - sluice simulate: sensors that are not there, each with an MQTT connection of its
 * own.
 *
 * A sensor connects, publishes a reading every interval, and comes back with its unacknowledged
 * readings after a lost connection. Ends after --count readings each, or when it is told to. */
#include "cli.h"
#include "commands.h"
#include "sim_readings.h"

#include "base/file.h"
#include "base/topic.h"
#include "broker/mqtt.h"

#include <assert.h>
#include <math.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { RECONNECT_MS = 1000, PENDING_MAX = 64, PACKET_MAX = 1024 * 1024, TOPIC_MAX = 200 };

static const char usage[] =
    "Usage: sluice simulate [OPTIONS]\n"
    "\n"
    "Simulated sensors that publish readings by MQTT, for demonstrations and load.\n"
    "\n"
    "      --host H           the broker (default 127.0.0.1)\n"
    "      --port P           its port (default 1883)\n"
    "      --sensors N        how many sensors (default 10)\n"
    "      --interval D       between two readings of a sensor (default 1s)\n"
    "      --count N          readings of each sensor, then end (default: until stopped)\n"
    "      --seed S           the same seed gives the same readings (default 1)\n"
    "      --csv FILE         replay the file's rows, each sensor from another row on\n"
    "      --topic T          topic; {sensor} is the sensor's name (default site/{sensor}/air)\n"
    "      --qos Q            0 or 1 (default 1)\n"
    "      --user NAME        user name, and\n"
    "      --password-file F  a file with its password\n"
    "      --help             this text\n";

struct options {
    const char *host, *csv, *topic, *user, *password_file;
    uint64_t port, sensors, count, seed, qos;
    int64_t interval_ms;
};

struct reading {
    uint16_t packet_id;
    bool sent; /* once, on this connection or one before */
    uint8_t *payload;
    size_t len;
};

struct sim;

struct sensor {
    struct sim *sim;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    bool open;    /* tcp is initialised and not yet closed */
    bool up;      /* CONNACK has come */
    bool closing; /* the sensor is done */
    unsigned holds;
    char name[24], topic[256];
    struct sim_room room;
    size_t row;
    uint64_t made, acknowledged;
    struct reading pending[PENDING_MAX]; /* QoS 1: sent or to be sent, not acknowledged, in order */
    unsigned pending_count;
    uint16_t next_id;
    struct sl_buf in;
};

struct sim {
    uv_loop_t loop;
    struct options o;
    struct sim_csv csv;
    struct sl_buf password;
    struct sockaddr_storage address;
    struct sensor *sensors;
    size_t running;
    uv_signal_t sigint, sigterm;
    uint64_t published, acknowledged, reconnects, skipped;
    bool complained, stopping;
    char input[16384];
};

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
    if (s->pending_count == PENDING_MAX) {
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
    const struct options *o = &s->sim->o;
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

/* ---- all of them ---- */

static void sensor_topic(struct sensor *s, const char *pattern)
{
    const char *at = strstr(pattern, "{sensor}");
    if (at)
        (void)snprintf(s->topic, sizeof s->topic, "%.*s%s%s", (int)(at - pattern), pattern, s->name,
                       at + 8);
    else
        (void)snprintf(s->topic, sizeof s->topic, "%s", pattern);
}

static void sensor_start(struct sim *sim, size_t i)
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

static void on_signal(uv_signal_t *h, int number)
{
    struct sim *sim = h->data;
    (void)number;
    sim->stopping = true;
    for (size_t i = 0; i < sim->o.sensors; i++) {
        struct sensor *s = &sim->sensors[i];
        if (s->closing)
            sensor_drop(s); /* no more waiting for a goodbye to be written */
        sensor_finish(s);
    }
}

static int resolve(struct sim *sim)
{
    char port[8];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    (void)snprintf(port, sizeof port, "%u", (unsigned)sim->o.port);
    int rc = getaddrinfo(sim->o.host, port, &hints, &list);
    if (rc != 0)
        return cli_error(CLI_FAIL, "simulate", "--host %s: %s", sim->o.host, gai_strerror(rc));
    memcpy(&sim->address, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return CLI_GO;
}

static int load_files(struct sim *sim)
{
    struct sl_err err = { 0 };
    if (sim->o.csv && sim_csv_load(&sim->csv, sim->o.csv, &err) != SL_OK)
        return cli_error(CLI_FAIL, "simulate", "--csv: %s", err.text);
    if (!sim->o.password_file)
        return CLI_GO;
    if (sl_file_read(sim->o.password_file, 4096, &sim->password, &err) != SL_OK)
        return cli_error(CLI_FAIL, "simulate", "--password-file: %s", err.text);
    while (sim->password.len > 0 && (sim->password.ptr[sim->password.len - 1] == '\n' ||
                                     sim->password.ptr[sim->password.len - 1] == '\r'))
        sim->password.len--;
    return CLI_GO;
}

static int run(struct sim *sim)
{
    sim->sensors = calloc((size_t)sim->o.sensors, sizeof *sim->sensors);
    if (!sim->sensors || uv_loop_init(&sim->loop) != 0) {
        free(sim->sensors);
        return cli_error(CLI_FAIL, "simulate", "out of memory");
    }
    (void)uv_signal_init(&sim->loop, &sim->sigint); /* without signals it ends less politely */
    (void)uv_signal_init(&sim->loop, &sim->sigterm);
    sim->sigint.data = sim->sigterm.data = sim;
    (void)uv_signal_start(&sim->sigint, on_signal, SIGINT);
    (void)uv_signal_start(&sim->sigterm, on_signal, SIGTERM);
    sim->running = (size_t)sim->o.sensors;
    for (size_t i = 0; i < sim->o.sensors; i++)
        sensor_start(sim, i);
    (void)uv_run(&sim->loop, UV_RUN_DEFAULT); /* until every sensor is done */
    int closed = uv_loop_close(&sim->loop);
    assert(closed == 0);
    (void)closed;
    free(sim->sensors);
    printf("published %llu, acknowledged %llu, reconnected %llu, skipped %llu\n",
           (unsigned long long)sim->published, (unsigned long long)sim->acknowledged,
           (unsigned long long)sim->reconnects, (unsigned long long)sim->skipped);
    return fflush(stdout) == 0 ? CLI_OK : CLI_FAIL;
}

static int check_options(const struct options *o)
{
    if (!sl_topic_valid(sl_str(o->topic)) || strlen(o->topic) > TOPIC_MAX)
        return cli_error(CLI_USAGE, "simulate",
                         "--topic: \"%s\" is not a topic (no + or #, at most %d bytes)", o->topic,
                         TOPIC_MAX);
    if (o->password_file && !o->user)
        return cli_error(CLI_USAGE, "simulate", "--password-file needs --user");
    return CLI_GO;
}

int cmd_simulate(int argc, char **argv)
{
    struct options o = { .host = "127.0.0.1",
                         .topic = "site/{sensor}/air",
                         .port = 1883,
                         .sensors = 10,
                         .seed = 1,
                         .qos = 1,
                         .interval_ms = 1000 };
    struct cli_args args;
    const struct cli_option options[] = {
        CLI_TEXT("host", '\0', &o.host),
        CLI_NUMBER("port", '\0', &o.port, 1, 65535),
        CLI_NUMBER("sensors", '\0', &o.sensors, 1, 10000),
        CLI_DURATION("interval", '\0', &o.interval_ms, 1, 86400000),
        CLI_NUMBER("count", '\0', &o.count, 1, 0),
        CLI_NUMBER("seed", '\0', &o.seed, 0, 0),
        CLI_TEXT("csv", '\0', &o.csv),
        CLI_TEXT("topic", '\0', &o.topic),
        CLI_NUMBER("qos", '\0', &o.qos, 0, 1),
        CLI_TEXT("user", '\0', &o.user),
        CLI_TEXT("password-file", '\0', &o.password_file),
        CLI_END,
    };
    const struct cli_command command = { .name = "simulate", .usage = usage, .options = options };
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    status = check_options(&o);
    if (status != CLI_GO)
        return status;
    struct sim *sim = calloc(1, sizeof *sim);
    if (!sim)
        return cli_error(CLI_FAIL, "simulate", "out of memory");
    sim->o = o;
    status = load_files(sim);
    if (status == CLI_GO)
        status = resolve(sim);
    if (status == CLI_GO)
        status = run(sim);
    sim_csv_free(&sim->csv);
    sl_buf_free(&sim->password);
    free(sim);
    return status;
}
