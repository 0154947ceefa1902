/* mqtt.h - the MQTT codec: packets of 3.1, 3.1.1 and 5 to structs and back, in both directions.
 *
 * Pure functions: bytes in, a verdict out; no allocation, no I/O, no clock. Slices in decoded
 * packets point into the bytes that were decoded. Encoders append to a buffer; look at buf->failed
 * once at the end. Used by the broker's sessions, by the bridge's client and by tests. */
#ifndef BROKER_MQTT_H
#define BROKER_MQTT_H

#include "base/buf.h"
#include "base/slice.h"

enum mqtt_version { MQTT_V31 = 3, MQTT_V311 = 4, MQTT_V5 = 5 };

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH,
};

/* Reason codes, MQTT 5 section 2.4. */
enum mqtt_reason {
    MQTT_RC_SUCCESS = 0x00, /* also: normal disconnection, granted QoS 0 */
    MQTT_RC_GRANTED_QOS1 = 0x01,
    MQTT_RC_GRANTED_QOS2 = 0x02,
    MQTT_RC_DISCONNECT_WITH_WILL = 0x04,
    MQTT_RC_NO_MATCHING_SUBSCRIBERS = 0x10,
    MQTT_RC_NO_SUBSCRIPTION_EXISTED = 0x11,
    MQTT_RC_CONTINUE_AUTH = 0x18,
    MQTT_RC_REAUTHENTICATE = 0x19,
    MQTT_RC_UNSPECIFIED = 0x80,
    MQTT_RC_MALFORMED = 0x81,
    MQTT_RC_PROTOCOL_ERROR = 0x82,
    MQTT_RC_IMPLEMENTATION_ERROR = 0x83,
    MQTT_RC_UNSUPPORTED_VERSION = 0x84,
    MQTT_RC_CLIENT_ID_INVALID = 0x85,
    MQTT_RC_BAD_CREDENTIALS = 0x86,
    MQTT_RC_NOT_AUTHORIZED = 0x87,
    MQTT_RC_SERVER_UNAVAILABLE = 0x88,
    MQTT_RC_SERVER_BUSY = 0x89,
    MQTT_RC_BANNED = 0x8A,
    MQTT_RC_SHUTTING_DOWN = 0x8B,
    MQTT_RC_BAD_AUTH_METHOD = 0x8C,
    MQTT_RC_KEEP_ALIVE_TIMEOUT = 0x8D,
    MQTT_RC_SESSION_TAKEN_OVER = 0x8E,
    MQTT_RC_TOPIC_FILTER_INVALID = 0x8F,
    MQTT_RC_TOPIC_NAME_INVALID = 0x90,
    MQTT_RC_PACKET_ID_IN_USE = 0x91,
    MQTT_RC_PACKET_ID_NOT_FOUND = 0x92,
    MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    MQTT_RC_TOPIC_ALIAS_INVALID = 0x94,
    MQTT_RC_PACKET_TOO_LARGE = 0x95,
    MQTT_RC_MESSAGE_RATE_TOO_HIGH = 0x96,
    MQTT_RC_QUOTA_EXCEEDED = 0x97,
    MQTT_RC_ADMINISTRATIVE = 0x98,
    MQTT_RC_PAYLOAD_FORMAT_INVALID = 0x99,
    MQTT_RC_RETAIN_NOT_SUPPORTED = 0x9A,
    MQTT_RC_QOS_NOT_SUPPORTED = 0x9B,
    MQTT_RC_USE_ANOTHER_SERVER = 0x9C,
    MQTT_RC_SERVER_MOVED = 0x9D,
    MQTT_RC_SHARED_SUBS_NOT_SUPPORTED = 0x9E,
    MQTT_RC_CONNECTION_RATE_EXCEEDED = 0x9F,
    MQTT_RC_MAXIMUM_CONNECT_TIME = 0xA0,
    MQTT_RC_SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1,
    MQTT_RC_WILDCARD_SUBS_NOT_SUPPORTED = 0xA2,
};

/* The code's name as the standard spells it, "not authorized" say; "unknown reason" otherwise. */
const char *mqtt_reason_name(uint8_t reason);
/* Whether the standard lists the reason for that packet (MQTT 5, table 2-6). */
bool mqtt_reason_fits(uint8_t reason, enum mqtt_type type);

/* Properties, MQTT 5 section 2.2.2.2. Values are the identifiers on the wire. */
enum mqtt_prop {
    MQTT_P_PAYLOAD_FORMAT = 0x01,
    MQTT_P_MESSAGE_EXPIRY = 0x02,
    MQTT_P_CONTENT_TYPE = 0x03,
    MQTT_P_RESPONSE_TOPIC = 0x08,
    MQTT_P_CORRELATION_DATA = 0x09,
    MQTT_P_SUBSCRIPTION_ID = 0x0B,
    MQTT_P_SESSION_EXPIRY = 0x11,
    MQTT_P_ASSIGNED_CLIENT_ID = 0x12,
    MQTT_P_SERVER_KEEP_ALIVE = 0x13,
    MQTT_P_AUTH_METHOD = 0x15,
    MQTT_P_AUTH_DATA = 0x16,
    MQTT_P_REQUEST_PROBLEM_INFO = 0x17,
    MQTT_P_WILL_DELAY = 0x18,
    MQTT_P_REQUEST_RESPONSE_INFO = 0x19,
    MQTT_P_RESPONSE_INFO = 0x1A,
    MQTT_P_SERVER_REFERENCE = 0x1C,
    MQTT_P_REASON_STRING = 0x1F,
    MQTT_P_RECEIVE_MAXIMUM = 0x21,
    MQTT_P_TOPIC_ALIAS_MAXIMUM = 0x22,
    MQTT_P_TOPIC_ALIAS = 0x23,
    MQTT_P_MAXIMUM_QOS = 0x24,
    MQTT_P_RETAIN_AVAILABLE = 0x25,
    MQTT_P_USER_PROPERTY = 0x26,
    MQTT_P_MAXIMUM_PACKET_SIZE = 0x27,
    MQTT_P_WILDCARD_SUBS_AVAILABLE = 0x28,
    MQTT_P_SUBSCRIPTION_IDS_AVAILABLE = 0x29,
    MQTT_P_SHARED_SUBS_AVAILABLE = 0x2A,
};

/* A packet's properties. A field means something only when its bit stands in `present`
 * (mqtt_has()). User properties and subscription identifiers may repeat: walk `raw` for them with
 * mqtt_props_next(). Zeroed, it is "no properties". When encoding, `raw` is appended as it is after
 * the fields named in `present`: put ready-encoded user properties and subscription ids there. */
struct mqtt_props {
    uint64_t present;
    struct sl_slice raw; /* decoded: the whole block without its length */
    uint32_t message_expiry, session_expiry, will_delay, max_packet_size;
    uint32_t subscription_id; /* the first */
    uint16_t receive_max, topic_alias_max, topic_alias, server_keep_alive;
    uint8_t payload_format, request_problem_info, request_response_info, max_qos, retain_available,
        wildcard_subs_available, subscription_ids_available, shared_subs_available;
    struct sl_slice content_type, response_topic, correlation_data, assigned_client_id, auth_method,
        auth_data, response_info, server_reference, reason_string;
};

static inline bool mqtt_has(const struct mqtt_props *p, enum mqtt_prop id)
{
    return (p->present >> id & 1) != 0;
}
static inline void mqtt_set(struct mqtt_props *p, enum mqtt_prop id)
{
    p->present |= UINT64_C(1) << id;
}

/* One property of an encoded block. For MQTT_P_USER_PROPERTY, key and value; for others, `number`
 * or `value` by the property's type. */
struct mqtt_prop_item {
    uint8_t id;
    struct sl_slice key, value;
    uint32_t number;
    struct sl_slice encoded; /* identifier and value as on the wire */
};
/* False at the end. The block must be one that decoded (decoders have checked it whole). */
bool mqtt_props_next(struct sl_cursor *block, struct mqtt_prop_item *ret);

/* Append one encoded user property / subscription id to a raw block. */
void mqtt_put_user_property(struct sl_buf *raw, struct sl_slice key, struct sl_slice value);
void mqtt_put_subscription_id(struct sl_buf *raw, uint32_t id);
/* Append those of a PUBLISH's (or will's) properties that a server forwards unchanged: payload
 * format, content type, response topic, correlation data, user properties in order
 * [MQTT-3.3.2-4, 3.3.2-15 to -20]. */
void mqtt_put_forwardable(struct sl_buf *out, struct sl_slice raw);

/* ---- framing ---- */

enum mqtt_frame_result {
    MQTT_FRAME_OK,
    MQTT_FRAME_MORE,      /* an unfinished packet */
    MQTT_FRAME_TOO_LARGE, /* above max_size; reason 0x95 */
    MQTT_FRAME_MALFORMED, /* bad remaining length or type 0 */
};

struct mqtt_frame {
    uint8_t type;         /* enum mqtt_type */
    uint8_t flags;        /* the low four bits of the first byte */
    struct sl_slice body; /* variable header and payload */
    uint32_t size;        /* the whole packet with its fixed header */
};

/* Takes one packet off in. With MORE, in is untouched and *ret_need (may be NULL) is the whole
 * packet's size when it is known, else 0. max_size bounds the whole packet. */
enum mqtt_frame_result mqtt_frame_next(struct sl_cursor *in, uint32_t max_size,
                                       struct mqtt_frame *ret, uint32_t *ret_need);

/* ---- packets ---- */

/* Every decoder accounts for every byte of the body and returns MQTT_RC_SUCCESS, or the reason code
 * with which the standard answers the fault (0x81 malformed, 0x82 protocol error, 0x84, 0x90, 0x9B
 * ...); *ret is then untouched. *why, when not NULL, is set to a static sentence naming the clause
 * broken. */

struct mqtt_will {
    struct sl_slice topic, payload;
    uint8_t qos;
    bool retain;
    struct mqtt_props props;
};

struct mqtt_connect {
    enum mqtt_version version;
    bool clean_start, has_will, has_username, has_password;
    bool
        bridge; /* 3.1.1 and older: the high bit of the version, a broker that connects (no echo) */
    uint16_t keep_alive_s;
    struct sl_slice client_id, username, password;
    struct mqtt_will will;
    struct mqtt_props props;
};
/* 0x84 for a protocol name or version that is not one of the three. */
uint8_t mqtt_decode_connect(const struct mqtt_frame *f, struct mqtt_connect *ret, const char **why);
void mqtt_encode_connect(struct sl_buf *out, const struct mqtt_connect *p);

struct mqtt_connack {
    bool session_present;
    uint8_t reason; /* for 3.1.1 the return code 0..5 as on the wire */
    struct mqtt_props props;
};
/* With v 5, the two-byte "unacceptable protocol version" of a server that knows only 3.1.1 decodes
 * as reason 0x84: try again with 3.1.1. */
uint8_t mqtt_decode_connack(const struct mqtt_frame *f, enum mqtt_version v,
                            struct mqtt_connack *ret, const char **why);
void mqtt_encode_connack(struct sl_buf *out, enum mqtt_version v, const struct mqtt_connack *p);
/* The 3.1.1 CONNACK return code that says most nearly what an MQTT 5 reason says. */
uint8_t mqtt_connack_code_v3(uint8_t reason);

/* Decoded without properties, only `present` and `raw` of props are written. */
struct mqtt_publish {
    bool dup, retain;
    uint8_t qos;
    uint16_t packet_id;    /* with QoS 1 and 2; never 0 */
    struct sl_slice topic; /* valid, or empty with a topic alias */
    struct sl_slice payload;
    struct mqtt_props props;
};
/* Wildcards or bad UTF-8 in the topic are refused (0x90 / 0x81). An empty topic is accepted only in
 * version 5 with a topic alias; alias 0 is refused with 0x94. Payload format 1 is not verified
 * here. */
uint8_t mqtt_decode_publish(const struct mqtt_frame *f, enum mqtt_version v,
                            struct mqtt_publish *ret, const char **why);
void mqtt_encode_publish(struct sl_buf *out, enum mqtt_version v, const struct mqtt_publish *p);
/* Everything before the payload (fixed header with the right remaining length, topic, packet id,
 * properties): the payload follows by reference. payload.ptr is not read, payload.len is. */
void mqtt_encode_publish_head(struct sl_buf *out, enum mqtt_version v,
                              const struct mqtt_publish *p);

/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
struct mqtt_ack {
    uint16_t packet_id;
    uint8_t reason; /* 0 when absent, as before version 5 */
    struct mqtt_props props;
};
uint8_t mqtt_decode_ack(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_ack *ret,
                        const char **why);
/* Shortest form: reason and properties are left out when they say nothing. */
void mqtt_encode_ack(struct sl_buf *out, enum mqtt_version v, enum mqtt_type type,
                     const struct mqtt_ack *p);

/* SUBSCRIBE and UNSUBSCRIBE: the head is decoded and the whole list verified; then walk the list.
 */
struct mqtt_subscribe {
    uint16_t packet_id;
    struct mqtt_props props;
    struct sl_slice list; /* walk with mqtt_subscribe_next / mqtt_unsubscribe_next */
    unsigned count;       /* entries, at least 1 */
};
struct mqtt_sub_entry {
    struct sl_slice filter; /* UTF-8; not yet checked with sl_filter_valid() */
    uint8_t qos;
    bool no_local, retain_as_published; /* version 5 */
    uint8_t retain_handling;            /* 0, 1 or 2 */
};
uint8_t mqtt_decode_subscribe(const struct mqtt_frame *f, enum mqtt_version v,
                              struct mqtt_subscribe *ret, const char **why);
bool mqtt_subscribe_next(struct sl_cursor *list, enum mqtt_version v, struct mqtt_sub_entry *ret);
void mqtt_encode_subscribe(struct sl_buf *out, enum mqtt_version v, uint16_t packet_id,
                           const struct mqtt_props *props, const struct mqtt_sub_entry *entries,
                           size_t count);
uint8_t mqtt_decode_unsubscribe(const struct mqtt_frame *f, enum mqtt_version v,
                                struct mqtt_subscribe *ret, const char **why);
bool mqtt_unsubscribe_next(struct sl_cursor *list, struct sl_slice *ret_filter);
void mqtt_encode_unsubscribe(struct sl_buf *out, enum mqtt_version v, uint16_t packet_id,
                             const struct mqtt_props *props, const struct sl_slice *filters,
                             size_t count);

/* SUBACK and UNSUBACK. 3.1.1's UNSUBACK has no codes. */
struct mqtt_suback {
    uint16_t packet_id;
    struct mqtt_props props;
    struct sl_slice codes;
};
uint8_t mqtt_decode_suback(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_suback *ret,
                           const char **why);
void mqtt_encode_suback(struct sl_buf *out, enum mqtt_version v, const struct mqtt_suback *p);
uint8_t mqtt_decode_unsuback(const struct mqtt_frame *f, enum mqtt_version v,
                             struct mqtt_suback *ret, const char **why);
void mqtt_encode_unsuback(struct sl_buf *out, enum mqtt_version v, const struct mqtt_suback *p);

/* DISCONNECT and (version 5) AUTH. */
struct mqtt_reasoned {
    uint8_t reason;
    struct mqtt_props props;
};
uint8_t mqtt_decode_disconnect(const struct mqtt_frame *f, enum mqtt_version v, bool from_server,
                               struct mqtt_reasoned *ret, const char **why);
void mqtt_encode_disconnect(struct sl_buf *out, enum mqtt_version v, const struct mqtt_reasoned *p);
/* AUTH came with version 5: with an older one, refuse the packet before decoding it. */
uint8_t mqtt_decode_auth(const struct mqtt_frame *f, struct mqtt_reasoned *ret, const char **why);
void mqtt_encode_auth(struct sl_buf *out, const struct mqtt_reasoned *p);

/* PINGREQ, PINGRESP: two bytes. decode checks flags and that the body is empty. */
uint8_t mqtt_decode_empty(const struct mqtt_frame *f, const char **why);
void mqtt_encode_pingreq(struct sl_buf *out);
void mqtt_encode_pingresp(struct sl_buf *out);

#endif
