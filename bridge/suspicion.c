/* suspicion.c - counting hang-ups. */
#include "suspicion.h"

void suspicion_hung_up(struct suspicion *s, enum outbox_lane lane, uint64_t number)
{
    if (!suspicion_careful(s)) { /* many were out: no telling which */
        s->barren++;
        return;
    }
    if (s->strikes == 0 || s->lane != lane || s->number != number)
        s->strikes = 0;
    s->lane = lane;
    s->number = number;
    s->strikes++;
}

void suspicion_clear(struct suspicion *s)
{
    *s = (struct suspicion){ 0 };
}

static unsigned strikes_needed(const struct suspicion *s)
{
    unsigned n = s->convicted;
    return (unsigned)SUSPICION_STRIKES
           << (n < SUSPICION_DOUBLINGS_MAX ? n : SUSPICION_DOUBLINGS_MAX);
}

bool suspicion_convicts(struct suspicion *s, const struct outbox_item *item)
{
    if (s->strikes < strikes_needed(s) || s->lane != item->lane || s->number != item->number)
        return false;
    s->convicted++;
    s->strikes = 0;
    return true;
}
