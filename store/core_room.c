/* core_room.c - the bounds: bytes, memory, age. What is in flight is never dropped. No I/O. */
#include "core_private.h"

/* The oldest message that may be dropped in lanes from telemetry down to `most`, and whether one
 * would be there after a read. */
static struct entry *oldest_droppable(struct core *c, enum outbox_lane most, bool *ret_read)
{
    *ret_read = false;
    for (int i = OUTBOX_LANES - 1; i >= (int)most; i--) {
        struct lane *l = &c->lane[i];
        struct entry *e = lane_first_untaken(c, l);
        if (e)
            return e;
        if (l->gap > 0) {
            *ret_read = true;
            return NULL;
        }
    }
    return NULL;
}

/* In memory, not being written, and not of a more important lane. */
static struct entry *droppable_in_memory(const struct core *c, enum outbox_lane most)
{
    for (int i = OUTBOX_LANES - 1; i >= (int)most; i--) {
        struct entry *e = c->lane[i].tail_next;
        if (e && e->where == ENTRY_MEMORY)
            return e;
    }
    return NULL;
}

/* What waits is kept below this mark. From here to the cap is room for what comes while the oldest
 * are being read, to be dropped, or the lane is being thinned: as much as a read may bring, but a
 * sixteenth of a small store. On a full disk that room is above what the disk holds. */
uint64_t core_full_mark(const struct core *c)
{
    if (!core_drops_oldest(c) || c->space == SPACE_SHORT)
        return core_cap(c);
    uint64_t room = c->bytes_cap / 16;
    return c->bytes_cap - (room < DISK_READ_BYTES_MAX ? room : DISK_READ_BYTES_MAX);
}

/* Down to where drops go: on a full disk somewhat further than to what is needed now. */
static uint64_t goal(struct core *c, uint64_t bytes)
{
    if (bytes > core_cap(c))
        c->making_room = c->space == SPACE_SHORT && core_drops_oldest(c);
    return c->making_room ? core_cap_to_spare(c) : core_full_mark(c);
}

/* It fits, and some is only to be spared. */
static bool only_spares(const struct core *c, uint64_t bytes)
{
    return c->making_room && bytes <= core_cap(c);
}

/* To be spared are rows, and none of a lane of which none had to go. */
static struct entry *next_to_drop(struct core *c, uint64_t bytes, enum outbox_lane lane,
                                  bool *ret_read)
{
    bool spares = only_spares(c, bytes);
    struct entry *e =
        oldest_droppable(c, spares && c->room_lane > lane ? c->room_lane : lane, ret_read);
    return spares && e && e->where != ENTRY_DISK ? NULL : e;
}

static void drop_for_room(struct core *c, struct entry *e)
{
    c->room_lane = e->item.lane;
    core_thin_dropped(c, c->room_lane);
    core_drop(c, e, core_full_loss(c));
}

/* Room for a new message of the lane, below max_bytes in any case. A lane never pushes out what is
 * more important than itself. While the oldest rows still have to be read before they can be
 * dropped, and while the lane is being thinned, the message is let in as far as there is room above
 * the mark; then what is in memory gives way. */
bool core_make_room(struct core *c, enum outbox_lane lane, uint32_t bytes)
{
    if (bytes > core_cap(c))
        return false;
    while (c->bytes + bytes > goal(c, c->bytes + bytes)) {
        bool read, room = c->bytes + bytes <= c->bytes_cap;
        if (!core_drops_oldest(c))
            return false;
        if (room && core_thin_helps(c))
            return true;
        struct entry *e = next_to_drop(c, c->bytes + bytes, lane, &read);
        if (!e && read && !room)
            e = droppable_in_memory(c, lane);
        if (!e)
            return (read && room) || only_spares(c, c->bytes + bytes);
        drop_for_room(c, e);
    }
    c->making_room = false;
    return true;
}

/* Lost as when_full says, and the disk can be told: its publisher has done its part. With
 * OUTBOX_REFUSE it has not, and what memory has no room for may have some when it comes again. */
bool core_gives_way(const struct core *c, enum outbox_loss why)
{
    return (why == OUTBOX_LOST_FULL || why == OUTBOX_LOST_NO_ROOM) &&
           c->options.when_full != OUTBOX_REFUSE && core_writes(c);
}

static bool writing_works(const struct core *c)
{
    return core_writes(c) && c->failures == 0;
}

/* While the disk works, a message that somebody waits for goes to disk in a moment, and how many
 * there can be is bounded by what senders may have unacknowledged: refusing it would only have it
 * sent again. What nobody waits for comes as fast as it likes. */
static uint64_t memory_bound(const struct core *c, bool waited)
{
    return c->options.memory_max_bytes * (waited && writing_works(c) ? MEMORY_WAITED_TIMES : 1);
}

/* Memory is full because the disk does not work, or because it is slower than what comes in. */
enum outbox_loss core_memory_loss(const struct core *c)
{
    return writing_works(c) ? OUTBOX_LOST_BURST : OUTBOX_LOST_DISK;
}

bool core_make_memory(struct core *c, enum outbox_lane lane, uint32_t footprint, bool waited)
{
    while (c->memory + footprint > memory_bound(c, waited)) {
        if (!core_drops_oldest(c))
            return false;
        struct entry *victim = droppable_in_memory(c, lane);
        if (!victim)
            return false; /* all of it is in flight or being written */
        if (victim->on_safe && !waited && writing_works(c))
            return false;
        core_drop(c, victim, core_memory_loss(c));
    }
    return true;
}

bool core_pressed(const struct core *c)
{
    return c->memory > c->options.memory_max_bytes / 2;
}

/* Above the mark, room is being made: by thinning, or by a read of what is to be dropped. */
static bool makes_room(const struct core *c)
{
    return core_drops_oldest(c) && c->bytes > core_full_mark(c);
}

bool core_wants_slower(const struct core *c)
{
    return (core_pressed(c) || makes_room(c)) && writing_works(c);
}

/* Those that were let in before the disk was seen to be full. */
static void trim_newest(struct core *c)
{
    for (int i = OUTBOX_LANES - 1; i >= 0 && c->space == SPACE_SHORT; i--) {
        struct entry *e;
        while (c->bytes > core_cap(c) && (e = c->lane[i].tail.last) && e->where == ENTRY_MEMORY &&
               !e->taken)
            core_drop(c, e, OUTBOX_LOST_NO_ROOM);
    }
}

/* Catch up with drops that had to wait for a read, or for a cap that came down. */
void core_trim(struct core *c)
{
    if (!core_drops_oldest(c)) {
        trim_newest(c);
        return;
    }
    while (c->bytes > goal(c, c->bytes) && !core_thin_helps(c)) {
        bool read;
        struct entry *e = next_to_drop(c, c->bytes, OUTBOX_ALERT, &read);
        if (!e && read)
            return;
        if (!e)
            break;
        drop_for_room(c, e);
    }
    c->making_room = false;
}

static int64_t expires_at(const struct core *c, const struct entry *e)
{
    int64_t life = c->options.max_age_ms > 0 ? c->options.max_age_ms : INT64_MAX / 2;
    if (e->item.msg->expiry_s != SL_MSG_NO_EXPIRY && (int64_t)e->item.msg->expiry_s * 1000 < life)
        life = (int64_t)e->item.msg->expiry_s * 1000;
    return e->item.msg->mono_ms + life;
}

bool core_expired(const struct core *c, const struct entry *e, int64_t now)
{
    return now >= expires_at(c, e);
}

/* Drop what is too old at the front of each lane. A message with a short ttl behind one with a long
 * one is found when it comes to the front: it is never sent late. */
void core_expire(struct core *c, int64_t now)
{
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct entry *e;
        while ((e = lane_first_untaken(c, &c->lane[i])) && core_expired(c, e, now))
            core_drop(c, e, OUTBOX_LOST_AGE);
    }
}

int64_t core_expire_at(const struct core *c)
{
    int64_t at = INT64_MAX;
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct entry *e = lane_first_untaken(c, &c->lane[i]);
        if (e && expires_at(c, e) < at)
            at = expires_at(c, e);
    }
    return at;
}
