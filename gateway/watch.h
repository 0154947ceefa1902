/* watch.h - the status page's tap on topics: a web viewer's watch as a tap in the broker. */
#ifndef GATEWAY_WATCH_H
#define GATEWAY_WATCH_H

#include "broker/broker.h"
#include "web/web.h"

#define WATCHES_MAX 128

struct watch;
/* user is empty for a viewer without a name. Messages that the access list keeps from the viewer
 * are left out. NULL when the filter is not valid, WATCHES_MAX is reached or memory is out. *count
 * is kept by the caller. */
struct watch *watch_open(struct broker *b, unsigned *count, struct sl_slice user,
                         struct sl_slice filter, web_tap_fn *fn, void *ctx);
void watch_close(struct watch *w);

#endif
