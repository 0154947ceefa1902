/* test_state_disk.c - the state on databases that cannot be used and disks that fail. */
#include "state_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 2000 };

static void fill(struct state_place *p, int rows)
{
    char key[16], value[120];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < rows; i++) {
        (void)snprintf(key, sizeof key, "%06d", i);
        put(p, STATE_DELIVERY, key, value);
    }
}

/* The rows go into the tables: else the log has them. */
static void fill_tables(struct state_place *p, int rows)
{
    place_open(p);
    fill(p, rows); /* 260 kB and more are too many for one row of the log */
    put(p, STATE_META, "m", "1");
    sync_now(p);
    assert_int_equal(stats_of(p).log_bytes, 0);
    place_close(p);
}

static void put_one_row(struct state_place *p)
{
    put(p, STATE_META, "from", "memory");
}

/* ---- databases that cannot be used ---- */

static void write_at(const char *path, off_t at, size_t size, uint8_t byte)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    uint8_t *noise = malloc(size);
    assert_non_null(noise);
    memset(noise, byte, size);
    assert_int_equal(pwrite(fd, noise, size, at), (ssize_t)size);
    free(noise);
    assert_int_equal(close(fd), 0);
}

static void make_empty(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void make_noise(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
    write_at(path, 0, 20000, 0x5a);
}

static void make_header_and_noise(const char *path)
{
    write_at(path, 100, 3996, 0x5a);
}

static void make_short(const char *path)
{
    assert_int_equal(truncate(path, 50), 0);
}

static void make_foreign(const char *path)
{
    sql(path, "PRAGMA application_id=7");
}

static void make_queue(const char *path)
{
    sql(path, "PRAGMA application_id=1397506904"); /* the outbox's */
}

static void make_newer(const char *path)
{
    sql(path, "PRAGMA user_version=2");
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
    if (mount("tmpfs", p->folder, "tmpfs", 0, size) == 0)
        return true;
    print_message("no tmpfs here (%s): left out\n", strerror(errno));
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
    int fd = open(junk, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static const char block[4096];
    while (write(fd, block, sizeof block) > 0) {
        /* until there is no room */
    }
    assert_int_equal(close(fd), 0);
    put(&p, STATE_META, "more", "1");
    when_safe(&p);
    wait_for(&p, told_is, 2);
    assert_int_equal(p.last_code, SL_IO);
    assert_non_null(strstr(stats_of(&p).disk_error, "free some"));
    assert_int_equal(stat(p.db, &st), 0);
    place_close(&p);
    place_open(&p); /* a full disk hides nothing of what is on it */
    assert_int_equal(p.rows[STATE_DELIVERY], ROWS);
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

/* ---- kill -9 ---- */

struct crash {
    int pipe;
    uint32_t next; /* the next operation's number */
};

static void report_safe(void *ctx, enum sl_code result)
{
    const uint32_t *number = ctx;
    if (result != SL_OK || write(STDOUT_FILENO, number, sizeof *number) != sizeof *number)
        _exit(3);
}

static void key_of(uint32_t number, uint8_t key[4])
{
    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)(number >> (24 - 8 * i));
}

#define WINDOW 300 /* rows that are there at a time */

/* Operation n: row n comes, row n - WINDOW goes. So what is there tells how many were done. */
static void do_operation(struct state *s, uint32_t n)
{
    uint8_t key[4], from[4], value[60];
    memset(value, (int)(n % 251), sizeof value);
    key_of(n, key);
    if (!state_put(s, STATE_DELIVERY, sl_bytes(key, 4), sl_bytes(value, n % 60), sl_str("")))
        _exit(4);
    if (n < WINDOW)
        return;
    key_of(n - WINDOW, from);
    key_of(n - WINDOW + 1, key);
    bool ok = n % 2 ? state_remove(s, STATE_DELIVERY, sl_bytes(from, 4))
                    : state_remove_range(s, STATE_DELIVERY, sl_bytes(from, 4), sl_bytes(key, 4));
    if (!ok)
        _exit(4);
}

static void child_main(struct state_place *p, uint32_t next, int pipe)
{
    struct sl_err err;
    if (uv_loop_init(&p->loop) != 0 || dup2(pipe, STDOUT_FILENO) < 0)
        _exit(1);
    p->options.loop = &p->loop;
    if (state_open(&p->state, &p->options, &err) != SL_OK)
        _exit(2);
    for (;;) {
        for (uint32_t n = next % 40; n > 0; n--)
            do_operation(p->state, next++);
        do_operation(p->state, next++);
        uint32_t *number = malloc(sizeof *number);
        if (!number)
            _exit(5);
        *number = next;
        if (!state_when_safe(p->state, report_safe, number))
            _exit(6);
        (void)uv_run(&p->loop, UV_RUN_NOWAIT);
    }
}

struct found {
    uint32_t first, last, count;
};

static void see(void *ctx, struct sl_slice key, struct sl_slice value)
{
    struct found *f = ctx;
    assert_int_equal(key.len, 4);
    uint32_t n = (uint32_t)key.ptr[0] << 24 | (uint32_t)key.ptr[1] << 16 |
                 (uint32_t)key.ptr[2] << 8 | key.ptr[3];
    if (f->count++ == 0)
        f->first = n;
    else
        assert_int_equal(n, f->last + 1); /* no hole */
    f->last = n;
    assert_int_equal(value.len, n % 60);
    for (size_t i = 0; i < value.len; i++)
        assert_int_equal(value.ptr[i], n % 251);
}

/* How many operations are in the database; checks that it is exactly those. */
static uint32_t operations_done(struct state_place *p)
{
    struct found f = { 0 };
    struct sl_err err;
    assert_int_equal(uv_loop_init(&p->loop), 0);
    p->options.loop = &p->loop;
    assert_int_equal(state_open(&p->state, &p->options, &err), SL_OK);
    assert_int_equal(state_load(p->state, STATE_DELIVERY, see, &f, &err), SL_OK);
    struct state_stats s = stats_of(p);
    assert_true(s.disk_ok && s.bad_rows == 0);
    assert_string_equal(s.set_aside, "");
    state_close(p->state, NULL, NULL);
    assert_int_equal(uv_run(&p->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&p->loop), 0);
    uint32_t done = f.count > 0 ? f.last + 1 : 0;
    assert_int_equal(f.count, done < WINDOW ? done : WINDOW);
    return done;
}

static void kill_nine(void **state)
{
    (void)state;
    enum { ROUNDS = 120 };
    struct state_place p;
    uint32_t done = 0, reports = 0, acknowledged = 0;
    place_init(&p);
    srand(11);
    /* On a busy machine many die before they have begun: then there are more. */
    for (int round = 0; round < ROUNDS || (reports <= ROUNDS && round < 10 * ROUNDS); round++) {
        int ends[2];
        uint32_t number;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            child_main(&p, done, ends[1]);
        (void)close(ends[1]);
        (void)usleep((useconds_t)(rand() % 40000)); /* the moment is what is tested */
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        for (; read(ends[0], &number, sizeof number) == sizeof number; reports++)
            acknowledged = number;
        (void)close(ends[0]);
        uint32_t now = operations_done(&p);
        assert_true(now >= acknowledged && now >= done);
        done = now;
    }
    print_message("%u operations, %u reports\n", done, reports);
    assert_true(reports > ROUNDS);
    place_release(&p);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_without_its_database_is_not_taken),
        cmocka_unit_test(files_are_private),
        cmocka_unit_test(a_bad_row_is_counted_skipped_and_removed),
        cmocka_unit_test(a_bad_row_of_the_log),
        cmocka_unit_test(one_damaged_page),
        cmocka_unit_test(every_fifth_page_damaged),
        cmocka_unit_test(a_damaged_inner_page),
        cmocka_unit_test(a_folder_that_is_not_there_comes_later),
        cmocka_unit_test(a_database_that_comes_later_is_set_aside),
        cmocka_unit_test(two_at_once_is_refused),
        cmocka_unit_test(removed_files_are_written_anew),
        cmocka_unit_test(the_bound_of_memory),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(read_only),
        cmocka_unit_test(kill_nine),
    };
    struct CMUnitTest bad[SL_ARRAY_LEN(bad_cases)] = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad_cases); i++)
        bad[i] = (struct CMUnitTest){ .name = bad_cases[i].name,
                                      .test_func = bad_databases_are_set_aside,
                                      .initial_state = (void *)(uintptr_t)&bad_cases[i] };
    const struct CMUnitTest last[] = { cmocka_unit_test(closing_leaves_a_dead_disk_behind) };
    int failed = cmocka_run_group_tests_name("state on bad disks", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("bad states", bad, NULL, NULL);
    return failed + cmocka_run_group_tests_name("state on a dead disk", last, NULL, NULL);
}
