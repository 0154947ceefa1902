/* test_outbox_disk.c - the outbox on disks that are full, and on files that somebody removes. */
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
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- bounds of the disk ---- */

static void the_file_stays_within_its_bound(void **state)
{
    (void)state;
    struct place p;
    place_init(&p);
    p.options.max_bytes = 1024 * 1024;
    place_open(&p);
    unsigned sent = 0;
    for (int i = 0; i < 40; i++) {
        for (int j = 0; j < 20; j++, sent++) /* 4.2 kB take two pages each: the worst case */
            assert_true(put_bytes(&p, OUTBOX_TELEMETRY, "t", 4200));
        wait_for(&p, told_is, sent);
    }
    int64_t until = sl_mono_ms(&sl_clock_system) + WAIT_MS_MAX;
    while (!stats_of(&p).disk_ok || stats_of(&p).in_memory > 0) {
        assert_true(sl_mono_ms(&sl_clock_system) < until);
        (void)uv_run(&p.loop, UV_RUN_ONCE);
    }
    struct outbox_stats s = stats_of(&p);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].accepted, sent);
    assert_true(s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_FULL].count > 0);
    place_close(&p);
    struct stat st;
    assert_int_equal(stat(p.db, &st), 0);
    assert_true(st.st_size < 2 * 1024 * 1024);
    place_release(&p);
}

static void a_full_disk(void **state)
{
    (void)state;
    struct place p;
    place_init(&p);
    if (!mount_small(p.folder, "size=1m")) {
        place_release(&p);
        skip();
    }
    p.options.memory_max_bytes = 1024 * 1024;
    p.options.when_full = OUTBOX_DROP_NEWEST;
    place_open(&p);
    unsigned sent = 0;
    int64_t until = sl_mono_ms(&sl_clock_system) + WAIT_MS_MAX;
    while (stats_of(&p).disk_ok ||
           stats_of(&p).lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_DISK].count == 0) {
        assert_true(sl_mono_ms(&sl_clock_system) < until);
        for (int i = 0; i < 50; i++, sent++)
            assert_true(put_bytes(&p, OUTBOX_NORMAL, "n", 500));
        (void)uv_run(&p.loop, UV_RUN_NOWAIT);
    }
    struct outbox_stats s = stats_of(&p);
    assert_false(s.disk_ok);
    assert_non_null(strstr(s.disk_error, "no room"));
    assert_true(p.unsafe > 0);
    uint64_t waiting = s.lane[OUTBOX_NORMAL].waiting;
    drain(&p, waiting, NULL); /* what is there can be sent, from disk and from memory */
    outbox_set_link(p.outbox, false);
    wait_for(&p, disk_ok_is, 1); /* and then there is room again */
    unsigned safe = p.safe;
    put(&p, OUTBOX_NORMAL, "after");
    wait_for(&p, safe_is, safe + 1);
    s = stats_of(&p);
    assert_int_equal(s.lane[OUTBOX_NORMAL].accepted, sent + 1);
    place_close(&p);
    assert_int_equal(umount(p.folder), 0);
    place_release(&p);
}

static void ignore_row(void *ctx, const struct outbox_row *row)
{
    (void)ctx;
    (void)row;
}

static void note_done(void *ctx, enum sl_code code, const char *error)
{
    (void)code;
    (void)error;
    *(bool *)ctx = true;
}

/* The writer thread looks at the log between two batches: once a later job is back, it has. */
static void wait_for_upkeep(struct place *p)
{
    bool done = false;
    struct outbox_list_request request = {
        .dead = true, .limit = 1, .row = ignore_row, .done = note_done, .ctx = &done
    };
    assert_int_equal(outbox_list(p->outbox, &request), SL_OK);
    while (!done)
        (void)uv_run(&p->loop, UV_RUN_ONCE);
}

/* The disk stays full: what left the database made room in it. */
static void room_inside_a_full_disk(void **state)
{
    enum { COUNT = 2000 };
    (void)state;
    struct place p;
    place_init(&p);
    if (!mount_small(p.folder, "size=5m")) {
        place_release(&p);
        skip();
    }
    place_open(&p);
    for (int i = 0; i < COUNT; i++)
        assert_true(put_bytes(&p, OUTBOX_NORMAL, "n", 500));
    wait_for(&p, safe_is, COUNT);
    wait_for_upkeep(&p); /* the log was moved into the database, and is free */
    fill_up(p.folder);
    p.safe = 0;
    put(&p, OUTBOX_NORMAL, "more");
    wait_for(&p, disk_ok_is, 0);
    wait_for(&p, safe_is, 1); /* the oldest made room for it */
    struct outbox_lane_stats normal = stats_of(&p).lane[OUTBOX_NORMAL];
    assert_int_equal(normal.lost, normal.loss[OUTBOX_LOST_NO_ROOM].count);
    assert_in_range(normal.lost, 1, COUNT / 5);
    drain(&p, normal.waiting, NULL);
    outbox_set_link(p.outbox, false);
    wait_for(&p, disk_ok_is, 1);
    unsigned safe = p.safe;
    for (int i = 0; i < COUNT / 4; i++)
        assert_true(put_bytes(&p, OUTBOX_NORMAL, "n", 500));
    wait_for(&p, safe_is, safe + COUNT / 4);
    place_close(&p);
    assert_int_equal(umount(p.folder), 0);
    place_release(&p);
}

/* ---- others fill the disk ---- */

static const struct policy_case {
    const char *name;
    enum outbox_when_full when_full;
    bool safe; /* publishers get their acknowledgement: something else went, or theirs */
    enum outbox_loss why;
} policies[] = {
    { "drop-oldest", OUTBOX_DROP_OLDEST, true, OUTBOX_LOST_NO_ROOM },
    { "thin", OUTBOX_THIN, true, OUTBOX_LOST_THINNED },
    { "drop-newest", OUTBOX_DROP_NEWEST, true, OUTBOX_LOST_NO_ROOM },
    { "refuse", OUTBOX_REFUSE, false, OUTBOX_LOST_NO_ROOM },
};

static unsigned put_slowly(struct place *p, unsigned count)
{
    unsigned accepted = 0;
    for (unsigned i = 0; i < count; i++) {
        accepted += put_bytes(p, OUTBOX_TELEMETRY, i % 2 ? "t" : "u", 500);
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
    return accepted;
}

/* Not a byte is left, with much less than max_bytes on the disk: when_full applies. */
static void others_fill_the_disk(void **state)
{
    enum { COUNT = 4000, MORE = 800 };
    const struct policy_case *c = *state;
    struct place p;
    place_init(&p);
    if (!mount_small(p.folder, "size=16m")) {
        place_release(&p);
        skip();
    }
    p.options.when_full = c->when_full;
    place_open(&p);
    for (int i = 0; i < COUNT; i++)
        assert_true(put_bytes(&p, OUTBOX_TELEMETRY, i % 2 ? "t" : "u", 500));
    wait_for(&p, safe_is, COUNT);
    wait_for_upkeep(&p);
    struct stat before, after;
    assert_int_equal(stat(p.db, &before), 0);
    fill_up(p.folder);
    p.safe = p.unsafe = 0;
    unsigned accepted = put_slowly(&p, MORE);
    wait_for(&p, told_is, accepted); /* nobody waits for ever */
    struct outbox_stats s = stats_of(&p);
    const struct outbox_lane_stats *l = &s.lane[OUTBOX_TELEMETRY];
    print_message("%s: %u safe, %u not; %llu thinned, %llu dropped, %llu wait\n", c->name, p.safe,
                  p.unsafe, (unsigned long long)l->loss[OUTBOX_LOST_THINNED].count,
                  (unsigned long long)l->loss[OUTBOX_LOST_NO_ROOM].count,
                  (unsigned long long)l->waiting);
    assert_true(s.no_room && !s.disk_ok && strstr(s.disk_error, "no room on the file system"));
    assert_int_equal(p.safe, c->safe ? MORE : 0);
    assert_true(l->loss[c->why].count > 0);
    assert_int_equal(l->loss[OUTBOX_LOST_NO_ROOM].count + l->loss[OUTBOX_LOST_THINNED].count,
                     l->lost);
    assert_true(l->waiting > COUNT / 2);
    assert_int_equal(stat(p.db, &after), 0);
    assert_true(after.st_size <= before.st_size + 8192);
    char junk[96];
    (void)snprintf(junk, sizeof junk, "%s/junk", p.folder);
    assert_int_equal(unlink(junk), 0);
    wait_for(&p, disk_ok_is, 1);
    p.safe = 0;
    assert_int_equal(put_slowly(&p, MORE), MORE);
    wait_for(&p, safe_is, MORE);
    drain(&p, stats_of(&p).lane[OUTBOX_TELEMETRY].waiting, NULL);
    place_close(&p);
    assert_int_equal(umount(p.folder), 0);
    place_release(&p);
}

/* What waits is counted, and sent once the disk can be written. */
static void a_disk_that_is_read_only(void **state)
{
    enum { COUNT = 50 };
    (void)state;
    struct place p;
    place_init(&p);
    if (!mount_small(p.folder, "size=5m")) {
        place_release(&p);
        skip();
    }
    place_open(&p);
    for (int i = 0; i < COUNT; i++)
        put(&p, i % 2 ? OUTBOX_NORMAL : OUTBOX_TELEMETRY, "n");
    wait_for(&p, safe_is, COUNT);
    place_close(&p);
    assert_int_equal(mount(NULL, p.folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    place_open(&p);
    wait_for(&p, disk_ok_is, 0);
    struct outbox_stats s = stats_of(&p);
    assert_int_equal(s.kept, COUNT);
    assert_non_null(strstr(s.disk_error, "50 messages on it wait until it can be written"));
    assert_true(waiting_is(&p, 0));
    assert_int_equal(mount(NULL, p.folder, NULL, MS_REMOUNT, NULL), 0);
    wait_for(&p, disk_ok_is, 1);
    assert_int_equal(stats_of(&p).kept, 0);
    assert_true(waiting_is(&p, COUNT));
    drain(&p, COUNT, NULL);
    place_close(&p);
    assert_int_equal(umount(p.folder), 0);
    place_release(&p);
}

/* ---- removed while it is in use ---- */

static void remove_files(struct place *p, bool log_alone)
{
    char log[128];
    (void)snprintf(log, sizeof log, "%s-wal", p->db);
    assert_int_equal(unlink(log), 0);
    if (!log_alone)
        assert_int_equal(unlink(p->db), 0);
}

static void check_rescue(bool folder, bool log_alone)
{
    struct place p;
    place_init(&p);
    place_open(&p);
    for (int i = 0; i < 100; i++)
        put(&p, OUTBOX_NORMAL, "before");
    wait_for(&p, safe_is, 100);
    remove_files(&p, log_alone);
    if (folder) {
        char numbers[128];
        (void)snprintf(numbers, sizeof numbers, "%s-numbers", p.db);
        assert_int_equal(unlink(numbers), 0);
        assert_int_equal(rmdir(p.folder), 0);
    }
    for (int i = 0; i < 100; i++)
        put(&p, OUTBOX_TELEMETRY, "after");
    wait_for(&p, safe_is, 200); /* and not before they are on a disk again */
    assert_int_equal(access(p.db, F_OK), 0);
    place_close(&p);
    place_open(&p);
    wait_for(&p, on_disk_is, 200);
    drain(&p, 200, NULL);
    assert_int_equal(stats_of(&p).lane[OUTBOX_NORMAL].lost, 0);
    place_close(&p);
    place_release(&p);
}

static void removed_files_are_written_anew(void **state)
{
    (void)state;
    check_rescue(false, false);
}

static void a_removed_folder_is_made_anew(void **state)
{
    (void)state;
    check_rescue(true, false);
}

static void a_removed_log_is_written_anew(void **state)
{
    (void)state;
    check_rescue(false, true);
}

/* A file that somebody put there is not written over. What is in the old one is still sent. */
static void another_file_in_its_place(void **state)
{
    (void)state;
    struct place p;
    place_init(&p);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "before");
    wait_for(&p, safe_is, 1);
    remove_files(&p, false);
    int fd = open(p.db, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    put(&p, OUTBOX_NORMAL, "after");
    wait_for(&p, disk_ok_is, 0);
    assert_non_null(strstr(stats_of(&p).disk_error, "removed"));
    assert_int_equal(p.safe, 1);
    drain(&p, 2, NULL);
    wait_for(&p, safe_is, 2);
    place_close(&p);
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_stays_within_its_bound),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(room_inside_a_full_disk),
        cmocka_unit_test(a_disk_that_is_read_only),
        cmocka_unit_test(removed_files_are_written_anew),
        cmocka_unit_test(a_removed_folder_is_made_anew),
        cmocka_unit_test(a_removed_log_is_written_anew),
        cmocka_unit_test(another_file_in_its_place),
    };
    struct CMUnitTest full[SL_ARRAY_LEN(policies)];
    (void)ROWS_OF(full, policies, others_fill_the_disk);
    int failed = cmocka_run_group_tests_name("others fill the disk", full, NULL, NULL);
    return failed + cmocka_run_group_tests_name("outbox and its disk", tests, NULL, NULL);
}
