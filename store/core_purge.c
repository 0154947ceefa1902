/* core_purge.c - throwing away by hand, lane by lane from the oldest on: what was read, then rows
 * that are only on disk, then what is only in memory. Rows go in stretches, each counted first,
 * then deleted and entered in the ledger by one commit. So other commits never wait for long, the
 * log stays short, and a crash in the middle leaves counters that fit the rows. No I/O. */
#include "core_private.h"

static bool concerns(const struct core *c, enum outbox_lane lane)
{
    return c->purge.active && (c->purge.todo & 1u << lane) != 0;
}

bool core_purging(const struct core *c, const struct lane *l)
{
    return concerns(c, (enum outbox_lane)(l - c->lane));
}

/* The next commit has the ledger's entry. */
static void enter(struct core *c, enum outbox_lane lane, uint64_t count)
{
    c->purge.purged.messages += count;
    c->purge.left -= count;
    c->purge.waits = true;
    core_lose(c, lane, OUTBOX_LOST_PURGED, count);
    core_forget_soon(c, 0);
}

/* From the list's first untaken on, as far as numbers go. Publishers are not to send again, since
 * it was thrown away on purpose. */
static void throw_away(struct core *c, struct entry *const *first, uint64_t to)
{
    while (*first && (*first)->number <= to && c->purge.left > 0) {
        struct entry *e = *first;
        enter(c, e->item.lane, 1);
        core_hold_call(c, e);
        core_settle(c, e, SL_OK);
    }
}

void core_purge_read(struct core *c, struct lane *l)
{
    enum outbox_lane lane = (enum outbox_lane)(l - c->lane);
    if (concerns(c, lane))
        throw_away(c, &l->head_next, c->purge.to[lane]);
}

static void purge_end(struct core *c, enum sl_code code, const char *error)
{
    struct purge *p = &c->purge;
    p->active = p->letters = p->waits = p->landing = false;
    c->wake_now = true; /* the lanes are read again */
    if (p->request.done)
        p->request.done(p->request.ctx, code, code == SL_OK ? NULL : error, &p->purged);
}

enum sl_code core_purge(struct core *c, const struct outbox_purge_request *request)
{
    struct purge *p = &c->purge;
    if (c->closing)
        return SL_CLOSED;
    if (p->active || p->counting || !c->tried)
        return SL_BUSY;
    *p = (struct purge){ .request = *request,
                         .left = request->limit,
                         .todo = request->dead ? 0 : request->lanes,
                         .active = true,
                         .letters = request->dead,
                         .waits = true }; /* also when all is in memory: there may be rows of it */
    for (int i = 0; i < OUTBOX_LANES; i++) {
        p->to[i] = c->lane[i].next - 1;
        core_purge_read(c, &c->lane[i]);
    }
    core_forget_soon(c, 0);
    c->wake_now = true;
    return SL_OK;
}

/* ---- stretches ---- */

static void forget_stretch(struct core *c, const struct disk_count *count, uint64_t rows)
{
    struct lane *l = &c->lane[count->lane];
    core_leave_gap(c, l, rows, count->bytes);
    l->waiting -= rows;
    l->waiting_bytes -= count->bytes;
    c->bytes -= count->bytes;
    l->forget += rows;
    l->forget_bytes += count->bytes;
    l->read_from = count->last + 1;
    enter(c, count->lane, rows);
}

static void counted(void *ctx, struct disk_job *job)
{
    struct core *c = ctx;
    const struct disk_count *count = &job->count;
    struct lane *l = &c->lane[count->lane];
    c->jobs_out--;
    c->purge.counting = false;
    c->wake_now = true;
    if (job->code != SL_OK)
        core_disk_failed(c, job, "reading");
    if (!c->purge.active)
        return;
    uint64_t rows = count->rows < l->gap ? count->rows : l->gap;
    struct disk_range range = { count->from, count->last, count->lane };
    if (job->code != SL_OK)
        purge_end(c, job->code, job->err.text);
    else if (rows == 0) /* what is left of the gap lies behind */
        l->read_from = count->to + 1;
    else if (ranges_add(&c->gone, range))
        forget_stretch(c, count, rows);
    else
        purge_end(c, SL_NOMEM, "out of memory");
}

static void start_count(struct core *c, enum outbox_lane lane, uint64_t to)
{
    struct purge *p = &c->purge;
    p->count = (struct disk_job){ .op = DISK_COUNT, .ctx = c, .done = counted };
    p->count.count =
        (struct disk_count){ .lane = lane,
                             .from = c->lane[lane].read_from,
                             .to = to,
                             .rows_max = p->left < c->purge_rows ? p->left : c->purge_rows };
    p->counting = true;
    c->jobs_out++;
    disk_submit(c->disk, &p->count);
}

/* False: the lane is done. */
static bool next_stretch(struct core *c, enum outbox_lane lane, int64_t now)
{
    struct lane *l = &c->lane[lane];
    struct purge *p = &c->purge;
    uint64_t to = p->to[lane];
    core_purge_read(c, l);
    if (p->left == 0)
        return false;
    bool thinning = lane == OUTBOX_TELEMETRY && (c->thin.out || c->thin.count > 0);
    if (thinning && !core_writes(c))
        purge_end(c, SL_IO, c->disk_error);
    if (l->reading || thinning)
        return true; /* the end of that brings us back */
    /* Rows of the tail are there only by a commit that failed: they go with their messages. */
    uint64_t gap_to = l->tail.first && l->tail.first->number <= to ? l->tail.first->number - 1 : to;
    if (l->gap == 0 || l->read_from > gap_to) {
        throw_away(c, &l->tail_next, to);
        return false;
    }
    if (core_disk_usable(c, now))
        start_count(c, lane, gap_to);
    else
        purge_end(c, SL_IO, c->disk_error);
    return true;
}

void core_tick_purge(struct core *c, int64_t now)
{
    struct purge *p = &c->purge;
    if (!p->active || p->landing || p->counting)
        return;
    if (c->closing) {
        purge_end(c, SL_CLOSED, "the gateway is stopping");
        return;
    }
    if (p->waits && c->disk_state != CORE_OPEN) { /* what is on it stays */
        purge_end(c, SL_IO, c->disk_error);
        return;
    }
    for (int i = 0; i < OUTBOX_LANES && !p->waits; i++) {
        if (!concerns(c, (enum outbox_lane)i))
            continue;
        if (next_stretch(c, (enum outbox_lane)i, now))
            return;
        p->todo &= ~(1u << i);
    }
    if (!p->waits)
        purge_end(c, SL_OK, NULL);
}

/* ---- commits ---- */

void core_purge_in_commit(struct core *c, struct disk_commit *commit)
{
    struct purge *p = &c->purge;
    if (!p->active || !p->waits)
        return;
    p->waits = false;
    p->landing = true;
    if (p->letters) {
        commit->letters_gone = p->request.lanes;
        commit->letters_max = p->left;
    }
}

void core_purge_landed(struct core *c, const struct disk_job *job, bool again)
{
    struct purge *p = &c->purge;
    if (!p->landing)
        return;
    p->landing = false;
    if (job->code == SL_OK) {
        p->letters = false;
        p->purged.letters += job->commit.letters_removed;
    } else if (again) {
        p->waits = true;
        core_forget_soon(c, 0);
    } else {
        purge_end(c, job->code, job->err.text);
    }
}
