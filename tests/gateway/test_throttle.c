/* test_throttle.c - failed logins by address: how long the next one waits, what is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "throttle.h"

#include <stdio.h>

static int64_t wait_of(struct throttle *t, const char *address, int64_t now)
{
    return throttle_wait_ms(throttle_host(t, sl_str(address), now), now);
}

static void fail_at(struct throttle *t, const char *address, int64_t now)
{
    throttle_failed(t, throttle_host(t, sl_str(address), now), now);
}

static void waits_double_up_to_a_bound(void **state)
{
    (void)state;
    static const int64_t waits[] = { 250, 500, 1000, 2000, 4000, 8000, 8000, 8000 };
    struct throttle t = { 0 };
    int64_t now = 1000000;
    assert_int_equal(wait_of(&t, "192.0.2.1:1", now), 0);
    for (size_t i = 0; i < SL_ARRAY_LEN(waits); i++) {
        fail_at(&t, "192.0.2.1:1", now += 10);
        assert_int_equal(wait_of(&t, "192.0.2.1:9", now), waits[i]);
        assert_int_equal(wait_of(&t, "192.0.2.2:1", now), 0);
    }
    assert_int_equal(t.failed, SL_ARRAY_LEN(waits));
    throttle_free(&t);
}

static void success_forgets(void **state)
{
    (void)state;
    struct throttle t = { 0 };
    for (int i = 0; i < 5; i++)
        fail_at(&t, "[2001:db8::1]:1", 1000000);
    assert_int_equal(wait_of(&t, "[2001:db8::2]:1", 1000000), 4000); /* the same /64 */
    throttle_succeeded(throttle_host(&t, sl_str("[2001:db8::3]:1"), 1000000));
    assert_int_equal(wait_of(&t, "[2001:db8::1]:1", 1000000), 0);
    fail_at(&t, "[2001:db8::1]:1", 1000000);
    assert_int_equal(wait_of(&t, "[2001:db8::1]:1", 1000000), THROTTLE_FIRST_MS);
    throttle_free(&t);
}

static void time_forgets(void **state)
{
    (void)state;
    struct throttle t = { 0 };
    int64_t now = 1000000;
    for (int i = 0; i < 5; i++)
        fail_at(&t, "192.0.2.1:1", now);
    assert_int_equal(wait_of(&t, "192.0.2.1:1", now + THROTTLE_FORGET_MS - 1), 4000);
    assert_int_equal(wait_of(&t, "192.0.2.1:1", now + THROTTLE_FORGET_MS), 0);
    fail_at(&t, "192.0.2.1:1", now + THROTTLE_FORGET_MS); /* begins again */
    assert_int_equal(wait_of(&t, "192.0.2.1:1", now + THROTTLE_FORGET_MS), THROTTLE_FIRST_MS);
    throttle_free(&t);
}

static void unix_sockets_are_one(void **state)
{
    (void)state;
    struct throttle t = { 0 };
    fail_at(&t, "unix", 1000000);
    assert_int_equal(wait_of(&t, "unix", 1000000), THROTTLE_FIRST_MS);
    assert_int_equal(wait_of(&t, "192.0.2.1:1", 1000000), 0);
    throttle_free(&t);
}

static void address_text(char *buf, size_t size, unsigned i)
{
    (void)snprintf(buf, size, "10.%u.%u.1:1", i / 256, i % 256);
}

/* The oldest makes room, those with logins on their way do not, and then all others are one. */
static void the_table_is_bounded(void **state)
{
    (void)state;
    struct throttle t = { 0 };
    char text[32];
    int64_t now = 1000000;
    for (unsigned i = 0; i < THROTTLE_HOSTS_MAX; i++) {
        address_text(text, sizeof text, i);
        fail_at(&t, text, now + i);
    }
    now += THROTTLE_HOSTS_MAX;
    throttle_host(&t, sl_str("10.0.0.1:1"), now)->waiting = 1; /* the oldest, but wanted */
    fail_at(&t, "192.0.2.1:1", now);
    assert_int_equal(t.hosts.count, THROTTLE_HOSTS_MAX);
    assert_int_equal(wait_of(&t, "192.0.2.1:1", now), THROTTLE_FIRST_MS);
    assert_int_equal(wait_of(&t, "10.0.0.1:1", now), THROTTLE_FIRST_MS);
    assert_int_equal(wait_of(&t, "10.0.1.1:1", now), 0); /* it made room, and takes another's */
    assert_int_equal(t.hosts.count, THROTTLE_HOSTS_MAX);

    struct throttle_host *h;
    for (uint32_t i = 0; (h = sl_map_next(&t.hosts, &i));)
        h->running = 1;
    assert_ptr_equal(throttle_host(&t, sl_str("192.0.2.7:1"), now), &t.others);
    fail_at(&t, "192.0.2.7:1", now);
    assert_int_equal(wait_of(&t, "192.0.2.8:1", now), THROTTLE_FIRST_MS);
    assert_int_equal(t.hosts.count, THROTTLE_HOSTS_MAX);
    throttle_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_a_bound),
        cmocka_unit_test(success_forgets),
        cmocka_unit_test(time_forgets),
        cmocka_unit_test(unix_sockets_are_one),
        cmocka_unit_test(the_table_is_bounded),
    };
    return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
