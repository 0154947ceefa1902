/* drive.h - what an output's level is at a given time: steady, blinking, or one pulse.
 *
 * Writes no line and reads no clock. Whoever owns one writes `level` to the line after each call
 * that changed it, and calls drive_tick() at drive_due(). */
#ifndef GPIO_DRIVE_H
#define GPIO_DRIVE_H

#include "command.h"
#include "debounce.h" /* GPIO_NEVER */

enum drive_mode {
    DRIVE_STEADY, /* level == steady */
    DRIVE_BLINK,  /* level goes 1, 0, 1, 0 from start_ms on; afterwards it is steady */
    DRIVE_PULSE,  /* level is 1 until start_ms + pulse_ms, then 0 */
};

struct drive {
    enum drive_mode mode;
    int level;
    int steady; /* what was last asked for plainly: where a blink ends */
    double blink_hz;
    int64_t pulse_ms;
    int64_t start_ms;
};

/* Steady at this level; a command replaces the one before it. */
void drive_init(struct drive *d, int level);
void drive_command(struct drive *d, const struct gpio_command *command, int64_t now_ms);
/* When drive_tick() is next to be called; GPIO_NEVER while the level is steady. */
int64_t drive_due(const struct drive *d, int64_t now_ms);
/* Brings level up to now. Phases missed by a late call are skipped, not made up for. True when the
 * mode has ended, which is news for whoever watches; the phases of a blink are not. */
bool drive_tick(struct drive *d, int64_t now_ms);
double drive_blink_hz(const struct drive *d); /* 0 unless blinking */

#endif
