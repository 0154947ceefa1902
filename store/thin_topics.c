/* thin_topics.c - see thin_topics.h. Open addressing; at most half full. */
#include "thin_topics.h"

#include "sum64.h"

#include <stdlib.h>

#define SLOTS_MIN 64

static uint64_t hash_of(const struct thin_topics *t, struct sl_slice topic)
{
    uint64_t hash = sum64_add(t->seed, topic.ptr, topic.len);
    return hash != 0 ? hash : 1;
}

static struct thin_topic *find(struct thin_topic *slot, uint32_t mask, uint64_t hash)
{
    uint32_t at = (uint32_t)(hash ^ hash >> 32) & mask;
    while (slot[at].hash != 0 && slot[at].hash != hash)
        at = (at + 1) & mask;
    return &slot[at];
}

static bool grow(struct thin_topics *t)
{
    uint32_t slots = t->slot ? (t->mask + 1) * 2 : SLOTS_MIN;
    struct thin_topic *slot = calloc(slots, sizeof *slot);
    if (!slot)
        return false;
    for (uint32_t i = 0; t->slot && i <= t->mask; i++)
        if (t->slot[i].hash != 0)
            *find(slot, slots - 1, t->slot[i].hash) = t->slot[i];
    free(t->slot);
    t->slot = slot;
    t->mask = slots - 1;
    return true;
}

/* NULL: no room for another topic. */
static struct thin_topic *topic_of(struct thin_topics *t, uint64_t hash)
{
    struct thin_topic *found = t->slot ? find(t->slot, t->mask, hash) : NULL;
    if (found && found->hash != 0)
        return found;
    if (t->count >= THIN_TOPICS_MAX)
        return NULL;
    if (!t->slot || t->count * 2 > t->mask) {
        if (!grow(t))
            return NULL;
        found = find(t->slot, t->mask, hash);
    }
    found->hash = hash;
    t->count++;
    return found;
}

bool thin_topics_show(struct thin_topics *t, struct sl_slice topic, struct thin_row row,
                      struct thin_row *ret_gone)
{
    struct thin_topic *found = topic_of(t, hash_of(t, topic));
    if (!found)
        return false;
    if (found->first.number == 0) {
        found->first = row;
        return false;
    }
    *ret_gone = found->first;
    found->first = (struct thin_row){ 0 };
    return true;
}

void thin_topics_free(struct thin_topics *t)
{
    free(t->slot);
    *t = (struct thin_topics){ 0 };
}
