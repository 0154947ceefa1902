/* gap_report.c - outages and losses, as the cloud is told of them. No I/O. */
#include "gap_report.h"

#include "base/clock.h"
#include "base/text.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>

void gap_report_init(struct gap_report *r, int64_t mono_ms, int64_t wall_ms)
{
    *r = (struct gap_report){ .began_mono_ms = mono_ms, .now.from_ms = wall_ms, .away = true };
}

static bool is_up(enum bridge_state s)
{
    return s == BRIDGE_ONLINE || s == BRIDGE_STALLED || s == BRIDGE_DRAINING;
}

/* A clock that was set only during the outage: when that began is told by the other one. */
static int64_t began_at(const struct gap_report *r, int64_t mono_ms, int64_t wall_ms)
{
    bool set_since = r->now.from_ms < SL_WALL_PLAUSIBLE_MS && wall_ms >= SL_WALL_PLAUSIBLE_MS;
    return set_since ? wall_ms - (mono_ms - r->began_mono_ms) : r->now.from_ms;
}

/* A long one that was not told yet is not forgotten for a short one. */
static void end_outage(struct gap_report *r, bool lasted, int64_t mono_ms, int64_t wall_ms)
{
    r->now.from_ms = began_at(r, mono_ms, wall_ms);
    r->now.to_ms = wall_ms;
    if (lasted || !r->due)
        r->last = r->now;
    r->away = false;
    r->back = true;
    r->due |= lasted;
}

bool gap_report_follow(struct gap_report *r, const struct bridge_status *s, int64_t min_ms,
                       int64_t mono_ms, int64_t wall_ms)
{
    bool up = is_up(s->state);
    if (!up && !r->away) {
        r->away = true;
        r->began_mono_ms = mono_ms;
        r->now = (struct gap_outage){ .from_ms = wall_ms };
    }
    if (!up && !r->now.cause[0])
        (void)snprintf(r->now.cause, sizeof r->now.cause, "%s", s->cause); /* of the same size */
    if (!up || !r->away)
        return false;
    bool lasted = mono_ms - r->began_mono_ms >= min_ms;
    end_outage(r, lasted, mono_ms, wall_ms);
    return lasted;
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
    sl_buf_printf(out, ",\"from\":%" PRId64 ",\"to\":%" PRId64 ",\"cause\":", r->last.from_ms,
                  r->last.to_ms);
    sl_buf_put_json(out, sl_str(r->last.cause));
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

/* ---- what was told ---- */

static bool has_untold(const struct gap_report *r, const struct outbox_stats *s)
{
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            if (since(s->lane[lane].loss[why].count, r->told.count[lane][why]) > 0)
                return true;
    return false;
}

bool gap_report_wanted(struct gap_report *r, const struct outbox_stats *s, int64_t mono_ms)
{
    if (s->opening || r->off || r->waiting || mono_ms < r->next_ms)
        return false;
    r->back = r->back && has_untold(r, s);
    return r->due || r->back;
}

void gap_report_put(struct gap_report *r, const struct outbox_stats *s, int64_t next_ms)
{
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            r->telling.count[lane][why] = s->lane[lane].loss[why].count;
    r->waiting = true;
    r->of_outage = r->due;
    r->due = r->back = false;
    r->next_ms = next_ms;
}

void gap_report_safe(struct gap_report *r, bool safe)
{
    r->waiting = false;
    if (r->off)
        return;
    if (safe) {
        r->told = r->telling;
        r->note = true;
    } else {
        r->due |= r->of_outage;
        r->back = true;
    }
}

void gap_report_refused(struct gap_report *r)
{
    r->off = true;
    r->told = (struct gap_lost){ 0 };
    r->note = true;
}

bool gap_report_note_due(const struct gap_report *r, const struct outbox_stats *s)
{
    uint64_t sum = 0;
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            sum += r->told.count[lane][why];
    return r->note && s->lost_written >= sum; /* it only grows, so what was told is in it */
}

void gap_report_noted(struct gap_report *r)
{
    r->note = false;
}

/* ---- the file ---- */

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
