/* queue_row.c - a waiting message as a JSON line. */
#include "queue_row.h"

#include "json_line.h"

#include "base/text.h"

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
    if (json_line_valid(row->payload))
        sl_buf_put_slice(out, row->payload);
    else
        sl_buf_put_json(out, row->payload);
    sl_buf_put_u8(out, '}');
}
