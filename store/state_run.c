/* state_run.c - the state's jobs on the writer thread. It touches the job, the batch that is out
 * and the database, nothing else of the state. */
#include "state_private.h"

static enum sl_code run_commit(struct state *s)
{
    struct state_ops ops = { 0 };
    enum sl_code code = SL_OK;
    if (!s->db)
        code = sl_fail(&s->job.err, SL_CLOSED, "%s: is not open", s->path);
    else if (!state_batch_list(s->out, &ops))
        code = sl_fail(&s->job.err, SL_NOMEM, "%s: out of memory", s->path);
    else
        code = state_db_commit(s->db, &ops, s->job.anew, &s->job.err);
    state_ops_free(&ops);
    return code;
}

static enum sl_code run_reopen(struct state *s)
{
    state_db_close(s->db);
    s->db = NULL;
    enum sl_code code = state_db_open(&s->db, s->path, s->options.sync, &s->job.open, &s->job.err);
    return code == SL_OK ? state_db_probe(s->db, s->job.bytes, &s->job.err) : code;
}

static enum sl_code run(struct state *s)
{
    switch (s->job.op) {
    case STATE_JOB_COMMIT: return run_commit(s);
    case STATE_JOB_REOPEN: return run_reopen(s);
    case STATE_JOB_CLOSE:
        state_db_close(s->db);
        s->db = NULL;
        return SL_OK;
    }
    return SL_INVALID;
}

void state_run_job(void *ctx, struct job_link *link)
{
    struct state *s = ctx;
    (void)link; /* there is only one */
    s->job.code = run(s);
    if (s->db)
        state_db_get_stats(s->db, &s->job.stats);
}

void state_run_upkeep(void *ctx)
{
    struct state *s = ctx;
    if (s->db)
        state_db_upkeep(s->db);
}
