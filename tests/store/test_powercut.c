/* test_powercut.c - the outbox's core on the real database, while the power fails again and again.
 *
 * Usage: test_store_powercut [FIRST_SEED [COUNT]]. Each run puts, sends and acknowledges at random;
 * at a random change of a file the power fails, and what was not synced is gone in part, out of
 * order and torn. After every start: no database was set aside, nothing that was called safe is
 * missing, each message keeps its number, no number comes twice, and each lane is in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core.h"
#include "core_private.h"
#include "db.h"
#include "job_queue.h"
#include "powercut.h"
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MESSAGES_MAX = 3000, FLIGHT_MAX = 40, STEPS = 150, LIVES = 8 };

struct sent {
    struct run *run;
    enum outbox_lane lane;
    bool told, safe, gone; /* gone: acknowledged or buried */
    uint64_t number;       /* 0: never seen */
};

struct run {
    struct powercut *power;
    char folder[64], path[80];
    struct db_options db_options;
    struct outbox_options options;
    struct sl_clock clock;
    int64_t mono, wall;
    struct disk disk;
    struct job_queue jobs; /* submitted, not done */
    struct db *db;
    struct core *core;
    uint64_t random;
    unsigned faults_per_mille;
    bool small; /* a store that fills: what is lost is thinned, or dropped, and counted */
    struct sent message[MESSAGES_MAX];
    uint32_t count;
    struct outbox_item *flight[FLIGHT_MAX];
    size_t in_flight;
    uint32_t last_taken[OUTBOX_LANES];
    uint64_t lost[OUTBOX_LANES]; /* dead letters apart */
    uint64_t thinned;
};

static struct powercut_counts totals;
static uint64_t thinned;

static uint64_t next_random(struct run *run)
{
    return testing_random(&run->random);
}

static int64_t mono_of(void *ctx)
{
    return ((struct run *)ctx)->mono;
}

static int64_t wall_of(void *ctx)
{
    return ((struct run *)ctx)->wall;
}

/* ---- the disk: jobs are done when told to ---- */

static void submit(struct disk *disk, struct disk_job *job)
{
    struct run *run = SL_CONTAINER_OF(disk, struct run, disk);
    job_queue_push(&run->jobs, job);
}

static bool do_job(struct run *run)
{
    struct disk_job *job = job_queue_pop(&run->jobs);
    if (!job)
        return false;
    job->code = db_do_job(&run->db, &run->db_options, job);
    if (run->db && next_random(run) % 4 == 0)
        db_upkeep(run->db);
    job->done(job->ctx, job);
    return true;
}

static void pass(struct run *run, int64_t ms)
{
    for (int64_t until = run->mono + ms; run->mono < until; run->mono += 10, run->wall += 10) {
        if (core_next_wake(run->core) <= run->mono)
            core_tick(run->core);
        (void)do_job(run);
    }
}

static void settle(struct run *run)
{
    for (int n = 0; core_next_wake(run->core) <= run->mono || run->jobs.first; n++) {
        assert_true(n < 10000); /* else it never comes to rest */
        if (core_next_wake(run->core) <= run->mono)
            core_tick(run->core);
        (void)do_job(run);
    }
}

/* ---- messages ---- */

static void on_safe(void *ctx, enum sl_code result)
{
    struct sent *sent = ctx;
    assert_false(sent->told);
    sent->told = true;
    sent->safe = result == SL_OK;
}

static void put_one(struct run *run)
{
    if (run->count + 1 == MESSAGES_MAX)
        return;
    uint32_t id = ++run->count;
    struct sent *sent = &run->message[id];
    *sent =
        (struct sent){ .run = run, .lane = (enum outbox_lane)(next_random(run) % OUTBOX_LANES) };
    uint8_t payload[6000] = { 0 };
    memcpy(payload, &id, sizeof id);
    size_t size = next_random(run) % 20 == 0 ? sizeof payload : 4 + next_random(run) % 200;
    struct sl_msg *m = sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str(id % 3 ? "t" : "u"),
                                                          .payload = sl_bytes(payload, size),
                                                          .expiry_s = SL_MSG_NO_EXPIRY,
                                                          .qos = 1,
                                                          .mono_ms = run->mono,
                                                          .wall_ms = run->wall });
    assert_non_null(m);
    assert_true(core_put(run->core, sent->lane, m, on_safe, sent));
    sl_msg_unref(m);
}

static uint32_t id_of(const struct outbox_item *item)
{
    uint32_t id;
    memcpy(&id, sl_msg_payload(item->msg).ptr, sizeof id);
    return id;
}

static void take_one(struct run *run)
{
    struct outbox_item *item = run->in_flight < FLIGHT_MAX ? core_take(run->core) : NULL;
    if (!item)
        return;
    uint32_t id = id_of(item);
    assert_true(id > 0 && id <= run->count);
    struct sent *sent = &run->message[id];
    assert_int_equal(sent->lane, item->lane);
    assert_true(sent->number == 0 || sent->number == item->number); /* one identity for ever */
    assert_true(id > run->last_taken[item->lane]);                  /* in order */
    sent->number = item->number;
    run->last_taken[item->lane] = id;
    run->flight[run->in_flight++] = item;
}

static void settle_one(struct run *run, bool dead)
{
    if (run->in_flight == 0)
        return;
    size_t at = next_random(run) % run->in_flight;
    struct outbox_item *item = run->flight[at];
    run->flight[at] = run->flight[--run->in_flight];
    run->message[id_of(item)].gone = true;
    if (dead)
        core_dead(run->core, item, "refused");
    else
        core_ack(run->core, item);
}

static void return_all(struct run *run)
{
    core_set_link(run->core, false);
    core_return_all(run->core);
    run->in_flight = 0;
    memset(run->last_taken, 0, sizeof run->last_taken);
}

static void several(struct run *run, void (*one)(struct run *), unsigned most)
{
    for (uint64_t n = next_random(run) % most + 1; n > 0; n--)
        one(run);
}

static void one_step(struct run *run)
{
    switch (next_random(run) % 10) {
    case 0:
    case 1: several(run, put_one, 15); break;
    case 2:
    case 3: several(run, take_one, 20); break;
    case 4:
    case 5:
        for (uint64_t n = next_random(run) % 20; n > 0; n--)
            settle_one(run, false);
        break;
    case 6: settle_one(run, true); break;
    case 7: core_set_link(run->core, true); break;
    case 8:
        if (next_random(run) % 2)
            return_all(run);
        break;
    default: pass(run, (int64_t)(next_random(run) % 400)); break;
    }
    (void)do_job(run);
}

/* ---- lives and deaths ---- */

static uint64_t check_ledger(struct run *run)
{
    struct outbox_stats s;
    uint64_t waiting = 0;
    core_get_stats(run->core, &s);
    for (int i = 0; i < OUTBOX_LANES; i++) {
        assert_int_equal(s.lane[i].accepted,
                         s.lane[i].delivered + s.lane[i].waiting + s.lane[i].lost);
        assert_int_equal(s.lane[i].lost, s.lane[i].loss[OUTBOX_LOST_DEAD].count +
                                             s.lane[i].loss[OUTBOX_LOST_FULL].count +
                                             s.lane[i].loss[OUTBOX_LOST_THINNED].count);
        run->lost[i] = s.lane[i].lost - s.lane[i].loss[OUTBOX_LOST_DEAD].count;
        assert_true(run->small || run->lost[i] == 0);
        waiting += s.lane[i].waiting;
    }
    run->thinned = s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_THINNED].count;
    assert_string_equal(s.set_aside, ""); /* whatever the disk did: it was not corrupt */
    return waiting;
}

static void start(struct run *run)
{
    run->core = core_new(&run->options, &run->disk);
    assert_non_null(run->core);
    settle(run);
    (void)check_ledger(run);
}

static void die(struct run *run)
{
    run->jobs = (struct job_queue){ 0 };
    run->core->jobs_out = 0;
    run->in_flight = 0;
    memset(run->last_taken, 0, sizeof run->last_taken);
    core_free(run->core);
    powercut_arm(run->power, 1); /* closing would tidy up: not with the power gone */
    db_close(run->db);
    run->db = NULL;
    powercut_restore(run->power);
    powercut_faults(run->power, 0);
    for (uint32_t id = 1; id <= run->count; id++)
        run->message[id].told = true; /* nobody is left to be told */
}

static void live(struct run *run)
{
    uint64_t death = 1 + next_random(run) % 400;
    powercut_arm(run->power, death);
    start(run); /* before it is open, messages overtake what is on the disk */
    powercut_faults(run->power, run->faults_per_mille);
    for (int i = 0; i < STEPS && !powercut_happened(run->power); i++) {
        one_step(run);
        (void)check_ledger(run);
    }
    die(run);
}

static void drain(struct run *run)
{
    start(run);
    core_set_link(run->core, true);
    for (int round = 0; check_ledger(run) > 0; round++) {
        assert_true(round < 10000); /* else something waits that is never sent */
        several(run, take_one, 30);
        while (run->in_flight > 0)
            settle_one(run, false);
        pass(run, 50);
    }
    core_close(run->core);
    settle(run);
    assert_true(core_is_closed(run->core));
    core_free(run->core);
}

static int by_lane_and_number(const void *a, const void *b)
{
    const struct sent *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void check_end(struct run *run)
{
    uint64_t missing[OUTBOX_LANES] = { 0 };
    for (uint32_t id = 1; id <= run->count; id++)
        if (run->message[id].safe && !run->message[id].gone)
            if (missing[run->message[id].lane]++ >= run->lost[run->message[id].lane])
                fail_msg("message %u was called safe, and is missing", id);
    thinned += run->thinned;
    qsort(&run->message[1], run->count, sizeof run->message[0], by_lane_and_number);
    for (uint32_t i = 2; i <= run->count; i++)
        if (run->message[i].number != 0 && run->message[i].lane == run->message[i - 1].lane)
            assert_int_not_equal(run->message[i].number, run->message[i - 1].number);
}

static void one_run(uint64_t seed)
{
    struct run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    (void)snprintf(run->folder, sizeof run->folder, "/tmp/sluice-powercut-XXXXXX");
    assert_non_null(mkdtemp(run->folder));
    (void)snprintf(run->path, sizeof run->path, "%s/queue.db", run->folder);
    run->random = testing_seed(seed);
    run->power = powercut_new(seed);
    run->mono = 1000;
    run->wall = 1800000000000;
    run->clock = (struct sl_clock){ mono_of, wall_of, run };
    run->disk.submit = submit;
    run->options = (struct outbox_options){ .clock = &run->clock,
                                            .max_bytes = 1u << 30,
                                            .max_age_ms = (int64_t)30 * 86400 * 1000,
                                            .when_full = OUTBOX_DROP_OLDEST,
                                            .spill_after_ms = 200,
                                            .commit_interval_ms = 20,
                                            .read_ahead = 1 + (uint32_t)(next_random(run) % 30) };
    run->db_options = (struct db_options){ .path = run->path, .max_bytes = 1u << 30, .boot = 1 };
    run->db_options.sealed = next_random(run) % 2 == 0;
    run->small = next_random(run) % 3 == 0;
    if (run->small) {
        run->options.max_bytes = 20000 + next_random(run) % 60000;
        run->options.when_full = OUTBOX_THIN;
        run->db_options.max_bytes = run->options.max_bytes;
    }
    if (next_random(run) % 3 == 0)
        run->faults_per_mille = 1 + (unsigned)(next_random(run) % 30);
    for (int i = 0; i < LIVES; i++)
        live(run);
    drain(run);
    check_end(run);
    struct powercut_counts c = powercut_counts(run->power);
    totals.cuts += c.cuts;
    totals.changes += c.changes;
    totals.pieces += c.pieces;
    totals.lost += c.lost;
    totals.faults += c.faults;
    powercut_free(run->power);
    assert_true(testing_remove_folder(run->folder));
    free(run);
}

static uint64_t first_seed = 1, seed_count = 60;

static void power_fails(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        print_message("\rseed %llu ", (unsigned long long)seed);
        one_run(seed);
    }
    print_message(
        "\n%llu cuts, %llu changes, %llu errors; of %llu unsynced pieces %llu were lost\n",
        (unsigned long long)totals.cuts, (unsigned long long)totals.changes,
        (unsigned long long)totals.faults, (unsigned long long)totals.pieces,
        (unsigned long long)totals.lost);
    print_message("%llu messages were thinned out\n", (unsigned long long)thinned);
    assert_true(totals.lost > 0 && totals.lost < totals.pieces); /* else nothing was tried */
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(power_fails) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
