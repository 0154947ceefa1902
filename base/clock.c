/* clock.c - the system's clocks. */
#include "base/clock.h"

#include <stdlib.h>
#include <sys/timex.h>
#include <time.h>

/* Less is the two clocks being read one after the other, and small corrections. */
#define STEP_MS ((int64_t)60000)

static int64_t read_ms(clockid_t id)
{
    struct timespec ts = { 0 };
    (void)clock_gettime(
        id, &ts); /* fails only for a clock this kernel has not: both exist since 2.6.39 */
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_mono_ms(void *ctx)
{
    (void)ctx;
    return read_ms(CLOCK_BOOTTIME);
}

static int64_t system_wall_ms(void *ctx)
{
    (void)ctx;
    return read_ms(CLOCK_REALTIME);
}

const struct sl_clock sl_clock_system = { system_mono_ms, system_wall_ms, NULL };

bool sl_clock_is_set(void)
{
    struct timex t = { 0 };
    int state = adjtimex(&t); /* only asks */
    return state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
}

struct sl_moment sl_moment_now(const struct sl_clock *c)
{
    return (struct sl_moment){ sl_mono_ms(c), sl_wall_ms(c) };
}

int64_t sl_moment_wall_ms(const struct sl_moment *m, const struct sl_clock *c)
{
    int64_t by_now = sl_wall_ms(c) - (sl_mono_ms(c) - m->mono_ms);
    return llabs(by_now - m->wall_ms) < STEP_MS ? m->wall_ms : by_now;
}
