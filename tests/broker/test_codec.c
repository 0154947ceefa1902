/* test_codec.c - packets that are right: bytes to packet to the same bytes, in each version; the
 * fields one by one; framing; properties; what encoders refuse. */
#include "codec_bytes.h"
#include "codec_echo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { V31 = 1 << 3, V311 = 1 << 4, V5 = 1 << 5, OLD = V31 | V311, ALL = OLD | V5 };
enum from { CLIENT, SERVER };

/* ---- good packets ---- */

static const struct good_case {
    const char *name;
    unsigned versions;
    enum from from;
    const char *bytes;
    const char *gives; /* what comes back when it is not the same bytes */
} good_cases[] = {
    { "3.1 connect", V31, CLIENT, "10 [ 'MQIsdp' 03 02 003c 'me' ]", NULL },
    { "3.1.1 connect", V311, CLIENT, "10 [ 'MQTT' 04 02 003c 'me' ]", NULL },
    { "5 connect", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [] 'me' ]", NULL },
    { "no client id", V311, CLIENT, "10 [ 'MQTT' 04 02 0000 '' ]", NULL },
    { "session kept", V311, CLIENT, "10 [ 'MQTT' 04 00 ffff 'me' ]", NULL },
    { "a bridge of 3.1.1", V311, CLIENT, "10 [ 'MQTT' 84 02 003c 'me' ]", NULL },
    { "a bridge of 3.1", V31, CLIENT, "10 [ 'MQIsdp' 83 02 003c 'me' ]", NULL },
    { "name and password", V311, CLIENT, "10 [ 'MQTT' 04 c2 003c 'me' 'user' 'pass' ]", NULL },
    { "a name alone", V311, CLIENT, "10 [ 'MQTT' 04 82 003c 'me' 'user' ]", NULL },
    { "5: a password alone", V5, CLIENT, "10 [ 'MQTT' 05 42 003c [] 'me' 'pass' ]", NULL },
    { "a password of any bytes", V311, CLIENT, "10 [ 'MQTT' 04 c2 003c 'me' '' 0003 00ff80 ]",
      NULL },
    { "will", V311, CLIENT, "10 [ 'MQTT' 04 2e 003c 'me' 'gone/me' 'bye' ]", NULL },
    { "will with QoS 2, kept", V311, CLIENT, "10 [ 'MQTT' 04 36 003c 'me' 'gone/me' '' ]", NULL },
    { "5: will and everything", V5, CLIENT,
      "10 [ 'MQTT' 05 ee 003c [ 11 00000010 15 'm' 16 'd' 17 01 19 00 21 0014 22 0005 27 00001000"
      " 26 'a' 'b' 26 'a' 'b' ] 'me' [ 01 01 02 0000003c 03 't' 08 'r/s' 09 'c' 18 00000005"
      " 26 'k' 'v' ] 'gone' 'bye' 'user' 'pass' ]",
      NULL },
    { "3.1: announced name is missing", V31, CLIENT, "10 [ 'MQIsdp' 03 c2 003c 'me' ]",
      "10 [ 'MQIsdp' 03 02 003c 'me' ]" },
    { "3.1: announced password is missing", V31, CLIENT, "10 [ 'MQIsdp' 03 c2 003c 'me' 'u' ]",
      "10 [ 'MQIsdp' 03 82 003c 'me' 'u' ]" },
    { "3.1: will bits without a will", V31, CLIENT, "10 [ 'MQIsdp' 03 3b 003c 'me' ]",
      "10 [ 'MQIsdp' 03 02 003c 'me' ]" },
    { "3.1: flags of the fixed header", V31, CLIENT, "1f [ 'MQIsdp' 03 02 003c 'me' ]",
      "10 [ 'MQIsdp' 03 02 003c 'me' ]" },

    { "3.1.1 accepted", OLD, SERVER, "20 [ 00 00 ]", NULL },
    { "3.1.1 accepted, session there", V311, SERVER, "20 [ 01 00 ]", NULL },
    { "3.1: first byte not used", V31, SERVER, "20 [ ff 00 ]", "20 [ 00 00 ]" },
    { "3.1.1 not authorized", OLD, SERVER, "20 [ 00 05 ]", NULL },
    { "5 accepted", V5, SERVER, "20 [ 00 00 [] ]", NULL },
    { "5 refused", V5, SERVER, "20 [ 00 87 [ 1f 'no' ] ]", NULL },
    { "5 accepted with everything", V5, SERVER,
      "20 [ 01 00 [ 11 00000010 12 'id' 13 003c 15 'm' 16 'd' 1a 'r' 1c 's' 1f 'why' 21 0001"
      " 22 0000 24 01 25 00 27 00000001 28 01 29 01 2a 00 26 '' '' ] ]",
      NULL },
    { "an older server refuses version 5", V5, SERVER, "20 [ 00 01 ]", "20 [ 00 84 [] ]" },

    { "publish QoS 0", OLD, CLIENT, "30 [ 't' <payload> ]", NULL },
    { "publish QoS 1", OLD, CLIENT, "32 [ 'a/b' 0001 <payload> ]", NULL },
    { "publish QoS 2 again, kept", OLD, CLIENT, "3d [ 'a/b' ffff <payload> ]", NULL },
    { "publish nothing", OLD, CLIENT, "31 [ 'a/b' ]", NULL },
    { "5 publish QoS 0", V5, CLIENT, "30 [ 't' [] <payload> ]", NULL },
    { "5 publish QoS 1", V5, CLIENT, "32 [ 'a/b' 0001 [] <payload> ]", NULL },
    { "5 publish nothing", V5, CLIENT, "30 [ 't' [] ]", NULL },
    { "5 publish with an alias alone", V5, CLIENT, "30 [ '' [ 23 0001 ] <p> ]", NULL },
    { "5 publish with topic and alias", V5, CLIENT, "30 [ 't' [ 23 ffff ] <p> ]", NULL },
    { "5 publish with everything", V5, SERVER,
      "32 [ 'a' 0007 [ 01 00 02 ffffffff 03 'text' 08 'r' 09 'c' 0b 01 23 0001 0b ffffff7f"
      " 26 'k' 'v' 26 'k' 'w' ] <p> ]",
      NULL },
    { "topic beyond ASCII", ALL & ~V5, CLIENT, "30 [ 0008 c3a4 2f f09f8ca1 2f <p> ]", NULL },
    { "topic with a space and $", OLD, CLIENT, "30 [ '$SYS/a b/ /' <p> ]", NULL },

    { "puback", ALL, CLIENT, "40 [ 0001 ]", NULL },
    { "pubrec", ALL, SERVER, "50 [ 1234 ]", NULL },
    { "pubrel", ALL, CLIENT, "62 [ 1234 ]", NULL },
    { "pubcomp", ALL, SERVER, "70 [ ffff ]", NULL },
    { "3.1: pubrel again", V31, CLIENT, "6a [ 1234 ]", "62 [ 1234 ]" },
    { "5 puback with reason", V5, SERVER, "40 [ 0001 10 ]", NULL },
    { "5 puback, success said aloud", V5, SERVER, "40 [ 0001 00 ]", "40 [ 0001 ]" },
    { "5 puback, no properties said aloud", V5, SERVER, "40 [ 0001 10 [] ]", "40 [ 0001 10 ]" },
    { "5 pubrec with properties", V5, SERVER, "50 [ 0001 97 [ 1f 'full' 26 'a' 'b' ] ]", NULL },
    { "5 pubrel not found", V5, CLIENT, "62 [ 0001 92 ]", NULL },
    { "5 pubcomp, success with properties", V5, CLIENT, "70 [ 0001 00 [ 26 'a' 'b' ] ]", NULL },

    { "subscribe", OLD, CLIENT, "82 [ 0001 'a/#' 00 '+' 02 ]", NULL },
    { "3.1: subscribe again", V31, CLIENT, "8a [ 0001 'a' 01 ]", "82 [ 0001 'a' 01 ]" },
    { "5 subscribe", V5, CLIENT, "82 [ 0001 [] 'a/#' 2e ]", NULL },
    { "5 subscribe with everything", V5, CLIENT,
      "82 [ 0001 [ 0b ffffff7f 26 'a' 'b' ] 'a' 00 '$share/g/a' 1a ]", NULL },
    { "an empty filter is the caller's", OLD, CLIENT, "82 [ 0001 '' 00 ]", NULL },
    { "suback", OLD, SERVER, "90 [ 0001 00010280 ]", NULL },
    { "5 suback", V5, SERVER, "90 [ 0001 [] 000102808387 8f91979e a1a2 ]", NULL },
    { "5 suback with properties", V5, SERVER, "90 [ 0001 [ 1f 'x' 26 'a' 'b' ] 00 ]", NULL },
    { "unsubscribe", OLD, CLIENT, "a2 [ 0001 'a' 'b' ]", NULL },
    { "5 unsubscribe", V5, CLIENT, "a2 [ 0001 [ 26 'a' 'b' ] 'a' ]", NULL },
    { "unsuback", OLD, SERVER, "b0 [ 0001 ]", NULL },
    { "5 unsuback", V5, SERVER, "b0 [ 0001 [ 1f 'x' ] 00 11 80 83 87 8f 91 ]", NULL },

    { "pingreq", ALL, CLIENT, "c0 []", NULL },
    { "pingresp", ALL, SERVER, "d0 []", NULL },
    { "disconnect", OLD, CLIENT, "e0 []", NULL },
    { "5 disconnect", V5, CLIENT, "e0 []", NULL },
    { "5 disconnect, normal said aloud", V5, CLIENT, "e0 [ 00 [] ]", "e0 []" },
    { "5 disconnect with will", V5, CLIENT, "e0 [ 04 ]", NULL },
    { "5 disconnect, session kept", V5, CLIENT, "e0 [ 00 [ 11 0000003c ] ]", NULL },
    { "5 server shuts down", V5, SERVER, "e0 [ 8b [ 1c 'x' 1f 'y' 26 'a' 'b' ] ]", NULL },
    { "auth", V5, CLIENT, "f0 [ 18 [ 15 'm' 16 'd' 1f 'r' 26 'a' 'b' ] ]", NULL },
    { "auth, success", V5, SERVER, "f0 []", NULL },
    { "re-authenticate", V5, CLIENT, "f0 [ 19 [ 15 'm' ] ]", NULL },
};

/* The packet in memory of exactly its size, so that a sanitizer sees one byte past it. */
static uint8_t *exact_copy(struct sl_slice s)
{
    uint8_t *copy = malloc(s.len ? s.len : 1);
    assert_non_null(copy);
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

static struct mqtt_frame frame_in(struct sl_slice packet)
{
    struct sl_cursor in = sl_cursor(packet);
    struct mqtt_frame f;
    assert_int_equal(mqtt_frame_next(&in, UINT32_MAX, &f, NULL), MQTT_FRAME_OK);
    assert_int_equal(in.left, 0);
    assert_int_equal(f.size, packet.len);
    return f;
}

static void assert_same_bytes(const struct sl_buf *got, const struct sl_buf *want)
{
    assert_false(got->failed);
    assert_int_equal(got->len, want->len);
    assert_memory_equal(got->ptr, want->ptr, want->len);
}

/* Whatever the verdict on a packet that was cut: no read past its end, no crash. */
static void try_every_cut(const struct mqtt_frame *f, enum mqtt_version v, bool from_server)
{
    for (size_t n = 0; n < f->body.len; n++) {
        uint8_t *copy = exact_copy(sl_bytes(f->body.ptr, n));
        struct mqtt_frame cut = *f;
        cut.body = sl_bytes(copy, n);
        struct sl_buf out = { 0 };
        (void)echo(&cut, v, from_server, ECHO_FIELDS, &out, NULL); /* either way is right */
        sl_buf_free(&out);
        free(copy);
    }
}

static void comes_back(const struct good_case *c, enum mqtt_version v)
{
    struct sl_buf bytes = { 0 }, want = { 0 }, raw = { 0 }, fields = { 0 }, again = { 0 };
    const char *why = "";
    put_bytes(&bytes, c->bytes);
    put_bytes(&want, c->gives ? c->gives : c->bytes);
    uint8_t *copy = exact_copy(sl_buf_slice(&bytes));
    struct mqtt_frame f = frame_in(sl_bytes(copy, bytes.len));
    bool server = c->from == SERVER;
    if (echo(&f, v, server, ECHO_RAW, &raw, &why) != MQTT_RC_SUCCESS)
        fail_msg("refused: %s", why);
    assert_same_bytes(&raw, &want);
    assert_int_equal(echo(&f, v, server, ECHO_FIELDS, &fields, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(fields.len, want.len);
    struct mqtt_frame g = frame_in(sl_buf_slice(&fields));
    assert_int_equal(echo(&g, v, server, ECHO_FIELDS, &again, NULL), MQTT_RC_SUCCESS);
    assert_same_bytes(&again, &fields);
    try_every_cut(&f, v, server);
    free(copy);
    sl_buf_free(&bytes);
    sl_buf_free(&want);
    sl_buf_free(&raw);
    sl_buf_free(&fields);
    sl_buf_free(&again);
}

static void good(void **state)
{
    const struct good_case *c = *state;
    for (int v = MQTT_V31; v <= MQTT_V5; v++)
        if (c->versions >> v & 1)
            comes_back(c, (enum mqtt_version)v);
}

/* ---- framing ---- */

static const struct frame_case {
    const char *name, *bytes;
    uint32_t max;
    enum mqtt_frame_result want;
    uint32_t number; /* with OK the size, with MORE what is needed */
} frame_cases[] = {
    { "nothing", "", 100, MQTT_FRAME_MORE, 0 },
    { "one byte", "c0", 100, MQTT_FRAME_MORE, 0 },
    { "two bytes", "c000", 100, MQTT_FRAME_OK, 2 },
    { "one packet of two", "c000 d000", 100, MQTT_FRAME_OK, 2 },
    { "body missing", "3005", 100, MQTT_FRAME_MORE, 7 },
    { "last byte missing", "3005 01020304", 100, MQTT_FRAME_MORE, 7 },
    { "length unfinished", "3080", 100, MQTT_FRAME_MORE, 0 },
    { "length unfinished at three", "30808080", 100, MQTT_FRAME_MORE, 0 },
    { "length of two bytes", "308001", UINT32_MAX, MQTT_FRAME_MORE, 131 },
    { "the longest", "30ffffff7f", UINT32_MAX, MQTT_FRAME_MORE, 268435460 },
    { "longer form than needed", "c0808000", 100, MQTT_FRAME_OK, 4 },
    { "longest form than needed", "c080808000", 100, MQTT_FRAME_OK, 5 },
    { "five length bytes", "3080808080", UINT32_MAX, MQTT_FRAME_MALFORMED, 0 },
    { "five length bytes, ended", "308080808000", UINT32_MAX, MQTT_FRAME_MALFORMED, 0 },
    { "all ones", "ffffffffff", UINT32_MAX, MQTT_FRAME_MALFORMED, 0 },
    { "type 0", "0000", 100, MQTT_FRAME_MALFORMED, 0 },
    { "type 0 at once", "0f", 100, MQTT_FRAME_MALFORMED, 0 },
    { "just small enough", "3003 010203", 5, MQTT_FRAME_OK, 5 },
    { "one too large", "3004", 5, MQTT_FRAME_TOO_LARGE, 0 },
    { "too large, body there", "3004 01020304", 5, MQTT_FRAME_TOO_LARGE, 0 },
    { "far too large", "30ffffff7f", 1 << 20, MQTT_FRAME_TOO_LARGE, 0 },
};

static void frames(void **state)
{
    const struct frame_case *c = *state;
    struct sl_buf bytes = { 0 };
    put_bytes(&bytes, c->bytes);
    uint8_t *copy = exact_copy(sl_buf_slice(&bytes));
    struct sl_cursor in = { copy, bytes.len };
    struct mqtt_frame f = { 0 };
    uint32_t need = 77;
    assert_int_equal(mqtt_frame_next(&in, c->max, &f, &need), c->want);
    if (c->want == MQTT_FRAME_OK) {
        assert_int_equal(f.size, c->number);
        assert_int_equal(f.type, copy[0] >> 4);
        assert_int_equal(f.flags, copy[0] & 15);
        assert_ptr_equal(f.body.ptr + f.body.len, copy + f.size);
        assert_ptr_equal(in.at, copy + f.size);
    } else {
        assert_int_equal(need, c->number);
        assert_ptr_equal(in.at, copy);
        assert_int_equal(in.left, bytes.len);
        assert_int_equal(f.size, 0);
    }
    free(copy);
    sl_buf_free(&bytes);
}

/* ---- fields ---- */

static void assert_slice(struct sl_slice s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.ptr, want, s.len);
}

static void connect_fields(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    struct mqtt_connect p;
    put_bytes(&b, "10 [ 'MQTT' 05 ec 0102 [ 11 00000010 21 0203 27 01020304 15 'm' 16 'd' ] 'me'"
                  " [ 18 00000005 01 01 ] 'w/t' 'bye' 'user' 'pass' ]");
    struct mqtt_frame f = frame_in(sl_buf_slice(&b));
    assert_int_equal(mqtt_decode_connect(&f, &p, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(p.version, MQTT_V5);
    assert_false(p.clean_start || p.bridge);
    assert_true(p.has_will && p.has_username && p.has_password);
    assert_int_equal(p.keep_alive_s, 0x102);
    assert_slice(p.client_id, "me");
    assert_slice(p.username, "user");
    assert_slice(p.password, "pass");
    assert_slice(p.will.topic, "w/t");
    assert_slice(p.will.payload, "bye");
    assert_int_equal(p.will.qos, 1);
    assert_true(p.will.retain);
    assert_int_equal(p.will.props.will_delay, 5);
    assert_int_equal(p.will.props.payload_format, 1);
    assert_int_equal(p.props.session_expiry, 16);
    assert_int_equal(p.props.receive_max, 0x203);
    assert_int_equal(p.props.max_packet_size, 0x1020304);
    assert_slice(p.props.auth_method, "m");
    assert_slice(p.props.auth_data, "d");
    assert_true(mqtt_has(&p.props, MQTT_P_RECEIVE_MAXIMUM));
    assert_false(mqtt_has(&p.props, MQTT_P_TOPIC_ALIAS_MAXIMUM));
    sl_buf_free(&b);
}

static void connack_fields(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    struct mqtt_connack p;
    put_bytes(&b, "20 [ 01 00 [ 12 'id' 13 003d 1a 'ri' 1c 'sr' 1f 'rs' 22 0102 24 01 25 00 28 01"
                  " 29 00 2a 01 ] ]");
    struct mqtt_frame f = frame_in(sl_buf_slice(&b));
    assert_int_equal(mqtt_decode_connack(&f, MQTT_V5, &p, NULL), MQTT_RC_SUCCESS);
    assert_true(p.session_present);
    assert_slice(p.props.assigned_client_id, "id");
    assert_slice(p.props.response_info, "ri");
    assert_slice(p.props.server_reference, "sr");
    assert_slice(p.props.reason_string, "rs");
    assert_int_equal(p.props.server_keep_alive, 61);
    assert_int_equal(p.props.topic_alias_max, 0x102);
    assert_int_equal(p.props.max_qos, 1);
    assert_int_equal(p.props.retain_available, 0);
    assert_int_equal(p.props.wildcard_subs_available, 1);
    assert_int_equal(p.props.subscription_ids_available, 0);
    assert_int_equal(p.props.shared_subs_available, 1);
    sl_buf_free(&b);
}

static void publish_fields(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    struct mqtt_publish p;
    put_bytes(&b, "3b [ 'a/b' 0102 [ 02 00000009 03 'ct' 08 'r/t' 09 'cd' 0b 8001 0b 05 23 0003"
                  " 26 'k' 'v' ] <payload> ]");
    struct mqtt_frame f = frame_in(sl_buf_slice(&b));
    assert_int_equal(mqtt_decode_publish(&f, MQTT_V5, &p, NULL), MQTT_RC_SUCCESS);
    assert_true(p.dup && p.retain);
    assert_int_equal(p.qos, 1);
    assert_int_equal(p.packet_id, 0x102);
    assert_slice(p.topic, "a/b");
    assert_slice(p.payload, "payload");
    assert_int_equal(p.props.message_expiry, 9);
    assert_slice(p.props.content_type, "ct");
    assert_slice(p.props.response_topic, "r/t");
    assert_slice(p.props.correlation_data, "cd");
    assert_int_equal(p.props.subscription_id, 128); /* the first of the two */
    assert_int_equal(p.props.topic_alias, 3);
    assert_true(mqtt_has(&p.props, MQTT_P_USER_PROPERTY));
    sl_buf_free(&b);
}

/* A decoder that writes no more than it must still leaves "no properties" behind. */
static void publish_without_properties(void **state)
{
    (void)state;
    for (int v = MQTT_V31; v <= MQTT_V5; v++) {
        struct sl_buf b = { 0 };
        struct mqtt_publish p;
        memset(&p, 0xA5, sizeof p);
        put_bytes(&b, v == MQTT_V5 ? "30 [ 'a' [] <x> ]" : "30 [ 'a' <x> ]");
        struct mqtt_frame f = frame_in(sl_buf_slice(&b));
        assert_int_equal(mqtt_decode_publish(&f, (enum mqtt_version)v, &p, NULL), MQTT_RC_SUCCESS);
        assert_true(p.props.present == 0);
        assert_int_equal(p.props.raw.len, 0);
        assert_false(p.dup || p.retain);
        assert_int_equal(p.packet_id, 0);
        assert_slice(p.payload, "x");
        sl_buf_free(&b);
    }
}

static void subscribe_fields(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    struct mqtt_subscribe p;
    struct mqtt_sub_entry e;
    put_bytes(&b, "82 [ 0102 [ 0b 07 ] 'a' 00 'b/#' 2e ]");
    struct mqtt_frame f = frame_in(sl_buf_slice(&b));
    assert_int_equal(mqtt_decode_subscribe(&f, MQTT_V5, &p, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(p.packet_id, 0x102);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.props.subscription_id, 7);
    struct sl_cursor list = sl_cursor(p.list);
    assert_true(mqtt_subscribe_next(&list, MQTT_V5, &e));
    assert_slice(e.filter, "a");
    assert_false(e.no_local || e.retain_as_published || e.retain_handling || e.qos);
    assert_true(mqtt_subscribe_next(&list, MQTT_V5, &e));
    assert_slice(e.filter, "b/#");
    assert_true(e.no_local && e.retain_as_published);
    assert_int_equal(e.retain_handling, 2);
    assert_int_equal(e.qos, 2);
    assert_false(mqtt_subscribe_next(&list, MQTT_V5, &e));
    sl_buf_free(&b);
}

/* ---- properties ---- */

static void forwardable(void **state)
{
    (void)state;
    struct sl_buf raw = { 0 }, got = { 0 }, want = { 0 };
    put_bytes(&raw, "26 'a' '1' 02 00000009 01 01 23 0001 03 'ct' 0b 05 08 'r' 09 'c' 26 'a' '2'"
                    " 18 00000001");
    put_bytes(&want, "26 'a' '1' 01 01 03 'ct' 08 'r' 09 'c' 26 'a' '2'");
    mqtt_put_forwardable(&got, sl_buf_slice(&raw));
    assert_same_bytes(&got, &want);
    sl_buf_free(&raw);
    sl_buf_free(&got);
    sl_buf_free(&want);
}

static void walk(void **state)
{
    (void)state;
    struct sl_buf raw = { 0 };
    struct mqtt_prop_item item;
    mqtt_put_user_property(&raw, sl_str("key"), sl_str("value"));
    mqtt_put_subscription_id(&raw, 268435455);
    put_bytes(&raw, "13 0102");
    struct sl_cursor c = sl_cursor(sl_buf_slice(&raw));
    assert_true(mqtt_props_next(&c, &item));
    assert_int_equal(item.id, MQTT_P_USER_PROPERTY);
    assert_slice(item.key, "key");
    assert_slice(item.value, "value");
    assert_int_equal(item.encoded.len, 1 + 2 + 3 + 2 + 5);
    assert_true(mqtt_props_next(&c, &item));
    assert_int_equal(item.id, MQTT_P_SUBSCRIPTION_ID);
    assert_int_equal(item.number, 268435455);
    assert_true(mqtt_props_next(&c, &item));
    assert_int_equal(item.number, 0x102);
    assert_false(mqtt_props_next(&c, &item));
    sl_buf_free(&raw);
}

/* ---- encoders ---- */

static void head_is_publish_without_payload(void **state)
{
    (void)state;
    struct sl_buf whole = { 0 }, head = { 0 };
    uint8_t payload[200] = { 0 };
    struct mqtt_publish p = { .qos = 1, .packet_id = 9, .topic = sl_str("a/b/c") };
    p.payload = sl_bytes(payload, sizeof payload);
    mqtt_set(&p.props, MQTT_P_MESSAGE_EXPIRY);
    for (int v = MQTT_V31; v <= MQTT_V5; v++) {
        sl_buf_reset(&whole);
        sl_buf_reset(&head);
        mqtt_encode_publish(&whole, (enum mqtt_version)v, &p);
        mqtt_encode_publish_head(&head, (enum mqtt_version)v, &p);
        assert_int_equal(whole.len, head.len + sizeof payload);
        assert_memory_equal(whole.ptr, head.ptr, head.len);
        (void)frame_in(sl_buf_slice(&whole)); /* its length is right */
    }
    sl_buf_free(&whole);
    sl_buf_free(&head);
}

/* Where one more byte of length is needed: of a number, of a packet, of its properties. */
static const uint32_t steps[] = { 127, 128, 16383, 16384, 2097151, 2097152 };

static void numbers_at_their_steps(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str("a") };
    struct mqtt_subscribe got;
    for (size_t i = 0; i < SL_ARRAY_LEN(steps); i++) {
        struct mqtt_props props = { .subscription_id = steps[i] };
        mqtt_set(&props, MQTT_P_SUBSCRIPTION_ID);
        sl_buf_reset(&b);
        mqtt_encode_subscribe(&b, MQTT_V5, 1, &props, &e, 1);
        struct mqtt_frame f = frame_in(sl_buf_slice(&b));
        assert_int_equal(mqtt_decode_subscribe(&f, MQTT_V5, &got, NULL), MQTT_RC_SUCCESS);
        assert_int_equal(got.props.subscription_id, steps[i]);
    }
    sl_buf_free(&b);
}

static void packets_at_their_steps(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    uint8_t *zeros = calloc(1, 2097152);
    assert_non_null(zeros);
    for (size_t i = 0; i < SL_ARRAY_LEN(steps); i++) {
        struct mqtt_publish p = { .topic = sl_str("a") };
        p.payload = sl_bytes(zeros, steps[i] - 3); /* topic and its length take the rest */
        sl_buf_reset(&b);
        mqtt_encode_publish(&b, MQTT_V311, &p);
        assert_int_equal(frame_in(sl_buf_slice(&b)).body.len, steps[i]);
    }
    free(zeros);
    sl_buf_free(&b);
}

static void properties_at_their_steps(void **state)
{
    (void)state;
    enum { OVERHEAD = 5 }; /* of a user property */
    struct sl_buf b = { 0 }, raw = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(steps); i++) {
        struct mqtt_publish p = { .topic = sl_str("a") };
        sl_buf_reset(&raw);
        sl_buf_reset(&b);
        while (raw.len + 2 * OVERHEAD + 1 <= steps[i])
            mqtt_put_user_property(&raw, sl_str(""), sl_str("x"));
        mqtt_put_user_property(&raw, sl_str(""), sl_bytes("xxxxxx", steps[i] - raw.len - OVERHEAD));
        assert_int_equal(raw.len, steps[i]);
        p.props.raw = sl_buf_slice(&raw);
        mqtt_encode_publish(&b, MQTT_V5, &p);
        struct mqtt_frame f = frame_in(sl_buf_slice(&b));
        assert_int_equal(mqtt_decode_publish(&f, MQTT_V5, &p, NULL), MQTT_RC_SUCCESS);
        assert_int_equal(p.props.raw.len, steps[i]);
    }
    sl_buf_free(&raw);
    sl_buf_free(&b);
}

static void too_long_to_encode(void **state)
{
    (void)state;
    struct sl_slice too_long = { calloc(1, 65536), 65536 };
    assert_non_null(too_long.ptr);
    struct sl_buf b = { 0 };
    struct mqtt_publish p = { .topic = too_long };
    mqtt_encode_publish_head(&b, MQTT_V311, &p);
    assert_true(b.failed);
    sl_buf_reset(&b);
    p = (struct mqtt_publish){ .topic = sl_str("t"), .payload = { too_long.ptr, 268435453 } };
    mqtt_encode_publish_head(&b, MQTT_V311, &p); /* one more than fits; the payload is not read */
    assert_true(b.failed);
    sl_buf_reset(&b);
    p.payload.len--;
    mqtt_encode_publish_head(&b, MQTT_V311, &p);
    assert_false(b.failed);
    sl_buf_reset(&b);
    struct mqtt_ack ack = { .packet_id = 1, .props = { .reason_string = too_long } };
    mqtt_set(&ack.props, MQTT_P_REASON_STRING);
    mqtt_encode_ack(&b, MQTT_V5, MQTT_PUBACK, &ack);
    assert_true(b.failed);
    sl_buf_reset(&b);
    mqtt_put_subscription_id(&b, 268435456);
    assert_true(b.failed);
    sl_buf_free(&b);
    free((void *)too_long.ptr);
}

/* What a version cannot say is left out. */
static void older_versions_say_less(void **state)
{
    (void)state;
    struct sl_buf got = { 0 }, want = { 0 };
    struct mqtt_ack ack = { .packet_id = 1, .reason = MQTT_RC_QUOTA_EXCEEDED };
    struct mqtt_reasoned bye = { .reason = MQTT_RC_SHUTTING_DOWN };
    struct mqtt_sub_entry e = { sl_str("a"), 1, true, true, 2 };
    struct mqtt_suback un = { .packet_id = 1, .codes = sl_bytes("\0", 1) };
    struct mqtt_connack hello = { .session_present = true };
    mqtt_encode_ack(&got, MQTT_V311, MQTT_PUBREC, &ack);
    mqtt_encode_disconnect(&got, MQTT_V311, &bye);
    mqtt_encode_subscribe(&got, MQTT_V311, 2, NULL, &e, 1);
    mqtt_encode_unsuback(&got, MQTT_V311, &un);
    mqtt_encode_connack(&got, MQTT_V31, &hello);
    put_bytes(&want, "50 [ 0001 ] e0 [] 82 [ 0002 'a' 01 ] b0 [ 0001 ] 20 [ 00 00 ]");
    assert_same_bytes(&got, &want);
    sl_buf_free(&got);
    sl_buf_free(&want);
}

/* ---- reasons ---- */

static void reasons(void **state)
{
    (void)state;
    static const struct {
        uint8_t reason, v3;
    } codes[] = {
        { MQTT_RC_SUCCESS, 0 },
        { MQTT_RC_UNSUPPORTED_VERSION, 1 },
        { MQTT_RC_CLIENT_ID_INVALID, 2 },
        { MQTT_RC_SERVER_UNAVAILABLE, 3 },
        { MQTT_RC_SERVER_BUSY, 3 },
        { MQTT_RC_QUOTA_EXCEEDED, 3 },
        { MQTT_RC_BAD_CREDENTIALS, 4 },
        { MQTT_RC_NOT_AUTHORIZED, 5 },
        { MQTT_RC_BANNED, 5 },
        { 0xFF, 3 },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(codes); i++)
        assert_int_equal(mqtt_connack_code_v3(codes[i].reason), codes[i].v3);
    assert_string_equal(mqtt_reason_name(MQTT_RC_NOT_AUTHORIZED), "not authorized");
    assert_string_equal(mqtt_reason_name(0x03), "unknown reason");
    assert_string_equal(mqtt_reason_name(0xA3), "unknown reason");
    assert_string_equal(mqtt_reason_name(0xFF), "unknown reason");
}

int main(void)
{
    static struct CMUnitTest tests[SL_ARRAY_LEN(good_cases) + SL_ARRAY_LEN(frame_cases) + 16];
    const struct CMUnitTest single[] = {
        cmocka_unit_test(connect_fields),
        cmocka_unit_test(connack_fields),
        cmocka_unit_test(publish_fields),
        cmocka_unit_test(publish_without_properties),
        cmocka_unit_test(subscribe_fields),
        cmocka_unit_test(forwardable),
        cmocka_unit_test(walk),
        cmocka_unit_test(head_is_publish_without_payload),
        cmocka_unit_test(numbers_at_their_steps),
        cmocka_unit_test(packets_at_their_steps),
        cmocka_unit_test(properties_at_their_steps),
        cmocka_unit_test(too_long_to_encode),
        cmocka_unit_test(older_versions_say_less),
        cmocka_unit_test(reasons),
    };
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(good_cases); i++)
        tests[n++] =
            (struct CMUnitTest){ good_cases[i].name, good, NULL, NULL, (void *)&good_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(frame_cases); i++)
        tests[n++] =
            (struct CMUnitTest){ frame_cases[i].name, frames, NULL, NULL, (void *)&frame_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(single); i++)
        tests[n++] = single[i];
    return _cmocka_run_group_tests("codec", tests, n, NULL, NULL);
}
