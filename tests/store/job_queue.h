/* job_queue.h - jobs that a disk of a test has been given and has not done, in order. */
#ifndef TESTS_JOB_QUEUE_H
#define TESTS_JOB_QUEUE_H

#include "disk.h"

struct job_queue {
    struct disk_job *first, *last;
};

static inline struct disk_job *job_queue_after(const struct disk_job *job)
{
    struct job_link *next = job->link.next;
    return next ? SL_CONTAINER_OF(next, struct disk_job, link) : NULL;
}

static inline void job_queue_push(struct job_queue *q, struct disk_job *job)
{
    job->link.next = NULL;
    if (q->last)
        q->last->link.next = &job->link;
    else
        q->first = job;
    q->last = job;
}

/* NULL when there is none. */
static inline struct disk_job *job_queue_pop(struct job_queue *q)
{
    struct disk_job *job = q->first;
    if (!job)
        return NULL;
    q->first = job_queue_after(job);
    if (!q->first)
        q->last = NULL;
    return job;
}

#endif
