/* core_space.c - a disk that is full before max_bytes is reached: then what it holds is the bound,
 * and when_full applies there. No I/O.
 *
 * Rows that leave give their place to others, inside the database's file: dropping the oldest makes
 * room without any from outside. So it is enough that deletions can be committed. Where not even
 * that works, and where nothing lies on the disk that could give way, what is new waits in memory,
 * within that bound.
 *
 * Only what the disk itself says of its room counts. A write that fails though there should be room
 * is tried again later: nothing is dropped for it. */
#include "core_private.h"

/* Freed at once, so that not every message costs a commit that deletes and one that adds. */
#define LUMP ((uint64_t)64 * 1024)

static uint64_t rows_left(const struct core *c)
{
    uint64_t sum = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        sum += c->lane[i].rows - c->lane[i].forget;
    return sum;
}

static uint64_t bytes_committed(const struct core *c)
{
    uint64_t sum = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        sum += c->lane[i].row_bytes;
    return sum;
}

uint64_t core_cap(const struct core *c)
{
    if (c->space != SPACE_SHORT || rows_left(c) == 0)
        return c->bytes_cap;
    uint64_t there = bytes_committed(c);
    bool disk = there < c->bytes_cap && c->room < c->bytes_cap - there;
    return disk ? there + c->room : c->bytes_cap;
}

uint64_t core_row_room(const struct core *c)
{
    uint64_t cap = core_cap(c), on_disk = core_bytes_on_disk(c);
    uint64_t room = cap > on_disk ? cap - on_disk : 0;
    return c->space != SPACE_ENOUGH && c->room < room ? c->room : room;
}

uint64_t core_cap_to_spare(const struct core *c)
{
    uint64_t spare = core_bytes_on_disk(c) / 8;
    return core_cap(c) - (spare < LUMP ? spare : LUMP);
}

enum outbox_loss core_full_loss(const struct core *c)
{
    return core_cap(c) < c->bytes_cap ? OUTBOX_LOST_NO_ROOM : OUTBOX_LOST_FULL;
}

bool core_writes(const struct core *c)
{
    return c->disk_ok || c->space == SPACE_SHORT;
}

/* There is room in the file for as much as it holds: whatever else fills the disk. */
static bool plenty_inside(const struct core *c, const struct disk_room *room)
{
    return room->bytes >= LUMP && room->bytes >= bytes_committed(c);
}

void core_space_landed(struct core *c, const struct disk_commit *commit)
{
    const struct disk_room *room = &commit->room;
    if (c->space == SPACE_ENOUGH)
        return;
    c->room = room->known ? room->bytes : UINT64_MAX;
    bool wrote = c->space == SPACE_SHORT || commit->row_count > 0;
    if (!room->known || room->grows || (wrote && plenty_inside(c, room)))
        c->space = SPACE_ENOUGH;
    else
        c->space = room->deletes ? SPACE_SHORT : SPACE_NONE;
}

static uint64_t bytes_of(const struct disk_commit *commit)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < commit->row_count; i++)
        sum += disk_row_bytes(commit->rows[i].msg);
    for (size_t i = 0; i < commit->letter_count; i++)
        sum += disk_row_bytes(commit->letters[i].msg);
    return sum;
}

void core_space_failed(struct core *c, const struct disk_job *job)
{
    const struct disk_room *room = &job->commit.room;
    if (job->code != SL_FULL || !room->known || room->grows)
        return;
    bool explains = room->bytes < bytes_of(&job->commit);
    c->space = room->deletes && explains ? SPACE_SHORT : SPACE_NONE;
    c->room = explains ? room->bytes : 0;
}
