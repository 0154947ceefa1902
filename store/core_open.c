/* core_open.c - the disk comes, fails, comes back and goes. No I/O.
 *
 * Numbers given before the disk's state is known are provisional. Should the disk say that some of
 * them were used before (the clock was set back), what waits is numbered anew; a message that the
 * sender has just then shows its old number until it comes back. */
#include "core_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

bool core_disk_usable(const struct core *c, int64_t now)
{
    return c->disk_state == CORE_OPEN && now >= c->retry_at;
}

/* No room, or not now: what is there can be read all the same. */
static bool only_writing_failed(const struct disk_job *job)
{
    return job->op == DISK_COMMIT &&
           (job->code == SL_FULL || job->code == SL_LIMIT || job->code == SL_BUSY);
}

void core_look_later(struct core *c)
{
    int64_t wait = RETRY_MS_MIN << (c->failures < 4 ? c->failures : 4);
    c->failures++;
    c->look_at = core_now(c) + (wait < RETRY_MS_MAX ? wait : RETRY_MS_MAX);
}

void core_disk_failed(struct core *c, const struct disk_job *job, const char *doing)
{
    core_look_later(c);
    c->write_at = c->look_at;
    if (!only_writing_failed(job))
        c->retry_at = c->write_at;
    if (job->code == SL_LIMIT)
        return; /* the bound is reached: that is what when_full is for */
    c->disk_ok = false;
    (void)snprintf(c->disk_error, sizeof c->disk_error, "%s: %.150s", doing, job->err.text);
    if (job->code == SL_CORRUPT)
        c->reopen_aside = true;
    if ((job->code == SL_CORRUPT || job->code == SL_IO) && c->disk_state == CORE_OPEN)
        c->disk_state = CORE_CLOSED;
}

/* ---- taking over what is there ---- */

static void merge_loss(struct disk_loss *into, const struct disk_loss *from)
{
    into->count += from->count;
    if (from->first_ms != 0 && (into->first_ms == 0 || from->first_ms < into->first_ms))
        into->first_ms = from->first_ms;
    if (from->last_ms > into->last_ms)
        into->last_ms = from->last_ms;
}

static void renumber(struct lane *l, uint64_t from)
{
    for (struct entry *e = l->tail.first; e; e = e->next) {
        e->number = from++;
        if (!e->taken)
            e->item.number = e->number;
    }
    l->next = from;
}

/* Rows behind the last that is counted come from a commit that failed and landed all the same, and
 * a crash before it was done again. Nobody was told that they are safe; nobody counts them. */
static void forget_strays(struct core *c, enum outbox_lane lane, uint64_t last, uint64_t free_from)
{
    if (last + 1 < free_from)
        (void)ranges_add(&c->gone, (struct disk_range){ last + 1, free_from - 1, lane });
}

static void adopt_lane(struct core *c, enum outbox_lane lane, const struct disk_lane *from,
                       uint64_t free_from)
{
    struct lane *l = &c->lane[lane];
    uint64_t lost = 0;
    for (int why = 0; why < OUTBOX_LOSSES; why++) {
        merge_loss(&l->loss[why], &from->loss[why]);
        lost += from->loss[why].count;
    }
    l->lost += lost;
    l->delivered += from->delivered;
    l->accepted += from->delivered + from->rows + lost;
    l->waiting += from->rows;
    l->waiting_bytes += from->bytes;
    c->bytes += from->bytes;
    l->rows = from->rows;
    l->row_bytes = from->bytes;
    l->gap = from->rows;
    l->gap_bytes = from->bytes;
    l->read_from = 0;
    l->last = from->last;
    forget_strays(c, lane, from->last, free_from);
    uint64_t first = l->tail.first ? l->tail.first->number : l->next;
    if (free_from > first)
        renumber(l, free_from);
}

/* What was on disk is gone; what of it is in memory will be written again. */
static void lose_disk(struct core *c, enum outbox_lane lane)
{
    struct lane *l = &c->lane[lane];
    while (l->head.last) {
        struct entry *e = l->head.last;
        entry_list_remove(&l->head, e);
        e->where = ENTRY_MEMORY;
        e->accepted_ms = INT64_MIN / 2; /* due at once */
        c->memory += e->footprint;
        entry_list_push_front(&l->tail, e);
    }
    c->bytes -= l->gap_bytes;
    l->waiting_bytes -= l->gap_bytes;
    l->waiting -= l->gap;
    core_lose(c, lane, OUTBOX_LOST_CORRUPT, l->gap);
    l->head_next = NULL;
    l->ahead = 0;
    l->ahead_bytes = l->gap = l->gap_bytes = l->rows = l->row_bytes = l->forget = l->forget_bytes =
        0;
    for (l->tail_next = l->tail.first; l->tail_next && l->tail_next->taken;)
        l->tail_next = l->tail_next->next;
}

static bool holds_rows(const struct disk_open *open)
{
    uint64_t rows = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        rows += open->lane[i].rows;
    return rows > 0;
}

static void adopt(struct core *c, const struct disk_open *open)
{
    bool known = c->adopted && open->id == c->disk_id;
    if (c->adopted && !known) {
        for (int i = 0; i < OUTBOX_LANES; i++)
            lose_disk(c, (enum outbox_lane)i);
        c->gone.count = 0;
        core_thin_stop(c);
        c->thin.count = 0;
    }
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct lane *l = &c->lane[i];
        if (!known && !(c->adopted && open->fresh))
            adopt_lane(c, (enum outbox_lane)i, &open->lane[i], open->free_from[i]);
        l->reserved = open->lane[i].reserved;
        if (open->moved &&
            !c->adopted) /* how many it held, if nobody could read that, is unknown */
            core_lose(c, (enum outbox_lane)i, OUTBOX_LOST_CORRUPT, 0);
    }
    if (holds_rows(
            open)) /* of an earlier life in this boot, perhaps, which did not know the time */
        core_tell_disk_time(c);
    core_note_written(c, open->lane);
    c->disk_id = open->id;
    c->dead_rows = open->dead_rows;
    c->dirty = c->dirty || !known;
    c->adopted = true;
}

/* On a disk that cannot be written nothing remembers which numbers this life uses. The next may be
 * told the same, so the clock sets them apart; beyond what was noted, which may be ahead of it. */
static void begin_unreserved(struct core *c, const struct disk_open *open)
{
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct lane *l = &c->lane[i];
        uint64_t noted = open->free_from[i], from = core_first_number(c);
        if (noted > from)
            from += DISK_NUMBERS_AT_ONCE;
        if (noted > from)
            from = noted;
        if (from > (l->tail.first ? l->tail.first->number : l->next))
            renumber(l, from);
    }
}

static bool reserved(const struct disk_open *open)
{
    for (int i = 0; i < OUTBOX_LANES; i++)
        if (open->lane[i].reserved <= open->free_from[i])
            return false;
    return true;
}

static void open_done(void *ctx, struct disk_job *job)
{
    struct core *c = ctx;
    const struct disk_open *open = &job->open;
    bool first = !c->tried;
    c->jobs_out--;
    c->tried = true;
    c->wake_now = true;
    c->disk_state = CORE_CLOSED;
    if (open->moved) {
        memcpy(c->set_aside, open->moved_to, sizeof c->set_aside);
        memcpy(c->set_aside_why, open->moved_why, sizeof c->set_aside_why);
        c->salvaged = open->salvaged;
        c->reopen_aside = false; /* it is out of the way, whatever came after */
    }
    c->kept = job->code == SL_OK || c->adopted ? 0 : open->kept; /* else they are counted */
    if (job->code != SL_OK) {
        if (first)
            begin_unreserved(c, open);
        core_disk_failed(c, job, "opening");
        return;
    }
    c->disk_state = CORE_OPEN;
    c->reopen_aside = false;
    c->failures = 0;
    c->disk_ok = true;
    c->bytes_written_before += c->bytes_written;
    c->syncs_before += c->syncs;
    c->bytes_written = open->bytes_written;
    c->syncs = open->syncs;
    c->file_bytes = open->file_bytes;
    adopt(c, open);
    if (first && !reserved(open))
        begin_unreserved(c, open);
}

static bool reads_out(const struct core *c)
{
    for (int i = 0; i < OUTBOX_LANES; i++)
        if (c->lane[i].reading)
            return true;
    return false;
}

/* Jobs that are out come back first, and wake the core: a disk that hangs is not asked in a loop. */
int64_t core_open_at(const struct core *c)
{
    bool may = c->disk_state == CORE_CLOSED && !c->group.out && !c->thin.out && !reads_out(c);
    return may ? c->retry_at : INT64_MAX;
}

void core_start_open(struct core *c, int64_t now)
{
    if (now < core_open_at(c))
        return;
    c->open_job = (struct disk_job){ .op = DISK_OPEN, .ctx = c, .done = open_done };
    struct disk_open *open = &c->open_job.open;
    open->set_aside = c->reopen_aside;
    open->known_id = c->adopted ? c->disk_id : 0;
    open->mono_ms = now;
    open->wall_ms = sl_wall_ms(c->options.clock);
    for (int i = 0; i < OUTBOX_LANES; i++)
        open->next[i] = c->lane[i].next;
    c->disk_state = CORE_OPENING;
    c->jobs_out++;
    disk_submit(c->disk, &c->open_job);
}

/* ---- going ---- */

void core_close(struct core *c)
{
    if (c->closing)
        return;
    c->closing = true;
    c->close_by = core_now(c) + CLOSE_MS_MAX;
    c->failures = 0;
    c->retry_at = c->write_at = c->look_at = INT64_MIN; /* one more try, at once */
    c->room = UINT64_MAX;
    c->wake_now = true;
}

bool core_is_closed(const struct core *c)
{
    return c->disk_state == CORE_ENDED && c->jobs_out == 0 && !c->calls_first;
}

unsigned core_jobs_out(const struct core *c)
{
    return c->jobs_out;
}

static bool may_still_write(const struct core *c, int64_t now)
{
    if (now >= c->close_by || c->failures > 0)
        return false;
    if (c->disk_state == CORE_CLOSED || c->disk_state == CORE_OPENING || c->group.out)
        return true;
    return !core_all_written(c) && core_commit_at(c) != INT64_MAX;
}

static void close_done(void *ctx, struct disk_job *job)
{
    (void)job; /* what could be saved was committed before: there is nothing to be done about it */
    struct core *c = ctx;
    c->jobs_out--;
    c->disk_state = CORE_ENDED;
    c->wake_now = true;
}

void core_tick_close(struct core *c, int64_t now)
{
    if (c->disk_state >= CORE_ENDING || may_still_write(c, now))
        return;
    for (int i = 0; i < OUTBOX_LANES; i++)
        for (struct entry *e = c->lane[i].tail.first; e; e = e->next)
            core_call_safe(c, e, SL_CLOSED);
    core_held_close(c);
    for (struct entry *e = c->letters.first; e; e = e->next)
        core_call_safe(c, e, SL_CLOSED);
    c->disk_state = CORE_ENDING;
    c->open_job = (struct disk_job){ .op = DISK_CLOSE, .ctx = c, .done = close_done };
    c->jobs_out++;
    disk_submit(c->disk, &c->open_job);
}
