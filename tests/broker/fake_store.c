/* fake_store.c - tables in memory, and what has not come to them yet. */
#include "fake_store.h"

static int compare(struct sl_slice a, struct sl_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* The first row that is not before key. */
static size_t lower_bound(const struct fake_table *t, struct sl_slice key)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t at = low + (high - low) / 2;
        if (compare(sl_buf_slice(&t->rows[at].key), key) < 0)
            low = at + 1;
        else
            high = at;
    }
    return low;
}

static void row_free(struct fake_row *r)
{
    sl_buf_free(&r->key);
    sl_buf_free(&r->value);
}

static void remove_rows(struct fake_table *t, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        row_free(&t->rows[i]);
    if (to > from)
        memmove(t->rows + from, t->rows + to, (t->count - to) * sizeof *t->rows);
    t->count -= to - from;
}

static bool is_at(const struct fake_table *t, size_t at, struct sl_slice key)
{
    return at < t->count && compare(sl_buf_slice(&t->rows[at].key), key) == 0;
}

static void put_row(struct fake_table *t, struct fake_op *op)
{
    size_t at = lower_bound(t, sl_buf_slice(&op->key));
    if (is_at(t, at, sl_buf_slice(&op->key)))
        remove_rows(t, at, at + 1);
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 16;
        must((t->rows = realloc(t->rows, t->cap * sizeof *t->rows)) != NULL);
    }
    memmove(t->rows + at + 1, t->rows + at, (t->count - at) * sizeof *t->rows);
    t->rows[at] = (struct fake_row){ op->key, op->value };
    op->key = op->value = (struct sl_buf){ 0 };
    t->count++;
}

static void clear(struct fake_store *s)
{
    for (size_t k = 0; k < BROKER_ROWS; k++) {
        remove_rows(&s->tables[k], 0, s->tables[k].count);
        free(s->tables[k].rows);
        s->tables[k] = (struct fake_table){ 0 };
    }
}

static void apply(struct fake_store *s, struct fake_op *op)
{
    struct fake_table *t = &s->tables[op->kind];
    size_t at;
    switch (op->what) {
    case FAKE_PUT: put_row(t, op); break;
    case FAKE_REMOVE:
        at = lower_bound(t, sl_buf_slice(&op->key));
        remove_rows(t, at, at + is_at(t, at, sl_buf_slice(&op->key)));
        break;
    case FAKE_RANGE:
        remove_rows(t, lower_bound(t, sl_buf_slice(&op->key)),
                    lower_bound(t, sl_buf_slice(&op->value)));
        break;
    case FAKE_CLEAR: clear(s); break;
    case FAKE_WAITER: break;
    }
}

static bool add(struct fake_store *s, struct fake_op op, struct sl_slice key, struct sl_slice a,
                struct sl_slice b)
{
    if (s->broken)
        return false;
    if (s->op_count == s->op_cap) {
        s->op_cap = s->op_cap ? s->op_cap * 2 : 64;
        must((s->ops = realloc(s->ops, s->op_cap * sizeof *s->ops)) != NULL);
    }
    sl_buf_put_slice(&op.key, key);
    sl_buf_put_slice(&op.value, a);
    sl_buf_put_slice(&op.value, b);
    must(!op.key.failed && !op.value.failed);
    s->ops[s->op_count++] = op;
    return true;
}

static const struct sl_slice nothing = { 0 };

static bool on_put(void *ctx, enum broker_row kind, struct sl_slice key, struct sl_slice head,
                   struct sl_slice tail)
{
    struct fake_store *s = ctx;
    s->puts[kind]++;
    return add(s, (struct fake_op){ .what = FAKE_PUT, .kind = kind }, key, head, tail);
}

static bool on_remove(void *ctx, enum broker_row kind, struct sl_slice key)
{
    return add(ctx, (struct fake_op){ .what = FAKE_REMOVE, .kind = kind }, key, nothing, nothing);
}

static bool on_remove_range(void *ctx, enum broker_row kind, struct sl_slice from,
                            struct sl_slice to)
{
    return add(ctx, (struct fake_op){ .what = FAKE_RANGE, .kind = kind }, from, to, nothing);
}

static bool on_when_safe(void *ctx, broker_safe_fn *fn, void *fn_ctx)
{
    struct fake_store *s = ctx;
    s->waits++;
    return add(s, (struct fake_op){ .what = FAKE_WAITER, .fn = fn, .fn_ctx = fn_ctx }, nothing,
               nothing, nothing);
}

void store_open(struct fake_store *s)
{
    *s = (struct fake_store){ 0 };
    s->face = (struct broker_persistence){ s, on_put, on_remove, on_remove_range, on_when_safe };
}

/* Takes the ops away first: who is told may ask for more. */
static void settle(struct fake_store *s, size_t apply_count, enum sl_code tell)
{
    struct fake_op *ops = s->ops;
    size_t count = s->op_count;
    s->ops = NULL;
    s->op_count = s->op_cap = 0;
    for (size_t i = 0; i < apply_count; i++)
        apply(s, &ops[i]);
    for (size_t i = 0; i < count; i++) {
        sl_buf_free(&ops[i].key);
        sl_buf_free(&ops[i].value);
        if (ops[i].what == FAKE_WAITER)
            ops[i].fn(ops[i].fn_ctx, tell);
    }
    free(ops);
}

void store_commit(struct fake_store *s)
{
    settle(s, s->op_count, SL_OK);
}

void store_break(struct fake_store *s)
{
    s->broken = true;
    settle(s, 0, SL_IO);
}

void store_repair(struct fake_store *s, struct broker *b)
{
    s->broken = false;
    (void)add(s, (struct fake_op){ .what = FAKE_CLEAR }, nothing, nothing, nothing);
    broker_resync(b);
}

void store_crash(struct fake_store *s, size_t ops)
{
    s->broken = true;
    for (size_t i = 0; i < ops && i < s->op_count; i++)
        apply(s, &s->ops[i]);
}

void store_step_over(struct fake_store *s)
{
    if (s->op_count > 0)
        s->ops[s->op_count - 1].ends_step = true;
}

size_t store_step_end(const struct fake_store *s, size_t ops)
{
    while (ops > 0 && ops < s->op_count && !s->ops[ops - 1].ends_step)
        ops++;
    return ops;
}

void store_bury(struct fake_store *s)
{
    settle(s, 0, SL_CLOSED);
    s->broken = false;
}

void store_restore(struct fake_store *s, struct broker *b)
{
    for (size_t k = 0; k < BROKER_ROWS; k++)
        for (size_t i = 0; i < s->tables[k].count; i++)
            (void)broker_restore(b, (enum broker_row)k, sl_buf_slice(&s->tables[k].rows[i].key),
                                 sl_buf_slice(&s->tables[k].rows[i].value));
    broker_restored(b);
}

size_t store_rows(const struct fake_store *s, enum broker_row kind)
{
    return s->tables[kind].count;
}

void store_free(struct fake_store *s)
{
    must(s->op_count == 0 || s->broken);
    settle(s, 0, SL_CLOSED);
    clear(s);
}
