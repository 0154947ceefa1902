/* web.h - the status page, the HTTP interface, metrics and the live WebSocket, on libwebsockets, on
 * the gateway's own loop.
 *
 * Shows what it is given through struct web_view and owns nothing else. Never blocks the loop;
 * clients, watches and output per client are bounded. Loop thread only. */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <uv.h>

enum web_anonymous { WEB_ANONYMOUS_NONE, WEB_ANONYMOUS_READ, WEB_ANONYMOUS_FULL };

typedef void web_tap_fn(void *ctx, struct sl_slice topic, struct sl_slice payload, int64_t wall_ms,
                        bool retain);

/* A page of what waits for the cloud, which has to be fetched. */
struct web_queue_ask {
    struct sl_slice after; /* the key of the row before the first one; "" from the start */
    struct sl_slice lane;  /* "": all of them */
    bool dead;             /* the dead letters instead */
    unsigned limit;
};
/* Once, from the loop, not before queue() has returned. json holds an array (its bytes may be
 * taken over), or is NULL and error says why. */
typedef void web_queue_fn(void *done_ctx, struct sl_buf *json, const char *error);

enum web_login_result { WEB_LOGIN_RIGHT, WEB_LOGIN_WRONG, WEB_LOGIN_BUSY /* not looked at */ };
typedef void web_login_fn(void *ctx, enum web_login_result result);

/* Everything the web side can see. JSON is appended to out. */
struct web_view {
    void *ctx;
    void (*status)(void *ctx, struct sl_buf *out);  /* /api/v1/status: one object */
    void (*metrics)(void *ctx, struct sl_buf *out); /* Prometheus text */
    /* NULL-safe list endpoints: an array of at most limit rows that come after the key `after` (""
     * from the start). False: 404. */
    bool (*list)(void *ctx, const char *name, struct sl_slice after, unsigned limit,
                 struct sl_buf *out);
    /* /api/v1/queue; NULL: 404. SL_OK: done comes. Else it does not: SL_INVALID when what is asked
     * for makes no sense, other codes when it cannot be had now; err says why. The slices live
     * during the call. */
    enum sl_code (*queue)(void *ctx, const struct web_queue_ask *ask, web_queue_fn *done,
                          void *done_ctx, struct sl_err *err);
    /* /api/v1/history: {"series":..,"points":[[ms,value],..]} since wall ms; false when there is no
     * such series. */
    bool (*history)(void *ctx, struct sl_slice series, int64_t since_ms, struct sl_buf *out);
    /* reasons: a JSON array of strings. False: why not; true: what somebody has to look at. */
    bool (*healthy)(void *ctx, struct sl_buf *reasons);
    bool (*ready)(void *ctx, struct sl_buf *reasons);
    /* HTTP Basic, at once: for upgrades, which cannot wait, and without login_later. */
    bool (*login)(void *ctx, struct sl_slice user, struct sl_slice password);
    /* The same off the loop: fn comes from the loop, once, never inside the call, also after
     * web_close(). False: it is not looked at now. */
    bool (*login_later)(void *ctx, struct sl_slice user, struct sl_slice password,
                        struct sl_slice address, web_login_fn *fn, void *fn_ctx);
    /* Tap on topics that fit filter, until unwatch; NULL when refused (bad filter, bound reached).
     * user is empty for anonymous. */
    void *(*watch)(void *ctx, struct sl_slice user, struct sl_slice filter, web_tap_fn *fn,
                   void *fn_ctx);
    void (*unwatch)(void *ctx, void *watch);
};

struct web_options {
    uv_loop_t *loop;
    const char *bind;
    uint16_t port; /* 0: any free one, see web_port() */
    enum web_anonymous anonymous;
    const char *cert_path, *key_path; /* both or neither: HTTPS */
    struct web_view view;
};

struct web;
/* Port in use, bad certificate: err says which key to change. Run the loop after a failure, too:
 * handles that were made close there. Strings are borrowed during the call, the view's functions
 * until web_close(). */
SL_NODISCARD enum sl_code web_open(struct web **ret, const struct web_options *options,
                                   struct sl_err *err);
uint16_t web_port(const struct web *w);
/* The users file changed: passwords that were right are asked for again. (They are remembered,
 * hashed, for a minute.) */
void web_forget_logins(struct web *w);
/* Unwatches everything at once; closed() comes from the loop when nothing of ours is on it any
 * more, and w is gone. Accepts NULL (then closed() never comes). */
void web_close(struct web *w, void (*closed)(void *ctx), void *ctx);

struct web_stats {
    uint64_t requests, errors, rejected;
    uint32_t live_clients;
};
void web_get_stats(const struct web *w, struct web_stats *ret);
const char *web_library_version(void); /* "4.1.6" say */

#endif
