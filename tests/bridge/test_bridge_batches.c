/* test_bridge_batches.c - outputs as elements of batches, what joins which batch, and when it goes.
 */
#include "batches.h"
#include "element.h"
#include "json_kind.h"
#include "outgoing.h"

#include "bridge/metering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- JSON ---- */

static void kinds_of_json(void **state)
{
    static const struct {
        const char *text;
        enum json_kind kind;
    } rows[] = {
        { "{}", JSON_EMPTY_OBJECT },
        { " { \n} ", JSON_EMPTY_OBJECT },
        { "{\"a\":1}", JSON_OBJECT },
        { "{\"a\":{\"b\":[{},[],{\"c\":null}]},\"d\":\"}\"}", JSON_OBJECT },
        { " {\"a\" : [ 1 , 2 ] } ", JSON_OBJECT },
        { "[]", JSON_OTHER },
        { "[[],[1,[2]],{}]", JSON_OTHER },
        { "21.5", JSON_OTHER },
        { "-0", JSON_OTHER },
        { "1e-9", JSON_OTHER },
        { "0.5E+2", JSON_OTHER },
        { "\"a\\u00e9\\n\\\"\"", JSON_OTHER },
        { "true", JSON_OTHER },
        { "false", JSON_OTHER },
        { "null", JSON_OTHER },
        { "\"\xc3\xa9\"", JSON_OTHER },
        { "", JSON_NONE },
        { " ", JSON_NONE },
        { "{", JSON_NONE },
        { "}", JSON_NONE },
        { "{}}", JSON_NONE },
        { "{}{}", JSON_NONE },
        { "{\"a\"}", JSON_NONE },
        { "{\"a\":}", JSON_NONE },
        { "{\"a\":1,}", JSON_NONE },
        { "{a:1}", JSON_NONE },
        { "{'a':1}", JSON_NONE },
        { "{\"a\":1 \"b\":2}", JSON_NONE },
        { "[1,]", JSON_NONE },
        { "[1", JSON_NONE },
        { "[1}", JSON_NONE },
        { "{\"a\":1]", JSON_NONE },
        { "01", JSON_NONE },
        { "1.", JSON_NONE },
        { ".5", JSON_NONE },
        { "+1", JSON_NONE },
        { "-", JSON_NONE },
        { "1e", JSON_NONE },
        { "NaN", JSON_NONE },
        { "tru", JSON_NONE },
        { "truely", JSON_NONE },
        { "\"a", JSON_NONE },
        { "\"\\x\"", JSON_NONE },
        { "\"\\u12g4\"", JSON_NONE },
        { "\"\\u12", JSON_NONE },
        { "\"\n\"", JSON_NONE },
        { "\"\xff\"", JSON_NONE },
        { "hello", JSON_NONE },
        { "\xef\xbb\xbf{}", JSON_NONE },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
        if (json_kind(sl_str(rows[i].text)) != rows[i].kind)
            fail_msg("%s", rows[i].text);
}

static void deep_json_ends(void **state)
{
    char text[4 * JSON_DEPTH_MAX];
    (void)state;
    memset(text, '[', sizeof text);
    assert_int_equal(json_kind(sl_bytes(text, sizeof text)), JSON_NONE);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_int_equal(json_kind(sl_bytes(text, (size_t)2 * JSON_DEPTH_MAX)), JSON_OTHER);
    memset(text, '[', JSON_DEPTH_MAX + 2); /* an empty one at the bottom opens nothing */
    memset(text + JSON_DEPTH_MAX + 2, ']', JSON_DEPTH_MAX + 2);
    assert_int_equal(json_kind(sl_bytes(text, (size_t)2 * JSON_DEPTH_MAX + 4)), JSON_NONE);
}

/* ---- elements ---- */

#define ACCEPTED_MS 1700000000123

static struct sl_msg *message(const char *topic, struct sl_slice payload, uint16_t batch)
{
    struct sl_msg *m = sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str(topic),
                                                          .payload = payload,
                                                          .qos = 1,
                                                          .expiry_s = SL_MSG_NO_EXPIRY,
                                                          .batch = batch,
                                                          .mono_ms = 1000,
                                                          .wall_ms = ACCEPTED_MS });
    assert_non_null(m);
    return m;
}

static void elements(void **state)
{
#define ID ",\"sluice-id\":\"g\\\"1/alert/7\",\"sluice-ts\":1700000000123}"
    static const struct {
        const char *payload, *element;
    } rows[] = {
        { "{}", "{\"sluice-id\":\"g\\\"1/alert/7\",\"sluice-ts\":1700000000123}" },
        { " {\"a\":1} \n", "{\"a\":1" ID },
        { "{\"a\":{}}", "{\"a\":{}" ID },
        { "{\"sluice-id\":\"mine\"}", "{\"sluice-id\":\"mine\"" ID }, /* the last one counts */
        { "21.5", "{\"value\":21.5" ID },
        { "[1,2]", "{\"value\":[1,2]" ID },
        { "null", "{\"value\":null" ID },
        { "\"x\"", "{\"value\":\"x\"" ID },
        { "hello", "{\"base64\":\"aGVsbG8=\"" ID },
        { "", "{\"base64\":\"\"" ID },
        { "{\"a\":1", "{\"base64\":\"eyJhIjox\"" ID },
    };
#undef ID
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct sl_buf out = { 0 };
        struct outbox_item item = { .msg = message("t", sl_str(rows[i].payload), 1),
                                    .wall_ms = ACCEPTED_MS,
                                    .lane = OUTBOX_ALERT,
                                    .number = 7 };
        element_put(&out, &item, "g\"1");
        assert_string_equal(sl_buf_cstr(&out), rows[i].element);
        sl_buf_free(&out);
        sl_msg_unref(item.msg);
    }
}

static void an_element_without_time(void **state)
{
    struct sl_buf out = { 0 };
    struct outbox_item item = { .msg = message("t", sl_str("{}"), 1),
                                .lane = OUTBOX_NORMAL,
                                .number = 1 };
    (void)state;
    element_put(&out, &item, "g");
    assert_string_equal(sl_buf_cstr(&out), "{\"sluice-id\":\"g/normal/1\"}");
    sl_buf_free(&out);
    sl_msg_unref(item.msg);
}

/* ---- what joins which ---- */

#define ITEMS_MAX 64

struct rig {
    struct batches b;
    struct outbox_item items[ITEMS_MAX];
    size_t count;
    char out[1024]; /* "1+2 3": a batch of 1 and 2, then 3 */
};

/* A topic of one byte, and the batch's property. */
#define BESIDE (1 + BRIDGE_BATCH_PROPERTY_BYTES)

static const struct bridge_batch small = { .max_bytes = 200 + BESIDE,
                                           .max_count = 3,
                                           .max_age_ms = 1000 };
static const struct bridge_batch standard = { .max_bytes = 5000,
                                              .max_count = 2,
                                              .max_age_ms = 500 };

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof *r);
    batches_init(&r->b, "g", &standard);
    assert_true(batches_set_rules(&r->b, &small, 1));
}

static void rig_free(struct rig *r)
{
    for (size_t i = 0; i < r->count; i++)
        sl_msg_unref(r->items[i].msg);
    batches_free(&r->b);
}

static struct outbox_item *new_item(struct rig *r, const char *topic, uint16_t batch)
{
    assert_true(r->count < ITEMS_MAX);
    struct outbox_item *item = &r->items[r->count++];
    *item = (struct outbox_item){ .msg = message(topic, sl_str("{\"v\":1}"), batch),
                                  .wall_ms = ACCEPTED_MS,
                                  .lane = OUTBOX_TELEMETRY,
                                  .number = r->count };
    return item;
}

static void drain(struct rig *r, int64_t now)
{
    size_t at = strlen(r->out);
    for (struct outbox_item *first; (first = batches_next(&r->b, now));)
        for (const struct outbox_item *item = first; item; item = element_next(item))
            at += (size_t)snprintf(r->out + at, sizeof r->out - at, "%s%llu",
                                   item != first ? "+"
                                   : at          ? " "
                                                 : "",
                                   (unsigned long long)item->number);
}

static void put(struct rig *r, struct outbox_item *item, int64_t now)
{
    drain(r, now);
    batches_put(&r->b, item, now);
    drain(r, now);
}

/* One letter an output, at the given time: a, b topics that batch; A, B the same topics, which do
 * not; x topic a with other limits; r topic a retained; q topic a with QoS 0; l topic a in another
 * lane; e topic a with a ttl; ! all is closed. */
static void joining(void **state)
{
    static const struct {
        const char *name, *puts, *at_once, *later;
    } rows[] = {
        { "waits for company", "a", "", "1" },
        { "two of a kind", "aa", "", "1+2" },
        { "max_count closes", "aaa", "1+2+3", "" },
        { "and the next begins anew", "aaaa", "1+2+3", " 4" },
        { "topics are apart", "abab", "", "1+3 2+4" },
        { "what does not batch goes at once", "A", "1", "" },
        { "... but behind its topic's batch", "aaA", "1+2 3", "" },
        { "... which no other topic minds", "aB", "2", " 1" },
        { "other limits", "ax", "1", " 2" },
        { "standard limits for an unknown key", "xx", "1+2", "" },
        { "retained", "ar", "1", " 2" },
        { "another QoS", "aq", "1", " 2" },
        { "another lane", "ala", "", "2 1+3" },
        { "with a ttl", "ae", "1", " 2" },
        { "closing all", "aab!", "1+2 3", "" },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct rig r;
        uint16_t key = bridge_batch_key(&small);
        rig_init(&r);
        for (const char *p = rows[i].puts; *p; p++) {
            if (*p == '!') {
                batches_close_all(&r.b);
                drain(&r, 1000);
                continue;
            }
            const char *topic = *p == 'b' || *p == 'B' ? "b" : "a";
            bool plain = *p == 'A' || *p == 'B';
            struct outbox_item *item = new_item(&r, topic, plain ? 0 : *p == 'x' ? 9 : key);
            item->msg->retain = *p == 'r';
            item->msg->qos = *p != 'q';
            item->lane = *p == 'l' ? OUTBOX_NORMAL : OUTBOX_TELEMETRY;
            if (*p == 'e')
                item->msg->expiry_s = 60;
            put(&r, item, 1000);
        }
        if (strcmp(r.out, rows[i].at_once) != 0)
            fail_msg("%s: \"%s\" at once", rows[i].name, r.out);
        size_t at = strlen(r.out);
        drain(&r, 100000);
        if (strcmp(r.out + at, rows[i].later) != 0)
            fail_msg("%s: \"%s\" later", rows[i].name, r.out + at);
        assert_true(batches_empty(&r.b));
        rig_free(&r);
    }
}

static void bytes_close(void **state)
{
    struct rig r;
    struct sl_buf out = { 0 };
    (void)state;
    rig_init(&r);
    uint16_t key = bridge_batch_key(&small);
    put(&r, new_item(&r, "a", key), 1000);
    element_put_array(&out, &r.items[0], "g");
    size_t one = out.len; /* "[" element "]" */
    sl_buf_free(&out);
    struct bridge_batch limits = { (uint32_t)(2 * one - 1 + BESIDE), 100, 1000 };
    assert_true(batches_set_rules(&r.b, &limits, 1));
    key = bridge_batch_key(&limits);
    drain(&r, 100000);
    for (int i = 0; i < 3; i++)
        put(&r, new_item(&r, "a", key), 1000);
    assert_string_equal(r.out, "1 2+3"); /* exactly max_bytes: it is full */
    limits.max_bytes--;
    assert_true(batches_set_rules(&r.b, &limits, 1));
    key = bridge_batch_key(&limits);
    put(&r, new_item(&r, "a", key), 1000);
    put(&r, new_item(&r, "a", key), 1000);
    assert_string_equal(r.out,
                        "1 2+3 4 5"); /* 4 was another key's; one byte less: 6 does not fit */
    limits.max_bytes = (uint32_t)one - 1 + BESIDE;
    assert_true(batches_set_rules(&r.b, &limits, 1));
    put(&r, new_item(&r, "b", bridge_batch_key(&limits)), 1000);
    assert_string_equal(r.out, "1 2+3 4 5 7"); /* larger than a batch may be: alone, at once */
    rig_free(&r);
}

/* The clock is set while they gather, or before they are sent again: they grow, and still fit. */
static void times_that_come_later(void **state)
{
    struct rig r;
    struct sl_buf out = { 0 };
    (void)state;
    rig_init(&r);
    for (int i = 0; i < 3; i++) {
        struct outbox_item *item = new_item(&r, "a", bridge_batch_key(&small));
        item->wall_ms = 0;
        put(&r, item, 1000);
    }
    for (size_t i = 0; i < r.count; i++)
        r.items[i].wall_ms = INT64_MAX;
    drain(&r, 100000);
    assert_string_equal(r.out, "1+2 3"); /* three would fit without */
    element_put_array(&out, &r.items[0], "g");
    assert_in_range(out.len, 130, small.max_bytes - BESIDE);
    sl_buf_free(&out);
    rig_free(&r);
}

static void the_server_limits_too(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    struct bridge_batch limits = { 100000, 100, 1000 };
    assert_true(batches_set_rules(&r.b, &limits, 1));
    batches_set_room(&r.b, 200, SIZE_MAX, true);
    for (int i = 0; i < 4; i++)
        put(&r, new_item(&r, "a", bridge_batch_key(&limits)), 1000);
    assert_string_equal(r.out, "1+2+3"); /* of 62 bytes each */
    drain(&r, 100000);
    batches_set_room(&r.b, 100000, 200, true);
    for (int i = 0; i < 3; i++)
        put(&r, new_item(&r, "a", bridge_batch_key(&limits)), 1000);
    assert_string_equal(r.out, "1+2+3 4 5+6");
    rig_free(&r);
}

static void ages(void **state)
{
    static const struct {
        const char *name;
        int64_t accepted, put, due;
        uint32_t ttl_s;
    } rows[] = {
        { "from the acceptance of the first", 1000, 1000, 2000, SL_MSG_NO_EXPIRY },
        { "what it has waited for counts", 1000, 1700, 2000, SL_MSG_NO_EXPIRY },
        { "a backlog gathers for a moment", 1000, 90000, 90050, SL_MSG_NO_EXPIRY },
        { "nearly a backlog", 1000, 1990, 2040, SL_MSG_NO_EXPIRY },
        { "the clock of another boot", -90000000, 1000, 1050, SL_MSG_NO_EXPIRY },
        { "not past its ttl", 1000, 1000, 1000, 1 },
        { "a long ttl changes nothing", 1000, 1000, 2000, 100 },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct rig r;
        rig_init(&r);
        struct outbox_item *item = new_item(&r, "a", bridge_batch_key(&small));
        item->msg->mono_ms = rows[i].accepted;
        item->msg->expiry_s = rows[i].ttl_s;
        batches_put(&r.b, item, rows[i].put);
        if (batches_due(&r.b) != rows[i].due)
            fail_msg("%s: due at %lld", rows[i].name, (long long)batches_due(&r.b));
        assert_true(rows[i].due <= rows[i].put || !batches_next(&r.b, rows[i].due - 1));
        assert_ptr_equal(batches_next(&r.b, rows[i].due), item);
        assert_true(batches_due(&r.b) == BATCHES_NEVER);
        rig_free(&r);
    }
}

static void open_ones_are_bounded(void **state)
{
    struct rig r;
    char topic[16];
    (void)state;
    rig_init(&r);
    for (int i = 0; i <= BATCHES_OPEN_MAX; i++) {
        (void)snprintf(topic, sizeof topic, "t/%d", i);
        put(&r, new_item(&r, topic, bridge_batch_key(&small)), 1000);
    }
    assert_string_equal(r.out, "1"); /* the oldest made room */
    batches_close_all(&r.b);
    r.out[0] = '\0';
    drain(&r, 1000);
    assert_true(strncmp(r.out, "2 3 4 ", 6) == 0);
    rig_free(&r);
}

static void a_split_batch_goes_one_by_one(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    uint16_t key = bridge_batch_key(&small);
    for (int i = 0; i < 5; i++)
        batches_put(&r.b, new_item(&r, "a", key), 1000);
    struct outbox_item *first = batches_next(&r.b, 1000);
    assert_ptr_equal(first, &r.items[0]);
    struct outbox_item *second = batches_next(&r.b, 100000);
    assert_int_equal(second->number, 4);
    batches_split(&r.b, first);
    batches_split(&r.b, second);
    assert_int_equal(batches_due(&r.b), 0);
    drain(&r, 1000);
    assert_string_equal(r.out, "1 2 3 4 5");
    batches_split(&r.b, &r.items[0]);
    batches_forget(&r.b);
    assert_true(batches_empty(&r.b));
    rig_free(&r);
}

/* ---- keys ---- */

static void the_smaller_limits_of_one_key(void **state)
{
    struct bridge_batch a = { 1000, 1, 1000 }, b = { 0 };
    (void)state;
    for (uint32_t bytes = 64; bytes < 4000000 && b.max_bytes == 0; bytes++) {
        struct bridge_batch other = { bytes, 900, 50 };
        if (bridge_batch_key(&other) == bridge_batch_key(&a))
            b = other;
    }
    assert_true(b.max_bytes > 0);
    struct bridge_batch both[] = { a, b, small };
    struct rig r;
    rig_init(&r);
    assert_true(batches_set_rules(&r.b, both, 3));
    assert_int_equal(r.b.rule_count, 2);
    assert_int_equal(r.b.rules[0].limits.max_count, 1);
    assert_int_equal(r.b.rules[0].limits.max_age_ms, 50);
    assert_int_equal(r.b.rules[0].limits.max_bytes, b.max_bytes < 1000 ? b.max_bytes : 1000);
    rig_free(&r);
}

static void keys_are_never_zero(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 200000; i++)
        assert_true(bridge_batch_key(&(struct bridge_batch){ i, i % 977, i * 7 }) != 0);
}

static void lingering(void **state)
{
    (void)state;
    assert_int_equal(bridge_batch_linger_ms(&(struct bridge_batch){ 1, 1, 1000 }), 1000);
    assert_int_equal(bridge_batch_linger_ms(&(struct bridge_batch){ 1, 1, 2000 }), 2000);
    assert_int_equal(bridge_batch_linger_ms(&(struct bridge_batch){ 1, 1, 2001 }), 0);
    assert_int_equal(bridge_batch_linger_ms(&(struct bridge_batch){ 1, 1, 3600000 }), 0);
}

/* ---- on the wire ---- */

static uint64_t encode(enum mqtt_version v, struct rig *r, struct sl_buf *wire,
                       struct mqtt_publish *ret)
{
    struct sl_buf scratch = { 0 };
    uint64_t metered;
    const struct outgoing_limits l = {
        .version = v, .payload_max = 100000, .packet_max = UINT32_MAX, .qos_max = 1, .retain = true
    };
    struct outgoing p = {
        .item = &r->items[0], .gateway_id = "g", .packet_id = 5, .now_ms = 11000
    };
    assert_true(outgoing_encode(wire, &scratch, &l, &p, &metered));
    struct sl_cursor in = sl_cursor(sl_buf_slice(wire));
    struct mqtt_frame f;
    assert_int_equal(mqtt_frame_next(&in, UINT32_MAX, &f, NULL), MQTT_FRAME_OK);
    assert_int_equal(mqtt_decode_publish(&f, v, ret, NULL), MQTT_RC_SUCCESS);
    sl_buf_free(&scratch);
    return metered;
}

/* ---- what a batch is metered as ---- */

static const struct bridge_batch one_step = { .max_bytes = BRIDGE_METER_BYTES,
                                              .max_count = 500,
                                              .max_age_ms = 1000 };

/* An output whose payload is an object of so many bytes, at least eight. */
static struct outbox_item *sized_item(struct rig *r, const char *topic, size_t bytes,
                                      struct sl_slice props)
{
    char payload[12000] = "{\"v\":\"";
    assert_true(bytes >= 8 && bytes < sizeof payload);
    memset(payload + 6, 'x', bytes - 8);
    memcpy(payload + bytes - 2, "\"}", 2);
    struct outbox_item *item = new_item(r, topic, 0);
    sl_msg_unref(item->msg);
    item->msg = sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str(topic),
                                                   .payload = sl_bytes(payload, bytes),
                                                   .props = props,
                                                   .qos = 1,
                                                   .expiry_s = 60,
                                                   .batch = bridge_batch_key(&one_step),
                                                   .mono_ms = 1000,
                                                   .wall_ms = ACCEPTED_MS });
    assert_non_null(item->msg);
    return item;
}

static void one_step_rig(struct rig *r, bool properties)
{
    rig_init(r);
    assert_true(batches_set_rules(&r->b, &one_step, 1));
    batches_set_room(&r->b, 128000, SIZE_MAX, properties);
}

/* Topic, payload and the properties that count, as the other side sees them. */
static size_t counted(const struct mqtt_publish *p)
{
    size_t expiry = mqtt_has(&p->props, MQTT_P_MESSAGE_EXPIRY) ? 5 : 0;
    return p->topic.len + p->props.raw.len - expiry + p->payload.len;
}

/* Puts outputs until the first batch is closed; how many are in it. */
static size_t fill_one(struct rig *r, const char *topic, size_t bytes, struct sl_slice props)
{
    struct outbox_item *first = NULL;
    while (!first) {
        batches_put(&r->b, sized_item(r, topic, bytes, props), 1000);
        first = batches_next(&r->b, 1000);
    }
    assert_ptr_equal(first, &r->items[0]);
    size_t n = 0;
    for (const struct outbox_item *item = first; item; item = element_next(item))
        n++;
    return n;
}

/* At the default a full batch is one step, whatever its topic and properties, and as full as can
 * be: with one element more it would be two. */
static void a_full_batch_is_one_step(void **state)
{
    static const char long_topic[] =
        "a/very/long/topic/of/a/site/that/names/everything/twice/and/more/than/that/to/the/very/"
        "end/of/what/anybody/would/ever/write/down/in/a/configuration";
    static const char *const topics[] = { "a", "telemetry/site-1/room-22/temperature", long_topic };
    struct sl_buf props = { 0 };
    (void)state;
    mqtt_put_user_property(&props, sl_str("unit"), sl_str("degrees Celsius"));
    for (size_t bytes = 120; bytes < 700; bytes += 7) {
        for (size_t i = 0; i < 4 * SL_ARRAY_LEN(topics); i++) {
            struct rig r;
            struct sl_buf wire = { 0 };
            struct mqtt_publish p;
            enum mqtt_version v = i % 2 ? MQTT_V5 : MQTT_V311;
            one_step_rig(&r, v == MQTT_V5);
            const char *topic = topics[i / 4];
            size_t n = fill_one(&r, topic, bytes,
                                i / 2 % 2 ? sl_buf_slice(&props) : (struct sl_slice){ 0 });
            assert_int_equal(encode(v, &r, &wire, &p), 1);
            assert_true(n > 1 && counted(&p) <= BRIDGE_METER_BYTES);
            size_t digits = 5 - (n < 10 ? 1 : 2); /* room that was kept for its property */
            assert_true(counted(&p) + p.payload.len / n + digits + 2 > BRIDGE_METER_BYTES);
            sl_buf_free(&wire);
            rig_free(&r);
        }
    }
    sl_buf_free(&props);
}

/* Two outputs that fill the step to its last byte, and one byte more. */
static void the_edge_of_a_step(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct rig r;
        struct sl_buf wire = { 0 };
        struct mqtt_publish p;
        one_step_rig(&r, false);
        batches_put(&r.b, sized_item(&r, "abc", 3000, sl_str("")), 1000);
        size_t room = r.b.open[0].limits.max_bytes - r.b.open[0].bytes;
        assert_int_equal(r.b.open[0].limits.max_bytes, BRIDGE_METER_BYTES - 3);
        struct outbox_item *second = sized_item(&r, "abc", 100, sl_str(""));
        struct sl_buf element = { 0 };
        element_put(&element, second, "g");
        size_t added = element.len + 1 - 100; /* to a payload */
        sl_buf_free(&element);
        sl_msg_unref(second->msg);
        r.count--;
        second = sized_item(&r, "abc", room - added + (size_t)more, sl_str(""));
        batches_put(&r.b, second, 1000);
        assert_ptr_equal(batches_next(&r.b, 1000), &r.items[0]);
        assert_ptr_equal(r.items[0].sender_data, more ? NULL : second);
        assert_int_equal(encode(MQTT_V311, &r, &wire, &p), 1);
        if (!more)
            assert_int_equal(counted(&p), BRIDGE_METER_BYTES);
        sl_buf_free(&wire);
        rig_free(&r);
    }
}

/* By itself larger than a step: it goes alone, and costs what it costs. Headers cost nothing. */
static void what_is_metered(void **state)
{
    static const struct {
        const char *topic;
        size_t payload;
        uint64_t v4, v5;
    } rows[] = {
        { "t", 100, 1, 1 },
        { "t", 5119 - 56, 1, 2 }, /* brackets and the identity are 56 */
        { "t", 5119 - 55, 2, 2 },
        { "t", 5119 - 56 - 17, 1, 2 },
        { "t", 5119 - 56 - 18, 1, 1 }, /* the property of a batch of one is 18 */
        { "t", 5119 - 56 + 5120, 2, 3 },
        { "$aws/rules/r/t", 100, 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct rig r;
        struct mqtt_publish p;
        one_step_rig(&r, true);
        (void)sized_item(&r, rows[i].topic, rows[i].payload, sl_str(""));
        struct sl_buf four = { 0 }, five = { 0 };
        uint64_t v4 = encode(MQTT_V311, &r, &four, &p), v5 = encode(MQTT_V5, &r, &five, &p);
        if (v4 != rows[i].v4 || v5 != rows[i].v5)
            fail_msg("row %zu: %d and %d, counted %zu", i, (int)v4, (int)v5, counted(&p));
        sl_buf_free(&four);
        sl_buf_free(&five);
        rig_free(&r);
    }
}

static void a_batch_on_the_wire(void **state)
{
    static const char want[] =
        "[{\"v\":1,\"sluice-id\":\"g/telemetry/1\",\"sluice-ts\":1700000000123},"
        "{\"v\":1,\"sluice-id\":\"g/telemetry/2\",\"sluice-ts\":1700000000123}]";
    (void)state;
    for (int old = 0; old < 2; old++) {
        struct rig r;
        struct sl_buf wire = { 0 }, scratch = { 0 };
        struct mqtt_publish p;
        rig_init(&r);
        struct outbox_item *a = new_item(&r, "a", 1), *b = new_item(&r, "a", 1);
        a->sender_data = b;
        a->msg->expiry_s = 60;
        b->msg->expiry_s = 70;
        encode(old ? MQTT_V311 : MQTT_V5, &r, &wire, &p);
        assert_int_equal(p.payload.len, sizeof want - 1);
        assert_memory_equal(p.payload.ptr, want, sizeof want - 1);
        assert_int_equal(outgoing_payload_len(a, "g", &scratch), sizeof want - 1);
        if (!old) {
            struct sl_cursor at = sl_cursor(p.props.raw);
            struct mqtt_prop_item item = { 0 };
            unsigned found = 0;
            while (mqtt_props_next(&at, &item))
                found += item.id == MQTT_P_USER_PROPERTY &&
                         sl_slice_eq(item.key, sl_str("sluice-batch")) &&
                         sl_slice_eq(item.value, sl_str("2"));
            assert_int_equal(found, 1);
            assert_int_equal(p.props.message_expiry, 60); /* 70 less the 10 that have passed */
        }
        sl_buf_free(&scratch);
        sl_buf_free(&wire);
        rig_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_of_json),
        cmocka_unit_test(deep_json_ends),
        cmocka_unit_test(elements),
        cmocka_unit_test(an_element_without_time),
        cmocka_unit_test(joining),
        cmocka_unit_test(bytes_close),
        cmocka_unit_test(times_that_come_later),
        cmocka_unit_test(the_server_limits_too),
        cmocka_unit_test(ages),
        cmocka_unit_test(open_ones_are_bounded),
        cmocka_unit_test(a_split_batch_goes_one_by_one),
        cmocka_unit_test(the_smaller_limits_of_one_key),
        cmocka_unit_test(keys_are_never_zero),
        cmocka_unit_test(lingering),
        cmocka_unit_test(a_full_batch_is_one_step),
        cmocka_unit_test(the_edge_of_a_step),
        cmocka_unit_test(what_is_metered),
        cmocka_unit_test(a_batch_on_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
