/* alias_out.c - the table of aliases that one client was told. Pure. */
#include "alias_out.h"

#include <stdlib.h>

struct alias_slot {
    uint8_t *topic; /* the holder; NULL for none */
    uint32_t len;
    uint32_t candidate; /* hash of the topic that was sent last instead of it; 0 for none */
};

struct alias_out {
    uint16_t max;
    struct alias_slot slots[];
};

struct alias_out *alias_out_new(uint16_t max)
{
    struct alias_out *a = calloc(1, sizeof *a + max * sizeof a->slots[0]);
    if (a)
        a->max = max;
    return a;
}

void alias_out_free(struct alias_out *a)
{
    if (!a)
        return;
    for (unsigned i = 0; i < a->max; i++)
        free(a->slots[i].topic);
    free(a);
}

struct alias_choice alias_out_choose(struct alias_out *a, struct sl_slice topic)
{
    if (topic.len < ALIAS_TOPIC_MIN || topic.len > ALIAS_TOPIC_MAX)
        return (struct alias_choice){ 0, false };
    uint32_t hash = sl_hash(topic) | 1;
    uint16_t place = (uint16_t)((hash >> 1) % a->max);
    struct alias_slot *slot = &a->slots[place];
    uint16_t alias = (uint16_t)(place + 1);
    if (slot->topic && sl_slice_eq(sl_bytes(slot->topic, slot->len), topic)) {
        slot->candidate = 0;
        return (struct alias_choice){ alias, true };
    }
    bool again = slot->candidate == hash;
    slot->candidate = hash;
    return (struct alias_choice){ again ? alias : 0, false };
}

/* Without memory for the topic the alias has no holder, whatever the client thinks: it is not used.
 */
void alias_out_told(struct alias_out *a, struct alias_choice choice, struct sl_slice topic)
{
    struct alias_slot *slot = &a->slots[choice.alias - 1];
    uint8_t *copy = malloc(topic.len);
    if (copy)
        memcpy(copy, topic.ptr, topic.len);
    free(slot->topic);
    *slot = (struct alias_slot){ .topic = copy, .len = (uint32_t)topic.len };
}
