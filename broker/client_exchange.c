/* client_exchange.c - enhanced authentication (MQTT 5, 4.12): AUTH packets between a client and the
 * plug-in behind broker_hooks.exchange, for CONNECT and for authenticating again.
 *
 * An exchange belongs to its client, and lives as long: once it is done the client may begin again
 * with the same method. While the plug-in thinks it may outlive the client; then its answer frees
 * it. */
#include "broker_internal.h"
#include "client.h"
#include "client_rare.h"

#include <stdlib.h>

enum exchange_turn {
    TURN_NOBODY, /* done: the client may begin again */
    TURN_CLIENT, /* AUTH with 0x18 is wanted */
    TURN_PLUGIN, /* thinking */
};

struct broker_exchange {
    struct broker *broker;
    struct client *client; /* NULL once it is gone */
    enum exchange_turn turn;
    bool asking;           /* inside the hook */
    bool connected;        /* CONNACK went out: what happens now is another authentication */
    struct sl_buf connect; /* CONNECT's body, until CONNACK */
    struct sl_buf data;    /* the plug-in's, for the next packet */
    char *username;        /* of the plug-in, or NULL */
    void *state;           /* the plug-in's own */
    enum broker_verdict verdict;
    uint8_t reason;
    uint16_t method_len;
    uint8_t method[];
};

static void exchange_free(struct broker_exchange *x)
{
    const struct broker_hooks *h = &x->broker->options.hooks;
    if (x->state && h->exchange_done)
        h->exchange_done(h->ctx, x->state);
    sl_buf_free(&x->connect);
    sl_buf_free(&x->data);
    free(x->username);
    free(x);
}

void client_drop_exchange(struct client *c)
{
    struct broker_exchange *x = c->rare ? c->rare->auth : NULL;
    if (!x)
        return;
    c->rare->auth = NULL;
    x->client = NULL;
    if (x->turn != TURN_PLUGIN)
        exchange_free(x);
}

static struct sl_slice method_of(const struct broker_exchange *x)
{
    return sl_bytes(x->method, x->method_len);
}

/* Before CONNACK there is no DISCONNECT. */
static void give_up(struct client *c, uint8_t reason, const char *why)
{
    if (c->state == CLIENT_CONNECTED)
        client_close(c, reason, why);
    else
        client_refuse(c, MQTT_V5, reason, why);
}

/* ---- the plug-in's answers ---- */

static void send_auth(struct client *c, uint8_t reason)
{
    struct mqtt_reasoned a = { .reason = reason };
    client_put_auth(c, &a.props);
    struct sl_buf *out = client_out(c);
    size_t start = out->len;
    mqtt_encode_auth(out, &a);
    if (client_fits(c, start))
        return;
    out->len = start;
    give_up(c, MQTT_RC_PACKET_TOO_LARGE, "AUTH is larger than its maximum packet size");
}

void client_put_auth(const struct client *c, struct mqtt_props *props)
{
    const struct broker_exchange *x = c->rare ? c->rare->auth : NULL;
    if (!x)
        return;
    mqtt_set(props, MQTT_P_AUTH_METHOD);
    props->auth_method = method_of(x);
    if (x->data.len > 0) {
        mqtt_set(props, MQTT_P_AUTH_DATA);
        props->auth_data = sl_buf_slice(&x->data);
    }
}

/* CONNECT is decoded again: it was right once, so this only fails when memory is out. */
static void let_in(struct client *c, struct broker_exchange *x)
{
    struct mqtt_connect p;
    struct mqtt_frame f = { .type = MQTT_CONNECT, .body = sl_buf_slice(&x->connect) };
    struct sl_buf connect = x->connect; /* the client may be closed, and x with it */
    x->connect = (struct sl_buf){ 0 };
    x->connected = true;
    if (mqtt_decode_connect(&f, &p, NULL) != MQTT_RC_SUCCESS) {
        client_refuse(c, MQTT_V5, MQTT_RC_SERVER_UNAVAILABLE, "out of memory for CONNECT");
    } else {
        free(c->username);
        c->username = x->username;
        x->username = NULL;
        client_accept(c, &p);
    }
    sl_buf_free(&connect);
}

static void accepted(struct client *c, struct broker_exchange *x)
{
    x->turn = TURN_NOBODY;
    if (c->state == CLIENT_CONNECTED)
        send_auth(c, MQTT_RC_SUCCESS); /* who it is does not change with it */
    else
        let_in(c, x);
}

/* [MQTT-4.12.0-4, 4.12.1-2] */
static void refused(struct client *c, struct broker_exchange *x)
{
    enum mqtt_type type = x->connected ? MQTT_DISCONNECT : MQTT_CONNACK;
    uint8_t reason = x->reason < MQTT_RC_UNSPECIFIED || !mqtt_reason_fits(x->reason, type)
                         ? MQTT_RC_NOT_AUTHORIZED
                         : x->reason;
    x->turn = TURN_NOBODY;
    give_up(c, reason, "the authentication failed");
}

static void act_on_answer(struct broker_exchange *x)
{
    struct client *c = x->client;
    if (!c) {
        x->turn = TURN_NOBODY;
        exchange_free(x);
        return;
    }
    client_release_input(c, HOLD_AUTH);
    switch (x->verdict) {
    case BROKER_CONTINUE:
        x->turn = TURN_CLIENT;
        send_auth(c, MQTT_RC_CONTINUE_AUTH); /* [MQTT-4.12.0-2] */
        break;
    case BROKER_ACCEPT: accepted(c, x); break;
    case BROKER_REFUSE: refused(c, x); break;
    }
}

void broker_exchange_answer(struct broker_exchange *x, const struct broker_answer *a)
{
    x->verdict = a->verdict;
    x->reason = a->reason;
    sl_buf_reset(&x->data);
    sl_buf_put_slice(&x->data, a->data);
    if (a->username.ptr && !x->connected) {
        free(x->username);
        x->username = sl_slice_dup(a->username);
    }
    if (x->data.failed || (a->username.ptr && !x->connected && !x->username)) {
        x->verdict = BROKER_REFUSE;
        x->reason = MQTT_RC_QUOTA_EXCEEDED;
    }
    x->turn = TURN_NOBODY; /* no longer the plug-in's */
    if (!x->asking)
        act_on_answer(x);
}

/* ---- the client's packets ---- */

static void ask_plugin(struct client *c, struct broker_exchange *x, const struct mqtt_props *props,
                       const struct mqtt_connect *connect)
{
    const struct broker_hooks *h = &c->broker->options.hooks;
    struct broker_step step = {
        .method = method_of(x),
        .data = mqtt_has(props, MQTT_P_AUTH_DATA) ? props->auth_data : (struct sl_slice){ 0 },
        .client_id = connect ? connect->client_id : (struct sl_slice){ 0 },
        .username = connect ? connect->username : (struct sl_slice){ 0 },
        .password = connect ? connect->password : (struct sl_slice){ 0 },
        .again = x->connected,
        .state = &x->state,
    };
    x->turn = TURN_PLUGIN;
    x->asking = true;
    h->exchange(h->ctx, x, &step);
    x->asking = false;
    if (x->turn != TURN_PLUGIN)
        act_on_answer(x);
    else if (!x->connected) /* a connected client goes on with what it does */
        client_hold_input(c, HOLD_AUTH);
}

void client_begin_exchange(struct client *c, const struct mqtt_frame *f,
                           const struct mqtt_connect *p)
{
    struct sl_slice method = p->props.auth_method;
    struct client_rare *rare = client_rare(c);
    struct broker_exchange *x = rare ? calloc(1, sizeof *x + method.len) : NULL;
    if (!x) {
        client_refuse(c, MQTT_V5, MQTT_RC_SERVER_UNAVAILABLE, "out of memory for authentication");
        return;
    }
    x->broker = c->broker;
    x->client = c;
    x->method_len = (uint16_t)method.len; /* a string: at most 65,535 */
    if (method.len > 0)
        memcpy(x->method, method.ptr, method.len);
    rare->auth = x;
    sl_buf_put_slice(&x->connect, f->body);
    if (p->has_username)
        x->username = sl_slice_dup(p->username);
    if (x->connect.failed || (p->has_username && !x->username)) {
        client_refuse(c, MQTT_V5, MQTT_RC_SERVER_UNAVAILABLE, "out of memory for authentication");
        return;
    }
    c->state = CLIENT_EXCHANGING;
    ask_plugin(c, x, &p->props, p);
}

/* 0 when it is this AUTH's turn, or what is wrong with it. An empty AUTH says success, which only a
 * server does. */
static uint8_t check_auth(const struct client *c, const struct broker_exchange *x,
                          const struct mqtt_reasoned *a, const char **why)
{
    uint8_t wanted = x->turn == TURN_NOBODY ? MQTT_RC_REAUTHENTICATE : MQTT_RC_CONTINUE_AUTH;
    if (x->turn == TURN_PLUGIN || a->reason != wanted) {
        *why = "not the AUTH packet whose turn it is"; /* [MQTT-4.12.0-3] */
        return MQTT_RC_PROTOCOL_ERROR;
    }
    if (!sl_slice_eq(a->props.auth_method, method_of(x))) { /* [MQTT-4.12.0-5, 4.12.1-1] */
        *why = "another authentication method than in CONNECT";
        return c->state == CLIENT_CONNECTED ? MQTT_RC_BAD_AUTH_METHOD : MQTT_RC_PROTOCOL_ERROR;
    }
    return MQTT_RC_SUCCESS;
}

void client_handle_auth(struct client *c, const struct mqtt_frame *f)
{
    struct broker_exchange *x = c->rare ? c->rare->auth : NULL;
    struct mqtt_reasoned a;
    const char *why = NULL;
    if (c->version != MQTT_V5 || !x) { /* [MQTT-4.12.0-7]; AUTH came with version 5 */
        client_close(c, MQTT_RC_PROTOCOL_ERROR, "AUTH without an authentication method");
        return;
    }
    uint8_t fault = mqtt_decode_auth(f, &a, &why);
    if (!fault)
        fault = check_auth(c, x, &a, &why);
    if (fault)
        give_up(c, fault, why);
    else
        ask_plugin(c, x, &a.props, NULL);
}

void client_handle_exchange(struct client *c, const struct mqtt_frame *f)
{
    if (f->type == MQTT_AUTH)
        client_handle_auth(c, f);
    else if (f->type == MQTT_DISCONNECT)
        client_close(c, 0, NULL);
    else /* [MQTT-3.1.2-30] */
        client_refuse(c, MQTT_V5, MQTT_RC_PROTOCOL_ERROR,
                      "neither AUTH nor DISCONNECT before CONNACK");
}
