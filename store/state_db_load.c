/* state_db_load.c - every row of a table, past what is damaged.
 *
 * SQLite stops at a page that it cannot read. What comes after that page can only be reached by a
 * key behind it, and nobody knows which: so keys further and further away are tried, and then the
 * nearest of them is looked for by halving. */
#include "state_db_private.h"

#include <stdlib.h>

#define SEEK_BYTES 64 /* of a key that are counted upwards from; the rest is cut off */
/* How much is spent on looking for what can be read: a failing disk may take a second to say so. */
#define PATIENCE 100000
#define COST_IO  500
#define COST_ROT 1

struct loading {
    struct state_db *db;
    enum state_kind kind;
    state_visit_fn *visit;
    void *ctx;
    struct state_db_damage *damage;
    const struct state_op *range, *range_end, *point, *point_end; /* of the log, still to come */
    struct sl_buf last; /* the last key that was seen, or where reading goes on */
    bool hidden;        /* keys are sealed: rows come in no order */
    bool any;           /* there is one */
    bool at_last;       /* a row with just that key may come */
    int patience;
    uint64_t rows;
};

/* ---- what the log says about it ---- */

static void find_ops(struct loading *l)
{
    const struct state_ops *ops = &l->db->found_ops;
    const struct state_op *op = ops->at, *end = ops->count > 0 ? ops->at + ops->count : ops->at;
    while (op < end && op->what == STATE_OP_RANGE && op->kind < l->kind)
        op++;
    l->range = op;
    while (op < end && op->what == STATE_OP_RANGE && op->kind == l->kind)
        op++;
    l->range_end = op;
    while (op < end && (op->what == STATE_OP_RANGE || op->kind < l->kind))
        op++;
    l->point = op;
    while (op < end && op->kind == l->kind)
        op++;
    l->point_end = op;
}

static void take_point(struct loading *l)
{
    if (l->point->what == STATE_OP_PUT)
        l->visit(l->ctx, l->point->key, l->point->value);
    l->point++;
}

/* Visits what the log puts before the key. True when the log says what becomes of the key itself.
 */
static bool look_through_log(struct loading *l, struct sl_slice key)
{
    while (l->point < l->point_end && state_key_compare(l->point->key, key) < 0)
        take_point(l);
    if (l->point < l->point_end && sl_slice_eq(l->point->key, key)) {
        take_point(l);
        return true;
    }
    while (l->range < l->range_end && state_key_compare(l->range->value, key) <= 0)
        l->range++;
    return l->range < l->range_end && state_key_compare(l->range->key, key) <= 0;
}

/* The last of `count` that does not come after the key; NULL: all do. */
static const struct state_op *last_before(const struct state_op *op, size_t count,
                                          struct sl_slice key)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (state_key_compare(op[middle].key, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &op[low - 1] : NULL;
}

/* The same for rows that come in no order: what the log puts is visited at the end. */
static bool log_speaks_of(const struct loading *l, struct sl_slice key)
{
    const struct state_op *point = NULL, *range = NULL;
    if (l->point < l->point_end)
        point = last_before(l->point, (size_t)(l->point_end - l->point), key);
    if (l->range < l->range_end)
        range = last_before(l->range, (size_t)(l->range_end - l->range), key);
    return (point && sl_slice_eq(point->key, key)) ||
           (range && state_key_compare(key, range->value) < 0);
}

/* ---- rows ---- */

static enum sl_code no_memory(const struct loading *l, struct sl_err *err)
{
    return sl_fail(err, SL_NOMEM, "%s: out of memory", l->db->sql.path);
}

static enum sl_code take_value(struct loading *l, sqlite3_stmt *s, struct sl_slice stored,
                               struct sl_slice key, struct sl_err *err)
{
    struct sl_slice value = state_column(s, 1), opened;
    enum sl_code code = SL_CORRUPT;
    if (state_db_checksum(l->kind, stored, value) == (uint32_t)sqlite3_column_int64(s, 2))
        code = state_db_open_value(l->db, l->kind, stored, value, &opened);
    if (code == SL_OK) {
        l->visit(l->ctx, key, opened);
    } else if (code == SL_CORRUPT) {
        l->damage->rows++;
        l->damage->bad_row(l->damage->ctx, l->kind, key);
    }
    return code == SL_OK || code == SL_CORRUPT ? SL_OK : no_memory(l, err);
}

static enum sl_code take_key(struct loading *l, sqlite3_stmt *s, struct sl_slice stored,
                             struct sl_err *err)
{
    struct sl_slice key;
    enum sl_code code = state_db_open_key(l->db, l->kind, stored, &key);
    if (code ==
        SL_CORRUPT) { /* nobody can name it to remove it: it goes when all is written anew */
        l->damage->places++;
        return SL_OK;
    }
    if (code != SL_OK)
        return no_memory(l, err);
    if (l->hidden ? log_speaks_of(l, key) : look_through_log(l, key))
        return SL_OK;
    return take_value(l, s, stored, key, err);
}

/* One row; SL_CORRUPT where keys do not ascend: nothing on this page can be trusted. */
static enum sl_code take_row(struct loading *l, sqlite3_stmt *s, struct sl_err *err)
{
    struct sl_slice key = state_column(s, 0);
    if (l->any && state_key_compare(key, sl_buf_slice(&l->last)) < (l->at_last ? 0 : 1))
        return sl_fail(err, SL_CORRUPT, "%s: keys out of order", l->db->sql.path);
    sl_buf_reset(&l->last);
    sl_buf_put_slice(&l->last, key);
    if (l->last.failed)
        return no_memory(l, err);
    l->any = true;
    l->at_last = false;
    l->rows++;
    return take_key(l, s, key, err);
}

static enum sl_code read_from(struct loading *l, struct sl_slice key, struct sl_err *err)
{
    sqlite3_stmt *s = l->db->query[SQ_READ + (int)l->kind];
    state_bind(s, 1, key);
    enum sl_code code = SL_OK;
    int rc = SQLITE_DONE;
    while (code == SL_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
        code = take_row(l, s, err);
    if (code == SL_OK && rc != SQLITE_DONE)
        code = sql_fail(&l->db->sql, rc, err);
    l->db->read_failed = l->db->read_failed || code == SL_IO;
    sql_reset(s);
    return code;
}

/* ---- past a damaged page ---- */

/* A key as a number: `bytes` long, the first counts most. */
struct position {
    uint8_t at[SEEK_BYTES + 1];
    size_t len;
};

/* False where it would pass the last key there can be. */
static bool add_power(struct position *p, size_t power)
{
    size_t i = p->len - 1 - power / 8;
    unsigned carry = 1u << (power % 8);
    for (;; i--) {
        carry += p->at[i];
        p->at[i] = (uint8_t)carry;
        carry >>= 8;
        if (carry == 0)
            return true;
        if (i == 0)
            return false;
    }
}

/* Whether reading goes on at p: with a row behind the last one, or with the end. */
static bool can_seek(struct loading *l, const struct position *p)
{
    sqlite3_stmt *s = l->db->query[SQ_READ + (int)l->kind];
    state_bind(s, 1, sl_bytes(p->at, p->len));
    int rc = sqlite3_step(s);
    bool ok = rc == SQLITE_DONE ||
              (rc == SQLITE_ROW &&
               (!l->any || state_key_compare(state_column(s, 0), sl_buf_slice(&l->last)) > 0));
    l->patience -= ok ? 0 : (rc & 0xff) == SQLITE_IOERR ? COST_IO : COST_ROT;
    l->db->read_failed = l->db->read_failed || (rc & 0xff) == SQLITE_IOERR;
    sql_reset(s);
    return ok;
}

/* The nearest position behind the last key from which reading goes on; false: none. */
static bool find_next(struct loading *l, struct position *ret)
{
    struct position base = { .len = SEEK_BYTES + 1 }, p;
    struct sl_slice last = sl_buf_slice(&l->last);
    if (l->any) {
        base.len = (last.len < SEEK_BYTES ? last.len : SEEK_BYTES) + 1;
        memcpy(base.at, last.ptr, base.len - 1);
    }
    size_t power = 0;
    for (;; power++) {
        p = base;
        if (l->patience <= 0 || power >= base.len * 8 || !add_power(&p, power))
            return false;
        if (can_seek(l, &p))
            break;
    }
    *ret = p;
    while (power-- > 0 &&
           l->patience > 0) { /* the next lower half, if that still fails, is behind us */
        p = base;
        if (!add_power(&p, power))
            continue;
        if (can_seek(l, &p))
            *ret = p;
        else
            base = p;
    }
    return true;
}

static bool is_damage(enum sl_code code)
{
    return code == SL_CORRUPT || code == SL_IO;
}

static enum sl_code step_over(struct loading *l, struct sl_err *err)
{
    enum sl_code code = SL_CORRUPT;
    struct position p;
    while (is_damage(code)) {
        l->damage->places++;
        if (!find_next(l, &p))
            return SL_OK;       /* nothing more can be reached */
        sl_buf_reset(&l->last); /* the next try begins behind this one */
        sl_buf_put(&l->last, p.at, p.len);
        if (l->last.failed)
            return no_memory(l, err);
        l->any = l->at_last = true;
        code = read_from(l, sl_bytes(p.at, p.len), err);
    }
    return code;
}

enum sl_code state_db_load(struct state_db *db, enum state_kind kind, state_visit_fn *visit,
                           void *ctx, struct state_db_damage *damage, struct sl_err *err)
{
    struct loading l = {
        .db = db, .kind = kind, .visit = visit, .ctx = ctx, .damage = damage, .patience = PATIENCE
    };
    struct sl_err later;
    enum sl_code code = state_db_ready(db, SQ_READ + (int)kind, err);
    if (code != SL_OK)
        return code;
    l.hidden = state_db_hides_keys(db, kind);
    find_ops(&l);
    code = read_from(&l, (struct sl_slice){ 0 }, err);
    if (is_damage(code)) {
        enum sl_code rest = step_over(&l, &later);
        code = rest == SL_OK ? SL_CORRUPT : sl_fail(err, rest, "%s", later.text);
    }
    while (l.point < l.point_end)
        take_point(&l);
    db->rows[kind] = db->rows_now[kind] = l.rows;
    state_db_done(db, SQ_READ + (int)kind);
    sl_buf_free(&l.last);
    (void)sqlite3_db_release_memory(db->sql.handle);
    return code;
}
