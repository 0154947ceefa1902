/* listeners.h - the configuration's listeners, opened on the broker; and kept open across a reload
 * when unchanged. */
#ifndef GATEWAY_LISTENERS_H
#define GATEWAY_LISTENERS_H

#include "cert_watch.h"

#include "broker/broker.h"
#include "config/config.h"

struct listeners;

/* Opens all; the first that cannot be opened ends it and err names it. */
SL_NODISCARD enum sl_code listeners_open(struct listeners **ret, uv_loop_t *loop,
                                         struct broker *broker, const struct config *config,
                                         struct sl_err *err);
/* Opens what is new, closes what is gone, reads TLS files again. A socket whose address stays is
 * kept open, and so are all connections. On failure everything stays as it was. */
SL_NODISCARD enum sl_code listeners_reload(struct listeners *l, const struct config *config,
                                           struct sl_err *err);
/* After the broker, which closes them and all connections itself. l is gone at once; closed() comes
 * when nothing of theirs is on the loop any more, perhaps before this returns. */
void listeners_close(struct listeners *l, void (*closed)(void *ctx), void *ctx);

/* Once a second: certificates that have changed are taken up, without touching connections. */
void listeners_watch(struct listeners *l, int64_t mono_ms, int64_t wall_ms);

struct listener_view {
    const char *name, *protocol;
    char address[160];
    bool secure;
    struct cert_watch_view certs; /* when secure */
};
size_t listeners_count(const struct listeners *l);
void listeners_get(const struct listeners *l, size_t index, struct listener_view *ret);

#endif
