/* gateway_gap.c - the gap report at work: when it is looked at, where it goes, what is remembered.
 */
#include "gateway.h"

#include "gap_note.h"

#include "base/log.h"

void gateway_gap_open(struct gateway *g)
{
    gap_report_init(&g->gap, sl_mono_ms(g->clock), sl_wall_ms(g->clock));
    gap_note_read(g->config->gateway.data_dir, &g->gap.told);
}

static void on_noted(void *ctx, const char *error)
{
    struct gateway *g = ctx;
    g->gap_noting = false;
    if (error)
        LOG_WARN("cloud", "%s: losses may be reported twice after a restart", error);
}

/* What fails only means that losses may be told twice. */
static void remember(struct gateway *g, const struct outbox_stats *s)
{
    if (g->gap_noting || !gap_report_note_due(&g->gap, s))
        return;
    g->gap_noting =
        gap_note_write(&g->loop, g->config->gateway.data_dir, &g->gap.told, on_noted, g);
    gap_report_noted(&g->gap);
}

static void on_report_safe(void *ctx, enum sl_code result)
{
    struct gateway *g = ctx;
    gap_report_safe(&g->gap, result == SL_OK);
}

static bool put_report(struct gateway *g, const struct outbox_stats *s)
{
    struct sl_buf json = { 0 };
    gap_report_json(&g->gap, g->config->gateway.id, s, &json);
    struct sl_msg_parts parts = { .topic = sl_str(g->config->cloud.report_topic),
                                  .payload = sl_buf_slice(&json),
                                  .expiry_s = SL_MSG_NO_EXPIRY,
                                  .qos = 1,
                                  .mono_ms = sl_mono_ms(g->clock),
                                  .wall_ms = sl_wall_ms(g->clock) };
    struct sl_msg *m = json.failed ? NULL : sl_msg_new(&parts);
    bool put = m && outbox_put(g->outbox, OUTBOX_ALERT, m, on_report_safe, g);
    sl_msg_unref(m);
    sl_buf_free(&json);
    return put;
}

/* Without room in the store, or while it opens, it is tried again in a second. */
void gateway_gap_tick(struct gateway *g, const struct outbox_stats *s)
{
    int64_t now = sl_mono_ms(g->clock);
    remember(g, s);
    if (!g->config->cloud.report_topic[0] || !gap_report_wanted(&g->gap, s, now) ||
        !put_report(g, s))
        return;
    gap_report_put(&g->gap, s, now + g->config->cloud.report_after_ms);
}

void gateway_gap_follow(struct gateway *g, const struct bridge_status *s)
{
    gap_report_follow(&g->gap, s, g->config->cloud.report_after_ms, sl_mono_ms(g->clock),
                      sl_wall_ms(g->clock));
}

void gateway_gap_refused(struct gateway *g, const struct sl_msg *m, const char *reason)
{
    const char *topic = g->config->cloud.report_topic;
    if (g->gap.off || !sl_slice_eq(sl_msg_topic(m), sl_str(topic)))
        return;
    gap_report_refused(&g->gap);
    LOG_WARN("cloud",
             "the report of an outage was refused (%s): no more are sent until the next start; "
             "allow the gateway to publish on %s, or set cloud.report_topic",
             reason, topic);
}
