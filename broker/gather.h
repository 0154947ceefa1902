/* gather.h - when to let a little more come in before the next loop turn.
 *
 * Messages that come one by one cost a wake-up, a write to the subscriber and a read of its
 * acknowledgement each. When many do, turns are kept apart by GATHER_NS, so that each finds
 * several: the same work with fewer system calls, and at most that much later. Who waits for an
 * answer before sending more would be slowed: so it is a trial, and ends when less comes in than
 * before. Nor is there a wait when the next messages are there already. Time goes in, a verdict
 * comes out; no I/O. */
#ifndef BROKER_GATHER_H
#define BROKER_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#define GATHER_NS        300000u    /* between turns */
#define GATHER_WINDOW_NS 100000000u /* a trial is judged after this, and then again and again */
#define GATHER_BUSY      5000u      /* reads a second; with fewer nothing is delayed */
#define GATHER_FEW       16u        /* reads in a turn; with more there is nothing to gain */
#define GATHER_REST_MAX  512u       /* windows, after trials that failed */
#define GATHER_BLOCKED   4000u      /* a poll this long has found nothing at first */

/* Zeroed, it is at rest. */
struct gather {
    uint64_t window_ns, turn_ns; /* when the window began, and the last turn ended */
    uint32_t inputs, turns;      /* in this window */
    uint32_t turn_inputs;        /* reads in this turn: counted by the caller */
    uint64_t packets, rate;      /* at the window's beginning; a second before the trial */
    uint32_t rest, rest_next,
        won;       /* windows: to stay off, after the next failure, since it began */
    uint32_t lost; /* windows in a row with less than before */
    bool on, blocked;
};

/* After each poll, with its time. */
static inline void gather_polled(struct gather *g, uint64_t now_ns)
{
    g->blocked = now_ns - g->turn_ns >= GATHER_BLOCKED;
}
/* At the end of each turn, with the packets that have come since the beginning: how long to wait
 * before the next, in ns. */
uint64_t gather_turn(struct gather *g, uint64_t packets, uint64_t now_ns);

#endif
