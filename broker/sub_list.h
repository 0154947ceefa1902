/* sub_list.h - what hangs on a node of the subscription tree; private to subs.c, share.c and
 * topic_cache.c. */
#ifndef BROKER_SUB_LIST_H
#define BROKER_SUB_LIST_H

#include "subs.h"

struct share_group;

struct sub_list {
    struct subscription **subs;
    struct broker_tap **taps;
    struct share_group *groups;    /* a list */
    uint32_t sub_count, tap_count; /* arrays hold the next power of two */
    uint32_t group_count;
};

/* Room for one more element in an array that grows by doubling. */
SL_NODISCARD bool sub_array_room(void **array, uint32_t count, size_t element);

void topic_cache_free(struct subs *s);

#endif
