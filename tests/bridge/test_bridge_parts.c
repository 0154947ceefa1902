/* test_bridge_parts.c - the bridge's small parts: back-off, pacer, topic map, flights, texts. */
#include "backoff.h"
#include "explain.h"
#include "flights.h"
#include "pace.h"
#include "pacer.h"
#include "topicmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- back-off ---- */

/* xorshift: the same numbers in every run. */
static uint64_t seeded(void *ctx, uint64_t bound)
{
    uint64_t *x = ctx;
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x % bound;
}

static void backoff_is_full_jitter(void **state)
{
    (void)state;
    enum { ROUNDS = 2000, STEPS = 10 };
    uint64_t seed = 42;
    double sum[STEPS] = { 0 };
    int64_t least[STEPS], most[STEPS] = { 0 };
    for (int s = 0; s < STEPS; s++)
        least[s] = INT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        struct backoff b;
        backoff_init(&b, 2000, 120000, seeded, &seed);
        for (int s = 0; s < STEPS; s++) {
            int64_t wait = backoff_next_ms(&b, 0, 0, INT64_MAX);
            sum[s] += (double)wait;
            least[s] = wait < least[s] ? wait : least[s];
            most[s] = wait > most[s] ? wait : most[s];
        }
    }
    int64_t window = 2000;
    for (int s = 0; s < STEPS; s++) {
        assert_true(most[s] <= window);
        assert_true(most[s] > window * 98 / 100);
        assert_true(least[s] < window * 2 / 100);
        double mean = sum[s] / (double)ROUNDS;
        assert_true(mean > (double)window * 0.46 && mean < (double)window * 0.54);
        window = window * 2 < 120000 ? window * 2 : 120000;
    }
}

static void backoff_keeps_a_second_between_attempts(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct backoff b;
    backoff_init(&b, 1, 1, seeded, &seed);
    int64_t now = 5000;
    for (int i = 0; i < 100; i++) {
        backoff_attempt(&b, now);
        int64_t failed = now + i * 20;
        int64_t next = failed + backoff_next_ms(&b, failed, 0, INT64_MAX);
        assert_true(next - now >= BACKOFF_ATTEMPT_MS);
        now = next;
    }
}

static void backoff_resets_only_after_a_stable_connection(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct backoff b;
    backoff_init(&b, 1000, 120000, seeded, &seed);
    for (int i = 0; i < 5; i++)
        (void)backoff_next_ms(&b, 0, 0, INT64_MAX);
    assert_int_equal(b.window_ms, 32000);
    backoff_was_up(&b, BACKOFF_STABLE_MS - 1);
    assert_int_equal(b.window_ms, 32000);
    backoff_was_up(&b, BACKOFF_STABLE_MS);
    assert_int_equal(b.window_ms, 1000);
}

static void backoff_first_wait_is_small(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct backoff b;
    backoff_init(&b, 300, 120000, seeded, &seed);
    for (int i = 0; i < 1000; i++) {
        int64_t wait = backoff_first_ms(&b);
        assert_true(wait >= 0 && wait <= 300);
    }
    assert_int_equal(b.window_ms, 300);
}

static void backoff_takes_odd_settings(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct backoff b;
    backoff_init(&b, -5, INT64_MIN, seeded, &seed);
    assert_int_equal(b.max_ms, 1);
    backoff_init(&b, INT64_MAX, INT64_MAX, seeded, &seed);
    for (int i = 0; i < 100; i++)
        assert_true(backoff_next_ms(&b, 0, 0, INT64_MAX) <= BACKOFF_WINDOW_MAX);
}

/* ---- pacer ---- */

/* Sends whenever it may, millisecond by millisecond; the most in any window of a second. */
static unsigned busiest_second(double rate, uint64_t bytes_rate, size_t size, unsigned *ret_total)
{
    enum { MS = 10000 };
    static unsigned char sent[MS];
    memset(sent, 0, sizeof sent);
    struct pacer p;
    pacer_init(&p, rate, bytes_rate, 0);
    *ret_total = 0;
    for (int ms = 0; ms < MS; ms++) {
        while (pacer_ready_at(&p, ms) <= ms && sent[ms] < 200) {
            pacer_spend(&p, size, ms);
            sent[ms]++;
            ++*ret_total;
        }
    }
    unsigned busiest = 0, inside = 0;
    for (int ms = 0; ms < MS; ms++) {
        inside += sent[ms];
        if (ms >= 1000)
            inside -= sent[ms - 1000];
        busiest = inside > busiest ? inside : busiest;
    }
    return busiest;
}

static void pacer_keeps_the_rate(void **state)
{
    (void)state;
    unsigned total;
    unsigned busiest = busiest_second(90, 0, 100, &total);
    assert_true(busiest <= 99);
    assert_true(total >= 890 && total <= 910);
}

static void pacer_keeps_the_bytes(void **state)
{
    (void)state;
    unsigned total;
    unsigned busiest = busiest_second(0, 100000, 2000, &total);
    assert_true(busiest <= 56);
    assert_true(total >= 490 && total <= 510);
}

static void pacer_pays_for_what_is_larger_than_the_bucket(void **state)
{
    (void)state;
    struct pacer p;
    pacer_init(&p, 0, 1000, 0);
    assert_int_equal(pacer_ready_at(&p, 0), 0);
    pacer_spend(&p, 5000, 0);
    assert_true(pacer_ready_at(&p, 0) >= 4900);
    assert_true(pacer_ready_at(&p, 0) <= 5001);
    assert_true(pacer_ready_at(&p, 2000) > 2000);
    assert_int_equal(pacer_ready_at(&p, 6000), 6000);
}

static void pacer_without_limits(void **state)
{
    (void)state;
    struct pacer p;
    pacer_init(&p, 0, 0, 0);
    for (int i = 0; i < 1000; i++)
        pacer_spend(&p, 1000000, 0);
    assert_int_equal(pacer_ready_at(&p, 0), 0);
}

static void pacer_clock_that_stands_or_goes_back(void **state)
{
    (void)state;
    struct pacer p;
    pacer_init(&p, 10, 0, 1000);
    pacer_spend(&p, 1, 1000);
    assert_int_equal(pacer_ready_at(&p, 900), 1000);
    assert_int_equal(pacer_ready_at(&p, 1100), 1100);
}

/* ---- topic map ---- */

static const struct map_case {
    const char *name, *cloud, *local, *topic, *want; /* want NULL: does not fit */
} map_cases[] = {
    { "no wildcards", "a/b", "c", "a/b", "c" },
    { "another topic", "a/b", "c", "a/c", NULL },
    { "hash", "cmd/gw/#", "cmd/#", "cmd/gw/led/set", "cmd/led/set" },
    { "hash takes nothing: the parent", "cmd/gw/#", "cmd/#", "cmd/gw", "cmd" },
    { "hash takes an empty level", "cmd/gw/#", "cmd/#", "cmd/gw/", "cmd/" },
    { "hash alone", "#", "down/#", "x/y", "down/x/y" },
    { "hash to hash", "a/#", "#", "a/x/y", "x/y" },
    { "hash to hash with nothing left", "a/#", "#", "a", NULL },
    { "hash dropped", "a/#", "b", "a/x/y", "b" },
    { "plus", "a/+/b", "c/+", "a/x/b", "c/x" },
    { "plus takes an empty level", "a/+/b", "c/+/d", "a//b", "c//d" },
    { "two, in order", "+/a/+", "x/+/y/+", "1/a/2", "x/1/y/2" },
    { "one of two", "+/a/+", "x/+", "1/a/2", "x/1" },
    { "plus and hash", "gw/+/set/#", "set/+/#", "gw/led/set/a/b", "set/led/a/b" },
    { "plus does not span", "a/+", "b/+", "a/x/y", NULL },
    { "reserved topics need their own filter", "#", "x/#", "$aws/things", NULL },
    { "reserved", "$aws/things/+/jobs/#", "jobs/+/#", "$aws/things/t/jobs/notify",
      "jobs/t/notify" },
    { "shared subscription", "$share/g/a/+", "b/+", "a/x", "b/x" },
};

static void map_applies(void **state)
{
    const struct map_case *c = *state;
    struct topicmap m = { 0 };
    struct sl_buf topic = { 0 };
    assert_int_equal(topicmap_add(&m, "never/matches", "x", 0, NULL), SL_OK);
    assert_int_equal(topicmap_add(&m, c->cloud, c->local, 1, NULL), SL_OK);
    bool fits = topicmap_apply(&m, sl_str(c->topic), &topic);
    assert_int_equal(fits, c->want != NULL);
    if (c->want)
        assert_string_equal(sl_buf_cstr(&topic), c->want);
    sl_buf_free(&topic);
    topicmap_free(&m);
}

static const struct bad_map {
    const char *name, *cloud, *local;
} bad_maps[] = {
    { "no cloud filter", "", "a" },
    { "no local topic", "a", "" },
    { "hash in the middle", "a/#/b", "c" },
    { "plus beside text", "a/b+", "c" },
    { "local hash without one to fill it", "a/+", "b/#" },
    { "local plus without one to fill it", "a/#", "b/+" },
    { "two for one", "a/+", "b/+/+" },
    { "share without a filter", "$share/g", "b" },
    { "more wildcards than there is room for",
      "+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+", "b" },
};

static void map_refuses(void **state)
{
    const struct bad_map *c = *state;
    struct topicmap m = { 0 };
    struct sl_err err = { 0 };
    assert_int_equal(topicmap_add(&m, c->cloud, c->local, 1, &err), SL_INVALID);
    assert_true(strlen(err.text) > 0);
    assert_int_equal(m.count, 0);
    topicmap_free(&m);
}

static void map_takes_the_first_that_fits(void **state)
{
    (void)state;
    struct topicmap m = { 0 };
    struct sl_buf topic = { 0 };
    assert_int_equal(topicmap_add(&m, "a/b", "first", 0, NULL), SL_OK);
    assert_int_equal(topicmap_add(&m, "a/+", "second/+", 2, NULL), SL_OK);
    assert_int_equal(m.pairs[1].qos, 1);
    assert_true(topicmap_apply(&m, sl_str("a/b"), &topic));
    assert_string_equal(sl_buf_cstr(&topic), "first");
    sl_buf_free(&topic);
    topicmap_free(&m);
}

/* ---- flights ---- */

/* Every identifier is in use at most once, through wrap-around, loss and return. */
static uint64_t all_of(void *ctx, uint64_t bound)
{
    (void)ctx;
    return bound - 1;
}

static uint64_t none_of(void *ctx, uint64_t bound)
{
    (void)ctx;
    (void)bound;
    return 0;
}

static void causes_have_their_own_waits(void **state)
{
    static const struct {
        const char *cause;
        unsigned failures; /* before */
        int64_t min_ms, max_ms, least, most;
    } rows[] = {
        { "closed", 0, 1000, 120000, 0, 1000 },
        { "closed", 20, 1000, 120000, 0, 120000 },
        { "tcp", 3, 1000, 120000, 0, 8000 },
        { "dns", 0, 1000, 120000, 0, 1000 },
        { "dns", 20, 1000, 120000, 0, 15000 },
        { "clock", 20, 1000, 120000, 0, 15000 },
        { "certificate", 20, 1000, 120000, 0, 30000 },
        { "tls", 0, 1000, 120000, 5000, 10000 },
        { "tls", 20, 1000, 120000, 5000, 120000 },
        { "connack-refused", 0, 1000, 120000, 5000, 10000 },
        { "connack-closed", 0, 1000, 120000, 5000, 10000 },
        { "session-taken-over", 0, 1000, 120000, 30000, 60000 },
        { "kicked", 20, 1000, 120000, 30000, 120000 },
        { "kicked", 0, 10, 20, 10, 20 }, /* the configuration's maximum stands above it */
        { "dns", 20, 60000, 60000, 0, 15000 },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct pace pace = pace_of(rows[i].cause);
        struct backoff low, high;
        backoff_init(&low, rows[i].min_ms, rows[i].max_ms, none_of, NULL);
        backoff_init(&high, rows[i].min_ms, rows[i].max_ms, all_of, NULL);
        for (unsigned n = 0; n < rows[i].failures; n++) {
            (void)backoff_next_ms(&low, 0, 0, INT64_MAX);
            (void)backoff_next_ms(&high, 0, 0, INT64_MAX);
        }
        int64_t least = backoff_next_ms(&low, 0, pace.floor_ms, pace.cap_ms);
        int64_t most = backoff_next_ms(&high, 0, pace.floor_ms, pace.cap_ms);
        if (least != rows[i].least || most != rows[i].most)
            fail_msg("%s after %u: %lld to %lld", rows[i].cause, rows[i].failures, (long long)least,
                     (long long)most);
    }
    assert_true(pace_of("kicked").unstable && pace_of("session-taken-over").unstable);
    assert_false(pace_of("closed").unstable);
}

static void flights_never_mix_identifiers(void **state)
{
    (void)state;
    enum { WINDOW = 5, ROUNDS = 100000 };
    struct flights f;
    struct outbox_item items[WINDOW];
    struct flight *flying[WINDOW] = { 0 };
    uint64_t seed = 99, number = 0;
    assert_true(flights_init(&f, WINDOW));
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = (size_t)seeded(&seed, WINDOW);
        if (flying[i] && seeded(&seed, 50) == 0) {
            flights_remember(&f);
            memset(flying, 0, sizeof flying);
        } else if (flying[i]) {
            assert_ptr_equal(flights_find(&f, flying[i]->packet_id), flying[i]);
            flights_drop(&f, flying[i]);
            flying[i] = NULL;
        } else {
            items[i] = (struct outbox_item){ .lane = OUTBOX_NORMAL, .number = ++number };
            flying[i] = flights_add(&f, &items[i], round);
            assert_int_not_equal(flying[i]->packet_id, 0);
            assert_true(flying[i]->packet_id <= FLIGHTS_ID_MAX);
            for (size_t j = 0; j < WINDOW; j++)
                assert_true(j == i || !flying[j] || flying[j]->packet_id != flying[i]->packet_id);
        }
    }
    flights_free(&f);
}

static void flights_remember_is_bounded(void **state)
{
    (void)state;
    struct flights f;
    struct outbox_item item = { .lane = OUTBOX_ALERT };
    assert_true(flights_init(&f, 4));
    /* Numbers that never come back: the oldest memories give way. */
    for (uint64_t n = 1000; n > 0; n--) {
        item.number = n;
        struct flight *fl = flights_add(&f, &item, 0);
        assert_non_null(fl);
        flights_remember(&f);
        assert_true(f.remembered <= f.mask + 1);
    }
    flights_forget(&f);
    assert_int_equal(f.remembered, 0);
    flights_free(&f);
}

static void flights_keep_the_order_of_sending(void **state)
{
    (void)state;
    struct flights f;
    struct outbox_item items[3] = { { .number = 1 }, { .number = 2 }, { .number = 3 } };
    struct flight *fl[3];
    assert_true(flights_init(&f, 4));
    for (int i = 0; i < 3; i++)
        fl[i] = flights_add(&f, &items[i], i);
    assert_ptr_equal(f.oldest, fl[0]);
    flights_again(&f, fl[0], 10);
    assert_ptr_equal(f.oldest, fl[1]);
    assert_ptr_equal(f.newest, fl[0]);
    assert_int_equal(f.late, 1);
    assert_true(fl[0]->dup);
    flights_refuse(&f, fl[0], 50);
    assert_int_equal(f.late, 0);
    assert_int_equal(flights_count(&f), 3);
    flights_refuse(&f, fl[1], 40);
    assert_ptr_equal(flights_next_retry(&f), fl[0]); /* the order of numbers, not of times */
    assert_true(flights_hold(&f));
    flights_again(&f, fl[1], 60);
    assert_false(fl[1]->dup);
    assert_ptr_equal(f.oldest, fl[2]);
    flights_remember(&f);
    assert_int_equal(flights_count(&f), 0);
    assert_int_equal(f.remembered, 2);
    flights_free(&f);
}

/* ---- texts ---- */

static void texts_tell_what_to_do(void **state)
{
    (void)state;
    struct explain_peer aws = { .host = "h", .client_id = "barn-01", .port = 8883, .aws = true };
    struct explanation e;
    explain_end(&e, &aws, BRIDGE_CONNACK, LINK_END_CLOSED, "end of file");
    assert_string_equal(e.cause, "connack-closed");
    assert_non_null(strstr(e.error, "right after CONNECT"));
    assert_non_null(strstr(e.error, "iot:Connect for client id \"barn-01\""));
    explain_end(&e, &aws, BRIDGE_ONLINE, LINK_END_LOST, "connection reset by peer");
    assert_string_equal(e.cause, "closed");
    explain_end(&e, &aws, BRIDGE_RESOLVING, LINK_END_DNS, "unknown node");
    assert_string_equal(e.cause, "dns");
    struct client_fault fault = { .kind = CLIENT_FAULT_REFUSED, .reason = 0x87, .text = "refused" };
    explain_fault(&e, &aws, &fault);
    assert_non_null(strstr(e.error, "iot:Connect"));
    fault = (struct client_fault){ .kind = CLIENT_FAULT_DISCONNECTED, .reason = 0x8e };
    explain_fault(&e, &aws, &fault);
    assert_string_equal(e.cause, "session-taken-over");
    explain_kicks(&e, &aws, 3);
    assert_string_equal(e.cause, "kicked");
    assert_non_null(strstr(e.error, "no second gateway uses client id \"barn-01\""));
    explain_clock(&e, 5000);
    assert_string_equal(e.cause, "clock");
    assert_non_null(strstr(e.error, "clock is not set"));
    explain_timeout(&e, &aws, BRIDGE_HANDSHAKING);
    assert_non_null(strstr(e.error, "TLS port"));
}

int main(void)
{
    enum {
        MAPS = sizeof map_cases / sizeof map_cases[0],
        BAD = sizeof bad_maps / sizeof *bad_maps
    };
    static const struct CMUnitTest fixed[] = {
        cmocka_unit_test(backoff_is_full_jitter),
        cmocka_unit_test(backoff_keeps_a_second_between_attempts),
        cmocka_unit_test(backoff_resets_only_after_a_stable_connection),
        cmocka_unit_test(backoff_first_wait_is_small),
        cmocka_unit_test(backoff_takes_odd_settings),
        cmocka_unit_test(pacer_keeps_the_rate),
        cmocka_unit_test(pacer_keeps_the_bytes),
        cmocka_unit_test(pacer_pays_for_what_is_larger_than_the_bucket),
        cmocka_unit_test(pacer_without_limits),
        cmocka_unit_test(pacer_clock_that_stands_or_goes_back),
        cmocka_unit_test(map_takes_the_first_that_fits),
        cmocka_unit_test(causes_have_their_own_waits),
        cmocka_unit_test(flights_never_mix_identifiers),
        cmocka_unit_test(flights_remember_is_bounded),
        cmocka_unit_test(flights_keep_the_order_of_sending),
        cmocka_unit_test(texts_tell_what_to_do),
    };
    enum { FIXED = sizeof fixed / sizeof fixed[0] };
    static struct CMUnitTest tests[FIXED + MAPS + BAD];
    size_t n = 0;
    for (size_t i = 0; i < FIXED; i++)
        tests[n++] = fixed[i];
    for (size_t i = 0; i < MAPS; i++)
        tests[n++] = (struct CMUnitTest){ .name = map_cases[i].name,
                                          .test_func = map_applies,
                                          .initial_state = (void *)(uintptr_t)&map_cases[i] };
    for (size_t i = 0; i < BAD; i++)
        tests[n++] = (struct CMUnitTest){ .name = bad_maps[i].name,
                                          .test_func = map_refuses,
                                          .initial_state = (void *)(uintptr_t)&bad_maps[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
