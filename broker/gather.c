/* gather.c - keeping loop turns apart while many messages come one by one. */
#include "gather.h"

enum {
    WINS_ENOUGH = 20, /* windows after which a trial has succeeded, and one without it follows */
    LOST_ENOUGH = 3,  /* ... in a row, and it has not */
    REST_FIRST = 30,  /* windows of rest after that */
};

static void give_up(struct gather *g)
{
    g->on = false;
    g->rest = g->rest_next > 0 ? g->rest_next : REST_FIRST;
    g->rest_next = g->rest * 2 < GATHER_REST_MAX ? g->rest * 2 : GATHER_REST_MAX;
}

/* Gathered packets come in fewer reads: so reads say whether it is worth while, packets whether
 * anybody is slowed. What came before may have been something else altogether (the clients were
 * still connecting): so a trial that goes well is compared anew every two seconds. */
static void judge_trial(struct gather *g, uint64_t rate)
{
    if (rate < g->rate / 2) {
        give_up(g);
    } else if (rate < g->rate - g->rate / 8) {
        if (++g->lost == LOST_ENOUGH)
            give_up(g);
    } else if (++g->won == WINS_ENOUGH) {
        g->rest_next = 0;
        g->on = false;
    } else {
        g->lost = 0;
    }
}

static void judge_without(struct gather *g, uint64_t rate, uint64_t reads)
{
    if (g->rest > 0) {
        g->rest--;
        return;
    }
    g->on = reads >= GATHER_BUSY && g->inputs / GATHER_FEW < g->turns;
    g->rate = rate;
    g->won = g->lost = 0;
}

/* After a pause all begins anew, since what comes next may be something else. That few came during
 * a trial is no pause: the trial may be the reason. */
static bool is_pause(const struct gather *g, uint64_t reads, uint64_t took_ns)
{
    return took_ns > 2 * (uint64_t)GATHER_WINDOW_NS || (!g->on && reads < GATHER_BUSY / 2);
}

static void judge_window(struct gather *g, uint64_t packets, uint64_t took_ns)
{
    uint64_t rate = (packets - g->packets) * 1000000000u / took_ns;
    uint64_t reads = (uint64_t)g->inputs * 1000000000u / took_ns;
    if (is_pause(g, reads, took_ns)) {
        g->on = false;
        g->rest = g->rest_next = 0;
    } else if (g->on) {
        judge_trial(g, rate);
    } else {
        judge_without(g, rate, reads);
    }
}

static void begin_window(struct gather *g, uint64_t packets, uint64_t now_ns)
{
    g->inputs = g->turns = 0;
    g->packets = packets;
    g->window_ns = now_ns;
}

uint64_t gather_turn(struct gather *g, uint64_t packets, uint64_t now_ns)
{
    uint64_t since = now_ns - g->turn_ns;
    bool few = g->turn_inputs > 0 && g->turn_inputs < GATHER_FEW;
    g->inputs += g->turn_inputs;
    g->turns++;
    g->turn_inputs = 0;
    if (now_ns - g->window_ns >= GATHER_WINDOW_NS) {
        judge_window(g, packets, now_ns - g->window_ns);
        begin_window(g, packets, now_ns);
    }
    uint64_t wait = g->on && g->blocked && few && since < GATHER_NS ? GATHER_NS - since : 0;
    g->turn_ns = now_ns + wait;
    return wait;
}
