/* test_outbox_kill.c - the outbox killed at any moment: what was called safe is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outbox_rig.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

/* The child: puts without end, tells what is safe, until it is killed. */
static void child_main(struct place *p, uint32_t first, int pipe)
{
    if (uv_loop_init(&p->loop) != 0)
        _exit(1);
    p->options.loop = &p->loop;
    struct sl_err err;
    if (outbox_open(&p->outbox, &p->options, &err) != SL_OK)
        _exit(2);
    for (uint32_t id = first;;) {
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
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            child_main(&p, round * 200000, ends[1]);
        (void)close(ends[1]);
        (void)usleep((useconds_t)(rand() % 40000)); /* the moment is what is tested */
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        reported += read_reports(ends[0], safe);
        (void)close(ends[0]);
    }
    assert_true(reported > ROUNDS);
    /* What is there, read as the crash left it; and whether the counters say the same. */
    struct outbox_list_request request = {
        .lane = OUTBOX_LANES, .limit = UINT32_MAX, .row = mark_row, .ctx = there
    };
    struct sl_err err;
    assert_int_equal(outbox_list_file(p.db, &request, &err), SL_OK);
    place_open(&p);
    wait_for(&p, something_waits, 0);
    struct outbox_stats s = stats_of(&p);
    uint64_t waiting = s.lane[0].waiting + s.lane[1].waiting + s.lane[2].waiting;
    assert_string_equal(s.set_aside, "");
    place_close(&p);
    uint64_t found = 0;
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
