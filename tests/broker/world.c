/* world.c - the broker, its clients' transport, and what must be true of both. */
#include "world.h"

#include "base/topic.h"

#include <stdio.h>
#include <stdlib.h>

const char *const world_filters[FILTERS] = { "a", "a/b", "a/+", "#", "+/b", "a/#", "$SYS/#", "+" };
const char *const world_shares[SHARES] = { "$share/g/a/+", "$share/h/#" };
const char *const world_topics[TOPICS] = { "a", "a/b", "b/b", "c", "a/b/c", "$x" };

/* Aborts also where assertions are off. */
static void broken(int line, const char *what)
{
    fprintf(stderr, "world.c:%d: broken: %s\n", line, what);
    abort();
}
#define must(holds) ((holds) ? (void)0 : broken(__LINE__, #holds))

/* ---- what comes out of the broker ---- */

static uint16_t serial_of(struct sl_slice payload)
{
    unsigned serial = payload.len < 2 ? 0 : payload.ptr[0] * 256u + payload.ptr[1];
    return (uint16_t)(serial % SERIALS);
}

static bool fits_any(uint32_t filters, struct sl_slice topic)
{
    bool fits = false;
    for (unsigned i = 0; i < FILTERS; i++)
        if (filters & 1u << i)
            fits |= sl_topic_match(sl_str(world_filters[i]), topic);
    for (unsigned i = 0; i < SHARES; i++)
        if (filters & 1u << (FILTERS + i)) /* behind the share's name */
            fits |= sl_topic_match(sl_str(world_shares[i] + sizeof "$share/g/" - 1), topic);
    return fits;
}

/* QoS 0 waits nowhere: it stops with UNSUBACK [MQTT-3.10.4-2]. */
static void check_subscribed(const struct actor *a, const struct mqtt_publish *p)
{
    unsigned denied = a->world->denied;
    if (denied > 0 && a->heard && !p->dup)
        must(!sl_slice_eq(sl_str(world_topics[denied - 1]), p->topic));
    bool told = p->qos == 0 && !a->world->forgets;
    must(fits_any(told ? a->name->current : a->name->filters, p->topic));
}

static unsigned topic_index(struct sl_slice topic)
{
    unsigned i = 0;
    while (i < TOPICS && !sl_slice_eq(sl_str(world_topics[i]), topic))
        i++;
    return i;
}

/* Puts the topic in for an alias. No alias above what was asked for, and none that was not told
 * [MQTT-3.1.2-26, 3.1.2-27, 3.3.2-8]. */
static void resolve_alias(struct actor *a, struct mqtt_publish *p)
{
    if (!mqtt_has(&p->props, MQTT_P_TOPIC_ALIAS)) {
        must(p->topic.len > 0);
        return;
    }
    uint16_t alias = p->props.topic_alias;
    must(alias > 0 && alias <= a->alias_max && alias <= ALIASES);
    if (p->topic.len > 0) {
        a->alias_topic[alias - 1] = (uint8_t)(topic_index(p->topic) + 1);
        return;
    }
    unsigned told = a->alias_topic[alias - 1];
    must(told > 0);
    p->topic = sl_str(told > TOPICS ? "$SYS/x" : world_topics[told - 1]);
}

/* $SYS has numbers of its own. */
static void check_retain(const struct actor *a, const struct mqtt_publish *p)
{
    uint16_t serial = topic_index(p->topic) < TOPICS ? serial_of(p->payload) : 0;
    must(!p->retain || serial == 0 || a->world->retained[serial]);
}

/* A publisher's messages of one topic and QoS come in their order [MQTT-4.6.0-5]. What is sent
 * again or retained comes when it comes, and shared subscriptions give no order. */
static void check_order(struct actor *a, const struct mqtt_publish *p)
{
    uint16_t serial = serial_of(p->payload);
    unsigned topic = topic_index(p->topic);
    bool shares = a->name->filters >> FILTERS;
    if (p->dup || p->retain || serial == 0 || topic == TOPICS || shares || a->world->lapped)
        return;
    uint16_t *last = &a->name->last[a->world->publisher[serial]][topic][p->qos];
    must(serial > *last || a->world->unsafe); /* what was refused may come again */
    *last = serial;
}

/* Once per session, and the same again only until PUBREC. What is sent again need not have come
 * before. */
static void check_qos2(struct actor *a, const struct mqtt_publish *p)
{
    struct name *n = a->name;
    uint16_t serial = serial_of(p->payload);
    if (p->dup && n->open2[p->packet_id] == serial + 1)
        return;
    must(!p->dup || n->open2[p->packet_id] == 0 || a->world->forgets);
    /* One for all subscriptions of its own, and one for each share it was in. */
    unsigned copies = 1 + (unsigned)__builtin_popcount(n->filters >> FILTERS);
    must(n->taken[serial] < copies || serial == 0 || a->world->retained[serial] ||
         a->world->unsafe);
    n->open2[p->packet_id] = (uint16_t)(serial + 1);
    if (n->taken[serial] < UINT8_MAX)
        n->taken[serial]++;
}

static void on_publish(struct actor *a, const struct mqtt_frame *f)
{
    struct mqtt_publish p;
    must(mqtt_decode_publish(f, a->version, &p, NULL) == MQTT_RC_SUCCESS);
    if (a->world->raw)
        return;
    resolve_alias(a, &p);
    check_subscribed(a, &p);
    check_order(a, &p);
    check_retain(a, &p);
    if (p.qos == 0)
        return;
    must(++a->in_flight <= a->window_max);
    a->unacked[a->unacked_count++] = (struct owed){ .type = p.qos, .packet_id = p.packet_id };
    if (p.qos == 2)
        check_qos2(a, &p);
}

static void on_ack(struct actor *a, const struct mqtt_frame *f)
{
    struct mqtt_ack p;
    must(mqtt_decode_ack(f, a->version, &p, NULL) == MQTT_RC_SUCCESS);
    if (a->world->raw || f->type == MQTT_PUBCOMP)
        return;
    if (f->type == MQTT_PUBREL) { /* completed at once */
        struct sl_buf b = { 0 };
        mqtt_encode_ack(&b, a->version, MQTT_PUBCOMP,
                        &(struct mqtt_ack){ .packet_id = p.packet_id });
        if (a->world->durable) /* a crash may bring what was recorded once more, until now */
            a->name->open2[p.packet_id] = 0;
        for (unsigned i = 0; i < SL_ARRAY_LEN(a->recorded); i++) {
            if (a->recorded[i] == p.packet_id) {
                a->recorded[i] = 0;
                a->in_flight--;
            }
        }
        actor_feed(a, sl_buf_slice(&b));
        sl_buf_free(&b);
        return;
    }
    must(a->expected_count > 0 && a->expected[0].type == f->type &&
         a->expected[0].packet_id == p.packet_id);
    for (unsigned i = 0; i < a->world->hold_count; i++)
        must(a->world->holds[i].serial != a->expected[0].serial || p.reason >= 0x80 ||
             a->world->holds[i].store_down);
    memmove(a->expected, a->expected + 1, --a->expected_count * sizeof a->expected[0]);
    if (f->type == MQTT_PUBREC && p.packet_id < PACKET_IDS) {
        a->name->received[p.packet_id] = p.reason < 0x80;
        if (p.reason >= 0x80)
            a->name->pending[p.packet_id] = 0;
    }
}

static void forget_session(struct name *n)
{
    memset(n->open2, 0, sizeof n->open2);
    memset(n->pending, 0, sizeof n->pending);
    memset(n->received, 0, sizeof n->received);
    n->current = 0;
}

/* After a crash a publisher sends again what another session had of it, too. */
static void forget_taken(struct name *n)
{
    memset(n->taken, 0, sizeof n->taken);
}

static void on_connack(struct actor *a, const struct mqtt_frame *f)
{
    struct mqtt_connack p;
    must(!a->connected);
    must(mqtt_decode_connack(f, a->version, &p, NULL) == MQTT_RC_SUCCESS);
    if (p.reason != MQTT_RC_SUCCESS)
        return;
    a->connected = true;
    a->name = &a->world->names[a->name_index];
    must(a->world->raw || !(a->clean && p.session_present));
    if (!p.session_present)
        forget_session(a->name);
    if (!p.session_present && a->world->durable)
        forget_taken(a->name);
}

static void on_list_ack(struct actor *a, bool removes)
{
    if (a->world->raw)
        return;
    must(a->list_count > 0 && a->lists[0].removes == removes);
    if (removes)
        a->name->current &= ~a->lists[0].filters;
    memmove(a->lists, a->lists + 1, --a->list_count * sizeof a->lists[0]);
}

void actor_lists(struct actor *a, uint32_t filters, bool removes)
{
    must(a->list_count < LISTS_MAX);
    a->lists[a->list_count++] = (struct list){ filters, removes };
    for (unsigned i = 0; i < a->list_count; i++) /* subscribed again before UNSUBACK */
        if (!removes && a->lists[i].removes)
            a->lists[i].filters &= ~filters;
    if (removes)
        return;
    a->name->filters |= filters;
    a->name->current |= filters;
}

static void on_auth(struct actor *a, const struct mqtt_frame *f)
{
    struct mqtt_reasoned p;
    must(mqtt_decode_auth(f, &p, NULL) == MQTT_RC_SUCCESS);
    must(a->version == MQTT_V5 && (a->exchanges || a->world->raw));
    must(p.reason == (a->connected ? p.reason : (uint8_t)MQTT_RC_CONTINUE_AUTH));
}

static void on_frame(struct actor *a, const struct mqtt_frame *f)
{
    must(f->size <= a->max_packet || a->world->raw);
    must(a->connected || f->type == MQTT_CONNACK || f->type == MQTT_AUTH);
    switch (f->type) {
    case MQTT_AUTH: on_auth(a, f); break;
    case MQTT_CONNACK: on_connack(a, f); break;
    case MQTT_PUBLISH: on_publish(a, f); break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: on_ack(a, f); break;
    case MQTT_SUBACK: on_list_ack(a, false); break;
    case MQTT_UNSUBACK: on_list_ack(a, true); break;
    case MQTT_PINGRESP: break;
    case MQTT_DISCONNECT: must(a->version == MQTT_V5); break;
    default: abort();
    }
}

static void read_all(struct actor *a)
{
    struct mqtt_frame f;
    struct sl_buf bytes = a->received; /* what is fed back may bring more */
    a->received = (struct sl_buf){ 0 };
    struct sl_cursor in = sl_cursor(sl_buf_slice(&bytes));
    if (a->world->raw && a->client.version != a->version)
        a->version = a->client.version; /* as CONNECT's bytes had it */
    while (in.left > 0) {
        must(mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK);
        on_frame(a, &f);
    }
    sl_buf_free(&bytes);
}

/* ---- the transport ---- */

static struct actor *actor_of(struct client *c)
{
    return SL_CONTAINER_OF(c, struct actor, client);
}

static void flush(struct client *c)
{
    struct actor *a = actor_of(c);
    struct outq_iov iov[OUTQ_IOV_MAX];
    while (!a->stuck && outq_left(&c->out) > 0) {
        unsigned n = outq_iov(&c->out, iov);
        size_t total = 0;
        for (unsigned i = 0; i < n; i++) {
            sl_buf_put(&a->received, iov[i].ptr, iov[i].len);
            total += iov[i].len;
        }
        outq_advance(&c->out, total);
    }
    if (!a->stuck)
        outq_release(&c->out, &c->broker->pool);
}

static void reading(struct client *c, bool on)
{
    must(!on || !c->held);
}

static void want_close(struct client *c)
{
    actor_of(c)->close_wanted = true;
    broker_mark_dirty(c->broker, c);
}

static struct sl_slice address(struct client *c)
{
    (void)c;
    return sl_str("fuzz");
}

void actor_open(struct actor *a, struct world *w, enum mqtt_version v)
{
    static const struct client_transport transport = { flush, reading, want_close, address };
    *a = (struct actor){
        .world = w, .version = v, .window_max = 3, .max_packet = UINT32_MAX, .heard = true
    };
    a->open = client_open(&a->client, w->broker, &transport);
}

/* As on_conn_closed: after the turn in which it was closed. */
static void bury_closed(struct world *w)
{
    for (unsigned i = 0; i < ACTORS; i++) {
        struct actor *a = &w->actors[i];
        if (!a->open || !a->close_wanted || a->client.dirty)
            continue;
        a->open = false;
        client_fini(&a->client);
        sl_buf_free(&a->received);
    }
}

void actor_drop(struct actor *a)
{
    client_eof(&a->client);
    world_turn(a->world);
}

void actor_feed(struct actor *a, struct sl_slice bytes)
{
    if (a->open && !a->close_wanted && !a->client.held)
        client_receive(&a->client, bytes);
    store_step_over(&a->world->store);
}

void actor_record(struct actor *a, uint16_t packet_id)
{
    unsigned i = 0;
    while (i < SL_ARRAY_LEN(a->recorded) && a->recorded[i])
        i++;
    must(i < SL_ARRAY_LEN(a->recorded)); /* there are no more in flight */
    a->recorded[i] = packet_id;
}

void actor_expect(struct actor *a, uint8_t type, uint16_t packet_id, uint16_t serial)
{
    must(a->expected_count < EXPECTED_MAX);
    a->expected[a->expected_count++] = (struct owed){ type, packet_id, serial };
}

/* ---- taps and hooks ---- */

static void hold(struct world *w, const struct sl_msg *m, struct broker_receipt *receipt)
{
    if (receipt && w->hold_count < HOLDS_MAX)
        w->holds[w->hold_count++] = (struct hold){ broker_ack_hold(receipt),
                                                   serial_of(sl_msg_payload(m)), w->store.broken };
}

static void publish_from_inside(struct world *w, const struct sl_msg *m,
                                struct broker_receipt *receipt)
{
    struct sl_msg_parts parts = {
        .topic = sl_str("a"), .expiry_s = SL_MSG_NO_EXPIRY, .qos = 1, .origin = 1, .mono_ms = w->ms
    };
    struct sl_msg *inner = m->origin >= BROKER_ORIGIN_CLIENTS ? sl_msg_new(&parts) : NULL;
    if (inner && broker_publish_for(w->broker, inner, receipt) != SL_OK)
        w->unsafe = true;
    sl_msg_unref(inner);
}

static void on_message(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct world *w = ctx;
    switch (w->tap_does) {
    case TAP_NOTHING: break;
    case TAP_HOLDS_TWICE: hold(w, m, receipt); /* fall through */
    case TAP_HOLDS: hold(w, m, receipt); break;
    case TAP_RELEASES: world_release(w, 0, MQTT_RC_SUCCESS); break;
    case TAP_PUBLISHES: publish_from_inside(w, m, receipt); break;
    case TAP_REFUSES:
        w->unsafe = true;
        broker_receipt_refuse(receipt, MQTT_RC_QUOTA_EXCEEDED);
        break;
    }
}

void world_release(struct world *w, unsigned at, uint8_t reason)
{
    if (w->hold_count == 0)
        return;
    at %= w->hold_count;
    struct broker_ack *ack = w->holds[at].ack;
    w->holds[at] = w->holds[--w->hold_count];
    w->unsafe |= reason >= 0x80;
    broker_ack_release(ack, reason);
}

static void authenticate(void *ctx, struct broker_auth *auth, struct sl_slice user,
                         struct sl_slice password)
{
    struct world *w = ctx;
    (void)password;
    if (user.len == 0 || user.ptr[0] != 'l' || w->asked_count == ACTORS)
        broker_auth_done(auth, user.len == 0 || user.ptr[0] != 'n');
    else
        w->asked[w->asked_count++] = auth;
}

void world_answer(struct world *w, bool ok)
{
    if (w->asked_count == 0)
        return;
    struct broker_auth *auth = w->asked[0];
    memmove(w->asked, w->asked + 1, --w->asked_count * sizeof w->asked[0]);
    broker_auth_done(auth, ok);
}

/* The plug-in: "now" is answered at once as its data says, anything else when the world says so. */
static void exchange(void *ctx, struct broker_exchange *x, const struct broker_step *step)
{
    struct world *w = ctx;
    struct broker_answer a = { .verdict = BROKER_CONTINUE, .data = sl_str("more") };
    if (!*step->state) {
        *step->state = malloc(1);
        w->memories += *step->state != NULL;
    }
    if (!sl_slice_eq(step->method, sl_str("now")) && w->thinking_count < ACTORS) {
        w->thinking[w->thinking_count++] = x;
        return;
    }
    if (step->data.len > 0 && step->data.ptr[0] != 'm')
        a.verdict = step->data.ptr[0] == 'y' ? BROKER_ACCEPT : BROKER_REFUSE;
    broker_exchange_answer(x, &a);
}

static void exchange_done(void *ctx, void *state)
{
    must(((struct world *)ctx)->memories-- > 0);
    free(state);
}

void world_exchange(struct world *w, unsigned verdict)
{
    if (w->thinking_count == 0)
        return;
    struct broker_exchange *x = w->thinking[0];
    memmove(w->thinking, w->thinking + 1, --w->thinking_count * sizeof(void *));
    broker_exchange_answer(x,
                           &(struct broker_answer){ .verdict = (enum broker_verdict)(verdict % 3),
                                                    .data = sl_str("more"),
                                                    .reason = MQTT_RC_BANNED });
}

/* ---- life ---- */

static int64_t now(void *ctx)
{
    return ((struct world *)ctx)->ms;
}

void world_open(struct world *w, bool durable)
{
    *w = (struct world){ .ms = 1000000, .serial = 1, .durable = durable };
    w->clock = (struct sl_clock){ now, now, w };
    if (durable)
        store_open(&w->store);
    world_start(w);
}

void world_start(struct world *w)
{
    w->closed = false;
    struct broker_options o = {
        .loop = &w->loop,
        .clock = &w->clock,
        .hooks = { .ctx = w,
                   .authenticate = authenticate,
                   .exchange = exchange,
                   .exchange_done = exchange_done },
        .version = "fuzz",
        .anonymous = true,
        .max_connections = ACTORS - 1,
        .max_packet_size = 8192,
        .max_inflight = 3,
        .receive_maximum = 3,
        .max_queued_messages = 5,
        .max_queued_bytes = 20000,
        .topic_alias_max = 2,
        .max_qos = 2,
        .retain = true,
        .max_retained_bytes = 4000,
        .max_keep_alive_s = 60,
        .session_expiry_max_s = 50,
        .connect_timeout_ms = 5000,
        .sys_interval_ms = 20000,
        .persistence = w->durable ? &w->store.face : NULL,
        .spill_ms = 1500,
    };
    must(uv_loop_init(&w->loop) == 0);
    must(broker_open(&w->broker, &o, NULL) == SL_OK);
    w->taps[0] = broker_tap(w->broker, sl_str("#"), on_message, w);
    w->taps[1] = broker_tap(w->broker, sl_str("a/+"), on_message, w);
    must(w->taps[0] && w->taps[1]);
}

static void on_closed(void *ctx)
{
    ((struct world *)ctx)->closed = true;
}

void world_close(struct world *w)
{
    world_end(w);
    if (w->durable)
        store_free(&w->store);
}

void world_end(struct world *w)
{
    for (unsigned i = 0; i < ACTORS; i++)
        if (w->actors[i].open)
            actor_drop(&w->actors[i]);
    broker_untap(w->broker, w->taps[0]);
    broker_untap(w->broker, w->taps[1]);
    broker_close(w->broker, on_closed, w);
    while (w->asked_count > 0)
        world_answer(w, true);
    while (w->thinking_count > 0)
        world_exchange(w, BROKER_ACCEPT);
    while (w->hold_count > 0)
        world_release(w, 0, MQTT_RC_SUCCESS);
    while (!w->closed) {
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        world_commit(w);
    }
    world_commit(w);
    must(w->memories == 0 && uv_loop_close(&w->loop) == 0);
}

void world_turn(struct world *w)
{
    bool more;
    do { /* what a client answers to what it reads */
        broker_flush(w->broker);
        store_step_over(&w->store);
        if (w->durable && !w->holds_commits && w->store.op_count > 0) {
            world_commit(w);
            broker_flush(w->broker);
        }
        more = false;
        for (unsigned i = 0; i < ACTORS; i++) {
            struct actor *a = &w->actors[i];
            if (a->open && a->received.len > 0) {
                read_all(a);
                more = true;
            }
        }
    } while (more);
    bury_closed(w);
}

void world_second(struct world *w)
{
    w->ms += 1000;
    w->broker->tick.timer_cb(&w->broker->tick);
    world_spill(w);
    world_turn(w);
}

/* ---- the broker from inside ---- */

static void check_client(const struct world *w, const struct client *c)
{
    const struct broker_options *o = &w->broker->options;
    must(outq_left(&c->out) <= o->max_queued_bytes + 64 * 1024 + 2 * o->max_packet_size);
    must(c->in.len <= o->max_packet_size + 65536);
    must(c->ack_count <= o->receive_maximum);
    must(!c->out.bytes.failed && !c->in.failed);
    if (c->state != CLIENT_CONNECTED)
        return;
    must(c->session && c->session->client == c);
    must(c->version != MQTT_V5 || client_receive_window(c) <= o->receive_maximum);
}

static uint32_t count_open(const struct delivery_ring *r, uint32_t places)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < places; i++)
        n += r->items[(r->head + i) & (r->cap - 1)].msg != NULL;
    return n;
}

static uint64_t check_session(const struct world *w, const struct session *s)
{
    const struct broker_options *o = &w->broker->options;
    uint32_t subs = 0;
    if (!w->durable) /* else what was in the window, done with or not, is in it after a crash */
        must(s->queue.count <= o->max_queued_messages && s->queued_bytes <= o->max_queued_bytes);
    must(s->window_sent <= s->window.count);
    must(count_open(&s->window, s->window.count) == s->window_open);
    if (s->client)
        must(count_open(&s->window, s->window_sent) == s->in_flight);
    must(s->window_open <= 2 * o->max_inflight);
    for (const struct subscription *sub = s->subs; sub; sub = sub->next)
        subs++;
    if (!s->client && s->expiry_s != UINT32_MAX) /* [MQTT-4.1.0-2]; looked at once a second */
        must(w->ms - s->offline_since_ms <= (int64_t)s->expiry_s * 1000 + 1000);
    must(subs == s->sub_count && (subs > 0 || s->sub_bytes == 0));
    return s->queue.count;
}

void world_check(struct world *w)
{
    const struct session *s;
    struct broker *b = w->broker;
    uint64_t queued = 0, attached = 0, subs = 0;
    for (uint32_t i = 0; i < b->client_count; i++)
        check_client(w, b->clients[i]);
    for (uint32_t i = 0; (s = sl_map_next(&b->sessions, &i));) {
        queued += check_session(w, s);
        attached += s->client != NULL;
        subs += s->sub_count;
    }
    must(queued == b->stats.queued && attached == b->attached && subs == b->subs.count);
    must(b->sessions.count <= 2 * b->options.max_connections);
    must(b->client_count <= b->options.max_connections);
    must(b->buried_count == 0 && !b->dirty);
}
