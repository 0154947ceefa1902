/* conn_tls.c - the TLS of connections: sessions made late, handshakes counted, timed and told. */
#include "conn_tls.h"

#include "broker_internal.h"

#include "base/log.h"

#include <stdlib.h>

struct conn_tls *conn_tls_new(struct tls_context *context)
{
    struct conn_tls *t = calloc(1, sizeof *t);
    if (t)
        t->context = tls_context_ref(context);
    return t;
}

bool conn_tls_established(const struct conn_tls *t)
{
    return t->session && tls_session_established(t->session);
}

bool conn_tls_must_wait(const struct conn_tls *t, const struct tls_shakes *shakes)
{
    return shakes->spent_ns >= TLS_SHAKES_NS_PER_TURN && !conn_tls_established(t);
}

/* ---- what is told of them ---- */

void conn_tls_tell(struct broker *b, const char *from, const char *text)
{
    struct tls_shakes *s = &b->tls_shakes;
    if (s->told >= TLS_SHAKES_TOLD_MAX) {
        s->untold++;
        return;
    }
    if (s->told++ == 0)
        s->told_since_ms = broker_now(b);
    struct sl_kv kv[] = { SL_KV_STR("from", from), SL_KV_END };
    sl_log(SL_INFO, "broker", kv, "TLS: %s", text);
}

void tls_shakes_tick(struct broker *b, int64_t now_ms)
{
    struct tls_shakes *s = &b->tls_shakes;
    if (s->told == 0 || now_ms - s->told_since_ms < TLS_SHAKES_TOLD_MS)
        return;
    if (s->untold > 0)
        LOG_INFO("broker", "TLS: %llu more clients failed within %d s",
                 (unsigned long long)s->untold, TLS_SHAKES_TOLD_MS / 1000);
    s->told = 0;
    s->untold = 0;
}

static void count_done(struct broker *b, struct conn_tls *t)
{
    if (t->done)
        return;
    t->done = true;
    if (!conn_tls_established(t))
        b->stats.tls_failed++;
    else if (tls_session_resumed(t->session))
        b->stats.tls_resumed++;
    else
        b->stats.tls_full++;
}

/* ---- bytes ---- */

static enum sl_code start_session(struct conn_tls *t, struct sl_err *err)
{
    if (t->session)
        return SL_OK;
    enum sl_code rc = tls_session_new(&t->session, t->context, NULL, err);
    tls_context_unref(t->context); /* the session has its own reference */
    t->context = NULL;
    return rc;
}

enum sl_code conn_tls_feed(struct broker *b, struct conn_tls *t, struct sl_slice bytes,
                           struct sl_buf *plain_out, const char *from)
{
    struct sl_err err = { 0 };
    bool shaking = !conn_tls_established(t);
    uint64_t since = shaking ? uv_hrtime() : 0;
    enum sl_code rc = start_session(t, &err);
    if (rc == SL_OK)
        rc = tls_session_feed(t->session, bytes, plain_out, &t->wire, &err);
    if (shaking)
        b->tls_shakes.spent_ns += (int64_t)(uv_hrtime() - since);
    bool failed = rc != SL_OK && rc != SL_CLOSED;
    if (failed || conn_tls_established(t))
        count_done(b, t);
    if (failed)
        conn_tls_tell(b, from, err.text);
    return rc;
}

void conn_tls_cut(struct broker *b, struct conn_tls *t, const char *from)
{
    struct sl_err err = { 0 };
    if (!t || !t->session ||
        t->done) /* who has sent nothing only looked whether somebody is there */
        return;
    count_done(b, t);
    (void)tls_session_cut(t->session, &err);
    conn_tls_tell(b, from, err.text);
}

void conn_tls_end(struct broker *b, struct conn_tls *t, const char *from)
{
    if (!t)
        return;
    if (t->session && !t->done && !b->closing) {
        count_done(b, t);
        conn_tls_tell(b, from, "the client did not finish the handshake within connect_timeout");
    }
    b->stats.tls_ended += t->session != NULL;
    tls_session_free(t->session);
    tls_context_unref(t->context);
    sl_buf_free(&t->wire);
    free(t);
}
