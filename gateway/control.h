/* control.h - the control socket: the command line asks the running gateway.
 *
 * DATA_DIR/control.sock, for the gateway's own user only. A request is one JSON line:
 *   {"cmd":"status"}
 *   {"cmd":"queue","lane":"alert","dead":false,"limit":100,"from":1,"full":false}
 *     at most a page of what waits; for one lane, or dead letters, {"next":N} goes before the end
 *     when there may be more: from N
 *   {"cmd":"purge","lane":"alert","dead":false,"limit":100}
 *     {"messages":N,"letters":N}, also before an error; without "limit" all
 * The answer is JSON lines, the last of them {"end":true} or {"error":"..."}. Connections, request
 * size and unsent output are bounded. Loop thread only. */
#ifndef GATEWAY_CONTROL_H
#define GATEWAY_CONTROL_H

#include "base/err.h"

#include <stdbool.h>
#include <uv.h>

#define CONTROL_CLIENTS_MAX 8
#define CONTROL_REQUEST_MAX 4096
#define CONTROL_PAGE_ROWS   1000
#define CONTROL_PAGE_BYTES  ((uint64_t)512 * 1024) /* of messages; one may be larger than that */

#define CONTROL_ANSWER_SECONDS 10

struct gateway;
struct control;

/* Where the socket is, into buf. */
SL_NODISCARD enum sl_code control_path(const char *data_dir, char *buf, size_t size,
                                       struct sl_err *err);

/* Whether a gateway answers there. A socket that nobody listens on is left from a crash. */
bool control_answers(const char *data_dir);

/* SL_BUSY when another gateway answers on the socket; SL_FULL when the disk has no room for it or
 * may not be written. While the gateway stops, every request is answered with an error. */
SL_NODISCARD enum sl_code control_open(struct control **ret, struct gateway *g,
                                       const char *data_dir, struct sl_err *err);
/* closed(ctx) comes from the loop. */
void control_close(struct control *c, void (*closed)(void *ctx), void *ctx);

/* The command line's side; blocking, at most `seconds` for a piece of the answer. Sends one request
 * line and hands each answer line (without its newline) to line() until the end. SL_NOTFOUND when
 * no gateway answers there; SL_REFUSED when it reports an error. */
SL_NODISCARD enum sl_code control_ask(const char *data_dir, const char *request, int seconds,
                                      void (*line)(void *ctx, const char *text), void *ctx,
                                      struct sl_err *err);

#endif
