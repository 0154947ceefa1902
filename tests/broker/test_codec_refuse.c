/* test_codec_refuse.c - packets that break the standard: each must be refused with the right reason
 * and a sentence that names the clause, and must leave the caller's packet as it was. */
#include "bad_packets.h"
#include "codec_bytes.h"

#include "broker/mqtt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* Every packet a decoder fills; any of them, filled with a pattern beforehand. */
union packet {
    struct mqtt_connect connect;
    struct mqtt_connack connack;
    struct mqtt_publish publish;
    struct mqtt_ack ack;
    struct mqtt_subscribe subscribe;
    struct mqtt_suback suback;
    struct mqtt_reasoned reasoned;
};

static uint8_t decode(const struct mqtt_frame *f, enum mqtt_version v, enum from from,
                      union packet *p, const char **why)
{
    switch ((enum mqtt_type)f->type) {
    case MQTT_CONNECT: return mqtt_decode_connect(f, &p->connect, why);
    case MQTT_CONNACK: return mqtt_decode_connack(f, v, &p->connack, why);
    case MQTT_PUBLISH: return mqtt_decode_publish(f, v, &p->publish, why);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: return mqtt_decode_ack(f, v, &p->ack, why);
    case MQTT_SUBSCRIBE: return mqtt_decode_subscribe(f, v, &p->subscribe, why);
    case MQTT_SUBACK: return mqtt_decode_suback(f, v, &p->suback, why);
    case MQTT_UNSUBSCRIBE: return mqtt_decode_unsubscribe(f, v, &p->subscribe, why);
    case MQTT_UNSUBACK: return mqtt_decode_unsuback(f, v, &p->suback, why);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return mqtt_decode_empty(f, why);
    case MQTT_DISCONNECT: return mqtt_decode_disconnect(f, v, from == SERVER, &p->reasoned, why);
    case MQTT_AUTH: return mqtt_decode_auth(f, &p->reasoned, why);
    }
    return MQTT_RC_MALFORMED;
}

static void is_refused(const struct bad_packet *c, enum mqtt_version v)
{
    struct sl_buf bytes = { 0 };
    put_bytes(&bytes, c->bytes);
    uint8_t *copy = malloc(bytes.len); /* exactly: a sanitizer sees one byte past it */
    assert_non_null(copy);
    memcpy(copy, bytes.ptr, bytes.len);
    struct sl_cursor in = { copy, bytes.len };
    struct mqtt_frame f;
    assert_int_equal(mqtt_frame_next(&in, UINT32_MAX, &f, NULL), MQTT_FRAME_OK);
    assert_int_equal(in.left, 0);

    union packet p, untouched;
    memset(&p, 0xA5, sizeof p);
    memset(&untouched, 0xA5, sizeof untouched);
    const char *why = NULL;
    assert_int_equal(decode(&f, v, c->from, &p, &why), c->want);
    assert_memory_equal(&p, &untouched, sizeof p);
    assert_non_null(why);
    if (!strstr(why, c->clause))
        fail_msg("\"%s\" does not say %s", why, c->clause);
    assert_int_equal(decode(&f, v, c->from, &p, NULL), c->want); /* nobody asks why */
    free(copy);
    sl_buf_free(&bytes);
}

static void refused(void **state)
{
    const struct bad_packet *c = *state;
    for (int v = MQTT_V31; v <= MQTT_V5; v++)
        if (c->versions >> v & 1)
            is_refused(c, (enum mqtt_version)v);
}

int main(void)
{
    struct CMUnitTest *tests = calloc(bad_packet_count, sizeof *tests);
    if (!tests)
        return 1;
    for (size_t i = 0; i < bad_packet_count; i++)
        tests[i] = (struct CMUnitTest){ bad_packets[i].name, refused, NULL, NULL,
                                        (void *)(uintptr_t)&bad_packets[i] };
    int failed = _cmocka_run_group_tests("codec refuses", tests, bad_packet_count, NULL, NULL);
    free(tests);
    return failed;
}
