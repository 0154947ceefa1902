/* map.c - the hash table. */
#include "base/map.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 2 };

void *sl_map_get_hashed(const struct sl_map *m, sl_map_key_fn *key_of, struct sl_slice key,
                        uint32_t hash)
{
    if (m->count == 0)
        return NULL;
    for (uint32_t i = hash & m->mask; m->slots[i].value; i = (i + 1) & m->mask)
        if (m->slots[i].hash == hash && sl_slice_eq(key_of(m->slots[i].value), key))
            return m->slots[i].value;
    return NULL;
}

void *sl_map_get(const struct sl_map *m, sl_map_key_fn *key_of, struct sl_slice key)
{
    return m->count ? sl_map_get_hashed(m, key_of, key, sl_hash(key)) : NULL;
}

static void place(struct sl_map_slot *slots, uint32_t mask, struct sl_map_slot s)
{
    uint32_t i = s.hash & mask;
    while (slots[i].value)
        i = (i + 1) & mask;
    slots[i] = s;
}

/* Keeps the table at most three quarters full. */
static bool make_room(struct sl_map *m)
{
    if (m->slots && (uint64_t)(m->count + 1) * 4 <= ((uint64_t)m->mask + 1) * 3)
        return true;
    uint32_t size = m->slots ? (m->mask + 1) * 2 : FIRST_SLOTS;
    if (size == 0)
        return false;
    struct sl_map_slot *larger = calloc(size, sizeof *larger);
    if (!larger)
        return false;
    for (uint32_t i = 0; m->slots && i <= m->mask; i++)
        if (m->slots[i].value)
            place(larger, size - 1, m->slots[i]);
    free(m->slots);
    m->slots = larger;
    m->mask = size - 1;
    return true;
}

bool sl_map_put(struct sl_map *m, sl_map_key_fn *key_of, void *value)
{
    if (!make_room(m))
        return false;
    place(m->slots, m->mask, (struct sl_map_slot){ value, sl_hash(key_of(value)) });
    m->count++;
    return true;
}

/* Pulls later members of a probe run back over the hole, so that no run is ever broken. */
static void close_hole(struct sl_map *m, uint32_t hole)
{
    for (uint32_t i = (hole + 1) & m->mask; m->slots[i].value; i = (i + 1) & m->mask) {
        uint32_t home = m->slots[i].hash & m->mask;
        if (((i - home) & m->mask) < ((i - hole) & m->mask))
            continue; /* it would land before its home */
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = (struct sl_map_slot){ 0 };
}

void sl_map_remove(struct sl_map *m, sl_map_key_fn *key_of, const void *value)
{
    if (m->count == 0)
        return;
    for (uint32_t i = sl_hash(key_of(value)) & m->mask; m->slots[i].value; i = (i + 1) & m->mask) {
        if (m->slots[i].value != value)
            continue;
        close_hole(m, i);
        if (--m->count == 0)
            sl_map_free(m);
        return;
    }
}

void sl_map_free(struct sl_map *m)
{
    free(m->slots);
    *m = (struct sl_map){ 0 };
}

void *sl_map_next(const struct sl_map *m, uint32_t *at)
{
    while (m->slots && *at <= m->mask) {
        void *value = m->slots[(*at)++].value;
        if (value)
            return value;
    }
    return NULL;
}
