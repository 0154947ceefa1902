/* net.c - the bridge's connection, without sockets: every piece of bytes is on its way for a while,
 * in order, and a cut takes what is on its way from some byte on. */
#include "bridge/link.h"
#include "sim.h"

#include <stdlib.h>

struct piece {
    struct piece *next;
    struct link *link;
    struct sl_buf bytes;
};

/* Freed when it is closed and nothing of it is on its way any more. */
struct link {
    struct link *next; /* of the simulation's */
    struct sim *sim;
    struct link_events events;
    bool tls, open, closed, over;   /* over: nothing arrives any more, on either side */
    bool ended;                     /* the bridge was told */
    unsigned holds;                 /* calls to come */
    int64_t up_due_ms, down_due_ms; /* the last piece arrives then */
    void (*on_closed)(void *ctx);
    void *closed_ctx;
    uint64_t bytes_in, bytes_out;
};

struct sim *net_sim(struct link *l)
{
    return l->sim;
}

static void release(struct link *l)
{
    must(l->holds > 0);
    if (--l->holds > 0 || !l->closed)
        return;
    struct link **at = &l->sim->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    cloud_lost(l->sim, l);
    free(l);
}

static void later(struct link *l, int64_t delay_ms, void (*fn)(void *ctx), void *ctx)
{
    l->holds++;
    loop_later(&l->sim->loop, delay_ms, fn, ctx);
}

static bool lives(const struct link *l)
{
    return !l->closed && !l->ended;
}

/* ---- ends ---- */

static void tell_end(struct link *l, enum link_end why, const char *text)
{
    if (!lives(l))
        return;
    l->ended = true;
    l->events.ended(l->events.ctx, why, text);
}

static void on_lost(void *ctx)
{
    struct link *l = ctx;
    tell_end(l, LINK_END_LOST, "connection reset");
    release(l);
}

static void on_hung_up(void *ctx)
{
    struct link *l = ctx;
    l->over = true;
    tell_end(l, LINK_END_CLOSED, "closed by the server");
    release(l);
}

static void on_failed(void *ctx)
{
    struct link *l = ctx;
    static const enum link_end ends[] = { LINK_END_DNS, LINK_END_TCP, LINK_END_TLS };
    tell_end(l, ends[sim_below(l->sim, SL_ARRAY_LEN(ends))], "could not connect");
    release(l);
}

void net_hang_up(struct link *l)
{
    if (l->over)
        return;
    cloud_lost(l->sim, l);
    int64_t delay = l->down_due_ms - l->sim->loop.now_ms; /* behind what was sent */
    later(l, delay > 0 ? delay : 0, on_hung_up, l);
}

void net_cut(struct sim *s)
{
    for (struct link *l = s->links; l; l = l->next) {
        if (l->over || !l->open)
            continue;
        l->over = true;
        cloud_lost(s, l);
        if (sim_chance(s, 700)) /* else it stays half open, and the bridge has to find out */
            later(l, (int64_t)sim_below(s, 3000), on_lost, l);
    }
}

void net_forget(struct sim *s)
{
    for (struct link *l = s->links; l; l = l->next) {
        if (!l->over)
            cloud_lost(s, l);
        l->over = true;
    }
}

/* ---- bytes ---- */

static int64_t in_order(struct sim *s, int64_t *last_ms, int64_t delay_ms)
{
    int64_t due = s->loop.now_ms + delay_ms;
    if (due < *last_ms)
        due = *last_ms;
    *last_ms = due;
    return due - s->loop.now_ms;
}

static struct piece *piece_of(struct link *l, struct sl_slice bytes)
{
    struct piece *p = calloc(1, sizeof *p);
    must(p);
    p->link = l;
    sl_buf_put_slice(&p->bytes, bytes);
    must(!p->bytes.failed);
    return p;
}

static void free_piece(struct piece *p)
{
    struct link *l = p->link;
    sl_buf_free(&p->bytes);
    free(p);
    release(l);
}

static void on_down(void *ctx)
{
    struct piece *p = ctx;
    struct link *l = p->link;
    if (!l->over && lives(l)) {
        l->bytes_in += p->bytes.len;
        l->events.data(l->events.ctx, sl_buf_slice(&p->bytes));
    }
    free_piece(p);
}

void net_send(struct link *l, struct sl_slice bytes, int64_t delay_ms)
{
    struct sim *s = l->sim;
    if (l->over)
        return;
    while (bytes.len > 0) { /* TCP knows no packets */
        size_t n = 1 + sim_below(s, sim_chance(s, 300) ? 7 : bytes.len);
        if (n > bytes.len)
            n = bytes.len;
        later(l, in_order(s, &l->down_due_ms, delay_ms + (int64_t)sim_below(s, 40)), on_down,
              piece_of(l, sl_bytes(bytes.ptr, n)));
        bytes = sl_bytes(bytes.ptr + n, bytes.len - n);
    }
}

static void on_up(void *ctx)
{
    struct piece *p = ctx;
    struct link *l = p->link;
    if (!l->over)
        cloud_receive(l->sim, l, sl_buf_slice(&p->bytes));
    free_piece(p);
}

static void on_written(void *ctx)
{
    struct link *l = ctx;
    if (lives(l))
        l->events.written(l->events.ctx);
    release(l);
}

enum sl_code link_send(struct link *l, struct sl_slice bytes, struct sl_err *err)
{
    struct sim *s = l->sim;
    (void)err;
    must(l->open && !l->closed);
    l->bytes_out += bytes.len;
    while (bytes.len > 0 && !s->muted) {
        size_t n = 1 + sim_below(s, bytes.len);
        later(l, in_order(s, &l->up_due_ms, (int64_t)sim_below(s, SIM_UP_MS)), on_up,
              piece_of(l, sl_bytes(bytes.ptr, n)));
        bytes = sl_bytes(bytes.ptr + n, bytes.len - n);
    }
    later(l, (int64_t)sim_below(s, SIM_WRITE_MS), on_written, l);
    return SL_OK;
}

/* Bytes come in pieces and late anyway. */
void link_gather(struct link *l, uint32_t packets)
{
    must(!l->closed);
    (void)packets;
}

/* ---- connecting ---- */

static void on_open(void *ctx)
{
    struct link *l = ctx;
    if (lives(l) && !l->over) {
        l->open = true;
        cloud_open(l->sim, l);
        l->events.open(l->events.ctx);
    }
    release(l);
}

static void on_connected(void *ctx)
{
    struct link *l = ctx;
    if (lives(l) && l->tls)
        l->events.connected(l->events.ctx);
    later(l, (int64_t)sim_below(l->sim, 300), on_open, l);
    release(l);
}

static void on_resolved(void *ctx)
{
    struct link *l = ctx;
    struct sim *s = l->sim;
    if (lives(l))
        l->events.resolved(l->events.ctx);
    if (sim_chance(s, s->faults.connect))
        later(l, (int64_t)sim_below(s, 2000), on_failed, l);
    else if (!sim_chance(s, s->faults.hole))
        later(l, (int64_t)sim_below(s, 300), on_connected, l);
    release(l);
}

enum sl_code link_open(struct link **ret, const struct link_options *options,
                       const struct link_events *events, struct sl_err *err)
{
    struct sim *s = sim_current();
    struct link *l = calloc(1, sizeof *l);
    (void)err;
    must(l);
    *l =
        (struct link){ .next = s->links, .sim = s, .events = *events, .tls = options->tls != NULL };
    s->links = l;
    if (sim_chance(s, s->faults.connect))
        later(l, (int64_t)sim_below(s, 2000), on_failed, l);
    else if (!sim_chance(s, s->faults.hole))
        later(l, (int64_t)sim_below(s, 200), on_resolved, l);
    *ret = l;
    return SL_OK;
}

static void on_link_closed(void *ctx)
{
    struct link *l = ctx;
    void (*closed)(void *) = l->on_closed;
    void *closed_ctx = l->closed_ctx;
    release(l);
    closed(closed_ctx);
}

void link_close(struct link *l, void (*closed)(void *ctx), void *ctx)
{
    must(!l->closed);
    l->closed = true;
    l->on_closed = closed;
    l->closed_ctx = ctx;
    if (!l->over && !l->sim->muted && l->open && sim_chance(l->sim, 500)) {
        /* What was handed over still arrives; then the cloud sees the end. */
    } else {
        if (!l->over && l->open)
            cloud_lost(l->sim, l);
        l->over = true;
    }
    later(l, 0, on_link_closed, l);
}

uint64_t link_bytes_in(const struct link *l)
{
    return l->bytes_in;
}

uint64_t link_bytes_out(const struct link *l)
{
    return l->bytes_out;
}
