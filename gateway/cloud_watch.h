/* cloud_watch.h - what is to be said of the cloud link besides its state: the device certificate's
 * end, in time, and messages from the cloud that were dropped. Asked once a second; logs. */
#ifndef GATEWAY_CLOUD_WATCH_H
#define GATEWAY_CLOUD_WATCH_H

#include "bridge/bridge.h"

/* How near the certificate's end is: each is said once. */
enum cert_stage { CERT_FINE, CERT_MONTH, CERT_WEEK, CERT_DAY, CERT_OVER };
enum cert_stage cert_stage(int64_t not_after_s, int64_t now_s);

struct cloud_watch {
    int64_t not_after_s; /* of the certificate that was spoken of */
    enum cert_stage said;
    uint64_t dropped[BRIDGE_DROPS]; /* as last said */
    int64_t drops_due_ms;
};

/* Logs what has to be said; any time, as often as status is asked for. cert_path may be NULL. */
void cloud_watch_look(struct cloud_watch *w, const struct bridge_status *s, const char *cert_path,
                      int64_t mono_ms, int64_t wall_ms);

#endif
