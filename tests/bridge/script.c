/* script.c - runs a conversation between the client core and a server that the script plays.
 *
 *   opt ask=MS           (beside the next line's: first lines, too)
 *   opt window=N ka=S ack=MS pps=N aws=1 max=N sub=CLOUD>LOCAL:QOS user=U pass=P   (first lines)
 *   start 5|4            a connection opens
 *   srv PACKET ...       the server sends: connack SP RC [rm= ka= mq= ra= mps=] | puback ID [RC]
 *                        | suback ID C,C.. | publish QOS ID TOPIC PAYLOAD [alias=N] | pingresp
 *                        | disconnect RC | pubrel ID
 *   hex BYTES            the server sends these bytes; "drip BYTES": one at a time
 *   pub LANE NUM QOS TOPIC PAYLOAD [r] [ttl=S] [age=MS]   the outbox gives a message
 *   big LANE NUM BYTES   the same with so large a payload
 *   out TEXT | out -     the next packet that the client sent, or none
 *   ev TEXT | ev -       the next thing it told its owner, or none
 *   t MS                 time passes, then a tick
 *   room yes|no|MS       may the next publish be given: now, not before an event, in MS
 *   due MS|never         when the next tick is wanted
 *   phase WORD, fault WORD, stalled 0|1, flying N
 *   done TOKEN [REASON]  a message "later" was taken, or not; one "full" is refused at once
 *   written              what was handed over lies in the kernel
 *   bye, lost [hung-up]  we disconnect; the connection is gone */
#include "script.h"

#include "client.h"
#include "element.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS_MAX 512

struct rig {
    struct client *client;
    struct client_options options;
    struct topicmap topics;
    struct outbox_item items[ITEMS_MAX];
    size_t item_count;
    struct sl_buf out, events;
    size_t out_at, events_at;
    int64_t now;
    enum mqtt_version version;
    char user[64], pass[64];
    const char *line; /* under way, for messages */
};

/* ---- what the client says to its owner ---- */

static void on_acked(void *ctx, struct outbox_item *item)
{
    struct rig *r = ctx;
    for (; item; item = element_next(item))
        sl_buf_printf(&r->events, "acked %s%" PRIu64 "\n", outbox_lane_name(item->lane),
                      item->number);
}

static void on_dead(void *ctx, struct outbox_item *item, const char *reason, bool content)
{
    struct rig *r = ctx;
    for (; item; item = element_next(item))
        sl_buf_printf(&r->events, "dead %s%" PRIu64 " %s%s\n", outbox_lane_name(item->lane),
                      item->number, reason, content ? " content" : "");
}

static enum client_take on_message(void *ctx, const struct mqtt_publish *p, uint64_t token)
{
    struct rig *r = ctx;
    sl_buf_printf(&r->events, "message q%u %.*s %.*s%s\n", p->qos, SL_FMT(p->topic),
                  SL_FMT(p->payload), p->retain ? " retain" : "");
    if (sl_slice_eq(p->payload, sl_str("later")))
        sl_buf_printf(&r->events, "token %" PRIu64 "\n", token);
    return sl_slice_eq(p->payload, sl_str("later"))  ? CLIENT_TAKES_LATER
           : sl_slice_eq(p->payload, sl_str("full")) ? CLIENT_REFUSES
                                                     : CLIENT_TAKEN;
}

static void on_refused(void *ctx, const char *filter, uint8_t reason)
{
    struct rig *r = ctx;
    sl_buf_printf(&r->events, "unsubscribed %s %02x\n", filter, reason);
}

static void make_client(struct rig *r)
{
    struct client_events events = { .ctx = r,
                                    .acked = on_acked,
                                    .dead = on_dead,
                                    .message = on_message,
                                    .subscription_refused = on_refused };
    r->options.subscriptions = &r->topics;
    assert_int_equal(client_new(&r->client, &r->options, &events, r->now, NULL), SL_OK);
}

/* ---- what the client sends, as text ---- */

static void print_user_properties(struct sl_buf *text, struct sl_slice raw)
{
    struct sl_cursor at = sl_cursor(raw);
    for (struct mqtt_prop_item item; mqtt_props_next(&at, &item);) {
        if (item.id == MQTT_P_USER_PROPERTY)
            sl_buf_printf(text, " %.*s=%.*s", SL_FMT(item.key), SL_FMT(item.value));
    }
}

static void print_connect(struct sl_buf *text, const struct mqtt_frame *f)
{
    struct mqtt_connect p;
    assert_int_equal(mqtt_decode_connect(f, &p, NULL), 0);
    sl_buf_printf(text, "CONNECT v%d %.*s clean=%d ka=%u", (int)p.version, SL_FMT(p.client_id),
                  p.clean_start, p.keep_alive_s);
    if (mqtt_has(&p.props, MQTT_P_SESSION_EXPIRY))
        sl_buf_printf(text, " expiry=%u", p.props.session_expiry);
    if (mqtt_has(&p.props, MQTT_P_MAXIMUM_PACKET_SIZE))
        sl_buf_printf(text, " max=%u", p.props.max_packet_size);
    if (mqtt_has(&p.props, MQTT_P_TOPIC_ALIAS_MAXIMUM) && p.props.topic_alias_max > 0)
        sl_buf_put_str(text, " aliases");
    if (p.has_username)
        sl_buf_printf(text, " user=%.*s", SL_FMT(p.username));
    if (p.has_password)
        sl_buf_printf(text, " pass=%.*s", SL_FMT(p.password));
}

static void print_publish(struct sl_buf *text, const struct mqtt_frame *f, enum mqtt_version v)
{
    struct mqtt_publish p;
    assert_int_equal(mqtt_decode_publish(f, v, &p, NULL), 0);
    sl_buf_printf(text, "PUBLISH q%u", p.qos);
    if (p.qos > 0)
        sl_buf_printf(text, " id=%u", p.packet_id);
    sl_buf_printf(text, "%s%s %.*s", p.dup ? " dup" : "", p.retain ? " retain" : "",
                  SL_FMT(p.topic));
    if (p.payload.len < 100)
        sl_buf_printf(text, " %.*s", SL_FMT(p.payload));
    if (mqtt_has(&p.props, MQTT_P_MESSAGE_EXPIRY))
        sl_buf_printf(text, " ttl=%u", p.props.message_expiry);
    print_user_properties(text, p.props.raw);
}

static void print_subscribe(struct sl_buf *text, const struct mqtt_frame *f, enum mqtt_version v)
{
    struct mqtt_subscribe p;
    assert_int_equal(mqtt_decode_subscribe(f, v, &p, NULL), 0);
    sl_buf_printf(text, "SUBSCRIBE id=%u", p.packet_id);
    struct sl_cursor list = sl_cursor(p.list);
    for (struct mqtt_sub_entry e; mqtt_subscribe_next(&list, v, &e);)
        sl_buf_printf(text, " %.*s:%u", SL_FMT(e.filter), e.qos);
}

static void print_packet(struct sl_buf *text, const struct mqtt_frame *f, enum mqtt_version v)
{
    struct mqtt_ack ack;
    struct mqtt_reasoned bye;
    switch (f->type) {
    case MQTT_CONNECT: print_connect(text, f); break;
    case MQTT_PUBLISH: print_publish(text, f, v); break;
    case MQTT_SUBSCRIBE: print_subscribe(text, f, v); break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBCOMP:
        assert_int_equal(mqtt_decode_ack(f, v, &ack, NULL), 0);
        sl_buf_printf(text, "%s %u",
                      f->type == MQTT_PUBACK   ? "PUBACK"
                      : f->type == MQTT_PUBREC ? "PUBREC"
                                               : "PUBCOMP",
                      ack.packet_id);
        if (ack.reason)
            sl_buf_printf(text, " %02x", ack.reason);
        break;
    case MQTT_PINGREQ: sl_buf_put_str(text, "PINGREQ"); break;
    case MQTT_DISCONNECT:
        assert_int_equal(mqtt_decode_disconnect(f, v, false, &bye, NULL), 0);
        sl_buf_printf(text, "DISCONNECT %02x", bye.reason);
        break;
    default: fail_msg("a client sent a packet of type %u", f->type);
    }
}

static void pull(struct rig *r)
{
    struct sl_buf *out = client_output(r->client);
    if (out->len == 0)
        return;
    sl_buf_put_slice(&r->out, sl_buf_slice(out));
    client_handed(r->client);
}

/* ---- the script's words ---- */

static void check_text(struct rig *r, const char *what, const char *got, const char *want)
{
    if (strcmp(got, want) != 0)
        fail_msg("line \"%s\": %s is \"%s\"", r->line, what, got);
}

static void expect_out(struct rig *r, const char *want)
{
    struct sl_buf text = { 0 };
    struct mqtt_frame f;
    pull(r);
    struct sl_cursor at = sl_cursor(sl_bytes(r->out.ptr + r->out_at, r->out.len - r->out_at));
    if (at.left > 0) {
        assert_int_equal(mqtt_frame_next(&at, UINT32_MAX, &f, NULL), MQTT_FRAME_OK);
        r->out_at = r->out.len - at.left;
        print_packet(&text, &f, r->version);
    } else {
        sl_buf_put_str(&text, "-");
    }
    check_text(r, "the packet", sl_buf_cstr(&text), want);
    sl_buf_free(&text);
}

static void expect_event(struct rig *r, const char *want)
{
    const char *all = sl_buf_cstr(&r->events);
    const char *at = all + r->events_at;
    const char *end = strchr(at, '\n');
    char got[512] = "-";
    if (end) {
        (void)snprintf(got, sizeof got, "%.*s", (int)(end - at), at);
        r->events_at = (size_t)(end - all) + 1;
    }
    check_text(r, "the event", got, want);
}

static const char *option(const char *args, const char *name)
{
    static char value[64];
    char key[32];
    (void)snprintf(key, sizeof key, "%s=", name);
    const char *at = strstr(args, key);
    if (!at || sscanf(at + strlen(key), "%63s", value) != 1)
        return NULL;
    return value;
}

static uint32_t number_option(const char *args, const char *name, uint32_t otherwise)
{
    const char *value = option(args, name);
    return value ? (uint32_t)strtoul(value, NULL, 10) : otherwise;
}

static void set_options(struct rig *r, const char *args)
{
    struct client_options *o = &r->options;
    o->in_flight_max = number_option(args, "window", o->in_flight_max);
    o->keep_alive_s = (uint16_t)number_option(args, "ka", o->keep_alive_s);
    o->ask_after_ms = number_option(args, "ask", (uint32_t)o->ask_after_ms);
    o->ack_timeout_ms = number_option(args, "ack", (uint32_t)o->ack_timeout_ms);
    o->publishes_per_second = number_option(args, "pps", 0);
    o->payload_max = number_option(args, "max", o->payload_max);
    o->aws = number_option(args, "aws", o->aws) != 0;
    if (option(args, "user")) {
        (void)snprintf(r->user, sizeof r->user, "%s", option(args, "user"));
        o->username = r->user;
    }
    if (option(args, "pass")) {
        (void)snprintf(r->pass, sizeof r->pass, "%s", option(args, "pass"));
        o->password = r->pass;
    }
    char cloud[64], local[64];
    unsigned qos;
    const char *sub = option(args, "sub");
    if (sub && sscanf(sub, "%63[^>]>%63[^:]:%u", cloud, local, &qos) == 3)
        assert_int_equal(topicmap_add(&r->topics, cloud, local, (uint8_t)qos, NULL), SL_OK);
}

static void put_connack(struct rig *r, struct sl_buf *b, const char *args)
{
    unsigned sp, rc;
    assert_int_equal(sscanf(args, "%u %x", &sp, &rc), 2);
    struct mqtt_connack p = { .session_present = sp != 0, .reason = (uint8_t)rc };
    struct mqtt_props *props = &p.props;
    if (option(args, "rm")) {
        mqtt_set(props, MQTT_P_RECEIVE_MAXIMUM);
        props->receive_max = (uint16_t)number_option(args, "rm", 0);
    }
    if (option(args, "ka")) {
        mqtt_set(props, MQTT_P_SERVER_KEEP_ALIVE);
        props->server_keep_alive = (uint16_t)number_option(args, "ka", 0);
    }
    if (option(args, "mq")) {
        mqtt_set(props, MQTT_P_MAXIMUM_QOS);
        props->max_qos = (uint8_t)number_option(args, "mq", 0);
    }
    if (option(args, "ra")) {
        mqtt_set(props, MQTT_P_RETAIN_AVAILABLE);
        props->retain_available = (uint8_t)number_option(args, "ra", 0);
    }
    if (option(args, "mps")) {
        mqtt_set(props, MQTT_P_MAXIMUM_PACKET_SIZE);
        props->max_packet_size = number_option(args, "mps", 0);
    }
    mqtt_encode_connack(b, r->version, &p);
}

static void put_publish(struct rig *r, struct sl_buf *b, const char *args)
{
    unsigned qos, id;
    char topic[128], payload[128];
    assert_int_equal(sscanf(args, "%u %u %127s %127s", &qos, &id, topic, payload), 4);
    struct mqtt_publish p = { .qos = (uint8_t)qos,
                              .packet_id = (uint16_t)id,
                              .topic = sl_str(topic),
                              .payload = sl_str(payload) };
    if (option(args, "alias")) {
        mqtt_set(&p.props, MQTT_P_TOPIC_ALIAS);
        p.props.topic_alias = (uint16_t)number_option(args, "alias", 0);
    }
    mqtt_encode_publish(b, r->version, &p);
}

static void put_suback(struct rig *r, struct sl_buf *b, const char *args)
{
    uint8_t codes[16];
    size_t n = 0;
    char *at;
    unsigned long id = strtoul(args, &at, 10);
    while (*at && n < sizeof codes)
        codes[n++] = (uint8_t)strtoul(at + 1, &at, 16);
    mqtt_encode_suback(
        b, r->version,
        &(struct mqtt_suback){ .packet_id = (uint16_t)id, .codes = sl_bytes(codes, n) });
}

static void put_ack(struct rig *r, struct sl_buf *b, enum mqtt_type type, const char *args)
{
    unsigned id, rc = 0;
    assert_true(sscanf(args, "%u %x", &id, &rc) >= 1);
    mqtt_encode_ack(b, r->version, type,
                    &(struct mqtt_ack){ .packet_id = (uint16_t)id, .reason = (uint8_t)rc });
}

static void server_sends(struct rig *r, const char *args)
{
    struct sl_buf b = { 0 };
    char word[16];
    int n = 0;
    assert_int_equal(sscanf(args, "%15s %n", word, &n), 1);
    const char *rest = args + n;
    if (strcmp(word, "connack") == 0)
        put_connack(r, &b, rest);
    else if (strcmp(word, "publish") == 0)
        put_publish(r, &b, rest);
    else if (strcmp(word, "suback") == 0)
        put_suback(r, &b, rest);
    else if (strcmp(word, "puback") == 0)
        put_ack(r, &b, MQTT_PUBACK, rest);
    else if (strcmp(word, "pubrel") == 0)
        put_ack(r, &b, MQTT_PUBREL, rest);
    else if (strcmp(word, "pingresp") == 0)
        mqtt_encode_pingresp(&b);
    else if (strcmp(word, "disconnect") == 0)
        mqtt_encode_disconnect(
            &b, r->version, &(struct mqtt_reasoned){ .reason = (uint8_t)strtoul(rest, NULL, 16) });
    else
        fail_msg("unknown packet in \"%s\"", r->line);
    assert_false(b.failed);
    client_feed(r->client, sl_buf_slice(&b), r->now);
    sl_buf_free(&b);
}

static void feed_hex(struct rig *r, const char *args, bool drip)
{
    uint8_t bytes[256];
    size_t n = 0;
    char *end;
    for (const char *at = args; n < sizeof bytes; at = end) {
        unsigned long v = strtoul(at, &end, 16);
        if (end == at)
            break;
        bytes[n++] = (uint8_t)v;
    }
    if (!drip)
        client_feed(r->client, sl_bytes(bytes, n), r->now);
    for (size_t i = 0; drip && i < n; i++)
        client_feed(r->client, sl_bytes(bytes + i, 1), r->now);
}

static struct outbox_item *new_item(struct rig *r, const char *lane, uint64_t number,
                                    const struct sl_msg_parts *parts)
{
    assert_true(r->item_count < ITEMS_MAX);
    struct outbox_item *item = &r->items[r->item_count++];
    enum outbox_lane parsed;
    assert_true(outbox_lane_parse(sl_str(lane), &parsed));
    *item = (struct outbox_item){ .msg = sl_msg_new(parts), .lane = parsed, .number = number };
    assert_non_null(item->msg);
    return item;
}

static void give(struct rig *r, const char *lane, uint64_t number, const struct sl_msg_parts *parts)
{
    struct outbox_item *item = new_item(r, lane, number, parts);
    if (client_room_at(r->client, r->now) > r->now)
        fail_msg("line \"%s\": no room", r->line);
    client_publish(r->client, item, r->now);
}

static void publish(struct rig *r, const char *args)
{
    char lane[16], topic[600], payload[64];
    unsigned qos;
    uint64_t number;
    assert_int_equal(
        sscanf(args, "%15s %" SCNu64 " %u %599s %63s", lane, &number, &qos, topic, payload), 5);
    struct sl_msg_parts parts = { .topic = sl_str(topic),
                                  .payload = sl_str(payload),
                                  .qos = (uint8_t)qos,
                                  .retain = strstr(args, " r") != NULL,
                                  .expiry_s = number_option(args, "ttl", SL_MSG_NO_EXPIRY),
                                  .mono_ms = r->now - number_option(args, "age", 0) };
    give(r, lane, number, &parts);
}

static void publish_big(struct rig *r, const char *args)
{
    char lane[16];
    uint64_t number;
    size_t size;
    assert_int_equal(sscanf(args, "%15s %" SCNu64 " %zu", lane, &number, &size), 3);
    uint8_t *payload = calloc(1, size + 1);
    assert_non_null(payload);
    struct sl_msg_parts parts = { .topic = sl_str("big"),
                                  .payload = sl_bytes(payload, size),
                                  .qos = 1,
                                  .expiry_s = SL_MSG_NO_EXPIRY };
    give(r, lane, number, &parts);
    free(payload);
}

static void expect_moment(struct rig *r, const char *what, int64_t at, const char *want)
{
    char got[32];
    if (at == CLIENT_NEVER)
        (void)snprintf(got, sizeof got, "%s", strcmp(what, "room") == 0 ? "no" : "never");
    else if (at <= r->now && strcmp(what, "room") == 0)
        (void)snprintf(got, sizeof got, "yes");
    else
        (void)snprintf(got, sizeof got, "%" PRId64, at - r->now);
    check_text(r, what, got, want);
}

static void expect_number(struct rig *r, const char *what, long got, const char *want)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%ld", got);
    check_text(r, what, text, want);
}

static const char *const phases[] = { [CLIENT_IDLE] = "idle",
                                      [CLIENT_CONNECTING] = "connecting",
                                      [CLIENT_SUBSCRIBING] = "subscribing",
                                      [CLIENT_UP] = "up",
                                      [CLIENT_ENDING] = "ending",
                                      [CLIENT_FAILED] = "failed" };
static const char *const faults[] = { [CLIENT_FAULT_NONE] = "none",
                                      [CLIENT_FAULT_REFUSED] = "refused",
                                      [CLIENT_FAULT_VERSION] = "version",
                                      [CLIENT_FAULT_DISCONNECTED] = "disconnected",
                                      [CLIENT_FAULT_PROTOCOL] = "protocol",
                                      [CLIENT_FAULT_KEEP_ALIVE] = "keep-alive",
                                      [CLIENT_FAULT_NO_SUBACK] = "no-suback",
                                      [CLIENT_FAULT_NO_PUBACK] = "no-puback",
                                      [CLIENT_FAULT_NOT_READING] = "not-reading",
                                      [CLIENT_FAULT_MEMORY] = "memory" };

static void look(struct rig *r, const char *word, const char *args)
{
    if (strcmp(word, "room") == 0)
        expect_moment(r, "room", client_room_at(r->client, r->now), args);
    else if (strcmp(word, "due") == 0)
        expect_moment(r, "due", client_deadline(r->client, r->now), args);
    else if (strcmp(word, "phase") == 0)
        check_text(r, "phase", phases[client_phase(r->client)], args);
    else if (strcmp(word, "fault") == 0)
        check_text(r, "fault", faults[client_fault(r->client)->kind], args);
    else if (strcmp(word, "stalled") == 0)
        expect_number(r, "stalled", (client_stall(r->client, r->now) != CLIENT_FLOWS), args);
    else if (strcmp(word, "flying") == 0)
        expect_number(r, "flying", (long)client_in_flight(r->client), args);
    else
        fail_msg("unknown word in \"%s\"", r->line);
}

static void act(struct rig *r, const char *word, const char *args)
{
    if (strcmp(word, "start") == 0) {
        r->version = args[0] == '5' ? MQTT_V5 : MQTT_V311;
        client_start(r->client, r->version, r->now);
    } else if (strcmp(word, "srv") == 0) {
        server_sends(r, args);
    } else if (strcmp(word, "hex") == 0 || strcmp(word, "drip") == 0) {
        feed_hex(r, args, word[0] == 'd');
    } else if (strcmp(word, "pub") == 0) {
        publish(r, args);
    } else if (strcmp(word, "big") == 0) {
        publish_big(r, args);
    } else if (strcmp(word, "out") == 0) {
        expect_out(r, args);
    } else if (strcmp(word, "ev") == 0) {
        expect_event(r, args);
    } else if (strcmp(word, "t") == 0) {
        r->now += strtol(args, NULL, 10);
        client_tick(r->client, r->now);
    } else if (strcmp(word, "written") == 0) {
        client_written(r->client);
    } else if (strcmp(word, "done") == 0) {
        char *rest;
        uint64_t token = strtoull(args, &rest, 10);
        client_message_done(r->client, token, (uint8_t)strtoul(rest, NULL, 16), r->now);
    } else if (strcmp(word, "bye") == 0) {
        client_disconnect(r->client);
    } else if (strcmp(word, "lost") == 0) {
        client_lost(r->client, strcmp(args, "hung-up") == 0);
        r->out_at = r->out.len;
    } else {
        look(r, word, args);
    }
}

static void run_line(struct rig *r, const char *line)
{
    char word[16];
    int n = 0;
    r->line = line;
    if (sscanf(line, "%15s %n", word, &n) != 1)
        return;
    if (strcmp(word, "opt") == 0) {
        set_options(r, line + n);
        return;
    }
    if (!r->client)
        make_client(r);
    act(r, word, line + n);
}

void run_script(const char *script)
{
    struct rig *r = calloc(1, sizeof *r);
    char *copy = strdup(script), *save = NULL;
    assert_non_null(r);
    assert_non_null(copy);
    r->now = 1000;
    r->options = (struct client_options){ .gateway_id = "g",
                                          .client_id = "gw",
                                          .keep_alive_s = 60,
                                          .ack_timeout_ms = 10000,
                                          .in_flight_max = 10,
                                          .payload_max = 100000 };
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        run_line(r, line);
    client_free(r->client);
    for (size_t i = 0; i < r->item_count; i++)
        sl_msg_unref(r->items[i].msg);
    topicmap_free(&r->topics);
    sl_buf_free(&r->out);
    sl_buf_free(&r->events);
    free(copy);
    free(r);
}
