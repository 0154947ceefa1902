/* writer.c - the writer thread: a job queue in, a uv_async out. Knows nothing of databases. */
#include "writer.h"

#include <assert.h>
#include <stdlib.h>

struct job_list {
    struct job_link *first, *last;
};

/* `shared` outlives the writer when the thread has to be abandoned. */
struct shared {
    uv_mutex_t lock;
    uv_cond_t wake;
    struct job_list todo, done; /* under lock */
    bool stop;                  /* under lock */
    bool abandoned;             /* under lock: the async is gone */
    uv_async_t *async;
    void (*run)(void *ctx, struct job_link *job);
    void (*upkeep)(void *ctx);
    void *ctx;
};

struct writer {
    uv_async_t async;
    uv_thread_t thread;
    struct shared *shared;
    struct writer_options options;
    void (*closed)(void *ctx);
};

static void push(struct job_list *list, struct job_link *job)
{
    job->next = NULL;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

static struct job_link *take_all(struct job_list *list)
{
    struct job_link *all = list->first;
    list->first = list->last = NULL;
    return all;
}

static void run_batch(struct shared *s, struct job_link *job)
{
    struct job_link *next;
    for (; job; job = next) {
        next = job->next;
        s->run(s->ctx, job);
        uv_mutex_lock(&s->lock);
        push(&s->done, job);
        if (!s->abandoned)
            uv_async_send(s->async);
        uv_mutex_unlock(&s->lock);
    }
}

static void thread_main(void *arg)
{
    struct shared *s = arg;
    for (;;) {
        uv_mutex_lock(&s->lock);
        while (!s->todo.first && !s->stop)
            uv_cond_wait(&s->wake, &s->lock);
        struct job_link *batch = take_all(&s->todo);
        bool stop = s->stop;
        uv_mutex_unlock(&s->lock);
        if (!batch && stop)
            return;
        run_batch(s, batch);
        s->upkeep(s->ctx);
    }
}

static void on_async(uv_async_t *async)
{
    struct writer *w = async->data;
    uv_mutex_lock(&w->shared->lock);
    struct job_link *job = take_all(&w->shared->done), *next;
    uv_mutex_unlock(&w->shared->lock);
    for (; job; job = next) {
        next = job->next;
        w->options.back(w->options.ctx, job);
    }
}

static struct shared *shared_new(const struct writer_options *options)
{
    struct shared *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->run = options->run;
    s->upkeep = options->upkeep;
    s->ctx = options->ctx;
    if (uv_mutex_init(&s->lock) != 0) {
        free(s);
        return NULL;
    }
    if (uv_cond_init(&s->wake) != 0) {
        uv_mutex_destroy(&s->lock);
        free(s);
        return NULL;
    }
    return s;
}

static void shared_free(struct shared *s)
{
    uv_cond_destroy(&s->wake);
    uv_mutex_destroy(&s->lock);
    free(s);
}

static void on_never_opened(uv_handle_t *handle)
{
    free(handle->data);
}

enum sl_code writer_open(struct writer **ret, const struct writer_options *options,
                         struct sl_err *err)
{
    struct writer *w = calloc(1, sizeof *w);
    if (!w)
        return sl_fail(err, SL_NOMEM, "writer: out of memory");
    w->options = *options;
    w->shared = shared_new(options);
    if (!w->shared) {
        free(w);
        return sl_fail(err, SL_NOMEM, "writer: out of memory");
    }
    int rc = uv_async_init(options->loop, &w->async, on_async);
    if (rc != 0) {
        shared_free(w->shared);
        free(w);
        return sl_fail(err, SL_IO, "writer: %s", uv_strerror(rc));
    }
    w->async.data = w;
    w->shared->async = &w->async;
    rc = uv_thread_create(&w->thread, thread_main, w->shared);
    if (rc != 0) {
        shared_free(w->shared);
        uv_close((uv_handle_t *)&w->async, on_never_opened);
        return sl_fail(err, SL_IO, "writer: cannot start its thread: %s", uv_strerror(rc));
    }
    *ret = w;
    return SL_OK;
}

void writer_submit(struct writer *w, struct job_link *job)
{
    uv_mutex_lock(&w->shared->lock);
    push(&w->shared->todo, job);
    uv_cond_signal(&w->shared->wake);
    uv_mutex_unlock(&w->shared->lock);
}

static void on_closed(uv_handle_t *handle)
{
    struct writer *w = handle->data;
    w->closed(w->options.ctx);
    free(w);
}

void writer_close(struct writer *w, void (*closed)(void *ctx))
{
    uv_mutex_lock(&w->shared->lock);
    assert(!w->shared->todo.first && !w->shared->done.first);
    w->shared->stop = true;
    uv_cond_signal(&w->shared->wake);
    uv_mutex_unlock(&w->shared->lock);
    (void)uv_thread_join(&w->thread); /* it has nothing to do: at once */
    shared_free(w->shared);
    w->closed = closed;
    uv_close((uv_handle_t *)&w->async, on_closed);
}

void writer_abandon(struct writer *w, void (*closed)(void *ctx))
{
    uv_mutex_lock(&w->shared->lock);
    w->shared->abandoned = true;
    w->shared->stop = true;
    uv_cond_signal(&w->shared->wake);
    uv_mutex_unlock(&w->shared->lock);
    w->closed = closed;
    uv_close((uv_handle_t *)&w->async, on_closed);
}
