/* ws_private.h - what ws.c and ws_tls.c share. */
#ifndef WEB_WS_PRIVATE_H
#define WEB_WS_PRIVATE_H

#include "web/ws.h"

#include <libwebsockets.h>

#define WS_NAME_MAX 256 /* bytes of a user name out of a certificate */

/* ws_tls.c: OpenSSL, which is what Debian's libwebsockets speaks TLS with. */

/* Reads the files as base/tls.h does, for the sake of its error texts. */
SL_NODISCARD enum sl_code ws_tls_check(const struct ws_site_options *o, struct sl_err *err);
/* Everything that lws has no option for, or another idea of. ssl_ctx: lws' own. */
SL_NODISCARD bool ws_tls_setup(void *ssl_ctx, const struct ws_site_options *o);
/* The verified certificate's common name; empty when there is none. */
struct sl_slice ws_tls_peer_name(struct lws *wsi, char buf[WS_NAME_MAX]);

#endif
