/* events.h - the last events, for the status page: a ring filled from the log. */
#ifndef GATEWAY_EVENTS_H
#define GATEWAY_EVENTS_H

#include "base/log.h"

#define EVENTS_MAX 200

struct event {
    uint64_t number; /* from 1 */
    int64_t wall_ms;
    enum sl_log_level level;
    char unit[16], text[240];
};

struct events {
    struct event ring[EVENTS_MAX];
    uint64_t next; /* number of the next event; 0 and 1: none yet */
};

/* From now on the log's lines of level info and above are kept here. */
void events_start(struct events *e);
void events_stop(void);
/* The event with this number, or NULL when it is gone or not there yet. */
const struct event *events_get(const struct events *e, uint64_t number);
/* Number of the oldest one kept; next when there is none. */
uint64_t events_first(const struct events *e);

#endif
