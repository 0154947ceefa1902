/* queue_ask.c - see queue_ask.h. Whoever finds neither a gateway that answers nor the folder free
 * has met one that starts or stops, and tries again for a while. */
#include "queue_ask.h"

#include "cli.h"
#include "control.h"
#include "lock.h"
#include "queue_row.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { WAIT_MS = 3000, NAP_MS = 50, PURGE_SECONDS = 3600 };

/* One question, by one way or the other. */
struct question {
    enum sl_code (*ask)(void *ctx, const char *data_dir, struct sl_err *err); /* the gateway */
    enum sl_code (*look)(void *ctx, const char *path, struct sl_err *err);    /* the database */
    enum lock_kind lock;
    void *ctx;
};

static enum sl_code look(const struct question *question, const char *data_dir, struct sl_err *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/queue.db", data_dir) >= (int)sizeof path)
        return sl_fail(err, SL_INVALID, "the path of data_dir is too long");
    enum sl_code rc = question->look(question->ctx, path, err);
    return rc == SL_NOTFOUND ? SL_OK : rc; /* nothing was ever stored */
}

static enum sl_code find_out(const struct question *question, const char *data_dir,
                             struct sl_err *err)
{
    const struct timespec nap = { .tv_nsec = NAP_MS * 1000000L };
    for (int i = 0; i < WAIT_MS / NAP_MS; i++) {
        SL_CLEANUP(sl_close_fd) int lock = -1;
        enum sl_code rc = question->ask(question->ctx, data_dir, err);
        if (rc != SL_NOTFOUND)
            return rc;
        if (lock_data_dir(data_dir, question->lock, &lock, err) != SL_BUSY)
            return look(question, data_dir, err); /* which says what is wrong with the folder */
        (void)nanosleep(&nap, NULL); /* cut short by a signal: asked again a little early */
    }
    return sl_fail(err, SL_BUSY,
                   "a gateway holds %s and does not answer: it is starting or stopping, or its "
                   "disk is full",
                   data_dir);
}

/* ---- pages ---- */

struct page {
    const struct queue_query *query;
    enum outbox_lane lane; /* OUTBOX_LANES for dead letters of all */
    uint64_t from, left;
    uint64_t rows, next; /* of this page; 0: nothing comes behind it */
    struct sl_buf out;
};

static uint32_t rows_wanted(const struct page *p)
{
    return (uint32_t)(p->left < CONTROL_PAGE_ROWS ? p->left : CONTROL_PAGE_ROWS);
}

static void take_line(void *ctx, const char *text)
{
    struct page *p = ctx;
    unsigned long long next;
    if (sscanf(text, "{\"next\":%llu}", &next) == 1) { /* NOLINT(cert-err34-c): of our own making */
        p->next = next;
        return;
    }
    p->rows++;
    (void)puts(text); /* checked once at the end */
}

static enum sl_code ask_page(void *ctx, const char *data_dir, struct sl_err *err)
{
    struct page *p = ctx;
    struct sl_buf request = { 0 };
    sl_buf_printf(&request,
                  "{\"cmd\":\"queue\",\"dead\":%s,\"full\":%s,\"limit\":%" PRIu32
                  ",\"from\":%" PRIu64,
                  p->query->dead ? "true" : "false", p->query->full ? "true" : "false",
                  rows_wanted(p), p->from);
    if (p->lane != OUTBOX_LANES)
        sl_buf_printf(&request, ",\"lane\":\"%s\"", outbox_lane_name(p->lane));
    sl_buf_put_str(&request, "}");
    enum sl_code rc =
        control_ask(data_dir, sl_buf_cstr(&request), CONTROL_ANSWER_SECONDS, take_line, p, err);
    sl_buf_free(&request);
    return rc;
}

static void take_row(void *ctx, const struct outbox_row *row)
{
    struct page *p = ctx;
    if (p->query->full)
        queue_row_full(row, &p->out);
    else
        queue_row_json(row, &p->out);
    sl_buf_put_u8(&p->out, '\n');
    p->rows++;
    p->next = row->position + 1;
}

/* Gathered first and printed when the database is closed again: whoever reads us may be slow, and
 * meanwhile no gateway could start. */
static enum sl_code look_at_page(void *ctx, const char *path, struct sl_err *err)
{
    struct page *p = ctx;
    struct outbox_list_request request = { .lane = p->lane,
                                           .dead = p->query->dead,
                                           .limit = rows_wanted(p),
                                           .from = p->from,
                                           .bytes_max = CONTROL_PAGE_BYTES,
                                           .seal_key = p->query->sealed ? p->query->seal_key : NULL,
                                           .row = take_row,
                                           .ctx = p };
    enum sl_code rc = outbox_list_file(path, &request, err);
    return p->out.failed ? sl_fail(err, SL_LIMIT, "a message is larger than 256 MiB") : rc;
}

static enum sl_code print_page(struct page *p, struct sl_err *err)
{
    const struct question question = {
        .ask = ask_page, .look = look_at_page, .lock = LOCK_SHARED, .ctx = p
    };
    p->rows = p->next = 0;
    enum sl_code rc = find_out(&question, p->query->data_dir, err);
    if (rc == SL_OK && p->out.len > 0)
        (void)fwrite(p->out.ptr, 1, p->out.len, stdout); /* checked once at the end */
    sl_buf_reset(&p->out);
    p->left -= p->rows < p->left ? p->rows : p->left;
    p->from = p->next;
    return rc;
}

static enum sl_code print_lane(const struct queue_query *q, enum outbox_lane lane, uint64_t *left,
                               struct sl_err *err)
{
    struct page p = { .query = q, .lane = lane, .left = *left };
    enum sl_code rc;
    do
        rc = print_page(&p, err);
    while (rc == SL_OK && p.next > 0 && p.left > 0 && !ferror(stdout));
    sl_buf_free(&p.out);
    *left = p.left;
    return rc;
}

int queue_print(const struct queue_query *q)
{
    struct sl_err err = { 0 };
    uint64_t left = q->limit;
    enum sl_code rc = SL_OK;
    if (q->dead || q->lane != OUTBOX_LANES)
        rc = print_lane(q, q->lane, &left, &err);
    else
        for (int i = 0; i < OUTBOX_LANES && rc == SL_OK && left > 0; i++)
            rc = print_lane(q, (enum outbox_lane)i, &left, &err);
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_error(CLI_FAIL, q->command, "standard output could not be written");
    return rc == SL_OK ? CLI_OK : cli_error(CLI_FAIL, q->command, "%s", err.text);
}

/* ---- throwing away ---- */

struct purging {
    const struct queue_query *query;
    struct outbox_purged purged;
};

static void take_counts(void *ctx, const char *text)
{
    struct purging *p = ctx;
    cJSON *json = cJSON_Parse(text);
    p->purged.messages =
        (uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(json, "messages"));
    p->purged.letters =
        (uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(json, "letters"));
    cJSON_Delete(json);
}

static enum sl_code ask_to_purge(void *ctx, const char *data_dir, struct sl_err *err)
{
    struct purging *p = ctx;
    const struct queue_query *q = p->query;
    struct sl_buf request = { 0 };
    sl_buf_printf(&request, "{\"cmd\":\"purge\",\"dead\":%s", q->dead ? "true" : "false");
    if (q->lane != OUTBOX_LANES)
        sl_buf_printf(&request, ",\"lane\":\"%s\"", outbox_lane_name(q->lane));
    if (q->limit != UINT64_MAX)
        sl_buf_printf(&request, ",\"limit\":%" PRIu64, q->limit);
    sl_buf_put_str(&request, "}");
    enum sl_code rc =
        control_ask(data_dir, sl_buf_cstr(&request), PURGE_SECONDS, take_counts, p, err);
    sl_buf_free(&request);
    return rc;
}

static enum sl_code purge_file(void *ctx, const char *path, struct sl_err *err)
{
    struct purging *p = ctx;
    const struct outbox_purge_request request = {
        .lanes = p->query->lane == OUTBOX_LANES ? OUTBOX_ALL_LANES : 1u << p->query->lane,
        .dead = p->query->dead,
        .limit = p->query->limit,
        .seal_key = p->query->sealed ? p->query->seal_key : NULL,
    };
    return outbox_purge_file(path, &request, &p->purged, err);
}

int queue_purge(const struct queue_query *q, struct outbox_purged *ret)
{
    struct sl_err err = { 0 };
    struct purging p = { .query = q };
    const struct question question = {
        .ask = ask_to_purge, .look = purge_file, .lock = LOCK_ALONE, .ctx = &p
    };
    enum sl_code rc = find_out(&question, q->data_dir, &err);
    *ret = p.purged;
    return rc == SL_OK ? CLI_OK : cli_error(CLI_FAIL, q->command, "%s", err.text);
}
