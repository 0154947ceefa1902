/* json_line.h - whether bytes are one JSON value on one line, by the letter of RFC 8259.
 *
 * For what is put into our own JSON as it stands: there must be no other way to read it. (cJSON is
 * lenient: it takes a value with more behind it, and control characters within strings.) No
 * allocation. */
#ifndef GATEWAY_JSON_LINE_H
#define GATEWAY_JSON_LINE_H

#include "base/slice.h"

#define JSON_LINE_DEPTH_MAX 32 /* deeper is not taken */

/* One whole JSON value (RFC 8259), nothing but white space around it. */
bool json_line_valid(struct sl_slice text);
/* The length of the JSON number at text's beginning; 0 when there is none. */
size_t json_number_len(struct sl_slice text);

#endif
