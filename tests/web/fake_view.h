/* fake_view.h - a gateway that is not there: a struct web_view with moving numbers, for the tests
 * and the demonstration server. Deterministic: everything follows from the time it is told. */
#ifndef TESTS_WEB_FAKE_VIEW_H
#define TESTS_WEB_FAKE_VIEW_H

#include "web/web.h"

#define FAKE_WATCHES 64

struct fake_watch {
    char filter[256], user[64];
    web_tap_fn *fn;
    void *fn_ctx;
    bool used;
};

struct fake_ask {
    web_login_fn *fn; /* NULL: a free place */
    void *ctx;
    enum web_login_result result;
};

struct fake {
    int64_t started_ms, now_ms; /* wall */
    const char *cloud_state;    /* "online", "stalled", ...; "" takes them in turn */
    bool alarm, unhealthy, unready;
    unsigned logins, watches_made, watches_ended;
    size_t padding; /* bytes put into the status on top */
    struct fake_watch watches[FAKE_WATCHES];
    bool hold, busy; /* log-ins are not answered, or not looked at */
    struct fake_ask asks[16];
};

struct web_view fake_view(struct fake *f);
/* A login_later: answered by fake_answer(). */
bool fake_login_later(void *ctx, struct sl_slice user, struct sl_slice password,
                      struct sl_slice address, web_login_fn *fn, void *fn_ctx);
void fake_answer(struct fake *f); /* all that were asked */
/* Hands a message to every watch whose filter fits. */
void fake_publish(struct fake *f, const char *topic, struct sl_slice payload, bool retain);
unsigned fake_watching(const struct fake *f);

#endif
