/* outbox.c - the outbox on its loop: the core, a timer for it, and the SQLite disk.
 *
 * One timer does everything that is due, callbacks too: calls from outside only move it forward. */
#include "store/outbox.h"

#include "base/crypto.h"
#include "base/file.h"
#include "core.h"
#include "crc32.h"
#include "sqlite_disk.h"

#include <stdlib.h>

#define HANG_MS 4000 /* after this a writer that does not come back is left behind at closing */

struct outbox {
    struct core *core;
    struct sqlite_disk *disk;
    const struct sl_clock *clock;
    uv_timer_t timer;
    int64_t armed_at; /* when it fires, by the clock; INT64_MAX: it does not */
    int64_t hang_at;  /* only once closing */
    unsigned holds;   /* the timer and the disk, which the loop still points into */
    bool closing, ending;
    void (*closed)(void *ctx);
    void *ctx;
};

static void on_timer(uv_timer_t *timer);

static void arm(struct outbox *o)
{
    int64_t at = core_next_wake(o->core);
    if (o->closing && o->hang_at < at)
        at = o->hang_at;
    if (o->ending || at >= o->armed_at)
        return;
    int64_t now = sl_mono_ms(o->clock);
    uint64_t wait = at > now ? (uint64_t)(at - now) : 0;
    o->armed_at = at;
    (void)uv_timer_start(&o->timer, on_timer, wait, 0); /* fails only when closing */
}

/* ---- the end ---- */

static void release(struct outbox *o)
{
    if (--o->holds > 0)
        return;
    void (*closed)(void *) = o->closed;
    void *ctx = o->ctx;
    free(o);
    if (closed)
        closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_disk_closed(void *ctx)
{
    release(ctx);
}

static void end(struct outbox *o)
{
    o->ending = true;
    uv_close((uv_handle_t *)&o->timer, on_timer_closed);
    if (core_jobs_out(o->core) > 0) {
        sqlite_disk_abandon(o->disk, on_disk_closed); /* and the core, which the jobs lie in */
    } else {
        core_free(o->core);
        sqlite_disk_close(o->disk, on_disk_closed);
    }
    o->core = NULL;
    o->disk = NULL;
}

static void tick(struct outbox *o)
{
    if (o->ending)
        return;
    core_tick(o->core);
    if (o->closing && (core_is_closed(o->core) || sl_mono_ms(o->clock) >= o->hang_at))
        end(o);
    else
        arm(o);
}

static void on_timer(uv_timer_t *timer)
{
    struct outbox *o = timer->data;
    o->armed_at = INT64_MAX;
    tick(o);
}

/* What a finished commit allows, callbacks above all, is done in the same turn of the loop. */
static void on_job_back(void *ctx)
{
    tick(ctx);
}

/* ---- open and close ---- */

/* Tells this boot from others; 0 when the kernel does not say. */
static uint32_t boot_identity(void)
{
    struct sl_buf text = { 0 };
    uint32_t id = 0;
    if (sl_file_read("/proc/sys/kernel/random/boot_id", 256, &text, NULL) == SL_OK)
        id = crc32_add(0, text.ptr, text.len);
    sl_buf_free(&text);
    return id;
}

enum sl_code outbox_check_key(const char *path, const uint8_t *seal_key, struct sl_err *err)
{
    struct db_options db = { .path = path };
    db_set_key(&db, seal_key);
    enum sl_code code = db_check_key(&db, err);
    crypto_wipe(db.seal_key, sizeof db.seal_key);
    return code;
}

static enum sl_code open_parts(struct outbox *o, const struct outbox_options *options,
                               struct sl_err *err)
{
    struct db_options db = { .path = options->path,
                             .max_bytes = options->max_bytes,
                             .sync = options->sync,
                             .boot = boot_identity() };
    db_set_key(&db, options->seal_key);
    enum sl_code code = sqlite_disk_open(&o->disk, &db, options->loop, on_job_back, o, err);
    crypto_wipe(db.seal_key, sizeof db.seal_key);
    if (code != SL_OK)
        return code;
    o->core = core_new(options, sqlite_disk_interface(o->disk));
    if (o->core)
        return SL_OK;
    return sl_fail(err, SL_NOMEM, "outbox: out of memory");
}

enum sl_code outbox_open(struct outbox **ret, const struct outbox_options *options,
                         struct sl_err *err)
{
    struct outbox *o = calloc(1, sizeof *o);
    if (!o)
        return sl_fail(err, SL_NOMEM, "outbox: out of memory");
    o->clock = options->clock;
    o->armed_at = INT64_MAX;
    (void)uv_timer_init(options->loop, &o->timer); /* cannot fail */
    o->timer.data = o;
    o->holds = 1;
    enum sl_code code = open_parts(o, options, err);
    if (o->disk)
        o->holds++;
    if (code != SL_OK) {
        o->ending = true;
        uv_close((uv_handle_t *)&o->timer, on_timer_closed);
        if (o->disk)
            sqlite_disk_close(o->disk, on_disk_closed);
        return code;
    }
    arm(o);
    *ret = o;
    return SL_OK;
}

void outbox_close(struct outbox *o, void (*closed)(void *ctx), void *ctx)
{
    if (o->closing)
        return;
    o->closing = true;
    o->closed = closed;
    o->ctx = ctx;
    o->hang_at = sl_mono_ms(o->clock) + HANG_MS;
    core_close(o->core);
    arm(o);
}

/* ---- calls that go through ---- */

bool outbox_put(struct outbox *o, enum outbox_lane lane, struct sl_msg *m, outbox_safe_fn *on_safe,
                void *ctx)
{
    if (o->closing)
        return false;
    bool accepted = core_put(o->core, lane, m, on_safe, ctx);
    arm(o);
    return accepted;
}

void outbox_on_ready(struct outbox *o, void (*ready)(void *ctx), void *ctx)
{
    if (o->ending)
        return;
    core_on_ready(o->core, ready, ctx);
    arm(o);
}

void outbox_set_link(struct outbox *o, bool up)
{
    if (o->ending)
        return;
    core_set_link(o->core, up);
    arm(o);
}

struct outbox_item *outbox_take(struct outbox *o)
{
    if (o->closing)
        return NULL;
    struct outbox_item *item = core_take(o->core);
    arm(o);
    return item;
}

void outbox_tell_time(struct outbox *o)
{
    if (o->ending)
        return;
    core_tell_time(o->core);
    arm(o);
}

void outbox_ack(struct outbox *o, struct outbox_item *item)
{
    if (o->ending)
        return;
    core_ack(o->core, item);
    arm(o);
}

void outbox_dead(struct outbox *o, struct outbox_item *item, const char *reason)
{
    if (o->ending)
        return;
    core_dead(o->core, item, reason);
    arm(o);
}

void outbox_return_all(struct outbox *o)
{
    if (o->ending)
        return;
    core_return_all(o->core);
    arm(o);
}

bool outbox_pressed(const struct outbox *o)
{
    return !o->ending && core_wants_slower(o->core);
}

void outbox_get_stats(const struct outbox *o, struct outbox_stats *ret)
{
    *ret = (struct outbox_stats){ 0 };
    if (!o->ending)
        core_get_stats(o->core, ret);
}

enum sl_code outbox_list(struct outbox *o, const struct outbox_list_request *request)
{
    return o->ending ? SL_CLOSED : core_list(o->core, request);
}

enum sl_code outbox_purge(struct outbox *o, const struct outbox_purge_request *request)
{
    if (o->ending)
        return SL_CLOSED;
    enum sl_code code = core_purge(o->core, request);
    arm(o);
    return code;
}

const char *outbox_library_version(void)
{
    return db_library_version();
}
