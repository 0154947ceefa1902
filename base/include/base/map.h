/* map.h - a hash table from byte keys to pointers; the key lies inside the value.
 *
 * Open addressing, linear probing, no tombstones. The zero value with a key function is an empty
 * map. The values belong to the caller. Not safe against insertion or removal while it is walked.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

struct sl_map_slot {
    void *value; /* NULL: free */
    uint32_t hash;
};

struct sl_map {
    struct sl_map_slot *slots;
    uint32_t mask; /* slots - 1; meaningless while slots is NULL */
    uint32_t count;
};

/* Where a value keeps its key. The same for all of a map's life. */
typedef struct sl_slice sl_map_key_fn(const void *value);

/* NULL when the key is not in the map. */
void *sl_map_get(const struct sl_map *m, sl_map_key_fn *key_of, struct sl_slice key);
/* The same with the key's sl_hash() at hand. */
void *sl_map_get_hashed(const struct sl_map *m, sl_map_key_fn *key_of, struct sl_slice key,
                        uint32_t hash);
/* The key must not be in the map. False when memory is out. */
SL_NODISCARD bool sl_map_put(struct sl_map *m, sl_map_key_fn *key_of, void *value);
/* Removes this very value, if it is there. */
void sl_map_remove(struct sl_map *m, sl_map_key_fn *key_of, const void *value);
void sl_map_free(struct sl_map *m); /* the table, not the values */

/* Walk: for (uint32_t i = 0; (v = sl_map_next(m, &i));) */
void *sl_map_next(const struct sl_map *m, uint32_t *at);

#endif
