/* test_hostile.c - malformed and hostile packets against a whole connection: what the client is
 * told, that it is closed or may stay, and that nobody else notices.
 *
 * Two tables: packets that are wrong by themselves (bad_packets.c), sent by a connected client of
 * each version they are wrong in; and those below, that are wrong only where or when they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script.h"

#include "bad_packets.h"
#include "base/log.h"
#include "codec_bytes.h"

#include <stdio.h>
#include <stdlib.h>

enum outcome {
    STAYS = 0, /* the connection is open, whatever was answered */
    CLOSED = 1,
    /* or, in version 5, the reason of the DISCONNECT before it is closed */
};

static const struct hostile {
    const char *name, *clause;
    unsigned versions;
    bool first;        /* instead of CONNECT */
    const char *bytes; /* for version 5 packets: with its property block */
    unsigned want; /* enum outcome or a reason; older versions: closed silently where not STAYS */
} hostile[] = {
    /* ---- instead of CONNECT ---- */
    { "HTTP instead of MQTT", "MQTT-3.1.0-1", ALL, true,
      "<GET / HTTP/1.1> 0d0a <Host: x> 0d0a 0d0a", CLOSED },
    { "TLS on a plain port", "MQTT-3.1.0-1", ALL, true, "16 03 01 00 05 01 00 00 01 00", CLOSED },
    { "SSH instead of MQTT", "MQTT-3.1.0-1", ALL, true, "<SSH-2.0-OpenSSH_9.2> 0d0a", CLOSED },
    { "nothing but zeros", "2.1.2", ALL, true, "00 00 00 00 00 00 00 00", CLOSED },
    { "nothing but ones", "2.1.4", ALL, true, "ff ff ff ff ff ff ff ff", CLOSED },
    { "a ping first", "MQTT-3.1.0-1", ALL, true, "c0 00", CLOSED },
    { "a publish first", "MQTT-3.1.0-1", ALL, true, "30 [ 't' <x> ]", CLOSED },
    { "a subscribe first", "MQTT-3.1.0-1", ALL, true, "82 [ 0001 't' 00 ]", CLOSED },
    { "AUTH first", "MQTT-3.1.0-1", ALL, true, "f0 [ 18 [ 15 'm' ] ]", CLOSED },
    { "DISCONNECT first", "MQTT-3.1.0-1", ALL, true, "e0 00", CLOSED },
    { "CONNACK first", "MQTT-3.1.0-1", ALL, true, "20 02 00 00", CLOSED },
    { "half a CONNECT", "MQTT-3.1.4-1", ALL, true, "10 20 <MQ>", STAYS },
    { "a first packet of 256 MiB", "MQTT 5, 3.2.2.3.6", ALL, true, "10 ff ff ff 7f", CLOSED },
    { "a length that does not end, first", "2.1.4", ALL, true, "10 ff ff ff ff 01", CLOSED },

    /* ---- where it may not come ---- */
    { "another CONNECT", "MQTT-3.1.0-2", OLD, false, "10 [ 'MQTT' 04 02 003c 'me' ]", CLOSED },
    { "5: another CONNECT", "MQTT-3.1.0-2", V5, false, "10 [ 'MQTT' 05 02 003c [] 'me' ]", 0x82 },
    { "another CONNECT, empty", "MQTT-3.1.0-2", ALL, false, "10 00", 0x82 },
    { "a CONNACK", "2.1.2", ALL, false, "20 02 00 00", 0x82 },
    { "a SUBACK", "2.1.2", ALL, false, "90 03 00 01 00", 0x82 },
    { "an UNSUBACK", "2.1.2", ALL, false, "b0 02 00 01", 0x82 },
    { "a PINGRESP", "2.1.2", ALL, false, "d0 00", 0x82 },
    { "AUTH without a method", "MQTT-4.12.0-7", V5, false, "f0 [ 19 [ 15 'm' ] ]", 0x82 },
    { "AUTH before its version", "MQTT 3.1.1, 2.2.1", OLD, false, "f0 00", CLOSED },
    { "type 0", "2.1.2", ALL, false, "00 00", 0x81 },
    { "type 0 with flags", "2.1.2", ALL, false, "0f 05 <hello>", 0x81 },
    { "a packet above the maximum", "MQTT-3.2.2-15", ALL, false, "30 ff ff ff 7f", 0x95 },
    { "a packet one above the maximum", "MQTT-3.2.2-15", ALL, false, "30 fd ff 03", 0x95 },
    { "a length that does not end", "2.1.4", ALL, false, "30 80 80 80 80", 0x81 },
    { "two faults: the first counts", "MQTT-4.13.1-1", V5, false, "82 [ 0001 [] ] 36 00", 0x82 },

    /* ---- PUBLISH ---- */
    { "an alias above the maximum", "MQTT-3.2.2-17", V5, false, "30 [ 't' [ 23 0005 ] ]", 0x94 },
    { "the largest alias", "MQTT-3.2.2-17", V5, false, "30 [ 't' [ 23 ffff ] ]", 0x94 },
    { "an alias that was never told", "MQTT 5, 3.3.2.3.4", V5, false, "30 [ '' [ 23 0001 ] ]",
      0x82 },
    { "an alias and nothing to remember it by", "MQTT 5, 3.3.2.3.4", V5, false,
      "30 [ 'a' [ 23 0002 ] ] 30 [ '' [ 23 0003 ] ]", 0x82 },
    { "a client's subscription identifier", "MQTT-3.3.4-6", V5, false, "30 [ 't' [ 0b 01 ] ]",
      0x82 },
    { "a client's subscription identifiers", "MQTT-3.3.4-6", V5, false,
      "30 [ 't' [ 0b 01 0b 02 ] ]", 0x82 },
    { "QoS 2 without end", "MQTT-3.3.4-7", V5, false,
      "34 [ 't' 0001 [] ] 34 [ 't' 0002 [] ] 34 [ 't' 0003 [] ] 34 [ 't' 0004 [] ] "
      "34 [ 't' 0005 [] ]",
      0x93 },
    { "QoS 2 without end, older", "MQTT 3.1.1, 4.3.3", V311, false,
      "34 [ 't' 0001 ] 34 [ 't' 0002 ] 34 [ 't' 0003 ] 34 [ 't' 0004 ] 34 [ 't' 0005 ]", STAYS },
    { "a publish to $SYS", "MQTT-4.7.2-1", OLD, false, "30 [ '$SYS/broker/uptime' <0> ]", STAYS },
    { "5: a publish to $SYS", "MQTT-4.7.2-1", V5, false, "32 [ '$SYS/a' 0001 [] <0> ]", STAYS },
    { "a publish to a share", "MQTT-4.7.2-1", V5, false, "32 [ '$share/g/t' 0001 [] <0> ]", STAYS },
    { "a topic of 300 levels", "MQTT-4.7.3-3", V311, false,
      "32 [ "
      "'//////////////////////////////////////////////////////////////////////////////////////////"
      "//////////////////////////////////////////////////////////////////////////////////////////"
      "//////////////////////////////////////////////////////////////////////////////////////////"
      "//////////////////////////////////' 0001 ]",
      STAYS },
    { "an expiry of 0", "MQTT-3.3.2-5", V5, false, "32 [ 't' 0001 [ 02 00000000 ] <x> ]", STAYS },
    { "the longest expiry", "MQTT-3.3.2-5", V5, false, "33 [ 't' 0001 [ 02 ffffffff ] <x> ]",
      STAYS },
    { "an empty payload said to be text", "MQTT 5, 3.3.2.3.2", V5, false, "30 [ 't' [ 01 01 ] ]",
      STAYS },

    /* ---- acknowledgements of nothing ---- */
    { "PUBACK of nothing", "MQTT-4.3.2-3", ALL, false, "40 02 00 07", STAYS },
    { "PUBREC of nothing", "MQTT-4.3.3-4", ALL, false, "50 02 00 07", STAYS },
    { "PUBREL of nothing", "MQTT-4.3.3-11", ALL, false, "62 02 00 07", STAYS },
    { "PUBCOMP of nothing", "MQTT-4.3.3-5", ALL, false, "70 02 00 07", STAYS },
    { "all acknowledgements of the highest id", "2.2.1", ALL, false,
      "40 02 ff ff 50 02 ff ff 62 02 ff ff 70 02 ff ff", STAYS },
    { "PUBREC that fails, of nothing", "MQTT-4.3.3-4", V5, false, "50 03 00 07 80", STAYS },

    /* ---- SUBSCRIBE ---- */
    { "a filter that is none", "MQTT-4.7.1-1", OLD, false, "82 [ 0001 'a/#/b' 00 ]", STAYS },
    { "5: a filter that is none", "MQTT-4.7.1-1", V5, false, "82 [ 0001 [] 'a/#/b' 00 ]", STAYS },
    { "an empty filter", "MQTT-4.7.3-1", V5, false, "82 [ 0001 [] '' 00 ]", STAYS },
    { "a share of nothing", "MQTT-4.8.2-2", V5, false, "82 [ 0001 [] '$share/g/' 00 ]", STAYS },
    { "a share without a name", "MQTT-4.8.2-1", V5, false, "82 [ 0001 [] '$share//t' 00 ]", STAYS },
    { "a share called by a wildcard", "MQTT-4.8.2-2", V5, false, "82 [ 0001 [] '$share/+/t' 00 ]",
      STAYS },
    { "No Local on a share", "MQTT-3.8.3-4", V5, false, "82 [ 0001 [] '$share/g/t' 05 ]", 0x82 },
    { "UNSUBSCRIBE of a filter that is none", "MQTT-3.10.4-5", V5, false, "a2 [ 0001 [] 'a#' ]",
      STAYS },

    /* ---- DISCONNECT ---- */
    { "a session out of nothing", "MQTT 5, 3.14.2.2.2", V5, false, "e0 [ 00 [ 11 00000001 ] ]",
      0x82 },
    { "a server reference from a client", "MQTT 5, 3.14.2.2.5", V5, false, "e0 [ 00 [ 1c 'x' ] ]",
      CLOSED },
};

static struct rig rig;
static struct peer other; /* was there before, and must not notice */

static int open_rig(void **state)
{
    (void)state;
    sl_log_configure(SL_ERROR, SL_LOG_TEXT);
    rig_open(&rig, NULL);
    peer_online(&other, &rig, MQTT_V311, "other");
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    peer_drop(&other);
    rig_close(&rig);
    return 0;
}

static void nobody_else_noticed(void)
{
    struct sl_buf ping = { 0 };
    mqtt_encode_pingreq(&ping);
    peer_send(&other, &ping);
    sl_buf_free(&ping);
    (void)peer_next(&other, MQTT_PINGRESP);
    assert_true(peer_quiet(&other));
    assert_int_equal(rig.broker->client_count, 1);
    assert_int_equal(rig.broker->sessions.count, 1);
}

/* To one that may have been closed in the middle. */
static void send_text(struct peer *p, const char *text)
{
    struct sl_buf b = { 0 };
    put_bytes(&b, text);
    peer_send(p, &b);
    sl_buf_free(&b);
}

/* Answers before the end are not looked at here. */
static void expect_disconnect(struct peer *p, uint8_t reason)
{
    struct mqtt_frame f, last = { 0 };
    struct sl_cursor in = sl_cursor(sl_buf_slice(&p->received));
    while (mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK)
        last = f;
    assert_int_equal(last.type, MQTT_DISCONNECT);
    struct mqtt_reasoned d;
    const char *why = "";
    if (mqtt_decode_disconnect(&last, MQTT_V5, true, &d, &why) != MQTT_RC_SUCCESS)
        fail_msg("a DISCONNECT that is wrong itself: %s", why);
    assert_int_equal(d.reason, reason);
    assert_true(d.props.reason_string.len > 0); /* says why */
}

static void expect_no_disconnect(struct peer *p)
{
    struct mqtt_frame f;
    struct sl_cursor in = sl_cursor(sl_buf_slice(&p->received));
    while (mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK)
        assert_int_not_equal(f.type, MQTT_DISCONNECT);
    assert_int_equal(in.left, 0);
}

/* One that stays sends nothing more, and is cut by the time for CONNECT or by the test. */
static void expect_stays(struct peer *p, bool first)
{
    assert_true(p->open);
    expect_no_disconnect(p);
    if (first)
        rig_seconds(&rig, 11);
    else
        peer_drop(p);
    assert_false(p->open);
}

static void expect(struct peer *p, const struct hostile *h)
{
    if (h->want == STAYS) {
        expect_stays(p, h->first);
    } else {
        assert_false(p->open);
        if (p->version == MQTT_V5 && h->want > CLOSED)
            expect_disconnect(p, (uint8_t)h->want);
        else
            expect_no_disconnect(p);
    }
    sl_buf_free(&p->received);
}

static void is_answered(void **state)
{
    const struct hostile *h = *state;
    for (int v = MQTT_V31; v <= MQTT_V5; v++) {
        struct peer p;
        if (!(h->versions >> v & 1))
            continue;
        if (h->first)
            peer_open(&p, &rig, (enum mqtt_version)v);
        else
            peer_online(&p, &rig, (enum mqtt_version)v, "me");
        send_text(&p, h->bytes);
        expect(&p, h);
        nobody_else_noticed();
    }
}

/* ---- packets that are wrong by themselves ---- */

/* CONNECT of version 5 is told why in CONNACK, an unknown version in the old way; others not. */
static void bad_connect(const struct bad_packet *b, enum mqtt_version v)
{
    struct peer p;
    peer_open(&p, &rig, v);
    send_text(&p, b->bytes);
    assert_false(p.open);
    if (b->want == MQTT_RC_UNSUPPORTED_VERSION || v == MQTT_V5) {
        struct mqtt_connack a;
        enum mqtt_version as = b->want == MQTT_RC_UNSUPPORTED_VERSION ? MQTT_V311 : v;
        struct mqtt_frame f = peer_next(&p, MQTT_CONNACK);
        assert_int_equal(mqtt_decode_connack(&f, as, &a, NULL), MQTT_RC_SUCCESS);
        assert_int_equal(a.reason, as == MQTT_V5 ? b->want : 1);
        assert_true(as != MQTT_V5 || a.props.reason_string.len > 0);
    }
    assert_true(peer_quiet(&p));
    sl_buf_free(&p.received);
}

static void bad_later(const struct bad_packet *b, enum mqtt_version v)
{
    struct peer p;
    peer_online(&p, &rig, v, "me");
    send_text(&p, b->bytes);
    assert_false(p.open);
    if (v == MQTT_V5)
        expect_disconnect(&p, b->from == SERVER ? (uint8_t)MQTT_RC_PROTOCOL_ERROR : b->want);
    else
        assert_true(peer_quiet(&p));
    sl_buf_free(&p.received);
}

static void is_refused(void **state)
{
    const struct bad_packet *b = *state;
    for (int v = MQTT_V31; v <= MQTT_V5; v++) {
        if (!(b->versions >> v & 1))
            continue;
        if (b->bytes[0] == '1')
            bad_connect(b, (enum mqtt_version)v);
        else
            bad_later(b, (enum mqtt_version)v);
        nobody_else_noticed();
    }
}

/* AUTH is refused before it is read where there is no method; what servers send is refused unread,
 * and DISCONNECT and PUBLISH go both ways. */
static bool for_the_broker(const struct bad_packet *b)
{
    bool servers_only = strchr("29bd", b->bytes[0]) != NULL;
    return b->bytes[0] != 'f' && (b->from == CLIENT || servers_only);
}

int main(void)
{
    size_t count = 0;
    struct CMUnitTest *tests = calloc(SL_ARRAY_LEN(hostile) + bad_packet_count, sizeof *tests);
    if (!tests)
        return 1;
    for (size_t i = 0; i < SL_ARRAY_LEN(hostile); i++)
        tests[count++] = (struct CMUnitTest){ hostile[i].name, is_answered, open_rig, close_rig,
                                              (void *)(uintptr_t)&hostile[i] };
    for (size_t i = 0; i < bad_packet_count; i++)
        if (for_the_broker(&bad_packets[i]))
            tests[count++] = (struct CMUnitTest){ bad_packets[i].name, is_refused, open_rig,
                                                  close_rig, (void *)(uintptr_t)&bad_packets[i] };
    int failed = _cmocka_run_group_tests("hostile", tests, count, NULL, NULL);
    free(tests);
    return failed;
}
