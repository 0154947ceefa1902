/* test_status.c - status, lists and metrics: valid JSON and Prometheus text whatever clients are
 * called, rules complain of and payloads hold. */
#include "gateway_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "rows.h"

#define CLIENT "q\"uote\\b<i>\xc3\xa9"
#define TOPIC  "in/\"\\\xc3\xa9<b>"

/* A gateway in which everybody behaves badly. */
struct scene {
    struct gateway_rig r;
    struct peer clients[3];
};

static void online(struct scene *s, size_t i, const char *id)
{
    peer_open(&s->clients[i], &s->r.broker, MQTT_V5);
    peer_connect(&s->clients[i], id, true, 0);
    (void)peer_next(&s->clients[i], MQTT_CONNACK);
}

static void scene_open(struct scene *s)
{
    char payload[400];
    gateway_rig_open(
        &s->r, "\"gpio\":[{\"name\":\"led\",\"chip\":\"/dev/null\",\"line\":1}],\"rules\":["
               "{\"name\":\"a\",\"sql\":\"SELECT x FROM 'in/#'\",\"to\":[{\"local\":\"${x}\"}]},"
               "{\"name\":\"b\",\"sql\":\"SELECT 'Ü\\\"\\n' AS q FROM 'in/#'\","
               "\"to\":[{\"cloud\":\"up/${topic}\"}]},"
               "{\"name\":\"c\",\"enabled\":false,\"sql\":\"SELECT * FROM '#'\","
               "\"to\":[{\"cloud\":\"up\",\"lane\":\"alert\"}]}]");
    events_start(&s->r.g->events);
    online(s, 0, CLIENT);
    online(s, 1, "a");
    online(s, 2, "z");
    int n = snprintf(payload, sizeof payload, "{\"x\":\"#");
    for (int i = 0; i < 150; i++)
        n += snprintf(payload + n, sizeof payload - (size_t)n, "\xc3\xa9"); /* cut in mid-letter */
    (void)snprintf(payload + n, sizeof payload - (size_t)n, "\"}");
    peer_publish(&s->clients[0], TOPIC, payload, 0, false, 0);
    peer_publish(&s->clients[0], "raw", "\xff\xfe\x01\"\\", 0, true, 0);
    LOG_WARN("un\"it", "%s", "\xff bytes \" of \x01 a peer");
    rig_turn(&s->r.broker);
}

static void scene_close(struct scene *s)
{
    events_stop();
    for (size_t i = 0; i < SL_ARRAY_LEN(s->clients); i++)
        peer_drop(&s->clients[i]);
    gateway_rig_close(&s->r);
}

/* Takes out over. */
static cJSON *parsed(struct sl_buf *out)
{
    assert_false(out->failed);
    assert_true(sl_utf8_valid(sl_buf_slice(out)));
    cJSON *json = cJSON_ParseWithOpts(sl_buf_cstr(out), NULL, 1);
    if (!json)
        fail_msg("not JSON: %s", sl_buf_cstr(out));
    sl_buf_free(out);
    return json;
}

static const cJSON *get(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!v)
        fail_msg("no %s", key);
    return v;
}

static const char *text(const cJSON *o, const char *key)
{
    const char *v = cJSON_GetStringValue(get(o, key));
    assert_non_null(v);
    return v;
}

/* ---- /api/v1/status ---- */

static void everything_is_there(void **state)
{
    (void)state;
    struct scene s;
    struct sl_buf out = { 0 };
    scene_open(&s);
    status_json(s.r.g, &out);
    cJSON *json = parsed(&out);
    assert_string_equal(text(get(json, "gateway"), "id"), "gw");
    assert_string_equal(text(get(json, "cloud"), "state"), "disabled");
    assert_int_equal(get(json, "clients")->valueint, 3);
    const cJSON *lanes = get(get(json, "store"), "lanes");
    assert_int_equal(cJSON_GetArraySize(lanes), OUTBOX_LANES);
    assert_int_equal(get(cJSON_GetArrayItem(lanes, OUTBOX_TELEMETRY), "accepted")->valueint, 1);
    assert_int_equal(get(get(json, "broker"), "messages_in")->valueint, 2);
    const cJSON *rules = get(json, "rules");
    assert_int_equal(cJSON_GetArraySize(rules), 3);
    assert_string_equal(text(cJSON_GetArrayItem(rules, 1), "sql"),
                        "SELECT '\xc3\x9c\"\n' AS q FROM 'in/#'");
    assert_non_null(strstr(text(cJSON_GetArrayItem(rules, 0), "last_error"), "not a valid topic"));
    assert_true(cJSON_IsFalse(get(cJSON_GetArrayItem(rules, 2), "enabled")));
    const cJSON *sensors = get(json, "sensors");
    assert_int_equal(cJSON_GetArraySize(sensors), 2);
    assert_string_equal(text(cJSON_GetArrayItem(sensors, 0), "topic"), TOPIC);
    assert_string_equal(text(cJSON_GetArrayItem(sensors, 1), "value"),
                        "\xef\xbf\xbd\xef\xbf\xbd\x01\"\\");
    assert_true(cJSON_IsArray(get(json, "gpio")) && cJSON_IsObject(get(json, "cost")));
    assert_null(get(json, "cost")->child); /* nobody sends a bill */
    assert_true(cJSON_IsNumber(get(get(json, "flash"), "written_bytes")));
    assert_true(cJSON_IsNumber(get(get(json, "flash"), "syncs")));
    assert_true(cJSON_IsNull(get(get(json, "flash"), "day_bytes"))); /* too soon to say */
    const cJSON *event = cJSON_GetArrayItem(get(json, "events"), 0);
    assert_string_equal(text(event, "unit"), "un\"it");
    assert_string_equal(text(event, "text"), "\xef\xbf\xbd bytes \" of \x01 a peer");
    assert_string_equal(text(event, "level"), "warn");
    cJSON_Delete(json);
    scene_close(&s);
}

static void sys_topics(void **state)
{
    (void)state;
    static const char *const cloud[] = { "state", "since", "cause", "error" };
    static const char *const store[] = { "messages", "bytes",   "oldest_ms",
                                         "dropped",  "thinned", "dead" };
    struct scene s;
    struct sl_buf out = { 0 };
    scene_open(&s);
    status_cloud_json(s.r.g, &out);
    cJSON *json = parsed(&out);
    for (size_t i = 0; i < SL_ARRAY_LEN(cloud); i++)
        (void)get(json, cloud[i]);
    assert_int_equal(cJSON_GetArraySize(json), SL_ARRAY_LEN(cloud));
    cJSON_Delete(json);
    status_store_json(s.r.g, &out);
    json = parsed(&out);
    for (size_t i = 0; i < SL_ARRAY_LEN(store); i++)
        assert_true(cJSON_IsNumber(get(json, store[i])));
    assert_int_equal(cJSON_GetArraySize(json), SL_ARRAY_LEN(store));
    assert_int_equal(get(json, "messages")->valueint, 1);
    cJSON_Delete(json);
    scene_close(&s);
}

/* ---- lists ---- */

static const struct list_case {
    const char *name, *list, *after;
    unsigned limit;
    const char *key, *want; /* the rows' keys, each behind a space */
} list_cases[] = {
    { "clients, in order", "clients", "", 10, "client_id", " a " CLIENT " z" },
    { "the first two clients", "clients", "", 2, "client_id", " a " CLIENT },
    { "the client after", "clients", "a", 1, "client_id", " " CLIENT },
    { "after one that is gone", "clients", "b", 10, "client_id", " " CLIENT " z" },
    { "after the last client", "clients", "z", 10, "client_id", "" },
    { "rules, as configured", "rules", "", 10, "name", " a b c" },
    { "one rule", "rules", "a", 1, "name", " b" },
    { "after the last rule", "rules", "c", 10, "name", "" },
    { "after a rule that is gone", "rules", "nope", 10, "name", "" },
    { "the newest event", "events", "", 1, "unit", " un\"it" },
    { "events older than the first", "events", "1", 10, "unit", "" },
    { "an event number that is none", "events", "x\"", 1, "unit", " un\"it" },
};

static void lists(void **state)
{
    const struct list_case *c = *state;
    struct scene s;
    struct sl_buf out = { 0 }, got = { 0 };
    const cJSON *row;
    scene_open(&s);
    assert_true(status_list(s.r.g, c->list, sl_str(c->after), c->limit, &out));
    cJSON *json = parsed(&out);
    assert_true(cJSON_IsArray(json));
    cJSON_ArrayForEach(row, json) sl_buf_printf(&got, " %s", text(row, c->key));
    assert_string_equal(sl_buf_cstr(&got), c->want);
    sl_buf_free(&got);
    cJSON_Delete(json);
    scene_close(&s);
}

static void no_such_list(void **state)
{
    (void)state;
    static const char *const names[] = { "", "client", "clients ", "Events", "status" };
    struct scene s;
    struct sl_buf out = { 0 };
    scene_open(&s);
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
        assert_false(status_list(s.r.g, names[i], sl_str(""), 10, &out));
    assert_int_equal(out.len, 0);
    scene_close(&s);
}

static bool store_is_open(void *ctx)
{
    struct outbox_stats s;
    outbox_get_stats(((struct gateway *)ctx)->outbox, &s);
    return !s.opening;
}

static void health(void **state)
{
    (void)state;
    struct scene s;
    struct sl_buf out = { 0 };
    scene_open(&s);
    assert_false(status_ready(s.r.g, &out));
    assert_string_equal(sl_buf_cstr(&out), "[\"the store is being opened\"]");
    gateway_rig_until(&s.r, store_is_open, s.r.g);
    sl_buf_reset(&out);
    assert_true(status_healthy(s.r.g, &out) && status_ready(s.r.g, &out));
    assert_string_equal(sl_buf_cstr(&out), "[][]");
    s.r.g->stopping = true;
    sl_buf_reset(&out);
    assert_false(status_healthy(s.r.g, &out));
    assert_string_equal(sl_buf_cstr(&out), "[\"the gateway is stopping\"]");
    sl_buf_reset(&out);
    assert_false(status_ready(s.r.g, &out));
    sl_buf_free(&out);
    scene_close(&s);
}

/* ---- metrics: a checker of Prometheus' text format 0.0.4 ---- */

struct checker {
    char family[128], type[16];
    char seen[300][128]; /* families */
    size_t families, samples;
    struct sl_buf all; /* every sample's name and labels, one a line, for repeats */
};

static size_t name_len(const char *s)
{
    size_t n = 0;
    while ((s[n] >= 'a' && s[n] <= 'z') || s[n] == '_' || (n > 0 && s[n] >= '0' && s[n] <= '9'))
        n++;
    return n;
}

static void check_type(struct checker *c, const char *line)
{
    assert_int_equal(sscanf(line, "# TYPE %127s %15s", c->family, c->type), 2);
    assert_true(strcmp(c->type, "counter") == 0 || strcmp(c->type, "gauge") == 0);
    assert_int_equal(strncmp(c->family, "sluice_", 7), 0);
    size_t n = strlen(c->family);
    assert_int_equal(name_len(c->family), n);
    bool total = n > 6 && strcmp(c->family + n - 6, "_total") == 0;
    if (total != (strcmp(c->type, "counter") == 0))
        fail_msg("%s is a %s", c->family, c->type);
    for (size_t i = 0; i < c->families; i++)
        if (strcmp(c->seen[i], c->family) == 0)
            fail_msg("%s twice", c->family);
    assert_true(c->families < SL_ARRAY_LEN(c->seen));
    memcpy(c->seen[c->families++], c->family, sizeof c->seen[0]);
}

/* name="value",...} with values escaped; returns what is behind it. */
static const char *check_labels(const char *at)
{
    for (;;) {
        size_t n = name_len(at);
        assert_true(n > 0);
        at += n;
        assert_int_equal(strncmp(at, "=\"", 2), 0);
        for (at += 2; *at != '"'; at++) {
            assert_true(*at != '\0' && *at != '\n');
            if (*at == '\\') {
                at++;
                assert_true(*at == '\\' || *at == '"' || *at == 'n');
            }
        }
        at++;
        if (*at != ',')
            break;
        at++;
    }
    assert_int_equal(*at, '}');
    return at + 1;
}

static void check_sample(struct checker *c, const char *line)
{
    size_t n = name_len(line);
    if (n != strlen(c->family) || strncmp(line, c->family, n) != 0)
        fail_msg("%s stands under %s", line, c->family);
    const char *at = line[n] == '{' ? check_labels(line + n + 1) : line + n;
    struct sl_buf key = { 0 };
    sl_buf_printf(&key, "\n%.*s ", (int)(at - line), line);
    assert_null(strstr(sl_buf_cstr(&c->all), sl_buf_cstr(&key)));
    sl_buf_put_slice(&c->all, sl_buf_slice(&key));
    sl_buf_free(&key);
    assert_int_equal(*at++, ' ');
    char *end;
    double v = strtod(at, &end);
    assert_true(end > at && *end == '\0');
    if (strcmp(c->type, "counter") == 0)
        assert_true(v >= 0);
    c->samples++;
}

static void check_metrics(struct checker *c, char *all)
{
    char *line, *rest = all;
    char help[128];
    assert_true(*all && all[strlen(all) - 1] == '\n');
    while ((line = strsep(&rest, "\n")) && rest) {
        if (sscanf(line, "# HELP %127s", help) == 1) {
            size_t samples = c->samples;
            line = strsep(&rest, "\n");
            check_type(c, line);
            assert_string_equal(c->family, help);
            c->samples = samples;
        } else {
            check_sample(c, line);
        }
    }
}

static void metrics_are_prometheus_text(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "sluice_info",
        "sluice_uptime_seconds",
        "sluice_clients",
        "sluice_messages_received_total",
        "sluice_messages_dropped_total",
        "sluice_outbox_lost_total",
        "sluice_outbox_waiting_bytes",
        "sluice_store_usable",
        "sluice_store_no_room",
        "sluice_store_kept_messages",
        "sluice_cloud_online",
        "sluice_rule_in_total",
    };
    struct scene s;
    struct sl_buf out = { 0 };
    struct checker *c = test_calloc(1, sizeof *c);
    scene_open(&s);
    metrics_text(s.r.g, &out);
    char *all = strdup(sl_buf_cstr(&out));
    assert_non_null(all);
    check_metrics(c, all);
    assert_true(c->samples > 40);
    for (size_t i = 0; i < SL_ARRAY_LEN(wanted); i++) {
        bool found = false;
        for (size_t k = 0; k < c->families; k++)
            found |= strcmp(c->seen[k], wanted[i]) == 0;
        if (!found)
            fail_msg("no %s", wanted[i]);
    }
    assert_non_null(strstr(sl_buf_cstr(&out), "\nsluice_rule_errors_total{rule=\"a\"} 1\n"));
    assert_non_null(
        strstr(sl_buf_cstr(&out), "\nsluice_outbox_accepted_total{lane=\"telemetry\"} 1\n"));
    free(all);
    sl_buf_free(&c->all);
    sl_buf_free(&out);
    test_free(c);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(everything_is_there),
        cmocka_unit_test(sys_topics),
        cmocka_unit_test(no_such_list),
        cmocka_unit_test(health),
        cmocka_unit_test(metrics_are_prometheus_text),
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(list_cases)];
    size_t n = SL_ARRAY_LEN(plain);
    memcpy(tests, plain, sizeof plain);
    n += ROWS_OF(tests + n, list_cases, lists);
    return _cmocka_run_group_tests("status", tests, n, NULL, NULL);
}
