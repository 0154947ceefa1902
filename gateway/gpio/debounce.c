/* debounce.c - see debounce.h. */
#include "debounce.h"

static bool report(struct debounce *d, int level)
{
    bool changed = level != d->reported;
    d->reported = level;
    return changed;
}

void debounce_start(struct debounce *d, int64_t period_ms, int level)
{
    *d = (struct debounce){
        .period_ms = period_ms, .due_ms = GPIO_NEVER, .reported = level, .seen = level
    };
}

bool debounce_edge(struct debounce *d, int level, int64_t now_ms)
{
    d->seen = level;
    if (d->period_ms == 0)
        return report(d, level);
    d->due_ms = now_ms + d->period_ms;
    return false;
}

bool debounce_sample(struct debounce *d, int level, int64_t now_ms)
{
    return level != d->seen && debounce_edge(d, level, now_ms);
}

bool debounce_rest(struct debounce *d, int level, int64_t now_ms)
{
    if (now_ms < d->due_ms)
        return false;
    d->due_ms = GPIO_NEVER;
    d->seen = level;
    return report(d, level);
}
