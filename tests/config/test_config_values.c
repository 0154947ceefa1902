/* test_config_values.c - what is written arrives in the struct, what is not has its default, and
 * what comes from outside is put in. */
#include "support.h"

#include "base/file.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "rows.h"

static struct config *parse(const char *text)
{
    struct config *c = NULL;
    struct sl_buf lines = { 0 };
    if (support_parse(sl_str(text), &c, &lines) != SL_OK)
        fail_msg("%s", sl_buf_cstr(&lines));
    sl_buf_free(&lines);
    return c;
}

static void assert_path(const char *path, const char *name)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", support_folder(), name); /* fits */
    assert_string_equal(path, full);
}

static void defaults_of_sections(void **state)
{
    (void)state;
    struct config *c = parse("{}");
    assert_true(c->gateway.id[0] != '\0');
    assert_string_equal(c->gateway.data_dir, "/var/lib/sluice");
    assert_int_equal(c->log.level, SL_INFO);
    assert_int_equal(c->log.format, SL_LOG_TEXT);
    assert_int_equal(c->listener_count, 1);
    assert_string_equal(c->listeners[0].bind, "127.0.0.1");
    assert_int_equal(c->listeners[0].port, 1883);
    assert_int_equal(c->broker.max_connections, 10000);
    assert_int_equal(c->broker.max_connections_per_address, 10000);
    assert_int_equal(c->broker.max_unfinished_connections, 4000);
    assert_int_equal(c->broker.max_packet_size, 256 * 1024);
    assert_int_equal(c->broker.max_inflight, 32);
    assert_int_equal(c->broker.receive_maximum, 64);
    assert_int_equal(c->broker.max_queued_messages, 1000);
    assert_int_equal(c->broker.max_queued_bytes, 1024 * 1024);
    assert_int_equal(c->broker.max_qos, 2);
    assert_true(c->broker.retain);
    assert_true(c->broker.persistence);
    assert_int_equal(c->broker.max_keep_alive_ms, 18 * 3600 * 1000);
    assert_int_equal(c->broker.session_expiry_max_ms, INT64_C(7) * 86400 * 1000);
    assert_int_equal(c->broker.topic_alias_max, 32);
    assert_int_equal(c->broker.connect_timeout_ms, 10000);
    assert_int_equal(c->broker.connect_rate, 200);
    assert_int_equal(c->broker.sys_interval_ms, 10000);
    assert_int_equal(c->store.max_bytes, 1 << 30);
    assert_int_equal(c->store.max_age_ms, INT64_C(30) * 86400 * 1000);
    assert_int_equal(c->store.when_full, CONFIG_THIN);
    assert_int_equal(c->store.spill_after_ms, 200);
    assert_int_equal(c->store.commit_interval_ms, 20);
    assert_int_equal(c->store.sync, CONFIG_SYNC_FULL);
    assert_null(c->store.encryption_key);
    assert_false(c->cloud.present);
    assert_false(c->web.present);
    assert_int_equal(c->rule_count + c->gpio_count, 0);
    config_free(c);
}

/* The files that AWS needs are missing here; the values are there all the same. */
static void limits_of_aws(void **state)
{
    (void)state;
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    const char *text = "{\"cloud\":{\"type\":\"aws-iot\",\"endpoint\":\"h\"}}";
    assert_int_equal(config_parse(sl_str(text), "f", "/", &c, &problems), SL_INVALID);
    assert_true(c->cloud.publishes_per_second == 90.0);
    assert_int_equal(c->cloud.bytes_per_second, 500 * 1024);
    assert_int_equal(c->cloud.max_payload, 128000);
    config_problems_free(&problems);
    config_free(c);
}

static void written_limits_count_for_every_cloud(void **state)
{
    (void)state;
    struct config *c = parse("{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\","
                             "\"limits\":{\"publishes_per_second\":5}}}");
    assert_true(c->cloud.publishes_per_second == 5.0);
    assert_int_equal(c->cloud.bytes_per_second, 0);
    config_free(c);
}

static void defaults_of_the_cloud(void **state)
{
    (void)state;
    struct config *c =
        parse("{\"gateway\":{\"id\":\"b\"},\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\","
              "\"subscribe\":[{\"cloud\":\"a/${thing_name}/${gateway}/#\",\"local\":\"c/#\"}]}}");
    assert_true(c->cloud.present);
    assert_false(c->cloud.aws);
    assert_int_equal(c->cloud.port, 8883);
    assert_string_equal(c->cloud.thing_name, "b");
    assert_string_equal(c->cloud.client_id, "b");
    assert_int_equal(c->cloud.protocol_version, 5);
    assert_int_equal(c->cloud.keep_alive_ms, 60000);
    assert_int_equal(c->cloud.connect_timeout_ms, 10000);
    assert_int_equal(c->cloud.reconnect_min_ms, 1000);
    assert_int_equal(c->cloud.reconnect_max_ms, 120000);
    assert_true(c->cloud.publishes_per_second == 0); /* the limits are AWS IoT's */
    assert_int_equal(c->cloud.bytes_per_second, 0);
    assert_int_equal(c->cloud.in_flight, 90);
    assert_int_equal(c->cloud.max_payload, 256 * 1024 * 1024);
    assert_int_equal(c->cloud.batch_max_bytes, 5 * 1024);
    assert_int_equal(c->cloud.batch_max_age_ms, 1000);
    assert_null(c->cloud.ca);
    assert_int_equal(c->cloud.subscribe_count, 1);
    assert_string_equal(c->cloud.subscribe[0].cloud, "a/b/b/#");
    assert_string_equal(c->cloud.subscribe[0].local, "c/#");
    assert_int_equal(c->cloud.subscribe[0].qos, 1);
    config_free(c);
}

static const struct same_case {
    const char *section, *a, *b;
    bool same;
} same_cases[] = {
    { "broker", "{}", "{\"broker\":{\"max_qos\":2}}", true }, /* the default, written */
    { "broker", "{}", "{\"broker\":{\"max_qos\":1}}", false },
    { "broker", "{\"broker\":{\"max_keep_alive\":\"60s\"}}",
      "// the same\n{\"broker\":{\"max_keep_alive\":\"1m\"}}", true },
    { "broker", "{}", "{\"store\":{\"max_age\":\"1d\"}}", true }, /* another section */
    { "store", "{}", "{\"store\":{\"max_age\":\"1d\"}}", false },
    { "gateway", "{\"gateway\":{\"id\":\"a\"}}", "{\"gateway\":{\"id\":\"b\"}}", false },
    { "web", "{}", "{\"web\":{}}", false },
    { "web", "{\"web\":{}}", "{\"web\":{\"port\":8080}}", true },
    { "cloud", "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\"}}",
      "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"i\"}}", false },
    { "cloud", "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\"}}",
      "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\","
      "\"subscribe\":[{\"cloud\":\"a\",\"local\":\"b\"}]}}",
      false },
    { "listeners", "{\"listeners\":[{},{\"port\":1}]}", "{\"listeners\":[{},{\"port\":2}]}",
      false },
    { "access", "{\"access\":{\"acl\":[{\"deny\":[\"a\",\"b\"]}]}}",
      "{\"access\":{\"acl\":[{\"deny\":[\"a\"]}]}}", false },
    { "access", "{\"access\":{\"acl\":[{\"deny\":[\"a\",\"b\"]}]}}",
      "{\"access\":{\"acl\":[{\"deny\":[\"a\",\"b\"]}]}}", true },
};

static void sections_compared(void **state)
{
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(same_cases); i++) {
        const struct same_case *t = &same_cases[i];
        struct config *a = parse(t->a), *b = parse(t->b);
        if (config_section_same(t->section, a, b) != t->same ||
            config_section_same(t->section, b, a) != t->same)
            fail_msg("%s: %s and %s", t->section, t->a, t->b);
        assert_true(config_section_same(t->section, a, a));
        config_free(a);
        config_free(b);
    }
}

static void listeners_arrive(void **state)
{
    (void)state;
    struct config *c =
        parse("{\"access\":{\"users_file\":\"users\"},\"listeners\":[{},\n"
              "{\"name\":\"tls\",\"protocol\":\"mqtts\",\"bind\":\"0.0.0.0\",\"tls\":{\"cert\":"
              "\"cert.pem\",\"key\":\"key.pem\",\"ca\":\"ca.pem\",\"client_cert\":\"required\","
              "\"username_from_cert\":true,\"min_version\":\"1.3\"}},\n"
              "{\"unix\":\"sock\"}]}");
    const struct config_listener *l = c->listeners;
    assert_int_equal(c->listener_count, 3);
    assert_string_equal(l[0].name, "mqtt-1");
    assert_int_equal(l[0].tls_min_version, 12);
    assert_string_equal(l[1].name, "tls");
    assert_int_equal(l[1].protocol, CONFIG_MQTTS);
    assert_int_equal(l[1].port, 8883);
    assert_path(l[1].tls_cert, "cert.pem");
    assert_path(l[1].tls_key, "key.pem");
    assert_path(l[1].tls_ca, "ca.pem");
    assert_int_equal(l[1].client_cert, CONFIG_CERT_REQUIRED);
    assert_true(l[1].username_from_cert);
    assert_int_equal(l[1].tls_min_version, 13);
    assert_int_equal(l[1].place.line, 2);
    assert_int_equal(l[1].place.column, 1);
    assert_path(l[2].unix_path, "sock");
    assert_null(l[2].bind);
    assert_path(c->access.users_file, "users");
    config_free(c);
}

static const struct choice {
    const char *name, *text;
    bool anonymous;
    enum config_web_anonymous web;
} choices[] = {
    { "nobody chose", "{\"web\":{}}", true, CONFIG_WEB_READ },
    { "users", "{\"access\":{\"users_file\":\"users\"},\"web\":{}}", false, CONFIG_WEB_READ },
    { "users of the page", "{\"web\":{\"users_file\":\"users\"}}", true, CONFIG_WEB_NONE },
    { "both", "{\"access\":{\"users_file\":\"users\",\"anonymous\":true}}", true, CONFIG_WEB_READ },
    { "neither", "{\"access\":{\"users_file\":\"users\",\"anonymous\":false}}", false,
      CONFIG_WEB_READ },
    { "page for users of the network",
      "{\"access\":{\"users_file\":\"users\"},\"web\":{\"bind\":\"0.0.0.0\"}}", false,
      CONFIG_WEB_NONE },
    { "open page", "{\"web\":{\"bind\":\"0.0.0.0\",\"anonymous\":\"full\"}}", true,
      CONFIG_WEB_FULL },
};

static void choice_follows(void **state)
{
    const struct choice *t = *state;
    struct config *c = parse(t->text);
    assert_int_equal(c->access.anonymous, t->anonymous);
    assert_int_equal(c->web.anonymous, t->web);
    config_free(c);
}

static void outputs_arrive(void **state)
{
    (void)state;
    struct config *c = parse(
        "{\"gpio\":[{\"name\":\"led\",\"line\":27,\"direction\":\"out\",\"chip\":\"users\"}],\n"
        "\"rules\":[{\"name\":\"r\",\"sql\":\"SELECT "
        "*\\n\",\"to\":[{\"cloud\":\"t/${Room}\",\"ttl\":"
        "\"1h\",\"lane\":\"alert\"},\n{\"local\":\"m\",\"retain\":true},{\"gpio\":\"led\"}],"
        "\"on_error\":[{\"local\":\"e\",\"qos\":2}]},{\"name\":\"s\",\"sql\":\"x\",\"enabled\":"
        "false,"
        "\"to\":[{\"cloud\":\"a\",\"qos\":0}]}]}");
    const struct config_rule *r = &c->rules[0];
    assert_int_equal(c->rule_count, 2);
    assert_true(r->enabled);
    assert_false(r->sql_plain); /* an escape */
    assert_true(c->rules[1].sql_plain);
    assert_false(c->rules[1].enabled);
    assert_int_equal(r->to_count, 3);
    assert_int_equal(r->to[0].kind, CONFIG_TO_CLOUD);
    assert_string_equal(r->to[0].target, "t/${Room}"); /* the template's own */
    assert_true(r->to[0].target_plain);
    assert_int_equal(r->to[0].place.line, 2);
    assert_int_equal(r->to[0].place.column, 56);
    assert_int_equal(r->to[0].qos, 1);
    assert_int_equal(r->to[0].ttl_ms, 3600000);
    assert_string_equal(r->to[0].lane, "alert");
    assert_int_equal(r->to[1].kind, CONFIG_TO_LOCAL);
    assert_int_equal(r->to[1].qos, 0);
    assert_true(r->to[1].retain);
    assert_int_equal(r->to[2].kind, CONFIG_TO_GPIO);
    assert_string_equal(r->to[2].target, "led");
    assert_int_equal(r->on_error_count, 1);
    assert_int_equal(r->on_error[0].qos, 2);
    assert_int_equal(c->rules[1].to[0].qos, 0);
    assert_string_equal(c->rules[1].to[0].lane, "telemetry");
    config_free(c);
}

static void batches_arrive(void **state)
{
    (void)state;
    struct config *c = parse("{\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"cloud\":\"a\","
                             "\"batch\":{\"max_count\":7}},{\"cloud\":\"b\",\"batch\":true}]}]}");
    const struct config_output *o = c->rules[0].to;
    assert_true(o[0].batch && o[1].batch);
    assert_int_equal(o[0].batch_max_count, 7);
    assert_int_equal(o[0].batch_max_bytes, 5 * 1024); /* cloud.batch's */
    assert_int_equal(o[1].batch_max_count, 500);
    assert_int_equal(o[1].batch_max_age_ms, 1000);
    config_free(c);
}

static void gpio_arrives(void **state)
{
    (void)state;
    struct config *c = parse(
        "{\"gpio\":[{\"name\":\"door\",\"chip\":\"users\",\"line\":17,\"direction\":\"in\","
        "\"bias\":"
        "\"pull-up\",\"active_low\":true,\"debounce\":\"25ms\"},{\"name\":\"led\",\"line\":27,"
        "\"chip\":\"users\",\"direction\":\"out\",\"initial\":1,\"topic\":\"x/led\"}]}");
    const struct config_gpio *g = c->gpio;
    assert_int_equal(c->gpio_count, 2);
    assert_path(g[0].chip, "users");
    assert_int_equal(g[0].line, 17);
    assert_false(g[0].output);
    assert_int_equal(g[0].bias, CONFIG_BIAS_PULL_UP);
    assert_true(g[0].active_low);
    assert_int_equal(g[0].debounce_ms, 25);
    assert_string_equal(g[0].topic, "gpio/door");
    assert_true(g[1].output);
    assert_int_equal(g[1].initial, 1);
    assert_string_equal(g[1].topic, "x/led");
    config_free(c);
}

static void entries_arrive(void **state)
{
    (void)state;
    struct config *c = NULL;
    struct sl_buf lines = { 0 };
    const char *text =
        "{\"access\":{\"acl\":[{\"deny\":[\"private/#\"]},{\"user\":\"s-*\",\"publish\":"
        "[\"a/%u/#\",\"b\"],\"subscribe\":[]},{\"anonymous\":true}]}}";
    assert_int_equal(support_parse(sl_str(text), &c, &lines), SL_INVALID); /* not in this version */
    assert_true(c->access.acl_set);
    assert_int_equal(c->access.acl_count, 3);
    assert_null(c->access.acl[0].user);
    assert_string_equal(c->access.acl[0].deny[0], "private/#");
    assert_null(c->access.acl[0].deny[1]);
    assert_null(c->access.acl[0].publish);
    assert_string_equal(c->access.acl[1].user, "s-*");
    assert_string_equal(c->access.acl[1].publish[1], "b");
    assert_null(c->access.acl[1].subscribe[0]);
    assert_true(c->access.acl[2].anonymous);
    sl_buf_free(&lines);
    config_free(c);
}

/* text: the value of "id" as it stands in the file. */
static const struct outside {
    const char *name, *text, *want;
} outsides[] = {
    { "whole", "${SLUICE_A}", "alpha" },
    { "inside", "x-${SLUICE_A}-y", "x-alpha-y" },
    { "twice", "${SLUICE_A}${SLUICE_A}", "alphaalpha" },
    { "no second round", "${SLUICE_NESTED}", "@file:secret" },
    { "file", "@file:id", "from-file" },
    { "file in a folder by variable", "@file:${SLUICE_A}/id", "deep" },
    { "file's content as it is", "@file:dollar", "${SLUICE_A}" },
    { "only the last newline", "@file:lines", "a\n" },
    { "CRLF", "@file:crlf", "a" },
    { "not at the beginning", "x@file:id", "x@file:id" },
    { "dollar alone", "a$b$", "a$b$" },
    { "plain", "$${SLUICE_A}", "${SLUICE_A}" },
};

static void comes_from_outside(void **state)
{
    const struct outside *t = *state;
    char text[256];
    (void)snprintf(text, sizeof text, /* fits */
                   "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\",\"username\":\"%s\"}}",
                   t->text);
    struct config *c = parse(text);
    assert_string_equal(c->cloud.username, t->want);
    config_free(c);
}

static void numbers_from_outside(void **state)
{
    (void)state;
    struct config *c =
        parse("{\"listeners\":[{\"port\":\"${SLUICE_PORT}\"}],\"broker\":{\"retain\":"
              "\"${SLUICE_FALSE}\",\"max_qos\":\"@file:one\"},\"store\":{\"max_age\":"
              "\"${SLUICE_PORT}s\"}}");
    assert_int_equal(c->listeners[0].port, 2883);
    assert_false(c->broker.retain);
    assert_int_equal(c->broker.max_qos, 1);
    assert_int_equal(c->store.max_age_ms, 2883000);
    config_free(c);
}

static void secrets_from_files(void **state)
{
    (void)state;
    struct config *c = parse("{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\",\"ca\":\"ca.pem\","
                             "\"username\":\"u\",\"password\":\"@file:secret\"}}");
    assert_string_equal(c->cloud.password, SECRET);
    config_free(c);
}

static void files_are_bounded(void **state)
{
    (void)state;
    struct sl_buf big = { 0 }, lines = { 0 };
    for (int i = 0; i < 64 * 1024 + 1; i++)
        sl_buf_put_u8(&big, 'x');
    support_write("big", sl_buf_slice(&big));
    support_write("latin", sl_bytes("a\xFF", 2));
    const char *text = "{\"gateway\":{\"id\":\"@file:big\"},\n\"cloud\":{\"type\":\"mqtt\","
                       "\"endpoint\":\"@file:latin\"}}";
    assert_int_equal(support_parse(sl_str(text), NULL, &lines), SL_INVALID);
    assert_string_equal(sl_buf_cstr(&lines),
                        "1:18: gateway.id: @file: DIR/big: larger than 65536 bytes\n"
                        "2:35: cloud.endpoint: @file: DIR/latin is not a text file (UTF-8)");
    sl_buf_free(&big);
    sl_buf_free(&lines);
}

static void loads_from_a_file(void **state)
{
    (void)state;
    char path[128];
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    support_write("etc/sluice.json", sl_str("{\"gateway\":{\"data_dir\":\"data\"}}"));
    (void)snprintf(path, sizeof path, "%s/etc/sluice.json", support_folder()); /* fits */
    assert_int_equal(config_load(path, &c, &problems), SL_OK);
    assert_path(c->gateway.data_dir, "etc/data");
    assert_string_equal(c->file, path);
    config_free(c);
    c = NULL;
    (void)snprintf(path, sizeof path, "%s/no.json", support_folder()); /* fits */
    assert_int_equal(config_load(path, &c, &problems), SL_NOTFOUND);
    assert_null(c);
    assert_int_equal(problems.errors, 1);
    struct sl_buf line = { 0 };
    config_problem_format(&problems.list[0], "no.json", &line);
    assert_string_equal(sl_buf_cstr(&line),
                        "no.json: there is no such file: name the configuration with -c FILE or in "
                        "$SLUICE_CONFIG");
    sl_buf_free(&line);
    config_problems_free(&problems);
    assert_int_equal(config_load(support_folder(), &c, &problems), SL_IO);
    config_problems_free(&problems);
}

static void relative_paths_are_made_absolute(void **state)
{
    (void)state;
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    char cwd[512], want[600];
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(
        config_parse(sl_str("{\"gateway\":{\"data_dir\":\"d\"}}"), "f", "x/y", &c, &problems),
        SL_OK);
    (void)snprintf(want, sizeof want, "%s/x/y/d", cwd); /* fits */
    assert_string_equal(c->gateway.data_dir, want);
    config_free(c);
    config_problems_free(&problems);
}

static void built_in(void **state)
{
    (void)state;
    struct config *c = NULL;
    (void)setenv("XDG_STATE_HOME", "/state", 1);
    assert_int_equal(config_builtin(&c), SL_OK);
    assert_int_equal(c->listener_count, 1);
    assert_string_equal(c->listeners[0].bind, "127.0.0.1");
    assert_int_equal(c->listeners[0].port, 1883);
    assert_true(c->access.anonymous);
    assert_true(c->web.present);
    assert_string_equal(c->web.bind, "127.0.0.1");
    assert_int_equal(c->web.port, 8080);
    assert_int_equal(c->web.anonymous, CONFIG_WEB_READ);
    assert_false(c->cloud.present);
    assert_string_equal(c->gateway.data_dir, geteuid() == 0 ? "/var/lib/sluice" : "/state/sluice");
    assert_string_equal(c->file, "built-in");
    config_free(c);
}

static int set_up(void **state)
{
    (void)state;
    (void)support_folder();
    (void)setenv("SLUICE_A", "alpha", 1);
    (void)setenv("SLUICE_NESTED", "@file:secret", 1);
    (void)setenv("SLUICE_PORT", "2883", 1);
    (void)setenv("SLUICE_FALSE", "false", 1);
    support_write("id", sl_str("from-file\n"));
    support_write("alpha/id", sl_str("deep"));
    support_write("dollar", sl_str("${SLUICE_A}"));
    support_write("lines", sl_str("a\n\n"));
    support_write("crlf", sl_str("a\r\n"));
    support_write("one", sl_str("1\n"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    support_remove();
    return 0;
}

static const struct CMUnitTest plain[] = {
    cmocka_unit_test(defaults_of_sections),
    cmocka_unit_test(defaults_of_the_cloud),
    cmocka_unit_test(limits_of_aws),
    cmocka_unit_test(written_limits_count_for_every_cloud),
    cmocka_unit_test(sections_compared),
    cmocka_unit_test(listeners_arrive),
    cmocka_unit_test(outputs_arrive),
    cmocka_unit_test(batches_arrive),
    cmocka_unit_test(gpio_arrives),
    cmocka_unit_test(entries_arrive),
    cmocka_unit_test(numbers_from_outside),
    cmocka_unit_test(secrets_from_files),
    cmocka_unit_test(files_are_bounded),
    cmocka_unit_test(loads_from_a_file),
    cmocka_unit_test(relative_paths_are_made_absolute),
    cmocka_unit_test(built_in),
};

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(choices) + SL_ARRAY_LEN(outsides)];
    size_t n = 0;
    n += ROWS_OF(tests + n, choices, choice_follows);
    n += ROWS_OF(tests + n, outsides, comes_from_outside);
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[n++] = plain[i];
    return _cmocka_run_group_tests("values", tests, n, set_up, tear_down);
}
