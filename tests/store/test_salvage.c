/* test_salvage.c - damaged databases: the core on the real database, whose pages are spoilt at
 * random from a printed seed, before the start or while it runs.
 *
 * Usage: test_store_salvage [FIRST_SEED [COUNT]]. Whatever is spoilt: the outbox runs on; what
 * comes out is whole, in order, and with the number it had; and it adds up: accepted = delivered +
 * lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core.h"
#include "core_private.h"
#include "db.h"
#include "job_queue.h"
#include "testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 1500, PAGE = 4096 };

struct run {
    char folder[64], path[80];
    struct db_options db_options;
    struct outbox_options options;
    struct sl_clock clock;
    int64_t mono;
    struct disk disk;
    struct job_queue jobs;
    struct db *db;
    struct core *core;
    uint64_t random, first_number;
    uint64_t got, last_number;
};

static struct {
    uint64_t runs, salvaged, lost, whole;
} totals;

static uint64_t below(struct run *run, uint64_t bound)
{
    return (testing_random(&run->random) >> 11) % bound;
}

static int64_t mono_of(void *ctx)
{
    return ((struct run *)ctx)->mono;
}

static int64_t wall_of(void *ctx)
{
    return ((struct run *)ctx)->mono + 1800000000000;
}

static void submit(struct disk *disk, struct disk_job *job)
{
    struct run *run = SL_CONTAINER_OF(disk, struct run, disk);
    job_queue_push(&run->jobs, job);
}

static void settle(struct run *run)
{
    for (int n = 0; core_next_wake(run->core) <= run->mono || run->jobs.first; n++) {
        assert_true(n < 100000);
        if (core_next_wake(run->core) <= run->mono)
            core_tick(run->core);
        struct disk_job *job = job_queue_pop(&run->jobs);
        if (!job)
            continue;
        job->code = db_do_job(&run->db, &run->db_options, job);
        job->done(job->ctx, job);
    }
}

static void begin(struct run *run)
{
    run->core = core_new(&run->options, &run->disk);
    assert_non_null(run->core);
    settle(run);
}

static void stop(struct run *run)
{
    core_close(run->core);
    settle(run);
    assert_true(core_is_closed(run->core));
    core_free(run->core);
    run->core = NULL;
}

static void put_rows(struct run *run)
{
    run->first_number = run->core->lane[OUTBOX_NORMAL].next;
    for (uint64_t i = 0; i < ROWS; i++) {
        uint8_t payload[150];
        memset(payload, (int)i, sizeof payload);
        memcpy(payload, &i, sizeof i);
        struct sl_msg *m =
            sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str("topic"),
                                               .payload = sl_bytes(payload, 20 + i % 120),
                                               .expiry_s = SL_MSG_NO_EXPIRY,
                                               .qos = 1,
                                               .mono_ms = run->mono,
                                               .wall_ms = wall_of(run) });
        assert_non_null(m);
        assert_true(core_put(run->core, OUTBOX_NORMAL, m, NULL, NULL));
        sl_msg_unref(m);
    }
    settle(run);
}

/* Noise, zeros or another page, in some pages from the first on that may be. */
static void spoil(struct run *run, uint64_t first_page)
{
    int fd = open(run->path, O_RDWR | O_CLOEXEC);
    struct stat st;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    uint64_t pages = (uint64_t)st.st_size / PAGE;
    assert_true(pages > first_page + 1);
    for (uint64_t n = 1 + below(run, below(run, 2) ? 3 : 20); n > 0; n--) {
        uint8_t page[PAGE];
        uint64_t at = first_page + below(run, pages - first_page), kind = below(run, 4);
        memset(page, kind == 0 ? 0 : 0x5a, sizeof page);
        if (kind == 1)
            assert_int_equal(pread(fd, page, PAGE, (off_t)(below(run, pages) * PAGE)), PAGE);
        size_t from = kind == 2 ? below(run, PAGE) : 0;
        size_t size = kind == 2 ? below(run, PAGE - from) : PAGE;
        assert_int_equal(pwrite(fd, page, size, (off_t)(at * PAGE + from)), (ssize_t)size);
    }
    if (below(run, 8) == 0)
        assert_int_equal(
            ftruncate(fd, (off_t)((first_page + 2 + below(run, pages - first_page - 2)) * PAGE)),
            0);
    assert_int_equal(close(fd), 0);
}

static void check_item(struct run *run, const struct outbox_item *item)
{
    uint64_t i;
    struct sl_slice payload = sl_msg_payload(item->msg);
    assert_true(payload.len >= sizeof i);
    memcpy(&i, payload.ptr, sizeof i);
    assert_true(i < ROWS);
    assert_int_equal(item->number, run->first_number + i);
    assert_int_equal(payload.len, 20 + i % 120);
    for (size_t k = sizeof i; k < payload.len; k++)
        assert_int_equal(payload.ptr[k], (uint8_t)i);
    assert_true(item->number > run->last_number);
    run->last_number = item->number;
    run->got++;
}

static uint64_t waiting(struct run *run)
{
    struct outbox_stats s;
    core_get_stats(run->core, &s);
    for (int i = 0; i < OUTBOX_LANES; i++)
        assert_int_equal(s.lane[i].accepted,
                         s.lane[i].delivered + s.lane[i].waiting + s.lane[i].lost);
    return s.lane[OUTBOX_NORMAL].waiting;
}

static void take_some(struct run *run, uint64_t most)
{
    for (struct outbox_item *item; most > 0 && (item = core_take(run->core)); most--) {
        check_item(run, item);
        core_ack(run->core, item);
    }
}

static void drain(struct run *run)
{
    core_set_link(run->core, true);
    for (int round = 0; waiting(run) > 0; round++) {
        assert_true(round < 100000);
        take_some(run, 50);
        run->mono += 20;
        settle(run);
    }
}

static struct run *make(uint64_t seed)
{
    struct run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    (void)snprintf(run->folder, sizeof run->folder, "/tmp/sluice-salvage-XXXXXX");
    assert_non_null(mkdtemp(run->folder));
    (void)snprintf(run->path, sizeof run->path, "%s/queue.db", run->folder);
    run->random = seed * 0x9e3779b97f4a7c15u + 1;
    run->mono = 1000;
    run->clock = (struct sl_clock){ mono_of, wall_of, run };
    run->disk.submit = submit;
    run->options = (struct outbox_options){ .clock = &run->clock,
                                            .max_bytes = 1u << 30,
                                            .max_age_ms = (int64_t)30 * 86400 * 1000,
                                            .spill_after_ms = 200,
                                            .commit_interval_ms = 20,
                                            .read_ahead = 32 };
    run->db_options = (struct db_options){
        .path = run->path, .max_bytes = 1u << 30, .boot = 1, .sealed = below(run, 2)
    };
    return run;
}

static void free_run(struct run *run)
{
    assert_true(testing_remove_folder(run->folder));
    free(run);
}

/* Page 1 and what is around it has the tables' names: without it nothing can be found. */
static void one_run(uint64_t seed)
{
    struct run *run = make(seed);
    bool running = below(run, 3) == 0;
    begin(run);
    put_rows(run);
    assert_int_equal(waiting(run), ROWS);
    stop(run);
    if (!running)
        spoil(run, below(run, 4) == 0 ? 0 : 10);
    begin(run);
    if (running) {
        core_set_link(run->core, true);
        take_some(run, below(run, 40));
        settle(run);
        spoil(run, 10);
    }
    drain(run);
    struct outbox_stats s;
    core_get_stats(run->core, &s);
    totals.runs++;
    totals.salvaged += s.salvaged;
    totals.lost += s.lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].count;
    totals.whole += run->got == ROWS;
    if (s.lane[OUTBOX_NORMAL].accepted >= ROWS) /* else nobody could read how many there were */
        assert_int_equal(run->got + s.lane[OUTBOX_NORMAL].lost, ROWS);
    stop(run);
    begin(run);
    run->last_number = 0; /* damage that only the last deletions met has them sent again */
    drain(run);
    stop(run);
    free_run(run);
}

static uint64_t first_seed = 1, seed_count = 40;

static void pages_are_spoilt(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        print_message("\rseed %llu ", (unsigned long long)seed);
        one_run(seed);
    }
    print_message("\n%llu runs of %u rows: %llu brought over, %llu lost, %llu runs lost none\n",
                  (unsigned long long)totals.runs, (unsigned)ROWS,
                  (unsigned long long)totals.salvaged, (unsigned long long)totals.lost,
                  (unsigned long long)totals.whole);
    assert_true(totals.salvaged > totals.lost);
}

/* A page in the middle costs its own rows, not those behind it. */
static void rows_behind_the_damage_are_sent(void **state)
{
    (void)state;
    struct run *run = make(1);
    begin(run);
    put_rows(run);
    stop(run);
    int fd = open(run->path, O_RDWR | O_CLOEXEC);
    uint8_t noise[PAGE];
    memset(noise, 0x5a, sizeof noise);
    assert_int_equal(pwrite(fd, noise, PAGE, 30 * PAGE), PAGE);
    assert_int_equal(close(fd), 0);
    begin(run);
    drain(run);
    assert_in_range(run->got, ROWS - 40, ROWS - 5);
    assert_int_equal(run->last_number, run->first_number + ROWS - 1);
    struct outbox_stats s;
    core_get_stats(run->core, &s);
    assert_int_equal(s.lane[OUTBOX_NORMAL].loss[OUTBOX_LOST_CORRUPT].count, ROWS - run->got);
    assert_int_equal(s.lane[OUTBOX_NORMAL].accepted, ROWS);
    stop(run);
    free_run(run);
}

static void move(struct run *run, const char *from, const char *to)
{
    char a[120], b[120];
    (void)snprintf(a, sizeof a, "%s%s", run->path, from);
    (void)snprintf(b, sizeof b, "%s%s", run->path, to);
    assert_int_equal(rename(a, b), 0);
}

/* The crash came when the new database was complete: before the old one was moved away, or after.
 */
static void a_crash_in_between(void **state)
{
    (void)state;
    struct run *run = make(2);
    begin(run);
    put_rows(run);
    stop(run);
    move(run, "", ".saved");
    begin(run);
    assert_int_equal(waiting(run), ROWS);
    stop(run);
    char other[120];
    (void)snprintf(other, sizeof other, "%s.saved", run->path);
    int fd =
        open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* stale: the old one is still there */
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    begin(run);
    assert_int_equal(waiting(run), ROWS);
    assert_int_not_equal(access(other, F_OK), 0);
    stop(run);
    free_run(run);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_behind_the_damage_are_sent),
        cmocka_unit_test(a_crash_in_between),
        cmocka_unit_test(pages_are_spoilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
