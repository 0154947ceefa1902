/* core.c - the outbox's calls: put, take, settle, look; and the tick that does what is due. No I/O.
 */
#include "core_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMORY_DEFAULT     ((uint64_t)4 * 1024 * 1024)
#define READ_AHEAD_DEFAULT 256
/* Numbers of a fresh database begin at the wall clock's time times this, so that one that was lost
 * with all it knew is still followed by higher numbers (unless the clock went back, or the lane
 * took more than this many messages in every second of its life). Below 2^53 for JSON's sake. */
#define NUMBERS_PER_SECOND 65536

uint64_t core_first_number(const struct core *c)
{
    int64_t wall_ms = sl_wall_ms(c->options.clock);
    return wall_ms > 0 ? (uint64_t)wall_ms * NUMBERS_PER_SECOND / 1000 : 1;
}

struct core *core_new(const struct outbox_options *options, struct disk *disk)
{
    struct core *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->options = *options;
    c->options.loop = NULL;
    c->options.path = NULL;
    c->options.seal_key = NULL; /* the disk has it */
    if (c->options.memory_max_bytes == 0)
        c->options.memory_max_bytes = MEMORY_DEFAULT;
    if (c->options.read_ahead == 0)
        c->options.read_ahead = READ_AHEAD_DEFAULT;
    c->disk = disk;
    c->bytes_cap = options->max_bytes;
    c->group_rows = GROUP_ROWS_MAX;
    c->purge_rows = PURGE_ROWS_AT_ONCE;
    c->forget_at = INT64_MAX;
    c->retry_at = c->write_at = c->look_at = INT64_MIN;
    c->disk_ok = true; /* until the first open says otherwise */
    c->wake_now = true;
    uint64_t first = core_first_number(c);
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct lane *l = &c->lane[i];
        l->next = first;
        l->read_rows = calloc(DISK_READ_ROWS_MAX, sizeof *l->read_rows);
        if (!l->read_rows) {
            core_free(c);
            return NULL;
        }
    }
    return c;
}

static void free_list(struct entry_list *list)
{
    struct entry *next;
    for (struct entry *e = list->first; e; e = next) {
        next = e->next;
        sl_msg_unref(e->item.msg);
        free(e);
    }
}

void core_free(struct core *c)
{
    if (!c)
        return;
    assert(c->jobs_out == 0);
    while (c->calls_first) {
        struct entry *e = c->calls_first;
        c->calls_first = e->call_next;
        if (e->released)
            free(e);
    }
    for (int i = 0; i < OUTBOX_LANES; i++) {
        free_list(&c->lane[i].head);
        free_list(&c->lane[i].tail);
        free(c->lane[i].read_rows);
    }
    free_list(&c->letters);
    core_held_free(c);
    thin_topics_free(&c->thin.topics);
    free(c->thin.rows);
    free(c->gone.v);
    free(c->group.gone.v);
    free(c->group.rows);
    free(c);
}

/* ---- accepting ---- */

static struct entry *new_entry(struct core *c, enum outbox_lane lane, struct sl_msg *m,
                               outbox_safe_fn *on_safe, void *ctx)
{
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->item.msg = sl_msg_ref(m);
    e->item.lane = lane;
    e->on_safe = on_safe;
    e->ctx = ctx;
    e->accepted_ms = core_now(c);
    core_look_at_clock(c, e->accepted_ms);
    e->unsure = core_stamp_is_unsure(c, m);
    e->bytes = (uint32_t)disk_row_bytes(m);
    e->footprint = (uint32_t)(sizeof *e + sl_msg_size(m));
    return e;
}

/* Accepted and lost in one: there is no room for it. */
static void accept_lost(struct core *c, struct entry *e, enum outbox_loss why)
{
    c->lane[e->item.lane].accepted++;
    core_lose(c, e->item.lane, why, 1);
    if (core_gives_way(c, why))
        core_hold_call(c, e);
    core_call_safe(c, e, SL_LIMIT);
    core_release(c, e);
}

static void admit(struct core *c, struct entry *e)
{
    struct lane *l = &c->lane[e->item.lane];
    e->number = e->item.number = l->next++;
    entry_list_push(&l->tail, e);
    if (!l->tail_next)
        l->tail_next = e;
    l->accepted++;
    l->waiting++;
    l->waiting_bytes += e->bytes;
    c->bytes += e->bytes;
    c->memory += e->footprint;
    if (!c->link_up || c->ready_wanted || core_pressed(c))
        c->wake_now = true;
}

bool core_put(struct core *c, enum outbox_lane lane, struct sl_msg *m, outbox_safe_fn *on_safe,
              void *ctx)
{
    if (c->closing)
        return false;
    struct entry *e = new_entry(c, lane, m, on_safe, ctx);
    if (!e)
        return false;
    bool memory = core_make_memory(c, lane, e->footprint, on_safe != NULL);
    if (memory && core_make_room(c, lane, e->bytes)) {
        admit(c, e);
        return true;
    }
    if (c->options.when_full == OUTBOX_REFUSE) {
        core_release(c, e);
        return false;
    }
    accept_lost(c, e, memory ? core_full_loss(c) : core_memory_loss(c));
    return true;
}

/* ---- the sender's side ---- */

void core_on_ready(struct core *c, void (*ready)(void *ctx), void *ctx)
{
    c->ready = ready;
    c->ready_ctx = ctx;
    c->ready_wanted = true;
    c->wake_now = true;
}

void core_set_link(struct core *c, bool up)
{
    c->link_up = up;
    c->ready_wanted = c->ready_wanted || up;
    c->wake_now = true;
}

struct outbox_item *core_take(struct core *c)
{
    int64_t now = core_now(c);
    core_look_at_clock(c, now);
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct lane *l = &c->lane[i];
        struct entry *e;
        while ((e = lane_first_untaken(c, l)) && core_expired(c, e, now))
            core_drop(c, e, OUTBOX_LOST_AGE);
        if (core_read_wanted(c, l))
            c->wake_now = true;
        if (!e || core_purging(c, l))
            continue;
        lane_mark_taken(c, l, e);
        e->item.sender_data = NULL;
        e->item.wall_ms = core_wall_of(c, e);
        return &e->item;
    }
    c->ready_wanted = true;
    return NULL;
}

void core_tell_time(struct core *c)
{
    core_look_at_clock(c, core_now(c));
}

void core_ack(struct core *c, struct outbox_item *item)
{
    struct entry *e = entry_of(item);
    assert(e->taken);
    c->lane[item->lane].delivered++;
    core_settle(c, e, SL_OK);
}

/* The dead letter takes over the callback: it is due when the letter is committed. */
static bool write_letter(struct core *c, struct entry *e, const char *reason)
{
    if (c->letters.count >= LETTERS_WAIT_MAX)
        return false;
    struct letter *letter = calloc(1, sizeof *letter);
    if (!letter)
        return false;
    struct entry *copy = &letter->entry;
    copy->item = e->item;
    sl_msg_ref(copy->item.msg);
    copy->number = e->item.number;
    copy->unsure = e->unsure;
    if (!e->queued) { /* else it was safe already, and is about to be called */
        copy->on_safe = e->on_safe;
        copy->ctx = e->ctx;
        e->on_safe = NULL;
    }
    (void)snprintf(letter->reason, sizeof letter->reason, "%s", reason ? reason : "");
    entry_list_push(&c->letters, copy);
    core_forget_soon(c, c->options.commit_interval_ms);
    return true;
}

void core_dead(struct core *c, struct outbox_item *item, const char *reason)
{
    struct entry *e = entry_of(item);
    assert(e->taken);
    (void)write_letter(c, e, reason); /* without it the loss is counted all the same */
    core_lose(c, item->lane, OUTBOX_LOST_DEAD, 1);
    core_settle(c, e, SL_OK);
}

static void return_list(struct core *c, struct lane *l, struct entry_list *list)
{
    for (struct entry *e = list->first; e; e = e->next) {
        if (!e->taken)
            continue;
        e->taken = false;
        e->item.number = e->number;
        e->item.sender_data = NULL;
        c->in_flight--;
        if (list == &l->head) {
            l->ahead++;
            l->ahead_bytes += e->bytes;
        }
    }
}

void core_return_all(struct core *c)
{
    for (int i = 0; i < OUTBOX_LANES; i++) {
        struct lane *l = &c->lane[i];
        return_list(c, l, &l->head);
        return_list(c, l, &l->tail);
        l->head_next = l->head.first;
        l->tail_next = l->tail.first;
        while (l->tail_next && l->tail_next->gone)
            l->tail_next = l->tail_next->next;
    }
    assert(c->in_flight == 0);
    c->wake_now = true;
}

/* ---- looking ---- */

static int64_t oldest_of(const struct core *c, const struct lane *l)
{
    const struct entry *e = l->head.first ? l->head.first : l->tail.first;
    while (e && e->gone)
        e = e->next;
    return e ? core_wall_of(c, e) : 0;
}

static void lane_stats(const struct core *c, const struct lane *l, struct outbox_lane_stats *ret)
{
    ret->accepted = l->accepted;
    ret->delivered = l->delivered;
    ret->waiting = l->waiting;
    ret->lost = l->lost;
    ret->waiting_bytes = l->waiting_bytes;
    ret->on_disk = l->rows - l->forget;
    ret->oldest_wall_ms = oldest_of(c, l);
    for (int why = 0; why < OUTBOX_LOSSES; why++) {
        ret->loss[why].count = l->loss[why].count;
        ret->loss[why].first_ms = l->loss[why].first_ms;
        ret->loss[why].last_ms = l->loss[why].last_ms;
    }
}

static void say_disk_error(const struct core *c, struct outbox_stats *ret)
{
    static const char *const makes_room[] = {
        [OUTBOX_DROP_OLDEST] = "the oldest messages are dropped",
        [OUTBOX_DROP_NEWEST] = "new messages are lost",
        [OUTBOX_REFUSE] = "new messages are refused",
        [OUTBOX_THIN] = "old telemetry is thinned, then the oldest dropped",
    };
    ret->no_room = c->space == SPACE_SHORT;
    if (ret->no_room)
        (void)snprintf(ret->disk_error, sizeof ret->disk_error, "%.180s; until then %s",
                       c->disk_error, makes_room[c->options.when_full]);
    else if (c->kept > 0)
        (void)snprintf(ret->disk_error, sizeof ret->disk_error,
                       "%.140s; %" PRIu64 " messages on it wait until it can be written, and up to "
                       "%" PRIu64 " KiB in memory",
                       c->disk_error, c->kept, c->options.memory_max_bytes / 1024);
    else
        (void)snprintf(ret->disk_error, sizeof ret->disk_error,
                       "%.180s; up to %" PRIu64 " KiB wait in memory, retried every %d s",
                       c->disk_error, c->options.memory_max_bytes / 1024, RETRY_MS_MAX / 1000);
}

void core_get_stats(const struct core *c, struct outbox_stats *ret)
{
    *ret =
        (struct outbox_stats){ .thin_passes = c->thin.passes,
                               .in_flight = c->in_flight,
                               .commits = c->commits,
                               .rows_written = c->rows_written,
                               .bytes_written_estimate = c->bytes_written_before + c->bytes_written,
                               .syncs_estimate = c->syncs_before + c->syncs,
                               .dead = c->dead_rows + c->letters.count,
                               .file_bytes = c->file_bytes,
                               .lost_written = c->lost_written,
                               .opening = !c->tried,
                               .disk_ok = c->disk_ok };
    for (int i = 0; i < OUTBOX_LANES; i++) {
        lane_stats(c, &c->lane[i], &ret->lane[i]);
        for (const struct entry *e = c->lane[i].tail.first; e; e = e->next)
            ret->in_memory += !e->gone;
    }
    if (!c->disk_ok)
        say_disk_error(c, ret);
    ret->salvaged = c->salvaged;
    ret->kept = c->kept;
    memcpy(ret->set_aside, c->set_aside, sizeof ret->set_aside);
    memcpy(ret->set_aside_why, c->set_aside_why, sizeof ret->set_aside_why);
}

/* ---- time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t core_next_wake(const struct core *c)
{
    if (c->wake_now)
        return 0;
    int64_t at = earlier(core_open_at(c), earlier(core_expire_at(c), core_commit_at(c)));
    if (!c->time.sure)
        at = earlier(at, c->time.look_at);
    if (c->closing && c->disk_state < CORE_ENDING)
        at = earlier(at, c->close_by);
    for (int i = 0; i < OUTBOX_LANES; i++)
        if (core_read_wanted(c, &c->lane[i]))
            at = earlier(at, c->retry_at);
    return core_thin_due(c) ? earlier(at, c->retry_at) : at;
}

static bool something_to_take(const struct core *c)
{
    for (int i = 0; i < OUTBOX_LANES; i++)
        if (lane_first_untaken(c, &c->lane[i]))
            return true;
    return false;
}

static void call_ready(struct core *c)
{
    if (!c->ready || !c->ready_wanted || !c->link_up || c->closing || !something_to_take(c))
        return;
    c->ready_wanted = false;
    c->ready(c->ready_ctx);
}

/* Only those that are due now: what the callbacks bring about is for the next tick. */
static void call_back(struct core *c)
{
    struct entry *e = c->calls_first, *next;
    c->calls_first = c->calls_last = NULL;
    for (; e; e = next) {
        next = e->call_next;
        outbox_safe_fn *on_safe = e->on_safe;
        void *ctx = e->ctx;
        enum sl_code result = e->result;
        e->on_safe = NULL;
        e->queued = false;
        if (e->released)
            free(e);
        on_safe(ctx, result);
    }
}

void core_tick(struct core *c)
{
    int64_t now = core_now(c);
    c->wake_now = false;
    core_look_at_clock(c, now);
    if (c->closing)
        core_tick_close(c, now);
    core_start_open(c, now);
    core_expire(c, now);
    core_trim(c);
    core_tick_purge(c, now);
    core_start_commit(c, now);
    core_start_reads(c, now);
    core_start_thin(c, now);
    call_back(c);
    call_ready(c);
}
