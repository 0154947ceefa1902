/* test_bridge_limits.c - the limits of AWS IoT Core per connection: 100 publishes a second and
 * 512 KiB a second, in and out together, 100 publishes in flight, payload, topic length and depth.
 * What is configured below them is kept in every second, and used to 98 %. Clocks are simulated. */
#include "client.h"
#include "outgoing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROUND_TRIP_MS 40
#define RUN_MS        60000
#define ITEMS         512 /* more than are ever in flight */

struct rig {
    struct client *client;
    struct topicmap topics;
    struct outbox_item items[ITEMS];
    size_t next;
    unsigned acked, dead;
    int64_t now;
    unsigned *sent;  /* publishes in each millisecond, both ways */
    uint64_t *bytes; /* the same in bytes */
    unsigned flying, most_flying;
    struct {
        uint16_t id;
        int64_t at;
    } acks[ITEMS];
    size_t ack_first, ack_next;
};

static void on_acked(void *ctx, struct outbox_item *item)
{
    (void)item;
    ((struct rig *)ctx)->acked++;
}

static void on_dead(void *ctx, struct outbox_item *item, const char *reason, bool content)
{
    (void)item;
    (void)reason;
    (void)content;
    ((struct rig *)ctx)->dead++;
}

static enum client_take on_message(void *ctx, const struct mqtt_publish *p, uint64_t token)
{
    (void)ctx;
    (void)p;
    (void)token;
    return CLIENT_TAKEN;
}

static void feed(struct rig *r, struct sl_buf *b)
{
    assert_false(b->failed);
    client_feed(r->client, sl_buf_slice(b), r->now);
    sl_buf_free(b);
}

static void rig_open(struct rig *r, const struct client_options *limits)
{
    memset(r, 0, sizeof *r);
    r->sent = calloc(RUN_MS, sizeof *r->sent);
    r->bytes = calloc(RUN_MS, sizeof *r->bytes);
    assert_true(r->sent && r->bytes);
    struct client_options o = *limits;
    struct client_events events = {
        .ctx = r, .acked = on_acked, .dead = on_dead, .message = on_message
    };
    o.gateway_id = "g";
    o.client_id = "gw";
    o.subscriptions = &r->topics;
    o.keep_alive_s = 60;
    o.ack_timeout_ms = 10000;
    o.aws = true;
    assert_int_equal(client_new(&r->client, &o, &events, 0, NULL), SL_OK);
    client_start(r->client, MQTT_V5, 0);
    client_handed(r->client);
    struct sl_buf b = { 0 };
    mqtt_encode_connack(&b, MQTT_V5, &(struct mqtt_connack){ 0 });
    feed(r, &b);
}

static void rig_free(struct rig *r)
{
    client_free(r->client);
    free(r->sent);
    free(r->bytes);
}

/* What the client sends leaves at once; each publish is acknowledged a round trip later. */
static void take_output(struct rig *r)
{
    struct sl_cursor in = sl_cursor(sl_buf_slice(client_output(r->client)));
    struct mqtt_frame f;
    while (in.left > 0 && mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK) {
        struct mqtt_publish p;
        if (f.type != MQTT_PUBLISH)
            continue;
        assert_int_equal(mqtt_decode_publish(&f, MQTT_V5, &p, NULL), MQTT_RC_SUCCESS);
        r->sent[r->now]++;
        r->bytes[r->now] += f.size;
        r->acks[r->ack_next % ITEMS].id = p.packet_id;
        r->acks[r->ack_next++ % ITEMS].at = r->now + ROUND_TRIP_MS;
        if (++r->flying > r->most_flying)
            r->most_flying = r->flying;
    }
    client_handed(r->client);
    client_written(r->client);
}

static void acknowledge(struct rig *r)
{
    while (r->ack_first < r->ack_next && r->acks[r->ack_first % ITEMS].at <= r->now) {
        struct sl_buf b = { 0 };
        struct mqtt_ack ack = { .packet_id = r->acks[r->ack_first++ % ITEMS].id };
        mqtt_encode_ack(&b, MQTT_V5, MQTT_PUBACK, &ack);
        r->flying--;
        feed(r, &b);
    }
}

static void bring_down(struct rig *r, size_t payload)
{
    static const uint8_t zeros[4096];
    struct sl_buf b = { 0 };
    mqtt_encode_publish(
        &b, MQTT_V5,
        &(struct mqtt_publish){ .topic = sl_str("cmd"), .payload = sl_bytes(zeros, payload) });
    r->sent[r->now]++;
    r->bytes[r->now] += b.len;
    feed(r, &b);
}

/* An outbox that never runs dry, for a minute; down: messages a second from the cloud. */
static void run(struct rig *r, struct sl_msg *m, unsigned down)
{
    for (r->now = 0; r->now < RUN_MS; r->now++) {
        acknowledge(r);
        if (down > 0 && r->now % (1000 / down) == 0)
            bring_down(r, 100);
        while (client_room_at(r->client, r->now) <= r->now) {
            struct outbox_item *item = &r->items[r->next++ % ITEMS];
            *item = (struct outbox_item){ .msg = m, .lane = OUTBOX_NORMAL, .number = r->next };
            client_publish(r->client, item, r->now);
        }
        client_tick(r->client, r->now);
        take_output(r);
        assert_int_equal(client_phase(r->client), CLIENT_UP);
    }
}

/* The most in any second, wherever it begins. */
static void most_in_a_second(const struct rig *r, unsigned *ret_count, uint64_t *ret_bytes)
{
    unsigned count = 0;
    uint64_t bytes = 0;
    *ret_count = 0;
    *ret_bytes = 0;
    for (int64_t t = 0; t < RUN_MS; t++) {
        count += r->sent[t] - (t >= 1000 ? r->sent[t - 1000] : 0);
        bytes += r->bytes[t] - (t >= 1000 ? r->bytes[t - 1000] : 0);
        *ret_count = count > *ret_count ? count : *ret_count;
        *ret_bytes = bytes > *ret_bytes ? bytes : *ret_bytes;
    }
}

static struct sl_msg *message(const char *topic, size_t payload)
{
    uint8_t *zeros = calloc(payload + 1, 1);
    assert_non_null(zeros);
    struct sl_msg *m = sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str(topic),
                                                          .payload = sl_bytes(zeros, payload),
                                                          .expiry_s = SL_MSG_NO_EXPIRY,
                                                          .qos = 1 });
    free(zeros);
    assert_non_null(m);
    return m;
}

static void rates_are_kept_and_used(void **state)
{
    static const struct {
        const char *name;
        double publishes;
        uint64_t bytes;
        uint32_t in_flight;
        size_t payload;
        unsigned down;        /* messages a second from the cloud */
        unsigned most;        /* publishes in any second */
        uint64_t most_bytes;  /* bytes in any second */
        double least_percent; /* of the rate that binds */
    } rows[] = {
        { "the standard, small messages", 90, 500 * 1024, 90, 120, 0, 100, 512 * 1024, 98 },
        { "messages from the cloud count", 90, 500 * 1024, 90, 120, 20, 100, 512 * 1024, 98 },
        { "large messages: bytes bind", 90, 300 * 1024, 90, 20000, 0, 100, 512 * 1024, 98 },
        { "a slow rate", 5, 0, 90, 120, 0, 6, UINT64_MAX, 98 },
        { "half of one a second", 0.5, 0, 90, 120, 0, 1, UINT64_MAX, 98 },
        { "a fast one", 2000, 0, 200, 120, 0, 2200, UINT64_MAX, 98 },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct rig r;
        unsigned most, total = 0;
        uint64_t most_bytes, total_bytes = 0;
        struct client_options o = { .in_flight_max = rows[i].in_flight,
                                    .publishes_per_second = rows[i].publishes,
                                    .bytes_per_second = rows[i].bytes };
        rig_open(&r, &o);
        struct sl_msg *m = message("up/a", rows[i].payload);
        run(&r, m, rows[i].down);
        most_in_a_second(&r, &most, &most_bytes);
        for (int64_t t = 0; t < RUN_MS; t++) {
            total += r.sent[t];
            total_bytes += r.bytes[t];
        }
        double by_count = 100.0 * total / (rows[i].publishes * RUN_MS / 1000);
        double by_bytes = rows[i].bytes > 0 ? 100.0 * (double)total_bytes /
                                                  ((double)rows[i].bytes * RUN_MS / 1000)
                                            : 0;
        double percent = by_count > by_bytes ? by_count : by_bytes;
        print_message("%s: %.2f %% of the rate, at most %u publishes and %llu bytes in a second\n",
                      rows[i].name, percent, most, (unsigned long long)most_bytes);
        if (most > rows[i].most || most_bytes > rows[i].most_bytes ||
            percent < rows[i].least_percent || percent > 100.5)
            fail_msg("%s", rows[i].name);
        sl_msg_unref(m);
        rig_free(&r);
    }
}

static void the_window_is_kept(void **state)
{
    static const uint32_t windows[] = { 1, 20, 90, 100 };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(windows); i++) {
        struct rig r;
        rig_open(&r, &(struct client_options){ .in_flight_max = windows[i] });
        struct sl_msg *m = message("up/a", 10);
        run(&r, m, 0);
        assert_int_equal(r.most_flying, windows[i]);
        sl_msg_unref(m);
        rig_free(&r);
    }
}

static void what_aws_can_never_take(void **state)
{
    char long_256[257], long_257[258], rule_topic[300];
    memset(long_256, 't', 256);
    memset(long_257, 't', 257);
    long_256[256] = long_257[257] = '\0';
    (void)snprintf(rule_topic, sizeof rule_topic, "$aws/rules/name/%s", long_256);
    const struct {
        const char *topic;
        size_t payload;
        bool allowed;
        const char *reason;
    } rows[] = {
        { "a", 128000, true, "" },
        { "a", 128001, false, "payload of 128001 bytes, limit 128000" },
        { "a", 0, true, "" },
        { "1/2/3/4/5/6/7/8", 1, true, "" },
        { "1/2/3/4/5/6/7/8/9", 1, false, "topic with 8 slashes, AWS allows 7" },
        { "///////", 1, true, "" },
        { "////////", 1, false, "topic with 8 slashes, AWS allows 7" },
        { long_256, 1, true, "" },
        { long_257, 1, false, "topic of 257 bytes, AWS allows 256" },
        { "$aws/rules/name/1/2/3/4/5/6/7/8", 1, true, "" }, /* Basic Ingest: not counted */
        { "$aws/rules/name/1/2/3/4/5/6/7/8/9", 1, false, "topic with 8 slashes, AWS allows 7" },
        { rule_topic, 1, true, "" },
        { "a/#", 1, false, "not a valid topic name" },
        { "a/+/b", 1, false, "not a valid topic name" },
    };
    const struct outgoing_limits l = { .version = MQTT_V5,
                                       .payload_max = 128000,
                                       .packet_max = UINT32_MAX,
                                       .qos_max = 1,
                                       .retain = true,
                                       .aws = true };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        char reason[96] = "";
        struct sl_msg *m = message(rows[i].topic, rows[i].payload);
        bool allowed = outgoing_allowed(&l, m, m->payload_len, reason, sizeof reason);
        if (allowed != rows[i].allowed || strcmp(reason, rows[i].reason) != 0)
            fail_msg("%.40s: %d \"%s\"", rows[i].topic, allowed, reason);
        sl_msg_unref(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_kept_and_used),
        cmocka_unit_test(the_window_is_kept),
        cmocka_unit_test(what_aws_can_never_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
