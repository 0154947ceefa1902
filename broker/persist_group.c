/* persist_group.c - what waits for a commit: gathered in a loop turn, answered from the loop. */
#include "persist_internal.h"

#include "client.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>

struct durable *durable_ref(struct durable *d)
{
    d->refs++;
    return d;
}

void durable_unref(struct durable *d)
{
    assert(!d || d->refs > 0);
    if (!d || --d->refs > 0)
        return;
    free(d->user);
    free(d);
}

/* ---- what is done then ---- */

static void finish_ack(struct persist *p, struct broker_ack *ack, bool ok)
{
    if (!ack)
        return;
    p->stats.refused += !ok;
    broker_ack_release(ack, ok ? MQTT_RC_SUCCESS : MQTT_RC_QUOTA_EXCEEDED);
}

/* A delivery whose publisher is refused must not come: it will be published again. */
static void finish_delivery(struct session *s, uint32_t sequence, bool drop)
{
    struct delivery *d = session_find(s, sequence);
    if (!d)
        return;
    d->unsafe = false;
    if (drop)
        session_drop(s, d);
    if (s->client)
        broker_mark_dirty(s->broker, s->client); /* sent at the end of the turn */
}

static void finish_pubrel(struct session *s, uint32_t sequence)
{
    struct delivery *d = session_find(s, sequence);
    if (!d || !d->released || !d->unsafe)
        return;
    d->unsafe = false;
    if (s->client && session_was_sent(s, d))
        client_send_ack(s->client, MQTT_PUBREL, d->packet_id, MQTT_RC_SUCCESS);
}

static void finish_pubcomp(struct session *s, uint16_t packet_id)
{
    session_qos2_remove(s, packet_id);
    if (s->client)
        client_send_ack(s->client, MQTT_PUBCOMP, packet_id, MQTT_RC_SUCCESS);
}

static void finish_bytes(struct session *s, const struct item *i, struct sl_slice bytes)
{
    struct durable *d = s->durable;
    if (!s->client || d->connection != i->connection)
        return;
    sl_buf_put(client_out(s->client), bytes.ptr, bytes.len);
    d->held_bytes -= i->sequence + (uint32_t)sizeof *i;
    if (d->held_bytes == 0)
        client_release_input(s->client, HOLD_COMMIT);
}

static bool group_add(struct group *g, struct item item);

/* Takes over the references in i. */
static void finish(struct persist *p, struct item i, bool ok)
{
    struct session *s = i.durable ? i.durable->session : NULL;
    switch ((enum item_kind)i.kind) {
    case ITEM_ACK: break;
    case ITEM_DELIVERY:
        if (s)
            finish_delivery(s, i.sequence, !ok && i.ack);
        break;
    case ITEM_PUBREL:
    case ITEM_PUBCOMP:
        /* What the store says now would be taken for the truth after a crash: they wait for it. */
        if (s && !ok && group_add(&p->parked, i))
            return;
        if (s && i.kind == ITEM_PUBREL)
            finish_pubrel(s, i.sequence);
        else if (s)
            finish_pubcomp(s, i.packet_id);
        break;
    case ITEM_BYTES:
        if (s)
            finish_bytes(s, &i, sl_bytes(i.bytes, i.sequence));
        break;
    case ITEM_SUBACK: /* also for a client that is gone: what it asked for is not to stay */
        if (s)
            finish_bytes(s, &i, persist_finish_suback(s, i.bytes, ok));
        break;
    }
    finish_ack(p, i.ack, ok);
    durable_unref(i.durable);
    free(i.bytes);
}

/* ---- gathering ---- */

static bool group_add(struct group *g, struct item item)
{
    if (g->count == g->cap) {
        uint32_t cap = g->cap ? g->cap * 2 : 8;
        struct item *larger = realloc(g->items, cap * sizeof *larger);
        if (!larger)
            return false;
        g->items = larger;
        g->cap = cap;
    }
    g->items[g->count++] = item;
    return true;
}

void persist_gather(struct persist *p, struct item item)
{
    if (!p->gathered && (p->gathered = calloc(1, sizeof *p->gathered)))
        p->gathered->persist = p;
    if (!p->gathered || !group_add(p->gathered, item))
        finish(p, item, false);
}

static void group_finish(struct group *g, bool ok)
{
    struct persist *p = g->persist;
    for (uint32_t i = 0; i < g->count; i++)
        finish(p, g->items[i], ok);
    free(g->items);
    free(g);
}

static void on_safe(void *ctx, enum sl_code result)
{
    struct group *g = ctx;
    struct persist *p = g->persist;
    p->down |= result != SL_OK && g->resyncs == p->resyncs;
    group_finish(g, result == SL_OK);
    broker_release(p->broker); /* held since the store was asked */
}

void persist_commit(struct persist *p)
{
    struct group *g = p->gathered;
    p->gathered = NULL;
    if (!g)
        return;
    g->resyncs = p->resyncs;
    p->broker->holds++;
    if (!p->down && p->store.when_safe(p->store.ctx, on_safe, g))
        return;
    p->down = true;
    group_finish(g, false);
    p->broker->holds--; /* never the last: a turn is under way */
}

void persist_unpark(struct persist *p)
{
    struct group g = p->parked;
    p->parked = (struct group){ 0 };
    for (uint32_t i = 0; i < g.count; i++)
        persist_gather(p, g.items[i]);
    free(g.items);
}

void persist_drop(struct persist *p)
{
    if (p->gathered)
        group_finish(p->gathered, false);
    p->gathered = NULL;
    for (uint32_t i = 0; i < p->parked.count; i++)
        durable_unref(p->parked.items[i].durable);
    free(p->parked.items);
    p->parked = (struct group){ 0 };
}
