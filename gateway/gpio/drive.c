/* drive.c - see drive.h. */
#include "drive.h"

#include <math.h>

/* Which half period of the blink now_ms lies in. Counted from the start each time, so that a
 * period that is no whole number of milliseconds does not drift. */
static int64_t phase_at(const struct drive *d, int64_t now_ms)
{
    int64_t elapsed = now_ms > d->start_ms ? now_ms - d->start_ms : 0;
    return (int64_t)floor((double)elapsed * d->blink_hz / 500.0);
}

/* After now_ms even when rounding says otherwise: a timer that is due at once would spin. */
static int64_t phase_end(const struct drive *d, int64_t now_ms)
{
    double end = ceil((double)(phase_at(d, now_ms) + 1) * 500.0 / d->blink_hz);
    int64_t end_ms = d->start_ms + (int64_t)end;
    return end_ms > now_ms ? end_ms : now_ms + 1;
}

void drive_init(struct drive *d, int level)
{
    *d = (struct drive){ .mode = DRIVE_STEADY, .level = level, .steady = level };
}

static void hold(struct drive *d, int level)
{
    d->mode = DRIVE_STEADY;
    d->level = d->steady = level;
}

static void begin(struct drive *d, enum drive_mode mode, int64_t now_ms)
{
    d->mode = mode;
    d->level = 1;
    d->start_ms = now_ms;
}

/* What toggle inverts. Between the phases of a blink chance would decide, so there it is the level
 * that the blink interrupted. */
static int apparent(const struct drive *d)
{
    return d->mode == DRIVE_BLINK ? d->steady : d->level;
}

void drive_command(struct drive *d, const struct gpio_command *command, int64_t now_ms)
{
    switch (command->kind) {
    case GPIO_SET: hold(d, command->state); break;
    case GPIO_TOGGLE: hold(d, !apparent(d)); break;
    case GPIO_BLINK:
        if (command->blink_hz > 0) {
            d->blink_hz = command->blink_hz;
            begin(d, DRIVE_BLINK, now_ms);
        } else if (d->mode == DRIVE_BLINK) {
            hold(d, d->steady);
        }
        break;
    case GPIO_PULSE:
        d->pulse_ms = command->pulse_ms;
        d->steady = 0;
        begin(d, DRIVE_PULSE, now_ms);
        break;
    }
}

int64_t drive_due(const struct drive *d, int64_t now_ms)
{
    switch (d->mode) {
    case DRIVE_STEADY: break;
    case DRIVE_BLINK: return phase_end(d, now_ms);
    case DRIVE_PULSE: return d->start_ms + d->pulse_ms;
    }
    return GPIO_NEVER;
}

bool drive_tick(struct drive *d, int64_t now_ms)
{
    switch (d->mode) {
    case DRIVE_STEADY: break;
    case DRIVE_BLINK: d->level = phase_at(d, now_ms) % 2 == 0; break;
    case DRIVE_PULSE:
        if (now_ms - d->start_ms < d->pulse_ms)
            break;
        hold(d, 0);
        return true;
    }
    return false;
}

double drive_blink_hz(const struct drive *d)
{
    return d->mode == DRIVE_BLINK ? d->blink_hz : 0.0;
}
