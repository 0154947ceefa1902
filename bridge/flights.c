/* flights.c - the table of unacknowledged publishes. */
#include "flights.h"

#include <assert.h>
#include <stdlib.h>

bool flights_init(struct flights *f, uint32_t window)
{
    assert(window >= 1 && window <= FLIGHTS_WINDOW_MAX);
    uint32_t size = 2; /* twice the window: room for remembered ones beside new ones */
    while (size < 2 * window)
        size *= 2;
    *f = (struct flights){ .slots = calloc(size, sizeof *f->slots), .mask = size - 1 };
    return f->slots != NULL;
}

void flights_free(struct flights *f)
{
    free(f->slots);
    *f = (struct flights){ 0 };
}

static void link_newest(struct flights *f, struct flight *fl, int64_t now_ms)
{
    fl->state = FLIGHT_SENT;
    fl->sent_ms = now_ms;
    fl->seq = ++f->last_seq;
    fl->older = f->newest;
    fl->newer = NULL;
    if (f->newest)
        f->newest->newer = fl;
    else
        f->oldest = fl;
    f->newest = fl;
    f->sent++;
    f->late += fl->tries > 1;
}

static void unlink_sent(struct flights *f, struct flight *fl)
{
    if (fl->older)
        fl->older->newer = fl->newer;
    else
        f->oldest = fl->newer;
    if (fl->newer)
        fl->newer->older = fl->older;
    else
        f->newest = fl->older;
    fl->older = fl->newer = NULL;
    f->sent--;
    f->late -= fl->tries > 1;
}

/* Leaves whatever state it is in; the slot is free afterwards, its fields still hold. */
static void take_out(struct flights *f, struct flight *fl)
{
    switch (fl->state) {
    case FLIGHT_FREE: break;
    case FLIGHT_SENT: unlink_sent(f, fl); break;
    case FLIGHT_REFUSED: f->refused--; break;
    case FLIGHT_REMEMBERED: f->remembered--; break;
    }
    fl->state = FLIGHT_FREE;
}

/* The remembered flight of this message. A lane gives its messages in order, so a remembered one
 * with a smaller number will not come again (it was dropped, or purged): its identifier is free. */
static struct flight *recall(struct flights *f, const struct outbox_item *item)
{
    struct flight *found = NULL;
    for (uint32_t i = 0; f->remembered > 0 && i <= f->mask; i++) {
        struct flight *fl = &f->slots[i];
        if (fl->state != FLIGHT_REMEMBERED || fl->lane != item->lane)
            continue;
        if (fl->number == item->number)
            found = fl;
        else if (fl->number < item->number)
            take_out(f, fl);
    }
    return found;
}

static struct flight *slot_of(struct flights *f, uint16_t packet_id)
{
    return &f->slots[packet_id & f->mask];
}

/* A free slot exists, or a remembered one gives way: the table is twice the window. */
static struct flight *fresh(struct flights *f)
{
    bool evict = flights_count(f) + f->remembered > f->mask;
    for (;;) {
        f->last_id = f->last_id >= FLIGHTS_ID_MAX ? 1 : (uint16_t)(f->last_id + 1);
        struct flight *fl = slot_of(f, f->last_id);
        if (fl->state != FLIGHT_FREE && !(evict && fl->state == FLIGHT_REMEMBERED))
            continue;
        take_out(f, fl);
        *fl = (struct flight){ .packet_id = f->last_id };
        return fl;
    }
}

struct flight *flights_add(struct flights *f, struct outbox_item *item, int64_t now_ms)
{
    struct flight *fl = recall(f, item);
    if (fl) {
        take_out(f, fl);
        *fl = (struct flight){ .packet_id = fl->packet_id, .dup = true };
    } else {
        fl = fresh(f);
    }
    fl->item = item;
    fl->lane = item->lane;
    fl->number = item->number;
    fl->tries = 1;
    link_newest(f, fl, now_ms);
    return fl;
}

struct flight *flights_find(struct flights *f, uint16_t packet_id)
{
    struct flight *fl = slot_of(f, packet_id);
    return fl->state == FLIGHT_SENT && fl->packet_id == packet_id ? fl : NULL;
}

void flights_again(struct flights *f, struct flight *fl, int64_t now_ms)
{
    bool was_sent = fl->state == FLIGHT_SENT;
    take_out(f, fl);
    /* After a refusal the identifier was released: it is a new publish, not a repeat. */
    fl->dup = was_sent;
    fl->tries = was_sent && fl->tries < UINT8_MAX ? (uint8_t)(fl->tries + 1) : 1;
    link_newest(f, fl, now_ms);
}

void flights_refuse(struct flights *f, struct flight *fl, int64_t retry_ms)
{
    take_out(f, fl);
    fl->state = FLIGHT_REFUSED;
    fl->retry_ms = retry_ms;
    fl->refusals++;
    f->refused++;
}

static bool holds(const struct flight *fl)
{
    return fl->state == FLIGHT_REFUSED && fl->refusals <= FLIGHTS_HOLD;
}

static bool comes_before(const struct flight *a, const struct flight *b)
{
    return a->lane != b->lane ? a->lane < b->lane : a->number < b->number;
}

struct flight *flights_next_retry(struct flights *f)
{
    struct flight *held = NULL, *free = NULL;
    for (uint32_t i = 0; f->refused > 0 && i <= f->mask; i++) {
        struct flight *fl = &f->slots[i];
        if (holds(fl) && (!held || comes_before(fl, held)))
            held = fl;
        else if (fl->state == FLIGHT_REFUSED && !holds(fl) &&
                 (!free || fl->retry_ms < free->retry_ms))
            free = fl;
    }
    return !held || (free && free->retry_ms < held->retry_ms) ? free : held;
}

bool flights_hold(const struct flights *f)
{
    for (uint32_t i = 0; f->refused > 0 && i <= f->mask; i++)
        if (holds(&f->slots[i]))
            return true;
    return false;
}

void flights_drop(struct flights *f, struct flight *fl)
{
    take_out(f, fl);
    fl->item = NULL;
}

void flights_remember(struct flights *f)
{
    for (uint32_t i = 0; i <= f->mask; i++) {
        struct flight *fl = &f->slots[i];
        bool keep = fl->state == FLIGHT_SENT || fl->state == FLIGHT_REMEMBERED;
        take_out(f, fl);
        fl->item = NULL;
        if (!keep)
            continue;
        fl->state = FLIGHT_REMEMBERED;
        f->remembered++;
    }
}

void flights_forget(struct flights *f)
{
    for (uint32_t i = 0; i <= f->mask; i++) {
        if (f->slots[i].state == FLIGHT_REMEMBERED)
            take_out(f, &f->slots[i]);
    }
}
