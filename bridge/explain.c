/* explain.c - what went wrong with the cloud, and what to do about it. */
#include "explain.h"

#include <stdarg.h>
#include <stdio.h>

SL_PRINTF(3, 4)
static void say(struct explanation *ret, const char *cause, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)snprintf(ret->cause, sizeof ret->cause, "%s", cause); /* all causes are short */
    (void)vsnprintf(ret->error, sizeof ret->error, fmt, args);  /* cut: still readable */
    va_end(args);
}

/* 3.1.1's codes and MQTT 5's reasons do not overlap above 0. */
static bool not_authorized(uint8_t reason)
{
    return reason == 5 || reason == 7 || reason == MQTT_RC_NOT_AUTHORIZED;
}

static void connection_refused(struct explanation *ret, const struct explain_peer *peer,
                               const struct client_fault *f)
{
    const char *hint = "";
    if (not_authorized(f->reason))
        hint = peer->aws ? "; the certificate's policy must allow iot:Connect for client id "
                         : "; allow, on the server, client id ";
    else if (f->reason == 2 || f->reason == MQTT_RC_CLIENT_ID_INVALID)
        hint = "; choose another client id than ";
    else if (f->reason == 4 || f->reason == MQTT_RC_BAD_CREDENTIALS)
        hint = "; check user name and password for client id ";
    else if (f->reason == MQTT_RC_QUOTA_EXCEEDED || f->reason == MQTT_RC_CONNECTION_RATE_EXCEEDED)
        hint = "; a quota of the account is used up, for client id ";
    if (*hint)
        say(ret, "connack-refused", "%s%s\"%s\"", f->text, hint, peer->client_id);
    else
        say(ret, "connack-refused", "%s", f->text);
}

static void disconnected(struct explanation *ret, const struct explain_peer *peer,
                         const struct client_fault *f)
{
    if (f->reason == MQTT_RC_SESSION_TAKEN_OVER)
        say(ret, "session-taken-over",
            "%s; another client connected with client id \"%s\": see that no second gateway "
            "uses it",
            f->text, peer->client_id);
    else if (not_authorized(f->reason) && peer->aws)
        say(ret, "not-authorized",
            "%s; the certificate's policy must allow iot:Publish, iot:Subscribe and iot:Receive "
            "on the topics used",
            f->text);
    else
        say(ret, "server-disconnect", "%s", f->text);
}

void explain_fault(struct explanation *ret, const struct explain_peer *peer,
                   const struct client_fault *f)
{
    switch (f->kind) {
    case CLIENT_FAULT_NONE: say(ret, "closed", "the connection ended"); break;
    case CLIENT_FAULT_REFUSED: connection_refused(ret, peer, f); break;
    case CLIENT_FAULT_VERSION:
        say(ret, "version-refused", "%s; trying the other version", f->text);
        break;
    case CLIENT_FAULT_DISCONNECTED: disconnected(ret, peer, f); break;
    case CLIENT_FAULT_PROTOCOL:
        say(ret, "protocol", "%s; is %s:%u an MQTT server?", f->text, peer->host, peer->port);
        break;
    case CLIENT_FAULT_KEEP_ALIVE:
        say(ret, "keep-alive", "%s: the network or the server is gone without a word", f->text);
        break;
    case CLIENT_FAULT_NO_SUBACK: say(ret, "suback-overdue", "%s", f->text); break;
    case CLIENT_FAULT_NO_PUBACK:
        say(ret, "puback-overdue", "%s%s", f->text,
            peer->aws ? "; AWS discards what is above its limits: lower "
                        "cloud.limits.publishes_per_second if this goes on"
                      : "");
        break;
    case CLIENT_FAULT_NOT_READING: say(ret, "not-reading", "%s", f->text); break;
    case CLIENT_FAULT_MEMORY: say(ret, "memory", "%s", f->text); break;
    }
}

static void closed_early(struct explanation *ret, const struct explain_peer *peer)
{
    if (peer->aws)
        say(ret, "connack-closed",
            "the server closed the connection right after CONNECT: with AWS this means that the "
            "certificate is not active or its policy does not allow iot:Connect for client id "
            "\"%s\"",
            peer->client_id);
    else
        say(ret, "connack-closed",
            "the server closed the connection right after CONNECT: see its log for why it does "
            "not take client id \"%s\", and whether the port expects TLS",
            peer->client_id);
}

static void closed(struct explanation *ret, const struct explain_peer *peer,
                   enum bridge_state state, const char *text)
{
    if (state == BRIDGE_CONNACK)
        closed_early(ret, peer);
    else if (state == BRIDGE_SUBSCRIBING)
        say(ret, "subscribe-closed", "the server closed the connection after SUBSCRIBE (%s)%s",
            text,
            peer->aws ? ": with AWS this means that the policy does not allow iot:Subscribe for "
                        "one of the filters"
                      : "");
    else
        say(ret, "closed", "the connection to %s:%u ended: %s", peer->host, peer->port, text);
}

void explain_end(struct explanation *ret, const struct explain_peer *peer, enum bridge_state state,
                 enum link_end why, const char *text)
{
    switch (why) {
    case LINK_END_DNS:
        say(ret, "dns",
            "the name \"%s\" cannot be looked up: %s; check the endpoint's spelling and this "
            "machine's network and name server",
            peer->host, text);
        break;
    case LINK_END_TCP:
        say(ret, "tcp", "no connection to %s:%u: %s; check network, port and firewall", peer->host,
            peer->port, text);
        break;
    case LINK_END_TLS:
        say(ret, "tls", "TLS with %s:%u failed: %s", peer->host, peer->port, text);
        break;
    case LINK_END_CLOSED:
    case LINK_END_LOST: closed(ret, peer, state, text); break;
    case LINK_END_MEMORY: say(ret, "memory", "%s", text); break;
    }
}

static const char *waiting_for(enum bridge_state state)
{
    switch (state) {
    case BRIDGE_RESOLVING: return "looking up the name; check this machine's name server";
    case BRIDGE_CONNECTING:
        return "waiting for TCP; a firewall may drop the packets, or the address be unreachable";
    case BRIDGE_HANDSHAKING: return "in the TLS handshake; is this a TLS port?";
    case BRIDGE_CONNACK: return "waiting for CONNACK; is this an MQTT port?";
    case BRIDGE_DISABLED:
    case BRIDGE_SUBSCRIBING:
    case BRIDGE_ONLINE:
    case BRIDGE_STALLED:
    case BRIDGE_DRAINING:
    case BRIDGE_BACKOFF:
    case BRIDGE_STOPPED: break;
    }
    return "waiting";
}

void explain_timeout(struct explanation *ret, const struct explain_peer *peer,
                     enum bridge_state state)
{
    say(ret, "connect-timeout", "no connection to %s:%u within %lld ms: gave up %s", peer->host,
        peer->port, (long long)peer->connect_timeout_ms, waiting_for(state));
}

void explain_start(struct explanation *ret, const struct explain_peer *peer,
                   const struct sl_err *err, bool files)
{
    if (files)
        say(ret, "certificate", "%s", err->text);
    else
        say(ret, "start", "no connection to %s:%u: %s", peer->host, peer->port, err->text);
}

void explain_kicks(struct explanation *ret, const struct explain_peer *peer, unsigned count)
{
    char last[160];
    (void)snprintf(last, sizeof last, "%.159s", ret->error); /* cut: the cause comes first */
    say(ret, "kicked",
        "the server has ended %u connections in a row soon after they came up: see that no second "
        "gateway uses client id \"%s\"%s (last: %s)",
        count, peer->client_id,
        peer->aws ? ", and that the policy allows iot:Publish, iot:Subscribe and iot:Receive on "
                    "the topics used"
                  : ", and what its log says",
        last);
}

void explain_clock(struct explanation *ret, int64_t wall_ms)
{
    char last[200];
    (void)snprintf(last, sizeof last, "%.199s", ret->error); /* cut: the cause comes first */
    say(ret, "clock",
        "this machine's clock is not set (it says %lld s after 1970), so certificates cannot be "
        "checked: waiting for its time to be set (%s)",
        (long long)(wall_ms / 1000), last);
}

void explain_stall(struct explanation *ret, enum client_stall why)
{
    switch (why) {
    case CLIENT_FLOWS: break;
    case CLIENT_OVERDUE:
        say(ret, "puback-overdue",
            "connected, but the server does not acknowledge what is published; it is sent again");
        break;
    case CLIENT_REFUSED:
        say(ret, "refused-for-now",
            "connected, but the server refuses for now what is published (a quota of the account, "
            "say); it is sent again");
        break;
    case CLIENT_SILENT:
        say(ret, "silent", "connected, but the server answers neither publishes nor a ping");
        break;
    }
}

void explain_subscription(struct explanation *ret, const struct explain_peer *peer,
                          const char *filter, uint8_t reason)
{
    say(ret, "subscribe-refused", "the server refused the subscription \"%s\": %s%s", filter,
        mqtt_reason_name(reason),
        peer->aws ? "; the certificate's policy must allow iot:Subscribe on this topic filter"
                  : "");
}
