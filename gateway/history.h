/* history.h - rates of the last minutes, a point a second, for the page's charts. In memory only.
 */
#ifndef GATEWAY_HISTORY_H
#define GATEWAY_HISTORY_H

#include "base/buf.h"

#define HISTORY_POINTS 600

enum history_series { HISTORY_IN, HISTORY_CLOUD, HISTORY_WAITING, HISTORY_SERIES };

struct history {
    float points[HISTORY_SERIES][HISTORY_POINTS];
    int64_t last_ms; /* wall time of the newest point */
    uint32_t next, count;
    uint64_t seen_in, seen_out, seen_cloud; /* totals at the last point */
    int64_t seen_mono_ms;
    double in_per_s, out_per_s, cloud_per_s; /* of the last second */
};

struct history_sample {
    int64_t mono_ms, wall_ms;
    uint64_t in, out, cloud; /* totals */
    uint64_t waiting;
};
void history_add(struct history *h, const struct history_sample *s);
/* {"series":NAME,"points":[[ms,value],...]} of points at or after since_ms. False: no such series.
 */
bool history_json(const struct history *h, struct sl_slice series, int64_t since_ms,
                  struct sl_buf *out);

#endif
