/* events.c - the ring of events. */
#include "events.h"

#include "base/clock.h"

#include <stdio.h>

static void on_line(void *ctx, enum sl_log_level level, const char *unit, const char *text)
{
    struct events *e = ctx;
    if (level > SL_INFO)
        return;
    struct event *at = &e->ring[e->next % EVENTS_MAX];
    *at = (struct event){ .number = e->next,
                          .wall_ms = sl_wall_ms(&sl_clock_system),
                          .level = level };
    (void)snprintf(at->unit, sizeof at->unit, "%s", unit);
    (void)snprintf(at->text, sizeof at->text, "%s",
                   text); /* cut when longer: the log has it whole */
    e->next++;
}

void events_start(struct events *e)
{
    e->next = 1;
    sl_log_set_tap(on_line, e);
}

void events_stop(void)
{
    sl_log_set_tap(NULL, NULL);
}

uint64_t events_first(const struct events *e)
{
    return e->next > EVENTS_MAX ? e->next - EVENTS_MAX : 1;
}

const struct event *events_get(const struct events *e, uint64_t number)
{
    if (number < events_first(e) || number >= e->next)
        return NULL;
    return &e->ring[number % EVENTS_MAX];
}
