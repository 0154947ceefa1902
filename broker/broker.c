/* broker.c - the broker's life, its loop turn, its clients and sessions. Routing is in route.c. */
#include "broker_internal.h"

#include "access.h"
#include "client.h"
#include "conn.h"
#include "durable.h"
#include "listener.h"
#include "nap.h"
#include "owed.h"
#include "session.h"
#include "share.h"
#include "transport_private.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>

enum { TICK_MS = 1000, LAST_WORDS_MS = 500, PAUSE_TURNS_MAX = 64, RETAINED_PURGE_MS = 60000 };

const char *broker_drop_name(enum broker_drop d)
{
    static const char *const names[BROKER_DROPS] = {
        [BROKER_DROP_SLOW_READER] = "slow_reader", [BROKER_DROP_QUEUE_FULL] = "queue_full",
        [BROKER_DROP_EXPIRED] = "expired",         [BROKER_DROP_TOO_LARGE] = "too_large",
        [BROKER_DROP_INTERNAL] = "internal",       [BROKER_DROP_RETAINED] = "retained_full",
        [BROKER_DROP_DENIED] = "denied",           [BROKER_DROP_TOTAL] = "total_full",
    };
    return names[d];
}

int64_t broker_now(struct broker *b)
{
    if (b->now_ms == 0)
        b->now_ms = sl_mono_ms(b->options.clock);
    return b->now_ms;
}

int64_t broker_wall(struct broker *b)
{
    return sl_wall_ms(b->options.clock);
}

/* ---- clients and sessions ---- */

bool broker_add_client(struct broker *b, struct client *c)
{
    if (b->closing)
        return false;
    if (b->client_count == b->client_cap) {
        uint32_t cap = b->client_cap ? b->client_cap * 2 : 16;
        struct client **larger = realloc(b->clients, cap * sizeof *larger);
        if (!larger)
            return false;
        b->clients = larger;
        b->client_cap = cap;
    }
    if (!bounds_open(b, c))
        return false;
    c->index = b->client_count;
    b->clients[b->client_count++] = c;
    b->stats.connections_total++;
    if (b->client_count > b->stats.clients_max)
        b->stats.clients_max = b->client_count;
    return true;
}

void broker_remove_client(struct broker *b, struct client *c)
{
    assert(b->clients[c->index] == c);
    bounds_close(b, c);
    struct client *last = b->clients[--b->client_count];
    b->clients[c->index] = last;
    last->index = c->index;
}

void broker_publish_will(struct broker *b, struct session *s, struct sl_msg *will)
{
    assert(will->refs == 1);
    if (!access_may_publish(s, sl_msg_topic(will))) { /* the list may have changed since CONNECT */
        broker_count_drop(b, BROKER_DROP_DENIED);
        return;
    }
    will->mono_ms = broker_now(b); /* its expiry begins now, not with CONNECT */
    will->wall_ms = broker_wall(b);
    if (!broker_publish(b, will))
        broker_count_drop(b, BROKER_DROP_INTERNAL);
}

void broker_bury(struct broker *b, struct session *s)
{
    assert(!s->client);
    sl_map_remove(&b->sessions, session_key, s);
    persist_end(s);
    subs_remove_all(&b->subs, s);
    if (s->will) /* the session's end sends it [MQTT-3.1.2-8] */
        broker_publish_will(b, s, s->will);
    if (b->buried_count == b->buried_cap) {
        uint32_t cap = b->buried_cap ? b->buried_cap * 2 : 16;
        struct session **larger = realloc(b->buried, cap * sizeof(struct session *));
        if (!larger)
            return; /* leaked rather than freed under somebody's feet: memory is out anyway */
        b->buried = larger;
        b->buried_cap = cap;
    }
    b->buried[b->buried_count++] = s;
}

/* Safe here: no route is under way at the end of a turn. Answers that name the session are out of
 * date since it lost its subscriptions. */
static void free_buried(struct broker *b)
{
    while (b->buried_count > 0) {
        struct session *s = b->buried[--b->buried_count];
        b->store_at_once = true;
        if (!b->closing)
            share_reassign(b, s); /* which may close connections and bury more */
        b->store_at_once = false;
        session_free(s);
    }
    share_free_ended(&b->subs);
}

/* ---- the loop turn ---- */

void broker_mark_dirty(struct broker *b, struct client *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    c->dirty_next = b->dirty;
    b->dirty = c;
}

static void on_again(uv_idle_t *h)
{
    (void)h; /* only keeps the loop from sleeping: check does the work */
}

void broker_flush(struct broker *b)
{
    owed_turn(b);
    broker_route_internal(b);
    do {
        while (b->dirty) {
            struct client *c = b->dirty;
            b->dirty = c->dirty_next;
            c->dirty = false;
            client_turn(c);
        }
        free_buried(b);
        persist_turn(b);
    } while (b->dirty); /* what ended sessions have left to others */
    links_bury(b);
    b->now_ms = 0;
    if (b->internal_count > 0 || b->hungry)
        (void)uv_idle_start(&b->again, on_again); /* cannot fail with a callback */
    else
        (void)uv_idle_stop(&b->again); /* always 0 */
}

/* Unless something on the loop is due at once, and no longer than nothing comes from other threads.
 */
static void gather(struct broker *b)
{
    uint64_t wait_ns = gather_turn(&b->gather, b->stats.messages_in, uv_hrtime());
    if (wait_ns > 0 && uv_backend_timeout(b->options.loop) != 0)
        nap(b->options.loop, wait_ns);
}

static void on_prepare(uv_prepare_t *h)
{
    struct broker *b = h->data;
    b->tls_shakes.spent_ns = 0;
    broker_flush(b);
    gather(b);
}

static void on_check(uv_check_t *h)
{
    gather_polled(&((struct broker *)h->data)->gather, uv_hrtime());
    broker_flush(h->data);
}

/* ---- publishers that are too fast ---- */

void broker_pause_publisher(struct broker *b)
{
    b->pause_publisher = true;
}

/* If the reason still holds, their next message says so again. */
static void on_pause_over(uv_timer_t *h)
{
    struct broker *b = h->data;
    for (uint32_t i = 0; i < b->client_count; i++)
        client_release_input(b->clients[i], HOLD_PAUSE);
}

void broker_pause_if_asked(struct broker *b, struct client *c)
{
    if (!b->pause_publisher)
        return;
    b->pause_publisher = false;
    b->stats.pauses++;
    client_hold_input(c, HOLD_PAUSE);
    if (!uv_is_active((uv_handle_t *)&b->pause) && !b->closing)
        (void)uv_timer_start(&b->pause, on_pause_over, BROKER_PAUSE_MS, 0); /* has a callback */
}

static bool session_over(const struct session *s, int64_t now)
{
    return !s->client && s->expiry_s != UINT32_MAX &&
           now - s->offline_since_ms >= (int64_t)s->expiry_s * 1000;
}

static void send_due_will(struct broker *b, struct session *s, int64_t now)
{
    if (s->client || !s->will || now < s->will_due_ms)
        return;
    broker_publish_will(b, s, s->will);
    sl_msg_unref(s->will);
    s->will = NULL;
    persist_save(s);
}

/* The map must not change while it is walked, so the sessions that are over are gathered first. */
static void expire_sessions(struct broker *b, int64_t now)
{
    struct session *over[256], *s;
    size_t count;
    do {
        count = 0;
        for (uint32_t i = 0; count < SL_ARRAY_LEN(over) && (s = sl_map_next(&b->sessions, &i));) {
            send_due_will(b, s, now);
            if (session_over(s, now))
                over[count++] = s;
        }
        for (size_t i = 0; i < count; i++)
            broker_bury(b, over[i]);
        b->stats.sessions_expired += count;
    } while (count == SL_ARRAY_LEN(over));
}

static void on_retained_expired(void *ctx, struct sl_msg *m)
{
    persist_retained_gone(ctx, m);
}

static void on_tick(uv_timer_t *h)
{
    struct broker *b = h->data;
    int64_t now = broker_now(b);
    /* A closed client leaves the list later, from its transport's callback, so indices hold. While
     * paused nobody is read, so nobody's silence counts. */
    for (uint32_t i = 0; i < b->client_count && !b->paused; i++)
        client_check_time(b->clients[i], now);
    listeners_tick(b);
    conns_tick(b);
    bounds_tick(b);
    links_tick(b);
    expire_sessions(b, now);
    persist_tick(b);
    if (now >= b->purge_due_ms && retained_purge(&b->retained, now, on_retained_expired, b))
        b->purge_due_ms = now + RETAINED_PURGE_MS;
    if (b->options.sys_interval_ms > 0 && now >= b->sys_due_ms) {
        b->sys_due_ms = now + b->options.sys_interval_ms;
        sys_publish(b);
    }
}

/* ---- life ---- */

enum sl_code broker_open(struct broker **ret, const struct broker_options *options,
                         struct sl_err *err)
{
    struct broker *b = calloc(1, sizeof *b);
    if (!b)
        return sl_fail(err, SL_NOMEM, "broker: out of memory");
    b->read_buffer = malloc(BROKER_READ_SIZE);
    if (!b->read_buffer) {
        free(b);
        return sl_fail(err, SL_NOMEM, "broker: out of memory");
    }
    b->options = *options;
    if (b->options.max_retained_bytes == 0)
        b->options.max_retained_bytes = BROKER_RETAINED_BYTES;
    if (b->options.max_queued_total == 0)
        b->options.max_queued_total = BROKER_QUEUED_TOTAL;
    b->next_origin = BROKER_ORIGIN_OUTSIDE + 1;
    b->stats.started_mono_ms = sl_mono_ms(options->clock);
    if (options->persistence && persist_open(b, err) != SL_OK) {
        free(b->read_buffer);
        free(b);
        return SL_NOMEM;
    }
    /* These inits only fill in structs; starting them only fails without a callback. */
    (void)uv_timer_init(options->loop, &b->tick);
    (void)uv_timer_init(options->loop, &b->pause);
    (void)uv_prepare_init(options->loop, &b->prepare);
    (void)uv_check_init(options->loop, &b->check);
    (void)uv_idle_init(options->loop, &b->again);
    b->tick.data = b->pause.data = b->prepare.data = b->check.data = b->again.data = b;
    b->holds = 5;
    (void)uv_timer_start(&b->tick, on_tick, TICK_MS, TICK_MS);
    (void)uv_prepare_start(&b->prepare, on_prepare);
    (void)uv_check_start(&b->check, on_check);
    *ret = b;
    return SL_OK;
}

void broker_release(struct broker *b)
{
    assert(b->holds > 0);
    if (--b->holds > 0)
        return;
    struct session *s;
    for (uint32_t i = 0; (s = sl_map_next(&b->sessions, &i)); i = 0)
        broker_bury(b, s);
    free_buried(b);
    persist_free(b);
    free(b->buried);
    broker_drop_internal(b);
    subs_free(&b->subs);
    retained_free(&b->retained);
    frame_cache_free(&b->frames);
    outq_pool_free(&b->pool);
    sl_map_free(&b->sessions);
    free(b->clients);
    bounds_free(&b->bounds);
    acl_unref(b->acl);
    free(b->read_buffer);
    if (b->closed)
        b->closed(b->closed_ctx);
    free(b);
}

static void on_handle_closed(uv_handle_t *h)
{
    broker_release(h->data);
}

void broker_pause(struct broker *b)
{
    if (b->paused)
        return;
    b->paused = true;
    while (b->listeners)
        broker_unlisten(b->listeners);
    for (uint32_t i = 0; i < b->client_count; i++)
        if (b->clients[i]->state != CLIENT_CLOSING)
            b->clients[i]->transport->read(b->clients[i], false);
    /* What taps have published goes its way while they are all there. They may publish more, but
     * not for ever: a bound all the same. */
    for (unsigned turns = 0; b->internal_count > 0 && turns < PAUSE_TURNS_MAX; turns++)
        broker_route_internal(b);
    persist_pause(b);
}

static void on_last_tick(uv_timer_t *h)
{
    links_abort(h->data);
    uv_close((uv_handle_t *)h, on_handle_closed);
}

void broker_close(struct broker *b, void (*closed)(void *ctx), void *ctx)
{
    if (b->closing)
        return;
    broker_pause(b);
    b->closing = true;
    b->closed = closed;
    b->closed_ctx = ctx;
    for (uint32_t i = 0; i < b->client_count; i++)
        client_close(b->clients[i], MQTT_RC_SHUTTING_DOWN, NULL);
    broker_flush(b);
    conns_abort(b);
    persist_close(b);
    if (links_left(b)) /* their owners write in the loop's next turns */
        (void)uv_timer_start(&b->tick, on_last_tick, LAST_WORDS_MS, 0);
    else
        uv_close((uv_handle_t *)&b->tick, on_handle_closed);
    uv_close((uv_handle_t *)&b->pause, on_handle_closed);
    uv_close((uv_handle_t *)&b->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&b->check, on_handle_closed);
    uv_close((uv_handle_t *)&b->again, on_handle_closed);
}

void broker_set_anonymous(struct broker *b, bool anonymous)
{
    b->options.anonymous = anonymous;
}

/* ---- views ---- */

void broker_get_stats(const struct broker *b, struct broker_stats *ret)
{
    *ret = b->stats;
    ret->clients = b->attached;
    ret->sessions = b->sessions.count;
    ret->sessions_offline = ret->sessions - ret->clients;
    ret->subscriptions = b->subs.count;
    ret->retained = b->retained.count;
    ret->unfinished = b->bounds.unfinished_count;
    ret->shared_groups = b->subs.groups.count;
    ret->retained_bytes = retained_total(&b->retained);
    ret->waiting_bytes = b->queued_bytes + b->output_bytes;
}

void broker_visit_topics(const struct broker *b,
                         void (*visit)(void *ctx, const struct broker_topic_view *v), void *ctx)
{
    for (uint32_t i = 0; i < b->subs.ring_count; i++) {
        const struct topic_entry *e = b->subs.ring[i];
        struct broker_topic_view v = {
            .topic = { e->topic, e->topic_len },
            .value = { e->value, e->value_len },
            .payload_len = e->payload_len,
            .wall_ms = e->wall_ms,
            .count = e->count,
        };
        visit(ctx, &v);
    }
}

void broker_visit_clients(const struct broker *b,
                          void (*visit)(void *ctx, const struct broker_client_view *v), void *ctx)
{
    struct session *s;
    for (uint32_t i = 0; (s = sl_map_next(&b->sessions, &i));) {
        struct client *c = s->client;
        struct broker_client_view v = {
            .client_id = session_id(s),
            .username = sl_str(c ? c->username : NULL),
            .address = c ? c->transport->address(c) : sl_str(""),
            .protocol_version = c ? (int)c->version : 0,
            .connected = c != NULL,
            .subscriptions = s->sub_count,
            .queued = s->queue.count,
            .in_flight = s->window_open,
            .keep_alive_s = c ? c->keep_alive_ms / 1500 : 0,
            .since_wall_ms = s->since_wall_ms,
        };
        visit(ctx, &v);
    }
}
