/* outbox_rig.h - an outbox with its real loop, thread and database, in a folder of its own: shared
 * by the outbox's tests. */
#ifndef TESTS_STORE_OUTBOX_RIG_H
#define TESTS_STORE_OUTBOX_RIG_H

#include "store/outbox.h"

#define WAIT_MS_MAX 30000 /* a guard against hanging, far above what a busy machine takes */

struct place {
    char folder[64], db[96];
    uv_loop_t loop;
    uv_timer_t beat; /* so that UV_RUN_ONCE comes back after a callback of a timer */
    struct outbox *outbox;
    struct outbox_options options;
    unsigned safe, unsafe; /* called back so far */
    bool closed;
};

/* A new folder; change options between place_init() and place_open(). */
void place_init(struct place *p);
void place_open(struct place *p);
void place_close(struct place *p); /* what waits stays on disk */
void place_release(struct place *p);

/* Runs the loop until cond(p, arg) holds. */
void wait_for(struct place *p, bool (*cond)(struct place *, uint64_t), uint64_t arg);
bool safe_is(struct place *p, uint64_t count);     /* so many or more were called safe */
bool told_is(struct place *p, uint64_t count);     /* or their loss was told */
bool on_disk_is(struct place *p, uint64_t count);  /* so many rows, in all lanes */
bool waiting_is(struct place *p, uint64_t count);  /* so many messages, in all lanes */
bool disk_ok_is(struct place *p, uint64_t ok);     /* 1: open, too; it is called good until then */
bool commits_are(struct place *p, uint64_t count); /* so many or more */
/* The ledger adds up in them. */
struct outbox_stats stats_of(struct place *p);

/* With 100 bytes of payload, and accepted. */
void put(struct place *p, enum outbox_lane lane, const char *topic);
/* A message that has everything a message can have; false: the outbox refused it. */
bool put_bytes(struct place *p, enum outbox_lane lane, const char *topic, size_t size);
/* Link up, and take everything that comes until `count` were acknowledged. Their topics, in order,
 * where `topics` is not NULL. */
void drain(struct place *p, uint64_t count, char (*topics)[16]);

#endif
