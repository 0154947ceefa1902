/* state.c - the state on its loop: calls from outside, one timer for all that is due. */
#include "state_private.h"

#include "base/crypto.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define CLOSE_MS_MAX    3000
#define HANG_MS         4000 /* after this a writer that does not come back is left behind */
#define LAZY_MS_DEFAULT 5000
#define MEMORY_DEFAULT  ((uint64_t)16 * 1024 * 1024)

static const char *const kind_names[STATE_KINDS] = {
    [STATE_META] = "meta",
    [STATE_SESSION] = "session",
    [STATE_SUBSCRIPTION] = "subscription",
    [STATE_DELIVERY] = "delivery",
    [STATE_RECEIVED] = "received",
    [STATE_RETAINED] = "retained",
};

const char *state_kind_name(enum state_kind kind)
{
    return (unsigned)kind < STATE_KINDS ? kind_names[kind] : "unknown";
}

/* ---- the timer ---- */

static void on_timer(uv_timer_t *timer)
{
    struct state *s = timer->data;
    s->armed_at = INT64_MAX;
    state_tick(s);
}

void state_arm(struct state *s)
{
    int64_t at = state_due_at(s);
    if (s->hangs || s->phase == STATE_ENDED || at >= s->armed_at)
        return;
    int64_t now = state_now(s);
    uint64_t wait = at > now ? (uint64_t)(at - now) : 0;
    s->armed_at = at > now ? at : now;
    (void)uv_timer_start(&s->timer, on_timer, wait, 0); /* fails only when closing */
}

/* ---- the end ---- */

static void release(struct state *s)
{
    if (--s->holds > 0)
        return;
    void (*closed)(void *) = s->closed;
    void *ctx = s->closed_ctx;
    if (!s->hangs) { /* else the thread still uses it */
        state_batch_free(s->batch);
        state_batch_free(s->out);
        state_wait_free(&s->wait);
        free(s->path);
        crypto_wipe(s->seal_key, sizeof s->seal_key);
        free(s);
    }
    if (closed)
        closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_writer_closed(void *ctx)
{
    release(ctx);
}

/* Whoever waits must be told before: the thread may hold what they wait for for ever. */
static void leave_behind(struct state *s)
{
    struct state_waiter w;
    s->hangs = true;
    while (state_wait_take(&s->wait, UINT64_MAX, &w))
        w.fn(w.ctx, w.code == SL_OK ? SL_IO : w.code);
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
    writer_abandon(s->writer, on_writer_closed);
}

void state_tick(struct state *s)
{
    if (s->hangs)
        return;
    state_do_due(s);
    if (s->phase == STATE_ENDED) {
        uv_close((uv_handle_t *)&s->timer, on_timer_closed);
        writer_close(s->writer, on_writer_closed);
    } else if (s->closing && s->job_out && state_now(s) >= s->hang_at) {
        leave_behind(s);
    } else {
        state_arm(s);
    }
}

/* ---- open and close ---- */

static void on_back(void *ctx, struct job_link *link)
{
    struct state *s = ctx;
    (void)link;
    if (s->hangs)
        return;
    state_job_back(s);
    state_tick(s);
}

static void on_bad_row(void *ctx, enum state_kind kind, struct sl_slice key)
{
    struct state *s = ctx;
    if (!state_remove(s, kind, key)) {
        /* then it is found again at the next start */
    }
}

/* Whatever the disk does, the state opens. */
static void first_open(struct state *s)
{
    struct state_db_open open = { .wall_ms = sl_wall_ms(s->options.clock),
                                  .seal_key = s->options.seal_key };
    struct sl_err err;
    enum sl_code code = state_db_open(&s->db, s->path, s->options.sync, &open, &err);
    state_note_open(s, &open);
    if (code == SL_OK) {
        s->disk_ok = true;
        s->db_id = open.id;
        state_db_get_stats(s->db, &s->db_stats);
    } else {
        state_fail(s, code, err.text);
        s->set_aside_next = false; /* it was tried; what is found later is set aside in any case */
    }
}

static enum sl_code open_parts(struct state *s, struct sl_err *err)
{
    s->path = strdup(s->options.path);
    s->batch = state_batch_new();
    s->out = state_batch_new();
    if (!s->path || !s->batch || !s->out)
        return sl_fail(err, SL_NOMEM, "state: out of memory");
    s->options.path = s->path;
    struct writer_options writer = { .loop = s->options.loop,
                                     .run = state_run_job,
                                     .upkeep = state_run_upkeep,
                                     .back = on_back,
                                     .ctx = s };
    return writer_open(&s->writer, &writer, err);
}

enum sl_code state_open(struct state **ret, const struct state_options *options, struct sl_err *err)
{
    struct state *s = calloc(1, sizeof *s);
    if (!s)
        return sl_fail(err, SL_NOMEM, "state: out of memory");
    s->options = *options;
    if (options->seal_key) {
        memcpy(s->seal_key, options->seal_key, sizeof s->seal_key);
        s->options.seal_key = s->seal_key;
    }
    if (s->options.lazy_interval_ms <= 0)
        s->options.lazy_interval_ms = LAZY_MS_DEFAULT;
    if (s->options.memory_max_bytes == 0)
        s->options.memory_max_bytes = MEMORY_DEFAULT;
    s->armed_at = INT64_MAX;
    s->last_start = INT64_MIN / 2;
    s->number = 1;
    s->damage.bad_row = on_bad_row;
    s->damage.ctx = s;
    (void)uv_timer_init(options->loop, &s->timer); /* cannot fail */
    s->timer.data = s;
    s->holds = 1;
    enum sl_code code = open_parts(s, err);
    if (code != SL_OK) {
        uv_close((uv_handle_t *)&s->timer, on_timer_closed);
        return code;
    }
    s->holds++;
    first_open(s);
    state_arm(s);
    *ret = s;
    return SL_OK;
}

enum sl_code state_check_key(const char *path, const uint8_t *seal_key, struct sl_err *err)
{
    return state_db_check_key(path, seal_key, err);
}

enum sl_code state_seal(const char *path, const uint8_t *seal_key, struct state_sealed *ret,
                        struct sl_err *err)
{
    return state_db_seal(path, seal_key, &ret->done, &ret->lost, err);
}

void state_close(struct state *s, void (*closed)(void *ctx), void *ctx)
{
    if (s->closing)
        return;
    s->closing = true;
    s->closed = closed;
    s->closed_ctx = ctx;
    s->close_by = state_now(s) + CLOSE_MS_MAX;
    s->hang_at = state_now(s) + HANG_MS;
    state_arm(s);
}

enum sl_code state_load(struct state *s, enum state_kind kind, state_visit_fn *visit, void *ctx,
                        struct sl_err *err)
{
    if (s->started)
        return sl_fail(err, SL_BUSY, "%s: is read at the start only", s->path);
    if (!s->db)
        return SL_OK; /* disk_error says why there is nothing */
    enum sl_code code = state_db_load(s->db, kind, visit, ctx, &s->damage, err);
    s->damaged = s->damaged || s->damage.places > 0;
    state_db_get_stats(s->db, &s->db_stats);
    state_arm(s);
    return code;
}

/* ---- changes ---- */

/* How much the batch may take; 0: nothing is taken now. */
static uint64_t room(const struct state *s)
{
    if (s->phase != STATE_WORKING || s->closing)
        return 0;
    if (s->resyncing || s->anew)
        return UINT64_MAX;
    uint64_t out = state_batch_bytes(s->out), max = s->options.memory_max_bytes;
    return out < max ? max - out : 0;
}

/* After a change was asked for. `before`: what the batch took then. */
static bool note(struct state *s, bool taken, uint64_t before)
{
    if (!taken) {
        if (s->phase == STATE_WORKING && !s->closing) {
            state_fail(s, SL_LIMIT,
                       "more waits to be written than memory may hold: the disk is too slow");
            state_arm(s);
        }
        return false;
    }
    uint64_t eager = s->options.memory_max_bytes / STATE_EAGER_SHARE,
             now = state_batch_bytes(s->batch);
    if (before == 0)
        s->batch_since = state_now(s);
    if (before == 0 || (before < eager && now >= eager))
        state_arm(s);
    return true;
}

bool state_put(struct state *s, enum state_kind kind, struct sl_slice key, struct sl_slice head,
               struct sl_slice tail)
{
    uint64_t before = state_batch_bytes(s->batch), max = room(s);
    return note(s, max > 0 && state_batch_put(s->batch, kind, key, head, tail, max), before);
}

bool state_remove(struct state *s, enum state_kind kind, struct sl_slice key)
{
    uint64_t before = state_batch_bytes(s->batch), max = room(s);
    return note(s, max > 0 && state_batch_remove(s->batch, kind, key, max), before);
}

bool state_remove_range(struct state *s, enum state_kind kind, struct sl_slice from,
                        struct sl_slice to)
{
    uint64_t before = state_batch_bytes(s->batch), max = room(s);
    return note(s, max > 0 && state_batch_remove_range(s->batch, kind, from, to, max), before);
}

/* ---- waiting ---- */

bool state_when_safe(struct state *s, state_safe_fn *fn, void *ctx)
{
    bool gathers = s->anew || state_batch_count(s->batch) > 0;
    struct state_waiter w = { fn, ctx, gathers ? s->number : s->number - 1, SL_OK };
    if (s->phase >= STATE_ENDING || s->hangs)
        w.code = SL_CLOSED;
    else if (s->phase != STATE_WORKING)
        w.code = SL_IO;
    if (!state_wait_add(&s->wait, &w))
        return false;
    if (!gathers || !s->waited) {
        s->waited = s->waited || gathers;
        state_arm(s);
    }
    return true;
}

uint64_t state_waiting_bytes(const struct state *s)
{
    return state_batch_bytes(s->batch) + state_batch_bytes(s->out);
}

void state_get_stats(const struct state *s, struct state_stats *ret)
{
    const struct state_db_stats *db = &s->db_stats;
    *ret = (struct state_stats){ .log_bytes = db->log_bytes,
                                 .commits = s->commits,
                                 .changes_written = s->changes_before + db->changes_written,
                                 .bytes_written_estimate = s->written_before + db->bytes_written,
                                 .syncs_estimate = s->syncs_before + db->syncs,
                                 .file_bytes = db->file_bytes,
                                 .waiting_bytes = state_waiting_bytes(s),
                                 .waiting_changes =
                                     state_batch_count(s->batch) + state_batch_count(s->out),
                                 .bad_rows = s->damage.rows + db->bad_log_rows,
                                 .bad_places = s->damage.places,
                                 .resyncs = s->resyncs,
                                 .disk_ok = s->disk_ok };
    memcpy(ret->rows, db->rows, sizeof ret->rows);
    memcpy(ret->disk_error, s->disk_error, sizeof ret->disk_error);
    memcpy(ret->set_aside, s->set_aside, sizeof ret->set_aside);
    memcpy(ret->set_aside_why, s->set_aside_why, sizeof ret->set_aside_why);
}
