/* inputs.h - what a browser, or somebody who plays one, sends: read here, bytes in, verdict out.
 *
 * No I/O, no clock, no state. Everything is bounded by the caller's buffers or the limits below. */
#ifndef WEB_INPUTS_H
#define WEB_INPUTS_H

#include "base/buf.h"

#define INPUT_FILTERS_MAX  16   /* filters in one watch */
#define INPUT_FILTER_MAX   1024 /* bytes of one filter */
#define INPUT_COMMAND_MAX  4096 /* bytes of one command on the live socket */
#define INPUT_USER_MAX     128
#define INPUT_PASSWORD_MAX 512
#define INPUT_BASIC_MAX    1024 /* bytes of an Authorization header */

/* Whether an Origin header names the host that the Host header asked for. Schemes are not compared:
 * a proxy in front may speak TLS for us. "null" and everything odd: no. */
bool input_same_origin(struct sl_slice origin, struct sl_slice host);

/* Whether an If-None-Match header holds this (quoted) tag. Weak tags count: the bytes are the same.
 */
bool input_etag_match(struct sl_slice header, struct sl_slice etag);

/* "Basic BASE64(user:password)" into plain, which then owns what user and password point into.
 * False, with nothing left in plain, when it is anything else. Whoever calls wipes plain. */
SL_NODISCARD bool input_basic(struct sl_slice header, struct sl_buf *plain,
                              struct sl_slice *ret_user, struct sl_slice *ret_password);

/* {"watch":["filter",...]}: what the live socket takes. */
struct input_watch {
    char *filters[INPUT_FILTERS_MAX]; /* NUL-terminated, valid as MQTT filters */
    unsigned count;
};
/* False: *why says what is wrong with it (a static string). */
SL_NODISCARD bool input_watch_parse(struct sl_slice text, struct input_watch *ret,
                                    const char **why);
void input_watch_release(struct input_watch *w);

/* {"type":"message",...} for a tapped message. */
void input_message_json(struct sl_buf *out, struct sl_slice topic, struct sl_slice payload,
                        int64_t wall_ms, bool retain);

#endif
