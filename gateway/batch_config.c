/* batch_config.c - the limits of batches, gathered from the rules' outputs. */
#include "batch_config.h"

#include <stdlib.h>

struct bridge_batch batch_of_output(const struct config_output *o)
{
    return (struct bridge_batch){ .max_bytes = (uint32_t)o->batch_max_bytes, /* at most 1 MiB */
                                  .max_count = (uint32_t)o->batch_max_count, /* at most 10,000 */
                                  .max_age_ms = o->batch_max_age_ms };
}

struct bridge_batch batch_standard(const struct config *c)
{
    return (struct bridge_batch){ .max_bytes = (uint32_t)c->cloud.batch_max_bytes,
                                  .max_count = CONFIG_BATCH_COUNT,
                                  .max_age_ms = c->cloud.batch_max_age_ms };
}

/* Counts them, and writes them to `to` unless that is NULL. */
static size_t gather(const struct config_output *list, size_t count, struct bridge_batch *to)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i].kind != CONFIG_TO_CLOUD || !list[i].batch)
            continue;
        if (to)
            to[found] = batch_of_output(&list[i]);
        found++;
    }
    return found;
}

static size_t gather_all(const struct config *c, struct bridge_batch *to)
{
    size_t found = 0;
    for (size_t i = 0; i < c->rule_count; i++) {
        const struct config_rule *r = &c->rules[i];
        found += gather(r->to, r->to_count, to ? to + found : NULL);
        found += gather(r->on_error, r->on_error_count, to ? to + found : NULL);
    }
    return found;
}

bool batch_table(const struct config *c, struct bridge_batch **ret, size_t *ret_count)
{
    size_t count = gather_all(c, NULL);
    struct bridge_batch *list = calloc(count ? count : 1, sizeof *list);
    if (!list)
        return false;
    *ret_count = gather_all(c, list);
    *ret = list;
    return true;
}
