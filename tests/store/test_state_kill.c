/* test_state_kill.c - the state's process killed at any moment: what was called safe is there. */
#include "harm.h"
#include "state_rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void report_safe(void *ctx, enum sl_code result)
{
    const uint32_t *number = ctx;
    if (result != SL_OK || write(STDOUT_FILENO, number, sizeof *number) != sizeof *number)
        _exit(3);
}

static void key_of(uint32_t number, uint8_t key[4])
{
    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)(number >> (24 - 8 * i));
}

#define WINDOW 300 /* rows that are there at a time */

/* Operation n: row n comes, row n - WINDOW goes. So what is there tells how many were done. */
static void do_operation(struct state *s, uint32_t n)
{
    uint8_t key[4], from[4], value[60];
    memset(value, (int)(n % 251), sizeof value);
    key_of(n, key);
    if (!state_put(s, STATE_DELIVERY, sl_bytes(key, 4), sl_bytes(value, n % 60), sl_str("")))
        _exit(4);
    if (n < WINDOW)
        return;
    key_of(n - WINDOW, from);
    key_of(n - WINDOW + 1, key);
    bool ok = n % 2 ? state_remove(s, STATE_DELIVERY, sl_bytes(from, 4))
                    : state_remove_range(s, STATE_DELIVERY, sl_bytes(from, 4), sl_bytes(key, 4));
    if (!ok)
        _exit(4);
}

struct child {
    struct state_place *place;
    uint32_t next; /* the next operation's number */
};

static void child_main(void *ctx, int pipe)
{
    const struct child *c = ctx;
    struct state_place *p = c->place;
    uint32_t next = c->next;
    struct sl_err err;
    if (uv_loop_init(&p->loop) != 0 || dup2(pipe, STDOUT_FILENO) < 0)
        _exit(1);
    p->options.loop = &p->loop;
    if (state_open(&p->state, &p->options, &err) != SL_OK)
        _exit(2);
    for (;;) {
        for (uint32_t n = next % 40; n > 0; n--)
            do_operation(p->state, next++);
        do_operation(p->state, next++);
        uint32_t *number = malloc(sizeof *number);
        if (!number)
            _exit(5);
        *number = next;
        if (!state_when_safe(p->state, report_safe, number))
            _exit(6);
        (void)uv_run(&p->loop, UV_RUN_NOWAIT);
    }
}

struct found {
    uint32_t first, last, count;
};

static void see(void *ctx, struct sl_slice key, struct sl_slice value)
{
    struct found *f = ctx;
    assert_int_equal(key.len, 4);
    uint32_t n = (uint32_t)key.ptr[0] << 24 | (uint32_t)key.ptr[1] << 16 |
                 (uint32_t)key.ptr[2] << 8 | key.ptr[3];
    if (f->count++ == 0)
        f->first = n;
    else
        assert_int_equal(n, f->last + 1); /* no hole */
    f->last = n;
    assert_int_equal(value.len, n % 60);
    for (size_t i = 0; i < value.len; i++)
        assert_int_equal(value.ptr[i], n % 251);
}

/* How many operations are in the database; checks that it is exactly those. */
static uint32_t operations_done(struct state_place *p)
{
    struct found f = { 0 };
    struct sl_err err;
    assert_int_equal(uv_loop_init(&p->loop), 0);
    p->options.loop = &p->loop;
    assert_int_equal(state_open(&p->state, &p->options, &err), SL_OK);
    assert_int_equal(state_load(p->state, STATE_DELIVERY, see, &f, &err), SL_OK);
    struct state_stats s = stats_of(p);
    assert_true(s.disk_ok && s.bad_rows == 0);
    assert_string_equal(s.set_aside, "");
    state_close(p->state, NULL, NULL);
    assert_int_equal(uv_run(&p->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&p->loop), 0);
    uint32_t done = f.count > 0 ? f.last + 1 : 0;
    assert_int_equal(f.count, done < WINDOW ? done : WINDOW);
    return done;
}

static void kill_nine(void **state)
{
    (void)state;
    enum { ROUNDS = 120 };
    struct state_place p;
    uint32_t done = 0, reports = 0, acknowledged = 0;
    place_init(&p);
    srand(11);
    /* On a busy machine many die before they have begun: then there are more. */
    for (int round = 0; round < ROUNDS || (reports <= ROUNDS && round < 10 * ROUNDS); round++) {
        uint32_t number;
        int told = killed_child(child_main, &(struct child){ &p, done });
        for (; read(told, &number, sizeof number) == sizeof number; reports++)
            acknowledged = number;
        (void)close(told);
        uint32_t now = operations_done(&p);
        assert_true(now >= acknowledged && now >= done);
        done = now;
    }
    print_message("%u operations, %u reports\n", done, reports);
    assert_true(reports > ROUNDS);
    place_release(&p);
}

int main(int argc, char **argv)
{
    place_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_nine),
    };
    return cmocka_run_group_tests_name("state killed", tests, NULL, NULL);
}
