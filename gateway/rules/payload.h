/* payload.h - the one place that knows cJSON: payload bytes to a tree, the tree to values.
 *
 * Payloads are hostile. Not JSON here: invalid UTF-8 or a NUL, "\u0000" in a string (a C string
 * would end there), numbers beyond a double, text behind the value, nesting past cJSON's limit of
 * 1,000, more than PAYLOAD_JSON_MAX bytes (a tree takes up to 32 times its text). Of members with
 * the same name the last counts. Integers keep their digits as far as an int64_t goes, although
 * cJSON has only doubles. */
#ifndef RULES_PAYLOAD_H
#define RULES_PAYLOAD_H

#include "rules.h"
#include "value.h"

#define PAYLOAD_JSON_MAX ((size_t)1024 * 1024)

/* The parsed payload, parsed now if this is the first need of it; false when it is not JSON. */
bool payload_root(struct rule_input *in, struct value *ret);
void payload_free(void *parsed);

/* Borrow from the tree. first and after walk an array or an object, NULL at its end; key: of an
 * object's member. */
struct value payload_value(const struct cJSON *node);
const struct cJSON *payload_first(const struct cJSON *array_or_object);
const struct cJSON *payload_after(const struct cJSON *node);
struct sl_slice payload_key(const struct cJSON *node);
/* The member or NULL. */
const struct cJSON *payload_member(const struct cJSON *object, struct sl_slice key);

#endif
