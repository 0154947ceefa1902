/* core_commit.c - what goes to disk, when, and what its end means. One commit is out at a time:
 * what comes meanwhile forms the next group. No I/O.
 *
 * A commit carries absolute values: each lane's counters as they are after it, with everything that
 * was settled so far taken into account, so that after a crash accepted = delivered + waiting +
 * lost holds for what the commit left. */
#include "core_private.h"

#include <assert.h>
#include <stdlib.h>

/* ---- when ---- */

uint64_t core_bytes_on_disk(const struct core *c)
{
    uint64_t sum = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        sum += c->lane[i].row_bytes - c->lane[i].forget_bytes;
    return sum;
}

static bool at_once(const struct core *c)
{
    return !c->link_up || c->closing || c->thin.wanted || core_pressed(c);
}

static bool reserve_wanted(const struct lane *l)
{
    return l->next + DISK_NUMBERS_AT_ONCE / 2 > l->reserved;
}

/* What the sender had before the disk was there, with older rows on it, stays in memory until it is
 * settled or returned: a row there would be read again behind the older ones. */
static const struct entry *first_to_write(const struct lane *l)
{
    struct entry *e = l->tail.first;
    bool older = l->gap > 0 || l->head_next;
    return e && e->taken && older ? NULL : e;
}

/* Until then the cloud's acknowledgement is waited for; the sender's own wait, for a batch to fill,
 * comes on top. What stands behind it in its lane waits along. */
static int64_t spill_at(const struct core *c, const struct entry *e)
{
    return e->accepted_ms + c->options.spill_after_ms + e->item.msg->linger_ms;
}

/* When the first row is due. Others become due while it waits out the commit interval. */
static int64_t rows_at(const struct core *c)
{
    int64_t at = INT64_MAX;
    if (c->deletes_only)
        return at;
    uint64_t room = core_row_room(c);
    for (int i = 0; i < OUTBOX_LANES; i++) {
        const struct entry *e = first_to_write(&c->lane[i]);
        if (!e || e->bytes > room)
            continue; /* without room it waits in memory until something leaves the disk */
        if (at_once(c))
            return INT64_MIN;
        int64_t due = spill_at(c, e) + c->options.commit_interval_ms;
        if (due < at)
            at = due;
    }
    return at;
}

/* What was dropped makes room for rows that wait for it. */
static bool deletes_wanted(const struct core *c)
{
    bool wait = false;
    for (int i = 0; i < OUTBOX_LANES; i++)
        wait = wait || first_to_write(&c->lane[i]);
    return c->deletes_only || (wait && c->space == SPACE_SHORT && c->gone.count > 0);
}

static int64_t due_at(const struct core *c)
{
    int64_t at = rows_at(c);
    if (c->forget_at < at)
        at = c->forget_at;
    if ((c->closing && (c->dirty || c->gone.count > 0 || c->letters.count > 0)) ||
        deletes_wanted(c))
        return INT64_MIN;
    if (!c->disk_ok && c->look_at < at)
        at = c->look_at;
    for (int i = 0; i < OUTBOX_LANES; i++)
        if (reserve_wanted(&c->lane[i]))
            return INT64_MIN;
    return at;
}

int64_t core_commit_at(const struct core *c)
{
    if (c->disk_state != CORE_OPEN || c->group.out)
        return INT64_MAX;
    int64_t at = due_at(c);
    return at > c->write_at ? at : c->write_at;
}

bool core_all_written(const struct core *c)
{
    for (int i = 0; i < OUTBOX_LANES; i++)
        if (c->lane[i].tail.count > 0)
            return false;
    return !c->group.out && !c->dirty && c->gone.count == 0 && c->letters.count == 0;
}

/* ---- the group ---- */

static int by_place(const void *a, const void *b)
{
    const struct disk_range *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Acknowledgements of several lanes come mixed: sorted, they are few ranges again. */
static void join_ranges(struct ranges *r)
{
    if (r->count == 0)
        return;
    qsort(r->v, r->count, sizeof *r->v, by_place);
    size_t kept = 1;
    for (size_t i = 1; i < r->count; i++) {
        struct disk_range *last = &r->v[kept - 1];
        if (r->v[i].lane == last->lane && r->v[i].first <= last->last + 1) {
            if (r->v[i].last > last->last)
                last->last = r->v[i].last;
        } else {
            r->v[kept++] = r->v[i];
        }
    }
    r->count = kept;
}

static bool rows_reserve(struct group *g, size_t count)
{
    if (count <= g->rows_cap)
        return true;
    size_t cap = g->rows_cap ? g->rows_cap * 2 : 128;
    struct disk_append *rows = realloc(g->rows, cap * sizeof *rows);
    if (!rows)
        return false;
    g->rows = rows;
    g->rows_cap = cap;
    return true;
}

struct gathering {
    int64_t due; /* messages whose time has come until then go */
    size_t rows;
    uint64_t bytes, room;
};

static bool gather_one(struct core *c, struct gathering *at, struct entry *e)
{
    if (spill_at(c, e) > at->due || at->rows >= c->group_rows || e->bytes > at->room ||
        (at->rows > 0 && at->bytes + e->bytes > GROUP_BYTES_MAX))
        return false;
    if (!rows_reserve(&c->group, at->rows + 1))
        return false;
    c->group.rows[at->rows++] = (struct disk_append){
        .msg = e->item.msg,
        .number = e->number,
        .wall_ms = e->unsure && c->time.sure ? core_wall_of(c, e) : e->item.msg->wall_ms,
        .lane = e->item.lane,
        .unsure = e->unsure && !c->time.sure,
    };
    c->group.job.commit.lane[e->item.lane].last = e->number;
    at->bytes += e->bytes;
    at->room -= e->bytes;
    e->where = ENTRY_WRITING;
    return true;
}

static size_t gather_rows(struct core *c, int64_t now, struct disk_commit *commit,
                          uint64_t *ret_bytes)
{
    struct gathering at = { .due = at_once(c) ? INT64_MAX : now, .room = core_row_room(c) };
    for (int i = 0; i < OUTBOX_LANES && !c->deletes_only; i++) {
        if (!first_to_write(&c->lane[i]))
            continue;
        size_t rows = at.rows;
        uint64_t bytes = at.bytes;
        for (struct entry *e = c->lane[i].tail.first; e && gather_one(c, &at, e); e = e->next)
            ;
        commit->lane[i].rows += at.rows - rows;
        commit->lane[i].bytes += at.bytes - bytes;
    }
    *ret_bytes = at.bytes;
    return at.rows;
}

/* rows: bytes of the rows that go along. */
static size_t gather_letters(struct core *c, uint64_t rows)
{
    size_t count = 0;
    uint64_t room = c->space == SPACE_ENOUGH ? UINT64_MAX : c->room - rows;
    for (struct entry *e = c->letters.first; e && count < LETTERS_AT_ONCE && !c->deletes_only;
         e = e->next) {
        if (e->bytes > room)
            break;
        room -= e->bytes;
        const struct letter *letter = SL_CONTAINER_OF(e, struct letter, entry);
        c->group.letters[count++] = (struct disk_letter){ e->item.msg, core_wall_of(c, e),
                                                          letter->reason, e->number, e->item.lane };
    }
    return count;
}

static void lane_after(const struct lane *l, struct disk_lane *ret)
{
    ret->delivered = l->delivered;
    ret->rows = l->rows - l->forget;
    ret->bytes = l->row_bytes - l->forget_bytes;
    ret->last = l->last;
    ret->reserved = reserve_wanted(l) ? l->next + DISK_NUMBERS_AT_ONCE : l->reserved;
    memcpy(ret->loss, l->loss, sizeof ret->loss);
}

static void commit_done(void *ctx, struct disk_job *job);

void core_start_commit(struct core *c, int64_t now)
{
    if (core_commit_at(c) > now)
        return;
    struct group *g = &c->group;
    g->job = (struct disk_job){ .op = DISK_COMMIT, .ctx = c, .done = commit_done };
    struct disk_commit *commit = &g->job.commit;
    for (int i = 0; i < OUTBOX_LANES; i++) {
        lane_after(&c->lane[i], &commit->lane[i]);
        g->forgot[i] = c->lane[i].forget;
        g->forgot_bytes[i] = c->lane[i].forget_bytes;
    }
    assert(g->gone.count == 0);
    struct ranges empty = g->gone;
    g->gone = c->gone;
    c->gone = empty;
    g->thinned = c->thin.count > 0;
    join_ranges(&g->gone);
    commit->gone = g->gone.v;
    commit->gone_count = g->gone.count;
    uint64_t bytes;
    commit->row_count = gather_rows(c, now, commit, &bytes);
    commit->rows = g->rows;
    commit->letter_count = gather_letters(c, bytes);
    commit->letters = g->letters;
    core_held_in_commit(c);
    core_purge_in_commit(c, commit);
    commit->clock_set = c->time.to_tell;
    commit->clock_offset_ms = c->time.offset_ms;
    g->out = true;
    c->dirty = false;
    c->forget_at = INT64_MAX;
    c->jobs_out++;
    disk_submit(c->disk, &g->job);
}

/* ---- its end ---- */

/* Keep it for sending while there is room, so that it need not be read again. */
static bool worth_keeping(const struct core *c, const struct lane *l, const struct entry *e)
{
    return e->taken || (l->gap == 0 && l->ahead < c->options.read_ahead &&
                        l->ahead_bytes + e->bytes <= DISK_READ_BYTES_MAX);
}

static void land(struct core *c, struct lane *l, struct entry *e)
{
    if (l->tail_next == e) {
        l->tail_next = e->next;
        while (l->tail_next && l->tail_next->gone)
            l->tail_next = l->tail_next->next;
    }
    entry_list_remove(&l->tail, e);
    c->memory -= e->footprint;
    e->where = ENTRY_DISK;
    e->maybe_row = false;
    l->rows++;
    l->row_bytes += e->bytes;
    if (e->gone) {
        core_forget_row(c, e->item.lane, e->number, e->bytes, true);
        core_release(c, e);
        return;
    }
    core_call_safe(c, e, SL_OK);
    if (!worth_keeping(c, l, e)) {
        if (l->gap++ == 0)
            l->read_from = e->number;
        l->gap_bytes += e->bytes;
        core_release(c, e);
        return;
    }
    entry_list_push(&l->head, e);
    if (e->taken)
        return;
    l->ahead++;
    l->ahead_bytes += e->bytes;
    if (!l->head_next)
        l->head_next = e;
}

static void letters_landed(struct core *c, size_t count)
{
    while (count-- > 0) {
        struct entry *e = c->letters.first;
        entry_list_remove(&c->letters, e);
        core_call_safe(c, e, SL_OK);
        core_release(c, e);
    }
}

/* These counters are on the disk. */
void core_note_written(struct core *c, const struct disk_lane lane[OUTBOX_LANES])
{
    c->lost_written = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            c->lost_written += lane[i].loss[why].count;
}

static void commit_landed(struct core *c, const struct disk_commit *commit)
{
    const struct group *g = &c->group;
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct lane *l = &c->lane[i];
        l->rows -= g->forgot[i];
        l->forget -= g->forgot[i];
        l->row_bytes -= g->forgot_bytes[i];
        l->forget_bytes -= g->forgot_bytes[i];
        l->reserved = commit->lane[i].reserved;
        l->last = commit->lane[i].last;
        while (l->tail.first && l->tail.first->where == ENTRY_WRITING)
            land(c, l, l->tail.first);
    }
    if (g->thinned)
        c->thin.count = 0;
    if (commit->clock_set)
        c->time.to_tell = false;
    core_note_written(c, commit->lane);
    letters_landed(c, commit->letter_count);
    c->commits++;
    c->rows_written += commit->row_count;
    c->dead_rows = commit->dead_rows;
    c->file_bytes = commit->file_bytes;
    c->bytes_written = commit->bytes_written;
    c->syncs = commit->syncs;
    if (core_bytes_on_disk(c) == 0)
        c->bytes_cap = c->options.max_bytes;
    core_space_landed(c, commit);
    if (c->deletes_only) { /* whether rows can be added again is yet to be seen */
        c->deletes_only = false;
        return;
    }
    if (c->space != SPACE_ENOUGH && commit->row_count == 0) {
        if (commit->gone_count == 0)
            core_look_later(c);
        return;
    }
    c->failures = 0;
    c->disk_ok = c->space == SPACE_ENOUGH;
    if (c->group_rows < GROUP_ROWS_MAX)
        c->group_rows *= 2;
}

static void take_off(struct core *c, struct lane *l)
{
    struct entry *next;
    for (struct entry *e = l->tail.first; e && e->where == ENTRY_WRITING; e = next) {
        next = e->next;
        e->where = ENTRY_MEMORY;
        e->maybe_row = true;
        if (!e->gone)
            continue;
        entry_list_remove(&l->tail, e);
        c->memory -= e->footprint;
        core_forget_row(c, e->item.lane, e->number, e->bytes, false);
        core_release(c, e);
    }
}

/* The file's own bound came before max_bytes: rows take more than they are counted for. */
static void lower_cap(struct core *c)
{
    uint64_t there = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        there += c->lane[i].row_bytes;
    if (there < c->bytes_cap)
        c->bytes_cap = there;
}

static void commit_failed(struct core *c, const struct disk_job *job)
{
    const struct disk_commit *commit = &job->commit;
    core_space_failed(c, job); /* while its messages are there */
    for (int i = 0; i < OUTBOX_LANES; i++)
        take_off(c, &c->lane[i]);
    for (size_t i = 0; i < commit->gone_count; i++)
        (void)ranges_add(&c->gone, commit->gone[i]); /* see core_forget_row() */
    c->dirty = true;
    core_forget_soon(c, FORGET_MS); /* if only the ledger: a purge's publishers wait for it */
    core_disk_failed(c, job, "writing");
    bool full = job->code == SL_FULL || job->code == SL_LIMIT;
    if (c->space != SPACE_ENOUGH && full) {
        if (c->space == SPACE_SHORT)
            c->write_at = INT64_MIN; /* the core knows how much fits: see core_space.c */
        return;
    }
    if (full && commit->row_count > 1) {
        c->group_rows = (commit->row_count + 1) / 2;
        c->write_at = INT64_MIN; /* fewer may fit: at once */
    }
    c->deletes_only =
        full && commit->gone_count > 0 && commit->row_count + commit->letter_count > 0;
    if (c->deletes_only)
        c->write_at = INT64_MIN; /* deleting needs next to no room: at once */
    else if (job->code == SL_LIMIT)
        lower_cap(c);
}

static void commit_done(void *ctx, struct disk_job *job)
{
    struct core *c = ctx;
    c->jobs_out--;
    c->group.out = false;
    c->wake_now = true;
    if (job->code == SL_OK)
        commit_landed(c, &job->commit);
    else
        commit_failed(c, job);
    core_held_landed(c, job->code);
    core_purge_landed(c, job, c->write_at == INT64_MIN);
    c->group.gone.count = 0;
}
