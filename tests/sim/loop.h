/* loop.h - the part of libuv that the gateway's cores use, under a simulated clock.
 *
 * Linked into the simulator in place of libuv's own functions (uv_timer_*, uv_prepare_*,
 * uv_check_*, uv_idle_*, uv_close, uv_update_time): broker, bridge and outbox run as they are.
 * Beside handles it holds calls for later, which stand for everything that comes from sockets and
 * threads. */
#ifndef TESTS_SIM_LOOP_H
#define TESTS_SIM_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define LOOP_NEVER INT64_MAX

/* The uv_loop_t that the parts are given points here with its `data`. */
struct loop {
    int64_t now_ms;
    uint64_t order; /* of what is due at the same time */
    struct loop_timer *timers;
    struct loop_call *calls;
    struct loop_hook *hooks;
    struct loop_closing *closing;
};

void loop_init(struct loop *l, uv_loop_t *uv, int64_t now_ms);
/* Fails the run when a handle was not closed or a call is still to come. */
void loop_free(struct loop *l);
/* fn(ctx) comes from the loop, in delay_ms. */
void loop_later(struct loop *l, int64_t delay_ms, void (*fn)(void *ctx), void *ctx);
/* When something is due: now_ms or later; LOOP_NEVER. */
int64_t loop_next(const struct loop *l);
/* One turn at now_ms: timers, idle and prepare, calls, check, closing. */
void loop_turn(struct loop *l);

#endif
