/* queue_ask.h - the queue as a command sees it: of the running gateway, over its control socket, or
 * in the database itself when none runs. Blocking. */
#ifndef GATEWAY_QUEUE_ASK_H
#define GATEWAY_QUEUE_ASK_H

#include "base/seal.h"
#include "store/outbox.h"

struct queue_query {
    const char *command; /* for errors: "queue list" */
    const char *data_dir;
    enum outbox_lane lane; /* OUTBOX_LANES: all */
    bool dead;             /* the dead letters */
    bool full;             /* rows with everything */
    uint64_t limit;
    bool sealed; /* the database is, with this key */
    uint8_t seal_key[SEAL_KEY_BYTES];
};

/* One line a message on standard output, oldest first within each lane, a page at a time: memory
 * does not grow with what waits. An exit status; errors are told. */
int queue_print(const struct queue_query *q);

/* Throws away; an exit status. *ret also tells what went before an error. */
int queue_purge(const struct queue_query *q, struct outbox_purged *ret);

#endif
