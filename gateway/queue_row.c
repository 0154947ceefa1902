/* queue_row.c - a waiting message as a JSON line. */
#include "queue_row.h"

#include "base/text.h"

#include <cjson/cJSON.h>

static bool is_json_line(struct sl_slice payload)
{
    if (payload.len == 0 || memchr(payload.ptr, '\n', payload.len) || !sl_utf8_valid(payload))
        return false;
    cJSON *json = cJSON_ParseWithLengthOpts((const char *)payload.ptr, payload.len, NULL, 0);
    bool valid = json != NULL;
    cJSON_Delete(json);
    return valid;
}

void queue_row_json(const struct outbox_row *row, struct sl_buf *out)
{
    sl_buf_printf(
        out, "{\"lane\":\"%s\",\"number\":%llu,\"ts\":%lld,\"topic\":", outbox_lane_name(row->lane),
        (unsigned long long)row->number, (long long)row->wall_ms);
    sl_buf_put_json(out, row->topic);
    if (row->reason) {
        sl_buf_put_str(out, ",\"reason\":");
        sl_buf_put_json(out, sl_str(row->reason));
    }
    sl_buf_put_str(out, ",\"payload\":");
    if (is_json_line(row->payload))
        sl_buf_put_slice(out, row->payload);
    else
        sl_buf_put_json(out, row->payload);
    sl_buf_put_u8(out, '}');
}
