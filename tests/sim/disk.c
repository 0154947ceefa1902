/* disk.c - the writer thread's place: jobs are done one after the other, each after a while, on a
 * disk in memory or on the real database under a VFS whose power fails. */
#include "sim.h"

#include "db.h"
#include "job_queue.h"
#include "sqlite_disk.h"

#include <stdlib.h>

struct sqlite_disk {
    struct disk interface;
    struct sim *sim;
    struct job_queue jobs;
    void (*after)(void *ctx);
    void (*closed)(void *ctx);
    void *ctx;
    struct db_options options;
    struct db *db;
    bool busy; /* a step is to come */
};

static void on_done(void *ctx)
{
    struct sqlite_disk *d = ctx;
    d->busy = false;
    (void)disk_step(d->sim); /* there may be none */
}

static void schedule(struct sqlite_disk *d)
{
    if (d->busy || !d->jobs.first)
        return;
    d->busy = true;
    loop_later(&d->sim->loop, (int64_t)sim_below(d->sim, sim_chance(d->sim, 20) ? 400 : 20),
               on_done, d);
}

static void submit(struct disk *interface, struct disk_job *job)
{
    struct sqlite_disk *d = SL_CONTAINER_OF(interface, struct sqlite_disk, interface);
    job_queue_push(&d->jobs, job);
    schedule(d);
}

static void do_job(struct sqlite_disk *d, struct disk_job *job)
{
    struct sim *s = d->sim;
    static const enum sl_code codes[] = { SL_FULL, SL_IO, SL_BUSY, SL_NOMEM };
    /* Before it is open for the first time, messages overtake what is on the disk. */
    bool fails = job->op != DISK_OPEN && sim_chance(s, s->faults.disk);
    if (s->power) {
        powercut_faults(s->power, fails ? 300 : 0);
        job->code = db_do_job(&d->db, &d->options, job);
        if (d->db && sim_chance(s, 300))
            db_upkeep(d->db);
        return;
    }
    enum sl_code code = fails ? codes[sim_below(s, SL_ARRAY_LEN(codes))] : SL_OK;
    s->fake.commit_fails = s->fake.read_fails = code;
    s->fake.commit_lands = sim_chance(s, 300);
    fake_disk_do(&s->fake, job);
}

bool disk_step(struct sim *s)
{
    struct sqlite_disk *d = s->disk;
    struct disk_job *job = job_queue_pop(&d->jobs);
    if (!job)
        return false;
    if (s->muted) {
        job->code = SL_IO;
        (void)sl_fail(&job->err, SL_IO, "the process is gone");
    } else {
        do_job(d, job);
    }
    job->done(job->ctx, job);
    d->after(d->ctx);
    schedule(d);
    return true;
}

void disk_power_off(struct sim *s)
{
    struct sqlite_disk *d = s->disk;
    struct disk_job *job;
    if (!s->power) {
        /* Some may have been done, and nobody heard of it. They stay in the queue: they come back
         * with an error, so that their owner can end. */
        job = d->jobs.first;
        for (uint64_t n = sim_below(s, 3); n > 0 && job; n--) {
            if (job->op != DISK_COMMIT)
                break;
            s->fake.commit_fails = SL_OK;
            fake_disk_do(&s->fake, job);
            job = job_queue_after(job);
        }
        return;
    }
    powercut_faults(s->power, 0);
    powercut_arm(s->power, 1);
    db_close(d->db);
    d->db = NULL;
    powercut_restore(s->power);
}

/* ---- sqlite_disk.h ---- */

enum sl_code sqlite_disk_open(struct sqlite_disk **ret, const struct db_options *options,
                              uv_loop_t *loop, void (*after)(void *ctx), void *ctx,
                              struct sl_err *err)
{
    struct sim *s = sim_current();
    struct sqlite_disk *d = calloc(1, sizeof *d);
    (void)loop;
    (void)err;
    must(d);
    *d = (struct sqlite_disk){
        .interface = { submit }, .sim = s, .after = after, .ctx = ctx, .options = *options
    };
    d->options.path = s->path;
    s->disk = d;
    *ret = d;
    return SL_OK;
}

struct disk *sqlite_disk_interface(struct sqlite_disk *d)
{
    return &d->interface;
}

static void on_closed(void *ctx)
{
    struct sqlite_disk *d = ctx;
    if (d->busy) { /* a step that finds no job any more */
        loop_later(&d->sim->loop, 1, on_closed, d);
        return;
    }
    void (*closed)(void *) = d->closed;
    void *closed_ctx = d->ctx;
    d->sim->disk = NULL;
    free(d);
    closed(closed_ctx);
}

void sqlite_disk_close(struct sqlite_disk *d, void (*closed)(void *ctx))
{
    must(!d->jobs.first);
    d->closed = closed;
    loop_later(&d->sim->loop, 0, on_closed, d);
}

void sqlite_disk_abandon(struct sqlite_disk *d, void (*closed)(void *ctx))
{
    (void)d;
    (void)closed;
    must_say(false, "the disk answers, and was abandoned all the same");
}
