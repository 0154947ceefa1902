/* gap_report.h - what the cloud is told of an outage when the link is back: from when to when, what
 * waits, and what was lost since it was last told.
 *
 * One message an outage, and only for those that last long enough. It goes through the outbox, so
 * it is not lost. What was told of the ledger is remembered in a small file in data_dir: a loss may
 * be told twice after a crash, never not at all. When the cloud refuses the topic for good, no more
 * reports are made until the next start. Loop thread only. */
#ifndef GATEWAY_GAP_REPORT_H
#define GATEWAY_GAP_REPORT_H

#include "base/buf.h"
#include "bridge/bridge.h"
#include "store/outbox.h"

struct gap_lost {
    uint64_t count[OUTBOX_LANES][OUTBOX_LOSSES];
};

struct gap_report {
    int64_t began_mono_ms, began_wall_ms; /* of the outage; began_wall_ms also after it has ended */
    int64_t ended_wall_ms;
    char cause[64];       /* the first that was not "" */
    bool away;            /* the outage goes on */
    bool due;             /* it has ended, and is to be told */
    bool off;             /* the cloud does not take reports */
    struct gap_lost told; /* as of the last report */
};

/* At the start the link is away. told: what the last process left; all zero otherwise. */
void gap_report_init(struct gap_report *r, int64_t mono_ms, int64_t wall_ms);
/* The link's state; true when an outage of at least min_ms has just ended. */
bool gap_report_follow(struct gap_report *r, const struct bridge_status *s, int64_t min_ms,
                       int64_t mono_ms, int64_t wall_ms);
/* The report as JSON. */
void gap_report_json(const struct gap_report *r, const char *gateway_id,
                     const struct outbox_stats *s, struct sl_buf *out);
/* The ledger as it is now counts as told. */
void gap_report_told(struct gap_report *r, const struct outbox_stats *s);

/* The file: {"alert":{"full":3},...}. What cannot be read counts as nothing told. */
void gap_lost_write(const struct gap_lost *lost, struct sl_buf *out);
void gap_lost_read(struct gap_lost *ret, struct sl_slice text);

#endif
