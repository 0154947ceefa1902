/* test_core_random.c - the core under random use, faults and crashes, from a printed seed.
 *
 * Usage: test_store_random [FIRST_SEED [COUNT]]. After every step the ledger must add up; at the
 * end of each run everything that was called safe was delivered, buried or counted as lost, in
 * order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS        600
#define MESSAGES_MAX 4000
#define FLIGHT_MAX   40

struct sent {
    enum outbox_lane lane;
    bool safe, told, delivered, dead;
    bool purging, purged; /* by one that is done: may not come any more */
    uint64_t number;      /* 0: never taken */
    struct run *run;
};

struct run {
    struct rig rig;
    uint64_t random;
    bool bounded; /* small bounds: losses are expected, and counted */
    bool faults;
    bool purges;     /* by hand */
    bool purges_all; /* the last one had no limit */
    uint64_t purge_limit;
    bool late; /* the first open may fail: what is sent meanwhile overtakes the disk's rows, and its
                  numbers are provisional */
    struct sent message[MESSAGES_MAX];
    uint32_t count;
    struct outbox_item *flight[FLIGHT_MAX];
    size_t in_flight;
    bool known;     /* what is on the disk, in this life */
    uint64_t above; /* the least that has waited since; looked at while that is too much */
    uint32_t last_taken[OUTBOX_LANES]; /* since things were returned, or a restart */
};

static uint64_t next_random(struct run *run)
{
    return testing_random(&run->random);
}

static bool chance(struct run *run, unsigned percent)
{
    return next_random(run) % 100 < percent;
}

static void on_safe(void *ctx, enum sl_code result)
{
    struct sent *sent = ctx;
    assert_false(sent->told); /* once */
    sent->told = true;
    sent->safe = result == SL_OK;
}

static void put_one(struct run *run)
{
    if (run->count + 1 == MESSAGES_MAX)
        return;
    uint32_t id = ++run->count; /* 0 means none */
    struct sent *sent = &run->message[id];
    *sent = (struct sent){ .lane = (enum outbox_lane)(next_random(run) % OUTBOX_LANES) };
    static const char *const topics[] = { "t", "u", "v" };
    uint8_t payload[64] = { 0 };
    memcpy(payload, &id, sizeof id);
    struct sl_msg_parts parts = { .topic = sl_str(topics[next_random(run) % SL_ARRAY_LEN(topics)]),
                                  .payload = sl_bytes(payload, 4 + next_random(run) % 60),
                                  .expiry_s =
                                      run->bounded && chance(run, 10) ? 5 : SL_MSG_NO_EXPIRY,
                                  .qos = 1,
                                  .mono_ms = run->rig.mono,
                                  .wall_ms = run->rig.wall };
    struct sl_msg *m = sl_msg_new(&parts);
    assert_non_null(m);
    if (!core_put(run->rig.core, sent->lane, m, on_safe, sent)) {
        sent->told = true; /* refused: nothing may come */
        assert_int_equal(run->rig.options.when_full, OUTBOX_REFUSE);
    }
    sl_msg_unref(m);
}

static void take_one(struct run *run)
{
    if (run->in_flight == FLIGHT_MAX)
        return;
    struct outbox_item *item = core_take(run->rig.core);
    if (!item)
        return;
    uint32_t id;
    memcpy(&id, sl_msg_payload(item->msg).ptr, sizeof id);
    assert_true(id > 0 && id <= run->count);
    struct sent *sent = &run->message[id];
    assert_int_equal(sent->lane, item->lane);
    assert_false(sent->purged);
    if (!run->late) {
        assert_true(sent->number == 0 || sent->number == item->number); /* one identity for ever */
        assert_true(id > run->last_taken[item->lane]);                  /* in order */
    }
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
    uint32_t id;
    memcpy(&id, sl_msg_payload(item->msg).ptr, sizeof id);
    run->flight[at] = run->flight[--run->in_flight];
    if (dead) {
        run->message[id].dead = true;
        core_dead(run->rig.core, item, "refused");
    } else {
        run->message[id].delivered = true;
        core_ack(run->rig.core, item);
    }
}

static void purge_done(void *ctx, enum sl_code code, const char *error,
                       const struct outbox_purged *purged)
{
    struct run *run = ctx;
    assert_int_equal(code == SL_OK, error == NULL);
    assert_true(purged->messages <= run->count);
    assert_true(purged->messages + purged->letters <= run->purge_limit);
    for (uint32_t id = 1; id <= run->count; id++) {
        run->message[id].purged |= run->message[id].purging && code == SL_OK && run->purges_all;
        run->message[id].purging = false;
    }
}

/* All that waits in some lanes, but for what is with the sender. */
static void purge(struct run *run)
{
    struct outbox_purge_request request = {
        .lanes = 1 + (unsigned)(next_random(run) % OUTBOX_ALL_LANES),
        .dead = chance(run, 20),
        .limit = chance(run, 30) ? next_random(run) % 100 : UINT64_MAX,
        .done = purge_done,
        .ctx = run
    };
    run->rig.core->purge_rows = 1 + next_random(run) % 50;
    if (core_purge(run->rig.core, &request) != SL_OK)
        return;
    run->purge_limit = request.limit;
    run->purges_all = request.limit == UINT64_MAX;
    if (request.dead)
        return;
    for (uint32_t id = 1; id <= run->count; id++)
        if (request.lanes & 1u << run->message[id].lane)
            run->message[id].purging = true;
    for (size_t i = 0; i < run->in_flight; i++) {
        uint32_t id;
        memcpy(&id, sl_msg_payload(run->flight[i]->msg).ptr, sizeof id);
        run->message[id].purging = false;
    }
}

static void return_all(struct run *run)
{
    core_set_link(run->rig.core, false);
    core_return_all(run->rig.core);
    run->in_flight = 0;
    memset(run->last_taken, 0, sizeof run->last_taken);
}

static void restart(struct run *run)
{
    run->in_flight = 0;
    run->known = false;
    memset(run->last_taken, 0, sizeof run->last_taken);
    rig_crash(&run->rig);
    for (uint32_t id = 1; id <= run->count; id++) {
        run->message[id].told = true; /* nobody is left to be told */
        run->message[id].purging = false;
    }
    if (!run->late)
        run->rig.disk.open_fails = SL_OK;
    rig_open(&run->rig);
    if (!run->late)
        rig_settle(&run->rig);
}

static void change_faults(struct run *run)
{
    struct fake_disk *d = &run->rig.disk;
    static const enum sl_code codes[] = { SL_FULL, SL_IO, SL_BUSY, SL_NOMEM, SL_LIMIT };
    /* The last means that the oldest are dropped. */
    enum sl_code code = codes[next_random(run) % (SL_ARRAY_LEN(codes) - (run->bounded ? 0 : 1))];
    d->commit_fails = chance(run, 15) ? code : SL_OK;
    d->add_fails = chance(run, 15) ? SL_FULL : SL_OK;
    d->read_fails = chance(run, 10) ? SL_IO : SL_OK;
    d->open_fails = chance(run, 10) ? SL_IO : SL_OK;
    d->commit_lands = chance(run, 30);
}

static void burst(struct run *run, void (*one)(struct run *), unsigned most)
{
    for (uint64_t n = next_random(run) % most + 1; n > 0; n--)
        one(run);
}

static void one_step(struct run *run)
{
    switch (next_random(run) % 16) {
    case 0:
    case 1:
    case 2: burst(run, put_one, 20); break;
    case 3:
    case 4: burst(run, take_one, 20); break;
    case 5:
    case 6:
        for (uint64_t n = next_random(run) % 20; n > 0; n--)
            settle_one(run, false);
        break;
    case 7: settle_one(run, true); break;
    case 8: core_set_link(run->rig.core, true); break;
    case 9:
        if (chance(run, 50))
            return_all(run);
        break;
    case 10: rig_tick(&run->rig); break;
    case 11: (void)fake_disk_step(&run->rig.disk); break;
    case 12: rig_settle(&run->rig); break;
    case 13: rig_pass(&run->rig, (int64_t)(next_random(run) % 300)); break;
    case 14:
        rig_pass(&run->rig, (int64_t)(next_random(run) % 3000));
        if (run->faults)
            change_faults(run);
        break;
    default:
        if (chance(run, 20))
            restart(run);
        else if (run->purges && chance(run, 30))
            purge(run);
        break;
    }
}

static void drain(struct run *run)
{
    struct fake_disk *d = &run->rig.disk;
    d->commit_fails = d->add_fails = d->read_fails = d->open_fails = SL_OK;
    return_all(run);
    rig_pass(&run->rig, 10000);
    core_set_link(run->rig.core, true);
    for (int round = 0; round < 1000; round++) {
        burst(run, take_one, 30);
        while (run->in_flight > 0)
            settle_one(run, false);
        rig_pass(&run->rig, 100);
        rig_check(&run->rig);
    }
    rig_pass(&run->rig, 10000);
    core_close(run->rig.core);
    rig_settle(&run->rig);
    assert_true(core_is_closed(run->rig.core));
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
    struct outbox_stats s = rig_stats(&run->rig);
    uint64_t lost = 0, missing = 0, purged = 0;
    for (int i = 0; i < OUTBOX_LANES; i++) {
        assert_int_equal(s.lane[i].waiting, 0);
        assert_int_equal(run->rig.disk.rows[i].count, 0);
        lost += s.lane[i].lost - s.lane[i].loss[OUTBOX_LOST_DEAD].count;
        purged += s.lane[i].loss[OUTBOX_LOST_PURGED].count;
    }
    for (uint32_t id = 1; id <= run->count; id++) {
        const struct sent *sent = &run->message[id];
        assert_true(sent->told);
        missing += sent->safe && !sent->delivered && !sent->dead;
    }
    if (!run->bounded)
        assert_true(missing <= purged);
    assert_true(missing <= lost);
    if (run->late)
        return;
    qsort(&run->message[1], run->count, sizeof run->message[0], by_lane_and_number);
    for (uint32_t i = 2; i <= run->count; i++)
        if (run->message[i].number != 0 && run->message[i].lane == run->message[i - 1].lane)
            assert_int_not_equal(run->message[i].number, run->message[i - 1].number);
}

/* On disk always. In all, from the moment on at which what was on the disk is known: above the
 * bound is only what came before that, and it does not grow. */
static void check_bounds(struct run *run)
{
    const struct core *c = run->rig.core;
    uint64_t max = run->rig.options.max_bytes;
    assert_true(fake_disk_bytes(&run->rig.disk) <= max);
    if (!c->adopted)
        return;
    if (!run->known)
        run->above = c->bytes;
    run->known = true;
    assert_true(c->bytes <= max || c->bytes <= run->above);
    if (c->bytes < run->above)
        run->above = c->bytes;
}

static void one_run(uint64_t seed)
{
    struct run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->random = seed * 0x9e3779b97f4a7c15u + 1;
    (void)next_random(run);
    run->bounded = chance(run, 50);
    run->faults = chance(run, 60);
    run->purges = chance(run, 40);
    run->late = run->faults && chance(run, 30);
    rig_init(&run->rig);
    run->rig.options.read_ahead = 1 + (uint32_t)(next_random(run) % 30);
    if (run->bounded) {
        run->rig.options.max_bytes = 2000 + next_random(run) % 20000;
        run->rig.options.memory_max_bytes = 2000 + next_random(run) % 20000;
        run->rig.options.max_age_ms = 1000 + (int64_t)(next_random(run) % 20000);
        run->rig.options.when_full = (enum outbox_when_full)(next_random(run) % 4);
    }
    rig_open(&run->rig);
    for (int i = 0; i < STEPS; i++) {
        one_step(run);
        rig_check(&run->rig);
        check_bounds(run);
    }
    drain(run);
    check_end(run);
    rig_free(&run->rig);
    free(run);
}

static uint64_t first_seed = 1, seed_count = 300;

static void random_runs(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        print_message("\rseed %llu ", (unsigned long long)seed);
        one_run(seed);
    }
    print_message("\n");
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_runs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
