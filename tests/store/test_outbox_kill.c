/* test_outbox_kill.c - the outbox killed at any moment: what was called safe is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harm.h"
#include "outbox_rig.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kill_message {
    struct place *place;
    uint32_t id;
    int pipe;
};

static void report_safe(void *ctx, enum sl_code result)
{
    struct kill_message *k = ctx;
    if (result == SL_OK && write(k->pipe, &k->id, sizeof k->id) != sizeof k->id)
        _exit(3);
}

static void put_numbered(struct place *p, uint32_t id, int pipe)
{
    struct kill_message *k = malloc(sizeof *k);
    if (!k)
        _exit(4);
    *k = (struct kill_message){ p, id, pipe };
    struct sl_msg *m =
        sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str("k"),
                                           .payload = sl_bytes(&id, sizeof id),
                                           .expiry_s = SL_MSG_NO_EXPIRY,
                                           .qos = 1,
                                           .mono_ms = sl_mono_ms(&sl_clock_system),
                                           .wall_ms = sl_wall_ms(&sl_clock_system) });
    if (!m || !outbox_put(p->outbox, (enum outbox_lane)(id % OUTBOX_LANES), m, report_safe, k))
        _exit(5);
    sl_msg_unref(m);
}

struct child {
    struct place *place;
    uint32_t first; /* its first message's number */
};

/* The child: puts without end, tells what is safe, until it is killed. */
static void child_main(void *ctx, int pipe)
{
    const struct child *c = ctx;
    struct place *p = c->place;
    if (uv_loop_init(&p->loop) != 0)
        _exit(1);
    p->options.loop = &p->loop;
    struct sl_err err;
    if (outbox_open(&p->outbox, &p->options, &err) != SL_OK)
        _exit(2);
    for (uint32_t id = c->first;;) {
        for (int i = 0; i < 7; i++)
            put_numbered(p, id++, pipe);
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

static void mark_row(void *ctx, const struct outbox_row *row)
{
    bool *there = ctx;
    uint32_t id;
    assert_int_equal(row->payload.len, sizeof id);
    memcpy(&id, row->payload.ptr, sizeof id);
    assert_true(id < 10000000);
    assert_false(there[id]); /* once */
    there[id] = true;
}

/* Reads what the child had reported when it died; marks it. */
static uint32_t read_reports(int pipe, bool *safe)
{
    uint32_t id, count = 0;
    while (read(pipe, &id, sizeof id) == sizeof id) {
        safe[id] = true;
        count++;
    }
    return count;
}

static bool something_waits(struct place *p, uint64_t arg)
{
    (void)arg;
    return !waiting_is(p, 0);
}

/* What is there, read as the crash left it; and how many the counters say there are. */
static uint64_t look_at_the_rest(struct place *p, bool *there)
{
    struct outbox_list_request request = {
        .lane = OUTBOX_LANES, .limit = UINT32_MAX, .row = mark_row, .ctx = there
    };
    struct sl_err err;
    assert_int_equal(outbox_list_file(p->db, &request, &err), SL_OK);
    place_open(p);
    wait_for(p, something_waits, 0);
    struct outbox_stats s = stats_of(p);
    assert_string_equal(s.set_aside, "");
    place_close(p);
    return s.lane[0].waiting + s.lane[1].waiting + s.lane[2].waiting;
}

static void kill_nine(void **state)
{
    (void)state;
    enum { ROUNDS = 50, IDS_MAX = 10000000 };
    struct place p;
    place_init(&p);
    bool *safe = calloc(IDS_MAX, 1), *there = calloc(IDS_MAX, 1);
    assert_true(safe && there);
    uint32_t reported = 0;
    srand(7);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        int reports = killed_child(child_main, &(struct child){ &p, round * 200000 });
        reported += read_reports(reports, safe);
        (void)close(reports);
    }
    assert_true(reported > ROUNDS);
    uint64_t waiting = look_at_the_rest(&p, there), found = 0;
    for (uint32_t id = 0; id < IDS_MAX; id++) {
        found += there[id];
        if (safe[id] && !there[id])
            fail_msg("message %" PRIu32 " was safe and is gone", id);
    }
    assert_int_equal(found, waiting);
    free(safe);
    free(there);
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_nine),
    };
    return cmocka_run_group_tests_name("outbox killed", tests, NULL, NULL);
}
