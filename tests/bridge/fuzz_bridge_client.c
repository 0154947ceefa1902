/* fuzz_bridge_client.c - a hostile server: its bytes, in pieces, into the client core, while the
 * client publishes and time passes.
 *
 * Input: a first byte for version and options, then pieces: one byte of length and action, the
 * bytes. The owner behaves as bridge.c does. */
#include "client.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEMS 64

struct rig {
    struct client *client;
    struct outbox_item items[ITEMS];
    bool lent[ITEMS];
    uint64_t next;
};

static void done(struct rig *r, struct outbox_item *item)
{
    size_t i = (size_t)(item - r->items);
    assert(i < ITEMS && r->lent[i]); /* each item comes back once */
    r->lent[i] = false;
}

static void on_acked(void *ctx, struct outbox_item *item)
{
    done(ctx, item);
}

static void on_dead(void *ctx, struct outbox_item *item, const char *reason, bool content)
{
    assert(reason[0] != '\0');
    (void)content;
    done(ctx, item);
}

static enum client_take on_message(void *ctx, const struct mqtt_publish *p, uint64_t token)
{
    (void)ctx;
    uint8_t sum = 0; /* every byte is readable */
    for (size_t i = 0; i < p->topic.len; i++)
        sum = (uint8_t)(sum + p->topic.ptr[i]);
    for (size_t i = 0; i < p->payload.len; i++)
        sum = (uint8_t)(sum + p->payload.ptr[i]);
    return token % 3 == 0 ? CLIENT_TAKES_LATER : sum == 0xfe ? CLIENT_NO_MEMORY : CLIENT_TAKEN;
}

static void on_refused(void *ctx, const char *filter, uint8_t reason)
{
    (void)ctx;
    assert(filter[0] != '\0' && reason >= 0x80);
}

static void give(struct rig *r, struct sl_msg *m, int64_t now)
{
    for (size_t i = 0; i < ITEMS; i++) {
        if (r->lent[i] || client_room_at(r->client, now) > now)
            continue;
        r->lent[i] = true;
        r->items[i] = (struct outbox_item){ .msg = m, .lane = OUTBOX_NORMAL, .number = ++r->next };
        client_publish(r->client, &r->items[i], now);
    }
}

static void reconnect(struct rig *r, enum mqtt_version version, int64_t now)
{
    client_lost(r->client, r->next % 2 == 0);
    assert(client_in_flight(r->client) == 0);
    for (size_t i = 0; i < ITEMS; i++)
        r->lent[i] = false;
    client_start(r->client, version, now);
}

static void step(struct rig *r, uint8_t action, struct sl_slice bytes, struct sl_msg *m,
                 int64_t now)
{
    client_feed(r->client, bytes, now);
    client_tick(r->client, now);
    client_message_done(r->client, bytes.len > 0 ? bytes.ptr[0] : 0, action, now);
    (void)client_deadline(r->client, now);
    if (client_phase(r->client) == CLIENT_UP)
        give(r, m, now);
    if (action & 1)
        client_handed(r->client);
    if (action & 2)
        client_written(r->client);
}

static void play(struct rig *r, enum mqtt_version version, struct sl_cursor in)
{
    struct sl_msg_parts parts = {
        .topic = sl_str("a/b"), .payload = sl_str("x"), .qos = 1, .expiry_s = 60, .mono_ms = 1000
    };
    struct sl_msg *m = sl_msg_new(&parts);
    assert(m);
    int64_t now = 1000;
    uint8_t head;
    client_start(r->client, version, now);
    while (sl_take_u8(&in, &head)) {
        struct sl_slice bytes;
        size_t n = head >> 2;
        if (!sl_take(&in, n < in.left ? n : in.left, &bytes))
            break;
        now += (head & 3) == 3 ? 11000 : 7;
        step(r, head, bytes, m, now);
        if (client_phase(r->client) == CLIENT_FAILED)
            reconnect(r, version, now);
    }
    sl_msg_unref(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_cursor in = { data, size };
    uint8_t head = 0;
    if (!sl_take_u8(&in, &head))
        return 0;
    struct rig *r = calloc(1, sizeof *r);
    struct topicmap topics = { 0 };
    assert(r);
    if (head & 2)
        assert(topicmap_add(&topics, "cmd/#", "cmd/#", 1, NULL) == SL_OK);
    struct client_options options = { .gateway_id = "g",
                                      .client_id = "gw",
                                      .subscriptions = &topics,
                                      .keep_alive_s = 60,
                                      .ack_timeout_ms = 10000,
                                      .in_flight_max = head >> 3,
                                      .payload_max = 1000,
                                      .publishes_per_second = head & 4 ? 5 : 0 };
    struct client_events events = { .ctx = r,
                                    .acked = on_acked,
                                    .dead = on_dead,
                                    .message = on_message,
                                    .subscription_refused = on_refused };
    if (client_new(&r->client, &options, &events, 1000, NULL) == SL_OK)
        play(r, head & 1 ? MQTT_V311 : MQTT_V5, in);
    client_free(r->client);
    topicmap_free(&topics);
    free(r);
    return 0;
}
