/* gap_report.h - what the cloud is told when the link is back: from when to when it was away, what
 * waits, and what was lost since it was last told. No I/O, no clock: gateway_gap.c has both.
 *
 * A report is made of an outage that lasted long enough, and of a shorter one (the start counts as
 * the end of one) if the ledger has something that was not told; such ones are min_ms apart. It
 * goes through the outbox. Only when it is safe there its losses count as told, and only when the
 * ledger on the disk has them as well that is remembered (gap_note.h). So a loss may be told twice
 * after a crash, never not at all. When the cloud refuses the topic for good, no more reports are
 * made until the next start, which begins with all that was ever lost. */
#ifndef GATEWAY_GAP_REPORT_H
#define GATEWAY_GAP_REPORT_H

#include "base/buf.h"
#include "bridge/bridge.h"
#include "store/outbox.h"

struct gap_lost {
    uint64_t count[OUTBOX_LANES][OUTBOX_LOSSES];
};

struct gap_outage {
    int64_t from_ms, to_ms; /* wall clock */
    char cause[64];         /* the first that was not "" */
};

struct gap_report {
    int64_t began_mono_ms;
    struct gap_outage now;   /* the one that goes on */
    struct gap_outage last;  /* the one to be told */
    bool away;               /* the outage goes on */
    bool due;                /* it has ended, was a long one, and is to be told */
    bool back;               /* one has ended: losses are to be told */
    bool off;                /* the cloud does not take reports */
    bool waiting;            /* one is in the outbox, and not safe yet ... */
    bool of_outage;          /* ... which tells of a long one */
    bool note;               /* `told` is to be remembered */
    int64_t next_ms;         /* monotonic: no report before */
    struct gap_lost told;    /* by reports that are safe */
    struct gap_lost telling; /* ... once the one that waits is */
};

/* At the start the link is away. told: what the last process left; all zero otherwise. */
void gap_report_init(struct gap_report *r, int64_t mono_ms, int64_t wall_ms);
/* The link's state; true when an outage of at least min_ms has just ended: it is due. */
bool gap_report_follow(struct gap_report *r, const struct bridge_status *s, int64_t min_ms,
                       int64_t mono_ms, int64_t wall_ms);
/* Whether a report is to be made now. */
bool gap_report_wanted(struct gap_report *r, const struct outbox_stats *s, int64_t mono_ms);
/* The report as JSON. */
void gap_report_json(const struct gap_report *r, const char *gateway_id,
                     const struct outbox_stats *s, struct sl_buf *out);
/* It is in the outbox, with what s has; no other before next_ms. */
void gap_report_put(struct gap_report *r, const struct outbox_stats *s, int64_t next_ms);
/* It is safe there: told. Or it never will be: another is to be made. */
void gap_report_safe(struct gap_report *r, bool safe);
/* The cloud takes none. */
void gap_report_refused(struct gap_report *r);
/* Whether `told` is to be remembered: the disk's ledger has it. */
bool gap_report_note_due(const struct gap_report *r, const struct outbox_stats *s);
void gap_report_noted(struct gap_report *r);

/* The file: {"alert":{"full":3},...}. What cannot be read counts as nothing told. */
void gap_lost_write(const struct gap_lost *lost, struct sl_buf *out);
void gap_lost_read(struct gap_lost *ret, struct sl_slice text);

#endif
