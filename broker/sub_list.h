/* sub_list.h - what hangs on a node of the subscription tree; private to subs.c and topic_cache.c.
 */
#ifndef BROKER_SUB_LIST_H
#define BROKER_SUB_LIST_H

#include "subs.h"

struct sub_list {
    struct subscription **subs;
    struct broker_tap **taps;
    uint32_t sub_count, tap_count; /* arrays hold the next power of two */
};

void topic_cache_free(struct subs *s);

#endif
