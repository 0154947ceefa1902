/* core_private.h - what the core's files share. Nobody else includes it.
 *
 * A lane in order of age is: head, gap, tail.
 *   head  rows of the disk that are in memory too: read ahead, or kept after their commit
 *   gap   rows that are only on disk (a count: they are not in memory)
 *   tail  not on disk yet; the first of them may be in the commit that is under way
 * Messages are taken strictly in that order, so what is taken is a prefix: head_next and tail_next
 * are the first untaken of each list, and nothing of the tail is taken while there is a gap. */
#ifndef STORE_CORE_PRIVATE_H
#define STORE_CORE_PRIVATE_H

#include "core.h"
#include "entry.h"

#define GROUP_ROWS_MAX      ((size_t)4096) /* of one commit */
#define GROUP_BYTES_MAX     ((uint64_t)4 * 1024 * 1024)
#define LETTERS_AT_ONCE     64   /* dead letters in one commit */
#define LETTERS_WAIT_MAX    256  /* dead letters that wait for one */
#define FORGET_MS           1000 /* how long deletions may wait for a commit ... */
#define FORGET_ROWS         4096 /* ... unless there are so many: reads wait behind a long one */
#define RETRY_MS_MIN        500
#define RETRY_MS_MAX        5000
#define CLOSE_MS_MAX        3000
#define LISTINGS_MAX        8
#define PURGE_ROWS_AT_ONCE  ((uint64_t)20000)
#define MEMORY_WAITED_TIMES 8 /* times the memory's bound, for messages with a callback */

struct ranges {
    struct disk_range *v;
    size_t count, cap;
};

struct lane {
    struct entry_list head, tail;
    struct entry *head_next, *tail_next;
    size_t ahead; /* untaken in head, and their bytes */
    uint64_t ahead_bytes;
    uint64_t gap, gap_bytes;       /* rows, and what they are counted for */
    uint64_t read_from;            /* rows of the gap have numbers from here on, below the tail's */
    uint64_t last;                 /* the highest number on disk, ever */
    uint64_t next;                 /* the number of the next message */
    uint64_t reserved;             /* committed: numbers below it are reserved */
    uint64_t rows, row_bytes;      /* on disk as of the last commit */
    uint64_t forget, forget_bytes; /* of those, what the next commit deletes */
    uint64_t accepted, delivered, waiting, lost, waiting_bytes;
    struct disk_loss loss[OUTBOX_LOSSES];
    struct disk_row *read_rows; /* DISK_READ_ROWS_MAX of them */
    struct disk_job read;
    bool reading;
};

/* See core_time.c. */
struct clock_trust {
    int64_t offset_ms; /* wall - monotonic, as last seen; final once it is sure */
    int64_t look_at;
    int64_t sure_from; /* monotonic, once it is sure; INT64_MIN: from the start */
    bool begun, sure;
    bool to_tell; /* the disk does not know yet */
};

/* The commit under way. */
struct group {
    struct disk_job job;
    struct ranges gone;
    bool thinned; /* gone has what struct thin counts */
    uint64_t forgot[OUTBOX_LANES], forgot_bytes[OUTBOX_LANES]; /* counted rows among gone */
    struct disk_append *rows;
    size_t rows_cap;
    struct disk_letter letters[LETTERS_AT_ONCE];
    bool out;
};

/* A pass over the oldest half of the telemetry lane: see core_thin.c. */
struct thin {
    struct thin_topics topics;
    struct disk_job job;
    struct thin_row *rows; /* DISK_THIN_ROWS_MAX of them; NULL before the first pass */
    size_t count;          /* of rows: lost, by number, and not yet deleted from the disk */
    uint64_t from;         /* where the pass goes on */
    uint64_t left;         /* rows that it still looks at */
    uint64_t seen, removed;
    uint64_t drops_left; /* the last pass was in vain: so many are dropped before the next */
    uint64_t passes;
    bool wanted; /* one is to begin */
    bool active; /* one is under way */
    bool out;    /* its job is with the disk */
};

/* Whoever waits for a message that was thrown away or had to give way: told when the ledger has it
 * on disk. */
struct held_call {
    outbox_safe_fn *fn;
    void *ctx;
    struct held_call *next;
};

/* A purge under way. */
struct purge {
    struct outbox_purge_request request;
    struct outbox_purged purged;
    uint64_t to[OUTBOX_LANES]; /* numbers up to here */
    uint64_t left;             /* of the request's limit */
    struct disk_job count;
    unsigned todo; /* lanes (a bit each) where something may still be there */
    bool active;
    bool counting; /* the count is out: the next purge has to wait for it, too */
    bool letters;  /* the next commit removes the dead letters */
    bool waits;    /* for a commit to start ... */
    bool landing;  /* ... and to land */
};

enum core_disk {
    CORE_CLOSED,  /* not open yet; or to be opened again, as reopen_aside says */
    CORE_OPENING, /* DISK_OPEN is out */
    CORE_OPEN,
    CORE_ENDING, /* DISK_CLOSE is out */
    CORE_ENDED,
};

/* Whether rows find room on the disk. See core_space.c. */
enum core_space {
    SPACE_ENOUGH,
    SPACE_SHORT, /* rows can be deleted, and take the place of those: when_full makes room */
    SPACE_NONE,  /* not even that: what is new waits in memory */
};

struct core {
    struct outbox_options options; /* path and loop not used */
    struct disk *disk;
    struct lane lane[OUTBOX_LANES];
    struct group group;
    struct thin thin;
    struct clock_trust time;
    struct ranges gone; /* rows that the next commit deletes */
    struct entry_list letters;
    struct purge purge;
    struct held_call *held, *held_last;     /* for the next commit, in order */
    struct held_call *held_landing;         /* for the one that is out */
    uint64_t purge_rows;                    /* of one stretch */
    struct entry *calls_first, *calls_last; /* on_safe callbacks that are due */
    void (*ready)(void *ctx);
    void *ready_ctx;
    struct disk_job open_job;
    uint64_t bytes;     /* of all that waits */
    uint64_t bytes_cap; /* max_bytes, or less once the file has reached its own bound */
    uint64_t room;      /* bytes of rows that the disk is known to take; unless SPACE_ENOUGH */
    uint64_t memory;    /* footprint of the tails */
    uint64_t disk_id, dead_rows, file_bytes, bytes_written, bytes_written_before;
    uint64_t syncs, syncs_before;
    uint64_t commits, rows_written, in_flight;
    uint64_t lost_written; /* losses that the disk's ledger has */
    size_t group_rows;     /* rows of the next commit at most: less after a full disk */
    int64_t forget_at;     /* deletions and counters are due for a commit; INT64_MAX: none wait */
    int64_t retry_at;      /* the disk is left alone until then */
    int64_t write_at; /* it is not written until then: a full one can still be read, and sent */
    int64_t look_at;  /* while it fails: when an empty commit sees whether it is back */
    int64_t close_by;
    unsigned failures; /* of the disk, in a row */
    unsigned listings, jobs_out;
    enum core_disk disk_state;
    enum core_space space;
    enum outbox_lane room_lane; /* of the last that was dropped for room */
    bool making_room;           /* drops go on until there is some to spare */
    bool adopted;               /* the disk's state was read once */
    bool tried;        /* an open was tried: until then nothing is taken, numbers are not final */
    bool reopen_aside; /* what is on disk proved corrupt */
    bool deletes_only; /* the next commit makes room before anything is added */
    bool dirty;        /* counters differ from the committed ones */
    bool link_up, ready_wanted, wake_now, closing, disk_ok;
    char disk_error[256];
    char set_aside[512], set_aside_why[160];
    uint64_t salvaged, kept;
};

static inline int64_t core_now(const struct core *c)
{
    return sl_mono_ms(c->options.clock);
}

/* core.c */
uint64_t core_first_number(const struct core *c); /* by the clock */

/* core_lane.c: what happens to one message */
struct entry *lane_first_untaken(const struct core *c, const struct lane *l);
void lane_mark_taken(struct core *c, struct lane *l, struct entry *e);
void core_settle(struct core *c, struct entry *e, enum sl_code result);
void core_lose(struct core *c, enum outbox_lane lane, enum outbox_loss why, uint64_t count);
void core_drop(struct core *c, struct entry *e, enum outbox_loss why);
void core_call_safe(struct core *c, struct entry *e, enum sl_code result);
void core_release(struct core *c, struct entry *e);
void core_forget_row(struct core *c, enum outbox_lane lane, uint64_t number, uint32_t bytes,
                     bool counted);
void core_forget_soon(struct core *c, int64_t within_ms);
bool ranges_add(struct ranges *r, struct disk_range add);

/* core_space.c: a disk that is full before max_bytes is reached */
uint64_t core_cap(const struct core *c);          /* of all that waits */
uint64_t core_row_room(const struct core *c);     /* of rows that the next commit may add */
uint64_t core_cap_to_spare(const struct core *c); /* what is dropped to, once something is */
enum outbox_loss core_full_loss(const struct core *c);
bool core_gives_way(const struct core *c, enum outbox_loss why);
bool core_writes(const struct core *c); /* the disk takes commits, if not every row */
void core_space_landed(struct core *c, const struct disk_commit *commit);
void core_space_failed(struct core *c, const struct disk_job *job);

/* core_room.c: bounds */
uint64_t core_full_mark(const struct core *c);
bool core_make_room(struct core *c, enum outbox_lane lane, uint32_t bytes);
bool core_make_memory(struct core *c, enum outbox_lane lane, uint32_t footprint, bool waited);
enum outbox_loss core_memory_loss(const struct core *c);
void core_trim(struct core *c);
void core_expire(struct core *c, int64_t now);
int64_t core_expire_at(const struct core *c);
bool core_expired(const struct core *c, const struct entry *e, int64_t now);
bool core_pressed(const struct core *c);

/* core_time.c */
void core_look_at_clock(struct core *c, int64_t now);
/* Doubtful rows wait for it, should there be a next boot; by the next commit, if it is known. */
void core_tell_disk_time(struct core *c);
bool core_stamp_is_unsure(const struct core *c, const struct sl_msg *m);
/* 0: not known. */
int64_t core_wall_of(const struct core *c, const struct entry *e);
int64_t core_wall_of_msg(const struct core *c, const struct sl_msg *m, bool unsure);

/* core_thin.c: when_full is `thin` */
bool core_drops_oldest(const struct core *c);
bool core_thin_helps(struct core *c);
void core_thin_dropped(struct core *c, enum outbox_lane lane);
bool core_thin_due(const struct core *c);
void core_start_thin(struct core *c, int64_t now);
bool core_thin_holds_reads(const struct core *c, const struct lane *l);
bool core_thinned(const struct core *c, enum outbox_lane lane, uint64_t number);
void core_thin_stop(struct core *c);

/* core_open.c: the disk's coming and going */
int64_t core_open_at(const struct core *c); /* INT64_MAX: not now */
void core_start_open(struct core *c, int64_t now);
void core_disk_failed(struct core *c, const struct disk_job *job, const char *doing);
void core_look_later(struct core *c);
void core_tick_close(struct core *c, int64_t now);
bool core_disk_usable(const struct core *c, int64_t now);

/* core_commit.c, core_read.c */
void core_start_commit(struct core *c, int64_t now);
int64_t core_commit_at(const struct core *c);
void core_note_written(struct core *c, const struct disk_lane lane[OUTBOX_LANES]);
uint64_t core_bytes_on_disk(const struct core *c); /* as it will be after the next deletions */
bool core_all_written(const struct core *c);
void core_start_reads(struct core *c, int64_t now);
bool core_read_wanted(const struct core *c, const struct lane *l);
/* Rows of the gap are not in it any more; bytes is what they are counted for. */
void core_leave_gap(struct core *c, struct lane *l, uint64_t rows, uint64_t bytes);

/* core_held.c */
/* The entry was lost: whoever waits for it is told by the commit that has it in the ledger. */
void core_hold_call(struct core *c, struct entry *e);
void core_held_in_commit(struct core *c);
void core_held_landed(struct core *c, enum sl_code code);
void core_held_close(struct core *c); /* there are no more commits */
void core_held_free(struct core *c);  /* nobody is told */

/* core_purge.c */
bool core_purging(const struct core *c, const struct lane *l);
/* A read that was out when the purge began has brought rows. */
void core_purge_read(struct core *c, struct lane *l);
void core_tick_purge(struct core *c, int64_t now);
void core_purge_in_commit(struct core *c, struct disk_commit *commit);
/* The commit came back; again: it failed, and is tried at once. */
void core_purge_landed(struct core *c, const struct disk_job *job, bool again);

#endif
