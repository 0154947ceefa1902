/* gap_report.c - outages and losses, as the cloud is told of them. No I/O. */
#include "gap_report.h"

#include "base/text.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>

void gap_report_init(struct gap_report *r, int64_t mono_ms, int64_t wall_ms)
{
    *r = (struct gap_report){ .began_mono_ms = mono_ms, .began_wall_ms = wall_ms, .away = true };
}

static bool is_up(enum bridge_state s)
{
    return s == BRIDGE_ONLINE || s == BRIDGE_STALLED || s == BRIDGE_DRAINING;
}

bool gap_report_follow(struct gap_report *r, const struct bridge_status *s, int64_t min_ms,
                       int64_t mono_ms, int64_t wall_ms)
{
    bool up = is_up(s->state);
    if (!up && !r->away) {
        r->away = true;
        r->began_mono_ms = mono_ms;
        r->began_wall_ms = wall_ms;
        r->cause[0] = '\0';
    }
    if (!up && !r->cause[0])
        (void)snprintf(r->cause, sizeof r->cause, "%s", s->cause); /* of the same size */
    if (!up || !r->away)
        return false;
    r->away = false;
    r->ended_wall_ms = wall_ms;
    return mono_ms - r->began_mono_ms >= min_ms;
}

/* A fresh database begins at 0 again. */
static uint64_t since(uint64_t now, uint64_t told)
{
    return now >= told ? now - told : now;
}

static void put_lost(const struct outbox_stats *s, const struct gap_lost *told, struct sl_buf *out)
{
    const char *lane_comma = "";
    sl_buf_put_u8(out, '{');
    for (int lane = 0; lane < OUTBOX_LANES; lane++) {
        const char *comma = "";
        for (int why = 0; why < OUTBOX_LOSSES; why++) {
            uint64_t n = since(s->lane[lane].loss[why].count, told->count[lane][why]);
            if (n == 0)
                continue;
            if (!*comma)
                sl_buf_printf(out, "%s\"%s\":{", lane_comma,
                              outbox_lane_name((enum outbox_lane)lane));
            sl_buf_printf(out, "%s\"%s\":%" PRIu64, comma, outbox_loss_name((enum outbox_loss)why),
                          n);
            comma = ",";
        }
        if (*comma) {
            sl_buf_put_u8(out, '}');
            lane_comma = ",";
        }
    }
    sl_buf_put_u8(out, '}');
}

void gap_report_json(const struct gap_report *r, const char *gateway_id,
                     const struct outbox_stats *s, struct sl_buf *out)
{
    sl_buf_put_str(out, "{\"gateway\":");
    sl_buf_put_json(out, sl_str(gateway_id));
    sl_buf_printf(out, ",\"from\":%" PRId64 ",\"to\":%" PRId64 ",\"cause\":", r->began_wall_ms,
                  r->ended_wall_ms);
    sl_buf_put_json(out, sl_str(r->cause));
    sl_buf_put_str(out, ",\"waiting\":{");
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        sl_buf_printf(out, "%s\"%s\":%" PRIu64, lane ? "," : "",
                      outbox_lane_name((enum outbox_lane)lane), s->lane[lane].waiting);
    sl_buf_put_str(out, "},\"lost\":");
    put_lost(s, &r->told, out);
    sl_buf_put_str(out, ",\"lost_ever\":");
    put_lost(s, &(struct gap_lost){ 0 }, out);
    sl_buf_put_u8(out, '}');
}

void gap_report_told(struct gap_report *r, const struct outbox_stats *s)
{
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            r->told.count[lane][why] = s->lane[lane].loss[why].count;
    r->due = false;
}

void gap_lost_write(const struct gap_lost *lost, struct sl_buf *out)
{
    struct outbox_stats s = { 0 };
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            s.lane[lane].loss[why].count = lost->count[lane][why];
    put_lost(&s, &(struct gap_lost){ 0 }, out);
    sl_buf_put_u8(out, '\n');
}

void gap_lost_read(struct gap_lost *ret, struct sl_slice text)
{
    *ret = (struct gap_lost){ 0 };
    cJSON *root = cJSON_ParseWithLength((const char *)text.ptr, text.len);
    for (int lane = 0; lane < OUTBOX_LANES; lane++) {
        const cJSON *o =
            cJSON_GetObjectItemCaseSensitive(root, outbox_lane_name((enum outbox_lane)lane));
        for (int why = 0; why < OUTBOX_LOSSES; why++) {
            const cJSON *n =
                cJSON_GetObjectItemCaseSensitive(o, outbox_loss_name((enum outbox_loss)why));
            if (cJSON_IsNumber(n) && n->valuedouble > 0 && n->valuedouble < 9e15)
                ret->count[lane][why] = (uint64_t)n->valuedouble;
        }
    }
    cJSON_Delete(root);
}
