/* test_estimate.c - the arithmetic of sluice plan. */
#include "estimate.h"

#include "base/macros.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DAY_MS ((int64_t)86400000)

/* A message a second of 100 bytes on a topic of 36, so that a row counts for 200. */
static struct estimate_input standard(void)
{
    return (struct estimate_input){ .sensors = 10,
                                    .interval_ms = 10000,
                                    .payload_bytes = 100,
                                    .topic_bytes = 36,
                                    .keep = 1,
                                    .offline_ms = DAY_MS,
                                    .max_bytes = 200000000,
                                    .max_age_ms = 30 * DAY_MS,
                                    .full_sync = true,
                                    .publishes_per_second = 90,
                                    .bytes_per_second = 512000,
                                    .in_flight = 90,
                                    .batch_max_bytes = 5120,
                                    .batch_max_age_ms = 1000,
                                    .mqtt5 = true,
                                    .round_trip_ms = 50,
                                    .prices = { 1.0, 0.08 },
                                    .endurance_bytes = UINT64_C(1000000000000) };
}

static bool near(double got, double want, double share)
{
    return fabs(got - want) <= fabs(want) * share + 1e-9;
}

#define assert_near(got, want)                                                                     \
    do {                                                                                           \
        if (!near(got, want, 1e-6))                                                                \
            fail_msg("%s is %.9g, not %.9g", #got, (double)(got), (double)(want));                 \
    } while (0)

static const struct store_case {
    const char *name;
    uint64_t sensors;
    int64_t interval_ms;
    double keep;
    int64_t offline_ms;
    uint64_t max_bytes;
    int64_t max_age_ms;
    double lasts_s, backlog, lost;
    enum estimate_bound bound;
} store_cases[] = {
    { "a day's outage fits", 10, 10000, 1, DAY_MS, 200000000, 30 * DAY_MS, 1e6, 86400, 0,
      ESTIMATE_BOUND_MAX_BYTES },
    { "no outage", 10, 10000, 1, 0, 200000000, 30 * DAY_MS, 1e6, 0, 0, ESTIMATE_BOUND_MAX_BYTES },
    { "just full", 10, 10000, 1, 1000000000, 200000000, 30 * DAY_MS, 1e6, 1000000, 0,
      ESTIMATE_BOUND_MAX_BYTES },
    { "one second more", 10, 10000, 1, 1000001000, 200000000, 30 * DAY_MS, 1e6, 1000000, 1,
      ESTIMATE_BOUND_MAX_BYTES },
    { "age bounds before bytes do", 10, 10000, 1, 3 * DAY_MS, 200000000, DAY_MS, 86400, 86400,
      172800, ESTIMATE_BOUND_MAX_AGE },
    { "every tenth is kept", 10, 10000, 0.1, DAY_MS, 200000000, 300 * DAY_MS, 1e7, 8640, 0,
      ESTIMATE_BOUND_MAX_BYTES },
    { "each leads to two", 10, 10000, 2, DAY_MS, 200000000, 30 * DAY_MS, 5e5, 172800, 0,
      ESTIMATE_BOUND_MAX_BYTES },
    { "a store for one message", 1, 1000, 1, 5000, 399, 30 * DAY_MS, 1, 1, 4,
      ESTIMATE_BOUND_MAX_BYTES },
    { "a store for none", 1, 1000, 1, 5000, 199, 30 * DAY_MS, 0, 0, 5, ESTIMATE_BOUND_MAX_BYTES },
};

static void stores(void **state)
{
    const struct store_case *c = *state;
    struct estimate_input in = standard();
    struct estimate_output out;
    in.sensors = c->sensors;
    in.interval_ms = c->interval_ms;
    in.keep = c->keep;
    in.offline_ms = c->offline_ms;
    in.max_bytes = c->max_bytes;
    in.max_age_ms = c->max_age_ms;
    estimate_make(&in, &out);
    assert_int_equal(out.row_bytes, 200);
    assert_near(out.lasts_s, c->lasts_s);
    assert_near(out.backlog, c->backlog);
    assert_near(out.lost, c->lost);
    assert_int_equal(out.bound, c->bound);
}

static const struct drain_case {
    const char *name;
    double publishes;
    uint64_t bytes;
    uint32_t in_flight;
    int64_t round_trip_ms;
    uint64_t sensors; /* each a message in ten seconds */
    double per_second, seconds;
    enum estimate_bound bound;
} drain_cases[] = {
    { "bound by publishes", 90, 0, 90, 50, 10, 90, 86400 / 89.0, ESTIMATE_BOUND_PUBLISHES },
    { "by bytes: 238 a packet", 0, 2380, 90, 50, 10, 10, 86400 / 9.0, ESTIMATE_BOUND_BYTES },
    { "by the window: one a round trip", 0, 0, 1, 100, 10, 10, 86400 / 9.0,
      ESTIMATE_BOUND_IN_FLIGHT },
    { "the least of all counts", 90, 2380, 1, 1000, 5, 1, 43200 / 0.5, ESTIMATE_BOUND_IN_FLIGHT },
    { "as much comes as goes", 1, 0, 90, 50, 10, 1, -1, ESTIMATE_BOUND_PUBLISHES },
    { "more comes than goes", 90, 0, 90, 50, 1000, 90, -1, ESTIMATE_BOUND_PUBLISHES },
};

static void drains(void **state)
{
    const struct drain_case *c = *state;
    struct estimate_input in = standard();
    struct estimate_output out;
    in.publishes_per_second = c->publishes;
    in.bytes_per_second = c->bytes;
    in.in_flight = c->in_flight;
    in.round_trip_ms = c->round_trip_ms;
    in.sensors = c->sensors;
    estimate_make(&in, &out);
    assert_near(out.drain.per_second, c->per_second);
    assert_near(out.drain.seconds, c->seconds);
    assert_int_equal(out.drain.bound, c->bound);
}

static void batches_drain_faster(void **state)
{
    (void)state;
    struct estimate_input in = standard();
    struct estimate_output out;
    estimate_make(&in, &out);
    assert_near(out.drain_batched.batch, 28); /* (5120 - 2 - 36 - 22) / 180 */
    assert_near(out.drain_batched.per_second, 90 * 28);
    assert_int_equal(out.drain_batched.bound, ESTIMATE_BOUND_PUBLISHES);
    in.bytes_per_second = 51800;
    estimate_make(&in, &out);
    assert_near(out.drain_batched.per_second, 51800 / (28 * 180 + 2 + 36 + 22 + 12.0) * 28);
    assert_int_equal(out.drain_batched.bound, ESTIMATE_BOUND_BYTES);
    in.batch_max_bytes = 100; /* below one message: none */
    estimate_make(&in, &out);
    assert_near(out.drain_batched.batch, 1);
    assert_near(out.drain_batched.seconds, out.drain.seconds);
}

static const struct meter_case {
    const char *name;
    uint64_t bytes, want;
} meter_cases[] = {
    { "nothing is one", 0, 1 }, { "one byte", 1, 1 },
    { "5 KiB", 5120, 1 },       { "a byte more is two", 5121, 2 },
    { "10 KiB", 10240, 2 },     { "10 KiB and one", 10241, 3 },
    { "128 KiB", 131072, 26 },  { "no overflow", UINT64_MAX, UINT64_C(3602879701896397) },
};

static void meters(void **state)
{
    const struct meter_case *c = *state;
    assert_int_equal(bridge_metered(c->bytes), c->want);
}

static const struct cost_case {
    const char *name;
    uint64_t payload;
    double interval_s;
    int64_t age_ms;
    double batch, metered_per_packet;
} cost_cases[] = {
    { "small ones, a second apart: no batch in a second", 100, 1, 1000, 1, 1 },
    { "ten a second make one packet", 100, 0.1, 1000, 10, 1 },
    { "a longer wait makes larger ones", 100, 1, 20000, 20, 1 },
    { "but never over max_bytes, and one step", 100, 0.01, 1000, 28, 1 },
    { "the last that fits: 2 x 2530 and 60 beside", 2450, 0.01, 1000, 2, 1 },
    { "a byte more does not", 2451, 0.01, 1000, 1, 1 },
    { "large ones are metered by size", 6000, 1, 1000, 1, 2 },
};

static void costs(void **state)
{
    const struct cost_case *c = *state;
    struct estimate_input in = standard();
    struct estimate_output out;
    in.sensors = 1;
    in.interval_ms = (int64_t)(c->interval_s * 1000);
    in.payload_bytes = c->payload;
    in.batch_max_age_ms = c->age_ms;
    estimate_make(&in, &out);
    double messages = ESTIMATE_MONTH_S / c->interval_s;
    assert_near(out.cost.packets, messages);
    assert_near(out.cost_batched.batch, c->batch);
    assert_near(out.cost_batched.packets, messages / c->batch);
    assert_near(out.cost_batched.metered, messages / c->batch * c->metered_per_packet);
    assert_near(out.cost_batched.messages_usd, out.cost_batched.metered / 1e6);
    assert_near(out.cost.connection_usd, 43829.1 * 0.08 / 1e6);
}

static const struct better_case {
    const char *name;
    uint64_t max_bytes, topic;
    bool mqtt5;
    uint64_t want;
} better_cases[] = {
    { "5 KiB, topic and all", 5120, 36, true, 0 },
    { "without properties, too", 5120, 36, false, 0 },
    { "too little for one element more is no second step", 5120 + 39, 36, true, 0 },
    { "one element more is: 60 and 29 x 180", 5120 + 160, 36, true, 5120 },
    { "a step and a half", 7680, 36, true, 5120 },
    { "small ones are well", 1000, 36, true, 0 },
    { "two steps", 10240, 36, true, 0 },
    { "a little more than two", 10600, 36, true, 10240 },
    { "a topic larger than a step", 5120, 6000, true, 0 },
};

static void better_batches(void **state)
{
    const struct better_case *c = *state;
    struct estimate_input in = standard();
    struct estimate_output out;
    in.batch_max_bytes = c->max_bytes;
    in.topic_bytes = c->topic;
    in.mqtt5 = c->mqtt5;
    estimate_make(&in, &out);
    assert_int_equal(out.batch_bytes_better, c->want);
}

/* What a release build wrote on SQLite 3.40: log and database, storing and leaving, a message. */
static const struct flash_case {
    const char *name;
    uint64_t stored; /* topic of 26 and payload */
    double rows, measured;
} flash_cases[] = {
    { "one a commit, 120 bytes", 146, 1, 9551 },
    { "eight a commit", 146, 8, 1971 },
    { "64 a commit", 146, 64, 650 },
    { "one a commit, 1,000 bytes", 1026, 1, 17971 },
    { "64 a commit, 1,000 bytes", 1026, 64, 3525 },
    { "32 a commit, 8,000 bytes", 8026, 32, 17230 },
};

static void flash_as_measured(void **state)
{
    const struct flash_case *c = *state;
    double got = estimate_flash_bytes(c->stored, c->rows);
    if (!near(got, c->measured, 0.30))
        fail_msg("%.0f bytes, measured %.0f", got, c->measured);
}

static void flash_of_an_outage(void **state)
{
    (void)state;
    struct estimate_input in = standard();
    struct estimate_output out;
    estimate_make(&in, &out);
    assert_near(out.rows_per_commit, 1);
    assert_near(out.outage_bytes, 86400 * out.bytes_per_message);
    assert_near(out.outages, 1e12 / out.outage_bytes);
    in.sensors = 100000; /* 10,000 a second: a hundred while a commit is synced */
    estimate_make(&in, &out);
    assert_near(out.rows_per_commit, 100);
    in.offline_ms = 0;
    estimate_make(&in, &out);
    assert_true(out.outages < 0);
}

#define TABLE(cases, run)                                                                          \
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)                                               \
        tests[count++] = (struct CMUnitTest)                                                       \
        {                                                                                          \
            .name = cases[i].name, .test_func = run, .initial_state = (void *)(uintptr_t)&cases[i] \
        }

int main(void)
{
    struct CMUnitTest tests[64] = { cmocka_unit_test(batches_drain_faster),
                                    cmocka_unit_test(flash_of_an_outage) };
    size_t count = 2;
    TABLE(store_cases, stores);
    TABLE(drain_cases, drains);
    TABLE(meter_cases, meters);
    TABLE(cost_cases, costs);
    TABLE(better_cases, better_batches);
    TABLE(flash_cases, flash_as_measured);
    return _cmocka_run_group_tests("estimate", tests, count, NULL, NULL);
}
