/* cloud_watch.c - certificate and drops of the cloud link, said in the log. */
#include "cloud_watch.h"

#include "base/log.h"

#include <string.h>

#define DAY_S          INT64_C(86400)
#define CLOCK_SET_S    INT64_C(1704067200) /* 2024: before, the clock was never set */
#define DROPS_EVERY_MS 60000

enum cert_stage cert_stage(int64_t not_after_s, int64_t now_s)
{
    int64_t left = not_after_s - now_s;
    if (not_after_s == 0 || now_s < CLOCK_SET_S)
        return CERT_FINE;
    if (left <= 0)
        return CERT_OVER;
    if (left <= DAY_S)
        return CERT_DAY;
    return left <= 7 * DAY_S ? CERT_WEEK : left <= 30 * DAY_S ? CERT_MONTH : CERT_FINE;
}

static void look_at_certificate(struct cloud_watch *w, int64_t not_after_s, const char *path,
                                int64_t now_s)
{
    enum cert_stage stage = cert_stage(not_after_s, now_s);
    if (w->not_after_s != not_after_s)
        w->said = CERT_FINE; /* another certificate */
    w->not_after_s = not_after_s;
    if (stage <= w->said)
        return;
    w->said = stage;
    if (stage == CERT_OVER)
        LOG_ERROR("cloud",
                  "the device certificate has expired: the cloud takes no new connection; replace "
                  "%s (it is read again at each attempt)",
                  path);
    else
        sl_log(stage == CERT_DAY ? SL_ERROR : SL_WARN, "cloud", NULL,
               "the device certificate expires in %lld days: replace %s (it is read again at the "
               "next connection)",
               (long long)((not_after_s - now_s) / DAY_S), path);
}

static void look_at_drops(struct cloud_watch *w, const struct bridge_status *s, int64_t mono_ms)
{
    static const char *const why[] = {
        [BRIDGE_DROP_EXPIRED] = "their time was over (Message Expiry)",
        [BRIDGE_DROP_NO_SUBSCRIPTION] = "no subscription of cloud.subscribe fits them",
        [BRIDGE_DROP_INVALID] = "their topic is not valid here",
        [BRIDGE_DROP_NO_ROOM] = "the broker or its store had no room",
    };
    if (mono_ms < w->drops_due_ms)
        return;
    for (int i = 0; i < BRIDGE_DROPS; i++) {
        uint64_t more = s->dropped[i] - w->dropped[i];
        if (more == 0)
            continue;
        LOG_WARN("cloud", "%llu messages from the cloud were dropped: %s", (unsigned long long)more,
                 why[i]);
        w->drops_due_ms = mono_ms + DROPS_EVERY_MS;
    }
    memcpy(w->dropped, s->dropped, sizeof w->dropped);
}

void cloud_watch_look(struct cloud_watch *w, const struct bridge_status *s, const char *cert_path,
                      int64_t mono_ms, int64_t wall_ms)
{
    look_at_certificate(w, s->cert_not_after_s, cert_path ? cert_path : "", wall_ms / 1000);
    look_at_drops(w, s, mono_ms);
}
