/* element.c - outputs as elements of a JSON array. */
#include "element.h"

#include "json_kind.h"

#include "base/crypto.h"
#include "base/text.h"

#include <inttypes.h>

void element_identity(struct sl_buf *out, const struct outbox_item *item, const char *gateway_id)
{
    sl_buf_put_str(out, gateway_id);
    sl_buf_printf(out, "/%s/%" PRIu64, outbox_lane_name(item->lane), item->number);
}

/* The lane's name and the number need no escaping. */
static void put_members(struct sl_buf *out, const struct outbox_item *item, const char *gateway_id)
{
    sl_buf_put_str(out, "\"sluice-id\":");
    sl_buf_put_json(out, sl_str(gateway_id));
    if (out->len > 0)
        out->len--; /* its closing quote: the identity goes on */
    sl_buf_printf(out, "/%s/%" PRIu64 "\"", outbox_lane_name(item->lane), item->number);
    if (item->wall_ms > 0)
        sl_buf_printf(out, ",\"sluice-ts\":%" PRId64, item->wall_ms);
    sl_buf_put_u8(out, '}');
}

void element_put(struct sl_buf *out, const struct outbox_item *item, const char *gateway_id)
{
    struct sl_slice text = sl_msg_payload(item->msg);
    switch (json_kind(text)) {
    case JSON_NONE:
        sl_buf_put_str(out, "{\"base64\":\"");
        crypto_base64_put(out, text);
        sl_buf_put_str(out, "\",");
        break;
    case JSON_EMPTY_OBJECT: sl_buf_put_u8(out, '{'); break;
    case JSON_OBJECT:
        text = json_trim(text);
        sl_buf_put(out, text.ptr, text.len - 1); /* all but its brace */
        sl_buf_put_u8(out, ',');
        break;
    case JSON_OTHER:
        sl_buf_put_str(out, "{\"value\":");
        sl_buf_put_slice(out, json_trim(text));
        sl_buf_put_u8(out, ',');
        break;
    }
    put_members(out, item, gateway_id);
}

void element_put_array(struct sl_buf *out, const struct outbox_item *first, const char *gateway_id)
{
    sl_buf_put_u8(out, '[');
    for (const struct outbox_item *item = first; item; item = element_next(item)) {
        if (item != first)
            sl_buf_put_u8(out, ',');
        element_put(out, item, gateway_id);
    }
    sl_buf_put_u8(out, ']');
}
