/* element.h - one output as an element of a batch: its JSON with its identity and time. Pure. */
#ifndef BRIDGE_ELEMENT_H
#define BRIDGE_ELEMENT_H

#include "base/buf.h"
#include "store/outbox.h"

/* What an element grows by at most when its time becomes known while it waits. */
#define ELEMENT_TIME_BYTES (sizeof ",\"sluice-ts\":9223372036854775807" - 1)

/* An object gets the members "sluice-id" and "sluice-ts" at its end. Any other JSON becomes
 * {"value":...,"sluice-id":...,"sluice-ts":...}, and what is not JSON {"base64":"...",...}. */
void element_put(struct sl_buf *out, const struct outbox_item *item, const char *gateway_id);
/* "gateway/lane/number": what identifies an output for ever. */
void element_identity(struct sl_buf *out, const struct outbox_item *item, const char *gateway_id);

/* The items of a batch are chained by their sender_data. */
static inline struct outbox_item *element_next(const struct outbox_item *item)
{
    return (struct outbox_item *)item->sender_data;
}
/* All of a chain, as a JSON array. */
void element_put_array(struct sl_buf *out, const struct outbox_item *first, const char *gateway_id);

#endif
