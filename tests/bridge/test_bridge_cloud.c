/* test_bridge_cloud.c - the bridge against Debian's mosquitto with mutual TLS, on a free loopback
 * port. Skipped, saying so, where mosquitto is not installed. */
#include "cloud.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cloud cloud;

static int set_up(void **state)
{
    cloud_init(&cloud);
    *state = &cloud;
    return 0;
}

static int tear_down(void **state)
{
    cloud_free(*state);
    return 0;
}

static void need_mosquitto(void)
{
    if (cloud_have_mosquitto())
        return;
    print_message("mosquitto is not installed\n");
    skip();
}

static bool nothing_waits(struct cloud *c)
{
    return cloud_waiting(c) == 0;
}

static void put_numbers(struct cloud *c, int from, int to)
{
    char payload[16];
    for (int i = from; i < to; i++) {
        (void)snprintf(payload, sizeof payload, "%d", i);
        cloud_put(c, OUTBOX_TELEMETRY, "up/n", payload, 1);
    }
}

static size_t watched_wanted;
static bool enough_watched(struct cloud *c)
{
    return cloud_watched(c) >= watched_wanted;
}

/* ---- it works ---- */

static void delivers(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    cloud_start_broker(c);
    cloud_start_watcher(c);
    struct bridge_options options = cloud_options(c);
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    cloud_put(c, OUTBOX_ALERT, "up/a", "hot", 1);
    cloud_put(c, OUTBOX_NORMAL, "up/b", "zero", 0);
    assert_true(cloud_wait(c, nothing_waits, 5000));
    watched_wanted = 2;
    assert_true(cloud_wait(c, enough_watched, 5000));
    assert_non_null(strstr(cloud_watched_line(c, 0), "hot "));
    assert_non_null(strstr(cloud_watched_line(c, 0), "sluice-id:g/alert/"));
    assert_non_null(strstr(cloud_watched_line(c, 0), "sluice-ts:"));

    struct bridge_status status;
    bridge_get_status(c->bridge, &status);
    assert_int_equal(status.protocol_version, 5);
    assert_int_equal(status.acknowledged, 2);
    assert_int_equal(status.in_flight, 0);
    assert_string_equal(status.error, "");
    assert_true(status.cert_not_after_s > 1700000000);
    assert_true(status.bytes_in > 0 && status.bytes_out > 0);
    assert_int_equal(c->safe, 2);
}

/* Every number is there, first sights in order; what comes twice had been seen. */
static void assert_in_order(struct cloud *c, int count)
{
    int next = 0;
    for (size_t i = 0, n = cloud_watched(c); i < n; i++) {
        int number = atoi(cloud_watched_line(c, i));
        assert_true(number <= next);
        next += number == next;
    }
    assert_int_equal(next, count);
}

static bool some_are_through(struct cloud *c)
{
    return cloud_waiting(c) <= 700;
}

static void survives_a_cut(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    cloud_start_broker(c);
    cloud_start_watcher(c);
    struct bridge_options options = cloud_options(c);
    options.publishes_per_second = 1000;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    put_numbers(c, 0, 1000);
    assert_true(cloud_wait(c, some_are_through, 10000));
    cloud_stop_broker(c, SIGTERM);
    assert_true(cloud_wait(c, cloud_has_failed, 5000));
    put_numbers(c, 1000, 1200);
    cloud_start_broker(c);
    assert_true(cloud_wait(c, nothing_waits, 20000));
    watched_wanted = 1200;
    assert_true(cloud_wait(c, enough_watched, 10000));
    assert_in_order(c, 1200);
    assert_int_equal(c->safe, 1200);
    assert_int_equal(c->unsafe, 0);
}

static bool has_message(struct cloud *c)
{
    return c->messages > 0;
}

static void survives_a_broker_that_forgets(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    struct bridge_subscription sub = { .cloud = "cmd/gw/#", .local = "cmd/#", .qos = 1 };
    struct bridge_options options = cloud_options(c);
    options.subscriptions = &sub;
    options.subscription_count = 1;
    cloud_start_broker(c);
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    cloud_stop_broker(c, SIGKILL); /* nothing was saved: the session is gone */
    assert_true(cloud_wait(c, cloud_has_failed, 5000));
    cloud_start_broker(c);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    cloud_publish(c, "cmd/gw/led", "on");
    assert_true(cloud_wait(c, has_message, 5000));
    assert_string_equal(c->message, "cmd/led on");
}

static void brings_messages_down(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    struct bridge_subscription subs[] = { { .cloud = "cmd/gw/#", .local = "cmd/#", .qos = 1 },
                                          { .cloud = "all/+", .local = "from/+/cloud", .qos = 0 } };
    struct bridge_options options = cloud_options(c);
    options.subscriptions = subs;
    options.subscription_count = 2;
    cloud_start_broker(c);
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    cloud_publish(c, "cmd/gw/led/set", "on");
    assert_true(cloud_wait(c, has_message, 5000));
    assert_string_equal(c->message, "cmd/led/set on");
    c->messages = 0;
    cloud_publish(c, "all/x", "y");
    assert_true(cloud_wait(c, has_message, 5000));
    assert_string_equal(c->message, "from/x/cloud y");
}

static void waits_for_acknowledgements_before_it_closes(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    cloud_start_broker(c);
    struct bridge_options options = cloud_options(c);
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    put_numbers(c, 0, 10);
    (void)uv_run(&c->loop, UV_RUN_NOWAIT);
    cloud_close_bridge(c, 3000);
    assert_true(cloud_log_has(c, "Received DISCONNECT from gw"));
}

static bool is_stalled(struct cloud *c)
{
    return c->told.state == BRIDGE_STALLED;
}

/* The process is there, the kernel takes the bytes, but nobody acknowledges. */
static void a_cloud_that_freezes_is_not_online(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    cloud_start_broker(c);
    struct bridge_options options = cloud_options(c);
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    assert_int_equal(kill(c->broker, SIGSTOP), 0);
    cloud_put(c, OUTBOX_NORMAL, "up/a", "x", 1);
    assert_true(cloud_wait(c, is_stalled, 6000));
    assert_string_equal(c->told.cause, "silent"); /* after four seconds, not ten */
    assert_int_equal(kill(c->broker, SIGCONT), 0);
    assert_true(cloud_wait(c, cloud_is_online, 5000));
    assert_true(cloud_wait(c, nothing_waits, 5000));
    assert_int_equal(c->told.connects, 1);
}

static void old_protocol_on_request(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    cloud_start_broker(c);
    struct bridge_options options = cloud_options(c);
    options.protocol_version = 4;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    cloud_put(c, OUTBOX_NORMAL, "up/a", "x", 1);
    assert_true(cloud_wait(c, nothing_waits, 5000));
    assert_int_equal(c->told.protocol_version, 4);
    assert_true(cloud_log_has(c, "as gw (p2, c0"));
}

/* ---- it does not work, and says why ---- */

/* The bridge's first failure with these options. */
static void expect_failure(struct cloud *c, const struct bridge_options *options, const char *cause,
                           const char *text)
{
    cloud_open_bridge(c, options);
    assert_true(cloud_wait(c, cloud_has_failed, 10000));
    assert_string_equal(c->told.cause, cause);
    if (!strstr(c->told.error, text))
        fail_msg("\"%s\" is not in \"%s\"", text, c->told.error);
    assert_int_equal(c->told.connects, 0);
}

static void wrong_ca(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    cloud_start_broker(c);
    struct bridge_options options = cloud_options(c);
    options.ca_path = certificate("other-ca.crt");
    expect_failure(c, &options, "tls", "certificate");
}

/* A server whose certificate is not good for localhost, each in its way: CONNECT never goes out. */
static void expect_bad_server(struct cloud *c, const char *server, const char *text)
{
    need_mosquitto();
    c->server = server;
    cloud_start_broker(c);
    struct bridge_options options = cloud_options(c);
    expect_failure(c, &options, "tls", text);
    assert_false(cloud_log_has(c, "as gw"));
}

static void server_of_another_ca(void **state)
{
    expect_bad_server(*state, "other-server", "vouches for that");
}

static void server_that_signed_itself(void **state)
{
    expect_bad_server(*state, "self-signed", "certificate");
}

static void server_with_another_name(void **state)
{
    expect_bad_server(*state, "named", "localhost");
}

static void server_that_has_expired(void **state)
{
    expect_bad_server(*state, "expired", "expired");
}

static void server_that_is_not_valid_yet(void **state)
{
    expect_bad_server(*state, "future", "is not valid before 2090");
}

/* Our own certificate is no server's. */
static void server_with_a_client_certificate(void **state)
{
    expect_bad_server(*state, "device", "");
}

static bool has_alpn(struct cloud *c)
{
    return cloud_log_has(c, "ALPN protocols selected: x-amzn-mqtt-ca");
}

static void offers_alpn(void **state)
{
    struct cloud *c = *state;
    cloud_start_alpn_server(c, "x-amzn-mqtt-ca");
    struct bridge_options options = cloud_options(c);
    options.alpn = "x-amzn-mqtt-ca";
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, has_alpn, 10000));
}

static void alpn_that_the_server_does_not_speak(void **state)
{
    struct cloud *c = *state;
    cloud_start_alpn_server(c, "http/1.1");
    struct bridge_options options = cloud_options(c);
    options.alpn = "x-amzn-mqtt-ca";
    expect_failure(c, &options, "tls", "ALPN");
}

static void no_client_certificate(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    cloud_start_broker(c);
    struct bridge_options options = cloud_options(c);
    options.cert_path = options.key_path = NULL;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_has_failed, 10000));
    print_message("no client certificate: %s: %s\n", c->told.cause, c->told.error);
    assert_int_equal(c->told.connects, 0);
}

static void client_certificate_of_a_stranger(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    cloud_start_broker(c);
    struct bridge_options options = cloud_options(c);
    options.cert_path = certificate("other-device.crt");
    options.key_path = certificate("other-device.key");
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_has_failed, 10000));
    print_message("a stranger's certificate: %s: %s\n", c->told.cause, c->told.error);
    assert_int_equal(c->told.connects, 0);
}

static void expired_client_certificate(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = cloud_options(c);
    options.cert_path = certificate("expired-device.crt");
    options.key_path = certificate("expired-device.key");
    expect_failure(c, &options, "certificate", "expired");
}

static void missing_client_certificate(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = cloud_options(c);
    options.cert_path = "/nowhere/device.crt";
    expect_failure(c, &options, "certificate", "/nowhere/device.crt");
}

/* It is read again at every attempt. */
static void certificate_that_appears_later(void **state)
{
    struct cloud *c = *state;
    need_mosquitto();
    cloud_start_broker(c);
    struct bridge_options options = cloud_options(c);
    char path[96], command[512];
    (void)snprintf(path, sizeof path, "%s/device.crt", c->dir);
    options.cert_path = path;
    cloud_open_bridge(c, &options);
    assert_true(cloud_wait(c, cloud_has_failed, 5000));
    (void)snprintf(command, sizeof command, "cp %s %s", certificate("device.crt"), path);
    assert_int_equal(system(command), 0);
    assert_true(cloud_wait(c, cloud_is_online, 10000));
    assert_string_equal(c->told.error, "");
}

static void nobody_listens(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = cloud_options(c);
    expect_failure(c, &options, "tcp", "connection refused");
}

static void closes_while_it_connects(void **state)
{
    struct cloud *c = *state;
    struct bridge_options options = cloud_options(c);
    cloud_open_bridge(c, &options);
    (void)uv_run(&c->loop, UV_RUN_NOWAIT);
    cloud_close_bridge(c, 5000);
}

#define CLOUD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLOUD_TEST(delivers),
        CLOUD_TEST(survives_a_cut),
        CLOUD_TEST(survives_a_broker_that_forgets),
        CLOUD_TEST(brings_messages_down),
        CLOUD_TEST(waits_for_acknowledgements_before_it_closes),
        CLOUD_TEST(a_cloud_that_freezes_is_not_online),
        CLOUD_TEST(old_protocol_on_request),
        CLOUD_TEST(wrong_ca),
        CLOUD_TEST(server_of_another_ca),
        CLOUD_TEST(server_that_signed_itself),
        CLOUD_TEST(server_with_another_name),
        CLOUD_TEST(server_that_has_expired),
        CLOUD_TEST(server_that_is_not_valid_yet),
        CLOUD_TEST(server_with_a_client_certificate),
        CLOUD_TEST(offers_alpn),
        CLOUD_TEST(alpn_that_the_server_does_not_speak),
        CLOUD_TEST(no_client_certificate),
        CLOUD_TEST(client_certificate_of_a_stranger),
        CLOUD_TEST(expired_client_certificate),
        CLOUD_TEST(missing_client_certificate),
        CLOUD_TEST(certificate_that_appears_later),
        CLOUD_TEST(nobody_listens),
        CLOUD_TEST(closes_while_it_connects),
    };
    return cmocka_run_group_tests(tests, certificates_make, certificates_remove);
}
