/* control_queue.c - what is asked of the store over the control socket: a page of what waits, and
 * throwing away. */
#include "control_private.h"

#include "gateway.h"
#include "queue_row.h"

#include "base/log.h"

#include <inttypes.h>

#define NUMBER_MAX 9007199254740991.0 /* what JSON's numbers hold exactly */

static bool take_lane(struct control_client *cl, const cJSON *request, enum outbox_lane *ret)
{
    const char *lane = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "lane"));
    *ret = OUTBOX_LANES;
    if (!lane || outbox_lane_parse(sl_str(lane), ret))
        return true;
    control_answer_error(cl, "unknown lane: use alert, normal or telemetry");
    return false;
}

static uint64_t take_number(const cJSON *request, const char *key, uint64_t otherwise)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(request, key);
    bool fits = cJSON_IsNumber(v) && v->valuedouble >= 1 && v->valuedouble <= NUMBER_MAX;
    return fits ? (uint64_t)v->valuedouble : otherwise;
}

/* ---- a page ---- */

static void on_row(void *ctx, const struct outbox_row *row)
{
    struct control_client *cl = ctx;
    if (cl->closing)
        return;
    if (cl->full)
        queue_row_full(row, &cl->out);
    else
        queue_row_json(row, &cl->out);
    sl_buf_put_u8(&cl->out, '\n');
    cl->next_position = row->position == OUTBOX_POSITION_LAST ? 0 : row->position + 1;
}

static void on_list_done(void *ctx, enum sl_code code, const char *error)
{
    struct control_client *cl = ctx;
    if (!control_waited(cl))
        return;
    if (code != SL_OK) {
        control_answer_error(cl, error ? error : sl_code_name(code));
        return;
    }
    if (cl->paged && cl->next_position > 0)
        sl_buf_printf(&cl->out, "{\"next\":%" PRIu64 "}\n", cl->next_position);
    sl_buf_put_str(&cl->out, "{\"end\":true}\n");
    control_answer(cl);
}

void control_queue(struct control_client *cl, struct gateway *g, const cJSON *request)
{
    struct outbox_list_request list = { .from = take_number(request, "from", 0),
                                        .bytes_max = CONTROL_PAGE_BYTES,
                                        .row = on_row,
                                        .done = on_list_done,
                                        .ctx = cl };
    uint64_t limit = take_number(request, "limit", CONTROL_PAGE_ROWS);
    list.limit = (uint32_t)(limit < CONTROL_PAGE_ROWS ? limit : CONTROL_PAGE_ROWS);
    list.dead = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "dead"));
    if (!take_lane(cl, request, &list.lane))
        return;
    cl->paged = list.dead || list.lane != OUTBOX_LANES;
    cl->full = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "full"));
    cl->waiting = true;
    if (outbox_list(g->outbox, &list) == SL_OK)
        return;
    cl->waiting = false;
    control_answer_error(cl, "the store cannot be asked now: try again");
}

/* ---- throwing away ---- */

static void on_purged(void *ctx, enum sl_code code, const char *error,
                      const struct outbox_purged *purged)
{
    struct control_client *cl = ctx;
    LOG_INFO("store", "purged by hand: %" PRIu64 " messages, %" PRIu64 " dead letters%s%s",
             purged->messages, purged->letters, error ? "; then " : "", error ? error : "");
    if (!control_waited(cl))
        return;
    sl_buf_printf(&cl->out, "{\"messages\":%" PRIu64 ",\"letters\":%" PRIu64 "}\n",
                  purged->messages, purged->letters);
    if (code == SL_OK) {
        sl_buf_put_str(&cl->out, "{\"end\":true}\n");
        control_answer(cl);
    } else {
        control_answer_error(cl, error);
    }
}

void control_purge(struct control_client *cl, struct gateway *g, const cJSON *request)
{
    enum outbox_lane lane;
    if (!take_lane(cl, request, &lane))
        return;
    struct outbox_purge_request purge = {
        .lanes = lane == OUTBOX_LANES ? OUTBOX_ALL_LANES : 1u << lane,
        .dead = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "dead")),
        .limit = take_number(request, "limit", UINT64_MAX),
        .done = on_purged,
        .ctx = cl,
    };
    cl->waiting = true;
    if (outbox_purge(g->outbox, &purge) == SL_OK)
        return;
    cl->waiting = false;
    control_answer_error(cl, "the store is busy, with another purge say: try again");
}
