/* status_private.h - what status.c and status_lists.c share: values into JSON objects.
 *
 * cJSON reports lack of memory by NULL; adding to NULL does nothing, and printing NULL is seen at
 * the end. */
#ifndef GATEWAY_STATUS_PRIVATE_H
#define GATEWAY_STATUS_PRIVATE_H

#include "gateway.h"

#include "base/text.h"

#include <cjson/cJSON.h>

static inline void add_int(cJSON *o, const char *key, int64_t v)
{
    (void)cJSON_AddNumberToObject(o, key,
                                  (double)v); /* exact up to 2^53: counters and times are below */
}

static inline void add_uint(cJSON *o, const char *key, uint64_t v)
{
    (void)cJSON_AddNumberToObject(o, key, (double)v);
}

/* Bytes from a peer or cut to a size as a string: made valid UTF-8 first, which cJSON does not. */
static inline void add_slice(cJSON *o, const char *key, struct sl_slice v)
{
    struct sl_buf json = { 0 };
    sl_buf_put_json(&json, v);
    (void)cJSON_AddRawToObject(o, key, json.failed ? "\"\"" : sl_buf_cstr(&json));
    sl_buf_free(&json);
}

static inline void add_str(cJSON *o, const char *key, const char *v)
{
    add_slice(o, key, sl_str(v));
}

/* Appends the text of json, which it deletes. */
void status_print(cJSON *json, struct sl_buf *out);

/* ---- status_lists.c ---- */

/* Arrays for the caller; the others add to an object or an array. */
cJSON *status_rules(struct gateway *g, struct sl_slice after, size_t limit);
cJSON *status_events(const struct events *e, uint64_t before, unsigned limit);
void status_add_sensors(struct gateway *g, cJSON *root);
void status_add_gpio(struct gateway *g, cJSON *root);
void status_add_lane(cJSON *lanes, enum outbox_lane which, const struct outbox_lane_stats *l);

/* ---- status_cost.c ---- */

void status_add_cost(struct gateway *g, cJSON *root);  /* "cost": empty without a bill */
void status_add_flash(struct gateway *g, cJSON *root); /* "flash" */

#endif
