/* test_bridge_faults.c - the bridge with a server that misbehaves: sockets, timers and versions,
 * without TLS. */
#include "cloud.h"
#include "fake_server.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cloud cloud;
static struct fake_server server;

static int set_up(void **state)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as main() does */
    cloud_init(&cloud);
    *state = &cloud;
    return 0;
}

static int tear_down(void **state)
{
    struct cloud *c = *state;
    if (c->bridge)
        cloud_close_bridge(c, 0);
    fake_stop(&server);
    cloud_free(c);
    return 0;
}

static struct bridge_options plain_options(struct cloud *c, enum fake_mode mode)
{
    fake_start(&server, &c->loop, mode);
    struct bridge_options options = cloud_options(c);
    options.host = "127.0.0.1";
    options.port = (uint16_t)server.port;
    options.ca_path = options.cert_path = options.key_path = NULL;
    return options;
}

static bool nothing_waits(struct cloud *c)
{
    return cloud_waiting(c) == 0;
}

static bool four_connects(struct cloud *c)
{
    (void)c;
    return server.connect_count >= 4;
}

static bool five_connects(struct cloud *c)
{
    (void)c;
    return server.connect_count >= 5;
}

static bool all_read(struct cloud *c)
{
    (void)c;
    return server.publish_count == 600;
}

static bool one_published(struct cloud *c)
{
    (void)c;
    return server.publish_count == 1;
}

static bool never(struct cloud *c)
{
    (void)c;
    return false;
}

static void falls_back_when_the_version_is_refused(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_ONLY_V4);
    cloud_open_bridge(c, &options);
    cloud_put(c, OUTBOX_NORMAL, "a", "x", 1);
    assert_true(cloud_wait(c, cloud_is_online, 5000));
    assert_true(cloud_wait(c, nothing_waits, 5000));
    assert_int_equal(server.connects[0].version, 5);
    assert_int_equal(server.connects[1].version, 4);
    assert_int_equal(c->told.protocol_version, 4);
}

static void stays_with_5_when_aws_hangs_up(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_HANG_UP);
    options.aws_limits = true;
    options.reconnect_max_ms = 50;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_has_failed, 5000));
    assert_string_equal(c->told.cause, "connack-closed");
    assert_non_null(strstr(c->told.error, "iot:Connect for client id \"gw\""));
    assert_true(cloud_wait(c, four_connects, 10000));
    assert_int_equal(server.connects[3].version, 5);
}

/* A bad link may cut any number of connections right after CONNECT. */
static void stays_with_5_where_it_was_spoken(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_ACCEPT);
    options.reconnect_max_ms = 50;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 5000));
    server.mode = FAKE_HANG_UP;
    fake_cut(&server);
    assert_true(cloud_wait(c, five_connects, 10000));
    for (int i = 0; i < 5; i++)
        assert_int_equal(server.connects[i].version, 5);
}

/* 5, 5, 5, then 4 works; when that ends, 5 once, then 4 again. */
static void tries_5_again_after_a_guess(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_HANG_UP_ON_5);
    options.reconnect_max_ms = 50;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    assert_int_equal(server.connect_count, 4);
    assert_int_equal(server.connects[3].version, 4);
    fake_cut(&server);
    assert_true(cloud_wait(c, five_connects, 5000));
    assert_int_equal(server.connects[4].version, 5);
    assert_true(cloud_wait(c, cloud_is_online, 5000));
    assert_int_equal(server.connects[5].version, 4);
}

static void takes_turns_when_it_is_hung_up_on(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_HANG_UP);
    options.reconnect_max_ms = 50;
    uint64_t opened_ms = uv_hrtime() / 1000000;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, four_connects, 10000));
    assert_int_equal(server.connects[2].version, 5);
    assert_int_equal(server.connects[3].version, 4);
    for (unsigned i = 1; i < 4; i++) /* a second between two; a busy machine is late, never early */
        assert_true(server.connects[i].at_ms - opened_ms >= i * 1000 - 100);
}

static void gives_up_on_a_silent_server(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_SILENT);
    options.connect_timeout_ms = 200;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_has_failed, 3000));
    assert_string_equal(c->told.cause, "connect-timeout");
    assert_non_null(strstr(c->told.error, "CONNACK"));
}

static void gives_up_on_a_server_without_tls(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_SILENT);
    options.ca_path = certificate("ca.crt");
    options.connect_timeout_ms = 200;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_has_failed, 3000));
    assert_string_equal(c->told.cause, "connect-timeout");
    assert_non_null(strstr(c->told.error, "TLS"));
}

static void is_refused(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_REFUSE);
    options.aws_limits = true;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_has_failed, 3000));
    assert_string_equal(c->told.cause, "connack-refused");
    assert_non_null(strstr(c->told.error, "not authorized"));
    assert_non_null(strstr(c->told.error, "iot:Connect"));
    assert_int_equal(c->told.connect_failures, 1);
}

static void is_taken_over(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_TAKE_OVER);
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_has_failed, 3000));
    assert_string_equal(c->told.cause, "session-taken-over");
}

static bool is_kicked(struct cloud *c)
{
    return strcmp(c->told.cause, "kicked") == 0;
}

/* As when two gateways share a client id: each connection ends the other's. */
static void is_kicked_again_and_again(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_KICK);
    options.reconnect_min_ms = 10;
    options.reconnect_max_ms = 20;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, is_kicked, 10000));
    assert_int_equal(server.connect_count, 3);
    assert_non_null(strstr(c->told.error, "client id \"gw\""));
}

/* A socket that does not drain: what is taken from the outbox stays bounded, nothing is lost. */
static void waits_for_a_server_that_does_not_read(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_STOP_READING);
    static char payload[20000];
    memset(payload, 'x', sizeof payload - 1);
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 3000));
    for (int i = 0; i < 600; i++) {
        cloud_put(c, OUTBOX_NORMAL, "a", payload, 0);
        if (i % 100 == 99) /* the outbox takes 4 MiB before it has to spill */
            assert_false(cloud_wait(c, never, 300));
    }
    assert_int_equal(c->unsafe, 0);
    struct bridge_status status;
    bridge_get_status(c->bridge, &status);
    /* What the kernel's buffers on both sides swallow is acknowledged; the rest waits. */
    assert_true(status.in_flight <= 10);
    assert_true(cloud_waiting(c) > 100);
    fake_resume(&server);
    assert_true(cloud_wait(c, all_read, 20000));
    assert_true(cloud_wait(c, nothing_waits, 1000));
}

static void closes_in_time_without_acknowledgements(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_NO_PUBACK);
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 3000));
    cloud_put(c, OUTBOX_NORMAL, "a", "x", 1);
    assert_true(cloud_wait(c, one_published, 5000));
    cloud_close_bridge(c, 200); /* fails the test when it takes too long */
    assert_int_equal(cloud_waiting(c), 1);
}

static void a_name_that_does_not_exist(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_ACCEPT);
    options.host = "no-such-host.invalid";
    options.connect_timeout_ms = 1000;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_has_failed, 3000));
    bool dns = strcmp(c->told.cause, "dns") == 0;
    assert_true(dns || strcmp(c->told.cause, "connect-timeout") == 0); /* no name server at all */
    assert_non_null(strstr(c->told.error, dns ? "no-such-host.invalid" : "looking up"));
}

static void a_mapping_that_cannot_work(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = plain_options(c, FAKE_ACCEPT);
    struct bridge_subscription sub = { .cloud = "a", .local = "b/#", .qos = 1 };
    options.subscriptions = &sub;
    options.subscription_count = 1;
    struct bridge_callbacks callbacks = { 0 };
    struct bridge *b = NULL;
    struct sl_err err = { 0 };
    assert_int_equal(bridge_open(&b, &options, &callbacks, &err), SL_INVALID);
    assert_null(b);
}

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(falls_back_when_the_version_is_refused),
        FAULT_TEST(takes_turns_when_it_is_hung_up_on),
        FAULT_TEST(stays_with_5_when_aws_hangs_up),
        FAULT_TEST(stays_with_5_where_it_was_spoken),
        FAULT_TEST(tries_5_again_after_a_guess),
        FAULT_TEST(gives_up_on_a_silent_server),
        FAULT_TEST(gives_up_on_a_server_without_tls),
        FAULT_TEST(is_refused),
        FAULT_TEST(is_taken_over),
        FAULT_TEST(is_kicked_again_and_again),
        FAULT_TEST(waits_for_a_server_that_does_not_read),
        FAULT_TEST(closes_in_time_without_acknowledgements),
        FAULT_TEST(a_name_that_does_not_exist),
        FAULT_TEST(a_mapping_that_cannot_work),
    };
    return cmocka_run_group_tests(tests, certificates_make, certificates_remove);
}
