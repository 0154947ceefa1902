/* queue_page.h - what waits for the cloud, a page at a time, as the web page's interface gives it.
 */
#ifndef GATEWAY_QUEUE_PAGE_H
#define GATEWAY_QUEUE_PAGE_H

#include "store/outbox.h"
#include "web/web.h"

/* An array of rows, {"key":..,"lane":..,"number":..,"ts":..,"topic":..,"payload":..}, oldest first,
 * lane by lane. The next page comes with `after`, the last row's key. A page has at most ask->limit
 * rows, and ends behind half a megabyte: the last one is the one without rows. See web_view.queue
 * for the rest. */
SL_NODISCARD enum sl_code queue_page(struct outbox *o, const struct web_queue_ask *ask,
                                     web_queue_fn *done, void *done_ctx, struct sl_err *err);

#endif
