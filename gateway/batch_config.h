/* batch_config.h - the limits of batches, from the configuration to the bridge. No state. */
#ifndef GATEWAY_BATCH_CONFIG_H
#define GATEWAY_BATCH_CONFIG_H

#include "bridge/batch.h"
#include "config/config.h"

#include <stdbool.h>

/* Of an output with `batch`. */
struct bridge_batch batch_of_output(const struct config_output *o);
/* cloud.batch's. */
struct bridge_batch batch_standard(const struct config *c);
/* Of every output that batches; *ret is yours to free. False when memory is out. */
SL_NODISCARD bool batch_table(const struct config *c, struct bridge_batch **ret, size_t *ret_count);

#endif
