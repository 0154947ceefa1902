/* test_outbox_bad.c - the outbox on databases that cannot be used, and on those that go bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harm.h"
#include "outbox_rig.h"

#include "rows.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_half(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size / 2), 0);
}

static void make_newer(const char *path)
{
    sql(path, "PRAGMA user_version=99");
}

static void make_without_lane(const char *path)
{
    sql(path, "DROP TABLE telemetry");
}

static void make_without_column(const char *path)
{
    sql(path, "ALTER TABLE alert DROP COLUMN crc");
}

static void make_without_counters(const char *path)
{
    sql(path, "DELETE FROM lane WHERE id=1");
}

static void make_negative(const char *path)
{
    sql(path, "UPDATE lane SET rows=-5 WHERE id=1");
}

struct bad_case {
    const char *name;
    void (*spoil)(const char *path);
    const char *why;       /* a part of what is said */
    unsigned known_losses; /* where the counters could be read */
    unsigned salvaged;     /* of 500; SOME: more than none */
};
#define SOME 501

static const struct bad_case bad_cases[] = {
    { "zero bytes", make_empty, "empty", 0, 0 },
    { "noise", make_noise, "not a database", 0, 0 },
    { "a header and noise", make_header_and_noise, "", 0, 0 },
    { "fifty bytes", make_short, "not a database", 0, 0 },
    { "half of it", make_half, "malformed", 0, SOME },
    { "another program's", make_foreign, "another program", 500, 0 },
    { "a newer version's", make_newer, "newer version", 0, 500 },
    { "a lane is missing", make_without_lane, "no such table", 0, 500 },
    { "a column is missing", make_without_column, "crc", 0, 500 },
    { "a lane's counters are missing", make_without_counters, "counters are missing", 0, 500 },
    { "a negative counter", make_negative, "negative", 0, 500 },
};

static void fill_and_spoil(struct place *p, const struct bad_case *c)
{
    place_open(p);
    for (int i = 0; i < 500; i++)
        put(p, OUTBOX_NORMAL, "old");
    wait_for(p, safe_is, 500);
    place_close(p);
    c->spoil(p->db);
}

static void bad_databases_are_set_aside(void **state)
{
    const struct bad_case *c = *state;
    struct place p;
    place_init(&p);
    fill_and_spoil(&p, c);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "new");
    wait_for(&p, safe_is, 501);
    struct outbox_stats s = stats_of(&p);
    assert_true(s.disk_ok);
    assert_non_null(strstr(s.set_aside, "queue.db.bad-20"));
    assert_int_equal(access(s.set_aside, F_OK), 0);
    if (!strstr(s.set_aside_why, c->why))
        fail_msg("it says: %s", s.set_aside_why);
    if (c->salvaged == SOME)
        assert_in_range(s.salvaged, 1, 499);
    else
        assert_int_equal(s.salvaged, c->salvaged);
    place_close(&p);
    place_open(&p); /* the fresh one is good, and remembers */
    char topics[501][16];
    drain(&p, s.salvaged + 1, topics);
    for (uint64_t i = 0; i <= s.salvaged; i++) /* in order */
        assert_string_equal(topics[i], i < s.salvaged ? "old" : "new");
    wait_for(&p, waiting_is, 0);
    uint64_t salvaged = s.salvaged;
    s = stats_of(&p);
    assert_string_equal(s.set_aside, "");
    uint64_t lost = c->salvaged == SOME ? 500 - salvaged : c->known_losses;
    assert_int_equal(s.lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].count, lost);
    assert_true(s.lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].last_ms > 0);
    place_close(&p);
    place_release(&p);
}

static int64_t last_year(void *ctx)
{
    (void)ctx;
    return sl_wall_ms(&sl_clock_system) - INT64_C(365) * 86400000;
}

static uint64_t first_number_to_send(struct place *p)
{
    struct outbox_item *item;
    outbox_set_link(p->outbox, true);
    while (!(item = outbox_take(p->outbox)))
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    uint64_t number = item->number;
    outbox_return_all(p->outbox);
    outbox_set_link(p->outbox, false);
    return number;
}

/* The database is lost and the clock has gone back, as on a board without a battery: the numbers of
 * the new database must still be higher than any of the old. */
static void numbers_outlive_the_database(void **state)
{
    (void)state;
    struct place p;
    struct sl_clock clock = { sl_clock_system.mono_ms, last_year, NULL };
    place_init(&p);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "a");
    wait_for(&p, safe_is, 1);
    uint64_t before = first_number_to_send(&p);
    place_close(&p);
    assert_int_equal(truncate(p.db, 100), 0);
    p.options.clock = &clock;
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "b");
    wait_for(&p, safe_is, 2);
    assert_non_null(strstr(stats_of(&p).set_aside, "queue.db.bad-20"));
    assert_true(first_number_to_send(&p) > before);
    place_close(&p);
    place_release(&p);
}

static void a_log_without_its_database_is_not_taken(void **state)
{
    (void)state;
    struct place p;
    char log[128];
    place_init(&p);
    (void)snprintf(log, sizeof log, "%s-wal", p.db);
    make_noise(log);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "a");
    wait_for(&p, safe_is, 1);
    assert_true(stats_of(&p).disk_ok);
    place_close(&p);
    place_release(&p);
}

static void a_bad_row_is_counted_and_skipped(void **state)
{
    (void)state;
    char topics[2][16];
    struct place p;
    place_init(&p);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "m0");
    put(&p, OUTBOX_NORMAL, "m1");
    put(&p, OUTBOX_NORMAL, "m2");
    wait_for(&p, safe_is, 3);
    place_close(&p);
    sql(p.db, "UPDATE normal SET payload='forged' WHERE topic='m1'");
    place_open(&p);
    drain(&p, 2, topics);
    assert_string_equal(topics[0], "m0");
    assert_string_equal(topics[1], "m2");
    assert_int_equal(stats_of(&p).lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].count, 1);
    place_close(&p);
    place_release(&p);
}

static void pages_that_rot_while_it_runs(void **state)
{
    (void)state;
    struct place p;
    place_init(&p);
    p.options.read_ahead = 8;
    place_open(&p);
    for (int i = 0; i < 2000; i++)
        put(&p, OUTBOX_NORMAL, "old");
    wait_for(&p, safe_is, 2000);
    place_close(&p);
    int fd = open(p.db, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char noise[4096];
    memset(noise, 0x5a, sizeof noise);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 16 * 4096; at < st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, noise, sizeof noise, at), sizeof noise);
    assert_int_equal(close(fd), 0);
    place_open(&p);
    wait_for(&p, waiting_is, 2000);
    outbox_set_link(p.outbox, true);
    uint64_t got = 0;
    int64_t until = sl_mono_ms(&sl_clock_system) + WAIT_MS_MAX;
    for (;;) {
        struct outbox_stats s = stats_of(&p);
        if (s.lane[OUTBOX_NORMAL].waiting == 0)
            break;
        assert_true(sl_mono_ms(&sl_clock_system) < until);
        struct outbox_item *item = outbox_take(p.outbox);
        if (item) {
            outbox_ack(p.outbox, item);
            got++;
        } else {
            (void)uv_run(&p.loop, UV_RUN_ONCE);
        }
    }
    struct outbox_stats s = stats_of(&p);
    assert_int_equal(got + s.lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].count, 2000);
    assert_true(strlen(s.set_aside) > 0);
    outbox_set_link(p.outbox, false);
    put(&p, OUTBOX_NORMAL, "new");
    wait_for(&p, safe_is, 2001);
    place_close(&p);
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_outlive_the_database),
        cmocka_unit_test(a_log_without_its_database_is_not_taken),
        cmocka_unit_test(a_bad_row_is_counted_and_skipped),
        cmocka_unit_test(pages_that_rot_while_it_runs),
    };
    struct CMUnitTest bad[SL_ARRAY_LEN(bad_cases)] = { 0 };
    (void)ROWS_OF(bad, bad_cases, bad_databases_are_set_aside);
    int failed = cmocka_run_group_tests_name("outbox and bad databases", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("bad databases", bad, NULL, NULL);
}
