/* fake_disk.c - see fake_disk.h. */
#include "fake_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void submit(struct disk *interface, struct disk_job *job)
{
    struct fake_disk *d = SL_CONTAINER_OF(interface, struct fake_disk, interface);
    job_queue_push(&d->jobs, job);
}

void fake_disk_init(struct fake_disk *d)
{
    *d = (struct fake_disk){ .interface = { submit } };
}

static struct sl_msg *copy_at(const struct sl_msg *m, int64_t wall_ms)
{
    struct sl_msg *copy = sl_msg_new(&(struct sl_msg_parts){ .topic = sl_msg_topic(m),
                                                             .props = sl_msg_props(m),
                                                             .payload = sl_msg_payload(m),
                                                             .expiry_s = m->expiry_s,
                                                             .qos = m->qos,
                                                             .retain = m->retain,
                                                             .batch = m->batch,
                                                             .mono_ms = m->mono_ms,
                                                             .wall_ms = wall_ms });
    if (!copy)
        abort();
    return copy;
}

static struct sl_msg *copy_of(const struct sl_msg *m)
{
    return copy_at(m, m->wall_ms);
}

static void drop_row(struct fake_rows *r, size_t at)
{
    sl_msg_unref(r->v[at].msg);
    free(r->v[at].reason);
    memmove(&r->v[at], &r->v[at + 1], (r->count - at - 1) * sizeof *r->v);
    r->count--;
}

static size_t find(const struct fake_rows *r, uint64_t number)
{
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (r->v[mid].number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void add_row(struct fake_rows *r, struct fake_row row)
{
    size_t at = find(r, row.number);
    if (at < r->count && r->v[at].number == row.number)
        drop_row(r, at);
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        r->v = realloc(r->v, r->cap * sizeof *r->v);
        if (!r->v)
            abort();
    }
    memmove(&r->v[at + 1], &r->v[at], (r->count - at) * sizeof *r->v);
    r->v[at] = row;
    r->count++;
}

static void clear(struct fake_rows *r)
{
    while (r->count > 0)
        drop_row(r, r->count - 1);
}

void fake_disk_free(struct fake_disk *d)
{
    for (int i = 0; i < OUTBOX_LANES; i++) {
        clear(&d->rows[i]);
        free(d->rows[i].v);
    }
    clear(&d->dead);
    free(d->dead.v);
}

static enum sl_code do_open(struct fake_disk *d, struct disk_open *open)
{
    d->opens++;
    for (int i = 0; i < OUTBOX_LANES && d->noted; i++)
        open->free_from[i] = d->lane[i].reserved;
    if (d->open_fails != SL_OK)
        return d->open_fails;
    if (open->set_aside && d->exists) {
        for (int i = 0; i < OUTBOX_LANES; i++)
            clear(&d->rows[i]);
        clear(&d->dead);
        memset(d->lane, 0, sizeof d->lane);
        d->exists = false;
        open->moved = true;
        (void)snprintf(open->moved_to, sizeof open->moved_to, "queue.db.bad");
    }
    open->fresh = !d->exists;
    if (open->fresh)
        d->id++;
    d->exists = true;
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct disk_lane *l = &d->lane[i];
        open->free_from[i] = l->reserved;
        l->reserved =
            (l->reserved > open->next[i] ? l->reserved : open->next[i]) + DISK_NUMBERS_AT_ONCE;
    }
    memcpy(open->lane, d->lane, sizeof open->lane);
    open->id = d->id;
    open->dead_rows = d->dead.count;
    return SL_OK;
}

static void apply(struct fake_disk *d, struct disk_commit *c)
{
    for (size_t i = 0; i < c->gone_count; i++) {
        struct fake_rows *r = &d->rows[c->gone[i].lane];
        size_t at = find(r, c->gone[i].first);
        while (at < r->count && r->v[at].number <= c->gone[i].last)
            drop_row(r, at);
    }
    c->letters_removed = 0;
    for (size_t i = 0; i < d->dead.count && c->letters_removed < c->letters_max;) {
        if (!(c->letters_gone & 1u << d->dead.v[i].lane)) {
            i++;
            continue;
        }
        drop_row(&d->dead, i);
        c->letters_removed++;
    }
    for (size_t i = 0; i < c->row_count; i++)
        add_row(&d->rows[c->rows[i].lane],
                (struct fake_row){ .msg = copy_at(c->rows[i].msg, c->rows[i].wall_ms),
                                   .unsure = c->rows[i].unsure,
                                   .number = c->rows[i].number,
                                   .lane = c->rows[i].lane });
    for (size_t i = 0; i < c->letter_count; i++)
        add_row(&d->dead,
                (struct fake_row){ .msg = copy_at(c->letters[i].msg, c->letters[i].wall_ms),
                                   .number = c->letters[i].number,
                                   .reason = strdup(c->letters[i].reason),
                                   .lane = c->letters[i].lane });
    if (c->clock_set)
        d->clock_offset_ms = c->clock_offset_ms;
    d->clock_set |= c->clock_set;
    memcpy(d->lane, c->lane, sizeof d->lane);
}

static size_t rows_there(const struct fake_disk *d)
{
    size_t sum = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        sum += d->rows[i].count;
    return sum;
}

static size_t rows_gone(const struct fake_disk *d, const struct disk_commit *c)
{
    size_t sum = 0;
    for (size_t i = 0; i < c->gone_count; i++)
        sum += find(&d->rows[c->gone[i].lane], c->gone[i].last + 1) -
               find(&d->rows[c->gone[i].lane], c->gone[i].first);
    return sum;
}

static uint64_t bytes_there(const struct fake_disk *d)
{
    uint64_t sum = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        for (size_t at = 0; at < d->rows[i].count; at++)
            sum += disk_row_bytes(d->rows[i].v[at].msg);
    return sum;
}

static uint64_t outside(const struct fake_disk *d)
{
    return d->file + d->others < d->size ? d->size - d->file - d->others : 0;
}

static void tell_room(const struct fake_disk *d, struct disk_room *ret)
{
    if (d->size == 0)
        return;
    *ret = (struct disk_room){ .known = true,
                               .grows = outside(d) > 0,
                               .deletes = !d->log_is_stuck,
                               .bytes = d->file - bytes_there(d) + outside(d) };
    if (d->log_is_stuck)
        ret->bytes = 0;
}

static enum sl_code check_size(const struct fake_disk *d, const struct disk_commit *c)
{
    struct disk_room room = { .bytes = UINT64_MAX };
    uint64_t bytes = 0;
    tell_room(d, &room);
    for (size_t i = 0; i < c->row_count; i++)
        bytes += disk_row_bytes(c->rows[i].msg);
    bool stuck = d->log_is_stuck && (c->row_count > 0 || c->gone_count > 0);
    return bytes > room.bytes || stuck ? SL_FULL : SL_OK;
}

static enum sl_code do_commit(struct fake_disk *d, struct disk_commit *c)
{
    enum sl_code code = d->commit_fails == SL_OK ? check_size(d, c) : d->commit_fails;
    if (code == SL_OK && c->row_count > 0)
        code = d->add_fails;
    if (code == SL_OK && d->room_rows > 0 && c->row_count > 0 &&
        rows_there(d) + c->row_count > d->room_rows + rows_gone(d, c))
        code = SL_LIMIT;
    if (code == SL_OK || d->commit_lands)
        apply(d, c);
    if (bytes_there(d) > d->file)
        d->file = bytes_there(d);
    tell_room(d, &c->room);
    d->commits += code == SL_OK;
    d->last_rows = c->row_count;
    d->last_ranges = c->gone_count;
    c->dead_rows = d->dead.count;
    return code;
}

static enum sl_code do_read(struct fake_disk *d, struct disk_read *read)
{
    d->reads++;
    read->row_count = 0;
    if (d->read_fails != SL_OK)
        return d->read_fails;
    const struct fake_rows *r = read->dead ? &d->dead : &d->rows[read->lane];
    size_t at = find(r, read->from);
    uint64_t bytes = 0;
    while (at < r->count && read->row_count < read->rows_max) {
        const struct fake_row *from = &r->v[at];
        uint64_t size = disk_row_bytes(from->msg);
        if (read->row_count > 0 && bytes + size > read->bytes_max)
            return SL_OK;
        read->row[read->row_count++] =
            (struct disk_row){ .msg = from->bad ? NULL : copy_of(from->msg),
                               .number = from->number,
                               .position = from->number,
                               .bytes = (uint32_t)size,
                               .lane = from->lane,
                               .unsure = from->unsure,
                               .reason = from->reason ? strdup(from->reason) : NULL };
        read->from = from->number + 1;
        bytes += size;
        at++;
    }
    read->end = at == r->count;
    return SL_OK;
}

static enum sl_code do_thin(struct fake_disk *d, struct disk_thin *thin)
{
    d->thins++;
    thin->seen = thin->gone_count = 0;
    if (d->read_fails != SL_OK)
        return d->read_fails;
    const struct fake_rows *r = &d->rows[thin->lane];
    size_t at = find(r, thin->from);
    for (; at < r->count && r->v[at].number <= thin->to && thin->seen < thin->rows_max; at++) {
        const struct sl_msg *m = r->v[at].msg;
        thin->seen++;
        thin->from = r->v[at].number + 1;
        thin->gone_count +=
            thin_topics_show(thin->topics, sl_msg_topic(m),
                             (struct thin_row){ r->v[at].number, (uint32_t)disk_row_bytes(m) },
                             &thin->gone[thin->gone_count]);
    }
    thin->end = at == r->count || r->v[at].number > thin->to;
    return SL_OK;
}

static enum sl_code do_count(struct fake_disk *d, struct disk_count *count)
{
    d->counts++;
    if (d->read_fails != SL_OK)
        return d->read_fails;
    const struct fake_rows *r = &d->rows[count->lane];
    count->rows = count->bytes = count->last = 0;
    for (size_t at = find(r, count->from);
         at < r->count && r->v[at].number <= count->to && count->rows < count->rows_max; at++) {
        count->rows++;
        count->bytes += disk_row_bytes(r->v[at].msg);
        count->last = r->v[at].number;
    }
    return SL_OK;
}

static enum sl_code do_job(struct fake_disk *d, struct disk_job *job)
{
    switch (job->op) {
    case DISK_OPEN: return do_open(d, &job->open);
    case DISK_COMMIT: return do_commit(d, &job->commit);
    case DISK_READ: return do_read(d, &job->read);
    case DISK_THIN: return do_thin(d, &job->thin);
    case DISK_COUNT: return do_count(d, &job->count);
    case DISK_CLOSE: d->closes++; return SL_OK;
    }
    return SL_INVALID;
}

void fake_disk_do(struct fake_disk *d, struct disk_job *job)
{
    job->code = do_job(d, job);
    if (job->code != SL_OK)
        (void)sl_fail(&job->err, job->code, "the fake disk was told to fail");
}

bool fake_disk_step(struct fake_disk *d)
{
    struct disk_job *job = job_queue_pop(&d->jobs);
    if (!job)
        return false;
    fake_disk_do(d, job);
    job->done(job->ctx, job);
    return true;
}

void fake_disk_run(struct fake_disk *d)
{
    while (fake_disk_step(d))
        ;
}

void fake_disk_forget_jobs(struct fake_disk *d)
{
    d->jobs = (struct job_queue){ 0 };
}

uint64_t fake_disk_bytes(const struct fake_disk *d)
{
    uint64_t sum = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        for (size_t at = 0; at < d->rows[i].count; at++)
            sum += disk_row_bytes(d->rows[i].v[at].msg);
    return sum;
}
