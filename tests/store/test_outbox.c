/* test_outbox.c - the outbox with its real loop, thread and database: what it keeps over restarts,
 * shows and throws away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outbox_rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- restart ---- */

static void it_waits_over_a_restart(void **state)
{
    (void)state;
    struct place p;
    place_init(&p);
    place_open(&p);
    int64_t before = sl_wall_ms(&sl_clock_system);
    put(&p, OUTBOX_TELEMETRY, "t");
    put(&p, OUTBOX_ALERT, "a");
    wait_for(&p, safe_is, 2);
    place_close(&p);
    place_open(&p);
    assert_true(stats_of(&p).opening); /* so that nobody takes "0 wait" for the truth */
    wait_for(&p, waiting_is, 2);
    assert_false(stats_of(&p).opening);
    outbox_set_link(p.outbox, true);
    struct outbox_item *item;
    while (!(item = outbox_take(p.outbox)))
        (void)uv_run(&p.loop, UV_RUN_ONCE);
    assert_true(sl_slice_eq(sl_msg_topic(item->msg), sl_str("a")));
    assert_int_equal(sl_msg_payload(item->msg).len, 100);
    assert_int_equal(sl_msg_props(item->msg).len, 7);
    assert_memory_equal(sl_msg_props(item->msg).ptr, "\x26\x00\x01\x61\x00\x01\x62", 7);
    assert_int_equal(item->msg->qos, 1);
    assert_true(item->msg->retain);
    assert_int_equal(item->msg->batch, 54321);
    assert_int_equal(item->msg->expiry_s, 3600);
    assert_in_range(item->msg->wall_ms, before, before + WAIT_MS_MAX);
    assert_in_range(item->msg->mono_ms, sl_mono_ms(&sl_clock_system) - WAIT_MS_MAX,
                    sl_mono_ms(&sl_clock_system));
    outbox_ack(p.outbox, item);
    drain(&p, 1, NULL);
    place_close(&p);
    place_open(&p);
    wait_for(&p, commits_are, 0);
    drain(&p, 0, NULL);
    wait_for(&p, waiting_is, 0);
    place_close(&p);
    place_release(&p);
}

static void many_in_order_and_the_ledger_stays(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static char topics[COUNT][16];
    struct place p;
    char topic[16];
    place_init(&p);
    place_open(&p);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        put(&p, OUTBOX_NORMAL, topic);
    }
    wait_for(&p, safe_is, COUNT);
    struct outbox_stats s = stats_of(&p);
    assert_true(s.commits < COUNT / 100); /* in groups */
    assert_true(s.bytes_written_estimate > 0 && s.bytes_written_estimate < COUNT * 1024);
    assert_true(s.file_bytes > COUNT * 100);
    place_close(&p);
    place_open(&p);
    wait_for(&p, on_disk_is, COUNT);
    assert_true(stats_of(&p).file_bytes > COUNT * 100); /* at once */
    drain(&p, COUNT, topics);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(topic, sizeof topic, "m%d", i);
        assert_string_equal(topics[i], topic);
    }
    wait_for(&p, on_disk_is, 0);
    place_close(&p);
    place_open(&p);
    wait_for(&p, disk_ok_is, 1);
    outbox_set_link(p.outbox, true);
    put(&p, OUTBOX_NORMAL, "x");
    drain(&p, 1, NULL);
    s = stats_of(&p);
    assert_int_equal(s.lane[OUTBOX_NORMAL].delivered, COUNT + 1);
    assert_int_equal(s.lane[OUTBOX_NORMAL].accepted, COUNT + 1);
    place_close(&p);
    place_release(&p);
}

static void files_are_private(void **state)
{
    (void)state;
    struct place p;
    struct stat st;
    char log[128];
    place_init(&p);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "a");
    wait_for(&p, safe_is, 1);
    (void)snprintf(log, sizeof log, "%s-wal", p.db);
    assert_int_equal(stat(p.db, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    place_close(&p);
    assert_int_not_equal(stat(log, &st), 0); /* nothing is left in it */
    place_release(&p);
}

static void online_nothing_is_written(void **state)
{
    (void)state;
    struct place p;
    place_init(&p);
    place_open(&p);
    wait_for(&p, disk_ok_is, 1);
    outbox_set_link(p.outbox, true);
    put(&p, OUTBOX_NORMAL, "a");
    drain(&p, 1, NULL);
    wait_for(&p, safe_is, 1);
    uint64_t commits = stats_of(&p).commits;
    for (int i = 0; i < 1000; i++) {
        put(&p, OUTBOX_NORMAL, "a");
        drain(&p, 1, NULL);
    }
    wait_for(&p, safe_is, 1001);
    assert_int_equal(stats_of(&p).commits, commits);
    place_close(&p);
    place_release(&p);
}

/* ---- not yet, not alone ---- */

static void a_folder_that_is_not_there_comes_later(void **state)
{
    (void)state;
    struct place p;
    char there[64], away[96];
    place_init(&p);
    (void)snprintf(there, sizeof there, "%s", p.folder);
    (void)snprintf(away, sizeof away, "%s-away", p.folder);
    assert_int_equal(rename(there, away), 0);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "a");
    wait_for(&p, disk_ok_is, 0);
    struct outbox_stats s = stats_of(&p);
    assert_non_null(strstr(s.disk_error, "queue.db"));
    assert_int_equal(s.lane[OUTBOX_NORMAL].waiting, 1);
    assert_int_equal(rename(away, there), 0);
    wait_for(&p, safe_is, 1);
    assert_true(stats_of(&p).disk_ok);
    place_close(&p);
    place_release(&p);
}

static void two_at_once_is_refused(void **state)
{
    (void)state;
    struct place p, second;
    place_init(&p);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "a");
    wait_for(&p, safe_is, 1);
    place_init(&second);
    second.options.path = p.db;
    place_open(&second);
    wait_for(&second, disk_ok_is, 0);
    assert_non_null(strstr(stats_of(&second).disk_error, "another program"));
    place_close(&p);
    wait_for(&second, disk_ok_is, 1); /* it takes over by itself */
    wait_for(&second, on_disk_is, 1);
    place_close(&second);
    place_release(&second);
    place_release(&p);
}

/* ---- looking ---- */

struct seen {
    char text[512];
    bool done;
    enum sl_code code;
};

static void see_row(void *ctx, const struct outbox_row *row)
{
    struct seen *seen = ctx;
    size_t at = strlen(seen->text);
    (void)snprintf(seen->text + at, sizeof seen->text - at, "%s/%.*s%s%s ",
                   outbox_lane_name(row->lane), SL_FMT(row->topic), row->reason ? ":" : "",
                   row->reason ? row->reason : "");
}

static void see_done(void *ctx, enum sl_code code, const char *error)
{
    struct seen *seen = ctx;
    assert_int_equal(code == SL_OK, error == NULL);
    seen->done = true;
    seen->code = code;
}

static struct outbox_list_request request_for(struct seen *seen, bool dead)
{
    *seen = (struct seen){ 0 };
    return (struct outbox_list_request){ .lane = OUTBOX_LANES,
                                         .dead = dead,
                                         .limit = 100,
                                         .row = see_row,
                                         .done = see_done,
                                         .ctx = seen };
}

static void listing_live_and_from_the_file(void **state)
{
    (void)state;
    struct place p;
    struct seen seen;
    struct sl_err err;
    place_init(&p);
    struct outbox_list_request request = request_for(&seen, false);
    assert_int_equal(outbox_list_file(p.db, &request, &err), SL_NOTFOUND);
    place_open(&p);
    put(&p, OUTBOX_NORMAL, "n1");
    put(&p, OUTBOX_TELEMETRY, "t1");
    put(&p, OUTBOX_NORMAL, "bad");
    wait_for(&p, safe_is, 3);
    outbox_set_link(p.outbox, true);
    struct outbox_item *item = outbox_take(p.outbox);
    assert_non_null(item);
    item = outbox_take(p.outbox);
    assert_non_null(item);
    outbox_dead(p.outbox, item, "topic too deep");
    put(&p, OUTBOX_ALERT, "a1");
    static const char *const want[] = { "alert/a1 normal/n1 telemetry/t1 ",
                                        "normal/bad:topic too deep " };
    for (int dead = 0; dead < 2; dead++) {
        request = request_for(&seen, dead != 0);
        assert_int_equal(outbox_list(p.outbox, &request), SL_OK);
        while (!seen.done)
            (void)uv_run(&p.loop, UV_RUN_ONCE);
        assert_int_equal(seen.code, SL_OK);
        assert_string_equal(seen.text, want[dead]);
    }
    request = request_for(&seen, false);
    assert_int_equal(outbox_list_file(p.db, &request, &err), SL_BUSY);
    outbox_return_all(p.outbox);
    place_close(&p);
    for (int dead = 0; dead < 2; dead++) {
        request = request_for(&seen, dead != 0);
        assert_int_equal(outbox_list_file(p.db, &request, &err), SL_OK);
        assert_string_equal(seen.text, want[dead]);
    }
    place_open(&p);
    wait_for(&p, waiting_is, 3);
    assert_int_equal(stats_of(&p).dead, 1);
    place_close(&p);
    place_release(&p);
}

/* ---- throwing away ---- */

struct outcome {
    bool done;
    enum sl_code code;
    struct outbox_purged purged;
};

static void on_purged(void *ctx, enum sl_code code, const char *error,
                      const struct outbox_purged *purged)
{
    (void)error;
    *(struct outcome *)ctx = (struct outcome){ true, code, *purged };
}

static void purge_live_and_in_the_file(void **state)
{
    (void)state;
    struct place p;
    struct outcome o = { 0 };
    struct sl_err err;
    struct outbox_purged purged = { 0 };
    struct outbox_purge_request request = {
        .lanes = 1u << OUTBOX_TELEMETRY, .limit = UINT64_MAX, .done = on_purged, .ctx = &o
    };
    place_init(&p);
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_NOTFOUND);
    place_open(&p);
    for (int i = 0; i < 30; i++)
        put(&p, OUTBOX_TELEMETRY, "t");
    put(&p, OUTBOX_NORMAL, "n");
    put(&p, OUTBOX_ALERT, "a");
    wait_for(&p, on_disk_is, 32);
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_BUSY);
    request.limit = 10;
    assert_int_equal(outbox_purge(p.outbox, &request), SL_OK);
    while (!o.done)
        (void)uv_run(&p.loop, UV_RUN_ONCE);
    assert_int_equal(o.code, SL_OK);
    assert_int_equal(o.purged.messages, 10);
    assert_int_equal(stats_of(&p).lane[OUTBOX_TELEMETRY].waiting, 20);
    outbox_set_link(p.outbox, true);
    outbox_dead(p.outbox, outbox_take(p.outbox), "why"); /* the alert */
    place_close(&p);
    request.limit = UINT64_MAX;
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_OK);
    assert_int_equal(purged.messages, 20);
    request.dead = true;
    request.lanes = OUTBOX_ALL_LANES;
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_OK);
    assert_int_equal(purged.letters, 1);
    place_open(&p);
    wait_for(&p, waiting_is, 1);
    struct outbox_stats s = stats_of(&p);
    assert_int_equal(s.lane[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_PURGED].count, 30);
    assert_int_equal(s.dead, 0);
    assert_string_equal(s.set_aside, "");
    place_close(&p);
    place_release(&p);
}

/* A command sets nothing aside: that is for the gateway, which says so. */
static void purge_of_a_file_that_is_none(void **state)
{
    (void)state;
    struct place p;
    struct sl_err err;
    struct outbox_purged purged;
    struct outbox_purge_request request = { .lanes = OUTBOX_ALL_LANES, .limit = UINT64_MAX };
    place_init(&p);
    FILE *f = fopen(p.db, "we");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        assert_true(fputs("no database", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(outbox_purge_file(p.db, &request, &purged, &err), SL_CORRUPT);
    assert_int_equal(access(p.db, F_OK), 0);
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_over_a_restart),
        cmocka_unit_test(many_in_order_and_the_ledger_stays),
        cmocka_unit_test(files_are_private),
        cmocka_unit_test(online_nothing_is_written),
        cmocka_unit_test(a_folder_that_is_not_there_comes_later),
        cmocka_unit_test(two_at_once_is_refused),
        cmocka_unit_test(listing_live_and_from_the_file),
        cmocka_unit_test(purge_live_and_in_the_file),
        cmocka_unit_test(purge_of_a_file_that_is_none),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
