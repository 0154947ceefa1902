/* queue_row.h - a waiting message as a JSON line, the same from the running gateway and from the
 * file. */
#ifndef GATEWAY_QUEUE_ROW_H
#define GATEWAY_QUEUE_ROW_H

#include "base/buf.h"
#include "store/outbox.h"

/* {"lane":..,"number":..,"ts":..,"topic":..,"payload":..}; a payload that is one line of JSON
 * stands as it is, any other as a string. No newline at the end. */
void queue_row_json(const struct outbox_row *row, struct sl_buf *out);

/* The same without the braces. */
void queue_row_members(const struct outbox_row *row, struct sl_buf *out);

/* All there is of it, to be kept: "payload" is a string that is the payload to the byte, or, where
 * that is no UTF-8, "payload_base64" stands instead. Dead letters have lost QoS, retain flag and
 * properties. */
void queue_row_full(const struct outbox_row *row, struct sl_buf *out);

#endif
