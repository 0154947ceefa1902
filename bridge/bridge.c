/* bridge.c - the cloud connection as a state machine: attempts, back-off, draining, status. */
#include "bridge_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define USER_TIMEOUT_MS  30000 /* sent bytes that the peer's TCP does not acknowledge */
#define FAREWELL_MS      500   /* after DISCONNECT, for the server to close */
#define GATHER_IN_FLIGHT 32
#define CLOSED_EARLY_MAX 3 /* closes after CONNECT before the other version is tried */

/* ---- states ----
 *
 * resolving      the link looks up the name
 * connecting     the link has addresses and tries them
 * handshaking    TCP is up, TLS not yet
 * connack        CONNECT is out
 * subscribing    the server took us; SUBSCRIBE is out
 * online         the outbox knows the link as up; publishes go and are acknowledged
 * stalled        as online, but acknowledgements are overdue or refused: nothing new is sent
 * draining       closing: waits for acknowledgements, then for the server to hang up
 * backoff        no link; the deadline is the next attempt
 * stopped        no link, and there will be none
 * In the first four the deadline is that of the whole attempt. */
#define TO(s) (1u << BRIDGE_##s)
#define LOST  (TO(BACKOFF) | TO(STOPPED))
static const struct {
    const char *name, *word;
    unsigned next;
} rules[] = {
    [BRIDGE_DISABLED] = { "disabled", "disabled", TO(BACKOFF) },
    [BRIDGE_RESOLVING] = { "resolving", "connecting", TO(CONNECTING) | LOST },
    [BRIDGE_CONNECTING] = { "connecting", "connecting", TO(HANDSHAKING) | TO(CONNACK) | LOST },
    [BRIDGE_HANDSHAKING] = { "handshaking", "connecting", TO(CONNACK) | LOST },
    [BRIDGE_CONNACK] = { "connack", "connecting", TO(SUBSCRIBING) | TO(ONLINE) | LOST },
    [BRIDGE_SUBSCRIBING] = { "subscribing", "connecting", TO(ONLINE) | LOST },
    [BRIDGE_ONLINE] = { "online", "online", TO(STALLED) | TO(DRAINING) | LOST },
    [BRIDGE_STALLED] = { "stalled", "stalled", TO(ONLINE) | TO(DRAINING) | LOST },
    [BRIDGE_DRAINING] = { "draining", "online", TO(STOPPED) },
    [BRIDGE_BACKOFF] = { "backoff", "offline", TO(RESOLVING) | TO(STOPPED) },
    [BRIDGE_STOPPED] = { "stopped", "offline", 0 },
};

const char *bridge_state_word(enum bridge_state s)
{
    return rules[s].word;
}

int64_t bridge_now(const struct bridge *b)
{
    return sl_mono_ms(b->options.clock);
}

/* An attempt to connect does not end an outage: what is between two connections counts as one time.
 */
enum link_condition { LINK_OFF, LINK_AWAY, LINK_UP, LINK_LAGGING };

static enum link_condition link_condition(enum bridge_state s)
{
    switch (s) {
    case BRIDGE_DISABLED:
    case BRIDGE_STOPPED: return LINK_OFF;
    case BRIDGE_RESOLVING:
    case BRIDGE_CONNECTING:
    case BRIDGE_HANDSHAKING:
    case BRIDGE_CONNACK:
    case BRIDGE_SUBSCRIBING:
    case BRIDGE_BACKOFF: return LINK_AWAY;
    case BRIDGE_ONLINE:
    case BRIDGE_DRAINING: return LINK_UP;
    case BRIDGE_STALLED: return LINK_LAGGING;
    }
    return LINK_OFF;
}

/* The only writer of b->state. */
static void move(struct bridge *b, enum bridge_state to, int64_t deadline_ms)
{
    assert(rules[b->state].next & 1u << to);
    LOG_DEBUG("bridge", "%s -> %s", rules[b->state].name, rules[to].name);
    if (link_condition(b->state) != link_condition(to))
        b->since = sl_moment_now(b->options.clock);
    b->state = to;
    b->deadline_ms = deadline_ms;
}

static void announce(struct bridge *b)
{
    bool same = strcmp(rules[b->state].word, rules[b->announced_state].word) == 0 &&
                strcmp(b->why.cause, b->announced.cause) == 0 &&
                strcmp(b->why.error, b->announced.error) == 0;
    if (same)
        return;
    b->announced_state = b->state;
    b->announced = b->why;
    struct bridge_status status;
    bridge_get_status(b, &status);
    b->callbacks.on_state(b->callbacks.ctx, &status);
}

/* ---- protocol version ---- */

static void other_version(struct bridge *b)
{
    if (b->options.protocol_version != 5)
        return;
    b->version = b->version == MQTT_V5 ? MQTT_V311 : MQTT_V5;
    b->closed_early = 0;
}

/* Some servers that do not know MQTT 5 just hang up. So do others, for quite another reason: hence
 * the versions take turns. With 3.1.1 messages carry no identity, so it is not for one of which it
 * is known that it speaks 5 (a bad link may cut three connections in a row), nor for AWS. */
static void note_early_close(struct bridge *b)
{
    if (b->state != BRIDGE_CONNACK || b->spoke_5 || b->options.aws_limits ||
        ++b->closed_early < CLOSED_EARLY_MAX)
        return;
    b->guessed = b->version == MQTT_V5;
    other_version(b);
}

/* The older version was a guess: when that connection ends 5 is tried once again. */
static void doubt_guess(struct bridge *b)
{
    if (!b->guessed)
        return;
    b->guessed = false;
    b->version = MQTT_V5;
    b->closed_early = CLOSED_EARLY_MAX - 1;
}

/* ---- the end of a connection ---- */

static void bridge_release(struct bridge *b)
{
    assert(b->holds > 0);
    if (--b->holds > 0)
        return;
    void (*closed)(void *) = b->on_closed;
    void *ctx = b->closed_ctx;
    bridge_clear(b);
    free(b);
    if (closed)
        closed(ctx);
}

static void on_link_closed(void *ctx)
{
    bridge_release(ctx);
}

static void drop_link(struct bridge *b)
{
    if (!b->link)
        return;
    b->bytes_in += link_bytes_in(b->link);
    b->bytes_out += link_bytes_out(b->link);
    link_close(b->link, on_link_closed, b);
    b->link = NULL;
    b->writing = false;
}

/* Whatever there is of a connection goes; the outbox gets its items back. */
static void disconnect(struct bridge *b, bool hung_up)
{
    bool was_up = bridge_is_up(b);
    drop_link(b);
    client_lost(b->client, hung_up);
    if (!was_up)
        return;
    if (!pace_of(b->why.cause).unstable)
        backoff_was_up(&b->backoff, bridge_now(b) - b->up_since_ms);
    doubt_guess(b);
    batches_forget(&b->batches);
    outbox_return_all(b->options.outbox);
    outbox_set_link(b->options.outbox, false);
}

static void on_timer_closed(uv_handle_t *h)
{
    bridge_release(h->data);
}

static void stop(struct bridge *b)
{
    disconnect(b, false);
    outbox_on_ready(b->options.outbox, NULL, NULL);
    move(b, BRIDGE_STOPPED, CLIENT_NEVER);
    uv_close((uv_handle_t *)&b->timer, on_timer_closed);
}

/* The connection ended by the server's doing. When that happens again and again right after it came
 * up, there is a reason that it does not tell. */
static void note_kick(struct bridge *b)
{
    if (!bridge_is_up(b) || !client_blameless(b->client))
        return; /* suspicion.h looks after the latter */
    bool stable = bridge_now(b) - b->up_since_ms >= BACKOFF_STABLE_MS;
    b->kicks = stable ? 0 : b->kicks + 1;
    if (b->kicks >= PACE_KICKS)
        explain_kicks(&b->why, &b->peer, b->kicks);
}

/* b->why says why; hung_up: the server closed the connection in order. */
static void lose(struct bridge *b, bool hung_up)
{
    if (!bridge_is_up(b))
        b->connect_failures++;
    if (b->closing) {
        stop(b);
        return;
    }
    disconnect(b, hung_up);
    int64_t now = bridge_now(b);
    struct pace pace = pace_of(b->why.cause);
    move(b, BRIDGE_BACKOFF, now + backoff_next_ms(&b->backoff, now, pace.floor_ms, pace.cap_ms));
}

/* ---- the link's events ---- */

static void on_resolved(void *ctx)
{
    struct bridge *b = ctx;
    move(b, BRIDGE_CONNECTING, b->deadline_ms);
    bridge_settle(b);
}

static void on_connected(void *ctx)
{
    struct bridge *b = ctx;
    move(b, BRIDGE_HANDSHAKING, b->deadline_ms);
    bridge_settle(b);
}

static void on_open(void *ctx)
{
    struct bridge *b = ctx;
    move(b, BRIDGE_CONNACK, b->deadline_ms);
    memset(&b->refused_subscription, 0, sizeof b->refused_subscription);
    client_start(b->client, b->version, bridge_now(b));
    bridge_settle(b);
}

static void on_data(void *ctx, struct sl_slice bytes)
{
    struct bridge *b = ctx;
    client_feed(b->client, bytes, bridge_now(b));
    bridge_settle(b);
    /* A full window is refilled a quarter at a time, not one by one. */
    if (b->link && client_in_flight(b->client) >= GATHER_IN_FLIGHT)
        link_gather(b->link, client_in_flight(b->client) / 4);
}

static void on_written(void *ctx)
{
    struct bridge *b = ctx;
    b->writing = false;
    client_written(b->client);
    bridge_settle(b);
}

/* Certificates cannot be judged by a clock that was never set: that is the thing to say. */
static void note_clock(struct bridge *b)
{
    int64_t wall = sl_wall_ms(b->options.clock);
    if (wall < SL_WALL_PLAUSIBLE_MS && !b->closing)
        explain_clock(&b->why, wall);
}

static void on_ended(void *ctx, enum link_end why, const char *text)
{
    struct bridge *b = ctx;
    if (why == LINK_END_CLOSED || why == LINK_END_LOST)
        note_early_close(b);
    if (!b->closing)
        explain_end(&b->why, &b->peer, b->state, why, text);
    if (why == LINK_END_TLS)
        note_clock(b);
    if (why == LINK_END_CLOSED && !b->closing)
        note_kick(b);
    lose(b, why == LINK_END_CLOSED);
    bridge_settle(b);
}

/* ---- attempts ---- */

static enum sl_code load_certificates(struct bridge *b, struct tls_context **ret,
                                      struct sl_err *err)
{
    struct tls_options tls = { .cert_path = b->options.cert_path,
                               .key_path = b->options.key_path,
                               .ca_path = b->options.ca_path,
                               .alpn = b->alpn[0] ? b->alpn : NULL };
    *ret = NULL;
    if (!b->options.ca_path)
        return SL_OK;
    enum sl_code code = tls_context_new(ret, &tls, err);
    if (code == SL_OK)
        b->cert_not_after_s = tls_context_not_after(*ret);
    return code;
}

static enum sl_code open_link(struct bridge *b, struct tls_context *tls, struct sl_err *err)
{
    struct link_options options = { .loop = b->options.loop,
                                    .host = b->options.host,
                                    .port = b->options.port,
                                    .tls = tls,
                                    .user_timeout_ms = USER_TIMEOUT_MS };
    struct link_events events = { .ctx = b,
                                  .resolved = on_resolved,
                                  .connected = on_connected,
                                  .open = on_open,
                                  .data = on_data,
                                  .written = on_written,
                                  .ended = on_ended };
    enum sl_code code = link_open(&b->link, &options, &events, err);
    if (code == SL_OK)
        b->holds++;
    return code;
}

static void attempt(struct bridge *b)
{
    struct sl_err err = { 0 };
    struct tls_context *tls;
    int64_t now = bridge_now(b);
    move(b, BRIDGE_RESOLVING, now + b->options.connect_timeout_ms);
    backoff_attempt(&b->backoff, now);
    bool files = load_certificates(b, &tls, &err) != SL_OK;
    bool failed = files || open_link(b, tls, &err) != SL_OK;
    tls_context_unref(tls); /* the link has its own reference */
    if (!failed)
        return;
    explain_start(&b->why, &b->peer, &err, files);
    lose(b, false);
}

/* ---- what the client's phase means ---- */

static void online(struct bridge *b)
{
    b->connects++;
    b->closed_early = 0;
    b->spoke_5 = b->spoke_5 || b->version == MQTT_V5;
    b->up_since_ms = bridge_now(b);
    b->why = b->refused_subscription;
    b->dry = false;
    batches_set_room(&b->batches, client_payload_max(b->client), client_packet_max(b->client),
                     client_version(b->client) == MQTT_V5);
    move(b, BRIDGE_ONLINE, CLIENT_NEVER);
    outbox_set_link(b->options.outbox, true);
}

static void stall_or_recover(struct bridge *b)
{
    enum client_stall why = client_stall(b->client, bridge_now(b));
    if (why != CLIENT_FLOWS && (b->state == BRIDGE_ONLINE || b->state == BRIDGE_STALLED))
        explain_stall(&b->why, why);
    if (why != CLIENT_FLOWS && b->state == BRIDGE_ONLINE) {
        move(b, BRIDGE_STALLED, CLIENT_NEVER);
    } else if (why == CLIENT_FLOWS && b->state == BRIDGE_STALLED) {
        move(b, BRIDGE_ONLINE, CLIENT_NEVER);
        b->why = b->refused_subscription;
    }
}

static void fail(struct bridge *b)
{
    const struct client_fault *fault = client_fault(b->client);
    explain_fault(&b->why, &b->peer, fault);
    if (fault->kind == CLIENT_FAULT_VERSION)
        other_version(b);
    if (fault->kind == CLIENT_FAULT_DISCONNECTED && fault->reason != MQTT_RC_SESSION_TAKEN_OVER)
        note_kick(b);
    bridge_flush(b); /* a last DISCONNECT with the reason, if the socket takes it */
    lose(b, false);
}

static void follow_client(struct bridge *b)
{
    switch (client_phase(b->client)) {
    case CLIENT_IDLE:
    case CLIENT_CONNECTING:
    case CLIENT_ENDING: break;
    case CLIENT_SUBSCRIBING:
        if (b->state == BRIDGE_CONNACK)
            move(b, BRIDGE_SUBSCRIBING, CLIENT_NEVER);
        break;
    case CLIENT_UP:
        if (b->state == BRIDGE_CONNACK || b->state == BRIDGE_SUBSCRIBING)
            online(b);
        stall_or_recover(b);
        break;
    case CLIENT_FAILED: fail(b); break;
    }
}

/* ---- draining ---- */

static void follow_drain(struct bridge *b)
{
    int64_t now = bridge_now(b);
    if (client_phase(b->client) == CLIENT_ENDING) {
        if (now >= b->deadline_ms)
            stop(b);
        return;
    }
    bool left = client_in_flight(b->client) > 0 || !batches_empty(&b->batches);
    if (left && now < b->drain_until_ms)
        return;
    client_disconnect(b->client);
    b->deadline_ms = now + FAREWELL_MS;
}

/* ---- time ---- */

static void pass_deadline(struct bridge *b)
{
    switch (b->state) {
    case BRIDGE_BACKOFF: attempt(b); break;
    case BRIDGE_RESOLVING:
    case BRIDGE_CONNECTING:
    case BRIDGE_HANDSHAKING:
    case BRIDGE_CONNACK:
        explain_timeout(&b->why, &b->peer, b->state);
        lose(b, false);
        break;
    case BRIDGE_DISABLED:
    case BRIDGE_SUBSCRIBING:
    case BRIDGE_ONLINE:
    case BRIDGE_STALLED:
    case BRIDGE_DRAINING: /* follow_drain() looks at it */
    case BRIDGE_STOPPED: break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct bridge *b = timer->data;
    int64_t now = bridge_now(b);
    outbox_tell_time(b->options.outbox);
    client_tick(b->client, now);
    if (now >= b->deadline_ms)
        pass_deadline(b);
    bridge_settle(b);
}

static int64_t next_deadline(struct bridge *b, int64_t now)
{
    int64_t at = b->deadline_ms;
    int64_t client = client_deadline(b->client, now);
    if (client < at)
        at = client;
    int64_t to_send = b->state == BRIDGE_ONLINE && !b->dry ? now : batches_due(&b->batches);
    if (to_send == BATCHES_NEVER || (b->state != BRIDGE_ONLINE && b->state != BRIDGE_DRAINING))
        return at;
    int64_t room = client_room_at(b->client, now);
    if (room < to_send)
        room = to_send;
    return room < at ? room : at;
}

static void set_timer(struct bridge *b)
{
    if (b->state == BRIDGE_STOPPED)
        return;
    int64_t now = bridge_now(b), at = next_deadline(b, now);
    /* libuv measures from the start of this turn of the loop. */
    uv_update_time(b->options.loop);
    if (at == CLIENT_NEVER)
        (void)uv_timer_stop(&b->timer); /* cannot fail on an initialised timer */
    else
        (void)uv_timer_start(&b->timer, on_timer, at > now ? (uint64_t)(at - now) : 0, 0);
}

void bridge_settle(struct bridge *b)
{
    if (b->state == BRIDGE_STOPPED)
        return;
    follow_client(b);
    if (b->state == BRIDGE_DRAINING)
        follow_drain(b);
    else if (b->closing && b->state != BRIDGE_STOPPED)
        stop(b);
    bridge_pump(b);
    set_timer(b);
    announce(b);
}

/* ---- opening and closing ---- */

/* A bad certificate is worth knowing before the first attempt. */
static void check_certificates(struct bridge *b)
{
    struct sl_err err = { 0 };
    struct tls_context *tls;
    if (load_certificates(b, &tls, &err) != SL_OK)
        explain_start(&b->why, &b->peer, &err, true);
    tls_context_unref(tls);
}

enum sl_code bridge_open(struct bridge **ret, const struct bridge_options *options,
                         const struct bridge_callbacks *callbacks, struct sl_err *err)
{
    struct bridge *b = calloc(1, sizeof *b);
    if (!b)
        return sl_fail(err, SL_NOMEM, "memory is out");
    b->callbacks = *callbacks;
    b->holds = 1;
    enum sl_code code = bridge_fill(b, options, err);
    if (code == SL_OK && uv_timer_init(options->loop, &b->timer) != 0)
        code = sl_fail(err, SL_NOMEM, "memory is out");
    if (code != SL_OK) {
        bridge_release(b);
        return code;
    }
    b->timer.data = b;
    check_certificates(b);
    b->announced_state = BRIDGE_DISABLED; /* so that the first turn of the loop tells the state */
    move(b, BRIDGE_BACKOFF, bridge_now(b) + backoff_first_ms(&b->backoff));
    outbox_on_ready(b->options.outbox, bridge_on_outbox_ready, b);
    (void)uv_timer_start(&b->timer, on_timer, 0, 0); /* cannot fail: it has a callback */
    *ret = b;
    return SL_OK;
}

void bridge_close(struct bridge *b, int64_t grace_ms, void (*closed)(void *ctx), void *ctx)
{
    assert(!b->closing);
    b->closing = true;
    b->on_closed = closed;
    b->closed_ctx = ctx;
    b->drain_until_ms = bridge_now(b) + grace_ms;
    if (bridge_is_up(b)) {
        batches_close_all(&b->batches);
        move(b, BRIDGE_DRAINING, b->drain_until_ms);
    }
    /* The rest from the loop: the caller may stand inside one of our callbacks. */
    (void)uv_timer_start(&b->timer, on_timer, 0, 0); /* cannot fail: it has a callback */
}

bool bridge_is_connected(const struct bridge *b)
{
    return bridge_is_up(b);
}

void bridge_get_status(const struct bridge *b, struct bridge_status *ret)
{
    int64_t now = bridge_now(b);
    *ret = (struct bridge_status){
        .state = b->state,
        .since_wall_ms = sl_moment_wall_ms(&b->since, b->options.clock),
        .connects = b->connects,
        .connect_failures = b->connect_failures,
        .published = b->published,
        .acknowledged = b->acknowledged,
        .received = b->received,
        .dead = b->dead,
        .metered = client_metered(b->client) + b->metered_in,
        .refused = client_refused(b->client),
        .batches = b->batches_sent,
        .batched = b->batched,
        .bytes_out = b->bytes_out + (b->link ? link_bytes_out(b->link) : 0),
        .bytes_in = b->bytes_in + (b->link ? link_bytes_in(b->link) : 0),
        .in_flight = client_in_flight(b->client),
        .round_trip_ms = client_round_trip_ms(b->client),
        .protocol_version = (int)b->version,
        .cert_not_after_s = b->cert_not_after_s,
    };
    memcpy(ret->dropped, b->dropped, sizeof ret->dropped);
    if (b->state == BRIDGE_BACKOFF && b->deadline_ms > now)
        ret->next_attempt_ms = b->deadline_ms - now;
    memcpy(ret->cause, b->why.cause, sizeof ret->cause);
    memcpy(ret->error, b->why.error, sizeof ret->error);
}
