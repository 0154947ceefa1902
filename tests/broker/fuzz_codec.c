/* fuzz_codec.c - bytes as a stream of packets, each decoded in every version and from either side.
 *
 * What decodes must encode to something that decodes to the same; checked by encoding that again.
 */
#include "codec_echo.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_PACKET = 1 << 20 };

/* Aborts also where assertions are off. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct mqtt_frame frame_of(const struct sl_buf *b)
{
    struct mqtt_frame f;
    struct sl_cursor in = sl_cursor(sl_buf_slice(b));
    must(!b->failed);
    must(mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK && in.left == 0);
    return f;
}

static void again(const struct sl_buf *bytes, enum mqtt_version v, bool from_server,
                  enum echo_way way, const struct sl_buf *want)
{
    struct sl_buf out = { 0 };
    struct mqtt_frame f = frame_of(bytes);
    must(echo(&f, v, from_server, way, &out, NULL) == MQTT_RC_SUCCESS);
    must(sl_slice_eq(sl_buf_slice(&out), sl_buf_slice(want)));
    sl_buf_free(&out);
}

static void try_packet(const struct mqtt_frame *f, enum mqtt_version v, bool from_server)
{
    struct sl_buf raw = { 0 }, fields = { 0 };
    const char *why = NULL;
    uint8_t fault = echo(f, v, from_server, ECHO_RAW, &raw, &why);
    must(fault == echo(f, v, from_server, ECHO_FIELDS, &fields, NULL));
    must(fault == MQTT_RC_SUCCESS || why || f->type == MQTT_AUTH);
    if (fault == MQTT_RC_SUCCESS) {
        again(&raw, v, from_server, ECHO_RAW, &raw);
        again(&raw, v, from_server, ECHO_FIELDS, &fields);
        again(&fields, v, from_server, ECHO_FIELDS, &fields);
    } else {
        must(fault >= MQTT_RC_UNSPECIFIED && raw.len == 0 && fields.len == 0);
    }
    sl_buf_free(&raw);
    sl_buf_free(&fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_cursor in = { data, size };
    for (;;) {
        struct sl_cursor before = in;
        struct mqtt_frame f;
        uint32_t need = 0;
        enum mqtt_frame_result r = mqtt_frame_next(&in, MAX_PACKET, &f, &need);
        if (r != MQTT_FRAME_OK) {
            must(in.at == before.at && in.left == before.left);
            must(need == 0 || (r == MQTT_FRAME_MORE && need > in.left));
            return 0;
        }
        must(f.size == before.left - in.left && f.size <= MAX_PACKET);
        for (int v = MQTT_V31; v <= MQTT_V5; v++) {
            try_packet(&f, (enum mqtt_version)v, false);
            try_packet(&f, (enum mqtt_version)v, true);
        }
    }
}
