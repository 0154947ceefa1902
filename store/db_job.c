/* db_job.c - the core's jobs on a database. */
#include "db.h"

enum sl_code db_do_job(struct db **db, const struct db_options *options, struct disk_job *job)
{
    switch (job->op) {
    case DISK_OPEN:
        db_close(*db);
        *db = NULL;
        return db_open(db, options, &job->open, &job->err);
    case DISK_CLOSE:
        db_close(*db);
        *db = NULL;
        return SL_OK;
    case DISK_COMMIT:
        return *db ? db_commit(*db, &job->commit, &job->err)
                   : sl_fail(&job->err, SL_CLOSED, "%s: is not open", options->path);
    case DISK_READ:
        return *db ? db_read(*db, &job->read, &job->err)
                   : sl_fail(&job->err, SL_CLOSED, "%s: is not open", options->path);
    case DISK_THIN:
        return *db ? db_thin(*db, &job->thin, &job->err)
                   : sl_fail(&job->err, SL_CLOSED, "%s: is not open", options->path);
    case DISK_COUNT:
        return *db ? db_count(*db, &job->count, &job->err)
                   : sl_fail(&job->err, SL_CLOSED, "%s: is not open", options->path);
    }
    return SL_INVALID;
}
