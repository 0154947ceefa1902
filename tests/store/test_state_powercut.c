/* test_state_powercut.c - the state's database, while the power fails again and again.
 *
 * Usage: test_store_state_powercut [sealed] [FIRST_SEED [COUNT]]. Each commit changes rows at
 * random and one row that holds the commit's number. At a random change of a file the power fails,
 * and what was not synced is gone in part, out of order and torn. After every start the content is
 * exactly that of one commit, no older than the last that was said to be safe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "powercut.h"
#include "state_batch.h"
#include "state_db.h"
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEYS = 150, VERSIONS = 256, LIVES = 8, COMMITS = 60, VALUE_MAX = 60000 };

struct version {
    uint32_t value[KEYS]; /* 0: away */
};

struct run {
    struct powercut *power;
    char folder[64], path[80];
    struct state_db *db;
    uint64_t id;
    struct state_batch *batch;
    uint64_t random;
    bool sealed;           /* it is, by now: it was begun without a key */
    uint32_t number, safe; /* the newest commit that was tried; the newest that succeeded */
    uint32_t next_value;
    struct version version[VERSIONS]; /* by number */
    struct version seen;
    uint32_t seen_number;
    unsigned faults_per_mille;
};

static const uint8_t *seal_key;               /* NULL: without */
static enum state_kind rows = STATE_DELIVERY; /* the kind that rows are of */

static struct powercut_counts totals;
static uint64_t merges, failures, seals, seals_failed;

static uint32_t rnd(struct run *run, uint32_t below)
{
    return (uint32_t)(testing_random(&run->random) >> 20) % below;
}

static struct version *version_at(struct run *run, uint32_t number)
{
    return &run->version[number % VERSIONS];
}

/* ---- rows ---- */

static void key_of(uint32_t i, char key[8])
{
    (void)snprintf(key, 8, "k%03u", i);
}

/* Mostly small, some large: the log has to go into the tables now and then. */
static size_t value_of(uint32_t v, uint8_t value[VALUE_MAX])
{
    size_t len = v % 5 == 0 ? v * 7919 % VALUE_MAX : 4 + v % 100;
    len = len < 4 ? 4 : len;
    memset(value, (int)(v % 251), len);
    memcpy(value, &v, sizeof v);
    return len;
}

static void add_put(struct run *run, uint32_t i, uint32_t v)
{
    static uint8_t value[VALUE_MAX];
    char key[8];
    key_of(i, key);
    size_t len = value_of(v, value);
    assert_true(state_batch_put(run->batch, rows, sl_str(key), sl_bytes(value, len), sl_str(""),
                                UINT64_MAX));
}

static void see(void *ctx, struct sl_slice key, struct sl_slice value)
{
    static uint8_t want[VALUE_MAX];
    struct run *run = ctx;
    uint32_t v, i;
    assert_true(value.len >= sizeof v && key.len == 4);
    memcpy(&v, value.ptr, sizeof v);
    if (key.ptr[0] == 'n') {
        run->seen_number = v;
        return;
    }
    i = (uint32_t)(key.ptr[1] - '0') * 100 + (uint32_t)(key.ptr[2] - '0') * 10 +
        (uint32_t)(key.ptr[3] - '0');
    assert_true(i < KEYS);
    run->seen.value[i] = v;
    assert_int_equal(value.len, value_of(v, want));
    assert_memory_equal(value.ptr, want, value.len);
}

static void bad_row(void *ctx, enum state_kind kind, struct sl_slice key)
{
    (void)ctx;
    fail_msg("a bad row of kind %d: %.*s", (int)kind, SL_FMT(key));
}

/* ---- commits ---- */

static void add_changes(struct run *run, struct version *v)
{
    for (uint32_t n = rnd(run, 30); n > 0; n--) {
        uint32_t i = rnd(run, KEYS), end = i + rnd(run, 20);
        char key[8], to[8];
        key_of(i, key);
        key_of(end, to);
        switch (rnd(run, 6)) {
        case 0:
            assert_true(
                state_batch_remove_range(run->batch, rows, sl_str(key), sl_str(to), UINT64_MAX));
            for (; i < end && i < KEYS; i++)
                v->value[i] = 0;
            break;
        case 1:
            assert_true(state_batch_remove(run->batch, rows, sl_str(key), UINT64_MAX));
            v->value[i] = 0;
            break;
        default:
            v->value[i] = ++run->next_value;
            add_put(run, i, v->value[i]);
            break;
        }
    }
}

static bool commit(struct run *run, bool anew)
{
    struct state_ops ops = { 0 };
    struct state_db_stats before, after;
    struct sl_err err;
    uint32_t number = run->number;
    assert_true(state_batch_put(run->batch, STATE_META, sl_str("numb"),
                                sl_bytes(&number, sizeof number), sl_str(""), UINT64_MAX));
    assert_true(state_batch_list(run->batch, &ops));
    state_db_get_stats(run->db, &before);
    bool ok = state_db_commit(run->db, &ops, anew, &err) == SL_OK;
    state_db_get_stats(run->db, &after);
    merges += ok && after.log_bytes < before.log_bytes;
    failures += !ok;
    state_ops_free(&ops);
    state_batch_reset(run->batch);
    if (ok)
        run->safe = number;
    return ok;
}

static bool commit_next(struct run *run)
{
    assert_true(run->number + 1 - run->safe < VERSIONS);
    struct version next = *version_at(run, run->number);
    run->number++;
    add_changes(run, &next);
    *version_at(run, run->number) = next;
    return commit(run, false);
}

static bool open_db(struct run *run, uint64_t only)
{
    struct state_db_open open = { .wall_ms = 1800000000000,
                                  .only = only,
                                  .seal_key = run->sealed ? seal_key : NULL };
    struct sl_err err;
    state_db_close(run->db);
    run->db = NULL;
    if (state_db_open(&run->db, run->path, OUTBOX_SYNC_FULL, &open, &err) != SL_OK) {
        run->db = NULL;
        return false;
    }
    if (open.moved)
        fail_msg("set aside: %s", open.moved_why);
    run->id = open.id;
    return true;
}

/* As after a failure: everything once more, in one commit. */
static bool resync(struct run *run)
{
    if (!open_db(run, run->id))
        return false;
    struct version now = *version_at(run, run->number);
    assert_true(run->number + 1 - run->safe < VERSIONS);
    run->number++;
    for (uint32_t i = 0; i < KEYS; i++)
        if (now.value[i] != 0)
            add_put(run, i, now.value[i]);
    *version_at(run, run->number) = now;
    return commit(run, true);
}

/* ---- lives and deaths ---- */

static void check_content(struct run *run)
{
    struct state_db_damage damage = { .bad_row = bad_row, .ctx = run };
    struct sl_err err;
    run->seen = (struct version){ 0 };
    run->seen_number = 0;
    for (int kind = 0; kind < STATE_KINDS; kind++)
        assert_int_equal(state_db_load(run->db, (enum state_kind)kind, see, run, &damage, &err),
                         SL_OK);
    struct state_db_stats s;
    state_db_get_stats(run->db, &s);
    assert_int_equal(s.bad_log_rows, 0);
    assert_in_range(run->seen_number, run->safe, run->number);
    assert_memory_equal(&run->seen, version_at(run, run->seen_number), sizeof run->seen);
    run->number = run->safe = run->seen_number;
}

/* The key comes, and the power fails meanwhile, or the disk gives nothing: all of it is there, in
 * the clear still or sealed. */
static void seal_it(struct run *run)
{
    bool done = false;
    uint64_t lost = 0;
    struct sl_err err;
    powercut_arm(run->power, 1 + rnd(run, 1500));
    powercut_faults(run->power, run->faults_per_mille);
    enum sl_code code = state_db_seal(run->path, seal_key, &done, &lost, &err);
    assert_true(code != SL_OK || lost == 0);
    powercut_arm(run->power, 1);
    powercut_restore(run->power);
    powercut_faults(run->power, 0);
    run->sealed = state_db_check_key(run->path, NULL, &err) == SL_INVALID;
    assert_true(run->sealed || !(code == SL_OK && done));
    seals += run->sealed;
    seals_failed += !run->sealed;
}

static void live(struct run *run)
{
    if (seal_key && !run->sealed && run->safe > 0)
        seal_it(run);
    assert_true(open_db(run, STATE_DB_ANY));
    check_content(run);
    powercut_arm(run->power, 1 + rnd(run, 500));
    powercut_faults(run->power, run->faults_per_mille);
    bool works = true;
    for (int i = 0; i < COMMITS && !powercut_happened(run->power); i++) {
        works = works ? commit_next(run) : resync(run);
        if (run->db && rnd(run, 4) == 0)
            state_db_upkeep(run->db);
    }
    powercut_arm(run->power, 1); /* closing would tidy up: not with the power gone */
    state_db_close(run->db);
    run->db = NULL;
    powercut_restore(run->power);
    powercut_faults(run->power, 0);
}

static void one_run(uint64_t seed)
{
    struct run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->batch = state_batch_new();
    assert_non_null(run->batch);
    (void)snprintf(run->folder, sizeof run->folder, "/tmp/test-state-cut-XXXXXX");
    assert_non_null(mkdtemp(run->folder));
    (void)snprintf(run->path, sizeof run->path, "%s/state.db", run->folder);
    run->random = seed * 0x9e3779b97f4a7c15u + 1;
    run->power = powercut_new(seed);
    if (rnd(run, 3) == 0)
        run->faults_per_mille = 1 + rnd(run, 30);
    for (int i = 0; i < LIVES; i++)
        live(run);
    assert_true(open_db(run, STATE_DB_ANY));
    check_content(run);
    state_db_close(run->db);
    struct powercut_counts c = powercut_counts(run->power);
    totals.cuts += c.cuts;
    totals.changes += c.changes;
    totals.pieces += c.pieces;
    totals.lost += c.lost;
    totals.faults += c.faults;
    powercut_free(run->power);
    state_batch_free(run->batch);
    assert_true(testing_remove_folder(run->folder));
    free(run);
}

static uint64_t first_seed = 1, seed_count = 40;

static void power_fails(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        print_message("\rseed %llu ", (unsigned long long)seed);
        one_run(seed);
    }
    print_message("\n%llu cuts, %llu changes, %llu errors, %llu failed commits, %llu merges;"
                  " of %llu unsynced pieces %llu were lost\n",
                  (unsigned long long)totals.cuts, (unsigned long long)totals.changes,
                  (unsigned long long)totals.faults, (unsigned long long)failures,
                  (unsigned long long)merges, (unsigned long long)totals.pieces,
                  (unsigned long long)totals.lost);
    assert_true(totals.lost > 0 && totals.lost < totals.pieces); /* else nothing was tried */
    assert_true(merges > seed_count / 2);
    if (!seal_key)
        return;
    print_message("%llu were sealed, %llu times it failed\n", (unsigned long long)seals,
                  (unsigned long long)seals_failed);
    assert_true(seals > seed_count / 2 && seals_failed > 0);
}

int main(int argc, char **argv)
{
    static const uint8_t key[32] = "a key for what the power cuts";
    if (argc > 1 && strcmp(argv[1], "sealed") == 0) { /* and rows whose keys are, too */
        seal_key = key;
        rows = STATE_RETAINED;
        argc--;
        argv++;
    }
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(power_fails) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
