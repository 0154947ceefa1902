/* batch.h - the limits within which outputs share one packet to the cloud.
 *
 * A message that may be batched carries a key (sl_msg.batch), not the limits: they stand in a table
 * that follows from the configuration, so a row on disk stays small. The key follows from the
 * limits alone: what an earlier configuration has left on disk finds them again, or takes the
 * defaults. Pure. */
#ifndef BRIDGE_BATCH_H
#define BRIDGE_BATCH_H

#include "base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct bridge_batch {
    uint32_t max_bytes; /* as the cloud counts them: topic, payload (the JSON array) and, with
                           MQTT 5, properties */
    uint32_t max_count; /* elements */
    int64_t max_age_ms; /* from the acceptance of the first */
};

/* Of a batch's own property, "sluice-batch" and up to five digits, as it is encoded. */
#define BRIDGE_BATCH_PROPERTY_BYTES 22

/* Never 0. Should two limits have the same key, the bridge keeps the smaller of each. */
uint16_t bridge_batch_key(const struct bridge_batch *limits);
/* How much longer a message with these limits may wait in memory: a batch that takes longer than
 * BRIDGE_LINGER_MS_MAX is not waited for, its messages go to disk as others do. */
#define BRIDGE_LINGER_MS_MAX 2000
uint16_t bridge_batch_linger_ms(const struct bridge_batch *limits);

#endif
