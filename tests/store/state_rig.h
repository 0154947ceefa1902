/* state_rig.h - a state in a folder of its own, with its loop, and what it held when it was read.
 */
#ifndef TESTS_STORE_STATE_RIG_H
#define TESTS_STORE_STATE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/state.h"

#define WAIT_MS_MAX 30000 /* a guard against hanging, far above what a busy machine takes */

enum { ROWS = 2000 }; /* 260 kB and more: too many for one row of the log */

struct state_place {
    char folder[64], db[96];
    uv_loop_t loop;
    uv_timer_t beat; /* so that UV_RUN_ONCE comes back after a callback of a timer */
    struct state *state;
    struct state_options options;
    char seen[STATE_KINDS][4096]; /* "key=value key=value ", as loaded */
    unsigned rows[STATE_KINDS];   /* as loaded */
    unsigned safe, unsafe;        /* called back so far */
    enum sl_code last_code;
    bool closed;
    void (*put_all)(struct state_place *p); /* for resync; NULL: nothing */
};

/* Before all places: with the argument "sealed" each has a key. */
void place_arguments(int argc, char **argv);

void place_init(struct state_place *p);
void place_release(struct state_place *p);
void place_open(struct state_place *p); /* and loads; a damaged one too */
void place_close(struct state_place *p);
/* Runs the loop until cond(p, arg) holds. */
void wait_for(struct state_place *p, bool (*cond)(struct state_place *, uint64_t), uint64_t arg);
bool told_is(struct state_place *p, uint64_t count);
bool disk_ok_is(struct state_place *p, uint64_t ok);
struct state_stats stats_of(struct state_place *p);

void put(struct state_place *p, enum state_kind kind, const char *key, const char *value);
void take(struct state_place *p, enum state_kind kind, const char *key);
void take_range(struct state_place *p, enum state_kind kind, const char *from, const char *to);
void when_safe(struct state_place *p);      /* counts into p->safe or p->unsafe */
void sync_now(struct state_place *p);       /* when_safe, and wait for SL_OK */
void fill(struct state_place *p, int rows); /* puts "000000" and so on into STATE_DELIVERY */
/* Opens, fills and closes; the rows go into the tables, else the log has them. */
void fill_tables(struct state_place *p, int rows);

#endif
