/* cert_watch.h - the certificate files of one listener: loaded, watched, loaded again when they
 * change (renewal by ACME or a CA's script), and their ends announced in time.
 *
 * Looks at the files' dates once a minute and reads them when they have changed and settled; if
 * they make no sense the old ones stay. Reads files: small ones, seldom, on the loop. */
#ifndef GATEWAY_CERT_WATCH_H
#define GATEWAY_CERT_WATCH_H

#include "base/tls.h"

#define CERT_WATCH_LOOK_MS 60000
#define CERT_WATCH_SETTLE_MS                                                                       \
    2000 /* a certificate and its key are never replaced at the same time */
#define CERT_WATCH_WARN_DAYS 14
#define CERT_WATCH_CRL_HOURS 24

struct cert_watch;

/* Copies what it needs; loads the files. name: the listener's. */
SL_NODISCARD enum sl_code cert_watch_open(struct cert_watch **ret, const char *name,
                                          const struct tls_options *options, struct sl_err *err);
void cert_watch_close(struct cert_watch *w);                              /* accepts NULL */
struct tls_context *cert_watch_context(const struct cert_watch *w);       /* borrowed */
const struct tls_options *cert_watch_options(const struct cert_watch *w); /* and all in it */
/* w takes the place of old, which watched for the same listener: the same certificates keep their
 * context, and so the session tickets that clients hold; what has been said is not said again. */
void cert_watch_follow(struct cert_watch *w, struct cert_watch *old);
/* Once a second. True: there is a new context. */
bool cert_watch_tick(struct cert_watch *w, int64_t mono_ms, int64_t wall_ms);

struct cert_watch_view {
    int64_t not_after_s, crl_until_s; /* seconds since 1970; 0: none */
    uint32_t reloads;                 /* changes that took effect */
    bool failed;                      /* the files there now cannot be used: older ones are */
};
void cert_watch_get(const struct cert_watch *w, struct cert_watch_view *ret);

#endif
