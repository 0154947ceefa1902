/* client_connect.c - CONNECT: checks, authentication, take-over, session, CONNACK. */
#include "access.h"
#include "alias_out.h"
#include "broker_internal.h"
#include "client.h"
#include "client_rare.h"
#include "durable.h"
#include "session.h"

#include "base/crypto.h"
#include "base/log.h"
#include "base/topic.h"

#include <stdio.h>
#include <stdlib.h>

/* A question to the hook that is not answered yet. Lives until the answer, however long the client
 * does. */
struct broker_auth {
    struct client *client; /* NULL once it is gone */
    bool asking;           /* inside the hook */
    bool answered, nameless;
    uint8_t reason; /* of the refusal; MQTT_RC_SUCCESS */
};

/* Mosquitto's bridges announce themselves in a tree that is Mosquitto's own, with a will, too, unless
 * they are told not to. It is dropped, like what they publish there: to refuse it would refuse the
 * bridge. */
static bool has_will(const struct mqtt_connect *p)
{
    return p->has_will && !sl_slice_starts(p->will.topic, sl_str("$SYS/broker/connection/"));
}

/* MQTT_RC_SUCCESS, or what is wrong with the will and client id. */
static uint8_t check_connect(const struct broker_options *o, const struct mqtt_connect *p,
                             const char **why)
{
    *why = NULL;
    if (mqtt_has(&p->props, MQTT_P_AUTH_METHOD) && !o->hooks.exchange) { /* [MQTT-4.12.0-1] */
        *why = "authentication methods are not available: use user name and password";
        return MQTT_RC_BAD_AUTH_METHOD;
    }
    if (p->client_id.len > BROKER_CLIENT_ID_MAX) {
        *why = "client id longer than 1,024 bytes";
        return MQTT_RC_CLIENT_ID_INVALID;
    }
    if (p->client_id.len == 0 && p->version != MQTT_V5 &&
        (!p->clean_start || p->version == MQTT_V31)) {
        *why = "empty client id without clean session"; /* [MQTT-3.1.3-8] */
        return MQTT_RC_CLIENT_ID_INVALID;
    }
    if (!has_will(p))
        return MQTT_RC_SUCCESS;
    if (!sl_topic_valid(p->will.topic) || !trie_depth_ok(p->will.topic) ||
        p->will.topic.ptr[0] == '$') {
        *why = "will topic not valid";
        return MQTT_RC_TOPIC_NAME_INVALID;
    }
    if (p->will.qos > o->max_qos) {
        *why = "will QoS above max_qos"; /* [MQTT-3.2.2-12] */
        return MQTT_RC_QOS_NOT_SUPPORTED;
    }
    if (p->will.retain && !o->retain) {
        *why = "will retain while retained messages are off"; /* [MQTT-3.2.2-13] */
        return MQTT_RC_RETAIN_NOT_SUPPORTED;
    }
    return MQTT_RC_SUCCESS;
}

static bool make_will(struct client *c, const struct mqtt_connect *p, struct session *s)
{
    if (!has_will(p))
        return true;
    struct sl_buf props = { 0 };
    mqtt_put_forwardable(&props, p->will.props.raw);
    struct sl_msg_parts parts = {
        .topic = p->will.topic,
        .props = sl_buf_slice(&props),
        .payload = p->will.payload,
        .sender = session_id(s),
        .expiry_s = mqtt_has(&p->will.props, MQTT_P_MESSAGE_EXPIRY) ? p->will.props.message_expiry
                                                                    : SL_MSG_NO_EXPIRY,
        .qos = p->will.qos,
        .retain = p->will.retain,
        .mono_ms = broker_now(c->broker),
        .wall_ms = broker_wall(c->broker),
        .origin = s->origin,
    };
    c->will = props.failed ? NULL : sl_msg_new(&parts);
    c->will_delay_s = mqtt_has(&p->will.props, MQTT_P_WILL_DELAY) ? p->will.props.will_delay : 0;
    sl_buf_free(&props);
    return c->will != NULL;
}

/* As many sessions may wait for their clients as may be connected, and those that were connected
 * then. More are not kept, and none that is new while the store takes nothing: an MQTT 5 client is
 * told so in CONNACK, and all find no session when they come back. */
static bool may_outlive(const struct broker *b)
{
    if (persist_is_down(b))
        return false;
    uint32_t waiting = b->sessions.count - b->attached; /* and the new one, not attached yet */
    if (waiting <= b->options.max_connections)
        return true;
    LOG_DEBUG("broker", "a session will not outlive its connection: %u wait already", waiting - 1);
    return false;
}

static uint32_t wanted_expiry(const struct client *c, const struct mqtt_connect *p, bool present)
{
    uint32_t max = present || may_outlive(c->broker) ? c->broker->options.session_expiry_max_s : 0;
    if (p->version != MQTT_V5)
        return p->clean_start ? 0 : max;
    uint32_t wanted = mqtt_has(&p->props, MQTT_P_SESSION_EXPIRY) ? p->props.session_expiry : 0;
    return wanted < max ? wanted : max;
}

/* The session for this client id, taken over from another connection or new; *ret_present as in
 * CONNACK. */
static struct session *find_session(struct client *c, struct sl_slice id, bool clean,
                                    bool *ret_present)
{
    struct broker *b = c->broker;
    struct session *s = sl_map_get(&b->sessions, session_key, id);
    if (s && s->client) { /* [MQTT-3.1.4-3] */
        client_close(s->client, MQTT_RC_SESSION_TAKEN_OVER,
                     "session taken over by a new connection");
        s = sl_map_get(&b->sessions, session_key, id); /* ended with the old connection, perhaps */
    }
    if (s && (clean || access_is_foreign(c, s))) {
        broker_bury(b, s);
        s = NULL;
    }
    *ret_present = s != NULL;
    if (s)
        return s;
    s = session_new(b, id);
    if (s && !sl_map_put(&b->sessions, session_key, s)) {
        session_free(s);
        return NULL;
    }
    return s;
}

static void take_limits(struct client *c, const struct mqtt_connect *p)
{
    uint32_t keep_alive = p->keep_alive_s, max = c->broker->options.max_keep_alive_s;
    if (keep_alive == 0 && p->version != MQTT_V5)
        c->keep_alive_ms = 0; /* an older client cannot be told otherwise */
    else
        c->keep_alive_ms = (keep_alive == 0 || keep_alive > max ? max : keep_alive) * 1500u;
    if (mqtt_has(&p->props, MQTT_P_RECEIVE_MAXIMUM))
        c->receive_max = p->props.receive_max;
}

/* Before anything is answered: how the answer must be. */
static void take_manners(struct client *c, const struct mqtt_connect *p)
{
    c->version = p->version;
    c->quiet = mqtt_has(&p->props, MQTT_P_REQUEST_PROBLEM_INFO) && !p->props.request_problem_info;
    if (mqtt_has(&p->props, MQTT_P_MAXIMUM_PACKET_SIZE))
        c->max_packet = p->props.max_packet_size;
}

/* Without memory for them it goes without aliases. */
static void offer_aliases(struct client *c, const struct mqtt_connect *p)
{
    uint32_t max = c->broker->options.topic_alias_max;
    struct client_rare *rare;
    if (!mqtt_has(&p->props, MQTT_P_TOPIC_ALIAS_MAXIMUM) || p->props.topic_alias_max == 0 ||
        max == 0 || !(rare = client_rare(c)))
        return; /* [MQTT-3.1.2-27] */
    if (p->props.topic_alias_max < max)
        max = p->props.topic_alias_max; /* [MQTT-3.1.2-26] */
    if (max > ALIAS_OUT_MAX)
        max = ALIAS_OUT_MAX;
    rare->aliases_out = alias_out_new((uint16_t)max);
}

static void describe_server(const struct client *c, const struct mqtt_connect *p, struct session *s,
                            struct mqtt_props *props)
{
    const struct broker_options *o = &c->broker->options;
    uint32_t asked = mqtt_has(&p->props, MQTT_P_SESSION_EXPIRY) ? p->props.session_expiry : 0;
    if (asked != s->expiry_s) {
        mqtt_set(props, MQTT_P_SESSION_EXPIRY);
        props->session_expiry = s->expiry_s;
    }
    mqtt_set(props, MQTT_P_RECEIVE_MAXIMUM);
    props->receive_max = (uint16_t)o->receive_maximum;
    if (o->max_qos < 2) {
        mqtt_set(props, MQTT_P_MAXIMUM_QOS);
        props->max_qos = o->max_qos;
    }
    if (!o->retain) {
        mqtt_set(props, MQTT_P_RETAIN_AVAILABLE);
        props->retain_available = 0;
    }
    mqtt_set(props, MQTT_P_MAXIMUM_PACKET_SIZE);
    props->max_packet_size = o->max_packet_size;
    mqtt_set(props, MQTT_P_TOPIC_ALIAS_MAXIMUM);
    props->topic_alias_max = (uint16_t)o->topic_alias_max;
    mqtt_set(props, MQTT_P_SHARED_SUBS_AVAILABLE);
    props->shared_subs_available = 1;
    if (p->client_id.len == 0) {
        mqtt_set(props, MQTT_P_ASSIGNED_CLIENT_ID);
        props->assigned_client_id = session_id(s);
    }
    if (p->keep_alive_s == 0 || p->keep_alive_s > o->max_keep_alive_s) {
        mqtt_set(props, MQTT_P_SERVER_KEEP_ALIVE);
        props->server_keep_alive = (uint16_t)o->max_keep_alive_s;
    }
}

static void log_connect(const struct client *c, const struct mqtt_connect *p, bool present)
{
    if (!sl_log_enabled(SL_DEBUG))
        return;
    struct sl_kv kv[] = {
        SL_KV_SLICE("client", session_id(c->session)),
        SL_KV_SLICE("from", c->transport->address((struct client *)c)),
        SL_KV_STR("user", c->username),
        SL_KV_INT("version", p->version),
        SL_KV_INT("session_present", present),
        SL_KV_END,
    };
    sl_log(SL_DEBUG, "broker", kv, "client connected");
}

/* Client ids for those that bring none: 64 random bits, so that they are not guessed nor repeated.
 */
static struct sl_slice assigned_id(char *buf, size_t size)
{
    uint64_t bits = crypto_random_below(UINT64_MAX);
    int n = snprintf(buf, size, "auto-%016llx", (unsigned long long)bits);
    return sl_bytes(buf, (size_t)n);
}

/* Asked before anything is done: whoever is refused does not end another connection. False:
 * refused. */
static bool will_allowed(struct client *c, const struct mqtt_connect *p, struct sl_slice id)
{
    if (!has_will(p))
        return true;
    switch (access_check_will(c, id, p->will.topic)) {
    case ACCESS_WILL_FINE: return true;
    case ACCESS_WILL_DENIED:
        client_refuse_for(c, p->version, MQTT_RC_NOT_AUTHORIZED, BROKER_REFUSED_ACCESS,
                          "its will is on a topic it may not publish to");
        return false;
    case ACCESS_NO_MEMORY: break;
    }
    client_refuse(c, p->version, MQTT_RC_SERVER_UNAVAILABLE, "out of memory for its access list");
    return false;
}

void client_accept(struct client *c, const struct mqtt_connect *p)
{
    char buf[32];
    bool present;
    struct sl_slice id = p->client_id.len > 0 ? p->client_id : assigned_id(buf, sizeof buf);
    bounds_finished(c->broker, c);
    if (!will_allowed(c, p, id))
        return;
    struct session *s = find_session(c, id, p->clean_start, &present);
    if (!s || !access_attach(c, s, present) || !make_will(c, p, s)) {
        if (s && !present)
            broker_bury(c->broker, s);
        client_refuse(c, p->version, MQTT_RC_SERVER_UNAVAILABLE, "out of memory for a session");
        return;
    }
    sl_msg_unref(s->will); /* the client is back: a delayed will is not sent [MQTT-3.1.3-9] */
    s->will = NULL;
    s->expiry_s = wanted_expiry(c, p, present);
    s->client = c;
    c->broker->attached++;
    c->broker->stats.connects++;
    s->since_wall_ms = broker_wall(c->broker);
    c->session = s;
    persist_attach(s);
    c->state = CLIENT_CONNECTED;
    take_limits(c, p);
    offer_aliases(c, p);
    struct mqtt_connack ack = { .session_present = present };
    if (p->version == MQTT_V5)
        describe_server(c, p, s, &ack.props);
    client_put_auth(c, &ack.props);
    struct sl_buf *out = client_out(c);
    size_t start = out->len;
    mqtt_encode_connack(out, p->version, &ack);
    c->clean_disconnect = true; /* a connection that never began has no will */
    if (!client_check_size(c, start, 0))
        return;
    c->clean_disconnect = false;
    log_connect(c, p, present);
    session_resume(s);
}

/* The hook's answer for a CONNECT that names a user. */
static void take_answer(struct client *c, const struct mqtt_connect *p,
                        const struct broker_auth *answer)
{
    c->nameless = answer->nameless;
    if (answer->reason == MQTT_RC_SUCCESS && (c->username = sl_slice_dup(p->username)))
        client_accept(c, p);
    else if (answer->reason == MQTT_RC_SERVER_BUSY)
        client_refuse(c, p->version, answer->reason, "too many passwords to check");
    else
        client_refuse(c, p->version, MQTT_RC_BAD_CREDENTIALS, "bad user name or password");
}

static void finish_auth(struct client *c, const struct broker_auth *answer)
{
    struct mqtt_frame f;
    struct mqtt_connect p;
    struct sl_cursor in = sl_cursor(sl_buf_slice(&c->in));
    c->auth = NULL;
    c->state = CLIENT_NEW;
    /* The packet was read once already, so this only fails if the bytes were lost. */
    if (mqtt_frame_next(&in, UINT32_MAX, &f, NULL) != MQTT_FRAME_OK ||
        mqtt_decode_connect(&f, &p, NULL) != MQTT_RC_SUCCESS) {
        client_close(c, 0, "out of memory for CONNECT");
        return;
    }
    take_answer(c, &p, answer);
    sl_buf_consume(&c->in, f.size);
    client_release_input(c, HOLD_AUTH);
}

static void auth_answer(struct broker_auth *auth, uint8_t reason, bool nameless)
{
    auth->reason = reason;
    auth->nameless = nameless;
    auth->answered = true;
    if (auth->asking)
        return; /* the asker goes on by itself */
    if (auth->client)
        finish_auth(auth->client, auth);
    free(auth);
}

void broker_auth_done(struct broker_auth *auth, bool ok)
{
    auth_answer(auth, ok ? MQTT_RC_SUCCESS : MQTT_RC_BAD_CREDENTIALS, false);
}

void broker_auth_nameless(struct broker_auth *auth)
{
    auth_answer(auth, MQTT_RC_SUCCESS, true);
}

void broker_auth_refuse(struct broker_auth *auth, uint8_t reason)
{
    auth_answer(auth, reason, false);
}

struct sl_slice broker_auth_address(const struct broker_auth *auth)
{
    return auth->client ? auth->client->transport->address(auth->client) : sl_str("");
}

void broker_auth_abandon(struct broker_auth *auth)
{
    auth->client = NULL;
}

/* Asks the hook. The CONNECT stays in the input until the answer comes. */
static void ask(struct client *c, const struct mqtt_connect *p)
{
    struct broker_hooks *h = &c->broker->options.hooks;
    struct broker_auth *auth = h->authenticate ? calloc(1, sizeof *auth) : NULL;
    if (!auth) {
        client_refuse(c, p->version, MQTT_RC_BAD_CREDENTIALS,
                      "a user name, but no users file to check it against");
        return;
    }
    *auth = (struct broker_auth){ .client = c, .asking = true };
    h->authenticate(h->ctx, auth, p->username, p->password);
    auth->asking = false;
    if (!auth->answered) {
        bounds_finished(c->broker, c);
        c->auth = auth;
        c->state = CLIENT_AUTHENTICATING;
        client_hold_input(c, HOLD_AUTH);
        return;
    }
    struct broker_auth answer = *auth;
    free(auth);
    take_answer(c, p, &answer);
}

/* [MQTT-3.1.4-1]: closed without CONNACK, except that version 5 has codes for it (4.13.1). */
static void refuse_malformed(struct client *c, const struct mqtt_frame *f, uint8_t fault,
                             const char *why)
{
    static const uint8_t v5[] = { 0, 4, 'M', 'Q', 'T', 'T', MQTT_V5 };
    if (!sl_slice_starts(f->body, sl_bytes(v5, sizeof v5)) ||
        !mqtt_reason_fits(fault, MQTT_CONNACK)) {
        client_close(c, 0, why ? why : mqtt_reason_name(fault));
        return;
    }
    c->version = MQTT_V5;
    client_refuse(c, MQTT_V5, fault, why);
}

void client_handle_connect(struct client *c, const struct mqtt_frame *f)
{
    struct mqtt_connect p;
    const char *why = NULL;
    uint8_t fault = mqtt_decode_connect(f, &p, &why);
    if (fault == MQTT_RC_UNSUPPORTED_VERSION) {
        client_refuse(c, MQTT_V311, fault, "unsupported protocol version"); /* [MQTT-3.1.2-2] */
        return;
    }
    if (fault) {
        refuse_malformed(c, f, fault, why);
        return;
    }
    take_manners(c, &p);
    fault = check_connect(&c->broker->options, &p, &why);
    if (fault)
        client_refuse(c, p.version, fault, why);
    else if (mqtt_has(&p.props, MQTT_P_AUTH_METHOD))
        client_begin_exchange(c, f, &p);
    else if (c->cert_name)
        client_accept(c, &p);
    else if (p.has_username)
        ask(c, &p);
    else if (c->broker->options.anonymous)
        client_accept(c, &p);
    else
        client_refuse(c, p.version, MQTT_RC_NOT_AUTHORIZED,
                      "no user name, and access.anonymous is not true");
}
