/* pacer.h - publishes a second and bytes a second, kept by two token buckets.
 *
 * Sending is allowed while both buckets hold something; what is sent is then taken off, which may
 * leave a debt that is paid back before the next. A bucket holds a tenth of a second's worth, so
 * that no second of the clock, wherever it begins, sees more than 1.1 times the rate: AWS counts
 * per second and discards the excess without a word. Pure. */
#ifndef BRIDGE_PACER_H
#define BRIDGE_PACER_H

#include <stddef.h>
#include <stdint.h>

struct pacer_bucket {
    double rate;  /* tokens a second; 0 for no limit */
    double depth; /* tokens it holds at most */
    double level; /* tokens it holds; below 0: debt */
};

struct pacer {
    struct pacer_bucket publishes, bytes;
    int64_t at_ms; /* the moment the levels are true for */
};

/* 0 (or less) for no limit. */
void pacer_init(struct pacer *p, double publishes_per_second, uint64_t bytes_per_second,
                int64_t now_ms);
/* When the next publish may go: now_ms, or later. */
int64_t pacer_ready_at(struct pacer *p, int64_t now_ms);
/* One publish of this many bytes went out, or came in. Debts end at one second's worth. */
void pacer_spend(struct pacer *p, size_t bytes, int64_t now_ms);

#endif
