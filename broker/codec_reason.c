/* codec_reason.c - the reason codes: their names, and which packets may carry them.
 *
 * One table (MQTT 5, section 2.4), never written to. */
#include "codec_internal.h"

#define IN(packet) (1u << MQTT_##packet)
/* Publishes are acknowledged in two ways with the same codes, and so are both kinds of lists. */
#define IN_PUB_ACKS (IN(PUBACK) | IN(PUBREC))
#define IN_SUB_ACKS (IN(SUBACK) | IN(UNSUBACK))
#define IN_REFUSALS (IN(CONNACK) | IN_PUB_ACKS | IN_SUB_ACKS | IN(DISCONNECT))
#define IN_SUCCESS                                                                                 \
    (IN(CONNACK) | IN_PUB_ACKS | IN(PUBREL) | IN(PUBCOMP) | IN_SUB_ACKS | IN(DISCONNECT) | IN(AUTH))

struct reason_rule {
    const char *name;
    uint16_t packets; /* bit: packet type */
};

static const struct reason_rule rules[] = {
    [MQTT_RC_SUCCESS] = { "success", IN_SUCCESS },
    [MQTT_RC_GRANTED_QOS1] = { "granted QoS 1", IN(SUBACK) },
    [MQTT_RC_GRANTED_QOS2] = { "granted QoS 2", IN(SUBACK) },
    [MQTT_RC_DISCONNECT_WITH_WILL] = { "disconnect with will message", IN(DISCONNECT) },
    [MQTT_RC_NO_MATCHING_SUBSCRIBERS] = { "no matching subscribers", IN_PUB_ACKS },
    [MQTT_RC_NO_SUBSCRIPTION_EXISTED] = { "no subscription existed", IN(UNSUBACK) },
    [MQTT_RC_CONTINUE_AUTH] = { "continue authentication", IN(AUTH) },
    [MQTT_RC_REAUTHENTICATE] = { "re-authenticate", IN(AUTH) },
    [MQTT_RC_UNSPECIFIED] = { "unspecified error", IN_REFUSALS },
    [MQTT_RC_MALFORMED] = { "malformed packet", IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_PROTOCOL_ERROR] = { "protocol error", IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_IMPLEMENTATION_ERROR] = { "implementation specific error", IN_REFUSALS },
    [MQTT_RC_UNSUPPORTED_VERSION] = { "unsupported protocol version", IN(CONNACK) },
    [MQTT_RC_CLIENT_ID_INVALID] = { "client identifier not valid", IN(CONNACK) },
    [MQTT_RC_BAD_CREDENTIALS] = { "bad user name or password", IN(CONNACK) },
    [MQTT_RC_NOT_AUTHORIZED] = { "not authorized", IN_REFUSALS },
    [MQTT_RC_SERVER_UNAVAILABLE] = { "server unavailable", IN(CONNACK) },
    [MQTT_RC_SERVER_BUSY] = { "server busy", IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_BANNED] = { "banned", IN(CONNACK) },
    [MQTT_RC_SHUTTING_DOWN] = { "server shutting down", IN(DISCONNECT) },
    [MQTT_RC_BAD_AUTH_METHOD] = { "bad authentication method", IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_KEEP_ALIVE_TIMEOUT] = { "keep alive timeout", IN(DISCONNECT) },
    [MQTT_RC_SESSION_TAKEN_OVER] = { "session taken over", IN(DISCONNECT) },
    [MQTT_RC_TOPIC_FILTER_INVALID] = { "topic filter invalid", IN_SUB_ACKS | IN(DISCONNECT) },
    [MQTT_RC_TOPIC_NAME_INVALID] = { "topic name invalid",
                                     IN(CONNACK) | IN_PUB_ACKS | IN(DISCONNECT) },
    [MQTT_RC_PACKET_ID_IN_USE] = { "packet identifier in use", IN_PUB_ACKS | IN_SUB_ACKS },
    [MQTT_RC_PACKET_ID_NOT_FOUND] = { "packet identifier not found", IN(PUBREL) | IN(PUBCOMP) },
    [MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED] = { "receive maximum exceeded", IN(DISCONNECT) },
    [MQTT_RC_TOPIC_ALIAS_INVALID] = { "topic alias invalid", IN(DISCONNECT) },
    [MQTT_RC_PACKET_TOO_LARGE] = { "packet too large", IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_MESSAGE_RATE_TOO_HIGH] = { "message rate too high", IN(DISCONNECT) },
    [MQTT_RC_QUOTA_EXCEEDED] = { "quota exceeded",
                                 IN(CONNACK) | IN_PUB_ACKS | IN(SUBACK) | IN(DISCONNECT) },
    [MQTT_RC_ADMINISTRATIVE] = { "administrative action", IN(DISCONNECT) },
    [MQTT_RC_PAYLOAD_FORMAT_INVALID] = { "payload format invalid",
                                         IN(CONNACK) | IN_PUB_ACKS | IN(DISCONNECT) },
    [MQTT_RC_RETAIN_NOT_SUPPORTED] = { "retain not supported", IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_QOS_NOT_SUPPORTED] = { "QoS not supported", IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_USE_ANOTHER_SERVER] = { "use another server", IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_SERVER_MOVED] = { "server moved", IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_SHARED_SUBS_NOT_SUPPORTED] = { "shared subscriptions not supported",
                                            IN(SUBACK) | IN(DISCONNECT) },
    [MQTT_RC_CONNECTION_RATE_EXCEEDED] = { "connection rate exceeded",
                                           IN(CONNACK) | IN(DISCONNECT) },
    [MQTT_RC_MAXIMUM_CONNECT_TIME] = { "maximum connect time", IN(DISCONNECT) },
    [MQTT_RC_SUBSCRIPTION_IDS_NOT_SUPPORTED] = { "subscription identifiers not supported",
                                                 IN(SUBACK) | IN(DISCONNECT) },
    [MQTT_RC_WILDCARD_SUBS_NOT_SUPPORTED] = { "wildcard subscriptions not supported",
                                              IN(SUBACK) | IN(DISCONNECT) },
};

const char *mqtt_reason_name(uint8_t reason)
{
    if (reason >= SL_ARRAY_LEN(rules) || !rules[reason].name)
        return "unknown reason";
    return rules[reason].name;
}

bool codec_reason_fits(uint8_t reason, enum mqtt_type type)
{
    return reason < SL_ARRAY_LEN(rules) && (rules[reason].packets >> type & 1) != 0;
}

bool mqtt_reason_fits(uint8_t reason, enum mqtt_type type)
{
    return codec_reason_fits(reason, type);
}

/* Only five refusals exist before version 5 (3.1.1, table 3.1). Faults of the packet, for which
 * 3.1.1 wants no CONNACK at all, come out as "unavailable" like everything without a better fit. */
uint8_t mqtt_connack_code_v3(uint8_t reason)
{
    enum { ACCEPTED, BAD_VERSION, BAD_ID, UNAVAILABLE, BAD_CREDENTIALS, NOT_AUTHORIZED };
    if (reason < MQTT_RC_UNSPECIFIED)
        return ACCEPTED;
    if (reason == MQTT_RC_UNSUPPORTED_VERSION)
        return BAD_VERSION;
    if (reason == MQTT_RC_CLIENT_ID_INVALID)
        return BAD_ID;
    if (reason == MQTT_RC_BAD_CREDENTIALS)
        return BAD_CREDENTIALS;
    if (reason == MQTT_RC_NOT_AUTHORIZED || reason == MQTT_RC_BANNED ||
        reason == MQTT_RC_BAD_AUTH_METHOD)
        return NOT_AUTHORIZED;
    return UNAVAILABLE;
}
