/* core_read.c - reading ahead of the sender, and looking at what waits. No I/O. */
#include "core_private.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- reading ahead ---- */

bool core_read_wanted(const struct core *c, const struct lane *l)
{
    return c->disk_state == CORE_OPEN && !c->closing && l->gap > 0 && !l->reading &&
           !core_thin_holds_reads(c, l) && !core_purging(c, l) &&
           l->ahead <= c->options.read_ahead / 2 && l->ahead_bytes <= DISK_READ_BYTES_MAX / 2;
}

static struct entry *entry_from_row(const struct disk_row *row)
{
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->item.msg = row->msg;
    e->item.lane = row->lane;
    e->item.number = e->number = row->number;
    e->bytes = row->bytes;
    e->footprint = (uint32_t)(sizeof *e + sl_msg_size(row->msg));
    e->where = ENTRY_DISK;
    e->unsure = row->unsure;
    return e;
}

/* Bytes are trued up: a disk that lies may have kept the counters of one commit and the rows of
 * another. */
void core_leave_gap(struct core *c, struct lane *l, uint64_t rows, uint64_t bytes)
{
    l->gap -= rows;
    uint64_t counted = l->gap == 0 || l->gap_bytes < bytes ? l->gap_bytes : bytes;
    l->gap_bytes -= counted;
    l->waiting_bytes += bytes - counted; /* may be "less": unsigned arithmetic comes out right */
    l->row_bytes += bytes - counted;
    c->bytes += bytes - counted;
}

static void lose_row(struct core *c, struct lane *l, const struct disk_row *row)
{
    l->waiting--;
    l->waiting_bytes -= row->bytes;
    c->bytes -= row->bytes;
    core_lose(c, row->lane, OUTBOX_LOST_CORRUPT, 1);
    core_forget_row(c, row->lane, row->number, row->bytes, true);
}

/* False when memory is out: the row stays in the gap. */
static bool take_in(struct core *c, struct lane *l, struct disk_row *row)
{
    struct entry *e = row->msg ? entry_from_row(row) : NULL;
    if (row->msg && !e)
        return false;
    core_leave_gap(c, l, 1, row->bytes);
    l->read_from = row->number + 1;
    if (!e) {
        lose_row(c, l, row);
        return true;
    }
    row->msg = NULL;
    entry_list_push(&l->head, e);
    l->ahead++;
    l->ahead_bytes += e->bytes;
    if (!l->head_next)
        l->head_next = e;
    return true;
}

/* The end was reached and rows are missing: the disk lost what it had confirmed. */
static void lose_missing(struct core *c, struct lane *l, enum outbox_lane lane)
{
    l->waiting -= l->gap;
    l->waiting_bytes -= l->gap_bytes;
    c->bytes -= l->gap_bytes;
    l->rows -= l->gap;
    l->row_bytes -= l->gap_bytes;
    core_lose(c, lane, OUTBOX_LOST_CORRUPT, l->gap);
    l->gap = l->gap_bytes = 0;
}

/* Rows beyond those that are counted come from a commit that failed and landed all the same: they
 * are still in the tail, or will be deleted. */
static void take_rows(struct core *c, struct lane *l, struct disk_read *read)
{
    bool memory = true;
    for (size_t i = 0; i < read->row_count; i++) {
        read->end = read->end || read->row[i].number > l->last;
        if (read->row[i].number > l->last) {
            sl_msg_unref(read->row[i].msg);
            continue;
        }
        if (core_thinned(c, read->lane, read->row[i].number))
            l->read_from = read->row[i].number + 1;
        else if (l->gap > 0 && memory)
            memory = take_in(c, l, &read->row[i]);
        sl_msg_unref(read->row[i].msg);
    }
    if (memory && read->end && l->gap > 0)
        lose_missing(c, l, read->lane);
}

static void read_done(void *ctx, struct disk_job *job)
{
    struct core *c = ctx;
    struct lane *l = &c->lane[job->read.lane];
    c->jobs_out--;
    l->reading = false;
    c->wake_now = true;
    if (job->code != SL_OK)
        core_disk_failed(c, job, "reading");
    take_rows(c, l, &job->read);
    core_purge_read(c, l);
}

void core_start_reads(struct core *c, int64_t now)
{
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct lane *l = &c->lane[i];
        if (!core_disk_usable(c, now) || !core_read_wanted(c, l))
            continue;
        size_t rows = c->options.read_ahead - l->ahead;
        l->read = (struct disk_job){ .op = DISK_READ, .ctx = c, .done = read_done };
        l->read.read = (struct disk_read){
            .lane = (enum outbox_lane)i,
            .from = l->read_from,
            .rows_max = rows < DISK_READ_ROWS_MAX ? rows : DISK_READ_ROWS_MAX,
            .bytes_max = DISK_READ_BYTES_MAX - l->ahead_bytes,
            .row = l->read_rows,
        };
        l->reading = true;
        c->jobs_out++;
        disk_submit(c->disk, &l->read);
    }
}

/* ---- looking ---- */

struct listing {
    struct core *core;
    struct outbox_list_request request;
    struct disk_job job;
    uint32_t left;
    uint64_t bytes_left;
    uint64_t shown; /* rows of this lane up to here were visited */
    enum sl_code code;
    char error[256];
    struct disk_row row[DISK_READ_ROWS_MAX];
};

static void show(struct listing *v, enum outbox_lane lane, uint64_t number, uint64_t position,
                 const struct sl_msg *m, int64_t wall_ms, const char *reason)
{
    struct outbox_row row = { .lane = lane,
                              .number = number,
                              .position = position,
                              .wall_ms = wall_ms,
                              .topic = sl_msg_topic(m),
                              .props = sl_msg_props(m),
                              .payload = sl_msg_payload(m),
                              .expiry_s = m->expiry_s,
                              .qos = m->qos,
                              .retain = m->retain,
                              .reason = reason };
    uint64_t bytes = disk_row_bytes(m);
    v->bytes_left -= bytes < v->bytes_left ? bytes : v->bytes_left;
    v->left -= v->bytes_left > 0 ? 1 : v->left; /* the last row, when its bytes were the last */
    v->request.row(v->request.ctx, &row);
}

static bool is_gone(const struct core *c, enum outbox_lane lane, uint64_t number)
{
    for (size_t i = 0; i < c->gone.count; i++)
        if (c->gone.v[i].lane == lane && number >= c->gone.v[i].first &&
            number <= c->gone.v[i].last)
            return true;
    return false;
}

/* What is not on disk; when the disk cannot be read also what is in memory of the rest. */
static void show_list(struct listing *v, enum outbox_lane lane, const struct entry_list *list)
{
    for (const struct entry *e = list->first; e && v->left > 0; e = e->next)
        if (!e->gone && e->number > v->shown)
            show(v, lane, e->number, e->number, e->item.msg, core_wall_of(v->core, e), NULL);
}

static void show_letters(struct listing *v)
{
    if (v->request.from == OUTBOX_POSITION_LAST)
        return;
    for (const struct entry *e = v->core->letters.first; e && v->left > 0; e = e->next)
        if (v->request.lane == OUTBOX_LANES || v->request.lane == e->item.lane)
            show(v, e->item.lane, e->number, OUTBOX_POSITION_LAST, e->item.msg,
                 core_wall_of(v->core, e), SL_CONTAINER_OF(e, const struct letter, entry)->reason);
}

static void listing_end(struct listing *v)
{
    struct outbox_list_request request = v->request;
    enum sl_code code = v->code;
    char error[sizeof v->error];
    memcpy(error, v->error, sizeof error);
    v->core->listings--;
    free(v);
    request.done(request.ctx, code, code == SL_OK ? NULL : error);
}

static void listing_read(struct listing *v)
{
    struct disk_read *read = &v->job.read;
    read->rows_max = v->left < DISK_READ_ROWS_MAX ? v->left : DISK_READ_ROWS_MAX;
    read->bytes_max = DISK_READ_BYTES_MAX;
    read->row_count = 0;
    read->end = false;
    v->core->jobs_out++;
    disk_submit(v->core->disk, &v->job);
}

static bool next_lane(struct listing *v)
{
    struct disk_read *read = &v->job.read;
    if (v->left == 0 || read->dead || v->request.lane != OUTBOX_LANES ||
        read->lane + 1 == OUTBOX_LANES)
        return false;
    read->lane++;
    read->from = 0;
    v->shown = 0;
    return true;
}

static bool is_wanted(const struct listing *v, const struct disk_row *row)
{
    if (!v->job.read.dead)
        return !is_gone(v->core, row->lane, row->number);
    return v->request.lane == OUTBOX_LANES || v->request.lane == row->lane;
}

static void show_rows(struct listing *v)
{
    struct disk_read *read = &v->job.read;
    for (size_t i = 0; i < read->row_count; i++) {
        struct disk_row *row = &v->row[i];
        const struct lane *l = &v->core->lane[read->lane];
        bool above = !read->dead && l->tail.first && row->number >= l->tail.first->number;
        if (row->msg && v->left > 0 && !above && is_wanted(v, row))
            show(v, row->lane, row->number, row->position, row->msg,
                 core_wall_of_msg(v->core, row->msg, row->unsure), row->reason);
        if (!read->dead && !above)
            v->shown = row->number;
        sl_msg_unref(row->msg);
        free(row->reason);
    }
}

static void listing_done(void *ctx, struct disk_job *job)
{
    struct listing *v = ctx;
    struct disk_read *read = &job->read;
    struct core *c = v->core;
    c->jobs_out--;
    show_rows(v);
    if (job->code == SL_OK && !read->end && v->left > 0) {
        listing_read(v);
        return;
    }
    if (job->code != SL_OK && v->code == SL_OK) {
        v->code = job->code;
        (void)snprintf(v->error, sizeof v->error, "%.250s", job->err.text);
    }
    if (read->dead) {
        show_letters(v);
    } else {
        if (job->code != SL_OK)
            show_list(v, read->lane, &c->lane[read->lane].head);
        show_list(v, read->lane, &c->lane[read->lane].tail);
    }
    if (next_lane(v))
        listing_read(v);
    else
        listing_end(v);
}

enum sl_code core_list(struct core *c, const struct outbox_list_request *request)
{
    if (c->closing)
        return SL_CLOSED;
    if (c->listings >= LISTINGS_MAX)
        return SL_BUSY;
    struct listing *v = calloc(1, sizeof *v);
    if (!v)
        return SL_NOMEM;
    v->core = c;
    v->request = *request;
    v->left = request->limit;
    v->bytes_left = request->bytes_max > 0 ? request->bytes_max : UINT64_MAX;
    v->shown = request->from > 0 && !request->dead ? request->from - 1 : 0;
    v->job = (struct disk_job){ .op = DISK_READ, .ctx = v, .done = listing_done };
    v->job.read.dead = request->dead;
    v->job.read.lane = request->lane == OUTBOX_LANES ? OUTBOX_ALERT : request->lane;
    v->job.read.from = request->from;
    v->job.read.row = v->row;
    c->listings++;
    listing_read(v);
    return SL_OK;
}
