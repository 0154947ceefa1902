/* clock.c - the system's clocks. */
#include "base/clock.h"

#include <sys/timex.h>
#include <time.h>

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
