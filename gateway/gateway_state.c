/* gateway_state.c - the broker's sessions and retained messages in state.db: the broker says which
 * rows it wants, the store keeps them, and neither knows of the other. */
#include "gateway.h"

#include "base/crypto.h"
#include "base/log.h"

#include <assert.h>
#include <stdio.h>

/* What clients were promised and is not committed yet, and the rows that a resync puts. */
#define STATE_MEMORY ((uint64_t)64 * 1024 * 1024)

static_assert((int)STATE_META == (int)BROKER_ROW_META &&
                  (int)STATE_SESSION == (int)BROKER_ROW_SESSION &&
                  (int)STATE_SUBSCRIPTION == (int)BROKER_ROW_SUBSCRIPTION &&
                  (int)STATE_DELIVERY == (int)BROKER_ROW_DELIVERY &&
                  (int)STATE_RECEIVED == (int)BROKER_ROW_RECEIVED &&
                  (int)STATE_RETAINED == (int)BROKER_ROW_RETAINED &&
                  (int)STATE_KINDS == (int)BROKER_ROWS,
              "the broker's rows are the store's kinds");

/* ---- the broker's store ---- */

static bool on_put(void *ctx, enum broker_row kind, struct sl_slice key, struct sl_slice head,
                   struct sl_slice tail)
{
    struct gateway *g = ctx;
    if (state_waiting_bytes(g->state) > STATE_MEMORY / 2)
        broker_pause_publisher(g->broker); /* faster than the disk: wait rather than refuse */
    return state_put(g->state, (enum state_kind)kind, key, head, tail);
}

static bool on_remove(void *ctx, enum broker_row kind, struct sl_slice key)
{
    struct gateway *g = ctx;
    return state_remove(g->state, (enum state_kind)kind, key);
}

static bool on_remove_range(void *ctx, enum broker_row kind, struct sl_slice from,
                            struct sl_slice to)
{
    struct gateway *g = ctx;
    return state_remove_range(g->state, (enum state_kind)kind, from, to);
}

static bool on_when_safe(void *ctx, broker_safe_fn *fn, void *fn_ctx)
{
    struct gateway *g = ctx;
    return state_when_safe(g->state, fn, fn_ctx);
}

struct broker_persistence gateway_persistence(struct gateway *g)
{
    return (struct broker_persistence){ g, on_put, on_remove, on_remove_range, on_when_safe };
}

/* ---- opening ---- */

static void on_resync(void *ctx)
{
    struct gateway *g = ctx;
    if (g->broker)
        broker_resync(g->broker);
}

enum sl_code gateway_open_state(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    char path[PATH_MAX];
    uint8_t key[SEAL_KEY_BYTES];
    if (!c->broker.persistence)
        return SL_OK;
    enum sl_code code = gateway_path_of(g, "state.db", path, err);
    if (code != SL_OK)
        return code;
    struct state_options o = {
        .loop = &g->loop,
        .clock = g->clock,
        .path = path,
        .seal_key = gateway_seal_key(g, key),
        .sync = (enum outbox_sync)c->store.sync,
        .memory_max_bytes = STATE_MEMORY,
        .resync = on_resync,
        .ctx = g,
    };
    g->state_was_ok = true; /* until it has been looked at */
    code = state_open(&g->state, &o, err);
    crypto_wipe(key, sizeof key);
    return code;
}

struct visit {
    struct gateway *g;
    enum broker_row kind;
};

static void on_state_row(void *ctx, struct sl_slice key, struct sl_slice value)
{
    const struct visit *v = ctx;
    (void)broker_restore(v->g->broker, v->kind, key, value); /* what is bad is counted there */
}

void gateway_restore(struct gateway *g)
{
    if (!g->state)
        return;
    for (int kind = 0; kind < BROKER_ROWS; kind++) {
        struct visit v = { g, (enum broker_row)kind };
        struct sl_err err = { 0 };
        if (state_load(g->state, (enum state_kind)kind, on_state_row, &v, &err) != SL_OK)
            LOG_ERROR("store", "state.db: some of what was kept cannot be read: %s", err.text);
    }
    broker_restored(g->broker);
    struct broker_persist_stats s;
    broker_get_persist_stats(g->broker, &s);
    if (s.bad_rows > 0)
        LOG_ERROR("store", "state.db: %llu rows made no sense and were left out",
                  (unsigned long long)s.bad_rows);
    LOG_INFO("store", "state.db: %llu sessions, %llu messages for them, %llu retained messages",
             (unsigned long long)s.restored_sessions, (unsigned long long)s.restored_deliveries,
             (unsigned long long)s.restored_retained);
}

/* ---- watching it ---- */

void gateway_watch_state(struct gateway *g)
{
    struct state_stats s;
    if (!g->state)
        return;
    state_get_stats(g->state, &s);
    if (s.set_aside[0] && !g->told_state_set_aside) {
        g->told_state_set_aside = true;
        LOG_ERROR("store",
                  "state.db could not be used (%s): it was moved to %s and a fresh one was started",
                  s.set_aside_why, s.set_aside);
    }
    if (s.disk_ok != g->state_was_ok)
        sl_log(s.disk_ok ? SL_INFO : SL_ERROR, "store", NULL, "%s",
               s.disk_ok ? "sessions and retained messages are stored again" : s.disk_error);
    g->state_was_ok = s.disk_ok;
}
