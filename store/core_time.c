/* core_time.c - when a message was accepted, by the wall clock, on a machine that starts without
 * the time. No I/O.
 *
 * A clock that shows a year before 2024 was never set. One that shows more counts as set when the
 * system says so, or once it was seen to step by a minute and more. What was made before has a
 * doubtful stamp: it is told by the monotonic clock as soon as the time is known, in memory, with
 * the sender, and from the disk, also after a reboot, since the database keeps what was between the
 * two clocks. */
#include "core_private.h"

#include <stdlib.h>

#define STEP_MS ((int64_t)60000)
#define LOOK_MS 1000 /* how often the system is asked, which is a call into the kernel */

/* What the sender has: its next try shows the time. */
static void tell_sender(struct core *c)
{
    for (int i = 0; i < OUTBOX_LANES; i++) {
        const struct lane *l = &c->lane[i];
        for (struct entry *e = l->head.first; e && e != l->head_next; e = e->next)
            e->item.wall_ms = core_wall_of(c, e);
        for (struct entry *e = l->tail.first; e && e != l->tail_next; e = e->next)
            e->item.wall_ms = core_wall_of(c, e);
    }
}

/* A step is noticed at once: what is sent right after the clock was set has the time. */
void core_look_at_clock(struct core *c, int64_t now)
{
    struct clock_trust *t = &c->time;
    if (t->sure)
        return;
    int64_t wall = sl_wall_ms(c->options.clock), offset = wall - now;
    bool first = !t->begun, stepped = t->begun && llabs(offset - t->offset_ms) >= STEP_MS;
    if (!first && !stepped && now < t->look_at)
        return;
    bool told = !c->options.clock_is_set || c->options.clock_is_set();
    t->begun = true;
    t->offset_ms = offset;
    t->look_at = now + LOOK_MS;
    t->sure = wall >= SL_WALL_PLAUSIBLE_MS && (told || stepped);
    t->sure_from = first ? INT64_MIN : now;
    if (!t->sure || first)
        return;
    core_tell_disk_time(c);
    tell_sender(c);
}

void core_tell_disk_time(struct core *c)
{
    c->time.to_tell = c->time.sure;
    if (c->time.sure)
        core_forget_soon(c, 0);
}

/* Made before the time was known, if only a moment ago: a message may be queued in the broker. */
bool core_stamp_is_unsure(const struct core *c, const struct sl_msg *m)
{
    return !c->time.sure || m->mono_ms <= c->time.sure_from;
}

int64_t core_wall_of_msg(const struct core *c, const struct sl_msg *m, bool unsure)
{
    int64_t wall = unsure && c->time.sure ? m->mono_ms + c->time.offset_ms : m->wall_ms;
    return wall >= SL_WALL_PLAUSIBLE_MS ? wall : 0;
}

int64_t core_wall_of(const struct core *c, const struct entry *e)
{
    return core_wall_of_msg(c, e->item.msg, e->unsure);
}
