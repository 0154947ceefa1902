/* test_state_bad.c - the state on databases that cannot be used, and on those that go bad. */
#include "harm.h"
#include "state_rig.h"

#include "rows.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- databases that cannot be used ---- */

static void make_queue(const char *path)
{
    sql(path, "PRAGMA application_id=1397506904"); /* the outbox's */
}

static void make_newer(const char *path)
{
    sql(path, "PRAGMA user_version=3");
}

static void make_version_zero(const char *path)
{
    sql(path, "PRAGMA user_version=0");
}

static void make_without_table(const char *path)
{
    sql(path, "DROP TABLE received");
}

static void make_without_column(const char *path)
{
    sql(path, "ALTER TABLE delivery DROP COLUMN sum");
}

static void make_without_id(const char *path)
{
    sql(path, "DELETE FROM store");
}

struct bad_case {
    const char *name;
    void (*spoil)(const char *path);
    const char *why; /* a part of what is said */
};

static const struct bad_case bad_cases[] = {
    { "zero bytes", make_empty, "empty" },
    { "noise", make_noise, "not a database" },
    { "a header and noise", make_header_and_noise, "" },
    { "fifty bytes", make_short, "not a database" },
    { "another program's", make_foreign, "another program" },
    { "the outbox's", make_queue, "another program" },
    { "a newer version's", make_newer, "newer version" },
    { "version zero", make_version_zero, "unknown version" },
    { "a table is missing", make_without_table, "no such table" },
    { "a column is missing", make_without_column, "sum" },
    { "its first row is missing", make_without_id, "row is missing" },
};

static void bad_databases_are_set_aside(void **state)
{
    const struct bad_case *c = *state;
    struct state_place p;
    place_init(&p);
    fill_tables(&p, ROWS);
    c->spoil(p.db);
    place_open(&p);
    struct state_stats s = stats_of(&p);
    assert_true(s.disk_ok);
    assert_non_null(strstr(s.set_aside, "state.db.bad-20"));
    assert_int_equal(access(s.set_aside, F_OK), 0);
    if (!strstr(s.set_aside_why, c->why))
        fail_msg("it says: %s", s.set_aside_why);
    assert_int_equal(p.rows[STATE_DELIVERY], 0);
    put(&p, STATE_META, "new", "1");
    sync_now(&p);
    place_close(&p);
    place_open(&p); /* the fresh one is good */
    assert_string_equal(stats_of(&p).set_aside, "");
    assert_string_equal(p.seen[STATE_META], "new=1 ");
    place_close(&p);
    place_release(&p);
}

static void a_log_without_its_database_is_not_taken(void **state)
{
    (void)state;
    struct state_place p;
    char log[128];
    place_init(&p);
    (void)snprintf(log, sizeof log, "%s-wal", p.db);
    write_at(log, 0, 10000, 0x5a);
    place_open(&p);
    assert_true(strlen(stats_of(&p).set_aside) > 0);
    put(&p, STATE_META, "a", "1");
    sync_now(&p);
    place_close(&p);
    place_release(&p);
}

static void files_are_private(void **state)
{
    (void)state;
    struct state_place p;
    struct stat st;
    place_init(&p);
    place_open(&p);
    put(&p, STATE_META, "a", "1");
    sync_now(&p);
    assert_int_equal(stat(p.db, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    place_close(&p);
    place_release(&p);
}

/* ---- rows and pages that rot ---- */

static void a_bad_row_is_counted_skipped_and_removed(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    fill_tables(&p, ROWS);
    sql(p.db, "UPDATE delivery SET value='forged' WHERE key=CAST('000007' AS BLOB)");
    place_open(&p);
    assert_int_equal(p.rows[STATE_DELIVERY], ROWS - 1);
    assert_null(strstr(p.seen[STATE_DELIVERY], "000007"));
    assert_int_equal(stats_of(&p).bad_rows, 1);
    place_close(&p);
    place_open(&p);
    assert_int_equal(p.rows[STATE_DELIVERY], ROWS - 1);
    assert_int_equal(stats_of(&p).bad_rows, 0);
    place_close(&p);
    place_release(&p);
}

static void a_bad_row_of_the_log(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    place_open(&p);
    for (int i = 0; i < 3; i++) {
        char key[2] = { (char)('a' + i), '\0' };
        put(&p, STATE_META, key, "1");
        sync_now(&p);
    }
    place_close(&p);
    sql(p.db, "UPDATE log SET sum=sum+1 WHERE id=2");
    place_open(&p);
    assert_string_equal(p.seen[STATE_META], "a=1 c=1 ");
    assert_int_equal(stats_of(&p).bad_rows, 1);
    fill(&p, ROWS); /* into the tables with it all */
    place_close(&p);
    place_open(&p);
    assert_string_equal(p.seen[STATE_META], "a=1 c=1 ");
    place_close(&p);
    place_release(&p);
}

static void put_what_was_seen(struct state_place *p)
{
    for (unsigned i = 0; i < p->rows[STATE_DELIVERY]; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%06u", i);
        put(p, STATE_DELIVERY, key, "from memory");
    }
    put(p, STATE_META, "m", "1");
}

static bool resyncs_are(struct state_place *p, uint64_t count)
{
    return stats_of(p).resyncs >= count;
}

enum { INDEX_INNER = 2, INDEX_LEAF = 10 }; /* a page's first byte */

/* Noise into every step-th page of that type, the first of them left out. */
static unsigned spoil_pages(const char *path, uint8_t type, unsigned step)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    uint8_t page[4096], noise[4096];
    memset(noise, 0x5a, sizeof noise);
    unsigned seen = 0, spoilt = 0;
    for (off_t at = 4096; pread(fd, page, sizeof page, at) == sizeof page; at += 4096) {
        bool full = page[0] == type && (page[3] << 8 | page[4]) > 10;
        if (!full || ++seen % step != 0)
            continue;
        assert_int_equal(pwrite(fd, noise, sizeof noise, at), sizeof noise);
        spoilt++;
    }
    assert_int_equal(close(fd), 0);
    return spoilt;
}

/* All rows of all other pages are read, and then the database is written anew. */
static void check_damaged_pages(uint8_t type, unsigned step, unsigned lost_max)
{
    struct state_place p;
    place_init(&p);
    fill_tables(&p, ROWS);
    unsigned pages = spoil_pages(p.db, type, step);
    assert_true(pages > 0);
    p.put_all = put_what_was_seen;
    place_open(&p);
    unsigned rows = p.rows[STATE_DELIVERY];
    assert_in_range(rows, ROWS - lost_max * pages, ROWS - 1);
    struct state_stats s = stats_of(&p);
    assert_true(s.bad_places > 0 && s.bad_places <= pages);
    put(&p, STATE_META, "waits", "on");
    when_safe(&p);
    wait_for(&p, resyncs_are, 1);
    wait_for(&p, told_is, 2); /* one had filled it */
    assert_int_equal(p.safe, 2);
    s = stats_of(&p);
    assert_true(s.disk_ok);
    assert_non_null(strstr(s.set_aside_why, "cannot be read"));
    place_close(&p);
    place_open(&p);
    assert_int_equal(p.rows[STATE_DELIVERY], rows);
    assert_int_equal(stats_of(&p).bad_places, 0);
    place_close(&p);
    place_release(&p);
}

static void one_damaged_page(void **state)
{
    (void)state;
    check_damaged_pages(INDEX_LEAF, 40, 30);
}

static void every_fifth_page_damaged(void **state)
{
    (void)state;
    check_damaged_pages(INDEX_LEAF, 5, 30);
}

/* What lies below it cannot be found any more. */
static void a_damaged_inner_page(void **state)
{
    (void)state;
    check_damaged_pages(INDEX_INNER, 2, 900);
}

int main(int argc, char **argv)
{
    place_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_without_its_database_is_not_taken),
        cmocka_unit_test(files_are_private),
        cmocka_unit_test(a_bad_row_is_counted_skipped_and_removed),
        cmocka_unit_test(a_bad_row_of_the_log),
        cmocka_unit_test(one_damaged_page),
        cmocka_unit_test(every_fifth_page_damaged),
        cmocka_unit_test(a_damaged_inner_page),
    };
    struct CMUnitTest bad[SL_ARRAY_LEN(bad_cases)] = { 0 };
    (void)ROWS_OF(bad, bad_cases, bad_databases_are_set_aside);
    int failed = cmocka_run_group_tests_name("state and bad databases", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("bad states", bad, NULL, NULL);
}
