/* arena.c - a chain of blocks, each twice the last. */
#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { FIRST_BLOCK = 2048, BLOCK_MAX = 64 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    alignas(max_align_t) uint8_t data[];
};

static struct arena_block *add_block(struct arena *a, size_t need)
{
    size_t cap = a->first ? a->first->cap * 2 : FIRST_BLOCK;
    if (cap > BLOCK_MAX)
        cap = BLOCK_MAX;
    if (cap < need)
        cap = need;
    size_t max = a->max ? a->max : ARENA_MAX_DEFAULT;
    if (cap > max - a->total)
        return NULL;
    struct arena_block *b = malloc(sizeof *b + cap);
    if (!b) {
        a->out_of_memory = true;
        return NULL;
    }
    *b = (struct arena_block){ .next = a->first, .cap = cap };
    a->first = b;
    a->total += cap;
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    const size_t align = alignof(max_align_t);
    if (a->failed || n > SIZE_MAX / 4) {
        a->failed = true;
        return NULL;
    }
    size_t size = (n + align - 1) / align * align;
    struct arena_block *b = a->first;
    if (!b || size > b->cap - b->used)
        b = add_block(a, size);
    if (!b) {
        a->failed = true;
        return NULL;
    }
    void *p = b->data + b->used;
    b->used += size;
    memset(p, 0, size);
    return p;
}

struct sl_slice arena_copy(struct arena *a, struct sl_slice s)
{
    uint8_t *p = arena_alloc(a, s.len + 1);
    if (!p)
        return (struct sl_slice){ (const uint8_t *)"", 0 };
    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    return (struct sl_slice){ p, s.len };
}

void arena_reset(struct arena *a)
{
    a->failed = a->out_of_memory = false;
    if (!a->first)
        return;
    if (!a->first->next && a->first->cap <= BLOCK_MAX) {
        a->first->used = 0;
        return;
    }
    arena_free(a);
}

void arena_free(struct arena *a)
{
    for (struct arena_block *b = a->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (struct arena){ .max = a->max };
}
