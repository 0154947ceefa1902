/* rig.h - a core with a fake disk and a clock that tests move: shared by the core's tests. */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "core.h"
#include "core_private.h"
#include "fake_disk.h"

struct rig {
    struct fake_disk disk;
    struct core *core;
    struct sl_clock clock;
    struct outbox_options options;
    int64_t mono, wall;
};

/* What became of one message. */
struct told {
    unsigned calls;
    enum sl_code result;
};

/* Bounds wide, link down, nothing done yet. Change options between rig_init() and rig_open(). */
void rig_init(struct rig *r);
/* The least max_bytes with which so many bytes may wait, and a room above them: core_full_mark().
 */
uint64_t rig_bytes_max(uint64_t bytes);
void rig_open(struct rig *r);
/* Open, and the disk has answered: rows are known. Link down, or up. */
void rig_start(struct rig *r);
void rig_start_online(struct rig *r);
void rig_crash(struct rig *r); /* what is committed stays */
void rig_free(struct rig *r);

/* Tick and do disk jobs until nothing more is due now. */
void rig_settle(struct rig *r);
/* Ticks only: jobs stay with the disk. */
void rig_tick(struct rig *r);
/* Move both clocks, and do what falls due on the way. */
void rig_pass(struct rig *r, int64_t ms);

struct sl_msg *rig_msg(struct rig *r, const char *topic, size_t payload, uint32_t expiry_s);
bool rig_put(struct rig *r, enum outbox_lane lane, const char *topic, struct told *told);
bool rig_put_sized(struct rig *r, enum outbox_lane lane, const char *topic, size_t payload,
                   struct told *told);
/* With 20 bytes of payload, and accepted. */
void rig_must_put(struct rig *r, enum outbox_lane lane, const char *topic, struct told *told);
void rig_told(void *ctx, enum sl_code result);
/* Takes one, and checks that it has this topic; NULL topic: that there is none. */
struct outbox_item *rig_take(struct rig *r, const char *topic);
struct outbox_stats rig_stats(struct rig *r);
/* The ledger adds up, in the stats and against what the core really holds. */
void rig_check(struct rig *r);

#endif
