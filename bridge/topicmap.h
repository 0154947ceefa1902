/* topicmap.h - where a message from the cloud goes here: cloud filters paired with local topics.
 *
 * The local side's '+' and '#' are filled, in order, with what those of the cloud's filter matched:
 * "cmd/barn-01/+/set/#" with "cmd/+/set/#" turns "cmd/barn-01/led/set/now" into "cmd/led/set/now".
 * Pure; the pairs are copied. */
#ifndef BRIDGE_TOPICMAP_H
#define BRIDGE_TOPICMAP_H

#include "base/buf.h"
#include "base/err.h"

#define TOPICMAP_WILDCARDS_MAX 32 /* '+' in one filter */

struct topicmap_pair {
    char *cloud, *local;
    uint8_t qos;
};

struct topicmap {
    struct topicmap_pair *pairs;
    size_t count;
};

/* SL_INVALID, with the reason, when one of the two is no filter or when local asks for wildcards
 * that cloud has not. */
SL_NODISCARD enum sl_code topicmap_check(struct sl_slice cloud, struct sl_slice local,
                                         struct sl_err *err);
SL_NODISCARD enum sl_code topicmap_add(struct topicmap *m, const char *cloud, const char *local,
                                       uint8_t qos, struct sl_err *err);
/* The local topic of the first pair that fits is appended to ret. False when none fits, or the
 * result would be no valid topic; ret may then hold a part. */
SL_NODISCARD bool topicmap_apply(const struct topicmap *m, struct sl_slice topic,
                                 struct sl_buf *ret);
void topicmap_free(struct topicmap *m);

#endif
