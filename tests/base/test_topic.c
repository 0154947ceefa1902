/* test_topic.c - topic names and filters: which are valid, which fit; the standard's own examples
 * (MQTT 5, 4.7) among them. */
#include "base/topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct match_case {
    const char *filter, *topic;
    bool want;
} match_cases[] = {
    /* 4.7.1.2 */
    { "sport/tennis/player1/#", "sport/tennis/player1", true },
    { "sport/tennis/player1/#", "sport/tennis/player1/ranking", true },
    { "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true },
    { "sport/tennis/player1/#", "sport/tennis/player2", false },
    { "sport/tennis/player1/#", "sport/tennis/player10", false },
    { "sport/#", "sport", true },
    { "sport/#", "sports", false },
    { "#", "sport", true },
    { "#", "a/b/c", true },
    { "#", "/", true },
    /* 4.7.1.3 */
    { "sport/tennis/+", "sport/tennis/player1", true },
    { "sport/tennis/+", "sport/tennis/player2", true },
    { "sport/tennis/+", "sport/tennis/player1/ranking", false },
    { "sport/+", "sport", false },
    { "sport/+", "sport/", true },
    { "+", "sport", true },
    { "+", "sport/tennis", false },
    { "+/tennis/#", "sport/tennis", true },
    { "+/tennis/#", "sport/tennis/player1", true },
    { "+/tennis/#", "sport/golf", false },
    { "sport/+/player1", "sport/tennis/player1", true },
    { "sport/+/player1", "sport/tennis/player2", false },
    { "sport/+/player1", "sport/player1", false },
    { "+/+", "/finance", true },
    { "/+", "/finance", true },
    { "+", "/finance", false },
    /* 4.7.2 */
    { "#", "$SYS/broker", false },
    { "+/monitor/Clients", "$SYS/monitor/Clients", false },
    { "+", "$SYS", false },
    { "$SYS/#", "$SYS/monitor/Clients", true },
    { "$SYS/monitor/+", "$SYS/monitor/Clients", true },
    { "$SYS/#", "$SYS", true },
    { "+/a", "b$/a", true },
    { "a/#", "a/$b", true },
    { "a/+", "a/$b", true },
    /* 4.7.3 */
    { "ACCOUNTS", "Accounts", false },
    { "Accounts payable", "Accounts payable", true },
    { "finance", "/finance", false },
    { "/finance", "finance", false },
    { "a", "a/", false },
    { "a/", "a", false },
    { "a//b", "a//b", true },
    { "a/+/b", "a//b", true },
    { "a//b", "a/b", false },
    { "/", "/", true },
    { "+/+", "/", true },
    { "/#", "/", true },
    { "/#", "a", false },
    /* edges */
    { "a/b/c", "a/b", false },
    { "a/b", "a/b/c", false },
    { "a/+/+/d", "a/b/c/d", true },
    { "a/+/#", "a", false },
    { "a/+/#", "a/b", true },
    { "+/+/#", "a", false },
    { "a/+", "a/b/", false },
    { "sensors/k\xc3\xbc"
      "che/+",
      "sensors/k\xc3\xbc"
      "che/air",
      true },
};

static void matches(void **state)
{
    const struct match_case *c = *state;
    assert_true(sl_filter_valid(sl_str(c->filter)));
    assert_true(sl_topic_valid(sl_str(c->topic)));
    assert_int_equal(sl_topic_match(sl_str(c->filter), sl_str(c->topic)), c->want);
}

static const struct valid_case {
    const char *name, *text;
    size_t len; /* 0: all of text */
    bool topic, filter;
} valid_cases[] = {
    { "empty", "", 0, false, false },
    { "one letter", "a", 0, true, true },
    { "slash", "/", 0, true, true },
    { "space", " ", 0, true, true },
    { "empty levels", "//a//", 0, true, true },
    { "$ topic", "$SYS/a", 0, true, true },
    { "seven bytes", "abc/def", 0, true, true },
    { "eight bytes", "abc/defg", 0, true, true },
    { "nine bytes", "abc/defgh", 0, true, true },
    { "beyond ASCII",
      "k\xc3\xbc"
      "che/\xf0\x9f\x8c\xa1",
      0, true, true },
    { "#", "#", 0, false, true },
    { "+", "+", 0, false, true },
    { "a/#", "a/#", 0, false, true },
    { "/#", "/#", 0, false, true },
    { "+/tennis/#", "+/tennis/#", 0, false, true },
    { "+/+/+", "+/+/+", 0, false, true },
    { "sport/+/player1", "sport/+/player1", 0, false, true },
    { "sport/tennis#", "sport/tennis#", 0, false, false },
    { "sport/tennis/#/ranking", "sport/tennis/#/ranking", 0, false, false },
    { "#/a", "#/a", 0, false, false },
    { "#/", "#/", 0, false, false },
    { "##", "##", 0, false, false },
    { "a/#b", "a/#b", 0, false, false },
    { "sport+", "sport+", 0, false, false },
    { "+a", "+a/b", 0, false, false },
    { "a/b+/c", "a/b+/c", 0, false, false },
    { "++", "++", 0, false, false },
    { "+#", "+#", 0, false, false },
    { "NUL", "a\0b", 3, false, false },
    { "NUL at the end of sixteen", "sensors/kitchen\0", 16, false, false },
    { "not UTF-8", "a/\xff", 0, false, false },
    { "half a character", "sensors/k\xc3", 0, false, false },
    { "overlong slash",
      "a\xc0\xaf"
      "b",
      0, false, false },
    { "not UTF-8 before #", "\xff/#", 0, false, false },
};

static void valid(void **state)
{
    const struct valid_case *c = *state;
    size_t len = c->len ? c->len : strlen(c->text);
    uint8_t *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, c->text, len);
    assert_int_equal(sl_topic_valid(sl_bytes(exact, len)), c->topic);
    assert_int_equal(sl_filter_valid(sl_bytes(exact, len)), c->filter);
    free(exact);
}

/* Eight bytes at a time and an overlapping end: what is forbidden shows at every place. */
static void forbidden_byte_anywhere(void **state)
{
    (void)state;
    static const uint8_t bad[] = { 0x00, '+', '#', 0x80, 0xFF };
    uint8_t text[35];
    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t b = 0; b < SL_ARRAY_LEN(bad); b++) {
                memset(text, 'a', sizeof text);
                assert_true(sl_topic_valid(sl_bytes(text, len)));
                text[at] = bad[b];
                assert_false(sl_topic_valid(sl_bytes(text, len)));
            }
        }
    }
}

/* Every other byte of ASCII is allowed, alone and among others. */
static void allowed_bytes(void **state)
{
    (void)state;
    for (int c = 1; c < 0x80; c++) {
        uint8_t text[16];
        memset(text, c, sizeof text);
        bool want = c != '+' && c != '#';
        assert_int_equal(sl_topic_valid(sl_bytes(text, 1)), want);
        assert_int_equal(sl_topic_valid(sl_bytes(text, 8)), want);
        assert_int_equal(sl_topic_valid(sl_bytes(text, 13)), want);
    }
}

static void longest(void **state)
{
    (void)state;
    uint8_t *text = malloc(65536);
    assert_non_null(text);
    memset(text, 'a', 65536);
    assert_true(sl_topic_valid(sl_bytes(text, 65535)));
    assert_false(sl_topic_valid(sl_bytes(text, 65536)));
    assert_true(sl_filter_valid(sl_bytes(text, 65535)));
    assert_false(sl_filter_valid(sl_bytes(text, 65536)));
    memset(text, '/', 65535); /* as many levels as there can be */
    assert_true(sl_topic_match(sl_bytes(text, 65535), sl_bytes(text, 65535)));
    free(text);
}

static void levels(void **state)
{
    (void)state;
    static const char *const want[] = { "", "a", "", "b", "" };
    struct sl_levels it = sl_levels(sl_str("/a//b/"));
    struct sl_slice level;
    for (size_t i = 0; i < SL_ARRAY_LEN(want); i++) {
        assert_true(sl_levels_next(&it, &level));
        assert_true(sl_slice_eq(level, sl_str(want[i])));
    }
    assert_false(sl_levels_next(&it, &level));
    assert_false(sl_levels_next(&it, &level));
}

int main(void)
{
    const struct CMUnitTest single[] = {
        cmocka_unit_test(forbidden_byte_anywhere),
        cmocka_unit_test(allowed_bytes),
        cmocka_unit_test(longest),
        cmocka_unit_test(levels),
    };
    static struct CMUnitTest
        tests[SL_ARRAY_LEN(match_cases) + SL_ARRAY_LEN(valid_cases) + SL_ARRAY_LEN(single)];
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(match_cases); i++)
        tests[n++] = (struct CMUnitTest){ match_cases[i].topic, matches, NULL, NULL,
                                          (void *)&match_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(valid_cases); i++)
        tests[n++] =
            (struct CMUnitTest){ valid_cases[i].name, valid, NULL, NULL, (void *)&valid_cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(single); i++)
        tests[n++] = single[i];
    return _cmocka_run_group_tests("topic", tests, n, NULL, NULL);
}
