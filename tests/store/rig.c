/* rig.c - see rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <stdlib.h>

static int64_t mono_of(void *ctx)
{
    return ((struct rig *)ctx)->mono;
}

static int64_t wall_of(void *ctx)
{
    return ((struct rig *)ctx)->wall;
}

void rig_init(struct rig *r)
{
    *r = (struct rig){ .mono = 1000, .wall = 1800000000000 };
    r->clock = (struct sl_clock){ mono_of, wall_of, r };
    fake_disk_init(&r->disk);
    r->options = (struct outbox_options){ .clock = &r->clock,
                                          .max_bytes = 1u << 30,
                                          .max_age_ms = (int64_t)30 * 86400 * 1000,
                                          .when_full = OUTBOX_DROP_OLDEST,
                                          .spill_after_ms = 200,
                                          .commit_interval_ms = 20 };
}

uint64_t rig_bytes_max(uint64_t bytes)
{
    uint64_t max = bytes;
    while (max - max / 16 < bytes)
        max++;
    return max;
}

void rig_open(struct rig *r)
{
    r->core = core_new(&r->options, &r->disk.interface);
    assert_non_null(r->core);
}

void rig_crash(struct rig *r)
{
    fake_disk_forget_jobs(&r->disk);
    r->core->jobs_out = 0;
    core_free(r->core);
    r->core = NULL;
}

void rig_free(struct rig *r)
{
    rig_crash(r);
    fake_disk_free(&r->disk);
}

void rig_start(struct rig *r)
{
    rig_open(r);
    rig_settle(r);
}

void rig_start_online(struct rig *r)
{
    rig_start(r);
    core_set_link(r->core, true);
    rig_settle(r);
}

void rig_tick(struct rig *r)
{
    for (int i = 0; core_next_wake(r->core) <= r->mono; i++) {
        assert_true(i < 1000); /* else it never comes to rest */
        core_tick(r->core);
    }
}

void rig_settle(struct rig *r)
{
    int i = 0;
    do {
        assert_true(i++ < 10000);
        rig_tick(r);
    } while (fake_disk_step(&r->disk));
}

void rig_pass(struct rig *r, int64_t ms)
{
    int64_t until = r->mono + ms;
    for (;;) {
        rig_settle(r);
        int64_t wake = core_next_wake(r->core);
        if (wake > until)
            break;
        r->wall += wake - r->mono;
        r->mono = wake;
    }
    r->wall += until - r->mono;
    r->mono = until;
    rig_settle(r);
}

struct sl_msg *rig_msg(struct rig *r, const char *topic, size_t payload, uint32_t expiry_s)
{
    void *bytes = calloc(1, payload + 1);
    assert_non_null(bytes);
    struct sl_msg *m = sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str(topic),
                                                          .payload = sl_bytes(bytes, payload),
                                                          .expiry_s = expiry_s,
                                                          .qos = 1,
                                                          .mono_ms = r->mono,
                                                          .wall_ms = r->wall });
    free(bytes);
    assert_non_null(m);
    return m;
}

void rig_told(void *ctx, enum sl_code result)
{
    struct told *told = ctx;
    told->calls++;
    told->result = result;
}

bool rig_put_sized(struct rig *r, enum outbox_lane lane, const char *topic, size_t payload,
                   struct told *told)
{
    struct sl_msg *m = rig_msg(r, topic, payload, SL_MSG_NO_EXPIRY);
    bool accepted = core_put(r->core, lane, m, told ? rig_told : NULL, told);
    sl_msg_unref(m);
    return accepted;
}

bool rig_put(struct rig *r, enum outbox_lane lane, const char *topic, struct told *told)
{
    return rig_put_sized(r, lane, topic, 20, told);
}

void rig_must_put(struct rig *r, enum outbox_lane lane, const char *topic, struct told *told)
{
    assert_true(rig_put(r, lane, topic, told));
}

struct outbox_item *rig_take(struct rig *r, const char *topic)
{
    struct outbox_item *item = core_take(r->core);
    if (!topic) {
        assert_null(item);
        return NULL;
    }
    assert_non_null(item);
    struct sl_slice got = sl_msg_topic(item->msg);
    if (!sl_slice_eq(got, sl_str(topic)))
        fail_msg("took %.*s, not %s", SL_FMT(got), topic);
    return item;
}

struct outbox_stats rig_stats(struct rig *r)
{
    struct outbox_stats s;
    core_get_stats(r->core, &s);
    return s;
}

static uint64_t check_list(const struct entry_list *list, bool head, uint64_t *bytes,
                           uint64_t *taken)
{
    uint64_t waiting = 0, number = 0;
    for (const struct entry *e = list->first; e; e = e->next) {
        assert_true(e->number > number);
        number = e->number;
        assert_int_equal(head, e->where == ENTRY_DISK);
        if (e->gone)
            continue;
        waiting++;
        *bytes += e->bytes;
        *taken += e->taken;
    }
    return waiting;
}

void rig_check(struct rig *r)
{
    struct outbox_stats s = rig_stats(r);
    uint64_t taken = 0, all_bytes = 0;
    for (int i = 0; i < OUTBOX_LANES; i++) {
        const struct outbox_lane_stats *got = &s.lane[i];
        const struct lane *l = &r->core->lane[i];
        uint64_t lost = 0, bytes = 0;
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            lost += got->loss[why].count;
        assert_int_equal(got->lost, lost);
        assert_int_equal(got->accepted, got->delivered + got->waiting + got->lost);
        uint64_t held = check_list(&l->head, true, &bytes, &taken);
        assert_int_equal(l->head.count, held);
        held += check_list(&l->tail, false, &bytes, &taken);
        assert_int_equal(got->waiting, held + l->gap);
        assert_int_equal(got->waiting_bytes, bytes + l->gap_bytes);
        assert_int_equal(got->on_disk, l->head.count + l->gap);
        all_bytes += got->waiting_bytes;
    }
    assert_int_equal(s.in_flight, taken);
    assert_int_equal(r->core->bytes, all_bytes);
}
