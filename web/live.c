/* live.c - the live WebSocket: the status to every viewer about once a second, and the messages
 * that a viewer asked to watch.
 *
 * Never waits for a viewer: each has a bounded queue of messages (what does not fit is counted and
 * the viewer is told) and one place for the newest status, which replaces one that is still
 * waiting. */
#include "web_private.h"

#include "base/text.h"
#include "base/topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS          900 /* "at least once a second" */
#define QUEUE_MAX        256 /* texts waiting for one viewer */
#define QUEUE_BYTES_MAX  ((size_t)1024 * 1024)
#define STATUS_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define COMMANDS_A_TICK  8

struct live_watch {
    struct live_client *owner;
    char *filter;
    void *handle; /* what view.watch() gave */
};

struct live_client {
    struct live_client *prev, *next;
    struct web *w;
    struct lws *wsi;
    char user[INPUT_USER_MAX + 1];
    struct live_watch watches[INPUT_FILTERS_MAX];
    unsigned watch_count;
    struct web_text *queue[QUEUE_MAX]; /* a ring */
    unsigned at, waiting;
    size_t waiting_bytes;
    struct web_text *status;
    uint64_t dropped; /* since it was last told */
    unsigned commands;
    uint8_t command[INPUT_COMMAND_MAX]; /* gathers fragments */
    size_t command_len;
};

/* ---- texts ---- */

static struct web_text *text_new(struct sl_slice bytes)
{
    struct web_text *t = malloc(sizeof *t + bytes.len);
    if (!t)
        return NULL;
    t->refs = 1;
    t->len = bytes.len;
    memcpy(t->room + LWS_PRE, bytes.ptr, bytes.len);
    return t;
}

static void text_unref(struct web_text *t)
{
    if (t && --t->refs == 0)
        free(t);
}

/* The scratch buffer's content as a text; NULL when it did not fit or memory is out. */
static struct web_text *text_take(struct sl_buf *b)
{
    struct web_text *t = b->failed ? NULL : text_new(sl_buf_slice(b));
    sl_buf_reset(b);
    return t;
}

static struct sl_buf *scratch(struct web *w, size_t max)
{
    sl_buf_reset(&w->live.scratch);
    w->live.scratch.max = max;
    return &w->live.scratch;
}

/* ---- the queue ---- */

/* Takes t over; t may be NULL (memory is out), which counts as dropped. */
static void enqueue(struct live_client *c, struct web_text *t)
{
    if (!t || c->waiting == QUEUE_MAX || c->waiting_bytes + t->len > QUEUE_BYTES_MAX) {
        text_unref(t);
        c->dropped++;
    } else {
        c->queue[(c->at + c->waiting++) % QUEUE_MAX] = t;
        c->waiting_bytes += t->len;
    }
    lws_callback_on_writable(c->wsi);
}

static struct web_text *dequeue(struct live_client *c)
{
    struct web_text *t = c->queue[c->at];
    c->at = (c->at + 1) % QUEUE_MAX;
    c->waiting--;
    c->waiting_bytes -= t->len;
    return t;
}

static struct web_text *dropped_text(struct live_client *c)
{
    struct sl_buf *b = scratch(c->w, 256);
    sl_buf_printf(b, "{\"type\":\"dropped\",\"count\":%" PRIu64 "}", c->dropped);
    c->dropped = 0;
    return text_take(b);
}

static struct web_text *next_text(struct live_client *c)
{
    if (c->status) { /* first: it is what says that we are alive */
        struct web_text *t = c->status;
        c->status = NULL;
        return t;
    }
    if (c->waiting > 0)
        return dequeue(c);
    return c->dropped > 0 ? dropped_text(c) : NULL; /* told when there is room to tell */
}

int live_writeable(struct lws *wsi, struct web_conn *conn)
{
    struct live_client *c = conn->live;
    struct web_text *t = c ? next_text(c) : NULL;
    if (!t)
        return 0;
    int n = lws_write(wsi, t->room + LWS_PRE, t->len, LWS_WRITE_TEXT);
    bool ok = n >= (int)t->len;
    text_unref(t);
    if (ok && (c->status || c->waiting > 0 || c->dropped > 0))
        lws_callback_on_writable(wsi);
    return ok ? 0 : -1;
}

/* ---- status ---- */

static struct web_text *status_text(struct web *w)
{
    const struct web_view *v = &w->options.view;
    if (!v->status)
        return NULL;
    struct sl_buf *b = scratch(w, STATUS_BYTES_MAX);
    sl_buf_put_str(b, "{\"type\":\"status\",\"status\":");
    v->status(v->ctx, b);
    sl_buf_put_str(b, "}");
    return text_take(b);
}

static void give_status(struct live_client *c, struct web_text *t)
{
    if (!t)
        return;
    text_unref(c->status); /* one that is still waiting is out of date */
    t->refs++;
    c->status = t;
    lws_callback_on_writable(c->wsi);
}

static void on_tick(uv_timer_t *handle)
{
    struct web *w = handle->data;
    struct web_text *t = status_text(w);
    for (struct live_client *c = w->live.first; c; c = c->next) {
        c->commands = 0;
        give_status(c, t);
    }
    text_unref(t);
}

/* ---- watching ---- */

static void on_message(void *ctx, struct sl_slice topic, struct sl_slice payload, int64_t wall_ms,
                       bool retain)
{
    struct live_watch *watch = ctx;
    struct live_client *c = watch->owner;
    for (struct live_watch *other = c->watches; other != watch; other++)
        if (other->handle && sl_topic_match(sl_str(other->filter), topic))
            return; /* it came by that one */
    if (payload.len > QUEUE_BYTES_MAX / 2 || c->waiting == QUEUE_MAX) {
        enqueue(c, NULL); /* not even made into JSON */
        return;
    }
    struct sl_buf *b = scratch(c->w, QUEUE_BYTES_MAX);
    input_message_json(b, topic, payload, wall_ms, retain);
    enqueue(c, text_take(b));
}

static void unwatch_all(struct live_client *c)
{
    const struct web_view *v = &c->w->options.view;
    for (unsigned i = 0; i < c->watch_count; i++) {
        if (c->watches[i].handle && v->unwatch)
            v->unwatch(v->ctx, c->watches[i].handle);
        free(c->watches[i].filter);
        c->watches[i] = (struct live_watch){ 0 };
    }
    c->watch_count = 0;
}

static void put_filters(struct sl_buf *b, const char *key, const struct live_client *c,
                        bool watched)
{
    const char *comma = "";
    sl_buf_printf(b, ",\"%s\":[", key);
    for (unsigned i = 0; i < c->watch_count; i++) {
        if ((c->watches[i].handle != NULL) != watched)
            continue;
        sl_buf_put_str(b, comma);
        sl_buf_put_json(b, sl_str(c->watches[i].filter));
        comma = ",";
    }
    sl_buf_put_str(b, "]");
}

/* A new list takes the old one's place: what is watched is always what was said last. */
static void set_watches(struct live_client *c, struct input_watch *asked)
{
    const struct web_view *v = &c->w->options.view;
    unwatch_all(c);
    for (unsigned i = 0; i < asked->count; i++) {
        struct live_watch *watch = &c->watches[c->watch_count++];
        *watch = (struct live_watch){ .owner = c, .filter = asked->filters[i] };
        asked->filters[i] = NULL; /* handed over */
        if (v->watch && v->unwatch)
            watch->handle =
                v->watch(v->ctx, sl_str(c->user), sl_str(watch->filter), on_message, watch);
    }
    struct sl_buf *b = scratch(c->w, QUEUE_BYTES_MAX);
    sl_buf_put_str(b, "{\"type\":\"watching\"");
    put_filters(b, "filters", c, true);
    put_filters(b, "refused", c, false);
    sl_buf_put_str(b, "}");
    enqueue(c, text_take(b));
}

static void obey(struct live_client *c)
{
    struct input_watch asked;
    const char *why;
    if (input_watch_parse(sl_bytes(c->command, c->command_len), &asked, &why)) {
        set_watches(c, &asked);
        input_watch_release(&asked);
        return;
    }
    struct sl_buf *b = scratch(c->w, WEB_ERROR_MAX);
    sl_buf_put_str(b, "{\"type\":\"error\",\"error\":");
    sl_buf_put_json(b, sl_str(why));
    sl_buf_put_str(b, "}");
    enqueue(c, text_take(b));
}

/* ---- coming and going ---- */

int live_established(struct web *w, struct lws *wsi, struct web_conn *conn)
{
    if (w->closing || conn->live || w->live.count >= LIVE_CLIENTS_MAX)
        return -1;
    struct live_client *c = calloc(1, sizeof *c);
    if (!c)
        return -1;
    c->w = w;
    c->wsi = wsi;
    memcpy(c->user, conn->viewer.user, sizeof c->user);
    c->next = w->live.first;
    if (c->next)
        c->next->prev = c;
    w->live.first = c;
    conn->live = c;
    if (w->live.count++ == 0)
        (void)uv_timer_start(&w->live.tick, on_tick, TICK_MS, TICK_MS);
    struct web_text *t = status_text(w);
    give_status(c, t);
    text_unref(t);
    return 0;
}

void live_gone(struct web *w, struct web_conn *conn)
{
    struct live_client *c = conn->live;
    if (!c)
        return;
    conn->live = NULL;
    if (c->prev)
        c->prev->next = c->next;
    else
        w->live.first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (--w->live.count == 0 && !w->closing) {
        (void)uv_timer_stop(&w->live.tick);
        sl_buf_free(&w->live.scratch); /* nobody looks: give the memory back */
    }
    unwatch_all(c);
    while (c->waiting > 0)
        text_unref(dequeue(c));
    text_unref(c->status);
    free(c);
}

/* ---- commands ---- */

/* Gone for us at once; lws waits a while for the other side to agree. */
static int refuse(struct web *w, struct lws *wsi, struct web_conn *conn, enum lws_close_status code,
                  const char *text)
{
    unsigned char reason[64];
    size_t n = strlen(text) < sizeof reason ? strlen(text) : sizeof reason;
    memcpy(reason, text, n);
    lws_close_reason(wsi, code, reason, n);
    live_gone(w, conn);
    return -1;
}

int live_received(struct web *w, struct lws *wsi, struct web_conn *conn, struct sl_slice bytes)
{
    struct live_client *c = conn->live;
    if (!c)
        return -1;
    if (lws_frame_is_binary(wsi))
        return refuse(w, wsi, conn, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "commands are text");
    if (bytes.len > sizeof c->command - c->command_len)
        return refuse(w, wsi, conn, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE,
                      "a command has at most 4096 bytes");
    if (bytes.len > 0)
        memcpy(c->command + c->command_len, bytes.ptr, bytes.len);
    c->command_len += bytes.len;
    if (!lws_is_final_fragment(wsi))
        return 0;
    if (++c->commands > COMMANDS_A_TICK)
        return refuse(w, wsi, conn, LWS_CLOSE_STATUS_POLICY_VIOLATION,
                      "too many commands a second");
    obey(c);
    c->command_len = 0;
    return 0;
}

enum sl_code live_open(struct web *w, struct sl_err *err)
{
    int rc = uv_timer_init(w->options.loop, &w->live.tick);
    if (rc != 0)
        return sl_fail(err, SL_IO, "web: %s", uv_strerror(rc));
    web_hold(w, &w->live.tick);
    return SL_OK;
}

void live_close(struct web *w)
{
    for (struct live_client *c = w->live.first; c; c = c->next)
        unwatch_all(c);
    if (w->live.tick.data)
        uv_close((uv_handle_t *)&w->live.tick, web_unhold);
}
