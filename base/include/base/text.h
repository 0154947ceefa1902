/* text.h - numbers, durations and sizes as text, and text made safe for JSON. No state. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buf.h"

/* "250ms", "5s", "10m", "12h", "30d": milliseconds. False for anything else or above 100 years. */
SL_NODISCARD bool sl_duration_parse(struct sl_slice text, int64_t *ret_ms);
/* "64KiB", "1GiB", "4MB", "512", "512B": bytes. */
SL_NODISCARD bool sl_size_parse(struct sl_slice text, uint64_t *ret_bytes);
/* Decimal digits only, whole slice, no sign. */
SL_NODISCARD bool sl_u64_parse(struct sl_slice text, uint64_t *ret);
/* Append as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void sl_buf_put_json(struct sl_buf *b, struct sl_slice text);
/* Edit distance, at most 31 bytes of each side looked at: for "did you mean". */
unsigned sl_edit_distance(struct sl_slice a, struct sl_slice b);

#endif
