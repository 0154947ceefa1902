/* test_history.c - the page's rates and events: what is kept, what is given out, what is forgotten.
 */
#include "events.h"
#include "history.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

/* ---- history ---- */

static struct history_sample at(int64_t second, uint64_t total, uint64_t waiting)
{
    return (struct history_sample){ .mono_ms = 5000 + second * 1000,
                                    .wall_ms = 1764000000000 + second * 1000,
                                    .in = total,
                                    .out = 2 * total,
                                    .cloud = total / 2,
                                    .waiting = waiting };
}

static cJSON *points(const struct history *h, const char *series, int64_t since_ms)
{
    struct sl_buf out = { 0 };
    assert_true(history_json(h, sl_str(series), since_ms, &out));
    cJSON *json = cJSON_ParseWithOpts(sl_buf_cstr(&out), NULL, 1);
    assert_non_null(json);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "series")), series);
    cJSON *list = cJSON_DetachItemFromObject(json, "points");
    assert_true(cJSON_IsArray(list));
    cJSON_Delete(json);
    sl_buf_free(&out);
    return list;
}

static double value(const cJSON *list, int i)
{
    return cJSON_GetArrayItem(cJSON_GetArrayItem(list, i), 1)->valuedouble;
}

static void a_rate_needs_two_samples(void **state)
{
    (void)state;
    struct history h = { 0 };
    struct history_sample s = at(0, 100, 7);
    history_add(&h, &s);
    cJSON *list = points(&h, "in", 0);
    assert_int_equal(cJSON_GetArraySize(list), 0);
    cJSON_Delete(list);
    s = at(2, 130, 9); /* two seconds later: the loop was busy */
    history_add(&h, &s);
    assert_true(h.in_per_s == 15 && h.out_per_s == 30 && h.cloud_per_s == 7.5);
    list = points(&h, "waiting", 0);
    assert_int_equal(cJSON_GetArraySize(list), 1);
    assert_true(value(list, 0) == 9);
    cJSON_Delete(list);
}

static void the_oldest_points_go(void **state)
{
    (void)state;
    struct history h = { 0 };
    for (int i = 0; i <= HISTORY_POINTS + 50; i++) {
        struct history_sample s = at(i, (uint64_t)i * 3, (uint64_t)i);
        history_add(&h, &s);
    }
    cJSON *list = points(&h, "waiting", 0);
    assert_int_equal(cJSON_GetArraySize(list), HISTORY_POINTS);
    assert_true(value(list, 0) == 51);
    assert_true(value(list, HISTORY_POINTS - 1) == HISTORY_POINTS + 50);
    cJSON_Delete(list);
    list = points(&h, "in", h.last_ms - 9000);
    assert_int_equal(cJSON_GetArraySize(list), 10);
    assert_true(value(list, 0) == 3);
    cJSON_Delete(list);
    list = points(&h, "cloud", h.last_ms + 1);
    assert_int_equal(cJSON_GetArraySize(list), 0);
    cJSON_Delete(list);
}

static void a_total_that_goes_back_is_no_rate(void **state)
{
    (void)state;
    struct history h = { 0 };
    struct history_sample s = at(0, 100, 0);
    history_add(&h, &s);
    s = at(1, 5, 0);
    history_add(&h, &s);
    assert_true(h.in_per_s == 0);
    s = at(1, 50, 0); /* no time has passed */
    history_add(&h, &s);
    assert_true(h.in_per_s == 0);
}

static void unknown_series(void **state)
{
    (void)state;
    static const char *const names[] = { "", "i", "in ", "IN", "waiting\"" };
    struct history h = { 0 };
    struct sl_buf out = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
        assert_false(history_json(&h, sl_str(names[i]), 0, &out));
    assert_false(history_json(&h, sl_bytes("in\0x", 4), 0, &out));
    assert_int_equal(out.len, 0);
    sl_buf_free(&out);
}

/* ---- events ---- */

static void events_are_the_logs_lines(void **state)
{
    (void)state;
    struct events e = { 0 };
    events_start(&e);
    assert_int_equal(events_first(&e), 1);
    assert_null(events_get(&e, 0));
    assert_null(events_get(&e, 1));
    sl_log_configure(SL_DEBUG, SL_LOG_TEXT);
    LOG_DEBUG("unit", "not one"); /* the page is no debugger */
    LOG_WARN("a-unit-with-a-long-name", "%s", "first");
    LOG_ERROR("unit", "%0300d", 7);
    events_stop();
    LOG_INFO("unit", "too late");
    assert_null(events_get(&e, 3));
    assert_int_equal(events_get(&e, 1)->level, SL_WARN);
    assert_string_equal(events_get(&e, 1)->text, "first");
    assert_string_equal(events_get(&e, 1)->unit, "a-unit-with-a-l");
    assert_int_equal(strlen(events_get(&e, 2)->text), sizeof events_get(&e, 2)->text - 1);
    assert_int_equal(events_get(&e, 2)->number, 2);
    assert_true(events_get(&e, 2)->wall_ms > 1600000000000);
}

static void the_oldest_events_go(void **state)
{
    (void)state;
    struct events *e = test_calloc(1, sizeof *e);
    events_start(e);
    for (int i = 1; i <= EVENTS_MAX + 3; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "event %d", i);
        e->next = (uint64_t)i; /* as if by the log, which holds floods back */
        struct event *slot = &e->ring[i % EVENTS_MAX];
        *slot = (struct event){ .number = (uint64_t)i };
        (void)snprintf(slot->text, sizeof slot->text, "%s", text);
        e->next++;
    }
    events_stop();
    assert_int_equal(events_first(e), 4);
    assert_null(events_get(e, 3));
    assert_string_equal(events_get(e, 4)->text, "event 4");
    assert_string_equal(events_get(e, EVENTS_MAX + 3)->text, "event 203");
    assert_null(events_get(e, EVENTS_MAX + 4));
    test_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_needs_two_samples),          cmocka_unit_test(the_oldest_points_go),
        cmocka_unit_test(a_total_that_goes_back_is_no_rate), cmocka_unit_test(unknown_series),
        cmocka_unit_test(events_are_the_logs_lines),         cmocka_unit_test(the_oldest_events_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
