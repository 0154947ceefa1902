/* outbox_purge.c - throwing away in a database that no gateway holds: the core does it as in the
 * running gateway, on a disk whose jobs are done at once. Blocking: for the command line. */
#include "base/crypto.h"
#include "core.h"
#include "db.h"
#include "store/outbox.h"

#include <stdlib.h>

struct inline_disk {
    struct disk interface;
    struct db_options options;
    struct db *db;
    struct disk_job *first, *last;
};

struct outcome {
    struct outbox_purged purged;
    enum sl_code code;
    struct sl_err *err;
    bool done;
};

static void submit(struct disk *interface, struct disk_job *job)
{
    struct inline_disk *d = SL_CONTAINER_OF(interface, struct inline_disk, interface);
    job->link.next = NULL;
    if (d->last)
        d->last->link.next = &job->link;
    else
        d->first = job;
    d->last = job;
}

static void run_jobs(struct inline_disk *d)
{
    while (d->first) {
        struct disk_job *job = d->first;
        struct job_link *next = job->link.next;
        d->first = next ? SL_CONTAINER_OF(next, struct disk_job, link) : NULL;
        d->last = d->first ? d->last : NULL;
        job->code = db_do_job(&d->db, &d->options, job);
        job->done(job->ctx, job);
        if (d->db)
            db_upkeep(d->db);
    }
}

static void on_done(void *ctx, enum sl_code code, const char *error,
                    const struct outbox_purged *purged)
{
    struct outcome *o = ctx;
    o->done = true;
    o->purged = *purged;
    o->code = code == SL_OK ? SL_OK : sl_fail(o->err, code, "%s", error);
}

/* The disk was opened, or could not be. */
static void start(struct core *core, struct inline_disk *d)
{
    core_tick(core);
    run_jobs(d);
}

static void purge(struct core *core, struct inline_disk *d,
                  const struct outbox_purge_request *request, struct outcome *o)
{
    struct outbox_purge_request mine = *request;
    mine.done = on_done;
    mine.ctx = o;
    o->code = core_purge(core, &mine);
    if (o->code != SL_OK)
        (void)sl_fail(o->err, o->code, "%s: cannot be opened", d->options.path);
    while (o->code == SL_OK && !o->done) {
        core_tick(core);
        run_jobs(d);
    }
    core_close(core);
    while (!core_is_closed(core)) {
        core_tick(core);
        run_jobs(d);
    }
}

/* Looked at first: a command sets nothing aside. */
static enum sl_code look_at(const struct db_options *options, struct sl_err *err)
{
    struct db *db = NULL;
    enum sl_code code = db_open_to_read(&db, options, err);
    db_close(db);
    return code;
}

enum sl_code outbox_purge_file(const char *path, const struct outbox_purge_request *request,
                               struct outbox_purged *ret, struct sl_err *err)
{
    /* Bounds that nothing reaches: only what was asked for goes. */
    struct outbox_options options = { .clock = &sl_clock_system,
                                      .max_bytes = INT64_MAX / 4,
                                      .when_full = OUTBOX_DROP_NEWEST,
                                      .sync = OUTBOX_SYNC_FULL };
    struct inline_disk d = {
        .interface = { submit },
        .options = { .path = path, .max_bytes = options.max_bytes, .sync = options.sync }
    };
    db_set_key(&d.options, request->seal_key);
    enum sl_code code = look_at(&d.options, err);
    if (code != SL_OK)
        return code;
    struct core *core = core_new(&options, &d.interface);
    if (!core)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    struct outcome o = { .err = err };
    start(core, &d);
    struct outbox_stats stats;
    core_get_stats(core, &stats);
    if (stats.disk_ok)
        purge(core, &d, request, &o);
    else
        o.code = sl_fail(err, SL_IO, "%s", stats.disk_error);
    core_free(core);
    db_close(d.db);
    crypto_wipe(d.options.seal_key, sizeof d.options.seal_key);
    *ret = o.purged;
    return o.code;
}
