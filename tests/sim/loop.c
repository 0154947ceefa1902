/* loop.c - see loop.h. Lists are short: a handful of handles, tens of calls. */
#include "loop.h"

#include "fail.h"

#include <stdlib.h>
#include <string.h>

struct loop_timer {
    struct loop_timer *next;
    uv_timer_t *timer;
    uv_timer_cb fn;
    int64_t due_ms;
    uint64_t repeat_ms, order;
};

struct loop_call {
    struct loop_call *next; /* by time, then in the order in which they were asked for */
    void (*fn)(void *ctx);
    void *ctx;
    int64_t due_ms;
};

/* A started prepare, check or idle handle. */
struct loop_hook {
    struct loop_hook *next;
    uv_handle_t *handle;
    union {
        uv_prepare_cb prepare;
        uv_check_cb check;
        uv_idle_cb idle;
    } fn;
};

struct loop_closing {
    struct loop_closing *next;
    uv_handle_t *handle;
    uv_close_cb fn;
};

static struct loop *loop_of(const void *handle)
{
    return ((const uv_handle_t *)handle)->loop->data;
}

void loop_init(struct loop *l, uv_loop_t *uv, int64_t now_ms)
{
    *l = (struct loop){ .now_ms = now_ms };
    uv->data = l;
}

void loop_free(struct loop *l)
{
    must(!l->timers && !l->hooks && !l->calls && !l->closing);
}

/* ---- calls ---- */

void loop_later(struct loop *l, int64_t delay_ms, void (*fn)(void *ctx), void *ctx)
{
    struct loop_call *c = calloc(1, sizeof *c), **at = &l->calls;
    must(c && delay_ms >= 0);
    *c = (struct loop_call){ .fn = fn, .ctx = ctx, .due_ms = l->now_ms + delay_ms };
    while (*at && (*at)->due_ms <= c->due_ms)
        at = &(*at)->next;
    c->next = *at;
    *at = c;
}

/* Those that are asked for meanwhile wait for the next turn. */
static void run_calls(struct loop *l)
{
    struct loop_call *due = l->calls, **end = &due;
    while (*end && (*end)->due_ms <= l->now_ms)
        end = &(*end)->next;
    l->calls = *end;
    *end = NULL;
    while (due) {
        struct loop_call *c = due;
        due = c->next;
        c->fn(c->ctx);
        free(c);
    }
}

/* ---- timers ---- */

int uv_timer_init(uv_loop_t *loop, uv_timer_t *t)
{
    memset(t, 0, sizeof *t);
    t->loop = loop;
    t->type = UV_TIMER;
    return 0;
}

int uv_timer_stop(uv_timer_t *t)
{
    for (struct loop_timer **at = &loop_of(t)->timers; *at; at = &(*at)->next) {
        struct loop_timer *gone = *at;
        if (gone->timer != t)
            continue;
        *at = gone->next;
        free(gone);
        break;
    }
    return 0;
}

static void insert(struct loop *l, struct loop_timer *t)
{
    struct loop_timer **at = &l->timers;
    t->order = l->order++;
    while (*at && (*at)->due_ms <= t->due_ms)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
}

int uv_timer_start(uv_timer_t *t, uv_timer_cb fn, uint64_t timeout, uint64_t repeat)
{
    struct loop *l = loop_of(t);
    (void)uv_timer_stop(t); /* always 0 */
    struct loop_timer *entry = calloc(1, sizeof *entry);
    must(entry && fn);
    *entry = (struct loop_timer){
        .timer = t, .fn = fn, .due_ms = l->now_ms + (int64_t)timeout, .repeat_ms = repeat
    };
    t->timer_cb = fn;
    insert(l, entry);
    return 0;
}

static void run_timers(struct loop *l)
{
    uint64_t begun = l->order;
    while (l->timers && l->timers->due_ms <= l->now_ms && l->timers->order < begun) {
        struct loop_timer *t = l->timers;
        l->timers = t->next;
        uv_timer_t *timer = t->timer;
        uv_timer_cb fn = t->fn;
        if (t->repeat_ms > 0) {
            t->due_ms = l->now_ms + (int64_t)t->repeat_ms;
            insert(l, t);
        } else {
            free(t);
        }
        fn(timer);
    }
}

void uv_update_time(uv_loop_t *loop)
{
    (void)loop; /* now_ms is always right */
}

/* ---- prepare, check, idle ---- */

static int init(uv_loop_t *loop, void *handle, size_t size, uv_handle_type type)
{
    memset(handle, 0, size);
    ((uv_handle_t *)handle)->loop = loop;
    ((uv_handle_t *)handle)->type = type;
    return 0;
}

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *h)
{
    return init(loop, h, sizeof *h, UV_PREPARE);
}

int uv_check_init(uv_loop_t *loop, uv_check_t *h)
{
    return init(loop, h, sizeof *h, UV_CHECK);
}

int uv_idle_init(uv_loop_t *loop, uv_idle_t *h)
{
    return init(loop, h, sizeof *h, UV_IDLE);
}

static void unhook(void *handle)
{
    for (struct loop_hook **at = &loop_of(handle)->hooks; *at; at = &(*at)->next) {
        struct loop_hook *gone = *at;
        if (gone->handle != handle)
            continue;
        *at = gone->next;
        free(gone);
        break;
    }
}

static struct loop_hook *hook(void *handle)
{
    struct loop *l = loop_of(handle);
    unhook(handle);
    struct loop_hook *h = calloc(1, sizeof *h);
    must(h);
    h->handle = handle;
    h->next = l->hooks;
    l->hooks = h;
    return h;
}

int uv_prepare_start(uv_prepare_t *h, uv_prepare_cb fn)
{
    hook(h)->fn.prepare = fn;
    return 0;
}

int uv_check_start(uv_check_t *h, uv_check_cb fn)
{
    hook(h)->fn.check = fn;
    return 0;
}

int uv_idle_start(uv_idle_t *h, uv_idle_cb fn)
{
    hook(h)->fn.idle = fn;
    return 0;
}

int uv_idle_stop(uv_idle_t *h)
{
    unhook(h);
    return 0;
}

static void run_hooks(struct loop *l, uv_handle_type type)
{
    for (struct loop_hook *h = l->hooks, *next; h; h = next) {
        next = h->next;
        if (h->handle->type != type)
            continue;
        if (type == UV_PREPARE)
            h->fn.prepare((uv_prepare_t *)h->handle);
        else if (type == UV_CHECK)
            h->fn.check((uv_check_t *)h->handle);
        else
            h->fn.idle((uv_idle_t *)h->handle);
    }
}

static bool idle_is_on(const struct loop *l)
{
    for (const struct loop_hook *h = l->hooks; h; h = h->next)
        if (h->handle->type == UV_IDLE)
            return true;
    return false;
}

/* ---- closing ---- */

void uv_close(uv_handle_t *handle, uv_close_cb fn)
{
    struct loop *l = loop_of(handle);
    if (handle->type == UV_TIMER)
        (void)uv_timer_stop((uv_timer_t *)handle); /* always 0 */
    else
        unhook(handle);
    struct loop_closing *c = calloc(1, sizeof *c);
    must(c);
    *c = (struct loop_closing){ l->closing, handle, fn };
    l->closing = c;
}

static void run_closing(struct loop *l)
{
    struct loop_closing *all = l->closing;
    l->closing = NULL;
    while (all) {
        struct loop_closing *c = all;
        all = c->next;
        if (c->fn)
            c->fn(c->handle);
        free(c);
    }
}

/* ---- turns ---- */

int64_t loop_next(const struct loop *l)
{
    int64_t at = LOOP_NEVER;
    if (l->closing || idle_is_on(l))
        return l->now_ms;
    if (l->timers)
        at = l->timers->due_ms;
    if (l->calls && l->calls->due_ms < at)
        at = l->calls->due_ms;
    return at > l->now_ms ? at : l->now_ms;
}

void loop_turn(struct loop *l)
{
    run_timers(l);
    run_hooks(l, UV_IDLE);
    run_hooks(l, UV_PREPARE);
    run_calls(l);
    run_hooks(l, UV_CHECK);
    run_closing(l);
}
