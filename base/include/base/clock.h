/* clock.h - the one clock: monotonic for timers and ages, wall for timestamps.
 *
 * Modules take a `const struct sl_clock *`; tests hand in one that they move themselves. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* 2024-01-01: a wall clock before it was never set. What says more may be wrong all the same. */
#define SL_WALL_PLAUSIBLE_MS INT64_C(1704067200000)

struct sl_clock {
    int64_t (*mono_ms)(void *ctx); /* milliseconds since some fixed moment; never steps */
    int64_t (*wall_ms)(void *ctx); /* milliseconds since 1970-01-01T00:00:00Z; may step */
    void *ctx;
};

/* The system's clocks: CLOCK_BOOTTIME (it goes on while the machine sleeps) and CLOCK_REALTIME. */
extern const struct sl_clock sl_clock_system;

/* Whether the system says that its wall clock was set by something that knows the time (NTP). */
bool sl_clock_is_set(void);

static inline int64_t sl_mono_ms(const struct sl_clock *c)
{
    return c->mono_ms(c->ctx);
}

static inline int64_t sl_wall_ms(const struct sl_clock *c)
{
    return c->wall_ms(c->ctx);
}

/* A moment to be told later, also when the wall clock has been set meanwhile. */
struct sl_moment {
    int64_t mono_ms, wall_ms;
};
struct sl_moment sl_moment_now(const struct sl_clock *c);
/* The moment by the wall clock as it goes now. The same at each call until that clock steps. */
int64_t sl_moment_wall_ms(const struct sl_moment *m, const struct sl_clock *c);

#endif
