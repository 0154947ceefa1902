/* test_bytes.c - slices, cursors, UTF-8, and the growable buffer with its bound. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- UTF-8 ---- */

#define BYTES(text)                                                                                \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct utf8_case {
    const char *name;
    struct sl_slice text;
    bool valid;
} utf8_cases[] = {
    { "nothing", BYTES(""), true },
    { "ASCII", BYTES("a"), true },
    { "control character", BYTES("\x01\x1f\x7f"), true },
    { "NUL", BYTES("\0"), false },
    { "NUL inside", BYTES("a\0b"), false },
    { "NUL behind eight", BYTES("abcdefgh\0"), false },
    { "first of two bytes", BYTES("\xc2\x80"), true },
    { "last of two bytes", BYTES("\xdf\xbf"), true },
    { "first of three", BYTES("\xe0\xa0\x80"), true },
    { "last of three", BYTES("\xef\xbf\xbf"), true },
    { "first of four", BYTES("\xf0\x90\x80\x80"), true },
    { "last of four", BYTES("\xf4\x8f\xbf\xbf"), true },
    { "below the surrogates", BYTES("\xed\x9f\xbf"), true },
    { "above the surrogates", BYTES("\xee\x80\x80"), true },
    { "first surrogate", BYTES("\xed\xa0\x80"), false },
    { "last surrogate", BYTES("\xed\xbf\xbf"), false },
    { "byte order mark", BYTES("\xef\xbb\xbf"), true }, /* [MQTT-1.5.4-3] */
    { "overlong NUL", BYTES("\xc0\x80"), false },
    { "overlong slash", BYTES("\xc1\xaf"), false },
    { "overlong in three", BYTES("\xe0\x9f\xbf"), false },
    { "overlong in four", BYTES("\xf0\x8f\xbf\xbf"), false },
    { "above U+10FFFF", BYTES("\xf4\x90\x80\x80"), false },
    { "lead byte f5", BYTES("\xf5\x80\x80\x80"), false },
    { "five bytes", BYTES("\xf8\x88\x80\x80\x80"), false },
    { "fe", BYTES("\xfe"), false },
    { "ff", BYTES("\xff"), false },
    { "continuation alone", BYTES("\x80"), false },
    { "lead alone", BYTES("\xc3"), false },
    { "lead before ASCII", BYTES("\xc3("), false },
    { "three cut to two", BYTES("\xe2\x82"), false },
    { "four cut to three", BYTES("\xf0\x9f\x98"), false },
    { "second byte is wrong", BYTES("\xe2\x28\xa1"), false },
    { "third byte is wrong", BYTES("\xe2\x82\x28"), false },
    { "fourth byte is wrong", BYTES("\xf0\x9f\x98\x28"), false },
    { "text of all lengths", BYTES("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 and more text"),
      true },
};

static void utf8(void **state)
{
    const struct utf8_case *c = *state;
    uint8_t *exact = malloc(c->text.len + 1);
    assert_non_null(exact);
    memcpy(exact + 1, c->text.ptr, c->text.len); /* not aligned, and the sanitizer sees its end */
    assert_int_equal(sl_utf8_valid(sl_bytes(exact + 1, c->text.len)), c->valid);
    free(exact);
}

/* Words are looked at eight bytes at a time: a bad byte must show at every place. */
static void utf8_bad_byte_anywhere(void **state)
{
    (void)state;
    static const uint8_t bad[] = { 0x00, 0x80, 0xC0, 0xC3, 0xED, 0xFF };
    uint8_t text[40];
    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t b = 0; b < SL_ARRAY_LEN(bad); b++) {
                memset(text, 1 + (int)(at % 0x7F), sizeof text);
                assert_true(sl_utf8_valid(sl_bytes(text, len)));
                text[at] = bad[b];
                assert_false(sl_utf8_valid(sl_bytes(text, len)));
            }
        }
    }
}

/* ---- cursors ---- */

static void takes_exactly(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 0, 1, 'x' };
    struct sl_cursor c = sl_cursor(sl_bytes(bytes, sizeof bytes));
    uint8_t a;
    uint16_t b;
    uint32_t d;
    struct sl_slice s;
    assert_true(sl_take_u8(&c, &a) && a == 1);
    assert_true(sl_take_u16(&c, &b) && b == 0x0203);
    assert_true(sl_take_u32(&c, &d) && d == 0x04050607);
    assert_true(sl_take_lp16(&c, &s) && s.len == 1 && s.ptr[0] == 'x');
    assert_int_equal(c.left, 0);
    assert_true(sl_take(&c, 0, &s) && s.len == 0);
    assert_false(sl_take_u8(&c, &a));
}

/* One byte too few: cursor and output stay as they are. */
static void takes_nothing_when_short(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 0, 4, 'a', 'b', 'c' };
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct sl_cursor c = sl_cursor(sl_bytes(bytes, n));
        struct sl_cursor before = c;
        struct sl_slice s = sl_str("kept");
        uint16_t two = 77;
        uint32_t four = 77;
        assert_false(sl_take_lp16(&c, &s));
        assert_false(sl_take(&c, n + 1, &s));
        assert_false(sl_take(&c, SIZE_MAX, &s));
        assert_int_equal(n >= 2, sl_take_u16(&(struct sl_cursor){ bytes, n }, &two));
        assert_int_equal(n >= 4, sl_take_u32(&(struct sl_cursor){ bytes, n }, &four));
        assert_true(n >= 2 || two == 77);
        assert_true(n >= 4 || four == 77);
        assert_ptr_equal(c.at, before.at);
        assert_int_equal(c.left, before.left);
        assert_int_equal(s.len, 4);
    }
}

static void slices(void **state)
{
    (void)state;
    assert_true(sl_slice_eq(sl_str(NULL), sl_str("")));
    assert_true(sl_slice_eq(sl_str("ab"), sl_bytes("abc", 2)));
    assert_false(sl_slice_eq(sl_str("ab"), sl_str("abc")));
    assert_false(sl_slice_eq(sl_str("ab"), sl_str("aB")));
    assert_true(sl_slice_starts(sl_str("abc"), sl_str("ab")));
    assert_true(sl_slice_starts(sl_str("abc"), sl_str("")));
    assert_false(sl_slice_starts(sl_str("a"), sl_str("ab")));
    assert_null(sl_slice_dup(sl_bytes("a\0b", 3)));
    char *copy = sl_slice_dup(sl_bytes("abc", 2));
    assert_string_equal(copy, "ab");
    free(copy);
    assert_int_not_equal(sl_hash(sl_str("a")), sl_hash(sl_str("b")));
    assert_int_equal(sl_hash(sl_str("topic")), sl_hash(sl_bytes("topic/a", 5)));
}

/* ---- buffers ---- */

static void assert_holds(const struct sl_buf *b, const char *want)
{
    assert_int_equal(b->len, strlen(want));
    assert_memory_equal(b->ptr, want, b->len);
}

static void appends(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    sl_buf_put(&b, NULL, 0);
    assert_null(b.ptr);
    sl_buf_put_u8(&b, 'A');
    sl_buf_put_u16(&b, 0x4243);
    sl_buf_put_u32(&b, 0x44454647);
    sl_buf_put_str(&b, "hi");
    sl_buf_put_slice(&b, sl_str("jk"));
    sl_buf_printf(&b, "%d%s", 7, "l");
    assert_holds(&b, "ABCDEFGhijk7l");
    sl_buf_consume(&b, 10);
    assert_holds(&b, "k7l");
    assert_string_equal(sl_buf_cstr(&b), "k7l");
    assert_int_equal(b.len, 3);
    sl_buf_consume(&b, 3);
    assert_int_equal(b.len, 0);
    sl_buf_put_lp16(&b, sl_str("x"));
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.ptr, "\0\1x", 3);
    sl_buf_free(&b);
    assert_null(b.ptr);
    sl_buf_put_str(&b, "again");
    assert_holds(&b, "again");
    sl_buf_free(&b);
}

static void stops_at_its_bound(void **state)
{
    (void)state;
    struct sl_buf b = { .max = 10 };
    sl_buf_put_str(&b, "0123456789"); /* just fits */
    assert_false(b.failed);
    assert_true(b.cap <= 10);
    sl_buf_put_u8(&b, '!');
    assert_true(b.failed);
    assert_holds(&b, "0123456789");
    sl_buf_reset(&b);
    sl_buf_put_str(&b, "abc");
    sl_buf_put_str(&b, "too long for it"); /* nothing of it is put */
    assert_true(b.failed);
    sl_buf_put_str(&b, "d"); /* and nothing from then on */
    assert_holds(&b, "abc");
    assert_string_equal(sl_buf_cstr(&b), "");
    sl_buf_reset(&b);
    assert_null(sl_buf_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    sl_buf_free(&b);
    assert_int_equal(b.max, 10);
    sl_buf_put_str(&b, "eleven byte");
    assert_true(b.failed);
    sl_buf_free(&b);
}

static void refuses_a_long_string(void **state)
{
    (void)state;
    static const uint8_t text[65536];
    struct sl_buf b = { 0 };
    sl_buf_put_lp16(&b, sl_bytes(text, 65535));
    assert_false(b.failed);
    assert_int_equal(b.len, 65537);
    sl_buf_put_lp16(&b, sl_bytes(text, 65536));
    assert_true(b.failed);
    assert_int_equal(b.len, 65537);
    sl_buf_free(&b);
}

static void prints_long_text(void **state)
{
    (void)state;
    struct sl_buf b = { 0 };
    static const int widths[] = { 511, 512, 513, 5000 };
    for (size_t i = 0; i < SL_ARRAY_LEN(widths); i++) {
        sl_buf_reset(&b);
        sl_buf_printf(&b, "%*d|", widths[i], 42);
        assert_false(b.failed);
        assert_int_equal(b.len, widths[i] + 1);
        assert_memory_equal(b.ptr + widths[i] - 3, " 42|", 4);
    }
    sl_buf_shrink(&b, 64);
    assert_int_equal(b.cap, b.len);
    sl_buf_reset(&b);
    sl_buf_shrink(&b, 64);
    assert_null(b.ptr);
    struct sl_buf small = { .max = 600 };
    sl_buf_printf(&small, "%700d", 1);
    assert_true(small.failed);
    assert_int_equal(small.len, 0);
    sl_buf_free(&small);
    sl_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest single[] = {
        cmocka_unit_test(utf8_bad_byte_anywhere),
        cmocka_unit_test(takes_exactly),
        cmocka_unit_test(takes_nothing_when_short),
        cmocka_unit_test(slices),
        cmocka_unit_test(appends),
        cmocka_unit_test(stops_at_its_bound),
        cmocka_unit_test(refuses_a_long_string),
        cmocka_unit_test(prints_long_text),
    };
    static struct CMUnitTest tests[SL_ARRAY_LEN(utf8_cases) + SL_ARRAY_LEN(single)];
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(utf8_cases); i++)
        tests[n++] =
            (struct CMUnitTest){ utf8_cases[i].name, utf8, NULL, NULL, (void *)&utf8_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(single); i++)
        tests[n++] = single[i];
    return _cmocka_run_group_tests("bytes", tests, n, NULL, NULL);
}
