/* test_state_disk.c - the state on disks that fail, are full, or never answer. */
#include "harm.h"
#include "state_rig.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_one_row(struct state_place *p)
{
    put(p, STATE_META, "from", "memory");
}

/* ---- disks that fail ---- */

static void a_folder_that_is_not_there_comes_later(void **state)
{
    (void)state;
    struct state_place p;
    char away[96];
    place_init(&p);
    (void)snprintf(away, sizeof away, "%s-away", p.folder);
    assert_int_equal(rename(p.folder, away), 0);
    p.put_all = put_one_row;
    place_open(&p);
    struct state_stats s = stats_of(&p);
    assert_false(s.disk_ok);
    assert_non_null(strstr(s.disk_error, "state.db"));
    assert_false(state_put(p.state, STATE_META, sl_str("a"), sl_str("1"), sl_str("")));
    when_safe(&p);
    wait_for(&p, told_is, 1);
    assert_int_equal(p.last_code, SL_IO);
    assert_int_equal(rename(away, p.folder), 0);
    wait_for(&p, disk_ok_is, 1);
    put(&p, STATE_META, "later", "1");
    sync_now(&p);
    place_close(&p);
    place_open(&p);
    assert_string_equal(p.seen[STATE_META], "from=memory later=1 ");
    place_close(&p);
    place_release(&p);
}

/* A database that nobody has read must not be emptied. */
static void a_database_that_comes_later_is_set_aside(void **state)
{
    (void)state;
    struct state_place p;
    char away[96];
    place_init(&p);
    fill_tables(&p, ROWS);
    (void)snprintf(away, sizeof away, "%s-away", p.folder);
    assert_int_equal(rename(p.folder, away), 0);
    p.put_all = put_one_row;
    place_open(&p);
    assert_int_equal(rename(away, p.folder), 0);
    wait_for(&p, disk_ok_is, 1);
    struct state_stats s = stats_of(&p);
    assert_non_null(strstr(s.set_aside_why, "at the start"));
    place_close(&p);
    assert_int_equal(rename(s.set_aside, p.db), 0);
    place_open(&p);
    assert_int_equal(p.rows[STATE_DELIVERY], ROWS);
    place_close(&p);
    place_release(&p);
}

static void two_at_once_is_refused(void **state)
{
    (void)state;
    struct state_place p, second;
    place_init(&p);
    place_open(&p);
    put(&p, STATE_META, "first", "1");
    sync_now(&p);
    place_init(&second);
    second.options.path = p.db;
    place_open(&second);
    assert_false(stats_of(&second).disk_ok);
    assert_non_null(strstr(stats_of(&second).disk_error, "another program"));
    place_close(&second);
    put(&p, STATE_META, "second", "2"); /* nobody has touched it */
    sync_now(&p);
    place_close(&p);
    place_open(&p);
    assert_string_equal(p.seen[STATE_META], "first=1 second=2 ");
    place_close(&p);
    place_release(&second);
    place_release(&p);
}

static void removed_files_are_written_anew(void **state)
{
    (void)state;
    struct state_place p;
    char log[128];
    place_init(&p);
    p.put_all = put_one_row;
    place_open(&p);
    put(&p, STATE_META, "a", "1");
    sync_now(&p);
    (void)snprintf(log, sizeof log, "%s-wal", p.db);
    assert_int_equal(unlink(log), 0);
    assert_int_equal(unlink(p.db), 0);
    put(&p, STATE_META, "b", "2");
    when_safe(&p);
    wait_for(&p, told_is, 2);
    assert_int_equal(p.last_code, SL_IO); /* it was in no file that has a name */
    wait_for(&p, disk_ok_is, 1);
    put(&p, STATE_META, "c", "3");
    sync_now(&p);
    place_close(&p);
    place_open(&p);
    assert_string_equal(p.seen[STATE_META], "c=3 from=memory ");
    place_close(&p);
    place_release(&p);
}

static void the_bound_of_memory(void **state)
{
    (void)state;
    struct state_place p;
    char key[16];
    place_init(&p);
    p.options.memory_max_bytes = 64 * 1024;
    p.put_all = put_one_row;
    place_open(&p);
    put(&p, STATE_META, "safe", "1");
    sync_now(&p);
    when_safe(&p); /* of what is safe already */
    int taken = 0;
    for (;; taken++) {
        (void)snprintf(key, sizeof key, "%d", taken);
        if (!state_put(p.state, STATE_META, sl_str(key), sl_str("v"), sl_str("")))
            break;
        assert_true(state_waiting_bytes(p.state) <= 64 * 1024);
        if (taken == 0)
            when_safe(&p);
    }
    assert_true(taken > 500);
    assert_int_equal(state_waiting_bytes(p.state), 0);
    assert_false(state_remove(p.state, STATE_META, sl_str("a")));
    assert_false(state_remove_range(p.state, STATE_META, sl_str("a"), sl_str("b")));
    when_safe(&p);
    wait_for(&p, told_is, 4);
    assert_int_equal(p.safe, 2);
    assert_int_equal(p.unsafe, 2);
    assert_non_null(strstr(stats_of(&p).disk_error, "memory"));
    wait_for(&p, disk_ok_is, 1);
    place_close(&p);
    place_open(&p);
    assert_string_equal(p.seen[STATE_META], "from=memory ");
    place_close(&p);
    place_release(&p);
}

/* ---- full disks ---- */

static bool on_tmpfs(struct state_place *p, const char *size)
{
    place_init(p);
    if (mount_small(p->folder, size))
        return true;
    place_release(p);
    return false;
}

static void off_tmpfs(struct state_place *p)
{
    assert_int_equal(umount(p->folder), 0);
    place_release(p);
}

static void put_half(struct state_place *p)
{
    fill(p, ROWS / 2);
}

static void a_full_disk(void **state)
{
    (void)state;
    struct state_place p;
    char junk[96];
    if (!on_tmpfs(&p, "size=4m"))
        skip();
    p.put_all = put_half;
    place_open(&p);
    fill(&p, ROWS);
    sync_now(&p);
    (void)snprintf(junk, sizeof junk, "%s/junk", p.folder);
    struct stat st;
    fill_up(p.folder);
    put(&p, STATE_META, "more", "1");
    when_safe(&p);
    wait_for(&p, told_is, 2);
    assert_int_equal(p.last_code, SL_IO);
    assert_non_null(strstr(stats_of(&p).disk_error, "free some"));
    assert_int_equal(stat(p.db, &st), 0);
    place_close(&p);
    place_open(&p); /* a full disk hides nothing of what is on it */
    assert_int_equal(p.rows[STATE_DELIVERY], ROWS);
    fill_up(p.folder); /* what closing and opening have freed */
    take(&p, STATE_DELIVERY, "000000"); /* what only removes finds room */
    put(&p, STATE_META, "more", "1");
    when_safe(&p);
    wait_for(&p, told_is, 3);
    assert_int_equal(p.last_code, SL_IO);
    assert_int_equal(stats_of(&p).resyncs, 0);
    assert_int_equal(unlink(junk), 0);
    wait_for(&p, disk_ok_is, 1);
    assert_int_equal(stats_of(&p).resyncs, 1);
    place_close(&p);
    place_open(&p);
    assert_int_equal(p.rows[STATE_DELIVERY], ROWS / 2);
    place_close(&p);
    off_tmpfs(&p);
}

static void read_only(void **state)
{
    (void)state;
    struct state_place p;
    if (!on_tmpfs(&p, "size=16m"))
        skip();
    p.put_all = put_one_row;
    fill_tables(&p, ROWS);
    assert_int_equal(mount("tmpfs", p.folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=16m"), 0);
    place_open(&p);
    assert_false(stats_of(&p).disk_ok);
    assert_int_equal(mount("tmpfs", p.folder, "tmpfs", MS_REMOUNT, "size=16m"), 0);
    wait_for(&p, disk_ok_is, 1);
    place_close(&p);
    off_tmpfs(&p);
}

/* ---- a disk that never answers ---- */

static atomic_bool dead_disk;

static ssize_t (*real_pwrite)(int fd, const void *p, size_t n, off_t at);

static ssize_t pwrite_for_ever(int fd, const void *p, size_t n, off_t at)
{
    while (dead_disk)
        (void)usleep(100000);
    return real_pwrite(fd, p, n, at);
}

/* Who waits is told, and the process can end; the thread is left behind. */
static void closing_leaves_a_dead_disk_behind(void **state)
{
    (void)state;
    static struct state *left_behind; /* so that it is no leak: the thread has it */
    struct state_place p;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    static const char *const calls[] = { "pwrite64", "pwrite" };
    for (size_t i = 0; i < SL_ARRAY_LEN(calls) && !real_pwrite; i++) {
        sqlite3_syscall_ptr real = vfs->xGetSystemCall(vfs, calls[i]);
        if (!real)
            continue;
        memcpy(&real_pwrite, &real, sizeof real);
        assert_int_equal(vfs->xSetSystemCall(vfs, calls[i],
                                             (sqlite3_syscall_ptr)(void (*)(void))pwrite_for_ever),
                         SQLITE_OK);
    }
    if (!real_pwrite)
        skip(); /* a SQLite that writes in another way */
    place_init(&p);
    place_open(&p);
    dead_disk = true;
    put(&p, STATE_META, "a", "1");
    when_safe(&p);
    for (int i = 0; i < 5; i++)
        (void)uv_run(&p.loop, UV_RUN_ONCE);
    put(&p, STATE_META, "b", "1");
    when_safe(&p);
    assert_int_equal(p.safe + p.unsafe, 0);
    int64_t start = sl_mono_ms(&sl_clock_system);
    left_behind = p.state;
    place_close(&p);
    assert_in_range(sl_mono_ms(&sl_clock_system) - start, 2000, 10000);
    assert_int_equal(p.safe, 0);
    assert_int_equal(p.unsafe, 2);
    assert_non_null(left_behind);
    place_release(&p); /* the thread stays where it is until the process ends */
}

int main(int argc, char **argv)
{
    place_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_that_is_not_there_comes_later),
        cmocka_unit_test(a_database_that_comes_later_is_set_aside),
        cmocka_unit_test(two_at_once_is_refused),
        cmocka_unit_test(removed_files_are_written_anew),
        cmocka_unit_test(the_bound_of_memory),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(read_only),
    };
    const struct CMUnitTest last[] = { cmocka_unit_test(closing_leaves_a_dead_disk_behind) };
    int failed = cmocka_run_group_tests_name("state on bad disks", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("state on a dead disk", last, NULL, NULL);
}
