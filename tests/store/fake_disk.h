/* fake_disk.h - a disk in memory that does jobs when told to, and fails when told to. */
#ifndef TESTS_FAKE_DISK_H
#define TESTS_FAKE_DISK_H

#include "job_queue.h"

struct fake_row {
    struct sl_msg *msg;
    uint64_t number;
    char *reason; /* dead letters */
    enum outbox_lane lane;
    bool unsure;
    bool bad; /* fails its checksum */
};

struct fake_rows {
    struct fake_row *v; /* by number */
    size_t count, cap;
};

struct fake_disk {
    struct disk interface;
    struct job_queue jobs; /* submitted, not done */
    /* what is committed */
    struct disk_lane lane[OUTBOX_LANES];
    struct fake_rows rows[OUTBOX_LANES], dead;
    uint64_t id;
    bool exists;
    bool clock_set; /* the time was told, by a commit */
    int64_t clock_offset_ms;
    /* what is to go wrong */
    enum sl_code open_fails, commit_fails, add_fails, read_fails; /* until set back to SL_OK */
    bool noted;         /* what was reserved is known also when opening fails */
    bool commit_lands;  /* a failing commit happens all the same */
    uint64_t room_rows; /* 0: no bound */
    /* A file system, if it has a size: the file keeps what rows have left, others take what they
     * like, and the core is told. Bytes as rows are counted. */
    uint64_t size, others, file;
    bool log_is_stuck; /* no byte is left for the log either */
    /* what happened */
    unsigned opens, commits, reads, thins, counts, closes;
    size_t last_rows, last_ranges; /* of the last commit */
};

void fake_disk_init(struct fake_disk *d);
void fake_disk_free(struct fake_disk *d);
/* Do one job and hand it back; false when there is none. */
bool fake_disk_step(struct fake_disk *d);
/* Do this job, without handing it back: for another disk that stands in front. */
void fake_disk_do(struct fake_disk *d, struct disk_job *job);
void fake_disk_run(struct fake_disk *d);
/* What its rows are counted for. */
uint64_t fake_disk_bytes(const struct fake_disk *d);
/* A crash: jobs that wait are dropped without a word. */
void fake_disk_forget_jobs(struct fake_disk *d);

#endif
