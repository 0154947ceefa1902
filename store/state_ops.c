/* state_ops.c - settling a list of changes. See state_ops.h. */
#include "state_ops.h"

#include <stdlib.h>

bool state_ops_add(struct state_ops *ops, enum state_what what, enum state_kind kind,
                   struct sl_slice key, struct sl_slice value)
{
    if (ops->count >= UINT32_MAX)
        return false;
    if (ops->count == ops->cap) {
        size_t cap = ops->cap > 0 ? ops->cap * 2 : 16;
        struct state_op *at = realloc(ops->at, cap * sizeof *at);
        if (!at)
            return false;
        ops->at = at;
        ops->cap = cap;
    }
    ops->at[ops->count] = (struct state_op){ .key = key,
                                             .value = value,
                                             .seq = (uint32_t)ops->count,
                                             .what = (uint8_t)what,
                                             .kind = (uint8_t)kind };
    ops->count++;
    return true;
}

void state_ops_free(struct state_ops *ops)
{
    free(ops->at);
    *ops = (struct state_ops){ 0 };
}

int state_key_compare(struct sl_slice a, struct sl_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

/* ---- the order: ranges by kind and beginning, then the rest by kind, key and time ---- */

static int compare_place(const struct state_op *a, const struct state_op *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return state_key_compare(a->key, b->key);
}

static int compare_ops(const void *left, const void *right)
{
    const struct state_op *a = left, *b = right;
    bool a_range = a->what == STATE_OP_RANGE, b_range = b->what == STATE_OP_RANGE;
    if (a_range != b_range)
        return a_range ? -1 : 1;
    int c = compare_place(a, b);
    return c != 0 ? c : (a->seq > b->seq) - (a->seq < b->seq);
}

static int compare_latest_first(const void *left, const void *right)
{
    const struct state_op *const *a = left, *const *b = right;
    return ((*a)->seq < (*b)->seq) - ((*a)->seq > (*b)->seq);
}

static size_t count_ranges(const struct state_ops *ops)
{
    size_t n = 0;
    while (n < ops->count && ops->at[n].what == STATE_OP_RANGE)
        n++;
    return n;
}

/* ---- what is void ---- */

static void keep_last_of_each_key(struct state_op *point, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++)
        point[i].dead = compare_place(&point[i], &point[i + 1]) == 0;
}

/* The first point at or behind `from`. */
static size_t lower_bound(const struct state_op *point, size_t count, const struct state_op *from)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_place(&point[middle], from) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first point from i on that no range has looked at. */
static uint32_t next_open(uint32_t *next, uint32_t i)
{
    while (next[i] != i) {
        next[i] = next[next[i]];
        i = next[i];
    }
    return i;
}

/* Ranges are taken latest first. So a point that one has looked at need not be looked at again: it
 * is dead, or it is later than all ranges still to come. */
static void kill_points(const struct state_op *range, struct state_op *point, size_t count,
                        uint32_t *next)
{
    uint32_t i = next_open(next, (uint32_t)lower_bound(point, count, range));
    while (i < count && point[i].kind == range->kind &&
           state_key_compare(point[i].key, range->value) < 0) {
        point[i].dead = point[i].dead || point[i].seq < range->seq;
        next[i] = i + 1;
        i = next_open(next, i + 1);
    }
}

static bool kill_by_ranges(struct state_ops *ops, size_t ranges)
{
    struct state_op *point = ops->at + ranges;
    size_t count = ops->count - ranges;
    if (ranges == 0 || count == 0)
        return true;
    const struct state_op **order = malloc(ranges * sizeof(struct state_op *));
    uint32_t *next = malloc((count + 1) * sizeof *next);
    bool ok = order && next;
    if (ok) {
        for (size_t i = 0; i < ranges; i++)
            order[i] = &ops->at[i];
        qsort(order, ranges, sizeof(struct state_op *), compare_latest_first);
        for (size_t i = 0; i <= count; i++)
            next[i] = (uint32_t)i;
        for (size_t i = 0; i < ranges; i++)
            kill_points(order[i], point, count, next);
    }
    free(order);
    free(next);
    return ok;
}

static void join_ranges(struct state_op *range, size_t count)
{
    struct state_op *last = NULL;
    for (size_t i = 0; i < count; i++) {
        struct state_op *r = &range[i];
        if (state_key_compare(r->key, r->value) >= 0) {
            r->dead = true; /* empty */
        } else if (last && last->kind == r->kind && state_key_compare(r->key, last->value) <= 0) {
            if (state_key_compare(r->value, last->value) > 0)
                last->value = r->value;
            r->dead = true;
        } else {
            last = r;
        }
    }
}

static void bury(struct state_ops *ops)
{
    size_t kept = 0;
    for (size_t i = 0; i < ops->count; i++) {
        if (ops->at[i].dead)
            continue;
        ops->at[kept] = ops->at[i];
        ops->at[kept].seq = (uint32_t)kept; /* whatever is added later comes later */
        kept++;
    }
    ops->count = kept;
}

bool state_ops_settle(struct state_ops *ops)
{
    if (ops->count < 2)
        return true;
    qsort(ops->at, ops->count, sizeof *ops->at, compare_ops);
    size_t ranges = count_ranges(ops);
    keep_last_of_each_key(ops->at + ranges, ops->count - ranges);
    if (!kill_by_ranges(ops, ranges))
        return false;
    join_ranges(ops->at, ranges);
    bury(ops);
    return true;
}

/* ---- as bytes: what and kind in one, two lengths, key, value ---- */

#define HEAD_BYTES 9

size_t state_op_bytes(const struct state_op *op)
{
    return HEAD_BYTES + op->key.len + op->value.len;
}

void state_ops_pack(const struct state_ops *ops, struct sl_buf *to)
{
    for (size_t i = 0; i < ops->count; i++) {
        const struct state_op *op = &ops->at[i];
        sl_buf_put_u8(to, (uint8_t)(op->what << 4 | op->kind));
        sl_buf_put_u32(to, (uint32_t)op->key.len);
        sl_buf_put_u32(to, (uint32_t)op->value.len);
        sl_buf_put_slice(to, op->key);
        sl_buf_put_slice(to, op->value);
    }
}

enum sl_code state_ops_unpack(struct state_ops *ops, struct sl_slice from)
{
    struct sl_cursor c = sl_cursor(from);
    size_t before = ops->count;
    while (c.left > 0) {
        uint8_t head;
        uint32_t key_len, value_len;
        struct sl_slice key, value;
        bool ok = sl_take_u8(&c, &head) && sl_take_u32(&c, &key_len) &&
                  sl_take_u32(&c, &value_len) && sl_take(&c, key_len, &key) &&
                  sl_take(&c, value_len, &value) && head >> 4 <= STATE_OP_PUT &&
                  (head & 15) < STATE_KINDS;
        if (!ok) {
            ops->count = before;
            return SL_CORRUPT;
        }
        if (!state_ops_add(ops, (enum state_what)(head >> 4), (enum state_kind)(head & 15), key,
                           value)) {
            ops->count = before;
            return SL_NOMEM;
        }
    }
    return SL_OK;
}
