/* history.c - rates of the last minutes. */
#include "history.h"

static const char *const names[HISTORY_SERIES] = { "in", "cloud", "waiting" };

static double rate(uint64_t now, uint64_t before, int64_t ms)
{
    /* A total can go back when its part was opened anew. */
    return ms > 0 && now >= before ? (double)(now - before) * 1000.0 / (double)ms : 0;
}

void history_add(struct history *h, const struct history_sample *s)
{
    int64_t ms = s->mono_ms - h->seen_mono_ms;
    if (h->seen_mono_ms != 0) {
        h->in_per_s = rate(s->in, h->seen_in, ms);
        h->out_per_s = rate(s->out, h->seen_out, ms);
        h->cloud_per_s = rate(s->cloud, h->seen_cloud, ms);
        h->points[HISTORY_IN][h->next] = (float)h->in_per_s;
        h->points[HISTORY_CLOUD][h->next] = (float)h->cloud_per_s;
        h->points[HISTORY_WAITING][h->next] = (float)s->waiting;
        h->next = (h->next + 1) % HISTORY_POINTS;
        h->count += h->count < HISTORY_POINTS;
        h->last_ms = s->wall_ms;
    }
    h->seen_mono_ms = s->mono_ms;
    h->seen_in = s->in;
    h->seen_out = s->out;
    h->seen_cloud = s->cloud;
}

bool history_json(const struct history *h, struct sl_slice series, int64_t since_ms,
                  struct sl_buf *out)
{
    int which = -1;
    for (int i = 0; i < HISTORY_SERIES; i++)
        if (sl_slice_eq(series, sl_str(names[i])))
            which = i;
    if (which < 0)
        return false;
    sl_buf_printf(out, "{\"series\":\"%s\",\"points\":[", names[which]);
    const char *comma = "";
    for (uint32_t i = 0; i < h->count; i++) {
        int64_t at = h->last_ms - (int64_t)(h->count - 1 - i) * 1000;
        if (at < since_ms)
            continue;
        uint32_t slot = (h->next + HISTORY_POINTS - h->count + i) % HISTORY_POINTS;
        sl_buf_printf(out, "%s[%lld,%.2f]", comma, (long long)at, (double)h->points[which][slot]);
        comma = ",";
    }
    sl_buf_put_str(out, "]}");
    return true;
}
