/* topic.h - MQTT topic names and filters: validity and matching (MQTT 5 section 4.7). No state. */
#ifndef BASE_TOPIC_H
#define BASE_TOPIC_H

#include "base/slice.h"

/* One to 65,535 bytes of UTF-8, no wildcards, no NUL [MQTT-4.7.1-1, 4.7.3-1, 4.7.3-2]. */
bool sl_topic_valid(struct sl_slice topic);

/* '#' alone in the last level, '+' alone in its level [MQTT-4.7.1-1, 4.7.1-2]. A "$share/NAME/"
 * prefix is not looked at here: split it off first. */
bool sl_filter_valid(struct sl_slice filter);

/* Whether a valid topic fits a valid filter. A filter that begins with a wildcard does not fit a
 * topic that begins with '$' [MQTT-4.7.2-1]; "a/#" fits "a". */
bool sl_topic_match(struct sl_slice filter, struct sl_slice topic);

/* Takes the next level off *rest (which then begins behind the '/'); false when none is left.
 * "a//b" has an empty middle level. Start with a copy of the topic and *more = true. */
struct sl_levels {
    struct sl_slice rest;
    bool more;
};
static inline struct sl_levels sl_levels(struct sl_slice topic)
{
    return (struct sl_levels){ topic, true };
}
bool sl_levels_next(struct sl_levels *it, struct sl_slice *ret);

#endif
