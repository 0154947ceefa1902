/* backoff.c - full-jitter waiting times. */
#include "backoff.h"

void backoff_init(struct backoff *b, int64_t min_ms, int64_t max_ms, backoff_random_fn *random,
                  void *ctx)
{
    if (min_ms < 1)
        min_ms = 1;
    if (min_ms > BACKOFF_WINDOW_MAX)
        min_ms = BACKOFF_WINDOW_MAX;
    if (max_ms > BACKOFF_WINDOW_MAX)
        max_ms = BACKOFF_WINDOW_MAX;
    if (max_ms < min_ms)
        max_ms = min_ms;
    *b = (struct backoff){ .min_ms = min_ms,
                           .max_ms = max_ms,
                           .window_ms = min_ms,
                           .attempt_ms = BACKOFF_NEVER,
                           .random = random,
                           .ctx = ctx };
}

static int64_t jitter(struct backoff *b, int64_t window_ms)
{
    return (int64_t)b->random(b->ctx, (uint64_t)window_ms + 1);
}

int64_t backoff_first_ms(struct backoff *b)
{
    return jitter(b, b->min_ms);
}

void backoff_attempt(struct backoff *b, int64_t now_ms)
{
    b->attempt_ms = now_ms;
}

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Jitter goes on top of a floor, or all would come back together. */
int64_t backoff_next_ms(struct backoff *b, int64_t now_ms, int64_t floor_ms, int64_t cap_ms)
{
    int64_t least = lesser(floor_ms, b->max_ms / 2), most = lesser(cap_ms, b->max_ms);
    int64_t window = lesser(b->window_ms > least ? b->window_ms : least, most - least);
    int64_t wait = least + jitter(b, window);
    b->window_ms = b->window_ms < b->max_ms / 2 ? b->window_ms * 2 : b->max_ms;
    if (b->attempt_ms == BACKOFF_NEVER)
        return wait;
    int64_t floor = BACKOFF_ATTEMPT_MS - (now_ms - b->attempt_ms);
    return wait < floor ? floor : wait;
}

void backoff_was_up(struct backoff *b, int64_t up_ms)
{
    if (up_ms >= BACKOFF_STABLE_MS)
        b->window_ms = b->min_ms;
}
