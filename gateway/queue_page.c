/* queue_page.c - a page of the queue: one listing of the store after the other, as many lanes as it
 * takes.
 *
 * A row's key is LANE/NUMBER, the end of its sluice-id; a dead letter's is its place in their
 * table. Both only grow, so that pages neither repeat nor skip what stays, whatever leaves
 * meanwhile. */
#include "queue_page.h"

#include "queue_row.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>

#define PAGE_BYTES ((uint64_t)512 * 1024)    /* of messages; one may be larger than that */
#define JSON_MAX   ((size_t)8 * 1024 * 1024) /* of the page */

struct page {
    struct outbox *outbox;
    enum outbox_lane lane, last; /* the one that is read, and the last one */
    bool dead;
    uint32_t left;
    uint64_t from, bytes_left;
    struct sl_buf json;
    web_queue_fn *done;
    void *done_ctx;
};

static void end(struct page *p, const char *error)
{
    sl_buf_put_u8(&p->json, ']');
    if (!error && p->json.failed)
        error = "the page does not fit into memory: ask for fewer rows";
    p->done(p->done_ctx, error ? NULL : &p->json, error);
    sl_buf_free(&p->json);
    free(p);
}

static void on_row(void *ctx, const struct outbox_row *row)
{
    struct page *p = ctx;
    uint64_t bytes = row->topic.len + row->props.len + row->payload.len;
    p->bytes_left -= bytes < p->bytes_left ? bytes : p->bytes_left;
    p->left -= p->bytes_left > 0 ? 1 : p->left;
    if (p->json.len > 1)
        sl_buf_put_u8(&p->json, ',');
    if (p->dead)
        sl_buf_printf(&p->json, "{\"key\":\"%" PRIu64 "\",", row->position);
    else
        sl_buf_printf(&p->json, "{\"key\":\"%s/%" PRIu64 "\",", outbox_lane_name(row->lane),
                      row->number);
    queue_row_members(row, &p->json);
    sl_buf_put_u8(&p->json, '}');
}

static enum sl_code read_lane(struct page *p);

static void on_lane(void *ctx, enum sl_code code, const char *error)
{
    struct page *p = ctx;
    if (code == SL_OK && p->left > 0 && p->lane < p->last) {
        p->lane++;
        p->from = 0;
        if ((code = read_lane(p)) == SL_OK)
            return;
    }
    end(p, code == SL_OK ? NULL : error ? error : "the store cannot be asked now: try again");
}

static enum sl_code read_lane(struct page *p)
{
    struct outbox_list_request request = { .lane = p->lane,
                                           .dead = p->dead,
                                           .limit = p->left,
                                           .from = p->from,
                                           .bytes_max = p->bytes_left,
                                           .row = on_row,
                                           .done = on_lane,
                                           .ctx = p };
    return outbox_list(p->outbox, &request);
}

/* ---- what is asked for ---- */

/* from: of the row that comes next. */
static bool parse_number(struct sl_slice text, uint64_t *ret_from)
{
    uint64_t number;
    if (!sl_u64_parse(text, &number))
        return false;
    *ret_from = number == UINT64_MAX ? number : number + 1;
    return true;
}

static bool parse_key(struct sl_slice key, enum outbox_lane *ret_lane, uint64_t *ret_from)
{
    const uint8_t *slash = memchr(key.ptr, '/', key.len);
    if (!slash)
        return false;
    size_t n = (size_t)(slash - key.ptr);
    return outbox_lane_parse(sl_bytes(key.ptr, n), ret_lane) &&
           parse_number(sl_bytes(slash + 1, key.len - n - 1), ret_from);
}

static enum sl_code take_ask(struct page *p, const struct web_queue_ask *ask, struct sl_err *err)
{
    enum outbox_lane lane = OUTBOX_LANES, first = OUTBOX_LANES;
    if (ask->lane.len > 0 && !outbox_lane_parse(ask->lane, &lane))
        return sl_fail(err, SL_INVALID, "lane is alert, normal or telemetry");
    if (ask->after.len > 0 &&
        !(p->dead ? parse_number(ask->after, &p->from) : parse_key(ask->after, &first, &p->from)))
        return sl_fail(err, SL_INVALID, "after is the key of a row");
    if (p->dead) { /* one table, in the order in which they died */
        p->lane = p->last = lane;
        return SL_OK;
    }
    p->lane = lane == OUTBOX_LANES ? OUTBOX_ALERT : lane;
    p->last = lane == OUTBOX_LANES ? (enum outbox_lane)(OUTBOX_LANES - 1) : lane;
    if (first == OUTBOX_LANES)
        return SL_OK;
    if (first < p->lane || first > p->last)
        return sl_fail(err, SL_INVALID, "after is the key of a row of another lane");
    p->lane = first;
    return SL_OK;
}

enum sl_code queue_page(struct outbox *o, const struct web_queue_ask *ask, web_queue_fn *done,
                        void *done_ctx, struct sl_err *err)
{
    struct page *p = calloc(1, sizeof *p);
    if (!p)
        return sl_fail(err, SL_NOMEM, "out of memory");
    *p = (struct page){ .outbox = o,
                        .dead = ask->dead,
                        .left = ask->limit,
                        .bytes_left = PAGE_BYTES,
                        .json = { .max = JSON_MAX },
                        .done = done,
                        .done_ctx = done_ctx };
    sl_buf_put_u8(&p->json, '[');
    enum sl_code rc = take_ask(p, ask, err);
    if (rc == SL_OK && (rc = read_lane(p)) != SL_OK)
        (void)sl_fail(err, rc, "the store cannot be asked now: try again");
    if (rc != SL_OK) {
        sl_buf_free(&p->json);
        free(p);
    }
    return rc;
}
