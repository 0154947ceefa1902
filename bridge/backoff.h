/* backoff.h - when to try again: full jitter, a doubling window, a floor between two attempts.
 *
 * Each wait is random between 0 and a window that doubles with every failure up to a maximum, so
 * that gateways which lost their link together do not come back together. A connection resets the
 * window only after it has been up for BACKOFF_STABLE_MS: one that is accepted and dropped again
 * and again keeps its long waits. Pure: time and randomness are handed in. */
#ifndef BRIDGE_BACKOFF_H
#define BRIDGE_BACKOFF_H

#include <stdint.h>

#define BACKOFF_STABLE_MS  30000
#define BACKOFF_ATTEMPT_MS 1000 /* AWS takes one CONNECT a second from a client id */
#define BACKOFF_NEVER      INT64_MIN
#define BACKOFF_WINDOW_MAX INT64_C(86400000)

/* A random number below bound (> 0). */
typedef uint64_t backoff_random_fn(void *ctx, uint64_t bound);

struct backoff {
    int64_t min_ms, max_ms, window_ms;
    int64_t attempt_ms; /* when the last attempt began; BACKOFF_NEVER before the first */
    backoff_random_fn *random;
    void *ctx;
};

/* min_ms is at least 1, max_ms at least min_ms; both are brought into range. */
void backoff_init(struct backoff *b, int64_t min_ms, int64_t max_ms, backoff_random_fn *random,
                  void *ctx);
/* How long to wait before the first attempt after start: random, at most min_ms. The window stays
 * as it is. */
int64_t backoff_first_ms(struct backoff *b);
/* An attempt begins. */
void backoff_attempt(struct backoff *b, int64_t now_ms);
/* How long to wait from now after a failure; widens the window for the next one. At least floor_ms,
 * at most cap_ms; neither takes it above the maximum. */
int64_t backoff_next_ms(struct backoff *b, int64_t now_ms, int64_t floor_ms, int64_t cap_ms);
/* A connection that had been up for this long has ended. */
void backoff_was_up(struct backoff *b, int64_t up_ms);

#endif
