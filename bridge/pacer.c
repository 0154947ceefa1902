/* pacer.c - two token buckets. */
#include "pacer.h"

static void bucket_init(struct pacer_bucket *b, double rate)
{
    *b = (struct pacer_bucket){ .rate = rate > 0 ? rate : 0 };
    b->depth = b->rate / 10 > 1 ? b->rate / 10 : 1;
    b->level = b->depth;
}

static void bucket_fill(struct pacer_bucket *b, int64_t passed_ms)
{
    b->level += b->rate * (double)passed_ms / 1000;
    if (b->level > b->depth)
        b->level = b->depth;
}

/* A publish wants a whole token: half a one would let the rate creep above its limit. */
static int64_t bucket_wait_ms(const struct pacer_bucket *b)
{
    double missing = 1 - b->level;
    if (b->rate <= 0 || missing < 1e-6) /* what sums of fractions leave */
        return 0;
    return (int64_t)(missing * 1000 / b->rate + 0.999);
}

static void bucket_spend(struct pacer_bucket *b, double tokens)
{
    if (b->rate <= 0)
        return;
    b->level -= tokens;
    double floor = -(b->rate > tokens ? b->rate : tokens);
    if (b->level < floor)
        b->level = floor;
}

void pacer_init(struct pacer *p, double publishes_per_second, uint64_t bytes_per_second,
                int64_t now_ms)
{
    bucket_init(&p->publishes, publishes_per_second);
    bucket_init(&p->bytes, (double)bytes_per_second);
    p->at_ms = now_ms;
}

static void fill(struct pacer *p, int64_t now_ms)
{
    if (now_ms <= p->at_ms)
        return;
    bucket_fill(&p->publishes, now_ms - p->at_ms);
    bucket_fill(&p->bytes, now_ms - p->at_ms);
    p->at_ms = now_ms;
}

int64_t pacer_ready_at(struct pacer *p, int64_t now_ms)
{
    fill(p, now_ms);
    int64_t publishes = bucket_wait_ms(&p->publishes);
    int64_t bytes = bucket_wait_ms(&p->bytes);
    return now_ms + (publishes > bytes ? publishes : bytes);
}

void pacer_spend(struct pacer *p, size_t bytes, int64_t now_ms)
{
    fill(p, now_ms);
    bucket_spend(&p->publishes, 1);
    bucket_spend(&p->bytes, (double)bytes);
}
