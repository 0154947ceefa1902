/* test_state_ops.c - settling lists of changes against a plain model; batches; rows of the log as
 * bytes, good and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "state_batch.h"
#include "state_ops.h"
#include "sum64.h"
#include "testing.h"

#include <stdlib.h>

enum { KEYS = 12, ROUNDS = 20000 };

/* Kind and key to value; 0 is away. */
struct model {
    uint8_t value[2][KEYS];
};

static uint64_t random_state;

static uint32_t rnd(uint32_t below)
{
    (void)testing_random(&random_state);
    return (uint32_t)(random_state >> 20) % below;
}

static const char *const names[KEYS + 1] = { "",    "a",  "aa", "aaa", "ab", "b", "ba",
                                             "bab", "bb", "c",  "ca",  "d",  "e" };
static const enum state_kind kinds[2] = { STATE_SESSION, STATE_DELIVERY };

static size_t index_of(struct sl_slice key)
{
    for (size_t i = 0; i <= KEYS; i++)
        if (sl_slice_eq(key, sl_str(names[i])))
            return i;
    fail_msg("an unknown key");
    return 0;
}

static void apply(struct model *m, const struct state_op *op)
{
    uint8_t *value = m->value[op->kind == STATE_DELIVERY];
    size_t at = index_of(op->key);
    switch ((enum state_what)op->what) {
    case STATE_OP_PUT: value[at] = op->value.len > 0 ? op->value.ptr[0] : 255; break;
    case STATE_OP_REMOVE: value[at] = 0; break;
    case STATE_OP_RANGE:
        for (size_t end = index_of(op->value); at < end && at < KEYS; at++)
            value[at] = 0;
        break;
    }
}

static void fill(struct model *m)
{
    for (size_t i = 0; i < KEYS; i++) {
        m->value[0][i] = (uint8_t)rnd(3);
        m->value[1][i] = (uint8_t)rnd(3);
    }
}

/* The same at random into a batch and, at once, into the model. */
static void change(struct state_batch *b, struct model *m)
{
    enum state_kind kind = kinds[rnd(2)];
    uint8_t bytes[40];
    memset(bytes, (int)(1 + rnd(200)), sizeof bytes);
    struct state_op op = { .key = sl_str(names[rnd(KEYS)]), .kind = (uint8_t)kind };
    switch (rnd(5)) {
    case 0:
        op.what = STATE_OP_RANGE;
        op.value = sl_str(names[rnd(KEYS + 1)]);
        assert_true(state_batch_remove_range(b, kind, op.key, op.value, UINT64_MAX));
        break;
    case 1:
        op.what = STATE_OP_REMOVE;
        assert_true(state_batch_remove(b, kind, op.key, UINT64_MAX));
        break;
    default:
        op.what = STATE_OP_PUT;
        op.value = sl_bytes(bytes, rnd(sizeof bytes));
        assert_true(state_batch_put(
            b, kind, op.key, sl_bytes(op.value.ptr, op.value.len / 3),
            sl_bytes(op.value.ptr + op.value.len / 3, op.value.len - op.value.len / 3),
            UINT64_MAX));
        break;
    }
    apply(m, &op);
}

/* Ranges first and apart, then each key once and in order. */
static void check_form(const struct state_ops *ops)
{
    for (size_t i = 1; i < ops->count; i++) {
        const struct state_op *a = &ops->at[i - 1], *b = &ops->at[i];
        assert_true(a->what == STATE_OP_RANGE || b->what != STATE_OP_RANGE);
        if ((a->what == STATE_OP_RANGE) != (b->what == STATE_OP_RANGE))
            continue;
        assert_true(a->kind <= b->kind);
        if (a->kind == b->kind)
            assert_true(state_key_compare(a->what == STATE_OP_RANGE ? a->value : a->key, b->key) <
                        0);
    }
}

static void check_same(const struct state_ops *ops, struct model from, const struct model *want)
{
    for (size_t i = 0; i < ops->count; i++)
        apply(&from, &ops->at[i]);
    assert_memory_equal(&from, want, sizeof from);
}

static void settled_is_the_same(void **state)
{
    (void)state;
    struct state_batch *b = state_batch_new();
    assert_non_null(b);
    random_state = 12345;
    for (int round = 0; round < ROUNDS; round++) {
        struct model before, after;
        struct state_ops ops = { 0 };
        memset(&before, 0, sizeof before);
        fill(&before);
        after = before;
        for (uint32_t n = rnd(30); n > 0; n--)
            change(b, &after);
        assert_true(state_batch_list(b, &ops));
        check_same(&ops, before, &after); /* what the batch itself left out */
        assert_true(state_ops_settle(&ops));
        check_same(&ops, before, &after);
        check_form(&ops);
        state_ops_free(&ops);
        state_batch_reset(b);
    }
    state_batch_free(b);
}

/* As the log is read: settled batches one after the other, settled once more. */
static void settled_again_is_the_same(void **state)
{
    (void)state;
    struct state_batch *b = state_batch_new();
    assert_non_null(b);
    random_state = 777;
    for (int round = 0; round < ROUNDS / 4; round++) {
        struct model before, after;
        struct sl_buf log = { 0 };
        struct state_ops all = { 0 };
        memset(&before, 0, sizeof before);
        fill(&before);
        after = before;
        for (uint32_t batches = rnd(5); batches > 0; batches--) {
            struct state_ops ops = { 0 };
            for (uint32_t n = rnd(10); n > 0; n--)
                change(b, &after);
            assert_true(state_batch_list(b, &ops) && state_ops_settle(&ops));
            size_t expected = log.len;
            for (size_t i = 0; i < ops.count; i++)
                expected += state_op_bytes(&ops.at[i]);
            state_ops_pack(&ops, &log);
            assert_int_equal(log.len, expected);
            state_ops_free(&ops);
            state_batch_reset(b);
        }
        assert_int_equal(state_ops_unpack(&all, sl_buf_slice(&log)), SL_OK);
        check_same(&all, before, &after);
        assert_true(state_ops_settle(&all));
        check_same(&all, before, &after);
        check_form(&all);
        state_ops_free(&all);
        sl_buf_free(&log);
    }
    state_batch_free(b);
}

/* Many ranges over many points: each point is looked at once, or this takes for ever. */
static void many_ranges(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct state_ops ops = { 0 };
    uint8_t(*keys)[4] = calloc(COUNT, sizeof *keys);
    static const uint8_t none[4], all[4] = { 255, 255, 255, 255 };
    assert_non_null(keys);
    for (uint32_t i = 0; i < COUNT; i++) {
        keys[i][1] = (uint8_t)(i >> 16);
        keys[i][2] = (uint8_t)(i >> 8);
        keys[i][3] = (uint8_t)i;
        struct sl_slice key = sl_bytes(keys[i], 4);
        assert_true(state_ops_add(&ops, STATE_OP_PUT, STATE_DELIVERY, key, sl_str("v")));
        assert_true(state_ops_add(&ops, STATE_OP_RANGE, STATE_DELIVERY, sl_bytes(none, 4),
                                  i % 2 ? key : sl_bytes(all, 4)));
    }
    assert_true(state_ops_settle(&ops));
    assert_int_equal(ops.count, 2); /* one range, and the last put */
    assert_int_equal(ops.at[0].what, STATE_OP_RANGE);
    assert_true(sl_slice_eq(ops.at[1].key, sl_bytes(keys[COUNT - 1], 4)));
    state_ops_free(&ops);
    free(keys);
}

static void hostile_rows(void **state)
{
    (void)state;
    struct state_ops ops = { 0 }, good = { 0 };
    struct sl_buf row = { 0 };
    assert_true(state_ops_add(&good, STATE_OP_RANGE, STATE_META, sl_str("a"), sl_str("b")));
    assert_true(state_ops_add(&good, STATE_OP_REMOVE, STATE_RETAINED, sl_str("k"), sl_str("")));
    assert_true(state_ops_add(&good, STATE_OP_PUT, STATE_RETAINED, sl_str("k"), sl_str("v")));
    state_ops_pack(&good, &row);
    size_t whole = 0;
    for (size_t n = 0; n <= row.len; n++) {
        ops.count = 0;
        if (state_ops_unpack(&ops, sl_bytes(row.ptr, n)) == SL_OK)
            whole++;
        else
            assert_int_equal(ops.count, 0);
    }
    assert_int_equal(whole, 4); /* cut behind none, one, two, all */
    for (size_t i = 0; i < row.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            row.ptr[i] ^= (uint8_t)(1u << bit);
            ops.count = 0;
            enum sl_code code = state_ops_unpack(&ops, sl_buf_slice(&row));
            assert_true(code == SL_OK || code == SL_CORRUPT);
            for (size_t k = 0; k < ops.count; k++)
                assert_true(ops.at[k].kind < STATE_KINDS && ops.at[k].what <= STATE_OP_PUT);
            row.ptr[i] ^= (uint8_t)(1u << bit);
        }
    }
    state_ops_free(&ops);
    state_ops_free(&good);
    sl_buf_free(&row);
}

/* ---- batches ---- */

static void the_bound_is_kept(void **state)
{
    (void)state;
    struct state_batch *b = state_batch_new();
    uint8_t value[1000] = { 0 };
    uint32_t taken = 0;
    assert_non_null(b);
    for (;; taken++) {
        if (!state_batch_put(b, STATE_META, sl_bytes(&taken, sizeof taken),
                             sl_bytes(value, sizeof value), sl_str(""), 100 * 1000))
            break;
        assert_true(state_batch_bytes(b) <= 100 * 1000);
    }
    assert_in_range(taken, 90, 99);
    assert_int_equal(state_batch_count(b), taken);
    uint32_t first = 0; /* what needs no more room is still taken */
    assert_true(state_batch_put(b, STATE_META, sl_bytes(&first, sizeof first), sl_str("new"),
                                sl_str(""), 100 * 1000));
    struct state_ops ops = { 0 };
    assert_true(state_batch_list(b, &ops));
    assert_int_equal(ops.count, taken);
    assert_true(sl_slice_eq(ops.at[0].value, sl_str("new")));
    state_ops_free(&ops);
    state_batch_reset(b);
    assert_int_equal(state_batch_bytes(b), 0);
    assert_true(state_batch_remove(b, STATE_META, sl_str("k"), 1000));
    state_batch_free(b);
}

static void a_key_too_long(void **state)
{
    (void)state;
    struct state_batch *b = state_batch_new();
    uint8_t *key = calloc(1, STATE_KEY_MAX + 1);
    assert_true(b && key);
    assert_true(state_batch_remove(b, STATE_META, sl_bytes(key, STATE_KEY_MAX), UINT64_MAX));
    assert_false(state_batch_remove(b, STATE_META, sl_bytes(key, STATE_KEY_MAX + 1), UINT64_MAX));
    assert_int_equal(state_batch_count(b), 1);
    free(key);
    state_batch_free(b);
}

/* ---- the checksum ---- */

static void every_bit_shows(void **state)
{
    (void)state;
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    uint32_t sum = sum64_fold(sum64_add(0, bytes, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
        assert_int_not_equal(sum, sum64_fold(sum64_add(0, bytes, sizeof bytes)));
        bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
    for (size_t n = 0; n < sizeof bytes; n++)
        assert_int_not_equal(sum, sum64_fold(sum64_add(0, bytes, n)));
    uint8_t zeros[16] = { 0 };
    assert_int_not_equal(sum64_fold(sum64_add(0, zeros, 3)), sum64_fold(sum64_add(0, zeros, 4)));
    assert_true(sum64_add(sum64_add(0, "ab", 2), "c", 1) !=
                sum64_add(sum64_add(0, "a", 1), "bc", 2));
    /* What is stored must stay what it is. */
    assert_int_equal(sum64_fold(sum64_add(1, "sluice state", 12)), 0xfa38fcdbu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settled_is_the_same), cmocka_unit_test(settled_again_is_the_same),
        cmocka_unit_test(many_ranges),         cmocka_unit_test(hostile_rows),
        cmocka_unit_test(the_bound_is_kept),   cmocka_unit_test(a_key_too_long),
        cmocka_unit_test(every_bit_shows),
    };
    return cmocka_run_group_tests_name("state operations", tests, NULL, NULL);
}
