/* json_kind.h - what kind of JSON text some bytes are, if they are any. Pure; looks once at every
 * byte and nests at most JSON_DEPTH_MAX deep. */
#ifndef BRIDGE_JSON_KIND_H
#define BRIDGE_JSON_KIND_H

#include "base/slice.h"

#define JSON_DEPTH_MAX 128

enum json_kind {
    JSON_NONE,         /* not JSON, or nested too deep */
    JSON_EMPTY_OBJECT, /* {} */
    JSON_OBJECT,
    JSON_OTHER, /* a list, string, number or word */
};
enum json_kind json_kind(struct sl_slice text);
/* Without white space around it. */
struct sl_slice json_trim(struct sl_slice text);

#endif
