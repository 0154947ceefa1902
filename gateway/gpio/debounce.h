/* debounce.h - which changes of an input are worth a report: a state machine on levels and times.
 *
 * Without a period every change is reported at once. With one, a level counts when no edge came for
 * that long; a burst that ends where it began reports nothing. A line that never rests is never
 * reported. Reads no line and no clock: levels and now_ms are handed in. */
#ifndef GPIO_DEBOUNCE_H
#define GPIO_DEBOUNCE_H

#include <stdbool.h>
#include <stdint.h>

#define GPIO_DEBOUNCE_MS_MAX 60000
#define GPIO_NEVER           INT64_MAX

struct debounce {
    int64_t period_ms;
    int64_t due_ms; /* when the line will have rested long enough; GPIO_NEVER while it rests */
    int reported;   /* 0 or 1 */
    int seen;       /* the last level handed in: 0 or 1 */
};

/* The line's level at the start counts as reported. */
void debounce_start(struct debounce *d, int64_t period_ms, int level);
/* An edge after which the line is at level. True when level is to be reported now. */
bool debounce_edge(struct debounce *d, int level, int64_t now_ms);
/* The line was read without an edge to cause it. An edge that got lost on the way counts now. */
bool debounce_sample(struct debounce *d, int level, int64_t now_ms);
/* Call at due_ms with the level then. True when level is to be reported. Too early: nothing. */
bool debounce_rest(struct debounce *d, int level, int64_t now_ms);

#endif
