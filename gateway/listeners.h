/* listeners.h - the configuration's listeners, opened on the broker; and kept open across a reload
 * when unchanged. */
#ifndef GATEWAY_LISTENERS_H
#define GATEWAY_LISTENERS_H

#include "broker/broker.h"
#include "config/config.h"

struct listeners;

/* Opens all; the first that cannot be opened ends it and err names it. */
SL_NODISCARD enum sl_code listeners_open(struct listeners **ret, struct broker *broker,
                                         const struct config *config, struct sl_err *err);
/* Opens what is new, closes what is gone, reads TLS files again. A socket whose address stays is
 * kept open, and so are all connections. On failure everything stays as it was. */
SL_NODISCARD enum sl_code listeners_reload(struct listeners *l, const struct config *config,
                                           struct sl_err *err);
/* Forgets them; the broker closes them itself when it is paused. Accepts NULL. */
void listeners_free(struct listeners *l);

struct listener_view {
    const char *name, *protocol;
    char address[160];
};
size_t listeners_count(const struct listeners *l);
void listeners_get(const struct listeners *l, size_t index, struct listener_view *ret);

#endif
