/* test_engine.c - rules on a real broker with a real outbox: where outputs go, when the publisher
 * hears of it, and what becomes of failures. No link: what is for the cloud goes to disk. */
#include "gateway_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "rows.h"

static void online(struct peer *p, struct gateway_rig *r, enum mqtt_version v, const char *id)
{
    peer_open(p, &r->broker, v);
    peer_connect(p, id, true, 0);
    (void)peer_next(p, MQTT_CONNACK);
}

/* The acknowledgement that is to come now or within this turn: its reason. */
static uint8_t acked(struct gateway_rig *r, struct peer *p, enum mqtt_type type, uint16_t id)
{
    uint8_t reason = 0xff;
    gateway_rig_wait(r, p);
    assert_int_equal(peer_next_ack(p, type, &reason), id);
    return reason;
}

static void assert_topic(struct peer *p, const char *topic, const char *payload)
{
    struct mqtt_publish m = peer_next_publish(p);
    if (!sl_slice_eq(m.topic, sl_str(topic)) || !sl_slice_eq(m.payload, sl_str(payload)))
        fail_msg("%.*s %.*s, not %s %s", SL_FMT(m.topic), SL_FMT(m.payload), topic, payload);
}

/* ---- outputs ---- */

static void the_cloud_holds_the_acknowledgement(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p;
    gateway_rig_open(&r,
                     "\"rules\":[{\"name\":\"hot\",\"sql\":\"SELECT t FROM 'in/+' WHERE t > 20\","
                     "\"to\":[{\"cloud\":\"up/${gateway}/${topic(2)}\",\"lane\":\"alert\"}]}]");
    online(&p, &r, MQTT_V311, "p");
    peer_publish(&p, "in/a", "{\"t\":21}", 1, false, 1);
    assert_true(peer_quiet(&p)); /* not committed yet */
    peer_publish(&p, "in/a", "{\"t\":19}", 1, false, 2);
    assert_true(peer_quiet(&p)); /* in order */
    peer_publish(&p, "in/a", "{\"t\":22}", 2, false, 3);
    acked(&r, &p, MQTT_PUBACK, 1);
    assert_int_equal(gateway_rig_lane(&r, OUTBOX_ALERT).on_disk, 2);
    acked(&r, &p, MQTT_PUBACK, 2);
    acked(&r, &p, MQTT_PUBREC, 3);
    struct engine_rule_view v = gateway_rig_rule(&r, "hot");
    assert_true(v.in == 3 && v.kept == 2 && v.out == 2 && v.errors == 0);
    peer_drop(&p);
    gateway_rig_close(&r);
}

static void local_outputs(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p, sub, late;
    gateway_rig_open(
        &r, "\"rules\":[{\"name\":\"l\",\"sql\":\"SELECT t, topic(1) AS x FROM 'in'\",\"to\":["
            "{\"local\":\"out/${x}/${t}\",\"qos\":1,\"retain\":true},{\"local\":\"also\"}]}]");
    online(&p, &r, MQTT_V311, "p");
    online(&sub, &r, MQTT_V311, "sub");
    peer_subscribe(&sub, "#", 0);
    peer_publish(&p, "in", "{\"t\":5}", 1, false, 9);
    assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, NULL), 9);
    assert_topic(&sub, "in", "{\"t\":5}");
    assert_topic(&sub, "out/in/5", "{\"t\":5,\"x\":\"in\"}");
    assert_topic(&sub, "also", "{\"t\":5,\"x\":\"in\"}");
    online(&late, &r, MQTT_V311, "late");
    peer_subscribe(&late, "out/#", 0);
    assert_topic(&late, "out/in/5", "{\"t\":5,\"x\":\"in\"}");
    assert_true(gateway_rig_rule(&r, "l").out == 2);
    peer_drop(&p);
    peer_drop(&sub);
    peer_drop(&late);
    gateway_rig_close(&r);
}

/* What a local output leads to by way of another rule holds the acknowledgement as well. */
static void rules_one_behind_the_other(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p;
    gateway_rig_open(
        &r, "\"rules\":["
            "{\"name\":\"a\",\"sql\":\"SELECT * FROM 'in'\",\"to\":[{\"local\":\"mid\"}]},"
            "{\"name\":\"b\",\"sql\":\"SELECT * FROM 'mid'\",\"to\":[{\"cloud\":\"up\"}]}]");
    online(&p, &r, MQTT_V311, "p");
    peer_publish(&p, "in", "x", 1, false, 1);
    assert_true(peer_quiet(&p));
    acked(&r, &p, MQTT_PUBACK, 1);
    assert_int_equal(gateway_rig_lane(&r, OUTBOX_TELEMETRY).on_disk, 1);
    peer_drop(&p);
    gateway_rig_close(&r);
}

/* ---- failures ---- */

static void assert_error(struct peer *p, const char *topic, const char *action, const char *says)
{
    struct mqtt_publish m = peer_next_publish(p);
    assert_true(sl_slice_eq(m.topic, sl_str(topic)));
    cJSON *json = cJSON_ParseWithLength((const char *)m.payload.ptr, m.payload.len);
    const cJSON *f = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "failures"), 0);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "ruleName")), "r");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(f, "failedAction")), action);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(f, "errorMessage"));
    if (!text || !strstr(text, says))
        fail_msg("\"%s\" does not say \"%s\"", text ? text : "", says);
    cJSON_Delete(json);
}

static const struct failure_case {
    const char *name, *rule, *payload, *action, *says;
} failure_cases[] = {
    { "the statement", "\"sql\":\"SELECT *, 1 AS a FROM 'in'\",\"to\":[{\"cloud\":\"up\"}]",
      "no JSON", "sql", "not a JSON object" },
    { "a cloud topic", "\"sql\":\"SELECT * FROM 'in'\",\"to\":[{\"cloud\":\"up/${nope}\"}]", "{}",
      "cloud", "${nope}" },
    { "a local topic", "\"sql\":\"SELECT x FROM 'in'\",\"to\":[{\"local\":\"a/${x}\"}]",
      "{\"x\":\"a/#\"}", "local", "not a valid topic" },
    { "too deep a topic", "\"sql\":\"SELECT x FROM 'in'\",\"to\":[{\"local\":\"${x}\"}]",
      "{\"x\":\"///////////////////////////////////////////////////////////////////////////////////"
      "//"
      "////////////////////////////////////////////////////////////////////////////////////////////"
      "/"
      "/////////////////////////////////////////////////////////////////////////////////////////"
      "\"}",
      "local", "levels" },
    { "a GPIO line", "\"sql\":\"SELECT 1 AS state FROM 'in'\",\"to\":[{\"gpio\":\"led\"}]", "{}",
      "gpio", "GPIO" },
};

/* Every time the same: acknowledged, counted, handed to on_error. */
static void fails(void **state)
{
    const struct failure_case *c = *state;
    struct gateway_rig r;
    struct peer p, sub;
    struct sl_buf sections = { 0 };
    sl_buf_printf(
        &sections,
        "\"gpio\":[{\"name\":\"led\",\"chip\":\"/dev/null\",\"line\":1,\"direction\":\"out\"}],"
        "\"rules\":[{\"name\":\"r\",%s,\"on_error\":[{\"local\":\"errors/${topic(1)}\"}]}]",
        c->rule);
    gateway_rig_open(&r, sl_buf_cstr(&sections));
    online(&p, &r, MQTT_V5, "p");
    online(&sub, &r, MQTT_V311, "sub");
    peer_subscribe(&sub, "errors/#", 0);
    peer_publish(&p, "in", c->payload, 1, false, 1);
    assert_int_equal(acked(&r, &p, MQTT_PUBACK, 1), 0);
    assert_error(&sub, "errors/in", c->action, c->says);
    struct engine_rule_view v = gateway_rig_rule(&r, "r");
    assert_true(v.errors == 1 && v.out == 1); /* the error output */
    assert_non_null(strstr(v.last_error, c->says));
    assert_int_equal(gateway_rig_lane(&r, OUTBOX_TELEMETRY).accepted, 0);
    sl_buf_free(&sections);
    peer_drop(&p);
    peer_drop(&sub);
    gateway_rig_close(&r);
}

static void error_outputs_hold_the_acknowledgement(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p;
    gateway_rig_open(&r,
                     "\"rules\":[{\"name\":\"r\",\"sql\":\"SELECT * FROM 'in'\","
                     "\"to\":[{\"local\":\"${nope}\"}],\"on_error\":[{\"cloud\":\"errors\"}]}]");
    online(&p, &r, MQTT_V311, "p");
    peer_publish(&p, "in", "x", 1, false, 1);
    assert_true(peer_quiet(&p));
    acked(&r, &p, MQTT_PUBACK, 1);
    assert_int_equal(gateway_rig_lane(&r, OUTBOX_TELEMETRY).on_disk, 1);
    peer_drop(&p);
    gateway_rig_close(&r);
}

/* An error output that fails is counted and makes no more. */
static void errors_of_errors(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p;
    gateway_rig_open(&r,
                     "\"rules\":[{\"name\":\"r\",\"sql\":\"SELECT * FROM 'in'\","
                     "\"to\":[{\"local\":\"${nope}\"}],\"on_error\":[{\"local\":\"e/${nope}\"}]}]");
    online(&p, &r, MQTT_V5, "p");
    peer_publish(&p, "in", "x", 1, false, 1);
    assert_int_equal(acked(&r, &p, MQTT_PUBACK, 1), 0);
    assert_true(gateway_rig_rule(&r, "r").errors == 2);
    peer_drop(&p);
    gateway_rig_close(&r);
}

/* A message too large for the error's payload is left out of it; the error is not. */
static void an_error_without_its_payload(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p, sub;
    gateway_rig_open(&r, "\"broker\":{\"max_packet_size\":\"2MiB\",\"max_queued_bytes\":\"8MiB\"},"
                         "\"rules\":[{\"name\":\"r\",\"sql\":\"SELECT *, 1 AS a FROM 'in'\","
                         "\"to\":[{\"local\":\"x\"}],\"on_error\":[{\"local\":\"errors\"}]}]");
    char *big = test_malloc(1000001);
    memset(big, 'x', 1000000);
    big[1000000] = '\0';
    online(&p, &r, MQTT_V5, "p");
    online(&sub, &r, MQTT_V311, "sub");
    peer_subscribe(&sub, "errors", 0);
    peer_publish(&p, "in", big, 1, false, 1);
    assert_int_equal(acked(&r, &p, MQTT_PUBACK, 1), 0);
    assert_error(&sub, "errors", "sql", "not a JSON object");
    test_free(big);
    peer_drop(&p);
    peer_drop(&sub);
    gateway_rig_close(&r);
}

/* No room: counted, and not acknowledged. */
static void a_full_store_refuses(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer five, three;
    char payload[20001];
    gateway_rig_open(&r, "\"store\":{\"max_bytes\":\"64KiB\",\"when_full\":\"refuse\"},"
                         "\"rules\":[{\"name\":\"r\",\"sql\":\"SELECT * FROM 'in'\","
                         "\"to\":[{\"cloud\":\"up\"}],\"on_error\":[{\"local\":\"errors\"}]}]");
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    online(&five, &r, MQTT_V5, "five");
    online(&three, &r, MQTT_V311, "three");
    peer_subscribe(&three, "errors", 0);
    for (uint16_t i = 1; i <= 3; i++) {
        peer_publish(&five, "in", payload, 1, false, i);
        assert_int_equal(acked(&r, &five, MQTT_PUBACK, i), 0);
    }
    peer_publish(&five, "in", payload, 1, false, 4);
    assert_int_equal(acked(&r, &five, MQTT_PUBACK, 4), MQTT_RC_QUOTA_EXCEEDED);
    peer_publish(&three, "in", payload, 1, false, 5);
    assert_true(peer_quiet(&three)); /* neither acknowledged nor an error that says more */
    assert_true(gateway_rig_rule(&r, "r").errors == 2);
    assert_int_equal(gateway_rig_lane(&r, OUTBOX_TELEMETRY).accepted, 3);
    peer_drop(&five);
    peer_drop(&three);
    gateway_rig_close(&r);
}

/* ---- loops ---- */

static void a_loop_ends(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p, sub;
    gateway_rig_open(&r, "\"rules\":[{\"name\":\"r\",\"sql\":\"SELECT * FROM 'loop'\","
                         "\"to\":[{\"local\":\"loop\"}],\"on_error\":[{\"local\":\"errors\"}]}]");
    online(&p, &r, MQTT_V5, "p");
    online(&sub, &r, MQTT_V311, "sub");
    peer_subscribe(&sub, "errors", 0);
    peer_publish(&p, "loop", "x", 1, false, 1);
    assert_int_equal(acked(&r, &p, MQTT_PUBACK, 1), 0);
    struct engine_rule_view v = gateway_rig_rule(&r, "r");
    assert_true(v.in == ENGINE_HOPS_MAX + 1 && v.kept == ENGINE_HOPS_MAX && v.errors == 1);
    assert_error(&sub, "errors", "rule", "loop");
    assert_true(peer_quiet(&sub));
    peer_drop(&p);
    peer_drop(&sub);
    gateway_rig_close(&r);
}

/* Its errors come back to the rule that fails. */
static void a_loop_of_errors_ends(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p;
    gateway_rig_open(&r,
                     "\"rules\":[{\"name\":\"r\",\"sql\":\"SELECT * FROM '#'\","
                     "\"to\":[{\"local\":\"${nope}\"}],\"on_error\":[{\"local\":\"errors\"}]}]");
    online(&p, &r, MQTT_V5, "p");
    peer_publish(&p, "in", "x", 1, false, 1);
    assert_int_equal(acked(&r, &p, MQTT_PUBACK, 1), 0);
    assert_true(gateway_rig_rule(&r, "r").errors == ENGINE_HOPS_MAX + 2);
    assert_int_equal(r.g->broker->internal_count, 0);
    peer_drop(&p);
    gateway_rig_close(&r);
}

/* The error of a loop has no output that a template could look into, least of all the one of the
 * message before, whose payload is gone. */
static void templates_of_errors_see_no_old_output(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p;
    gateway_rig_open(&r, "\"rules\":["
                         "{\"name\":\"first\",\"sql\":\"SELECT *, 1 AS one FROM 'in'\","
                         "\"to\":[{\"local\":\"a/${room}\"}]},"
                         "{\"name\":\"r\",\"sql\":\"SELECT *, 1 AS one FROM 'loop'\","
                         "\"to\":[{\"local\":\"loop\"},{\"local\":\"in\"}],"
                         "\"on_error\":[{\"local\":\"errors/${room}\"}]}]");
    online(&p, &r, MQTT_V5, "p");
    peer_publish(&p, "loop", "{\"room\":\"kitchen\"}", 1, false, 1);
    assert_int_equal(acked(&r, &p, MQTT_PUBACK, 1), 0);
    struct engine_rule_view v = gateway_rig_rule(&r, "r");
    assert_true(v.errors == 2); /* the loop, and the error output's topic */
    assert_non_null(strstr(v.last_error, "${room}"));
    peer_drop(&p);
    gateway_rig_close(&r);
}

/* ---- reload ---- */

static void set_rules(struct gateway_rig *r, const char *sections)
{
    struct engine_rules *rules;
    struct sl_err err = { 0 };
    struct config *c = gateway_rig_config(r, sections);
    assert_int_equal(engine_prepare(r->g->engine, c, &rules, &err), SL_OK);
    engine_commit(r->g->engine, rules);
    config_free(c);
}

static void a_reload_keeps_counters(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p;
    gateway_rig_open(
        &r, "\"rules\":["
            "{\"name\":\"stays\",\"sql\":\"SELECT * FROM 'a'\",\"to\":[{\"local\":\"x\"}]},"
            "{\"name\":\"goes\",\"sql\":\"SELECT * FROM 'a'\",\"to\":[{\"local\":\"y\"}]}]");
    online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "+", 0);
    peer_publish(&p, "a", "1", 0, false, 0);
    assert_topic(&p, "a", "1");
    assert_topic(&p, "x", "1");
    assert_topic(&p, "y", "1");
    set_rules(&r, "\"rules\":["
                  "{\"name\":\"off\",\"enabled\":false,\"sql\":\"SELECT * FROM "
                  "'b'\",\"to\":[{\"local\":\"w\"}]},"
                  "{\"name\":\"stays\",\"sql\":\"SELECT * FROM 'b'\",\"to\":[{\"local\":\"z\"}]}]");
    peer_publish(&p, "a", "2", 0, false, 0);
    assert_topic(&p, "a", "2");
    peer_publish(&p, "b", "3", 0, false, 0);
    assert_topic(&p, "b", "3");
    assert_topic(&p, "z", "3");
    assert_true(peer_quiet(&p));
    assert_int_equal(engine_count(r.g->engine), 2);
    assert_true(gateway_rig_rule(&r, "stays").in == 2);
    assert_true(gateway_rig_rule(&r, "off").in == 0);
    peer_drop(&p);
    gateway_rig_close(&r);
}

static const struct bad_rule_case {
    const char *name, *sections, *says;
} bad_rule_cases[] = {
    { "a statement",
      "\"rules\":[{\"name\":\"a\",\"sql\":\"SELECT * FROM 'a'\",\"to\":[{\"local\":\"q\"}]},"
      "{\"name\":\"new\",\"sql\":\"SELEC * FROM 'a'\",\"to\":[{\"local\":\"x\"}]}]",
      "rule \"new\": line 1, column 1" },
    { "a topic",
      "\"rules\":[{\"name\":\"a\",\"sql\":\"SELECT * FROM "
      "'a'\",\"to\":[{\"local\":\"q/${topic(0)}\"}]}]",
      "rule \"a\": topic \"q/${topic(0)}\"" },
    { "an error output's topic",
      "\"rules\":[{\"name\":\"a\",\"sql\":\"SELECT * FROM 'a'\",\"to\":[{\"local\":\"q\"}],"
      "\"on_error\":[{\"cloud\":\"x/#\"}]}]",
      "rule \"a\": topic \"x/#\"" },
};

/* What cannot be made changes nothing. */
static void bad_rules_change_nothing(void **state)
{
    const struct bad_rule_case *c = *state;
    struct gateway_rig r;
    struct peer p;
    struct engine_rules *rules = NULL;
    struct sl_err err = { 0 };
    gateway_rig_open(
        &r,
        "\"rules\":[{\"name\":\"a\",\"sql\":\"SELECT * FROM 'a'\",\"to\":[{\"local\":\"x\"}]}]");
    struct config *bad = gateway_rig_config(&r, c->sections);
    assert_int_equal(engine_prepare(r.g->engine, bad, &rules, &err), SL_INVALID);
    if (!strstr(err.text, c->says))
        fail_msg("%s", err.text);
    assert_null(rules);
    online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "+", 0);
    peer_publish(&p, "a", "1", 0, false, 0);
    assert_topic(&p, "a", "1");
    assert_topic(&p, "x", "1");
    assert_true(peer_quiet(&p)); /* no tap of a half-made rule */
    config_free(bad);
    peer_drop(&p);
    gateway_rig_close(&r);
}

/* Made and thrown away, since another part of the reload failed. */
static void discarded_rules_leave_no_trace(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p;
    struct engine_rules *rules = NULL;
    struct sl_err err = { 0 };
    gateway_rig_open(&r, "");
    struct config *c = gateway_rig_config(
        &r,
        "\"rules\":[{\"name\":\"a\",\"sql\":\"SELECT * FROM 'a'\",\"to\":[{\"local\":\"x\"}]}]");
    assert_int_equal(engine_prepare(r.g->engine, c, &rules, &err), SL_OK);
    engine_discard(rules);
    engine_discard(NULL);
    online(&p, &r, MQTT_V311, "p");
    peer_subscribe(&p, "+", 0);
    peer_publish(&p, "a", "1", 0, false, 0);
    assert_topic(&p, "a", "1");
    assert_true(peer_quiet(&p));
    assert_int_equal(engine_count(r.g->engine), 0);
    config_free(c);
    peer_drop(&p);
    gateway_rig_close(&r);
}

/* ---- the end ---- */

/* Stopping with a publish on its way: it is acknowledged, since it was committed. */
static void stopping_commits_and_acknowledges(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct peer p;
    gateway_rig_open(
        &r, "\"store\":{\"commit_interval\":\"10s\"},\"rules\":["
            "{\"name\":\"a\",\"sql\":\"SELECT * FROM 'in'\",\"to\":[{\"local\":\"mid\"}]},"
            "{\"name\":\"b\",\"sql\":\"SELECT * FROM 'mid'\",\"to\":[{\"cloud\":\"up\"}]}]");
    online(&p, &r, MQTT_V311, "p");
    peer_publish(&p, "in", "x", 1, false, 1);
    assert_true(peer_quiet(&p));
    gateway_rig_close(&r);
    assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, NULL), 1);
    assert_false(p.open);
    sl_buf_free(&p.received);
}

int main(void)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(the_cloud_holds_the_acknowledgement),
        cmocka_unit_test(local_outputs),
        cmocka_unit_test(rules_one_behind_the_other),
        cmocka_unit_test(error_outputs_hold_the_acknowledgement),
        cmocka_unit_test(errors_of_errors),
        cmocka_unit_test(an_error_without_its_payload),
        cmocka_unit_test(a_full_store_refuses),
        cmocka_unit_test(a_loop_ends),
        cmocka_unit_test(a_loop_of_errors_ends),
        cmocka_unit_test(templates_of_errors_see_no_old_output),
        cmocka_unit_test(a_reload_keeps_counters),
        cmocka_unit_test(discarded_rules_leave_no_trace),
        cmocka_unit_test(stopping_commits_and_acknowledges),
    };
    struct CMUnitTest
        tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(failure_cases) + SL_ARRAY_LEN(bad_rule_cases)];
    size_t n = SL_ARRAY_LEN(plain);
    memcpy(tests, plain, sizeof plain);
    n += ROWS_OF(tests + n, failure_cases, fails);
    n += ROWS_OF(tests + n, bad_rule_cases, bad_rules_change_nothing);
    return _cmocka_run_group_tests("engine", tests, n, NULL, NULL);
}
