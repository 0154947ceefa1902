/* watch.c - web viewers' taps. */
#include "watch.h"

#include <stdlib.h>

struct watch {
    struct broker *broker;
    struct broker_tap *tap;
    unsigned *count;
    struct acl_view *view; /* NULL until there is an access list */
    char *user;            /* or NULL */
    web_tap_fn *fn;
    void *ctx;
};

/* The list may have come or changed since the watch began. */
static bool may_see(struct watch *w, struct sl_slice topic)
{
    struct acl *acl = broker_acl(w->broker);
    if (!acl)
        return true;
    if (!w->view)
        w->view = acl_view_new(acl, w->user ? sl_str(w->user) : (struct sl_slice){ 0 },
                               (struct sl_slice){ 0 });
    else if (!acl_view_is_under(w->view, acl))
        acl_view_replace(&w->view, acl);
    return w->view && acl_may(w->view, ACL_SUBSCRIBE, topic);
}

static void watch_free(struct watch *w)
{
    acl_view_free(w->view);
    free(w->user);
    free(w);
}

static void on_message(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct watch *w = ctx;
    (void)receipt; /* a viewer holds nobody's acknowledgement back */
    if (may_see(w, sl_msg_topic(m)))
        w->fn(w->ctx, sl_msg_topic(m), sl_msg_payload(m), m->wall_ms, m->retain);
}

struct watch *watch_open(struct broker *b, unsigned *count, struct sl_slice user,
                         struct sl_slice filter, web_tap_fn *fn, void *ctx)
{
    if (*count >= WATCHES_MAX)
        return NULL;
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    *w = (struct watch){ .broker = b, .count = count, .fn = fn, .ctx = ctx };
    if (user.len == 0 || (w->user = sl_slice_dup(user)))
        w->tap = broker_tap(b, filter, on_message, w);
    if (!w->tap) {
        watch_free(w);
        return NULL;
    }
    ++*count;
    return w;
}

void watch_close(struct watch *w)
{
    broker_untap(w->broker, w->tap);
    --*w->count;
    watch_free(w);
}
