/* batches.h - what was taken from the outbox and is not sent yet: outputs that gather until their
 * batch is full or old enough.
 *
 * A batch holds outputs of one topic, lane, QoS, retain flag and key of limits. An output of the
 * same lane and topic that cannot join it closes it and goes behind it, so each topic keeps its
 * order within its lane; outputs of other topics may overtake. A batch closes when the next output
 * would bring topic, properties and payload above max_bytes (so that a batch of max_bytes is
 * metered as no more than that), at max_count, and max_age after its first output was accepted; one
 * that was accepted long ago (a backlog) still has BATCHES_GATHER_MS to find company. Nothing waits
 * past its ttl. At most BATCHES_OPEN_MAX are open; the oldest closes when one more is needed.
 *
 * The outputs of a batch are chained by sender_data (element.h). Pure; items are borrowed. */
#ifndef BRIDGE_BATCHES_H
#define BRIDGE_BATCHES_H

#include "base/buf.h"
#include "bridge/batch.h"
#include "store/outbox.h"

#define BATCHES_OPEN_MAX  32
#define BATCHES_READY_MAX (BATCHES_OPEN_MAX + 4)
#define BATCHES_GATHER_MS 50
#define BATCHES_NEVER     INT64_MAX

struct batch {
    struct outbox_item *first, *last; /* NULL: the place is free */
    struct bridge_batch limits;       /* max_bytes: what is left of it for the payload */
    uint32_t hash;                    /* of the topic */
    uint32_t count;
    size_t bytes; /* of the array so far */
    int64_t due_ms;
    uint64_t opened; /* the order of opening */
};

struct batch_rule {
    uint16_t key;
    struct bridge_batch limits;
};

struct batches {
    const char *gateway_id; /* borrowed */
    struct bridge_batch standard;
    struct batch_rule *rules;
    size_t rule_count;
    size_t payload_max; /* of the server or the configuration, whichever is less */
    size_t packet_max;  /* the whole packet; SIZE_MAX for no limit */
    bool properties;    /* they are sent */
    struct batch open[BATCHES_OPEN_MAX];
    uint64_t last_opened;
    struct outbox_item *ready[BATCHES_READY_MAX]; /* a ring of closed batches and single outputs */
    unsigned ready_first, ready_count;
    struct outbox_item *alone, *alone_last; /* refused as parts of a batch: to be sent one by one */
    struct sl_buf scratch;
};

/* standard: for keys that no limits in the table have. */
void batches_init(struct batches *b, const char *gateway_id, const struct bridge_batch *standard);
void batches_free(struct batches *b);
/* Another table; copied. False when memory is out: the old one stays. */
SL_NODISCARD bool batches_set_rules(struct batches *b, const struct bridge_batch *limits,
                                    size_t count);
/* The server's limits, on every new connection. properties: it speaks MQTT 5. */
void batches_set_room(struct batches *b, size_t payload_max, size_t packet_max, bool properties);

/* Takes an item in; only after batches_next() has given NULL. */
void batches_put(struct batches *b, struct outbox_item *item, int64_t now_ms);
/* What is to be sent next: an output, or the first of a batch. NULL: nothing now. */
struct outbox_item *batches_next(struct batches *b, int64_t now_ms);
/* When batches_next() will have something; 0 for now, BATCHES_NEVER. */
int64_t batches_due(const struct batches *b);
bool batches_empty(const struct batches *b);
/* Nothing more will come: all open ones are closed. */
void batches_close_all(struct batches *b);
/* A batch that was sent is to be sent again, each output by itself. */
void batches_split(struct batches *b, struct outbox_item *first);
/* The outbox has its items back. */
void batches_forget(struct batches *b);

#endif
