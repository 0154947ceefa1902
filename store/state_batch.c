/* state_batch.c - records in chunks, and a hash table of the last record of each key. */
#include "state_batch.h"

#include <assert.h>
#include <stdlib.h>

#define CHUNK_MIN   ((size_t)4 * 1024)
#define CHUNK_MAX   ((size_t)256 * 1024)
#define KEEP_SLOTS  4096 /* a table that is larger is given back with the batch */
#define VALUE_ROUND 16   /* room for a value that comes again a little longer */
#define SLOTS_MIN   64
#define PROBES_MAX  32

/* Key and value follow. Where it lies does not change. */
struct record {
    uint32_t hash, seq;
    uint32_t key_len, value_len, value_room;
    uint8_t what, kind;
    uint8_t bytes[];
};

struct chunk {
    struct chunk *next;
    size_t used, room;
    _Alignas(struct record) uint8_t bytes[];
};

struct state_batch {
    struct chunk *first, *last;
    struct record **slot; /* open addressing; the last record of each key, ranges left out */
    size_t slots, slots_used;
    uint64_t bytes;
    uint32_t count;
    uint32_t range_seq[STATE_KINDS]; /* one more than the last range's; 0 for none */
};

struct state_batch *state_batch_new(void)
{
    return calloc(1, sizeof(struct state_batch));
}

static void free_chunks(struct chunk *c)
{
    while (c) {
        struct chunk *next = c->next;
        free(c);
        c = next;
    }
}

void state_batch_free(struct state_batch *b)
{
    if (!b)
        return;
    free_chunks(b->first);
    free(b->slot);
    free(b);
}

void state_batch_reset(struct state_batch *b)
{
    struct chunk *kept = b->first;
    if (kept) {
        free_chunks(kept->next);
        kept->next = NULL;
        kept->used = 0;
    }
    if (b->slots > KEEP_SLOTS) {
        free(b->slot);
        b->slot = NULL;
        b->slots = 0;
    } else if (b->slots_used > 0) {
        memset(b->slot, 0, b->slots * sizeof(struct record *));
    }
    *b = (struct state_batch){ .first = kept, .last = kept, .slot = b->slot, .slots = b->slots };
    if (kept && kept->room > CHUNK_MAX) {
        free_chunks(kept);
        b->first = b->last = NULL;
    }
}

/* ---- records ---- */

static struct sl_slice record_key(const struct record *r)
{
    return sl_bytes(r->bytes, r->key_len);
}

static size_t record_bytes(size_t key_len, size_t value_room)
{
    size_t n = sizeof(struct record) + key_len + value_room;
    return (n + _Alignof(struct record) - 1) / _Alignof(struct record) * _Alignof(struct record);
}

/* Chunks grow with the batch, so that a small one is small. */
static struct chunk *chunk_for(struct state_batch *b, size_t need)
{
    if (b->last && b->last->room - b->last->used >= need)
        return b->last;
    size_t room = b->bytes < CHUNK_MIN ? CHUNK_MIN : b->bytes > CHUNK_MAX ? CHUNK_MAX : b->bytes;
    if (room < need)
        room = need;
    struct chunk *c = malloc(sizeof *c + room);
    if (!c)
        return NULL;
    *c = (struct chunk){ .room = room };
    if (b->last)
        b->last->next = c;
    else
        b->first = c;
    b->last = c;
    return c;
}

/* NULL when memory is out or the bound is reached. The value is the caller's to fill. */
static struct record *record_add(struct state_batch *b, enum state_what what, enum state_kind kind,
                                 struct sl_slice key, size_t value_len, uint64_t bytes_max)
{
    if (key.len > STATE_KEY_MAX || value_len > STATE_VALUE_MAX || b->count == UINT32_MAX)
        return NULL;
    size_t room = (value_len + VALUE_ROUND - 1) / VALUE_ROUND * VALUE_ROUND;
    size_t need = record_bytes(key.len, room);
    if (b->bytes + need > bytes_max)
        return NULL;
    struct chunk *c = chunk_for(b, need);
    if (!c)
        return NULL;
    struct record *r = (struct record *)(void *)(c->bytes + c->used);
    c->used += need;
    b->bytes += need;
    *r = (struct record){ .seq = b->count++,
                          .key_len = (uint32_t)key.len,
                          .value_len = (uint32_t)value_len,
                          .value_room = (uint32_t)room,
                          .what = (uint8_t)what,
                          .kind = (uint8_t)kind };
    if (key.len > 0)
        memcpy(r->bytes, key.ptr, key.len);
    return r;
}

static void set_value(struct record *r, struct sl_slice head, struct sl_slice tail)
{
    uint8_t *at = r->bytes + r->key_len;
    r->value_len = (uint32_t)(head.len + tail.len);
    if (head.len > 0)
        memcpy(at, head.ptr, head.len);
    if (tail.len > 0)
        memcpy(at + head.len, tail.ptr, tail.len);
}

/* ---- the table: only saves memory, so that one that cannot grow is done without ---- */

static uint32_t hash_of(enum state_kind kind, struct sl_slice key)
{
    return sl_hash(key) * 31 + (uint32_t)kind;
}

/* The slot that has it, or the free one where it would go. NULL after too many others: keys may be
 * made to collide on purpose. */
static struct record **find_slot(struct record **slot, size_t slots, uint32_t hash, uint8_t kind,
                                 struct sl_slice key)
{
    for (uint32_t try = 0; try < PROBES_MAX && try < slots; try++) {
        struct record **s = &slot[(hash + try) & (slots - 1)];
        if (!*s || ((*s)->hash == hash && (*s)->kind == kind && sl_slice_eq(record_key(*s), key)))
            return s;
    }
    return NULL;
}

static void grow_table(struct state_batch *b)
{
    size_t slots = b->slots > 0 ? b->slots * 2 : SLOTS_MIN, used = 0;
    struct record **slot = calloc(slots, sizeof(struct record *));
    if (!slot)
        return;
    for (size_t i = 0; i < b->slots; i++) {
        struct record *r = b->slot[i];
        struct record **to = r ? find_slot(slot, slots, r->hash, r->kind, record_key(r)) : NULL;
        if (!to)
            continue;
        *to = r;
        used++;
    }
    free(b->slot);
    b->slot = slot;
    b->slots = slots;
    b->slots_used = used;
}

/* A key that is in the table must not stay there with an older record. */
static void remember(struct state_batch *b, struct record *r, uint32_t hash)
{
    r->hash = hash;
    if ((b->slots_used + 1) * 4 > b->slots * 3)
        grow_table(b);
    struct record **slot = find_slot(b->slot, b->slots, hash, r->kind, record_key(r));
    if (!slot)
        return;
    b->slots_used += *slot == NULL;
    *slot = r;
}

/* The key's last record, if that is a put with room for the value and no range came after it. */
static struct record *replaceable(struct state_batch *b, enum state_kind kind, struct sl_slice key,
                                  uint32_t hash, size_t value_len)
{
    struct record **slot = find_slot(b->slot, b->slots, hash, (uint8_t)kind, key);
    struct record *r = slot ? *slot : NULL;
    bool fits =
        r && r->what == STATE_OP_PUT && r->seq >= b->range_seq[kind] && value_len <= r->value_room;
    return fits ? r : NULL;
}

/* ---- changes ---- */

bool state_batch_put(struct state_batch *b, enum state_kind kind, struct sl_slice key,
                     struct sl_slice head, struct sl_slice tail, uint64_t bytes_max)
{
    if (head.len > STATE_VALUE_MAX || tail.len > STATE_VALUE_MAX)
        return false;
    uint32_t hash = hash_of(kind, key);
    struct record *r = replaceable(b, kind, key, hash, head.len + tail.len);
    if (!r) {
        r = record_add(b, STATE_OP_PUT, kind, key, head.len + tail.len, bytes_max);
        if (!r)
            return false;
        remember(b, r, hash);
    }
    set_value(r, head, tail);
    return true;
}

bool state_batch_remove(struct state_batch *b, enum state_kind kind, struct sl_slice key,
                        uint64_t bytes_max)
{
    struct record *r = record_add(b, STATE_OP_REMOVE, kind, key, 0, bytes_max);
    if (!r)
        return false;
    remember(b, r, hash_of(kind, key));
    return true;
}

bool state_batch_remove_range(struct state_batch *b, enum state_kind kind, struct sl_slice from,
                              struct sl_slice to, uint64_t bytes_max)
{
    struct record *r = record_add(b, STATE_OP_RANGE, kind, from, to.len, bytes_max);
    if (!r)
        return false;
    set_value(r, to, (struct sl_slice){ 0 });
    b->range_seq[kind] = b->count;
    return true;
}

size_t state_batch_count(const struct state_batch *b)
{
    return b->count;
}

uint64_t state_batch_bytes(const struct state_batch *b)
{
    return b->bytes;
}

bool state_batch_list(const struct state_batch *b, struct state_ops *ops)
{
    for (const struct chunk *c = b->first; c; c = c->next) {
        for (size_t at = 0; at < c->used;) {
            const struct record *r = (const struct record *)(const void *)(c->bytes + at);
            if (!state_ops_add(ops, (enum state_what)r->what, (enum state_kind)r->kind,
                               record_key(r), sl_bytes(r->bytes + r->key_len, r->value_len)))
                return false;
            at += record_bytes(r->key_len, r->value_room);
        }
    }
    return true;
}
