/* writer.h - one thread that runs jobs in order, and brings them back to the loop.
 *
 * Everything that waits for a disk runs here. The thread takes whatever has gathered; what it has
 * done comes back, in the same order, through one uv_async. Between two batches it does upkeep.
 *
 * A job must stay where it is until back() was called with it.
 * writer_submit() and writer_close() from the loop thread only. */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include "base/err.h"
#include "job.h"

#include <stdbool.h>
#include <uv.h>

struct writer;

struct writer_options {
    uv_loop_t *loop;
    void (*run)(void *ctx, struct job_link *job);  /* on the thread */
    void (*upkeep)(void *ctx);                     /* on the thread, after each batch */
    void (*back)(void *ctx, struct job_link *job); /* on the loop */
    void *ctx;
};

/* Options are copied. SL_IO when there is no thread to be had, SL_NOMEM. */
SL_NODISCARD enum sl_code writer_open(struct writer **ret, const struct writer_options *options,
                                      struct sl_err *err);
void writer_submit(struct writer *w, struct job_link *job);
/* No job may be out. Joins the thread, then closes; closed(ctx) comes from the loop. */
void writer_close(struct writer *w, void (*closed)(void *ctx));
/* For a thread that hangs in a dead disk: forget it, jobs and all, without waiting. closed(ctx)
 * comes from the loop; the thread's own memory is never given back. */
void writer_abandon(struct writer *w, void (*closed)(void *ctx));

#endif
