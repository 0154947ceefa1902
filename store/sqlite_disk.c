/* sqlite_disk.c - runs the core's jobs on the database, on the writer thread. */
#include "sqlite_disk.h"

#include "base/crypto.h"
#include "writer.h"

#include <stdlib.h>

struct sqlite_disk {
    struct disk interface;
    struct writer *writer;
    struct db *db; /* the thread's; NULL while closed */
    struct db_options options;
    char *path;
    void (*after)(void *ctx);
    void (*closed)(void *ctx);
    void *ctx;
    bool abandoned;
};

static struct disk_job *job_of(struct job_link *link)
{
    return SL_CONTAINER_OF(link, struct disk_job, link);
}

static void on_run(void *ctx, struct job_link *link)
{
    struct sqlite_disk *d = ctx;
    struct disk_job *job = job_of(link);
    job->code = db_do_job(&d->db, &d->options, job);
}

static void on_upkeep(void *ctx)
{
    struct sqlite_disk *d = ctx;
    if (d->db)
        db_upkeep(d->db);
}

static void on_back(void *ctx, struct job_link *link)
{
    struct sqlite_disk *d = ctx;
    struct disk_job *job = job_of(link);
    job->done(job->ctx, job);
    d->after(d->ctx);
}

static void submit(struct disk *interface, struct disk_job *job)
{
    struct sqlite_disk *d = SL_CONTAINER_OF(interface, struct sqlite_disk, interface);
    writer_submit(d->writer, &job->link);
}

enum sl_code sqlite_disk_open(struct sqlite_disk **ret, const struct db_options *options,
                              uv_loop_t *loop, void (*after)(void *ctx), void *ctx,
                              struct sl_err *err)
{
    struct sqlite_disk *d = calloc(1, sizeof *d);
    char *path = strdup(options->path);
    if (!d || !path) {
        free(d);
        free(path);
        return sl_fail(err, SL_NOMEM, "%s: out of memory", options->path);
    }
    d->interface.submit = submit;
    d->options = *options;
    d->options.path = d->path = path;
    d->after = after;
    d->ctx = ctx;
    struct writer_options writer = {
        .loop = loop, .run = on_run, .upkeep = on_upkeep, .back = on_back, .ctx = d
    };
    enum sl_code code = writer_open(&d->writer, &writer, err);
    if (code != SL_OK) {
        free(path);
        free(d);
        return code;
    }
    *ret = d;
    return SL_OK;
}

struct disk *sqlite_disk_interface(struct sqlite_disk *d)
{
    return &d->interface;
}

static void on_writer_closed(void *ctx)
{
    struct sqlite_disk *d = ctx;
    void (*closed)(void *) = d->closed;
    void *closed_ctx = d->ctx;
    if (!d->abandoned) { /* else the thread still uses it */
        free(d->path);
        crypto_wipe(d->options.seal_key, sizeof d->options.seal_key);
        free(d);
    }
    closed(closed_ctx);
}

void sqlite_disk_close(struct sqlite_disk *d, void (*closed)(void *ctx))
{
    d->closed = closed;
    writer_close(d->writer, on_writer_closed);
}

void sqlite_disk_abandon(struct sqlite_disk *d, void (*closed)(void *ctx))
{
    d->closed = closed;
    d->abandoned = true;
    writer_abandon(d->writer, on_writer_closed);
}
