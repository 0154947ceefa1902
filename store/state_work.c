/* state_work.c - when a commit starts, what becomes of it, and the way back from a failure. */
#include "state_private.h"

#include <assert.h>
#include <stdio.h>

#define RETRY_MS_FIRST 1000
#define RETRY_MS_MAX   30000

/* ---- failing ---- */

static int64_t retry_ms(unsigned failures)
{
    int64_t ms = RETRY_MS_FIRST;
    for (unsigned i = 1; i < failures && ms < RETRY_MS_MAX; i++)
        ms *= 2;
    return ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX;
}

static enum sl_code code_for_waiters(enum sl_code code)
{
    return code == SL_LIMIT || code == SL_CLOSED ? code : SL_IO;
}

/* What gathers is dropped: the owner has it all and will put it again. */
static void drop_batch(struct state *s, enum sl_code code)
{
    state_wait_fail(&s->wait, s->number, code_for_waiters(code));
    state_batch_reset(s->batch);
    s->number++;
    s->waited = s->anew = false;
}

void state_fail(struct state *s, enum sl_code code, const char *text)
{
    if (s->anew && state_batch_bytes(s->batch) > s->last_bytes)
        s->last_bytes = state_batch_bytes(s->batch);
    drop_batch(s, code);
    s->disk_ok = false;
    s->set_aside_next = s->set_aside_next || code == SL_CORRUPT;
    (void)snprintf(s->disk_error, sizeof s->disk_error, "%.255s", text);
    s->failures++;
    s->retry_at = state_now(s) + retry_ms(s->failures);
    s->phase = STATE_BROKEN;
}

void state_note_open(struct state *s, const struct state_db_open *open)
{
    if (!open->moved)
        return;
    memcpy(s->set_aside, open->moved_to, sizeof s->set_aside);
    memcpy(s->set_aside_why, open->moved_why, sizeof s->set_aside_why);
}

/* ---- jobs ---- */

static void submit(struct state *s, enum state_op_job op)
{
    assert(!s->job_out);
    s->job = (struct state_job){ .op = op };
    s->job_out = s->started = true;
}

static void start_commit(struct state *s)
{
    struct state_batch *empty = s->out;
    submit(s, STATE_JOB_COMMIT);
    s->job.anew = s->anew;
    s->out = s->batch;
    s->batch = empty;
    s->out_number = s->number++;
    s->waited = s->anew = false;
    s->last_start = state_now(s);
    writer_submit(s->writer, &s->job.link);
}

static void start_reopen(struct state *s)
{
    submit(s, STATE_JOB_REOPEN);
    s->phase = STATE_REOPENING;
    s->job.bytes = s->last_bytes;
    s->job.open.seal_key = s->options.seal_key;
    s->job.open.wall_ms = sl_wall_ms(s->options.clock);
    s->job.open.only = s->set_aside_next ? STATE_DB_NO_ID
                       : s->db_id == 0   ? STATE_DB_UNREAD
                                         : s->db_id;
    writer_submit(s->writer, &s->job.link);
}

static void commit_back(struct state *s)
{
    const struct state_job *job = &s->job;
    uint64_t bytes = state_batch_bytes(s->out);
    state_batch_reset(s->out);
    if (job->code == SL_OK) {
        s->commits++;
        s->resyncs += job->anew;
        if (s->phase == STATE_WORKING) {
            s->disk_ok = true;
            s->failures = 0;
            s->disk_error[0] = '\0';
        }
        return;
    }
    if (job->anew)
        s->last_bytes = bytes;
    state_wait_fail(&s->wait, s->out_number, code_for_waiters(job->code));
    if (s->phase == STATE_WORKING)
        state_fail(s, job->code, job->err.text);
}

/* The owner puts everything into a batch that replaces what is there. */
static void resync(struct state *s)
{
    s->phase = STATE_WORKING;
    s->anew = s->resyncing = true;
    s->batch_since = state_now(s);
    s->options.resync(s->options.ctx);
    s->resyncing = false;
}

static void reopen_back(struct state *s)
{
    const struct state_job *job = &s->job;
    state_note_open(s, &job->open);
    if (job->open.moved)
        s->set_aside_next = false;
    if (job->open.id != 0) { /* opened, even if it takes no writes */
        s->set_aside_next = false;
        s->db_id = job->open.id;
    }
    s->written_before += s->db_stats.bytes_written;
    s->syncs_before += s->db_stats.syncs;
    s->changes_before += s->db_stats.changes_written;
    s->db_stats = (struct state_db_stats){ 0 };
    if (s->closing)
        s->phase = STATE_BROKEN;
    else if (job->code == SL_OK)
        resync(s);
    else
        state_fail(s, job->code, job->err.text);
}

void state_job_back(struct state *s)
{
    s->job_out = false;
    switch (s->job.op) {
    case STATE_JOB_COMMIT: commit_back(s); break;
    case STATE_JOB_REOPEN: reopen_back(s); break;
    case STATE_JOB_CLOSE: s->phase = STATE_ENDED; return;
    }
    s->db_stats = s->job.stats;
}

/* ---- what is due ---- */

/* Numbers below have their outcome. */
static uint64_t settled(const struct state *s)
{
    return s->job_out && s->job.op == STATE_JOB_COMMIT ? s->out_number : s->number;
}

static int64_t commit_at(const struct state *s)
{
    if (s->job_out || s->phase != STATE_WORKING)
        return INT64_MAX; /* its return is looked at anyway */
    bool any = s->anew || state_batch_count(s->batch) > 0;
    if (!any)
        return INT64_MAX;
    bool now = s->waited || s->anew || s->closing ||
               state_batch_bytes(s->batch) >= s->options.memory_max_bytes / STATE_EAGER_SHARE;
    int64_t lazy = s->batch_since + s->options.lazy_interval_ms;
    int64_t next = s->closing ? INT64_MIN : s->last_start + s->options.commit_interval_ms;
    return now || next > lazy ? next : lazy;
}

static bool may_still_commit(const struct state *s, int64_t now)
{
    return s->job_out || (now < s->close_by && commit_at(s) != INT64_MAX);
}

int64_t state_due_at(const struct state *s)
{
    if (s->phase == STATE_ENDED || state_wait_ready(&s->wait, settled(s)))
        return INT64_MIN;
    if (s->closing && s->job_out)
        return s->hang_at;
    if (s->closing)
        return INT64_MIN;
    if (s->damaged && !s->job_out)
        return INT64_MIN;
    if (s->phase == STATE_BROKEN && !s->job_out)
        return s->retry_at;
    return commit_at(s);
}

static void tell(struct state *s)
{
    struct state_waiter w;
    size_t now = state_wait_count(&s->wait); /* who comes meanwhile has its turn later */
    while (now-- > 0 && state_wait_take(&s->wait, settled(s), &w))
        w.fn(w.ctx, w.code);
}

/* Pages that could not be read at the start: the database is written anew from what could. What has
 * gathered is in the owner's memory, and its waiters wait on. */
static void replace_damaged(struct state *s)
{
    s->damaged = false;
    if (s->phase != STATE_WORKING)
        return;
    state_batch_reset(s->batch);
    s->set_aside_next = true;
    s->disk_ok = false;
    (void)snprintf(s->disk_error, sizeof s->disk_error,
                   "%.200s: parts of it could not be read: it is written anew", s->path);
    start_reopen(s);
}

static void finish(struct state *s)
{
    drop_batch(s, SL_CLOSED);
    tell(s);
    submit(s, STATE_JOB_CLOSE);
    s->phase = STATE_ENDING;
    writer_submit(s->writer, &s->job.link);
}

void state_do_due(struct state *s)
{
    tell(s);
    int64_t now = state_now(s);
    if (s->job_out || s->phase >= STATE_ENDING)
        return;
    if (s->closing && !may_still_commit(s, now))
        finish(s);
    else if (s->damaged && !s->closing)
        replace_damaged(s);
    else if (s->phase == STATE_BROKEN && !s->closing && now >= s->retry_at)
        start_reopen(s);
    else if (commit_at(s) <= now)
        start_commit(s);
}
