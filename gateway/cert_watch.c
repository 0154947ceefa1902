/* cert_watch.c - certificate files that change while the gateway runs. */
#include "cert_watch.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { CERT, KEY, CA, CRL, FILES };

#define DAY_S       INT64_C(86400)
#define PLAUSIBLE_S (SL_WALL_PLAUSIBLE_MS / 1000)

/* How a file looks from outside; all zero when it is not there. */
struct look {
    uint64_t device, inode;
    int64_t size, changed_s, changed_ns, modified_s, modified_ns;
};

struct cert_watch {
    char *name;
    char *paths[FILES]; /* NULL: not used */
    struct tls_options options;
    struct tls_context *context;
    struct look loaded[FILES];       /* when they were read last, with or without success */
    struct look changed[FILES];      /* what differs from it, until it has settled */
    int64_t look_ms;                 /* the next time; 0: at once */
    int64_t told_cert_s, told_crl_s; /* the day of the last warning */
    uint32_t reloads;
    bool settling, failed;
};

/* ---- files ---- */

static void look_at(const struct cert_watch *w, struct look ret[FILES])
{
    memset(ret, 0, FILES * sizeof *ret);
    for (int i = 0; i < FILES; i++) {
        struct stat st;
        if (!w->paths[i] || stat(w->paths[i], &st) != 0)
            continue;
        ret[i] = (struct look){ .device = st.st_dev,
                                .inode = st.st_ino,
                                .size = st.st_size,
                                .changed_s = st.st_ctim.tv_sec,
                                .changed_ns = st.st_ctim.tv_nsec,
                                .modified_s = st.st_mtim.tv_sec,
                                .modified_ns = st.st_mtim.tv_nsec };
    }
}

static bool same_look(const struct look a[FILES], const struct look b[FILES])
{
    return memcmp(a, b, FILES * sizeof *a) == 0; /* no padding: all fields have one size */
}

static bool copy_options(struct cert_watch *w, const char *name, const struct tls_options *o)
{
    const char *from[FILES] = { o->cert_path, o->key_path, o->ca_path, o->crl_path };
    w->options = *o;
    w->name = strdup(name);
    bool fine = w->name != NULL;
    for (int i = 0; i < FILES; i++) {
        w->paths[i] = from[i] ? strdup(from[i]) : NULL;
        fine = fine && (w->paths[i] || !from[i]);
    }
    w->options.cert_path = w->paths[CERT];
    w->options.key_path = w->paths[KEY];
    w->options.ca_path = w->paths[CA];
    w->options.crl_path = w->paths[CRL];
    return fine;
}

enum sl_code cert_watch_open(struct cert_watch **ret, const char *name,
                             const struct tls_options *options, struct sl_err *err)
{
    struct cert_watch *w = calloc(1, sizeof *w);
    if (!w || !copy_options(w, name, options)) {
        cert_watch_close(w);
        return sl_fail(err, SL_NOMEM, "out of memory");
    }
    w->options.any_date = true; /* a gateway does not stay away because of a date */
    look_at(w, w->loaded);      /* before reading: a change in between is seen the next time */
    enum sl_code rc = tls_context_new(&w->context, &w->options, err);
    if (rc != SL_OK) {
        cert_watch_close(w);
        return rc;
    }
    *ret = w;
    return SL_OK;
}

void cert_watch_close(struct cert_watch *w)
{
    if (!w)
        return;
    tls_context_unref(w->context);
    for (int i = 0; i < FILES; i++)
        free(w->paths[i]);
    free(w->name);
    free(w);
}

struct tls_context *cert_watch_context(const struct cert_watch *w)
{
    return w->context;
}

const struct tls_options *cert_watch_options(const struct cert_watch *w)
{
    return &w->options;
}

void cert_watch_follow(struct cert_watch *w, struct cert_watch *old)
{
    w->reloads = old->reloads;
    if (!tls_context_equal(w->context, old->context)) {
        w->reloads++;
        return;
    }
    w->told_cert_s = old->told_cert_s;
    w->told_crl_s = old->told_crl_s;
    tls_context_unref(w->context);
    w->context = tls_context_ref(old->context);
}

/* ---- changes ---- */

static const char *date_of(int64_t seconds, char buf[32])
{
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(buf, 32, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        (void)snprintf(buf, 32, "%lld", (long long)seconds);
    return buf;
}

/* False: nothing is different, or it cannot be used. */
static bool load_again(struct cert_watch *w)
{
    struct tls_context *fresh = NULL;
    struct sl_err err = { 0 };
    char date[32];
    w->options.any_date = false; /* what is in use may be better */
    if (tls_context_new(&fresh, &w->options, &err) != SL_OK) {
        w->failed = true;
        LOG_WARN("tls",
                 "listener \"%s\": its certificate files have changed but cannot be used, so those "
                 "read before stay in use: %s",
                 w->name, err.text);
        return false;
    }
    w->failed = false;
    if (tls_context_equal(fresh, w->context)) { /* touched, or put back */
        tls_context_unref(fresh);
        return false;
    }
    tls_context_unref(w->context);
    w->context = fresh;
    w->told_cert_s = w->told_crl_s = 0;
    w->reloads++;
    LOG_INFO("tls",
             "listener \"%s\": new certificate files are in use; its certificate is valid until %s",
             w->name, date_of(tls_context_not_after(fresh), date));
    return true;
}

/* A change is read when it has looked the same twice. */
static bool look_for_changes(struct cert_watch *w, int64_t mono_ms)
{
    struct look now[FILES];
    look_at(w, now);
    w->look_ms = mono_ms + CERT_WATCH_LOOK_MS;
    if (same_look(now, w->loaded)) {
        w->settling = false;
        return false;
    }
    if (!w->settling || !same_look(now, w->changed)) {
        w->settling = true;
        memcpy(w->changed, now, sizeof now);
        w->look_ms = mono_ms + CERT_WATCH_SETTLE_MS;
        return false;
    }
    w->settling = false;
    memcpy(w->loaded, now, sizeof now);
    return load_again(w);
}

/* ---- ends ---- */

static void warn_of_cert(struct cert_watch *w, int64_t now)
{
    int64_t start = tls_context_not_before(w->context), end = tls_context_not_after(w->context);
    char date[32];
    bool fine = now >= start && end - now >= CERT_WATCH_WARN_DAYS * DAY_S;
    if (fine || now / DAY_S == w->told_cert_s)
        return;
    w->told_cert_s = now / DAY_S;
    if (now < start)
        LOG_ERROR("tls",
                  "listener \"%s\": its certificate is not valid before %s: clients refuse it, or "
                  "this machine's clock is wrong; %s",
                  w->name, date_of(start, date), w->paths[CERT]);
    else if (now > end)
        LOG_ERROR("tls", "listener \"%s\": its certificate expired on %s: clients refuse it; %s",
                  w->name, date_of(end, date), w->paths[CERT]);
    else
        LOG_WARN(
            "tls",
            "listener \"%s\": its certificate expires in %lld days, on %s: renew %s (a new one "
            "is taken up by itself)",
            w->name, (long long)((end - now) / DAY_S), date_of(end, date), w->paths[CERT]);
}

static void warn_of_crl(struct cert_watch *w, int64_t now)
{
    int64_t end = tls_context_crl_until(w->context);
    char date[32];
    if (end == 0 || end - now >= CERT_WATCH_CRL_HOURS * INT64_C(3600) ||
        now / DAY_S == w->told_crl_s)
        return;
    w->told_crl_s = now / DAY_S;
    if (now > end)
        LOG_ERROR(
            "tls",
            "listener \"%s\": the revocation list %s expired on %s: clients with certificates "
            "are refused until it is replaced",
            w->name, w->paths[CRL], date_of(end, date));
    else
        LOG_WARN(
            "tls",
            "listener \"%s\": the revocation list %s expires on %s: replace it, or clients with "
            "certificates are refused",
            w->name, w->paths[CRL], date_of(end, date));
}

bool cert_watch_tick(struct cert_watch *w, int64_t mono_ms, int64_t wall_ms)
{
    if (mono_ms < w->look_ms)
        return false;
    bool changed = look_for_changes(w, mono_ms);
    if (wall_ms / 1000 < PLAUSIBLE_S)
        return changed;
    warn_of_cert(w, wall_ms / 1000);
    warn_of_crl(w, wall_ms / 1000);
    return changed;
}

void cert_watch_get(const struct cert_watch *w, struct cert_watch_view *ret)
{
    *ret = (struct cert_watch_view){ .not_after_s = tls_context_not_after(w->context),
                                     .crl_until_s = tls_context_crl_until(w->context),
                                     .reloads = w->reloads,
                                     .failed = w->failed };
}
