/* thin_topics.h - which rows of a lane can go so that each topic keeps every second message.
 *
 * Rows are shown one after the other, oldest first. Of two that follow each other on a topic the
 * older one can go, and the next two are a pair of their own: what comes last on a topic always
 * stays. Topics are known by a hash of 64 bits; a collision thins two topics as if they were one.
 * No I/O. */
#ifndef STORE_THIN_TOPICS_H
#define STORE_THIN_TOPICS_H

#include "base/macros.h"
#include "base/slice.h"

/* Rows of further topics stay as they are. */
#define THIN_TOPICS_MAX 65536

struct thin_row {
    uint64_t number; /* 0: none */
    uint32_t bytes;
};

struct thin_topic {
    uint64_t hash;         /* 0: free */
    struct thin_row first; /* of a pair that is not complete */
};

/* The zero value is empty; seed may be set before the first row. */
struct thin_topics {
    struct thin_topic *slot;
    uint32_t count, mask;
    uint64_t seed;
};

/* True when *ret_gone, shown earlier, can go now. */
SL_NODISCARD bool thin_topics_show(struct thin_topics *t, struct sl_slice topic,
                                   struct thin_row row, struct thin_row *ret_gone);
void thin_topics_free(struct thin_topics *t);

#endif
