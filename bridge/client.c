/* client.c - the MQTT client's connection and sending. Pure. */
#include "client_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- making and ending ---- */

static void bound_options(struct client_options *o)
{
    if (o->in_flight_max < 1)
        o->in_flight_max = 1;
    if (o->in_flight_max > FLIGHTS_WINDOW_MAX)
        o->in_flight_max = FLIGHTS_WINDOW_MAX;
    if (o->payload_max == 0 || o->payload_max > SL_BUF_MAX - 1024 * 1024)
        o->payload_max = SL_BUF_MAX - 1024 * 1024;
    if (o->ack_timeout_ms < 1)
        o->ack_timeout_ms = 1;
}

enum sl_code client_new(struct client **ret, const struct client_options *options,
                        const struct client_events *events, int64_t now_ms, struct sl_err *err)
{
    if (options->subscriptions->count > SUBSCRIBES_MAX * CLIENT_SUBSCRIBE_MAX)
        return sl_fail(err, SL_LIMIT, "more than %d subscriptions",
                       SUBSCRIBES_MAX * CLIENT_SUBSCRIBE_MAX);
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return sl_fail(err, SL_NOMEM, "memory is out");
    c->options = *options;
    bound_options(&c->options);
    c->events = *events;
    c->subscribe_open = calloc(client_subscribe_packets(c) + 1, sizeof *c->subscribe_open);
    if (!c->subscribe_open || !flights_init(&c->flights, c->options.in_flight_max)) {
        client_free(c);
        return sl_fail(err, SL_NOMEM, "memory is out");
    }
    pacer_init(&c->pacer, c->options.publishes_per_second, c->options.bytes_per_second, now_ms);
    c->in.max = CLIENT_INBOUND_MAX + CLIENT_OUTPUT_HIGH;
    /* One more publish on top of the mark, and half a mebibyte of acknowledgements. */
    c->out.max = CLIENT_OUTPUT_HIGH + c->options.payload_max + 512 * 1024;
    c->ping_sent_ms = CLIENT_NEVER;
    *ret = c;
    return SL_OK;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    flights_free(&c->flights);
    free(c->subscribe_open);
    sl_buf_free(&c->in);
    sl_buf_free(&c->out);
    sl_buf_free(&c->scratch);
    free(c);
}

void client_fail(struct client *c, enum client_fault_kind kind, uint8_t reason, const char *fmt,
                 ...)
{
    if (c->phase == CLIENT_FAILED)
        return; /* the first fault is the cause */
    c->phase = CLIENT_FAILED;
    c->fault.kind = kind;
    c->fault.reason = reason;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(c->fault.text, sizeof c->fault.text, fmt, args); /* cut: still readable */
    va_end(args);
}

void client_settle_output(struct client *c, size_t before, int64_t now_ms)
{
    if (c->out.failed)
        client_fail(c, CLIENT_FAULT_NOT_READING, 0, "the server does not read what we send");
    else if (c->out.len > before)
        c->last_sent_ms = now_ms;
}

static void reset_connection(struct client *c)
{
    c->fault = (struct client_fault){ 0 };
    c->limits = (struct outgoing_limits){ .version = c->version,
                                          .payload_max = c->options.payload_max,
                                          .packet_max = UINT32_MAX,
                                          .qos_max = 1,
                                          .retain = true,
                                          .aws = c->options.aws };
    c->window = c->cautious = c->options.in_flight_max;
    c->refused_since_ms = CLIENT_NEVER;
    c->keep_alive_ms = (int64_t)c->options.keep_alive_s * 1000;
    c->ping_sent_ms = CLIENT_NEVER;
    c->acked_any = false;
    c->quiet_until_ms = CLIENT_NEVER;
    c->last_ack_seq = 0;
    c->asked_ms = 0;
    c->silent_since_ms = CLIENT_NEVER;
    c->subscribe_tries = 0;
    c->subacks_missing = 0;
    c->inbound_first = c->inbound_next;
    c->qos0_count = c->qos0_handed = 0;
    sl_buf_reset(&c->in);
    sl_buf_reset(&c->out);
    sl_buf_shrink(&c->in, CLIENT_OUTPUT_HIGH);
    sl_buf_shrink(&c->out, CLIENT_OUTPUT_HIGH);
}

static void put_connect(struct client *c)
{
    const struct client_options *o = &c->options;
    struct mqtt_connect p = {
        .version = c->version,
        .clean_start = false,
        .keep_alive_s = o->keep_alive_s,
        .client_id = sl_str(o->client_id),
        .has_username = o->username != NULL,
        .username = sl_str(o->username),
        .has_password = o->password != NULL && o->username != NULL,
        .password = sl_str(o->password),
    };
    if (c->version == MQTT_V5) {
        mqtt_set(&p.props, MQTT_P_SESSION_EXPIRY);
        p.props.session_expiry = CLIENT_SESSION_S;
        mqtt_set(&p.props, MQTT_P_RECEIVE_MAXIMUM);
        p.props.receive_max = CLIENT_RECEIVE_MAX;
        if (!o->aws) { /* AWS sends at most 146 KB, and its pages disagree on what it accepts */
            mqtt_set(&p.props, MQTT_P_MAXIMUM_PACKET_SIZE);
            p.props.max_packet_size = CLIENT_INBOUND_MAX;
        }
    }
    mqtt_encode_connect(&c->out, &p);
    c->metered++;
}

void client_start(struct client *c, enum mqtt_version version, int64_t now_ms)
{
    assert(c->phase == CLIENT_IDLE);
    if (version != c->version) { /* a session does not change its version */
        flights_forget(&c->flights);
        c->subscribed = false;
    }
    c->version = version;
    reset_connection(c);
    c->phase = CLIENT_CONNECTING;
    c->last_received_ms = c->last_ack_ms = now_ms;
    put_connect(c);
    client_settle_output(c, 0, now_ms);
}

void client_disconnect(struct client *c)
{
    if (c->phase != CLIENT_UP && c->phase != CLIENT_SUBSCRIBING)
        return;
    mqtt_encode_disconnect(&c->out, c->version,
                           &(struct mqtt_reasoned){ .reason = MQTT_RC_SUCCESS });
    c->phase = CLIENT_ENDING;
}

/* A DISCONNECT that blames what we sent, not the server's own affairs. */
static bool blames_us(const struct client_fault *f)
{
    switch (f->reason) {
    case MQTT_RC_SUCCESS:
    case MQTT_RC_SERVER_BUSY:
    case MQTT_RC_SHUTTING_DOWN:
    case MQTT_RC_KEEP_ALIVE_TIMEOUT:
    case MQTT_RC_SESSION_TAKEN_OVER:
    case MQTT_RC_MESSAGE_RATE_TOO_HIGH:
    case MQTT_RC_QUOTA_EXCEEDED:
    case MQTT_RC_ADMINISTRATIVE:
    case MQTT_RC_USE_ANOTHER_SERVER:
    case MQTT_RC_SERVER_MOVED:
    case MQTT_RC_CONNECTION_RATE_EXCEEDED:
    case MQTT_RC_MAXIMUM_CONNECT_TIME: return false;
    default: return f->kind == CLIENT_FAULT_DISCONNECTED; /* a byte off the wire, not an enum */
    }
}

void client_lost(struct client *c, bool hung_up)
{
    const struct flight *oldest = c->flights.oldest;
    if ((hung_up || blames_us(&c->fault)) && oldest && !c->acked_any)
        suspicion_hung_up(&c->suspicion, oldest->lane, oldest->number);
    flights_remember(&c->flights);
    c->phase = CLIENT_IDLE;
    reset_connection(c);
}

/* ---- input ---- */

/* Takes whole packets off `in`; what is left of it is the unfinished one. */
static void handle_packets(struct client *c, struct sl_cursor *in, int64_t now_ms)
{
    while (c->phase != CLIENT_FAILED) {
        struct mqtt_frame f;
        switch (mqtt_frame_next(in, CLIENT_INBOUND_MAX, &f, NULL)) {
        case MQTT_FRAME_OK: client_handle(c, &f, now_ms); break;
        case MQTT_FRAME_MORE: return;
        case MQTT_FRAME_TOO_LARGE:
            client_fail(c, CLIENT_FAULT_PROTOCOL, MQTT_RC_PACKET_TOO_LARGE,
                        "the server sent a packet above %u bytes", CLIENT_INBOUND_MAX);
            return;
        case MQTT_FRAME_MALFORMED:
            client_fail(c, CLIENT_FAULT_PROTOCOL, MQTT_RC_MALFORMED,
                        "what the server sends is not MQTT");
            return;
        }
    }
}

void client_feed(struct client *c, struct sl_slice bytes, int64_t now_ms)
{
    if (c->phase == CLIENT_IDLE || c->phase == CLIENT_FAILED || c->phase == CLIENT_ENDING ||
        bytes.len == 0)
        return;
    size_t before = c->out.len;
    c->last_received_ms = now_ms;
    c->ping_sent_ms = CLIENT_NEVER; /* any byte shows that the server lives */
    bool kept = c->in.len > 0;
    if (kept)
        sl_buf_put_slice(&c->in, bytes);
    struct sl_cursor in = sl_cursor(kept ? sl_buf_slice(&c->in) : bytes);
    if (!c->in.failed)
        handle_packets(c, &in, now_ms);
    if (kept)
        sl_buf_consume(&c->in, c->in.len - in.left);
    else if (c->phase != CLIENT_FAILED)
        sl_buf_put_slice(&c->in, sl_cursor_rest(&in));
    if (c->in.failed)
        client_fail(c, CLIENT_FAULT_MEMORY, 0, "no memory for what the server sends");
    client_settle_output(c, before, now_ms);
}

/* ---- sending ---- */

void client_send_subscribes(struct client *c, int64_t now_ms)
{
    const struct topicmap *map = c->options.subscriptions;
    size_t packets = client_subscribe_packets(c);
    for (size_t i = 0; i < packets; i++) {
        struct mqtt_sub_entry entries[CLIENT_SUBSCRIBE_MAX] = { 0 };
        size_t n = 0;
        for (size_t at = i * CLIENT_SUBSCRIBE_MAX; at < map->count && n < CLIENT_SUBSCRIBE_MAX;
             at++, n++) {
            entries[n].filter = sl_str(map->pairs[at].cloud);
            entries[n].qos = map->pairs[at].qos;
        }
        c->metered += c->subscribe_open[i];
        if (c->subscribe_open[i])
            mqtt_encode_subscribe(&c->out, c->version, (uint16_t)(SUBSCRIBE_ID_FIRST + i),
                                  &(struct mqtt_props){ 0 }, entries, n);
    }
    c->subscribe_sent_ms = now_ms;
    c->subscribe_tries++;
}

/* False when the packet is above what the server takes. */
static bool encode(struct client *c, struct outbox_item *item, uint16_t packet_id, bool dup,
                   int64_t now_ms)
{
    struct outgoing p = { .item = item,
                          .gateway_id = c->options.gateway_id,
                          .packet_id = packet_id,
                          .dup = dup,
                          .now_ms = now_ms };
    size_t before = c->out.len;
    uint64_t metered;
    bool fits = outgoing_encode(&c->out, &c->scratch, &c->limits, &p, &metered);
    c->metered += fits ? metered : 0;
    pacer_spend(&c->pacer, c->out.len - before, now_ms);
    client_settle_output(c, before, now_ms);
    return fits;
}

#define TOO_LARGE "packet larger than the server takes"

static void publish_qos0(struct client *c, struct outbox_item *item, int64_t now_ms)
{
    assert(c->qos0_count < CLIENT_QOS0_MAX);
    if (!encode(c, item, 0, false, now_ms)) {
        c->events.dead(c->events.ctx, item, TOO_LARGE, false);
        return;
    }
    c->qos0[c->qos0_count++] = item;
}

static void give_up(struct client *c, struct flight *fl)
{
    struct outbox_item *item = fl->item;
    flights_drop(&c->flights, fl);
    c->events.dead(c->events.ctx, item, TOO_LARGE, false);
}

void client_publish(struct client *c, struct outbox_item *item, int64_t now_ms)
{
    assert(c->phase == CLIENT_UP);
    char reason[96];
    if (suspicion_convicts(&c->suspicion, item)) {
        c->events.dead(c->events.ctx, item, "the server hangs up when this is published", false);
        return;
    }
    size_t len = outgoing_payload_len(item, c->options.gateway_id, &c->scratch);
    if (!outgoing_allowed(&c->limits, item->msg, len, reason, sizeof reason)) {
        c->events.dead(c->events.ctx, item, reason, false);
        return;
    }
    if (outgoing_qos(&c->limits, item->msg) == 0) {
        publish_qos0(c, item, now_ms);
        return;
    }
    struct flight *fl = flights_add(&c->flights, item, now_ms);
    if (!encode(c, item, fl->packet_id, fl->dup, now_ms))
        give_up(c, fl);
}

void client_send_again(struct client *c, struct flight *fl, int64_t now_ms)
{
    flights_again(&c->flights, fl, now_ms);
    if (!encode(c, fl->item, fl->packet_id, fl->dup, now_ms))
        give_up(c, fl);
}

struct sl_buf *client_output(struct client *c)
{
    return &c->out;
}

void client_handed(struct client *c)
{
    sl_buf_reset(&c->out);
    sl_buf_shrink(&c->out, 2 * CLIENT_OUTPUT_HIGH);
    c->qos0_handed = c->qos0_count;
}

void client_written(struct client *c)
{
    uint32_t n = c->qos0_handed;
    struct outbox_item *done[CLIENT_QOS0_MAX];
    memcpy(done, c->qos0, n * sizeof done[0]);
    c->qos0_count -= n;
    c->qos0_handed = 0;
    memmove(c->qos0, c->qos0 + n, c->qos0_count * sizeof c->qos0[0]);
    for (uint32_t i = 0; i < n; i++)
        c->events.acked(c->events.ctx, done[i]);
}

/* ---- looking at it ---- */

int64_t client_patience_ms(const struct client *c, int64_t ms)
{
    int64_t slow = 2 * client_round_trip_ms(c);
    return slow > ms ? slow : ms;
}

bool client_silent(const struct client *c, int64_t now_ms)
{
    return c->flights.sent > 0 && c->ping_sent_ms != CLIENT_NEVER &&
           now_ms - c->ping_sent_ms >= client_patience_ms(c, SILENT_MS);
}

static bool refused_for_long(const struct client *c, int64_t now_ms)
{
    return c->refused_since_ms != CLIENT_NEVER && flights_hold(&c->flights) &&
           now_ms - c->refused_since_ms >= REFUSED_STALL_MS;
}

enum client_stall client_stall(const struct client *c, int64_t now_ms)
{
    if (c->phase != CLIENT_UP)
        return CLIENT_FLOWS;
    if (c->flights.late > 0)
        return CLIENT_OVERDUE;
    if (client_silent(c, now_ms))
        return CLIENT_SILENT;
    return refused_for_long(c, now_ms) ? CLIENT_REFUSED : CLIENT_FLOWS;
}

uint64_t client_metered(const struct client *c)
{
    return c->metered;
}

uint64_t client_refused(const struct client *c)
{
    return c->refused;
}

int64_t client_room_at(struct client *c, int64_t now_ms)
{
    bool careful = suspicion_careful(&c->suspicion);
    uint32_t window = careful ? 1 : c->window;
    bool room = c->phase == CLIENT_UP && c->out.len < CLIENT_OUTPUT_HIGH &&
                c->qos0_count < CLIENT_QOS0_MAX && flights_count(&c->flights) < window &&
                c->flights.sent < c->cautious && !flights_hold(&c->flights) &&
                client_stall(c, now_ms) == CLIENT_FLOWS;
    if (!room)
        return CLIENT_NEVER;
    int64_t at = pacer_ready_at(&c->pacer, now_ms);
    return careful && c->quiet_until_ms > at ? c->quiet_until_ms : at;
}

bool client_blameless(const struct client *c)
{
    return c->acked_any || c->flights.sent == 0;
}

enum client_phase client_phase(const struct client *c)
{
    return c->phase;
}

const struct client_fault *client_fault(const struct client *c)
{
    return &c->fault;
}

uint32_t client_in_flight(const struct client *c)
{
    return flights_count(&c->flights) + c->qos0_count;
}

size_t client_payload_max(const struct client *c)
{
    return c->limits.payload_max;
}

size_t client_packet_max(const struct client *c)
{
    return c->limits.packet_max == UINT32_MAX ? SIZE_MAX : c->limits.packet_max;
}

int64_t client_round_trip_ms(const struct client *c)
{
    return c->rtt_x8_ms / 8;
}

enum mqtt_version client_version(const struct client *c)
{
    return c->version;
}
