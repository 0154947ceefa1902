/* bounds.h - how many connections there may be: in all, from one host, and without a CONNECT.
 *
 * Counts, decides, and tells what was refused: one log line for a burst. No I/O. */
#ifndef BROKER_BOUNDS_H
#define BROKER_BOUNDS_H

#include "broker/broker.h"

#include "base/map.h"

#define BOUNDS_FINISHED UINT32_MAX

struct client;

/* A host with connections. */
struct bounds_host {
    struct broker_host host;
    uint32_t connections, unfinished;
};

/* A connection without its CONNECT. */
struct bounds_unfinished {
    struct client *client;
    int64_t since_ms;
};

/* What was refused since the last line about it. */
struct bounds_burst {
    int64_t told_ms;
    uint64_t count;
};

struct bounds {
    struct sl_map hosts;
    struct bounds_unfinished *unfinished; /* in no order */
    uint32_t unfinished_count, unfinished_cap;
    struct bounds_burst bursts[BROKER_REFUSALS];
};

/* A connection comes: counted, or refused (and that counted); an older one may have to give way. */
SL_NODISCARD bool bounds_open(struct broker *b, struct client *c);
/* Its CONNECT is here, or it ends before. Any number of times. */
void bounds_finished(struct broker *b, struct client *c);
/* It is gone. */
void bounds_close(struct broker *b, struct client *c);

/* from: its address. text: for the log; NULL for the usual one. */
void bounds_refused(struct broker *b, enum broker_refusal why, struct sl_slice from,
                    const char *text);
void bounds_tick(struct broker *b); /* once a second: the rest of bursts */
void bounds_free(struct bounds *bounds);

#endif
