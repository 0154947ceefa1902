/* disk.h - what the outbox's core asks of a disk, and what it gets back.
 *
 * The core (core.h) does no I/O: it hands jobs to a `struct disk` and takes each back, in the order
 * in which it handed them over, with a result. sqlite_disk.c is the real one: it runs the jobs on
 * the writer thread. Tests and a simulator bring their own.
 *
 * A job belongs to the disk from submit() until it is handed back to core_job_done(). Messages in
 * it are only read; the core keeps its references until then. Values are absolute, so a job that
 * may or may not have happened (an error in the middle of a sync) can simply be done again.
 *
 * Rows are sealed by the disk, if it has a key: the core sees them as they are. */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include "job.h"
#include "store/outbox.h"
#include "thin_topics.h"

#define DISK_ROW_OVERHEAD                                                                          \
    64 /* bytes that a row is counted for beside topic, properties, payload                        \
        */
#define DISK_READ_ROWS_MAX   256
#define DISK_READ_BYTES_MAX  ((size_t)1024 * 1024)
#define DISK_THIN_ROWS_MAX   1024
#define DISK_REASON_MAX      128 /* of a dead letter, with its NUL */
#define DISK_NUMBERS_AT_ONCE ((uint64_t)1 << 20)
#define DISK_DEAD_ROWS_MAX   1000 /* dead letters kept; the oldest go first */

enum disk_op {
    DISK_OPEN,   /* open or make the database, read the lanes' states, reserve numbers */
    DISK_COMMIT, /* one transaction */
    DISK_READ,   /* the next rows of a lane, or of the dead letters */
    DISK_THIN,   /* looks at the next rows of a lane: which of them can go */
    DISK_COUNT,  /* how many rows there are in a stretch of a lane */
    DISK_CLOSE,
};

/* What is kept of a lane beside its rows. */
struct disk_loss {
    uint64_t count;
    int64_t first_ms, last_ms;
};
struct disk_lane {
    uint64_t delivered, rows, bytes;
    uint64_t last;     /* rows with higher numbers do not count */
    uint64_t reserved; /* numbers below it may have been used */
    struct disk_loss loss[OUTBOX_LOSSES];
};

struct disk_open {
    bool set_aside;                      /* do not even try what is there: it proved unusable */
    uint64_t known_id;                   /* in: of the database that was open before; 0: none */
    uint64_t next[OUTBOX_LANES];         /* in: numbers from here on must be reserved as well */
    int64_t mono_ms, wall_ms;            /* in: now */
    uint64_t free_from[OUTBOX_LANES];    /* out: no number from here on was ever used on this disk;
                                            also    when opening fails, as far as it is known */
    struct disk_lane lane[OUTBOX_LANES]; /* out */
    uint64_t id;                         /* out: made with the database, at random */
    uint64_t dead_rows;                  /* out */
    uint64_t bytes_written, syncs;       /* out: so far, estimated */
    uint64_t file_bytes;                 /* out */
    bool fresh;                          /* out: it was made just now */
    bool moved;                          /* out: one that was there was moved to moved_to */
    uint64_t salvaged;                   /* out: rows that were brought over from it */
    uint64_t kept; /* out, when it cannot be written: rows that wait in it all the same */
    char moved_to[512], moved_why[160];
};

struct disk_append {
    struct sl_msg *msg;
    uint64_t number;
    int64_t wall_ms; /* instead of the message's */
    enum outbox_lane lane;
    bool unsure; /* it is doubtful, until a commit of this boot tells clock_offset_ms */
};
struct disk_range {
    uint64_t first, last; /* inclusive */
    enum outbox_lane lane;
};
struct disk_letter {
    const struct sl_msg *msg;
    int64_t wall_ms; /* instead of the message's */
    const char *reason;
    uint64_t number;
    enum outbox_lane lane;
};
/* What the disk takes now, as far as anybody can see. */
struct disk_room {
    bool known;
    bool grows;     /* the file system has room */
    bool deletes;   /* rows can be deleted, if not added */
    uint64_t bytes; /* of rows, as they are counted, that the next commit may add */
};
/* Ranges and letters are deleted before others are added; a row that is there already is replaced.
 */
struct disk_commit {
    const struct disk_range *gone;
    size_t gone_count;
    const struct disk_append *rows;
    size_t row_count;
    const struct disk_letter *letters;
    size_t letter_count;
    unsigned letters_gone;               /* of which lanes (a bit each) the oldest letters go ... */
    uint64_t letters_max;                /* ... and how many at most */
    struct disk_lane lane[OUTBOX_LANES]; /* as they are after this commit */
    bool clock_set;                      /* the time is known now: between the clocks are ... */
    int64_t clock_offset_ms;             /* ... this many milliseconds, in this boot */
    uint64_t dead_rows;                  /* out */
    uint64_t letters_removed;            /* out: for letters_gone */
    uint64_t file_bytes;                 /* out: database and log */
    uint64_t bytes_written, syncs;       /* out: since the open, estimated */
    struct disk_room room;               /* out: afterwards, also when it failed for lack of room */
};

/* One row read. msg is NULL when it failed its checksum; otherwise the reference is the receiver's.
 */
struct disk_row {
    struct sl_msg *msg;
    uint64_t number, position; /* the latter: of a dead letter its own count */
    uint32_t bytes;            /* what it is counted for */
    enum outbox_lane lane;
    bool unsure;  /* its wall clock is doubtful, and it is of this boot */
    char *reason; /* dead letters: the receiver's to free; else NULL */
};
struct disk_read {
    enum outbox_lane lane;
    bool dead;        /* read dead letters; then `from` is their own count, and lane is ignored */
    uint64_t from;    /* in: the first number wanted; out: where to go on */
    size_t rows_max;  /* at most DISK_READ_ROWS_MAX */
    size_t bytes_max; /* stops before the row that would pass it, but gives at least one */
    struct disk_row *row; /* room for rows_max */
    size_t row_count;     /* out */
    bool end;             /* out: nothing comes after these */
};

/* A step of a walk over a lane's rows, which changes nothing: what can go is for a commit to
 * delete. A row that cannot be made out stays. */
struct disk_thin {
    enum outbox_lane lane;
    struct thin_topics *topics; /* of this walk; the job's while it is out */
    uint64_t from;              /* in: the first number wanted; out: where to go on */
    uint64_t to;                /* rows behind this one are not looked at */
    size_t rows_max;            /* at most DISK_THIN_ROWS_MAX */
    struct thin_row *gone;      /* room for rows_max: rows of this walk, in no order */
    size_t gone_count;          /* out */
    size_t seen;                /* out: rows looked at */
    bool end;                   /* out: nothing comes after these */
};

/* The first rows from `from` to `to`, both included, rows_max of them at most. */
struct disk_count {
    enum outbox_lane lane;
    uint64_t from, to, rows_max;
    uint64_t rows, bytes; /* out: bytes as they are counted for */
    uint64_t last;        /* out: the last of them */
};

struct disk_job {
    enum disk_op op;
    struct job_link link;                          /* its holder's */
    void *ctx;                                     /* the submitter's */
    void (*done)(void *ctx, struct disk_job *job); /* called on the loop when it comes back */
    enum sl_code code;
    struct sl_err err;
    union {
        struct disk_open open;
        struct disk_commit commit;
        struct disk_read read;
        struct disk_thin thin;
        struct disk_count count;
    };
};

struct disk {
    void (*submit)(struct disk *d, struct disk_job *job);
};

static inline void disk_submit(struct disk *d, struct disk_job *job)
{
    job->code = SL_OK;
    job->err = (struct sl_err){ 0 };
    d->submit(d, job);
}

static inline uint64_t disk_row_bytes(const struct sl_msg *m)
{
    return (uint64_t)DISK_ROW_OVERHEAD + m->topic_len + m->props_len + m->payload_len;
}

#endif
