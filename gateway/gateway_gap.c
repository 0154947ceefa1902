/* gateway_gap.c - the gap report at work: when it is made, where it goes, what is remembered. */
#include "gateway.h"

#include "base/file.h"
#include "base/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define TOLD_FILE_MAX ((size_t)16 * 1024)

static bool told_path(const struct gateway *g, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/reported.json", g->config->gateway.data_dir);
    return n > 0 && (size_t)n < size;
}

void gateway_gap_open(struct gateway *g)
{
    char path[PATH_MAX];
    struct sl_buf text = { 0 };
    gap_report_init(&g->gap, sl_mono_ms(g->clock), sl_wall_ms(g->clock));
    if (told_path(g, path, sizeof path) && sl_file_read(path, TOLD_FILE_MAX, &text, NULL) == SL_OK)
        gap_lost_read(&g->gap.told, sl_buf_slice(&text));
    sl_buf_free(&text);
}

/* The file is written away from the loop: an old card takes its time for a sync. */
struct note {
    uv_work_t req;
    struct gateway *gateway;
    struct sl_buf text;
    struct sl_err err;
    enum sl_code result;
    char path[PATH_MAX];
};

static void write_note(uv_work_t *req)
{
    struct note *n = req->data;
    n->result = sl_file_replace(n->path, sl_buf_slice(&n->text), 0640, &n->err);
}

static void on_note_written(uv_work_t *req, int status)
{
    struct note *n = req->data;
    n->gateway->gap_noting = false;
    if (status == 0 && n->result != SL_OK)
        LOG_WARN("cloud", "%s: losses may be reported twice after a restart", n->err.text);
    sl_buf_free(&n->text);
    free(n);
}

/* One at a time. What fails, or finds one under way, only means that losses may be told twice. */
static void remember(struct gateway *g)
{
    struct note *n = g->gap_noting ? NULL : calloc(1, sizeof *n);
    if (!n)
        return;
    n->req.data = n;
    n->gateway = g;
    gap_lost_write(&g->gap.told, &n->text);
    if (!n->text.failed && told_path(g, n->path, sizeof n->path) &&
        uv_queue_work(&g->loop, &n->req, write_note, on_note_written) == 0) {
        g->gap_noting = true;
        return;
    }
    sl_buf_free(&n->text);
    free(n);
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
    bool put = m && outbox_put(g->outbox, OUTBOX_ALERT, m, NULL, NULL);
    sl_msg_unref(m);
    sl_buf_free(&json);
    return put;
}

/* Without room in the store, or while it opens, it is tried again in a second. */
void gateway_gap_tick(struct gateway *g, const struct outbox_stats *s)
{
    if (!g->gap.due || s->opening || !put_report(g, s))
        return;
    gap_report_told(&g->gap, s);
    remember(g);
}

void gateway_gap_follow(struct gateway *g, const struct bridge_status *s)
{
    bool ended = gap_report_follow(&g->gap, s, g->config->cloud.report_after_ms,
                                   sl_mono_ms(g->clock), sl_wall_ms(g->clock));
    if (ended && !g->gap.off && g->config->cloud.report_topic[0])
        g->gap.due = true;
}

void gateway_gap_refused(struct gateway *g, const struct sl_msg *m, const char *reason)
{
    const char *topic = g->config->cloud.report_topic;
    if (g->gap.off || !sl_slice_eq(sl_msg_topic(m), sl_str(topic)))
        return;
    g->gap.off = true;
    LOG_WARN("cloud",
             "the report of an outage was refused (%s): no more are sent until the next start; "
             "allow the gateway to publish on %s, or set cloud.report_topic",
             reason, topic);
}
