/* client_time.c - what the MQTT client does when time passes: overdue and refused publishes,
 * SUBSCRIBE again, pings. Pure. */
#include "client_internal.h"

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The server has acknowledged one that was sent later: this one got lost on its side. */
static bool skipped(const struct client *c, const struct flight *fl)
{
    return fl->seq < c->last_ack_seq;
}

/* When the oldest publish counts as overdue: ack_timeout after it was sent. While the server works
 * through a queue of ours in order, every acknowledgement starts the time anew, or a slow link
 * would have everything sent twice; and when it says nothing at all, one publish is sent again as
 * a question, not all of them. */
static int64_t overdue_at(const struct client *c)
{
    const struct flight *fl = c->flights.oldest;
    if (!fl)
        return CLIENT_NEVER;
    int64_t from = fl->sent_ms;
    if (!skipped(c, fl))
        from = later(from, later(c->last_ack_ms, c->asked_ms));
    return from + c->options.ack_timeout_ms;
}

/* True when there is no hope left for this connection. */
static bool give_up_waiting(struct client *c, const struct flight *fl, int64_t now_ms)
{
    if (skipped(c, fl))
        return fl->tries >= CLIENT_TRIES_MAX;
    if (c->silent_since_ms == CLIENT_NEVER)
        c->silent_since_ms = now_ms - c->options.ack_timeout_ms;
    c->asked_ms = now_ms;
    return now_ms - c->silent_since_ms >= CLIENT_TRIES_MAX * c->options.ack_timeout_ms;
}

static bool may_send_again(struct client *c, int64_t now_ms)
{
    return c->phase == CLIENT_UP && c->out.len < CLIENT_OUTPUT_HIGH &&
           pacer_ready_at(&c->pacer, now_ms) <= now_ms;
}

static void tick_overdue(struct client *c, int64_t now_ms)
{
    while (overdue_at(c) <= now_ms && may_send_again(c, now_ms)) {
        struct flight *fl = c->flights.oldest;
        if (!give_up_waiting(c, fl, now_ms)) {
            client_send_again(c, fl, now_ms);
            continue;
        }
        client_fail(c, CLIENT_FAULT_NO_PUBACK, 0,
                    "the server does not acknowledge what is published (%u wait; the last "
                    "acknowledgement came %lld s ago)",
                    c->flights.sent, (long long)((now_ms - c->last_ack_ms) / 1000));
    }
}

static void tick_refused(struct client *c, int64_t now_ms)
{
    while (may_send_again(c, now_ms) && c->flights.sent < c->cautious) {
        struct flight *fl = flights_next_retry(&c->flights);
        if (!fl || fl->retry_ms > now_ms)
            return;
        client_send_again(c, fl, now_ms);
    }
}

static void tick_subscribe(struct client *c, int64_t now_ms)
{
    if (c->phase != CLIENT_SUBSCRIBING || now_ms < c->subscribe_sent_ms + c->options.ack_timeout_ms)
        return;
    if (c->subscribe_tries >= CLIENT_TRIES_MAX)
        client_fail(c, CLIENT_FAULT_NO_SUBACK, 0, "the server does not answer SUBSCRIBE");
    else
        client_send_subscribes(c, now_ms);
}

/* The keep-alive interval runs out when we are silent; a silent server is asked, too. */
static int64_t keep_alive_at(const struct client *c)
{
    if (c->keep_alive_ms == 0)
        return CLIENT_NEVER;
    int64_t from = c->last_sent_ms < c->last_received_ms ? c->last_sent_ms : c->last_received_ms;
    return from + c->keep_alive_ms;
}

/* When a publish waits and nothing at all comes, the server is asked early. */
static int64_t ask_at(const struct client *c)
{
    const struct flight *fl = c->flights.oldest;
    if (!fl || c->options.ask_after_ms == 0)
        return CLIENT_NEVER;
    return later(fl->sent_ms, c->last_received_ms) + client_patience_ms(c, c->options.ask_after_ms);
}

static int64_t ping_at(const struct client *c)
{
    return earlier(keep_alive_at(c), ask_at(c));
}

static int64_t ping_timeout_ms(const struct client *c)
{
    bool shorter = c->keep_alive_ms > 0 && c->keep_alive_ms < PING_TIMEOUT_MS;
    return shorter ? c->keep_alive_ms : PING_TIMEOUT_MS;
}

static void tick_ping(struct client *c, int64_t now_ms)
{
    if (c->ping_sent_ms == CLIENT_NEVER) {
        if (now_ms < ping_at(c))
            return;
        mqtt_encode_pingreq(&c->out);
        c->ping_sent_ms = now_ms;
    } else if (now_ms >= c->ping_sent_ms + ping_timeout_ms(c)) {
        client_fail(c, CLIENT_FAULT_KEEP_ALIVE, 0, "the server did not answer a ping within %lld s",
                    (long long)(ping_timeout_ms(c) / 1000));
    }
}

static bool running(const struct client *c)
{
    return c->phase == CLIENT_SUBSCRIBING || c->phase == CLIENT_UP;
}

void client_tick(struct client *c, int64_t now_ms)
{
    if (!running(c))
        return;
    size_t before = c->out.len;
    tick_overdue(c, now_ms);
    tick_refused(c, now_ms);
    tick_subscribe(c, now_ms);
    tick_ping(c, now_ms);
    client_settle_output(c, before, now_ms);
}

/* When client_stall() will answer otherwise. */
static int64_t stall_at(const struct client *c, int64_t now_ms)
{
    int64_t at = CLIENT_NEVER;
    if (c->ping_sent_ms != CLIENT_NEVER && c->flights.sent > 0 && !client_silent(c, now_ms))
        at = c->ping_sent_ms + client_patience_ms(c, SILENT_MS);
    if (c->refused_since_ms != CLIENT_NEVER && now_ms < c->refused_since_ms + REFUSED_STALL_MS)
        at = earlier(at, c->refused_since_ms + REFUSED_STALL_MS);
    return at;
}

int64_t client_deadline(struct client *c, int64_t now_ms)
{
    if (!running(c))
        return CLIENT_NEVER;
    int64_t at =
        c->ping_sent_ms == CLIENT_NEVER ? ping_at(c) : c->ping_sent_ms + ping_timeout_ms(c);
    at = earlier(at, stall_at(c, now_ms));
    if (c->phase == CLIENT_SUBSCRIBING)
        return earlier(at, c->subscribe_sent_ms + c->options.ack_timeout_ms);
    if (c->out.len >= CLIENT_OUTPUT_HIGH)
        return at; /* nothing can be sent again before the hand-over */
    int64_t paced = pacer_ready_at(&c->pacer, now_ms);
    struct flight *fl = flights_next_retry(&c->flights);
    if (fl && c->flights.sent < c->cautious)
        at = earlier(at, later(fl->retry_ms, paced));
    return earlier(at, later(overdue_at(c), paced));
}
