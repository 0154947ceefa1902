/* arena.h - memory that is given back all at once: for trees that live and die together.
 *
 * The zero value is an empty arena. Nothing is allocated before the first request, so an evaluation
 * that makes no strings touches no memory. Past `max` bytes, or when memory is out, requests return
 * NULL and `failed` stays set until the reset: build first, look once. */
#ifndef RULES_ARENA_H
#define RULES_ARENA_H

#include "base/slice.h"

#define ARENA_MAX_DEFAULT ((size_t)16 * 1024 * 1024)

struct arena_block;
struct arena {
    struct arena_block *first; /* the one that is filled now */
    size_t total;              /* bytes in all blocks */
    size_t max;                /* 0 means ARENA_MAX_DEFAULT */
    bool failed;
    bool out_of_memory; /* failed, and not for passing max */
};

/* Zeroed, aligned for anything. */
SL_NODISCARD void *arena_alloc(struct arena *a, size_t n);
/* A copy with a NUL behind it that len does not count; empty with `failed` set when memory is out.
 */
struct sl_slice arena_copy(struct arena *a, struct sl_slice s);
void arena_reset(struct arena *a); /* forgets everything, keeps one small block */
void arena_free(struct arena *a);  /* back to the zero value, max kept */

#endif
