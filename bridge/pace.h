/* pace.h - how a failure bears on the next attempt: each cause has its own least and greatest wait.
 *
 * A failing name or an unset clock costs nobody anything and may be over any moment: it is looked
 * at often. What a person has to put right (a refused certificate, a policy, a second gateway with
 * our client id) is not made better by knocking. Pure. */
#ifndef BRIDGE_PACE_H
#define BRIDGE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    int64_t floor_ms, cap_ms; /* of the wait; cap INT64_MAX: the configuration's */
    bool unstable;            /* the connection counts as not having been up, however long it was */
};
/* cause: an explanation's. */
struct pace pace_of(const char *cause);

/* Connections in a row that came up and were ended by the server within BACKOFF_STABLE_MS, before
 * the link says that it is being kicked. */
#define PACE_KICKS 3

#endif
