/* outbox_rig.c - see outbox_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outbox_rig.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void place_init(struct place *p)
{
    *p = (struct place){ .folder = "/tmp/test-outbox-XXXXXX" };
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->db, sizeof p->db, "%s/queue.db", p->folder);
    p->options = (struct outbox_options){ .clock = &sl_clock_system,
                                          .path = p->db,
                                          .max_bytes = 64 * 1024 * 1024,
                                          .max_age_ms = 86400000,
                                          .spill_after_ms = 50,
                                          .commit_interval_ms = 5 };
}

void place_release(struct place *p)
{
    assert_true(testing_remove_folder(p->folder));
}

static void on_beat(uv_timer_t *beat)
{
    (void)beat;
}

void place_open(struct place *p)
{
    struct sl_err err;
    assert_int_equal(uv_loop_init(&p->loop), 0);
    assert_int_equal(uv_timer_init(&p->loop, &p->beat), 0);
    assert_int_equal(uv_timer_start(&p->beat, on_beat, 1, 1), 0);
    p->options.loop = &p->loop;
    p->closed = false;
    assert_int_equal(outbox_open(&p->outbox, &p->options, &err), SL_OK);
}

static void on_closed(void *ctx)
{
    ((struct place *)ctx)->closed = true;
}

void place_close(struct place *p)
{
    outbox_close(p->outbox, on_closed, p);
    uv_close((uv_handle_t *)&p->beat, NULL);
    assert_int_equal(uv_run(&p->loop, UV_RUN_DEFAULT), 0);
    assert_true(p->closed);
    assert_int_equal(uv_loop_close(&p->loop), 0);
}

struct outbox_stats stats_of(struct place *p)
{
    struct outbox_stats s;
    outbox_get_stats(p->outbox, &s);
    for (int i = 0; i < OUTBOX_LANES; i++)
        assert_int_equal(s.lane[i].accepted,
                         s.lane[i].delivered + s.lane[i].waiting + s.lane[i].lost);
    return s;
}

/* Runs the loop until cond(p, arg) holds. */
void wait_for(struct place *p, bool (*cond)(struct place *, uint64_t), uint64_t arg)
{
    int64_t until = sl_mono_ms(&sl_clock_system) + WAIT_MS_MAX;
    while (!cond(p, arg)) {
        assert_true(sl_mono_ms(&sl_clock_system) < until);
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

bool safe_is(struct place *p, uint64_t count)
{
    return p->safe >= count;
}

bool told_is(struct place *p, uint64_t count)
{
    return p->safe + p->unsafe >= count;
}

bool on_disk_is(struct place *p, uint64_t count)
{
    struct outbox_stats s = stats_of(p);
    return s.lane[0].on_disk + s.lane[1].on_disk + s.lane[2].on_disk == count;
}

bool disk_ok_is(struct place *p, uint64_t ok)
{
    struct outbox_stats s = stats_of(p);
    return ok ? s.disk_ok && !s.opening : !s.disk_ok;
}

bool waiting_is(struct place *p, uint64_t count)
{
    struct outbox_stats s = stats_of(p);
    return s.lane[0].waiting + s.lane[1].waiting + s.lane[2].waiting == count;
}

bool commits_are(struct place *p, uint64_t count)
{
    return stats_of(p).commits >= count;
}

static void on_safe(void *ctx, enum sl_code result)
{
    struct place *p = ctx;
    if (result == SL_OK)
        p->safe++;
    else
        p->unsafe++;
}

bool put_bytes(struct place *p, enum outbox_lane lane, const char *topic, size_t size)
{
    char *payload = calloc(1, size + 1);
    assert_non_null(payload);
    memset(payload, 'x', size);
    struct sl_msg *m =
        sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str(topic),
                                           .props = sl_bytes("\x26\x00\x01\x61\x00\x01\x62", 7),
                                           .payload = sl_bytes(payload, size),
                                           .expiry_s = 3600,
                                           .qos = 1,
                                           .retain = true,
                                           .batch = 54321,
                                           .mono_ms = sl_mono_ms(&sl_clock_system),
                                           .wall_ms = sl_wall_ms(&sl_clock_system) });
    free(payload);
    assert_non_null(m);
    bool accepted = outbox_put(p->outbox, lane, m, on_safe, p);
    sl_msg_unref(m);
    return accepted;
}

void put(struct place *p, enum outbox_lane lane, const char *topic)
{
    assert_true(put_bytes(p, lane, topic, 100));
}

/* Take everything that comes until `count` were acknowledged; the topics, in order. */
void drain(struct place *p, uint64_t count, char (*topics)[16])
{
    outbox_set_link(p->outbox, true);
    int64_t until = sl_mono_ms(&sl_clock_system) + WAIT_MS_MAX;
    for (uint64_t i = 0; i < count;) {
        assert_true(sl_mono_ms(&sl_clock_system) < until);
        struct outbox_item *item = outbox_take(p->outbox);
        if (!item) {
            (void)uv_run(&p->loop, UV_RUN_ONCE);
            continue;
        }
        if (topics)
            (void)snprintf(topics[i], sizeof topics[i], "%.*s", SL_FMT(sl_msg_topic(item->msg)));
        outbox_ack(p->outbox, item);
        i++;
    }
}
