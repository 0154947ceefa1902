/* watch.c - web viewers' taps. */
#include "watch.h"

#include <stdlib.h>

struct watch {
    struct broker *broker;
    struct broker_tap *tap;
    unsigned *count;
    web_tap_fn *fn;
    void *ctx;
};

static void on_message(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    const struct watch *w = ctx;
    (void)receipt; /* a viewer holds nobody's acknowledgement back */
    w->fn(w->ctx, sl_msg_topic(m), sl_msg_payload(m), m->wall_ms, m->retain);
}

struct watch *watch_open(struct broker *b, unsigned *count, struct sl_slice filter, web_tap_fn *fn,
                         void *ctx)
{
    if (*count >= WATCHES_MAX)
        return NULL;
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    *w = (struct watch){ .broker = b, .count = count, .fn = fn, .ctx = ctx };
    w->tap = broker_tap(b, filter, on_message, w);
    if (!w->tap) {
        free(w);
        return NULL;
    }
    ++*count;
    return w;
}

void watch_close(struct watch *w)
{
    broker_untap(w->broker, w->tap);
    --*w->count;
    free(w);
}
