/* test_queue_page.c - what waits for the cloud, page by page, while it comes and goes. */
#include "gateway_rig.h"

#include "queue_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

struct got {
    cJSON *rows; /* NULL: an error */
    char error[128];
    bool done;
};

static void on_page(void *ctx, struct sl_buf *json, const char *error)
{
    struct got *g = ctx;
    g->done = true;
    if (error)
        (void)snprintf(g->error, sizeof g->error, "%s", error);
    else
        g->rows = cJSON_Parse(sl_buf_cstr(json));
}

static bool is_done(void *ctx)
{
    return ((struct got *)ctx)->done;
}

static cJSON *page(struct gateway_rig *r, const struct web_queue_ask *ask)
{
    struct got got = { 0 };
    struct sl_err err;
    assert_int_equal(queue_page(r->g->outbox, ask, on_page, &got, &err), SL_OK);
    assert_false(got.done); /* never from within */
    gateway_rig_until(r, is_done, &got);
    assert_string_equal(got.error, "");
    assert_true(cJSON_IsArray(got.rows));
    return got.rows;
}

static void put(struct gateway_rig *r, enum outbox_lane lane, const char *payload, size_t len)
{
    struct sl_msg *m = sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str("t"),
                                                          .payload = sl_bytes(payload, len),
                                                          .expiry_s = SL_MSG_NO_EXPIRY,
                                                          .qos = 1,
                                                          .mono_ms = sl_mono_ms(r->g->clock),
                                                          .wall_ms = sl_wall_ms(r->g->clock) });
    assert_non_null(m);
    assert_true(outbox_put(r->g->outbox, lane, m, NULL, NULL));
    sl_msg_unref(m);
}

static void put_number(struct gateway_rig *r, enum outbox_lane lane, int n)
{
    char text[16];
    put(r, lane, text, (size_t)snprintf(text, sizeof text, "%d", n));
}

static const char *key_of(const cJSON *row)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, "key"));
}

/* The payloads of all pages, which are numbers, as they come: "1 2 3 | 4 5 |". */
static void walk(struct gateway_rig *r, struct web_queue_ask ask, struct sl_buf *ret)
{
    char after[64] = "";
    for (;;) {
        ask.after = sl_str(after);
        cJSON *rows = page(r, &ask);
        const cJSON *row;
        cJSON_ArrayForEach(row, rows)
        {
            sl_buf_printf(ret, "%d ", cJSON_GetObjectItem(row, "payload")->valueint);
            (void)snprintf(after, sizeof after, "%s", key_of(row));
        }
        bool last = cJSON_GetArraySize(rows) == 0;
        cJSON_Delete(rows);
        if (last)
            return;
        sl_buf_put_str(ret, "| ");
    }
}

static bool is_open(void *ctx)
{
    struct outbox_stats s;
    outbox_get_stats(((struct gateway *)ctx)->outbox, &s);
    return !s.opening;
}

static void open_store(struct gateway_rig *r)
{
    gateway_rig_open(r, "\"store\":{\"commit_interval\":\"1ms\"}");
    gateway_rig_until(r, is_open, r->g);
}

static bool is_written(void *ctx)
{
    struct outbox_stats s;
    outbox_get_stats(((struct gateway *)ctx)->outbox, &s);
    return !s.opening && s.in_memory == 0;
}

static const struct walk_case {
    const char *name, *lane;
    unsigned limit;
    const char *want;
} walks[] = {
    { "one page", "", 100, "1 2 3 4 5 6 7 | " },
    { "pages end where they like", "", 3, "1 2 3 | 4 5 6 | 7 | " },
    { "a page over lanes", "", 4, "1 2 3 4 | 5 6 7 | " },
    { "row by row", "", 1, "1 | 2 | 3 | 4 | 5 | 6 | 7 | " },
    { "one lane", "normal", 100, "3 4 5 | " },
    { "one lane in pages", "normal", 2, "3 4 | 5 | " },
};

static void pages(void **state)
{
    const struct walk_case *c = *state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        struct gateway_rig r;
        struct sl_buf got = { 0 };
        open_store(&r);
        put_number(&r, OUTBOX_TELEMETRY, 6);
        put_number(&r, OUTBOX_NORMAL, 3);
        put_number(&r, OUTBOX_ALERT, 1);
        put_number(&r, OUTBOX_NORMAL, 4);
        put_number(&r, OUTBOX_ALERT, 2);
        put_number(&r, OUTBOX_NORMAL, 5);
        put_number(&r, OUTBOX_TELEMETRY, 7);
        if (on_disk)
            gateway_rig_until(&r, is_written, r.g);
        walk(&r, (struct web_queue_ask){ .lane = sl_str(c->lane), .limit = c->limit }, &got);
        assert_string_equal(sl_buf_cstr(&got), c->want);
        sl_buf_free(&got);
        gateway_rig_close(&r);
    }
}

/* What leaves and comes between two pages shifts nothing. */
static void while_it_moves(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct web_queue_ask ask = { .lane = sl_str(""), .limit = 4 };
    open_store(&r);
    for (int i = 0; i < 8; i++)
        put_number(&r, OUTBOX_NORMAL, i);
    gateway_rig_until(&r, is_written, r.g);
    cJSON *rows = page(&r, &ask);
    char after[64];
    (void)snprintf(after, sizeof after, "%s", key_of(cJSON_GetArrayItem(rows, 3)));
    cJSON_Delete(rows);
    outbox_set_link(r.g->outbox, true);
    struct outbox_item *item = NULL;
    for (int i = 0; i < 5; i++) { /* the first page, and one more */
        while (!(item = outbox_take(r.g->outbox)))
            (void)uv_run(&r.g->loop, UV_RUN_ONCE);
        outbox_ack(r.g->outbox, item);
    }
    put_number(&r, OUTBOX_NORMAL, 8);
    ask.after = sl_str(after);
    rows = page(&r, &ask);
    assert_int_equal(cJSON_GetArraySize(rows), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(cJSON_GetObjectItem(cJSON_GetArrayItem(rows, i), "payload")->valueint,
                         5 + i);
    cJSON_Delete(rows);
    outbox_set_link(r.g->outbox, false);
    gateway_rig_close(&r);
}

/* A page ends behind half a megabyte, with a whole row. */
static void large_rows(void **state)
{
    (void)state;
    static char big[200000];
    struct gateway_rig r;
    memset(big, 1, sizeof big); /* six bytes each in JSON */
    open_store(&r);
    for (int i = 0; i < 5; i++)
        put(&r, OUTBOX_ALERT, big, sizeof big);
    struct web_queue_ask ask = { .lane = sl_str(""), .limit = 1000 };
    cJSON *rows = page(&r, &ask);
    assert_int_equal(cJSON_GetArraySize(rows), 3);
    char after[64];
    (void)snprintf(after, sizeof after, "%s", key_of(cJSON_GetArrayItem(rows, 2)));
    cJSON_Delete(rows);
    ask.after = sl_str(after);
    rows = page(&r, &ask);
    assert_int_equal(cJSON_GetArraySize(rows), 2);
    cJSON_Delete(rows);
    gateway_rig_close(&r);
}

static bool letters_are_written(struct gateway_rig *r)
{
    cJSON *rows =
        page(r, &(struct web_queue_ask){ .lane = sl_str(""), .limit = 100, .dead = true });
    int count = cJSON_GetArraySize(rows);
    bool written = strlen(key_of(cJSON_GetArrayItem(rows, count - 1))) < 20; /* they are last */
    cJSON_Delete(rows);
    return count == 5 && written;
}

/* Before they are on the disk they have no place yet: there is one page of them. */
static void dead_letters(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct sl_buf got = { 0 };
    open_store(&r);
    for (int i = 0; i < 5; i++)
        put_number(&r, i < 2 ? OUTBOX_TELEMETRY : OUTBOX_ALERT, i);
    outbox_set_link(r.g->outbox, true);
    for (int i = 0; i < 5; i++)
        outbox_dead(r.g->outbox, outbox_take(r.g->outbox), "why");
    outbox_set_link(r.g->outbox, false);
    walk(&r, (struct web_queue_ask){ .lane = sl_str(""), .limit = 100, .dead = true }, &got);
    assert_string_equal(sl_buf_cstr(&got), "2 3 4 0 1 | ");
    sl_buf_reset(&got);
    while (!letters_are_written(&r))
        (void)uv_run(&r.g->loop, UV_RUN_ONCE);
    walk(&r, (struct web_queue_ask){ .lane = sl_str(""), .limit = 2, .dead = true }, &got);
    assert_string_equal(sl_buf_cstr(&got), "2 3 | 4 0 | 1 | ");
    sl_buf_reset(&got);
    walk(&r, (struct web_queue_ask){ .lane = sl_str("telemetry"), .limit = 9, .dead = true }, &got);
    assert_string_equal(sl_buf_cstr(&got), "0 1 | ");
    sl_buf_free(&got);
    gateway_rig_close(&r);
}

static const struct refusal {
    const char *name, *after, *lane;
    bool dead;
} refusals[] = {
    { "an unknown lane", "", "fast", false },
    { "a number alone", "17", "", false },
    { "no number", "alert/", "", false },
    { "a key of an unknown lane", "fast/17", "", false },
    { "a negative number", "alert/-1", "", false },
    { "more digits than a number has", "alert/99999999999999999999999", "", false },
    { "of another lane", "alert/17", "normal", false },
    { "a message's key among the dead", "alert/17", "", true },
};

static void refuses(void **state)
{
    const struct refusal *c = *state;
    struct gateway_rig r;
    struct got got = { 0 };
    struct sl_err err = { 0 };
    struct web_queue_ask ask = { sl_str(c->after), sl_str(c->lane), c->dead, 10 };
    gateway_rig_open(&r, "\"store\":{}");
    assert_int_equal(queue_page(r.g->outbox, &ask, on_page, &got, &err), SL_INVALID);
    assert_true(err.text[0] != '\0');
    gateway_rig_close(&r);
    assert_false(got.done);
}

int main(void)
{
    static const struct CMUnitTest plain[] = {
        cmocka_unit_test(while_it_moves),
        cmocka_unit_test(large_rows),
        cmocka_unit_test(dead_letters),
    };
    enum { WALKS = SL_ARRAY_LEN(walks), REFUSALS = SL_ARRAY_LEN(refusals) };
    static struct CMUnitTest tests[WALKS + REFUSALS + SL_ARRAY_LEN(plain)];
    for (size_t i = 0; i < WALKS; i++)
        tests[i] = (struct CMUnitTest){ .name = walks[i].name,
                                        .test_func = pages,
                                        .initial_state = (void *)(uintptr_t)&walks[i] };
    for (size_t i = 0; i < REFUSALS; i++)
        tests[WALKS + i] = (struct CMUnitTest){ .name = refusals[i].name,
                                                .test_func = refuses,
                                                .initial_state = (void *)(uintptr_t)&refusals[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[WALKS + REFUSALS + i] = plain[i];
    return cmocka_run_group_tests_name("queue page", tests, NULL, NULL);
}
