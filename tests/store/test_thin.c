/* test_thin.c - when_full is `thin`: which rows go, when, and what is never touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#define ROW_BYTES (DISK_ROW_OVERHEAD + 1 + 20) /* of rig_put(): a topic of one byte */

/* ---- pairs ---- */

/* Rows are letters, by topic; the answer has what can go in small letters' places as '-'. */
static const struct pairs_case {
    const char *name, *rows, *want;
} pairs_cases[] = {
    { "nothing", "", "" },
    { "one stays", "a", "a" },
    { "of two the older goes", "aa", "-a" },
    { "of three the oldest goes", "aaa", "-aa" },
    { "of four every second", "aaaa", "-a-a" },
    { "of seven three", "aaaaaaa", "-a-a-aa" },
    { "topics by themselves", "ababab", "--abab" },
    { "each has one", "abcdef", "abcdef" },
    { "the rare one stays", "aaaabaaaa", "-a-ab-a-a" },
    { "the newest of each stays", "abba", "--ba" },
};

static void pairs(void **state)
{
    const struct pairs_case *c = *state;
    char got[32];
    struct thin_topics t = { 0 };
    (void)snprintf(got, sizeof got, "%s", c->rows);
    for (uint64_t i = 0; c->rows[i]; i++) {
        struct thin_row gone;
        if (thin_topics_show(&t, sl_bytes(&c->rows[i], 1), (struct thin_row){ i + 1, 7 }, &gone)) {
            assert_int_equal(gone.bytes, 7);
            got[gone.number - 1] = '-';
        }
    }
    assert_string_equal(got, c->want);
    thin_topics_free(&t);
}

static void topics_are_bounded(void **state)
{
    (void)state;
    struct thin_topics t = { 0 };
    struct thin_row gone;
    size_t went = 0;
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < THIN_TOPICS_MAX + 1000; i++)
            went +=
                thin_topics_show(&t, sl_bytes(&i, sizeof i), (struct thin_row){ i + 1, 1 }, &gone);
    assert_int_equal(t.count, THIN_TOPICS_MAX);
    assert_int_equal(went, THIN_TOPICS_MAX); /* those behind stay as they are */
    thin_topics_free(&t);
}

/* ---- the core ---- */

static void start(struct rig *r, uint64_t rows)
{
    rig_init(r);
    r->options.when_full = OUTBOX_THIN;
    r->options.max_bytes = rig_bytes_max(rows * ROW_BYTES);
    rig_open(r);
    rig_settle(r);
}

static void put_many(struct rig *r, enum outbox_lane lane, const char *topics, int count)
{
    for (int i = 0; i < count; i++) {
        char topic[2] = { topics[(size_t)i % strlen(topics)], '\0' };
        assert_true(rig_put(r, lane, topic, NULL));
    }
    rig_settle(r);
    rig_check(r);
}

static uint64_t lost(struct rig *r, enum outbox_lane lane, enum outbox_loss why)
{
    return rig_stats(r).lane[lane].loss[why].count;
}

/* The numbers that are on the disk, counted from that of the first message. */
static void check_rows(struct rig *r, uint64_t first, const char *want)
{
    const struct fake_rows *rows = &r->disk.rows[OUTBOX_TELEMETRY];
    size_t at = 0;
    for (uint64_t i = 0; want[i]; i++) {
        bool there = at < rows->count && rows->v[at].number == first + i;
        if (there != (want[i] == '#'))
            fail_msg("row %u of \"%s\" is %s", (unsigned)i, want, there ? "there" : "gone");
        at += there;
    }
    assert_int_equal(at, rows->count);
}

static void the_oldest_half_loses_every_second(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 32);
    uint64_t first = r.core->lane[OUTBOX_TELEMETRY].next;
    put_many(&r, OUTBOX_TELEMETRY, "a", 32);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED), 0);
    put_many(&r, OUTBOX_TELEMETRY, "a", 1);
    check_rows(&r, first,
               "-#-#-#-#-#-#-#-#"
               "################"
               "#");
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED), 8);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_TELEMETRY].lost, 8);
    assert_int_equal(rig_stats(&r).thin_passes, 1);
    rig_free(&r);
}

static void again_halves_again(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 16);
    uint64_t first = r.core->lane[OUTBOX_TELEMETRY].next;
    put_many(&r, OUTBOX_TELEMETRY, "a", 17);
    check_rows(&r, first,
               "-#-#-#-#"
               "########"
               "#");
    put_many(&r, OUTBOX_TELEMETRY, "a", 4); /* 13 + 4: of the first eight every second */
    check_rows(&r, first, "---#---#-#-##########");
    rig_free(&r);
}

static void rare_topics_stay(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 16);
    uint64_t first = r.core->lane[OUTBOX_TELEMETRY].next;
    put_many(&r, OUTBOX_TELEMETRY, "abcdefgh", 8);
    put_many(&r, OUTBOX_TELEMETRY, "x", 9);
    rig_pass(&r, 1000); /* what is dropped is deleted within a second */
    /* Nothing to thin in the oldest half: the oldest go, a few, before it is tried again. */
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED), 0);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_FULL), 1);
    check_rows(&r, first,
               "-#######"
               "#########");
    put_many(&r, OUTBOX_TELEMETRY, "x", 8);
    assert_true(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED) > 0);
    rig_free(&r);
}

static void others_stay_while_telemetry_can_be_thinned(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 32);
    put_many(&r, OUTBOX_ALERT, "a", 8);
    put_many(&r, OUTBOX_NORMAL, "n", 8);
    put_many(&r, OUTBOX_TELEMETRY, "t", 16);
    put_many(&r, OUTBOX_ALERT, "a", 2);
    put_many(&r, OUTBOX_NORMAL, "n", 2);
    struct outbox_stats s = rig_stats(&r);
    assert_int_equal(s.lane[OUTBOX_ALERT].waiting, 10);
    assert_int_equal(s.lane[OUTBOX_NORMAL].waiting, 10);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].waiting, 12);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED), 4);
    /* Alerts come until nothing else is left; then the oldest of them go. */
    put_many(&r, OUTBOX_ALERT, "a", 40);
    s = rig_stats(&r);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].waiting, 0);
    assert_int_equal(s.lane[OUTBOX_NORMAL].waiting, 0);
    assert_int_equal(s.lane[OUTBOX_ALERT].waiting, 32);
    assert_int_equal(lost(&r, OUTBOX_ALERT, OUTBOX_LOST_FULL), 18);
    /* What is less important finds no room. */
    put_many(&r, OUTBOX_TELEMETRY, "t", 1);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_ALERT].waiting, 32);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_TELEMETRY].waiting, 0);
    rig_free(&r);
}

static void what_the_sender_has_stays(void **state)
{
    (void)state;
    struct rig r;
    struct outbox_item *item[4];
    start(&r, 16);
    uint64_t first = r.core->lane[OUTBOX_TELEMETRY].next;
    put_many(&r, OUTBOX_TELEMETRY, "a", 16);
    core_set_link(r.core, true);
    rig_settle(&r);
    for (int i = 0; i < 4; i++)
        item[i] = rig_take(&r, "a");
    core_ack(r.core, item[1]); /* its row is still there when the walk passes */
    for (int i = 0; i < 6; i++)
        put_many(&r, OUTBOX_TELEMETRY, "a", 1);
    assert_true(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED) > 0);
    for (uint64_t i = 0; i < 4; i++) {
        if (i == 1)
            continue;
        assert_int_equal(item[i]->number, first + i);
        core_ack(r.core, item[i]);
    }
    rig_pass(&r, 5000);
    rig_check(&r);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_FULL), 0);
    rig_free(&r);
}

/* Rows that are lost and still on the disk are not read. */
static void what_went_is_not_sent(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 16);
    put_many(&r, OUTBOX_TELEMETRY, "a", 16);
    assert_true(rig_put(&r, OUTBOX_TELEMETRY, "a", NULL));
    core_set_link(r.core, true);
    for (int i = 0; i < 3; i++) { /* the walk comes back; its commit does not get through */
        r.disk.commit_fails = SL_BUSY;
        rig_tick(&r);
        (void)fake_disk_step(&r.disk);
    }
    rig_settle(&r);
    rig_check(&r);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED), 4);
    uint64_t last = 0;
    int sent = 0;
    for (struct outbox_item *item; (item = core_take(r.core)); sent++) {
        assert_true(item->number > last);
        last = item->number;
        core_ack(r.core, item);
        rig_settle(&r);
    }
    assert_int_equal(sent, 13);
    r.disk.commit_fails = SL_OK;
    rig_pass(&r, 10000);
    rig_check(&r);
    check_rows(&r, 0, "");
    rig_free(&r);
}

static void a_crash_before_the_commit_undoes_it(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 16);
    put_many(&r, OUTBOX_TELEMETRY, "a", 16);
    assert_true(rig_put(&r, OUTBOX_TELEMETRY, "a", NULL));
    while (r.disk.thins == 0) { /* up to the walk */
        rig_tick(&r);
        assert_true(fake_disk_step(&r.disk));
    }
    rig_tick(&r);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED), 4);
    rig_crash(&r);
    rig_open(&r);
    rig_tick(&r);
    assert_true(fake_disk_step(&r.disk)); /* opened: it is as it was */
    rig_check(&r);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED), 0);
    assert_int_equal(rig_stats(&r).lane[OUTBOX_TELEMETRY].waiting, 17);
    rig_settle(&r); /* and too much still waits */
    rig_check(&r);
    assert_int_equal(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED), 4);
    rig_free(&r);
}

static void a_large_lane_goes_in_steps(void **state)
{
    (void)state;
    struct rig r;
    enum { ROWS = 8 * DISK_THIN_ROWS_MAX };
    start(&r, ROWS);
    r.options.read_ahead = 16;
    put_many(&r, OUTBOX_TELEMETRY, "abc", ROWS);
    unsigned thins = r.disk.thins, commits = r.disk.commits;
    put_many(&r, OUTBOX_TELEMETRY, "a", 1);
    assert_int_equal(r.disk.thins - thins, 4);
    assert_true(r.disk.commits - commits >= 4);
    assert_in_range(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED), ROWS / 4 - 3, ROWS / 4);
    rig_free(&r);
}

static void a_walk_that_fails_drops_instead(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 16);
    put_many(&r, OUTBOX_TELEMETRY, "a", 16);
    r.disk.read_fails = SL_BUSY;
    assert_true(rig_put(&r, OUTBOX_TELEMETRY, "a", NULL));
    rig_settle(&r);
    rig_check(&r);
    r.disk.read_fails = SL_OK;
    rig_pass(&r, 10000);
    rig_check(&r);
    put_many(&r, OUTBOX_TELEMETRY, "a", 40);
    assert_true(r.core->bytes <= r.options.max_bytes);
    assert_true(lost(&r, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED) > 0);
    rig_free(&r);
}

static void add(struct CMUnitTest *tests, size_t *count, const char *name, CMUnitTestFunction fn,
                const void *state)
{
    tests[(*count)++] = (struct CMUnitTest){ .name = name,
                                             .test_func = fn,
                                             .initial_state = (void *)(uintptr_t)state };
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(pairs_cases) + 16];
    size_t count = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(pairs_cases); i++)
        add(tests, &count, pairs_cases[i].name, pairs, &pairs_cases[i]);
    static const struct CMUnitTest more[] = {
        cmocka_unit_test(topics_are_bounded),
        cmocka_unit_test(the_oldest_half_loses_every_second),
        cmocka_unit_test(again_halves_again),
        cmocka_unit_test(rare_topics_stay),
        cmocka_unit_test(others_stay_while_telemetry_can_be_thinned),
        cmocka_unit_test(what_the_sender_has_stays),
        cmocka_unit_test(what_went_is_not_sent),
        cmocka_unit_test(a_crash_before_the_commit_undoes_it),
        cmocka_unit_test(a_large_lane_goes_in_steps),
        cmocka_unit_test(a_walk_that_fails_drops_instead),
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(more); i++)
        tests[count++] = more[i];
    return _cmocka_run_group_tests("thin", tests, count, NULL, NULL);
}
