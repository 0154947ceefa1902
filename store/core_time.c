/* core_time.c - when a message was accepted, by the wall clock, on a machine that starts without
 * the time. No I/O.
 *
 * A clock that shows a year before 2024 was never set. One that shows more counts as set when the
 * system says so, or once it was seen to step by a minute and more. What was accepted before has a
 * doubtful stamp: it is told by the monotonic clock as soon as the time is known, in memory and
 * from the disk, also after a reboot, since the database keeps what was between the two clocks. */
#include "core_private.h"

#include <stdlib.h>

#define STEP_MS ((int64_t)60000)
#define LOOK_MS 1000

void core_look_at_clock(struct core *c, int64_t now)
{
    struct clock_trust *t = &c->time;
    if (t->sure || (t->begun && now < t->look_at))
        return;
    int64_t wall = sl_wall_ms(c->options.clock), offset = wall - now;
    bool stepped = t->begun && llabs(offset - t->offset_ms) >= STEP_MS;
    bool told = !c->options.clock_is_set || c->options.clock_is_set();
    bool first = !t->begun;
    t->begun = true;
    t->offset_ms = offset;
    t->look_at = now + LOOK_MS;
    t->sure = wall >= SL_WALL_PLAUSIBLE_MS && (told || stepped);
    if (!t->sure || first)
        return;
    t->to_tell = true; /* rows on the disk wait for it */
    core_forget_soon(c, 0);
}

int64_t core_wall_of(const struct core *c, const struct entry *e)
{
    const struct sl_msg *m = e->item.msg;
    int64_t wall = m->wall_ms;
    if (e->unsure && c->time.sure)
        wall = m->mono_ms + c->time.offset_ms;
    return wall >= SL_WALL_PLAUSIBLE_MS ? wall : 0;
}
