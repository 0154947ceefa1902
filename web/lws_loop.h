/* lws_loop.h - libwebsockets contexts on the gateway's libuv loop: what the status page and MQTT
 * over WebSocket have in common. */
#ifndef WEB_LWS_LOOP_H
#define WEB_LWS_LOOP_H

#include "base/err.h"

#include <libwebsockets.h>
#include <uv.h>

/* A context on the loop, without vhosts and without the system's certificates. Sets *ret also by
 * lws itself, which makes it NULL when it has let go of everything: info's pcontext is the same. */
SL_NODISCARD enum sl_code lws_loop_create(struct lws_context **ret,
                                          struct lws_context_creation_info *info, uv_loop_t *loop,
                                          struct sl_err *err);
/* Opening is over: from now on lws speaks of peers, and only at level debug. Until then what it
 * says is about our settings. */
void lws_loop_quiet(void);
void lws_loop_loud(void);
/* After lws_context_destroy(): asked again and again, when all connections are gone, until the
 * context's pointer is NULL. */
void lws_loop_finish(struct lws_context *lws, uv_loop_t *loop);

#endif
