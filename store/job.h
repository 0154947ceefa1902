/* job.h - how a job hangs in a queue: embedded, so that submitting one cannot fail. */
#ifndef STORE_JOB_H
#define STORE_JOB_H

struct job_link {
    struct job_link *next; /* of whoever holds the job */
};

#endif
