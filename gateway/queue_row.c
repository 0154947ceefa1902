/* queue_row.c - a waiting message as a JSON line. */
#include "queue_row.h"

#include "json_line.h"

#include "base/crypto.h"
#include "base/text.h"
#include "broker/mqtt.h"

static void put_start(const struct outbox_row *row, struct sl_buf *out)
{
    sl_buf_printf(
        out, "\"lane\":\"%s\",\"number\":%llu,\"ts\":%lld,\"topic\":", outbox_lane_name(row->lane),
        (unsigned long long)row->number, (long long)row->wall_ms);
    sl_buf_put_json(out, row->topic);
    if (row->reason) {
        sl_buf_put_str(out, ",\"reason\":");
        sl_buf_put_json(out, sl_str(row->reason));
    }
}

void queue_row_members(const struct outbox_row *row, struct sl_buf *out)
{
    put_start(row, out);
    sl_buf_put_str(out, ",\"payload\":");
    if (json_line_valid(row->payload))
        sl_buf_put_slice(out, row->payload);
    else
        sl_buf_put_json(out, row->payload);
}

void queue_row_json(const struct outbox_row *row, struct sl_buf *out)
{
    sl_buf_put_u8(out, '{');
    queue_row_members(row, out);
    sl_buf_put_u8(out, '}');
}

/* ---- everything ---- */

static void put_bytes(struct sl_buf *out, const char *key, struct sl_slice bytes)
{
    if (sl_utf8_valid(bytes)) {
        sl_buf_printf(out, ",\"%s\":", key);
        sl_buf_put_json(out, bytes);
        return;
    }
    sl_buf_printf(out, ",\"%s_base64\":\"", key);
    crypto_base64_put(out, bytes);
    sl_buf_put_u8(out, '"');
}

/* Properties that a server forwards; user properties may repeat, in their order. */
static void put_properties(struct sl_slice props, struct sl_buf *out)
{
    struct sl_cursor at = sl_cursor(props);
    struct mqtt_prop_item item;
    struct sl_buf user = { 0 };
    while (mqtt_props_next(&at, &item)) {
        switch (item.id) {
        case MQTT_P_PAYLOAD_FORMAT:
            sl_buf_printf(out, ",\"payload_format\":%u", (unsigned)item.number);
            break;
        case MQTT_P_CONTENT_TYPE: put_bytes(out, "content_type", item.value); break;
        case MQTT_P_RESPONSE_TOPIC: put_bytes(out, "response_topic", item.value); break;
        case MQTT_P_CORRELATION_DATA: put_bytes(out, "correlation_data", item.value); break;
        case MQTT_P_USER_PROPERTY:
            sl_buf_put_str(&user, user.len > 0 ? ",[" : "[");
            sl_buf_put_json(&user, item.key);
            sl_buf_put_u8(&user, ',');
            sl_buf_put_json(&user, item.value);
            sl_buf_put_u8(&user, ']');
            break;
        }
    }
    if (user.len > 0) {
        sl_buf_put_str(out, ",\"user_properties\":[");
        sl_buf_put_slice(out, sl_buf_slice(&user));
        sl_buf_put_u8(out, ']');
    }
    out->failed = out->failed || user.failed;
    sl_buf_free(&user);
}

void queue_row_full(const struct outbox_row *row, struct sl_buf *out)
{
    sl_buf_put_u8(out, '{');
    put_start(row, out);
    if (!row->reason) {
        sl_buf_printf(out, ",\"qos\":%u,\"retain\":%s", row->qos, row->retain ? "true" : "false");
        if (row->expiry_s != SL_MSG_NO_EXPIRY)
            sl_buf_printf(out, ",\"expiry_s\":%u", (unsigned)row->expiry_s);
        put_properties(row->props, out);
    }
    put_bytes(out, "payload", row->payload);
    sl_buf_put_u8(out, '}');
}
