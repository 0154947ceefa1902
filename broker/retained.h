/* retained.h - the last retained message of each topic. */
#ifndef BROKER_RETAINED_H
#define BROKER_RETAINED_H

#include "base/msg.h"
#include "trie.h"

struct retained {
    struct trie trie; /* values: struct sl_msg, one reference each; stamped with the epoch */
    uint32_t epoch;   /* begins anew with each subscription that is sent them */
    struct trie_cursor purge; /* looks for what has expired */
    bool purging;
    uint64_t count;
    uint64_t expiring; /* of them, those with a message expiry */
    uint64_t bytes;    /* of the messages */
};

/* Bytes that count towards bytes_max: messages, and what their topics take. */
uint64_t retained_total(const struct retained *r);

enum retained_result { RETAINED_DONE, RETAINED_FULL, RETAINED_NO_MEMORY };

/* Keep m as its topic's retained message (takes a reference), or, with an empty payload, forget the
 * topic's [MQTT-3.3.1-5, 3.3.1-6, 3.3.1-7]. RETAINED_FULL: it would take all of them past
 * bytes_max; the topic has none now, rather than an old one. Out of memory, what was there stays.
 */
SL_NODISCARD enum retained_result retained_set(struct retained *r, struct sl_msg *m,
                                               uint64_t bytes_max);
/* Look at some more of them and forget those whose message expiry has passed, each of which is
 * shown before; true when all have been looked at. To be called again, soon, until then. */
typedef void retained_visit_fn(void *ctx, struct sl_msg *m);
bool retained_purge(struct retained *r, int64_t now_mono_ms, retained_visit_fn *forgotten,
                    void *ctx);
/* All of them; the visitor must not change them. */
void retained_visit(struct retained *r, retained_visit_fn *visit, void *ctx);
void retained_free(struct retained *r);

#endif
