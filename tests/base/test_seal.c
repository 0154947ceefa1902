/* test_seal.c - keys as text, sealing and opening; half of it is what must not open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/seal.h"

#include <string.h>

#define HEX "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define B64 "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8="

static const struct key_case {
    const char *name, *text;
    bool ok;
} keys[] = {
    { "hex", HEX, true },
    { "hex and a line end", HEX "\n", true },
    { "white space around", " \t" HEX "\r\n", true },
    { "base64", B64 "\n", true },
    { "empty", "", false },
    { "white space only", " \n", false },
    { "a digit short", "0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", false },
    { "a digit more", HEX "0", false },
    { "not hex", "g0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", false },
    { "a space inside", "0 112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", false },
    { "two lines", HEX "\n" HEX, false },
    { "base64 of 31 bytes", "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7g==", false },
    { "base64 with a wrong letter", "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v!=", false },
    { "a pass phrase", "correct horse battery staple", false },
};

static void key_as_text(void **state)
{
    const struct key_case *c = *state;
    uint8_t key[SEAL_KEY_BYTES] = { 0 };
    assert_int_equal(seal_key_parse(sl_str(c->text), key), c->ok);
    for (unsigned i = 0; i < SEAL_KEY_BYTES; i++)
        assert_int_equal(key[i], c->ok ? i % 16 * 0x11 : 0);
}

static struct sealer *make(uint8_t first)
{
    uint8_t key[SEAL_KEY_BYTES] = { first };
    struct sealer *s = NULL;
    struct sl_err err;
    assert_int_equal(sealer_new(&s, key, &err), SL_OK);
    return s;
}

static void opens_again(void **state)
{
    (void)state;
    struct sealer *a = make(1), *b = make(1);
    struct sl_buf sealed = { 0 }, plain = { 0 };
    for (size_t n = 0; n < 300; n++) {
        uint8_t bytes[300];
        memset(bytes, (int)n, sizeof bytes);
        sl_buf_reset(&sealed);
        sl_buf_reset(&plain);
        assert_int_equal(sealer_seal(a, sl_str("row"), sl_bytes(bytes, n), &sealed), SL_OK);
        assert_int_equal(sealed.len, n + SEAL_OVERHEAD);
        assert_int_equal(sealer_open(n % 2 ? a : b, sl_str("row"), sl_buf_slice(&sealed), &plain),
                         SL_OK);
        assert_true(sl_slice_eq(sl_buf_slice(&plain), sl_bytes(bytes, n)));
    }
    sl_buf_free(&sealed);
    sl_buf_free(&plain);
    sealer_free(a);
    sealer_free(b);
}

static void nothing_comes_twice(void **state)
{
    (void)state;
    struct sealer *a = make(1), *b = make(1);
    struct sl_buf one = { 0 }, two = { 0 }, three = { 0 };
    assert_int_equal(sealer_seal(a, sl_str(""), sl_str("the same"), &one), SL_OK);
    assert_int_equal(sealer_seal(a, sl_str(""), sl_str("the same"), &two), SL_OK);
    assert_int_equal(sealer_seal(b, sl_str(""), sl_str("the same"), &three), SL_OK);
    assert_memory_equal(one.ptr, two.ptr, 16);
    assert_memory_not_equal(one.ptr + 16, two.ptr + 16, 8); /* the counter */
    assert_memory_not_equal(one.ptr + 24, two.ptr + 24, 8);
    assert_memory_not_equal(one.ptr, three.ptr, 16); /* what was drawn */
    sl_buf_free(&one);
    sl_buf_free(&two);
    sl_buf_free(&three);
    sealer_free(a);
    sealer_free(b);
}

/* Every bit of it, what lies beside it, and the key. */
static void no_change_goes_unseen(void **state)
{
    (void)state;
    struct sealer *s = make(1), *other = make(2);
    struct sl_buf sealed = { 0 }, plain = { 0 };
    assert_int_equal(sealer_seal(s, sl_str("row 1"), sl_str("21.5"), &sealed), SL_OK);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        sealed.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sealer_open(s, sl_str("row 1"), sl_buf_slice(&sealed), &plain),
                         SL_CORRUPT);
        sealed.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < sealed.len; n++)
        assert_int_equal(sealer_open(s, sl_str("row 1"), sl_bytes(sealed.ptr, n), &plain),
                         SL_CORRUPT);
    assert_int_equal(sealer_open(s, sl_str("row 2"), sl_buf_slice(&sealed), &plain), SL_CORRUPT);
    assert_int_equal(sealer_open(other, sl_str("row 1"), sl_buf_slice(&sealed), &plain),
                     SL_CORRUPT);
    assert_int_equal(plain.len, 0);
    assert_int_equal(sealer_open(s, sl_str("row 1"), sl_buf_slice(&sealed), &plain), SL_OK);
    sl_buf_free(&sealed);
    sl_buf_free(&plain);
    sealer_free(s);
    sealer_free(other);
}

static void keys_are_told_apart(void **state)
{
    (void)state;
    struct sealer *a = make(1), *b = make(2), *again = make(1);
    uint8_t x[SEAL_CHECK_BYTES], y[SEAL_CHECK_BYTES];
    sealer_check(a, sl_str("db"), x);
    sealer_check(again, sl_str("db"), y);
    assert_memory_equal(x, y, sizeof x);
    sealer_check(b, sl_str("db"), y);
    assert_memory_not_equal(x, y, sizeof x);
    sealer_check(a, sl_str("another"), y);
    assert_memory_not_equal(x, y, sizeof x);
    sealer_free(a);
    sealer_free(b);
    sealer_free(again);
}

/* ---- names ---- */

static void a_name_is_found_again(void **state)
{
    (void)state;
    struct sealer *a = make(1), *b = make(1), *other = make(2);
    struct sl_buf one = { 0 }, two = { 0 }, plain = { 0 };
    char name[300];
    memset(name, 'n', sizeof name);
    for (size_t n = 0; n < sizeof name; n++) {
        sl_buf_reset(&one);
        sl_buf_reset(&two);
        sl_buf_reset(&plain);
        assert_int_equal(sealer_seal_name(a, sl_str("table"), sl_bytes(name, n), &one), SL_OK);
        assert_int_equal(one.len, n + SEAL_NAME_OVERHEAD);
        assert_int_equal(sealer_seal_name(b, sl_str("table"), sl_bytes(name, n), &two), SL_OK);
        assert_true(sl_slice_eq(sl_buf_slice(&one), sl_buf_slice(&two)));
        assert_int_equal(sealer_open_name(b, sl_str("table"), sl_buf_slice(&one), &plain), SL_OK);
        assert_true(sl_slice_eq(sl_buf_slice(&plain), sl_bytes(name, n)));
        sl_buf_reset(&two);
        assert_int_equal(sealer_seal_name(other, sl_str("table"), sl_bytes(name, n), &two), SL_OK);
        assert_memory_not_equal(one.ptr, two.ptr, SEAL_NAME_OVERHEAD);
    }
    sl_buf_free(&one);
    sl_buf_free(&two);
    sl_buf_free(&plain);
    sealer_free(a);
    sealer_free(b);
    sealer_free(other);
}

/* Names that are alike, and the same bytes cut at another place, share nothing. */
static void names_show_nothing_in_common(void **state)
{
    (void)state;
    static const struct {
        const char *beside, *name;
    } names[] = { { "t", "room/1" }, { "t", "room/2" }, { "tr", "oom/1" },
                  { "", "troom/1" }, { "u", "room/1" }, { "t", "room/11" } };
    struct sealer *s = make(1);
    struct sl_buf out[SL_ARRAY_LEN(names)] = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
        assert_int_equal(
            sealer_seal_name(s, sl_str(names[i].beside), sl_str(names[i].name), &out[i]), SL_OK);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(out[i].ptr, out[j].ptr, 12);          /* the nonce */
            assert_memory_not_equal(out[i].ptr + 12, out[j].ptr + 12, 5); /* what is hidden */
        }
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
        sl_buf_free(&out[i]);
    sealer_free(s);
}

static void no_change_of_a_name_goes_unseen(void **state)
{
    (void)state;
    struct sealer *s = make(1), *other = make(2);
    struct sl_buf sealed = { 0 }, plain = { 0 };
    assert_int_equal(sealer_seal_name(s, sl_str("a"), sl_str("room/1"), &sealed), SL_OK);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        sealed.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sealer_open_name(s, sl_str("a"), sl_buf_slice(&sealed), &plain),
                         SL_CORRUPT);
        sealed.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < sealed.len; n++)
        assert_int_equal(sealer_open_name(s, sl_str("a"), sl_bytes(sealed.ptr, n), &plain),
                         SL_CORRUPT);
    assert_int_equal(sealer_open_name(s, sl_str("b"), sl_buf_slice(&sealed), &plain), SL_CORRUPT);
    assert_int_equal(sealer_open_name(other, sl_str("a"), sl_buf_slice(&sealed), &plain),
                     SL_CORRUPT);
    assert_int_equal(plain.len, 0);
    sl_buf_free(&sealed);
    sl_buf_free(&plain);
    sealer_free(s);
    sealer_free(other);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(keys) + 7];
    size_t n = 0;
    for (; n < SL_ARRAY_LEN(keys); n++)
        tests[n] = (struct CMUnitTest){ .name = keys[n].name,
                                        .test_func = key_as_text,
                                        .initial_state = (void *)(uintptr_t)&keys[n] };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(opens_again);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(nothing_comes_twice);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(no_change_goes_unseen);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(keys_are_told_apart);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_name_is_found_again);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(names_show_nothing_in_common);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(no_change_of_a_name_goes_unseen);
    return _cmocka_run_group_tests("seal", tests, n, NULL, NULL);
}
