/* test_outbox.c - the outbox with its real loop, thread and database, in a folder of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS_MAX 30000 /* a guard against hanging, far above what a busy machine takes */

struct place {
    char folder[64], db[96];
    uv_loop_t loop;
    uv_timer_t beat; /* so that UV_RUN_ONCE comes back after a callback of a timer */
    struct outbox *outbox;
    struct outbox_options options;
    unsigned safe, unsafe; /* called back so far */
    bool closed;
};

/* ---- a folder, an outbox in it ---- */

static void place_init(struct place *p)
{
    *p = (struct place){ .folder = "/tmp/test-outbox-XXXXXX" };
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->db, sizeof p->db, "%s/queue.db", p->folder);
    p->options = (struct outbox_options){ .clock = &sl_clock_system,
                                          .path = p->db,
                                          .max_bytes = 64 * 1024 * 1024,
                                          .max_age_ms = 86400000,
                                          .spill_after_ms = 50,
                                          .commit_interval_ms = 5 };
}

static void place_release(struct place *p)
{
    char all[96];
    glob_t found;
    (void)snprintf(all, sizeof all, "%s/*", p->folder);
    if (glob(all, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            (void)unlink(found.gl_pathv[i]);
        globfree(&found);
    }
    assert_int_equal(rmdir(p->folder), 0);
}

static void on_beat(uv_timer_t *beat)
{
    (void)beat;
}

static void place_open(struct place *p)
{
    struct sl_err err;
    assert_int_equal(uv_loop_init(&p->loop), 0);
    assert_int_equal(uv_timer_init(&p->loop, &p->beat), 0);
    assert_int_equal(uv_timer_start(&p->beat, on_beat, 1, 1), 0);
    p->options.loop = &p->loop;
    p->closed = false;
    assert_int_equal(outbox_open(&p->outbox, &p->options, &err), SL_OK);
}

static void on_closed(void *ctx)
{
    ((struct place *)ctx)->closed = true;
}

static void place_close(struct place *p)
{
    outbox_close(p->outbox, on_closed, p);
    uv_close((uv_handle_t *)&p->beat, NULL);
    assert_int_equal(uv_run(&p->loop, UV_RUN_DEFAULT), 0);
    assert_true(p->closed);
    assert_int_equal(uv_loop_close(&p->loop), 0);
}

static struct outbox_stats stats_of(struct place *p)
{
    struct outbox_stats s;
    outbox_get_stats(p->outbox, &s);
    for (int i = 0; i < OUTBOX_LANES; i++)
        assert_int_equal(s.lane[i].accepted,
                         s.lane[i].delivered + s.lane[i].waiting + s.lane[i].lost);
    return s;
}

/* Runs the loop until cond(p, arg) holds. */
static void wait_for(struct place *p, bool (*cond)(struct place *, uint64_t), uint64_t arg)
{
    int64_t until = sl_mono_ms(&sl_clock_system) + WAIT_MS_MAX;
    while (!cond(p, arg)) {
        assert_true(sl_mono_ms(&sl_clock_system) < until);
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

static bool safe_is(struct place *p, uint64_t count)
{
    return p->safe >= count;
}

static bool told_is(struct place *p, uint64_t count)
{
    return p->safe + p->unsafe >= count;
}

static bool on_disk_is(struct place *p, uint64_t count)
{
    struct outbox_stats s = stats_of(p);
    return s.lane[0].on_disk + s.lane[1].on_disk + s.lane[2].on_disk == count;
}

static bool disk_ok_is(struct place *p, uint64_t ok)
{
    return stats_of(p).disk_ok == (ok != 0);
}

static bool waiting_is(struct place *p, uint64_t count)
{
    struct outbox_stats s = stats_of(p);
    return s.lane[0].waiting + s.lane[1].waiting + s.lane[2].waiting == count;
}

static bool something_waits(struct place *p, uint64_t arg)
{
    (void)arg;
    return !waiting_is(p, 0);
}

static bool commits_are(struct place *p, uint64_t count)
{
    return stats_of(p).commits >= count;
}

static void on_safe(void *ctx, enum sl_code result)
{
    struct place *p = ctx;
    if (result == SL_OK)
        p->safe++;
    else
        p->unsafe++;
}

static bool put_bytes(struct place *p, enum outbox_lane lane, const char *topic, size_t size)
{
    char *payload = calloc(1, size + 1);
    assert_non_null(payload);
    memset(payload, 'x', size);
    struct sl_msg *m =
        sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str(topic),
                                           .props = sl_bytes("\x26\x00\x01\x61\x00\x01\x62", 7),
                                           .payload = sl_bytes(payload, size),
                                           .expiry_s = 3600,
                                           .qos = 1,
                                           .retain = true,
                                           .batch = 54321,
                                           .mono_ms = sl_mono_ms(&sl_clock_system),
                                           .wall_ms = sl_wall_ms(&sl_clock_system) });
    free(payload);
    assert_non_null(m);
    bool accepted = outbox_put(p->outbox, lane, m, on_safe, p);
    sl_msg_unref(m);
    return accepted;
}

static void put(struct place *p, enum outbox_lane lane, const char *topic)
{
    assert_true(put_bytes(p, lane, topic, 100));
}

/* Take everything that comes until `count` were acknowledged; the topics, in order. */
static void drain(struct place *p, uint64_t count, char (*topics)[16])
{
    outbox_set_link(p->outbox, true);
    int64_t until = sl_mono_ms(&sl_clock_system) + WAIT_MS_MAX;
    for (uint64_t i = 0; i < count;) {
        assert_true(sl_mono_ms(&sl_clock_system) < until);
        struct outbox_item *item = outbox_take(p->outbox);
        if (!item) {
            (void)uv_run(&p->loop, UV_RUN_ONCE);
            continue;
        }
        if (topics)
            (void)snprintf(topics[i], sizeof topics[i], "%.*s", SL_FMT(sl_msg_topic(item->msg)));
        outbox_ack(p->outbox, item);
        i++;
    }
}

/* ---- restart ---- */

static void it_waits_over_a_restart(void **state)
{
    (void)state;
    struct place p;
    place_init(&p);
    place_open(&p);
    int64_t before = sl_wall_ms(&sl_clock_system);
    put(&p, OUTBOX_TELEMETRY, "t");
    put(&p, OUTBOX_ALERT, "a");
    wait_for(&p, safe_is, 2);
    place_close(&p);
    place_open(&p);
    assert_true(stats_of(&p).opening); /* so that nobody takes "0 wait" for the truth */
    wait_for(&p, waiting_is, 2);
    assert_false(stats_of(&p).opening);
    outbox_set_link(p.outbox, true);
    struct outbox_item *item;
    while (!(item = outbox_take(p.outbox)))
        (void)uv_run(&p.loop, UV_RUN_ONCE);
    assert_true(sl_slice_eq(sl_msg_topic(item->msg), sl_str("a")));
    assert_int_equal(sl_msg_payload(item->msg).len, 100);
    assert_int_equal(sl_msg_props(item->msg).len, 7);
    assert_memory_equal(sl_msg_props(item->msg).ptr, "\x26\x00\x01\x61\x00\x01\x62", 7);
    assert_int_equal(item->msg->qos, 1);
    assert_true(item->msg->retain);
    assert_int_equal(item->msg->batch, 54321);
    assert_int_equal(item->msg->expiry_s, 3600);
    assert_in_range(item->msg->wall_ms, before, before + WAIT_MS_MAX);
    assert_in_range(item->msg->mono_ms, sl_mono_ms(&sl_clock_system) - WAIT_MS_MAX,
                    sl_mono_ms(&sl_clock_system));
    outbox_ack(p.outbox, item);
    drain(&p, 1, NULL);
    place_close(&p);
    place_open(&p);
    wait_for(&p, commits_are, 0);
    drain(&p, 0, NULL);
    wait_for(&p, waiting_is, 0);
    place_close(&p);
    place_release(&p);
}

static void many_in_order_and_the_ledger_stays(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static char topics[COUNT][16];
    struct place p;
    char topic[16];
    place_init(&p);
    place_open(&p);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        put(&p, OUTBOX_NORMAL, topic);
    }
    wait_for(&p, safe_is, COUNT);
    struct outbox_stats s = stats_of(&p);
    assert_true(s.commits < COUNT / 100); /* in groups */
    assert_true(s.bytes_written_estimate > 0 && s.bytes_written_estimate < COUNT * 1024);
    assert_true(s.file_bytes > COUNT * 100);
    place_close(&p);
    place_open(&p);
    wait_for(&p, on_disk_is, COUNT);
    drain(&p, COUNT, topics);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        assert_string_equal(topics[i], topic);
    }
    wait_for(&p, on_disk_is, 0);
    place_close(&p);
    place_open(&p);
    wait_for(&p, disk_ok_is, 1);
    outbox_set_link(p.outbox, true);
    put(&p, OUTBOX_NORMAL, "x");
    drain(&p, 1, NULL);
    s = stats_of(&p);
    assert_int_equal(s.lane[OUTBOX_NORMAL].delivered, COUNT + 1);
    assert_int_equal(s.lane[OUTBOX_NORMAL].accepted, COUNT + 1);
    place_close(&p);
    place_release(&p);
}

static void files_are_private(void **state)
{
    (void)state;
    struct place p;
    struct stat st;
    char log[128];
    place_init(&p);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "a");
    wait_for(&p, safe_is, 1);
    (void)snprintf(log, sizeof log, "%s-wal", p.db);
    assert_int_equal(stat(p.db, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    place_close(&p);
    assert_int_not_equal(stat(log, &st), 0); /* nothing is left in it */
    place_release(&p);
}

static void online_nothing_is_written(void **state)
{
    (void)state;
    struct place p;
    place_init(&p);
    place_open(&p);
    wait_for(&p, disk_ok_is, 1);
    outbox_set_link(p.outbox, true);
    put(&p, OUTBOX_NORMAL, "a");
    drain(&p, 1, NULL);
    wait_for(&p, safe_is, 1);
    uint64_t commits = stats_of(&p).commits;
    for (int i = 0; i < 1000; i++) {
        put(&p, OUTBOX_NORMAL, "a");
        drain(&p, 1, NULL);
    }
    wait_for(&p, safe_is, 1001);
    assert_int_equal(stats_of(&p).commits, commits);
    place_close(&p);
    place_release(&p);
}

/* ---- databases that cannot be used ---- */

static void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *error = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", text, error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void make_empty(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void make_noise(const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    uint32_t x = 1;
    for (int i = 0; i < 20000; i++) {
        x = x * 1664525u + 1013904223u;
        assert_int_not_equal(fputc((int)(x >> 24), f), EOF);
    }
    assert_int_equal(fclose(f), 0);
}

static void make_header_and_noise(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char noise[3996];
    memset(noise, 0x5a, sizeof noise);
    assert_int_equal(pwrite(fd, noise, sizeof noise, 100), sizeof noise);
    assert_int_equal(close(fd), 0);
}

static void make_short(const char *path)
{
    assert_int_equal(truncate(path, 50), 0);
}

static void make_half(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size / 2), 0);
}

static void make_foreign(const char *path)
{
    sql(path, "PRAGMA application_id=7");
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

static void a_folder_that_is_not_there_comes_later(void **state)
{
    (void)state;
    struct place p;
    char there[64], away[96];
    place_init(&p);
    (void)snprintf(there, sizeof there, "%s", p.folder);
    (void)snprintf(away, sizeof away, "%s-away", p.folder);
    assert_int_equal(rename(there, away), 0);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "a");
    wait_for(&p, disk_ok_is, 0);
    struct outbox_stats s = stats_of(&p);
    assert_non_null(strstr(s.disk_error, "queue.db"));
    assert_int_equal(s.lane[OUTBOX_NORMAL].waiting, 1);
    assert_int_equal(rename(away, there), 0);
    wait_for(&p, safe_is, 1);
    assert_true(stats_of(&p).disk_ok);
    place_close(&p);
    place_release(&p);
}

static void two_at_once_is_refused(void **state)
{
    (void)state;
    struct place p, second;
    place_init(&p);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "a");
    wait_for(&p, safe_is, 1);
    place_init(&second);
    second.options.path = p.db;
    place_open(&second);
    wait_for(&second, disk_ok_is, 0);
    assert_non_null(strstr(stats_of(&second).disk_error, "another program"));
    place_close(&p);
    wait_for(&second, disk_ok_is, 1); /* it takes over by itself */
    wait_for(&second, on_disk_is, 1);
    place_close(&second);
    place_release(&second);
    place_release(&p);
}

static void a_full_disk(void **state)
{
    (void)state;
    struct place p;
    place_init(&p);
    if (mount("tmpfs", p.folder, "tmpfs", 0, "size=1m") != 0) {
        print_message("no tmpfs here (%s): left out\n", strerror(errno));
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

static void fill_up(const char *folder)
{
    static const char junk[4096];
    char path[96];
    (void)snprintf(path, sizeof path, "%s/junk", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, junk, sizeof junk) > 0) {
        /* until there is no room */
    }
    assert_int_equal(close(fd), 0);
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
    if (mount("tmpfs", p.folder, "tmpfs", 0, "size=5m") != 0) {
        print_message("no tmpfs here (%s): left out\n", strerror(errno));
        place_release(&p);
        skip();
    }
    place_open(&p);
    for (int i = 0; i < COUNT; i++)
        assert_true(put_bytes(&p, OUTBOX_NORMAL, "n", 500));
    wait_for(&p, safe_is, COUNT);
    wait_for_upkeep(&p); /* the log was moved into the database, and is free */
    fill_up(p.folder);
    put(&p, OUTBOX_NORMAL, "more");
    wait_for(&p, disk_ok_is, 0);
    drain(&p, COUNT + 1, NULL);
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

/* ---- looking ---- */

struct seen {
    char text[512];
    bool done;
    enum sl_code code;
};

static void see_row(void *ctx, const struct outbox_row *row)
{
    struct seen *seen = ctx;
    size_t at = strlen(seen->text);
    (void)snprintf(seen->text + at, sizeof seen->text - at, "%s/%.*s%s%s ",
                   outbox_lane_name(row->lane), SL_FMT(row->topic), row->reason ? ":" : "",
                   row->reason ? row->reason : "");
}

static void see_done(void *ctx, enum sl_code code, const char *error)
{
    struct seen *seen = ctx;
    assert_int_equal(code == SL_OK, error == NULL);
    seen->done = true;
    seen->code = code;
}

static struct outbox_list_request request_for(struct seen *seen, bool dead)
{
    *seen = (struct seen){ 0 };
    return (struct outbox_list_request){ .lane = OUTBOX_LANES,
                                         .dead = dead,
                                         .limit = 100,
                                         .row = see_row,
                                         .done = see_done,
                                         .ctx = seen };
}

static void listing_live_and_from_the_file(void **state)
{
    (void)state;
    struct place p;
    struct seen seen;
    struct sl_err err;
    place_init(&p);
    struct outbox_list_request request = request_for(&seen, false);
    assert_int_equal(outbox_list_file(p.db, &request, &err), SL_NOTFOUND);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "n1");
    put(&p, OUTBOX_TELEMETRY, "t1");
    put(&p, OUTBOX_NORMAL, "bad");
    wait_for(&p, safe_is, 3);
    outbox_set_link(p.outbox, true);
    struct outbox_item *item = outbox_take(p.outbox);
    assert_non_null(item);
    item = outbox_take(p.outbox);
    assert_non_null(item);
    outbox_dead(p.outbox, item, "topic too deep");
    put(&p, OUTBOX_ALERT, "a1");
    static const char *const want[] = { "alert/a1 normal/n1 telemetry/t1 ",
                                        "normal/bad:topic too deep " };
    for (int dead = 0; dead < 2; dead++) {
        request = request_for(&seen, dead != 0);
        assert_int_equal(outbox_list(p.outbox, &request), SL_OK);
        while (!seen.done)
            (void)uv_run(&p.loop, UV_RUN_ONCE);
        assert_int_equal(seen.code, SL_OK);
        assert_string_equal(seen.text, want[dead]);
    }
    request = request_for(&seen, false);
    assert_int_equal(outbox_list_file(p.db, &request, &err), SL_BUSY);
    outbox_return_all(p.outbox);
    place_close(&p);
    for (int dead = 0; dead < 2; dead++) {
        request = request_for(&seen, dead != 0);
        assert_int_equal(outbox_list_file(p.db, &request, &err), SL_OK);
        assert_string_equal(seen.text, want[dead]);
    }
    place_open(&p);
    wait_for(&p, waiting_is, 3);
    assert_int_equal(stats_of(&p).dead, 1);
    place_close(&p);
    place_release(&p);
}

/* ---- throwing away ---- */

struct outcome {
    bool done;
    enum sl_code code;
    struct outbox_purged purged;
};

static void on_purged(void *ctx, enum sl_code code, const char *error,
                      const struct outbox_purged *purged)
{
    (void)error;
    *(struct outcome *)ctx = (struct outcome){ true, code, *purged };
}

static void purge_live_and_in_the_file(void **state)
{
    (void)state;
    struct place p;
    struct outcome o = { 0 };
    struct sl_err err;
    struct outbox_purged purged = { 0 };
    struct outbox_purge_request request = {
        .lanes = 1u << OUTBOX_TELEMETRY, .limit = UINT64_MAX, .done = on_purged, .ctx = &o
    };
    place_init(&p);
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_NOTFOUND);
    place_open(&p);
    for (int i = 0; i < 30; i++)
        put(&p, OUTBOX_TELEMETRY, "t");
    put(&p, OUTBOX_NORMAL, "n");
    put(&p, OUTBOX_ALERT, "a");
    wait_for(&p, on_disk_is, 32);
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_BUSY);
    request.limit = 10;
    assert_int_equal(outbox_purge(p.outbox, &request), SL_OK);
    while (!o.done)
        (void)uv_run(&p.loop, UV_RUN_ONCE);
    assert_int_equal(o.code, SL_OK);
    assert_int_equal(o.purged.messages, 10);
    assert_int_equal(stats_of(&p).lane[OUTBOX_TELEMETRY].waiting, 20);
    outbox_set_link(p.outbox, true);
    outbox_dead(p.outbox, outbox_take(p.outbox), "why"); /* the alert */
    place_close(&p);
    request.limit = UINT64_MAX;
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_OK);
    assert_int_equal(purged.messages, 20);
    request.dead = true;
    request.lanes = OUTBOX_ALL_LANES;
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_OK);
    assert_int_equal(purged.letters, 1);
    place_open(&p);
    wait_for(&p, waiting_is, 1);
    struct outbox_stats s = stats_of(&p);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_PURGED].count, 30);
    assert_int_equal(s.dead, 0);
    assert_string_equal(s.set_aside, "");
    place_close(&p);
    place_release(&p);
}

/* A command sets nothing aside: that is for the gateway, which says so. */
static void purge_of_a_file_that_is_none(void **state)
{
    (void)state;
    struct place p;
    struct sl_err err;
    struct outbox_purged purged;
    struct outbox_purge_request request = { .lanes = OUTBOX_ALL_LANES, .limit = UINT64_MAX };
    place_init(&p);
    FILE *f = fopen(p.db, "we");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        assert_true(fputs("no database", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_CORRUPT);
    assert_int_equal(access(p.db, F_OK), 0);
    place_release(&p);
}

/* ---- kill -9 ---- */

struct kill_message {
    struct place *place;
    uint32_t id;
    int pipe;
};

static void report_safe(void *ctx, enum sl_code result)
{
    struct kill_message *k = ctx;
    if (result == SL_OK && write(k->pipe, &k->id, sizeof k->id) != sizeof k->id)
        _exit(3);
}

static void put_numbered(struct place *p, uint32_t id, int pipe)
{
    struct kill_message *k = malloc(sizeof *k);
    if (!k)
        _exit(4);
    *k = (struct kill_message){ p, id, pipe };
    struct sl_msg *m =
        sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str("k"),
                                           .payload = sl_bytes(&id, sizeof id),
                                           .expiry_s = SL_MSG_NO_EXPIRY,
                                           .qos = 1,
                                           .mono_ms = sl_mono_ms(&sl_clock_system),
                                           .wall_ms = sl_wall_ms(&sl_clock_system) });
    if (!m || !outbox_put(p->outbox, (enum outbox_lane)(id % OUTBOX_LANES), m, report_safe, k))
        _exit(5);
    sl_msg_unref(m);
}

/* The child: puts without end, tells what is safe, until it is killed. */
static void child_main(struct place *p, uint32_t first, int pipe)
{
    if (uv_loop_init(&p->loop) != 0)
        _exit(1);
    p->options.loop = &p->loop;
    struct sl_err err;
    if (outbox_open(&p->outbox, &p->options, &err) != SL_OK)
        _exit(2);
    for (uint32_t id = first;;) {
        for (int i = 0; i < 7; i++)
            put_numbered(p, id++, pipe);
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

static void mark_row(void *ctx, const struct outbox_row *row)
{
    bool *there = ctx;
    uint32_t id;
    assert_int_equal(row->payload.len, sizeof id);
    memcpy(&id, row->payload.ptr, sizeof id);
    assert_true(id < 10000000);
    assert_false(there[id]); /* once */
    there[id] = true;
}

/* Reads what the child had reported when it died; marks it. */
static uint32_t read_reports(int pipe, bool *safe)
{
    uint32_t id, count = 0;
    while (read(pipe, &id, sizeof id) == sizeof id) {
        safe[id] = true;
        count++;
    }
    return count;
}

static void kill_nine(void **state)
{
    (void)state;
    enum { ROUNDS = 50, IDS_MAX = 10000000 };
    struct place p;
    place_init(&p);
    bool *safe = calloc(IDS_MAX, 1), *there = calloc(IDS_MAX, 1);
    assert_true(safe && there);
    uint32_t reported = 0;
    srand(7);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            child_main(&p, round * 200000, ends[1]);
        (void)close(ends[1]);
        (void)usleep((useconds_t)(rand() % 40000)); /* the moment is what is tested */
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        reported += read_reports(ends[0], safe);
        (void)close(ends[0]);
    }
    assert_true(reported > ROUNDS);
    /* What is there, read as the crash left it; and whether the counters say the same. */
    struct outbox_list_request request = {
        .lane = OUTBOX_LANES, .limit = UINT32_MAX, .row = mark_row, .ctx = there
    };
    struct sl_err err;
    assert_int_equal(outbox_list_file(p.db, &request, &err), SL_OK);
    place_open(&p);
    wait_for(&p, something_waits, 0);
    struct outbox_stats s = stats_of(&p);
    uint64_t waiting = s.lane[0].waiting + s.lane[1].waiting + s.lane[2].waiting;
    assert_string_equal(s.set_aside, "");
    place_close(&p);
    uint64_t found = 0;
    for (uint32_t id = 0; id < IDS_MAX; id++) {
        found += there[id];
        if (safe[id] && !there[id])
            fail_msg("message %" PRIu32 " was safe and is gone", id);
    }
    assert_int_equal(found, waiting);
    free(safe);
    free(there);
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_over_a_restart),
        cmocka_unit_test(many_in_order_and_the_ledger_stays),
        cmocka_unit_test(files_are_private),
        cmocka_unit_test(online_nothing_is_written),
        cmocka_unit_test(numbers_outlive_the_database),
        cmocka_unit_test(a_log_without_its_database_is_not_taken),
        cmocka_unit_test(a_bad_row_is_counted_and_skipped),
        cmocka_unit_test(pages_that_rot_while_it_runs),
        cmocka_unit_test(the_file_stays_within_its_bound),
        cmocka_unit_test(a_folder_that_is_not_there_comes_later),
        cmocka_unit_test(two_at_once_is_refused),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(room_inside_a_full_disk),
        cmocka_unit_test(removed_files_are_written_anew),
        cmocka_unit_test(a_removed_folder_is_made_anew),
        cmocka_unit_test(a_removed_log_is_written_anew),
        cmocka_unit_test(another_file_in_its_place),
        cmocka_unit_test(listing_live_and_from_the_file),
        cmocka_unit_test(purge_live_and_in_the_file),
        cmocka_unit_test(purge_of_a_file_that_is_none),
        cmocka_unit_test(kill_nine),
    };
    struct CMUnitTest bad[SL_ARRAY_LEN(bad_cases)] = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(bad_cases); i++)
        bad[i] = (struct CMUnitTest){ .name = bad_cases[i].name,
                                      .test_func = bad_databases_are_set_aside,
                                      .initial_state = (void *)(uintptr_t)&bad_cases[i] };
    int failed = cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("bad databases", bad, NULL, NULL);
}
