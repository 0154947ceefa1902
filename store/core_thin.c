/* core_thin.c - when_full is `thin`: the resolution of the oldest telemetry is halved. No I/O.
 *
 * A pass walks over the rows of the oldest half of the lane, a step at a time. A step asks the disk
 * which of the next rows can go (thin_topics.h); they are counted as lost, and deleted by the next
 * commit, whose counters have them: a crash in between leaves all as it was. The next step waits
 * for that commit, so that the writer is never kept for longer than a step.
 *
 * What the sender has is not thinned. What was only read ahead goes back to the gap when a pass
 * begins. A pass in which little could go means that each topic has hardly more than one message:
 * then the oldest are dropped, for a while, before it is tried again. */
#include "core_private.h"

#include <stdlib.h>

#define WORTH 8 /* a pass is worth its while when one row of so many went */

static struct lane *lane_of(struct core *c)
{
    return &c->lane[OUTBOX_TELEMETRY];
}

bool core_drops_oldest(const struct core *c)
{
    return c->options.when_full == OUTBOX_DROP_OLDEST || c->options.when_full == OUTBOX_THIN;
}

static bool has_rows(const struct lane *l)
{
    return l->gap + l->ahead >= 2;
}

/* Not on disk yet, but on their way. */
static bool will_have_rows(const struct core *c, const struct lane *l)
{
    return l->tail.first && l->waiting >= c->in_flight + 2 &&
           l->tail.first->bytes <= core_row_room(c);
}

/* Whether room is being made, or will be: then nothing is dropped meanwhile. */
bool core_thin_helps(struct core *c)
{
    struct thin *t = &c->thin;
    const struct lane *l = lane_of(c);
    if (c->options.when_full != OUTBOX_THIN || c->closing || !core_writes(c) ||
        c->disk_state != CORE_OPEN)
        return false;
    if (t->active || t->count > 0)
        return true;
    bool wanted = t->drops_left == 0 && (has_rows(l) || will_have_rows(c, l));
    c->wake_now = c->wake_now || (wanted && !t->wanted);
    t->wanted = wanted;
    return wanted;
}

void core_thin_dropped(struct core *c, enum outbox_lane lane)
{
    if (lane == OUTBOX_TELEMETRY && c->thin.drops_left > 0)
        c->thin.drops_left--;
}

/* A step is due as soon as the disk is usable. */
bool core_thin_due(const struct core *c)
{
    const struct thin *t = &c->thin;
    return ((t->wanted && has_rows(&c->lane[OUTBOX_TELEMETRY])) || t->active) && !t->out &&
           t->count == 0 && !c->closing && core_writes(c) && c->disk_state == CORE_OPEN &&
           !c->lane[OUTBOX_TELEMETRY].reading && !core_purging(c, &c->lane[OUTBOX_TELEMETRY]);
}

/* While the disk looks, numbers below what it looks at must not be read past it; and what is read
 * ahead while nobody sends would only keep from being thinned. */
bool core_thin_holds_reads(const struct core *c, const struct lane *l)
{
    const struct thin *t = &c->thin;
    return l == &c->lane[OUTBOX_TELEMETRY] &&
           (t->out || (core_writes(c) && (t->wanted || (t->active && !c->link_up))));
}

static int by_number(const void *a, const void *b)
{
    const struct thin_row *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Whether the row is lost, although the disk still has it. */
bool core_thinned(const struct core *c, enum outbox_lane lane, uint64_t number)
{
    const struct thin_row key = { .number = number };
    return lane == OUTBOX_TELEMETRY && c->thin.count > 0 &&
           bsearch(&key, c->thin.rows, c->thin.count, sizeof key, by_number);
}

void core_thin_stop(struct core *c)
{
    thin_topics_free(&c->thin.topics);
    c->thin.wanted = c->thin.active = false;
}

static uint64_t highest_of(const struct ranges *r)
{
    uint64_t highest = 0;
    for (size_t i = 0; i < r->count; i++)
        if (r->v[i].lane == OUTBOX_TELEMETRY && r->v[i].last > highest)
            highest = r->v[i].last;
    return highest;
}

/* Nobody has them: they are only on disk again. Not those with rows behind them that do not count
 * any more and are still there: these would be read with them. */
static void put_back(struct core *c, struct lane *l)
{
    uint64_t gone = highest_of(&c->gone), going = highest_of(&c->group.gone);
    while (l->head.last && !l->head.last->taken && l->head.last->number > gone &&
           l->head.last->number > going) {
        struct entry *e = l->head.last;
        if (l->head_next == e)
            l->head_next = NULL;
        l->read_from = e->number;
        l->gap++;
        l->gap_bytes += e->bytes;
        l->ahead--;
        l->ahead_bytes -= e->bytes;
        entry_list_remove(&l->head, e);
        core_release(c, e);
    }
}

static void begin(struct core *c)
{
    struct thin *t = &c->thin;
    struct lane *l = lane_of(c);
    t->wanted = false;
    if (!t->rows)
        t->rows = malloc(DISK_THIN_ROWS_MAX * sizeof *t->rows);
    if (!t->rows) {
        t->drops_left = 1; /* this time it has to be a drop */
        return;
    }
    put_back(c, l);
    t->active = true;
    t->topics.seed = c->disk_id;
    t->from = l->read_from;
    t->left = l->waiting / 2 < 2 ? 2 : l->waiting / 2;
    if (t->left > l->gap)
        t->left = l->gap;
    t->seen = t->removed = 0;
}

static void end(struct core *c)
{
    struct thin *t = &c->thin;
    t->drops_left = t->removed * WORTH < t->seen || t->seen == 0 ? t->seen / WORTH + 1 : 0;
    t->passes++;
    core_thin_stop(c);
}

static void lose_row(struct core *c, struct lane *l, struct thin_row row)
{
    core_leave_gap(c, l, 1, row.bytes);
    l->waiting--;
    l->waiting_bytes -= row.bytes;
    c->bytes -= row.bytes;
    core_lose(c, OUTBOX_TELEMETRY, OUTBOX_LOST_THINNED, 1);
    core_forget_row(c, OUTBOX_TELEMETRY, row.number, row.bytes, true);
    c->thin.rows[c->thin.count++] = row;
}

/* The first of a pair may have been read, and sent, since the step that saw it. */
static void take_step(struct core *c, const struct disk_thin *step)
{
    struct thin *t = &c->thin;
    struct lane *l = lane_of(c);
    for (size_t i = 0; i < step->gone_count; i++)
        if (t->rows[i].number >= l->read_from && l->gap > 0)
            lose_row(c, l, t->rows[i]);
    qsort(t->rows, t->count, sizeof *t->rows, by_number);
    t->from = step->from;
    t->seen += step->seen;
    t->removed += t->count;
    t->left -= step->seen < t->left ? step->seen : t->left;
    if (t->count > 0)
        core_forget_soon(c, 0);
    if (step->end || t->left == 0)
        end(c);
}

static void step_done(void *ctx, struct disk_job *job)
{
    struct core *c = ctx;
    c->jobs_out--;
    c->thin.out = false;
    c->wake_now = true;
    if (job->code == SL_OK) {
        take_step(c, &job->thin);
        return;
    }
    core_thin_stop(c);
    c->thin.drops_left = 1;
    core_disk_failed(c, job, "thinning");
}

void core_start_thin(struct core *c, int64_t now)
{
    struct thin *t = &c->thin;
    if (!core_thin_due(c) || !core_disk_usable(c, now))
        return;
    if (t->wanted)
        begin(c);
    if (!t->active)
        return;
    const struct lane *l = lane_of(c);
    t->job = (struct disk_job){ .op = DISK_THIN, .ctx = c, .done = step_done };
    t->job.thin = (struct disk_thin){
        .lane = OUTBOX_TELEMETRY,
        .topics = &t->topics,
        .from = t->from > l->read_from ? t->from : l->read_from,
        .to = l->last,
        .rows_max = t->left < DISK_THIN_ROWS_MAX ? t->left : DISK_THIN_ROWS_MAX,
        .gone = t->rows,
    };
    t->out = true;
    c->jobs_out++;
    disk_submit(c->disk, &t->job);
}
