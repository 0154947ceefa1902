/* gateway_rig.c - a gateway's inner parts for tests. */
#include "gateway_rig.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 10000 };

struct config *gateway_rig_config(const struct gateway_rig *r, const char *sections)
{
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    struct sl_buf text = { 0 };
    sl_buf_printf(&text,
                  "{\"gateway\":{\"id\":\"gw\",\"data_dir\":\"%s\"},\"listeners\":[],"
                  "\"access\":{\"anonymous\":true}%s%s}",
                  r->folder, *sections ? "," : "", sections);
    enum sl_code rc = config_parse(sl_buf_slice(&text), "test", r->folder, &c, &problems);
    if (rc != SL_OK)
        fail_msg("%s: %s", problems.list[0].path, problems.list[0].text);
    config_problems_free(&problems);
    sl_buf_free(&text);
    return c;
}

static void must(enum sl_code rc, const struct sl_err *err)
{
    if (rc != SL_OK)
        fail_msg("%s", err->text);
}

void gateway_rig_open(struct gateway_rig *r, const char *sections)
{
    struct sl_err err = { 0 };
    (void)signal(SIGPIPE, SIG_IGN); /* as main() does */
    *r = (struct gateway_rig){ .folder = "/tmp/sluice-gateway-XXXXXX" };
    assert_non_null(mkdtemp(r->folder));
    struct gateway *g = r->g = test_calloc(1, sizeof *g);
    assert_int_equal(uv_loop_init(&g->loop), 0);
    g->clock = &sl_clock_system;
    g->started = sl_moment_now(g->clock);
    g->lock_fd = -1;
    g->config = gateway_rig_config(r, sections);
    must(gateway_open_outbox(g, &err), &err);
    must(gateway_open_broker(g, &err), &err);
    must(gateway_open_engine(g, &err), &err);
    must(listeners_open(&g->listeners, &g->loop, g->broker, g->config, &err), &err);
    r->broker.broker = g->broker;
}

/* ---- closing, in the gateway's order ---- */

static void on_listeners_closed(void *ctx)
{
    ((struct gateway_rig *)ctx)->closed = true;
}

static void on_broker_closed(void *ctx)
{
    struct gateway_rig *r = ctx;
    struct listeners *l = r->g->listeners;
    r->g->broker = NULL;
    r->g->listeners = NULL;
    listeners_close(l, on_listeners_closed, r);
}

static void on_outbox_closed(void *ctx)
{
    struct gateway_rig *r = ctx;
    r->g->outbox = NULL;
    engine_close(r->g->engine);
    r->g->engine = NULL;
    broker_close(r->g->broker, on_broker_closed, r);
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = { "queue.db", "queue.db-wal", "queue.db-shm",
                                         "queue.db-numbers", "control.sock" };
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path); /* not all are there every time */
    }
    assert_int_equal(rmdir(folder), 0);
}

static bool is_closed(void *ctx)
{
    return ((struct gateway_rig *)ctx)->closed;
}

void gateway_rig_close(struct gateway_rig *r)
{
    struct gateway *g = r->g;
    g->stopping = true;
    broker_pause(g->broker);
    outbox_close(g->outbox, on_outbox_closed, r);
    gateway_rig_until(r, is_closed, r);
    (void)uv_run(&g->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&g->loop), 0);
    config_free(g->config);
    test_free(g);
    remove_folder(r->folder);
}

/* ---- running ---- */

void gateway_rig_until(struct gateway_rig *r, bool (*done)(void *ctx), void *ctx)
{
    int64_t until = sl_mono_ms(r->g->clock) + PATIENCE_MS;
    while (!done(ctx)) { /* the broker's tick wakes the loop every second */
        (void)uv_run(&r->g->loop, UV_RUN_ONCE);
        if (sl_mono_ms(r->g->clock) > until)
            fail_msg("nothing came of it");
    }
}

static bool has_output(void *ctx)
{
    return ((struct peer *)ctx)->received.len > 0;
}

void gateway_rig_wait(struct gateway_rig *r, struct peer *p)
{
    gateway_rig_until(r, has_output, p);
}

/* ---- looking ---- */

struct engine_rule_view gateway_rig_rule(const struct gateway_rig *r, const char *name)
{
    struct engine_rule_view v = { 0 };
    for (size_t i = 0; i < engine_count(r->g->engine); i++) {
        engine_get(r->g->engine, i, &v);
        if (strcmp(v.name, name) == 0)
            return v;
    }
    fail_msg("no rule %s", name);
    return v;
}

struct outbox_lane_stats gateway_rig_lane(const struct gateway_rig *r, enum outbox_lane lane)
{
    struct outbox_stats s;
    outbox_get_stats(r->g->outbox, &s);
    return s.lane[lane];
}
