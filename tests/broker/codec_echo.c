/* codec_echo.c - there and back again through the codec. */
#include "codec_echo.h"

#include <assert.h>
#include <stdlib.h>

/* Leaves in p what encodes to the same properties; `raw` is scratch that must outlive p. */
static void prepare(struct mqtt_props *p, enum echo_way way, struct sl_buf *raw)
{
    if (way == ECHO_RAW) {
        p->present = 0;
        return;
    }
    bool first_id = true;
    struct sl_cursor block = sl_cursor(p->raw);
    for (struct mqtt_prop_item item; mqtt_props_next(&block, &item);) {
        assert(mqtt_has(p, item.id));
        bool later_id = item.id == MQTT_P_SUBSCRIPTION_ID && !first_id;
        if (item.id == MQTT_P_SUBSCRIPTION_ID)
            first_id = false;
        if (item.id == MQTT_P_USER_PROPERTY)
            mqtt_put_user_property(raw, item.key, item.value);
        else if (later_id)
            mqtt_put_subscription_id(raw, item.number);
    }
    assert(block.left == 0); /* a block that decoded can be walked to its end */
    p->raw = sl_buf_slice(raw);
}

struct echo_call {
    const struct mqtt_frame *f;
    enum mqtt_version v;
    bool from_server;
    enum echo_way way;
    struct sl_buf *out;
    const char **why;
    struct sl_buf raw, more; /* scratch for properties, and for a will's */
};

static uint8_t echo_connect(struct echo_call *e)
{
    struct mqtt_connect p;
    uint8_t fault = mqtt_decode_connect(e->f, &p, e->why);
    if (fault)
        return fault;
    prepare(&p.props, e->way, &e->raw);
    prepare(&p.will.props, e->way, &e->more);
    mqtt_encode_connect(e->out, &p);
    return 0;
}

static uint8_t echo_connack(struct echo_call *e)
{
    struct mqtt_connack p;
    uint8_t fault = mqtt_decode_connack(e->f, e->v, &p, e->why);
    if (fault)
        return fault;
    prepare(&p.props, e->way, &e->raw);
    mqtt_encode_connack(e->out, e->v, &p);
    return 0;
}

static uint8_t echo_publish(struct echo_call *e)
{
    struct mqtt_publish p;
    uint8_t fault = mqtt_decode_publish(e->f, e->v, &p, e->why);
    if (fault)
        return fault;
    assert(p.qos <= 2 && (p.packet_id == 0) == (p.qos == 0));
    prepare(&p.props, e->way, &e->raw);
    mqtt_encode_publish(e->out, e->v, &p);
    return 0;
}

static uint8_t echo_ack(struct echo_call *e)
{
    struct mqtt_ack p;
    uint8_t fault = mqtt_decode_ack(e->f, e->v, &p, e->why);
    if (fault)
        return fault;
    prepare(&p.props, e->way, &e->raw);
    mqtt_encode_ack(e->out, e->v, (enum mqtt_type)e->f->type, &p);
    return 0;
}

static uint8_t echo_subscribe(struct echo_call *e)
{
    struct mqtt_subscribe p;
    uint8_t fault = mqtt_decode_subscribe(e->f, e->v, &p, e->why);
    if (fault)
        return fault;
    struct mqtt_sub_entry *entries = calloc(p.count, sizeof *entries);
    assert(entries && p.count > 0);
    struct sl_cursor list = sl_cursor(p.list);
    size_t n = 0;
    while (n < p.count && mqtt_subscribe_next(&list, e->v, &entries[n]))
        n++;
    assert(n == p.count && list.left == 0);
    prepare(&p.props, e->way, &e->raw);
    mqtt_encode_subscribe(e->out, e->v, p.packet_id, &p.props, entries, n);
    free(entries);
    return 0;
}

static uint8_t echo_unsubscribe(struct echo_call *e)
{
    struct mqtt_subscribe p;
    uint8_t fault = mqtt_decode_unsubscribe(e->f, e->v, &p, e->why);
    if (fault)
        return fault;
    struct sl_slice *filters = calloc(p.count, sizeof *filters);
    assert(filters && p.count > 0);
    struct sl_cursor list = sl_cursor(p.list);
    size_t n = 0;
    while (n < p.count && mqtt_unsubscribe_next(&list, &filters[n]))
        n++;
    assert(n == p.count && list.left == 0);
    prepare(&p.props, e->way, &e->raw);
    mqtt_encode_unsubscribe(e->out, e->v, p.packet_id, &p.props, filters, n);
    free(filters);
    return 0;
}

static uint8_t echo_list_ack(struct echo_call *e)
{
    bool sub = e->f->type == MQTT_SUBACK;
    struct mqtt_suback p;
    uint8_t fault = sub ? mqtt_decode_suback(e->f, e->v, &p, e->why)
                        : mqtt_decode_unsuback(e->f, e->v, &p, e->why);
    if (fault)
        return fault;
    prepare(&p.props, e->way, &e->raw);
    if (sub)
        mqtt_encode_suback(e->out, e->v, &p);
    else
        mqtt_encode_unsuback(e->out, e->v, &p);
    return 0;
}

static uint8_t echo_ping(struct echo_call *e)
{
    uint8_t fault = mqtt_decode_empty(e->f, e->why);
    if (!fault && e->f->type == MQTT_PINGREQ)
        mqtt_encode_pingreq(e->out);
    else if (!fault)
        mqtt_encode_pingresp(e->out);
    return fault;
}

static uint8_t echo_disconnect(struct echo_call *e)
{
    struct mqtt_reasoned p;
    uint8_t fault = mqtt_decode_disconnect(e->f, e->v, e->from_server, &p, e->why);
    if (fault)
        return fault;
    prepare(&p.props, e->way, &e->raw);
    mqtt_encode_disconnect(e->out, e->v, &p);
    return 0;
}

static uint8_t echo_auth(struct echo_call *e)
{
    struct mqtt_reasoned p;
    if (e->v != MQTT_V5)
        return MQTT_RC_PROTOCOL_ERROR; /* the caller's business: AUTH came with version 5 */
    uint8_t fault = mqtt_decode_auth(e->f, &p, e->why);
    if (fault)
        return fault;
    prepare(&p.props, e->way, &e->raw);
    mqtt_encode_auth(e->out, &p);
    return 0;
}

uint8_t echo(const struct mqtt_frame *f, enum mqtt_version v, bool from_server, enum echo_way way,
             struct sl_buf *out, const char **why)
{
    static uint8_t (*const by_type[])(struct echo_call *) = {
        [MQTT_CONNECT] = echo_connect,   [MQTT_CONNACK] = echo_connack,
        [MQTT_PUBLISH] = echo_publish,   [MQTT_PUBACK] = echo_ack,
        [MQTT_PUBREC] = echo_ack,        [MQTT_PUBREL] = echo_ack,
        [MQTT_PUBCOMP] = echo_ack,       [MQTT_SUBSCRIBE] = echo_subscribe,
        [MQTT_SUBACK] = echo_list_ack,   [MQTT_UNSUBSCRIBE] = echo_unsubscribe,
        [MQTT_UNSUBACK] = echo_list_ack, [MQTT_PINGREQ] = echo_ping,
        [MQTT_PINGRESP] = echo_ping,     [MQTT_DISCONNECT] = echo_disconnect,
        [MQTT_AUTH] = echo_auth,
    };
    assert(f->type >= MQTT_CONNECT && f->type <= MQTT_AUTH);
    struct echo_call e = { f, v, from_server, way, out, why, { 0 }, { 0 } };
    uint8_t fault = by_type[f->type](&e);
    assert(!e.raw.failed && !e.more.failed);
    sl_buf_free(&e.raw);
    sl_buf_free(&e.more);
    return fault;
}
