/* test_crypto.c - hashes, base64 and passwords against values made by other programs:
 * mosquitto_passwd 2.0.11, and the published SHA-256 and base64 (RFC 4648) examples. */
#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ALICE                                                                                      \
    "$7$101$BqzFMO0UHwkdu87f$dKjH+OUGW5aavSjpExNst3pXLqHQDsP+zHX3K/EFvDAjVIHbp4MGG2Z7OvQQqFUx6x/"  \
    "oFCCVL3tPzesy9yi/iQ=="
#define ALICE_HASH                                                                                 \
    "dKjH+OUGW5aavSjpExNst3pXLqHQDsP+zHX3K/EFvDAjVIHbp4MGG2Z7OvQQqFUx6x/oFCCVL3tPzesy9yi/iQ=="
#define BOB                                                                                        \
    "$7$101$/zcto8wICfpipPlb$JIhmPNsviXH3meKgvMsGVWhKgKcio7mK6PTzoyTf8+LjPyypOHw7jsPOh3TUadFiJU67" \
    "ROcUKB/Wb7pxURJVxA=="
#define CAROL                                                                                      \
    "$6$SLCQRo8RcIHYfFbw$R3qq7j99lmAdOD2+Duigu7W8lSn+OcpTXUXXgV5mYjA9EiCbdMKs90tbhfWYij1VFDZ+hOj1" \
    "qY8Q6Dd2wBaktQ=="
#define DAVE                                                                                       \
    "$7$101$elwQAFE/2y9oanSK$nYVge7V1O+zZeHJFbSbaiXUyRZgp7MqJDpABNrnoAZjHaKLX7xMPcnndVgAftfu775bi" \
    "6HQIrgelMWLKklrE1Q=="
#define X200                                                                                       \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xxxxxxxxxxxxxxxx"

static const struct password_row {
    const char *name, *password, *hash;
    bool fits, valid;
} passwords[] = {
    { "pbkdf2", "correct horse", ALICE, true, true },
    { "pbkdf2, utf-8", "p\xc3\xa4ssw\xc3\xb6rd", BOB, true, true },
    { "pbkdf2, longer than a block", X200, DAVE, true, true },
    { "sha512", "old scheme", CAROL, true, true },
    { "wrong password", "correct horsf", ALICE, false, true },
    { "prefix of the password", "correct hors", ALICE, false, true },
    { "empty password", "", ALICE, false, true },
    { "sha512, wrong password", "old schemes", CAROL, false, true },
    { "another round count", "correct horse", "$7$102$BqzFMO0UHwkdu87f$" ALICE_HASH, false, true },
    { "another salt", "correct horse", "$7$101$BqzFMO0UHwkdu87g$" ALICE_HASH, false, true },
    { "no rounds", "correct horse", "$7$0$BqzFMO0UHwkdu87f$" ALICE_HASH, false, false },
    { "most rounds + 1", "x", "$7$10000001$BqzFMO0UHwkdu87f$" ALICE_HASH, false, false },
    { "rounds past 64 bits", "x", "$7$99999999999999999999$BqzFMO0UHwkdu87f$" ALICE_HASH, false,
      false },
    { "negative rounds", "x", "$7$-101$BqzFMO0UHwkdu87f$" ALICE_HASH, false, false },
    { "unknown scheme", "correct horse", "$5$101$BqzFMO0UHwkdu87f$" ALICE_HASH, false, false },
    { "plain text", "secret", "secret", false, false },
    { "empty", "", "", false, false },
    { "dollars only", "", "$7$$$", false, false },
    { "one dollar", "", "$", false, false },
    { "no salt", "correct horse", "$7$101$$" ALICE_HASH, false, false },
    { "no hash", "correct horse", "$7$101$BqzFMO0UHwkdu87f$", false, false },
    { "cut short", "correct horse", "$7$101$BqzFMO0UHwkdu87f$dKjH+OUGW5aavSjpExNst3pXLqHQDsP+",
      false, false },
    { "something behind", "correct horse", ALICE "$", false, false },
    { "something behind, in base64", "correct horse", ALICE "AAAA", false, false },
    { "text before", "correct horse", "x" ALICE, false, false },
};

static void password(void **state)
{
    const struct password_row *row = *state;
    assert_int_equal(password_verify(sl_str(row->password), sl_str(row->hash)), row->fits);
    assert_int_equal(password_hash_valid(sl_str(row->hash)), row->valid);
}

static void new_hashes_fit_and_differ(void **state)
{
    (void)state;
    struct sl_buf a = { 0 }, b = { 0 };
    struct sl_err err;
    struct sl_slice secret = sl_bytes("a\0secret", 8);
    assert_int_equal(password_hash(secret, &a, &err), SL_OK);
    assert_int_equal(password_hash(secret, &b, &err), SL_OK);
    assert_true(password_verify(secret, sl_buf_slice(&a)));
    assert_false(password_verify(sl_bytes("a\0secreT", 8), sl_buf_slice(&a)));
    assert_false(password_verify(sl_bytes("a", 1), sl_buf_slice(&a)));
    assert_false(sl_slice_eq(sl_buf_slice(&a), sl_buf_slice(&b)));
    assert_null(memchr(a.ptr, ':', a.len)); /* it is to stand in NAME:HASH lines */
    sl_buf_free(&a);
    sl_buf_free(&b);
}

static void hash_needs_room(void **state)
{
    (void)state;
    struct sl_buf small = { .max = 50 };
    struct sl_err err;
    assert_int_equal(password_hash(sl_str("x"), &small, &err), SL_NOMEM);
    sl_buf_free(&small);
}

static void sha256_of_abc(void **state)
{
    (void)state;
    static const uint8_t want[32] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                      0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                      0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                      0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
    uint8_t got[32];
    crypto_sha256(sl_str("abc"), got);
    assert_memory_equal(got, want, 32);
}

static const struct base64_row {
    const char *name, *bytes, *text;
} encoded[] = {
    { "nothing", "", "" },
    { "f", "f", "Zg==" },
    { "fo", "fo", "Zm8=" },
    { "foo", "foo", "Zm9v" },
    { "foob", "foob", "Zm9vYg==" },
    { "fooba", "fooba", "Zm9vYmE=" },
    { "foobar", "foobar", "Zm9vYmFy" },
};

static void base64_both_ways(void **state)
{
    const struct base64_row *row = *state;
    struct sl_buf out = { 0 };
    sl_buf_put_str(&out, "<");
    crypto_base64_put(&out, sl_str(row->bytes));
    assert_string_equal(sl_buf_cstr(&out) + 1, row->text);
    sl_buf_reset(&out);
    sl_buf_put_str(&out, "<");
    assert_true(crypto_base64_take(&out, sl_str(row->text)));
    assert_string_equal(sl_buf_cstr(&out) + 1, row->bytes);
    sl_buf_free(&out);
}

static void base64_refusals(void **state)
{
    (void)state;
    static const char *const bad[] = { "Zg",          "Zg=",    "Zg===",    "Z===",
                                       "====",        "Zm9v\n", "Zm 9v===", "Zm9-",
                                       "Zm9_",        "=Zm9",   "Zm=v",     "\xff\xff\xff\xff",
                                       "Zm9vZg==Zm9v" };
    struct sl_buf out = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        if (crypto_base64_take(&out, sl_str(bad[i])))
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(out.len, 0);
    }
    struct sl_buf small = { .max = 2 };
    assert_false(crypto_base64_take(&small, sl_str("Zm9v")));
    sl_buf_free(&small);
    sl_buf_free(&out);
}

static void randomness(void **state)
{
    (void)state;
    uint8_t a[64] = { 0 }, b[64] = { 0 };
    assert_int_equal(crypto_random(a, sizeof a), SL_OK);
    assert_int_equal(crypto_random(b, sizeof b), SL_OK);
    assert_memory_not_equal(a, b, sizeof a);
    bool seen[6] = { false };
    for (int i = 0; i < 1000; i++) {
        uint64_t v = crypto_random_below(6);
        assert_true(v < 6);
        seen[v] = true;
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(seen); i++)
        assert_true(seen[i]); /* fails once in 10^78 runs */
    assert_int_equal(crypto_random_below(1), 0);
    assert_true(crypto_random_below(UINT64_MAX) < UINT64_MAX);
}

static void compares(void **state)
{
    (void)state;
    assert_true(crypto_equal(sl_str("abc"), sl_str("abc")));
    assert_false(crypto_equal(sl_str("abc"), sl_str("abd")));
    assert_false(crypto_equal(sl_str("abc"), sl_str("xbc")));
    assert_false(crypto_equal(sl_str("abc"), sl_str("abcd")));
    assert_true(crypto_equal(sl_str(""), sl_bytes(NULL, 0)));
    char secret[4] = "key";
    crypto_wipe(secret, sizeof secret);
    assert_memory_equal(secret, "\0\0\0\0", 4);
    crypto_wipe(NULL, 0);
}

int main(void)
{
    static const struct CMUnitTest plain[] = {
        cmocka_unit_test(new_hashes_fit_and_differ),
        cmocka_unit_test(hash_needs_room),
        cmocka_unit_test(sha256_of_abc),
        cmocka_unit_test(base64_refusals),
        cmocka_unit_test(randomness),
        cmocka_unit_test(compares),
    };
    enum { ROWS = SL_ARRAY_LEN(passwords), TEXTS = SL_ARRAY_LEN(encoded) };
    static struct CMUnitTest tests[ROWS + TEXTS + SL_ARRAY_LEN(plain)];
    size_t n = 0;
    for (size_t i = 0; i < ROWS; i++)
        tests[n++] = (struct CMUnitTest){ .name = passwords[i].name,
                                          .test_func = password,
                                          .initial_state = (void *)(uintptr_t)&passwords[i] };
    for (size_t i = 0; i < TEXTS; i++)
        tests[n++] = (struct CMUnitTest){ .name = encoded[i].name,
                                          .test_func = base64_both_ways,
                                          .initial_state = (void *)(uintptr_t)&encoded[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[n++] = plain[i];
    return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
