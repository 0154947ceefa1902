/* state_private.h - the state on its loop: what state*.c share. */
#ifndef STORE_STATE_PRIVATE_H
#define STORE_STATE_PRIVATE_H

#include "state_batch.h"
#include "state_db.h"
#include "state_wait.h"
#include "writer.h"

#include "base/seal.h"

/* Changes are taken in WORKING only.
 * WORKING: a batch gathers; a commit may be under way.
 * BROKEN: what was on its way is dropped; until retry_at. A commit may still be under way.
 * REOPENING: the writer looks whether the disk works again.
 * ENDING: the writer closes the database; then ENDED. */
enum state_phase {
    STATE_WORKING,
    STATE_BROKEN,
    STATE_REOPENING,
    STATE_ENDING,
    STATE_ENDED,
};

/* A batch that has this part of the memory's bound waits no longer. */
#define STATE_EAGER_SHARE 8

enum state_op_job { STATE_JOB_COMMIT, STATE_JOB_REOPEN, STATE_JOB_CLOSE };

/* Belongs to the writer while it is out. */
struct state_job {
    struct job_link link;
    enum state_op_job op;
    bool anew;      /* of a commit: what was there goes first */
    uint64_t bytes; /* of a reopening: what will then be put */
    struct state_db_open open;
    enum sl_code code;
    struct sl_err err;
    struct state_db_stats stats; /* afterwards */
};

struct state {
    struct state_options options;
    char *path;
    uint8_t seal_key[SEAL_KEY_BYTES]; /* where options.seal_key points, if there is one */
    struct writer *writer;
    struct state_db *db; /* the writer's once the first job is out; NULL while closed */
    struct state_job job;
    bool job_out, started; /* started: a job was out once */

    struct state_batch *batch, *out; /* what gathers; what is being committed */
    uint64_t number, out_number;     /* of `batch` and `out` */
    bool waited, anew;               /* somebody waits for `batch`; it replaces everything */
    int64_t batch_since, last_start; /* the first change in it; the last commit's start */
    struct state_wait wait;

    enum state_phase phase;
    bool disk_ok, damaged, resyncing;
    uint64_t db_id; /* of the database whose content the owner has; 0: none */
    bool set_aside_next;
    unsigned failures;
    int64_t retry_at;
    uint64_t last_bytes; /* of the last batch that was to replace everything */

    uv_timer_t timer;
    int64_t armed_at;
    unsigned holds; /* timer and writer, which the loop still points into */
    bool closing, hangs;
    int64_t close_by, hang_at;
    void (*closed)(void *ctx);
    void *closed_ctx;

    struct state_db_damage damage;
    struct state_db_stats db_stats;
    uint64_t commits, written_before, syncs_before, changes_before, resyncs;
    char disk_error[256], set_aside[512], set_aside_why[160];
};

/* state.c */
void state_arm(struct state *s);
void state_tick(struct state *s);

/* state_work.c: what is due. */
int64_t state_due_at(const struct state *s);
void state_do_due(struct state *s);
void state_job_back(struct state *s);
void state_fail(struct state *s, enum sl_code code, const char *text);
void state_note_open(struct state *s, const struct state_db_open *open);

/* state_run.c: on the writer thread. */
void state_run_job(void *ctx, struct job_link *link);
void state_run_upkeep(void *ctx);

static inline int64_t state_now(const struct state *s)
{
    return sl_mono_ms(s->options.clock);
}

#endif
