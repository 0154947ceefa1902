/* test_state.c - the state with its real loop, thread and database: what it keeps, and when. */
#include "state_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- what is kept ---- */

static void it_is_there_after_a_restart(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    place_open(&p);
    put(&p, STATE_SESSION, "b", "two");
    put(&p, STATE_SESSION, "a", "one");
    put(&p, STATE_SESSION, "ab", "");
    put(&p, STATE_RETAINED, "", "empty key");
    put(&p, STATE_META, "a", "of another kind");
    sync_now(&p);
    place_close(&p);
    place_open(&p);
    assert_string_equal(p.seen[STATE_SESSION], "a=one ab= b=two ");
    assert_string_equal(p.seen[STATE_RETAINED], "=empty key ");
    assert_string_equal(p.seen[STATE_META], "a=of another kind ");
    assert_string_equal(p.seen[STATE_DELIVERY], "");
    place_close(&p);
    place_release(&p);
}

/* Rows of the tables, of the log, of a last batch: loading must not show the difference. */
static void later_changes_win(struct state_place *p, bool commit_between)
{
    put(p, STATE_DELIVERY, "a1", "x");
    put(p, STATE_DELIVERY, "a2", "x");
    put(p, STATE_DELIVERY, "a3", "x");
    put(p, STATE_DELIVERY, "b1", "x");
    if (commit_between)
        sync_now(p);
    take_range(p, STATE_DELIVERY, "a1", "a3");
    put(p, STATE_DELIVERY, "a2", "again");
    take(p, STATE_DELIVERY, "b1");
    put(p, STATE_DELIVERY, "a3", "changed");
    take(p, STATE_DELIVERY, "never there");
    put(p, STATE_DELIVERY, "c", "gone");
    take(p, STATE_DELIVERY, "c");
    take_range(p, STATE_DELIVERY, "z", "a"); /* empty */
}

static void check_later_changes(bool commit_between)
{
    struct state_place p;
    place_init(&p);
    place_open(&p);
    later_changes_win(&p, commit_between);
    place_close(&p); /* commits */
    place_open(&p);
    assert_string_equal(p.seen[STATE_DELIVERY], "a2=again a3=changed ");
    place_close(&p);
    place_release(&p);
}

static void later_changes_in_one_batch(void **state)
{
    (void)state;
    check_later_changes(false);
}

static void later_changes_in_two(void **state)
{
    (void)state;
    check_later_changes(true);
}

static void binary_keys_in_bytewise_order(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    place_open(&p);
    static const uint8_t keys[][2] = { { 0xff, 1 }, { 0, 0 }, { 0x7f, 0xff }, { 0, 1 } };
    for (size_t i = 0; i < SL_ARRAY_LEN(keys); i++) {
        char name = (char)('a' + i);
        assert_true(state_put(p.state, STATE_DELIVERY, sl_bytes(keys[i], 2), sl_bytes(&name, 1),
                              sl_str("")));
    }
    assert_true(state_remove_range(p.state, STATE_DELIVERY, sl_bytes(keys[3], 2),
                                   sl_bytes(keys[2], 2))); /* holds itself */
    place_close(&p);
    place_open(&p);
    assert_string_equal(p.seen[STATE_DELIVERY], "=b \x7f\xff=c \xff\x01=a ");
    place_close(&p);
    place_release(&p);
}

/* More than the log holds: it has to go into the tables, several times. */
static void many_rows(void **state)
{
    (void)state;
    enum { COUNT = 40000 };
    struct state_place p;
    char key[32], value[121];
    place_init(&p);
    place_open(&p);
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "%03d-%08d", i % 100, i);
        put(&p, STATE_DELIVERY, key, value);
        if (i % 1000 == 999)
            sync_now(&p);
    }
    for (int i = 0; i < 50; i++) { /* sessions 0 to 49 leave */
        char to[32];
        (void)snprintf(key, sizeof key, "%03d-", i);
        (void)snprintf(to, sizeof to, "%03d.", i);
        take_range(&p, STATE_DELIVERY, key, to);
    }
    sync_now(&p);
    struct state_stats s = stats_of(&p);
    assert_true(s.commits < 200);
    assert_true(s.bytes_written_estimate > (uint64_t)COUNT * 120 &&
                s.bytes_written_estimate < (uint64_t)COUNT * 2500);
    assert_true(s.log_bytes <= 2 * 1024 * 1024);
    assert_int_equal(s.waiting_bytes, 0);
    place_close(&p);
    place_open(&p);
    assert_int_equal(p.rows[STATE_DELIVERY], COUNT / 2);
    place_close(&p);
    place_release(&p);
}

static void large_values(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    place_open(&p);
    size_t size = 1000 * 1000;
    char *value = malloc(size + 1);
    assert_non_null(value);
    memset(value, 'v', size);
    value[size] = '\0';
    put(&p, STATE_RETAINED, "big", value);
    put(&p, STATE_RETAINED, "small", "s");
    sync_now(&p);
    value[0] = 'w';
    put(&p, STATE_RETAINED, "big", value);
    sync_now(&p);
    place_close(&p);
    place_open(&p);
    assert_int_equal(p.rows[STATE_RETAINED], 2);
    assert_non_null(strstr(p.seen[STATE_RETAINED], "big=wvvv"));
    place_close(&p);
    free(value);
    place_release(&p);
}

/* What has left gives its room back to the file system, in time. */
static void the_file_shrinks(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    struct state_place p;
    struct stat st;
    char key[32];
    size_t size = 200 * 1000;
    char *value = malloc(size + 1);
    assert_non_null(value);
    memset(value, 'v', size);
    value[size] = '\0';
    place_init(&p);
    place_open(&p);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "%03d", i);
        put(&p, STATE_RETAINED, key, value);
        sync_now(&p);
    }
    take_range(&p, STATE_RETAINED, "000", "999");
    sync_now(&p);
    for (int i = 0; i < 300; i++) { /* ordinary life goes on */
        put(&p, STATE_RETAINED, "one", value);
        sync_now(&p);
    }
    place_close(&p);
    assert_int_equal(stat(p.db, &st), 0);
    assert_true((size_t)st.st_size < COUNT * size * 3 / 4);
    free(value);
    place_release(&p);
}

/* ---- when ---- */

static void nobody_waits_for_a_lazy_commit(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    p.options.lazy_interval_ms = 100000;
    place_open(&p);
    put(&p, STATE_RETAINED, "a", "1");
    for (int i = 0; i < 20; i++)
        (void)uv_run(&p.loop, UV_RUN_ONCE);
    struct state_stats s = stats_of(&p);
    assert_int_equal(s.commits, 0);
    assert_int_equal(s.waiting_changes, 1);
    assert_true(s.waiting_bytes > 0);
    sync_now(&p);
    assert_int_equal(stats_of(&p).commits, 1);
    place_close(&p);
    place_release(&p);
}

static bool commits_are(struct state_place *p, uint64_t count)
{
    return stats_of(p).commits >= count;
}

static void a_lazy_commit_comes_in_time(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    p.options.lazy_interval_ms = 20;
    place_open(&p);
    put(&p, STATE_RETAINED, "a", "1");
    wait_for(&p, commits_are, 1);
    place_close(&p);
    place_release(&p);
}

static void nothing_to_wait_for(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    place_open(&p);
    sync_now(&p);
    assert_int_equal(stats_of(&p).commits, 0);
    place_close(&p);
    assert_int_equal(p.safe, 1);
    place_release(&p);
}

static void commits_are_shared(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    struct state_place p;
    char key[16];
    place_init(&p);
    place_open(&p);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        put(&p, STATE_DELIVERY, key, "v");
        when_safe(&p);
        if (i % 100 == 99)
            (void)uv_run(&p.loop, UV_RUN_NOWAIT);
    }
    wait_for(&p, told_is, COUNT);
    assert_int_equal(p.safe, COUNT);
    assert_true(stats_of(&p).commits <= COUNT / 100 + 1);
    place_close(&p);
    place_release(&p);
}

static void commits_keep_their_distance(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    p.options.commit_interval_ms = 50;
    place_open(&p);
    int64_t start = sl_mono_ms(&sl_clock_system);
    for (int i = 0; i < 4; i++) {
        put(&p, STATE_META, "a", "v");
        sync_now(&p);
    }
    assert_true(sl_mono_ms(&sl_clock_system) - start >= 150);
    place_close(&p);
    place_release(&p);
}

static void the_same_key_again_and_again(void **state)
{
    (void)state;
    struct state_place p;
    char value[16];
    place_init(&p);
    p.options.lazy_interval_ms = 100000;
    p.options.memory_max_bytes = 64 * 1024;
    place_open(&p);
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(value, sizeof value, "%d", i);
        put(&p, STATE_RETAINED, "topic", value);
    }
    assert_true(state_waiting_bytes(p.state) < 1024);
    place_close(&p);
    place_open(&p);
    assert_string_equal(p.seen[STATE_RETAINED], "topic=99999 ");
    place_close(&p);
    place_release(&p);
}

/* ---- closing ---- */

static void closing_commits_and_refuses(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    place_open(&p);
    put(&p, STATE_META, "a", "1");
    when_safe(&p);
    state_close(p.state, NULL, NULL);
    assert_false(state_put(p.state, STATE_META, sl_str("b"), sl_str("2"), sl_str("")));
    uv_close((uv_handle_t *)&p.beat, NULL);
    assert_int_equal(uv_run(&p.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&p.loop), 0);
    assert_int_equal(p.safe, 1);
    place_open(&p);
    assert_string_equal(p.seen[STATE_META], "a=1 ");
    place_close(&p);
    place_release(&p);
}

static void reading_is_for_the_start(void **state)
{
    (void)state;
    struct state_place p;
    struct sl_err err;
    place_init(&p);
    place_open(&p);
    put(&p, STATE_META, "a", "1");
    sync_now(&p);
    assert_int_equal(state_load(p.state, STATE_META, NULL, NULL, &err), SL_BUSY);
    place_close(&p);
    place_release(&p);
}

int main(int argc, char **argv)
{
    place_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_there_after_a_restart),
        cmocka_unit_test(later_changes_in_one_batch),
        cmocka_unit_test(later_changes_in_two),
        cmocka_unit_test(binary_keys_in_bytewise_order),
        cmocka_unit_test(many_rows),
        cmocka_unit_test(large_values),
        cmocka_unit_test(the_file_shrinks),
        cmocka_unit_test(nobody_waits_for_a_lazy_commit),
        cmocka_unit_test(a_lazy_commit_comes_in_time),
        cmocka_unit_test(nothing_to_wait_for),
        cmocka_unit_test(commits_are_shared),
        cmocka_unit_test(commits_keep_their_distance),
        cmocka_unit_test(the_same_key_again_and_again),
        cmocka_unit_test(closing_commits_and_refuses),
        cmocka_unit_test(reading_is_for_the_start),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
