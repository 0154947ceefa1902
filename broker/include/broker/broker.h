/* broker.h - the embedded MQTT broker: sessions, subscriptions, retained messages, listeners.
 *
 * Knows nothing of rules, bridges or databases: whoever creates the broker plugs in through taps
 * (subscribers inside the process, in the same topic tree as everybody else) and hooks. Loop thread
 * only. Nothing here blocks. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "base/clock.h"
#include "base/err.h"
#include "base/msg.h"
#include "base/tls.h"

#include "broker/acl.h"

#include <uv.h>

struct broker;
struct broker_auth;
struct broker_exchange;

/* One step of an enhanced authentication (MQTT 5, 4.12), from the client. */
struct broker_step {
    struct sl_slice method, data;
    struct sl_slice client_id, username, password; /* CONNECT's, in the first step only */
    bool again;                                    /* the client is connected already */
    void **state; /* the plug-in's own, NULL at first: the same place in every step */
};

enum broker_verdict { BROKER_CONTINUE, BROKER_ACCEPT, BROKER_REFUSE };
struct broker_answer {
    enum broker_verdict verdict;
    struct sl_slice data;     /* for the client */
    struct sl_slice username; /* with BROKER_ACCEPT: who it is; ptr NULL: as CONNECT says */
    uint8_t reason;           /* with BROKER_REFUSE: an enum mqtt_reason; 0 for 0x87 */
};
struct broker_persistence;

struct broker_hooks {
    void *ctx;
    /* A client gave a user name (and perhaps a password). Answer with broker_auth_done(), now or
     * later. Slices live until then. NULL: a client with a password is refused. */
    void (*authenticate)(void *ctx, struct broker_auth *auth, struct sl_slice username,
                         struct sl_slice password);
    /* A client named an authentication method, or sent the next AUTH of it. Answer with
     * broker_exchange_answer(), now or later, exactly once; slices live until this returns. NULL:
     * such clients are refused (0x8C). A method that is not known is refused with that code, too.
     */
    void (*exchange)(void *ctx, struct broker_exchange *x, const struct broker_step *step);
    /* The client is gone: *step.state may be freed. Not called where it is NULL. */
    void (*exchange_done)(void *ctx, void *state);
};
void broker_auth_done(struct broker_auth *auth, bool ok);
/* The other answers: let it in as a client without a name (nobody has checked the one it gives), or
 * refuse it with this enum mqtt_reason. */
void broker_auth_nameless(struct broker_auth *auth);
void broker_auth_refuse(struct broker_auth *auth, uint8_t reason);
/* Where the client connects from, as in logs: "192.0.2.1:50000", "[2001:db8::1]:50000", "unix". */
struct sl_slice broker_auth_address(const struct broker_auth *auth);

/* What bounds count by: an IPv4 address, or the /64 that an IPv6 address lies in. */
struct broker_host {
    uint8_t bytes[16];
};
/* From an address as above; false for those that are none, such as "unix". */
bool broker_host_of(struct sl_slice address, struct broker_host *ret);
void broker_exchange_answer(struct broker_exchange *x, const struct broker_answer *a);

struct broker_options {
    uv_loop_t *loop;
    const struct sl_clock *clock;
    struct broker_hooks hooks;
    const char *version;          /* for $SYS/broker/version; borrowed for the broker's life */
    bool anonymous;               /* let clients in that give no user name */
    uint32_t max_connections;     /* one more is closed at once and counted */
    uint32_t max_per_address;     /* of those from one host; 0: no bound of its own */
    uint32_t max_unfinished;      /* without a CONNECT yet: for one more the oldest gives way; half
                                     of them from one host, one more is closed; 0: no bound */
    uint32_t max_packet_size;     /* bytes, of what clients send */
    uint32_t max_inflight;        /* QoS 1 and 2 to a client without acknowledgement */
    uint32_t receive_maximum;     /* the same from a client */
    uint32_t max_queued_messages; /* waiting in one session */
    uint64_t max_queued_bytes;    /* waiting in one session, and in one connection's output */
    uint64_t max_queued_total;    /* the same in all of them together; 0: 256 MiB */
    uint32_t topic_alias_max;     /* from a client */
    uint8_t max_qos;
    bool retain;
    uint64_t max_retained_bytes; /* all retained messages and their topics; 0: 64 MiB */
    uint32_t max_keep_alive_s;
    uint32_t session_expiry_max_s;
    int64_t connect_timeout_ms; /* from accepting the connection to its CONNECT */
    uint32_t connect_rate;      /* connections accepted a second, per listener */
    int64_t sys_interval_ms;    /* between $SYS updates; 0 for none */
    /* The store of sessions and retained messages, see persist.h; copied. NULL: they end with the
     * process. */
    const struct broker_persistence *persistence;
    int64_t spill_ms; /* how long a message may wait for its subscriber before it is stored */
};

/* Options are copied; what they point to must outlive the broker. SL_NOMEM. */
SL_NODISCARD enum sl_code broker_open(struct broker **ret, const struct broker_options *options,
                                      struct sl_err *err);
/* Stop taking connections and messages; connected clients are told (DISCONNECT 0x8B) and closed,
 * then closed(ctx) is called from the loop and the broker is gone. */
void broker_close(struct broker *b, void (*closed)(void *ctx), void *ctx);
/* The first half of stopping: no new connections, nothing more is read, what taps have published is
 * routed; pending acknowledgements still go out. Not from inside a tap. */
void broker_pause(struct broker *b);

/* ---- listeners ---- */

struct broker_listener_options {
    const char *name;
    const char *bind; /* an address; or NULL with unix_path */
    uint16_t port;    /* 0: any free one, see broker_listener_port() */
    bool ipv6_only;   /* "::" without IPv4 */
    const char *unix_path;
    struct tls_context *tls; /* NULL for plain; a reference is taken */
    bool username_from_cert; /* a client's certificate gives its user name */
    /* Not NULL: a TCP connection is handed over as a socket, fd being the callee's from then on, to
     * become a link (transport.h); tls and username_from_cert are not used. */
    void (*accepted)(void *ctx, int fd, const char *address);
    void *accepted_ctx;
};
struct broker_listener;
SL_NODISCARD enum sl_code broker_listen(struct broker *b,
                                        const struct broker_listener_options *options,
                                        struct broker_listener **ret, struct sl_err *err);
uint16_t broker_listener_port(const struct broker_listener *l);
/* Closes the listener; its clients stay. */
void broker_unlisten(struct broker_listener *l);
/* For new connections from now on; NULL for plain. */
void broker_listener_set_tls(struct broker_listener *l, struct tls_context *tls,
                             bool username_from_cert);
void broker_set_anonymous(struct broker *b, bool anonymous);

/* ---- access ---- */

/* The list that clients are held to from now on, connected ones too; NULL: all is allowed. A
 * reference is taken. Not from inside a tap. */
void broker_set_acl(struct broker *b, struct acl *acl);
struct acl *broker_acl(const struct broker *b); /* borrowed; NULL: all is allowed */

struct broker_login {
    struct sl_slice username; /* ptr NULL: none was given */
    bool from_cert;           /* it is a verified certificate's */
    bool checked;             /* ... or the hook has said that it is right */
};
/* Asks about every connected client: those for whom reason() is not 0 are disconnected with it. */
void broker_end_clients(struct broker *b,
                        uint8_t (*reason)(void *ctx, const struct broker_login *login), void *ctx);

/* ---- subscribers inside the process ---- */

struct broker_receipt; /* the publisher's claim to an acknowledgement, while its message is handed
                          out */
struct broker_ack;     /* that claim, held back by somebody */
struct broker_tap;

/* m is borrowed: take a reference to keep it. receipt is NULL when nobody waits for an
 * acknowledgement. */
typedef void broker_tap_fn(void *ctx, struct sl_msg *m, struct broker_receipt *receipt);

/* NULL when memory is out or the filter is not valid. */
SL_NODISCARD struct broker_tap *broker_tap(struct broker *b, struct sl_slice filter,
                                           broker_tap_fn *fn, void *ctx);
void broker_untap(struct broker *b, struct broker_tap *t); /* not from inside a tap; accepts NULL */

/* Hold the publisher's PUBACK/PUBREC back until broker_ack_release(), called once per hold. NULL
 * with a NULL receipt, or when memory is out (the publish is then refused: nothing unsafe is
 * acknowledged). */
struct broker_ack *broker_ack_hold(struct broker_receipt *r);
/* reason: an enum mqtt_reason; the worst one wins. Below 0x80 the publisher is acknowledged; above,
 * an MQTT 5 publisher is told; an older one gets no acknowledgement and its connection is closed,
 * so that it sends the message again. */
void broker_ack_release(struct broker_ack *a, uint8_t reason);
void broker_receipt_refuse(struct broker_receipt *r, uint8_t reason); /* accepts NULL */

/* From inside a tap: what the publisher sends cannot be taken as fast as it comes. Nothing more is
 * read from its connection for some milliseconds; it may be asked for again then. Without effect
 * for what was published from inside. A full internal queue does the same by itself. */
void broker_pause_publisher(struct broker *b);

/* Origins below this are the process's own; the number says how many rules a message has passed
 * through. */
#define BROKER_ORIGIN_CLIENTS UINT64_C(65536)
/* For what is published from inside on behalf of somebody outside who is no client: the cloud, the
 * page's user. Like a client's, such retained messages are kept in the store; those of origin 0 are
 * the process's own, and it says them again at every start. */
#define BROKER_ORIGIN_OUTSIDE BROKER_ORIGIN_CLIENTS

/* Publish from inside. Never delivers before it returns: queued (bounded) and routed later in this
 * loop turn. Takes its own reference. False when the queue is full or the topic is not valid. */
SL_NODISCARD bool broker_publish(struct broker *b, struct sl_msg *m);
/* The same from inside a tap, for a message that follows from the one it was handed: receipt's
 * acknowledgement waits until this one, too, is safe with whoever takes it. receipt may be NULL.
 * SL_INVALID: the topic is not valid. SL_LIMIT: the queue is full or memory is out, and receipt is
 * refused. */
SL_NODISCARD enum sl_code broker_publish_for(struct broker *b, struct sl_msg *m,
                                             struct broker_receipt *receipt);
/* The same for somebody outside who waits for an acknowledgement: safe(ctx, token, reason) comes
 * once, later, when everybody who takes the message has it safe (reason below 0x80) or cannot; not
 * at all when the broker closes first. SL_INVALID and SL_LIMIT as above: then it does not come. */
typedef void broker_taken_fn(void *ctx, uint64_t token, uint8_t reason);
SL_NODISCARD enum sl_code broker_publish_safe(struct broker *b, struct sl_msg *m,
                                              broker_taken_fn *safe, void *ctx, uint64_t token);

/* ---- looking at it ---- */

enum broker_drop {
    BROKER_DROP_SLOW_READER, /* QoS 0 to a connection whose output is at its bound */
    BROKER_DROP_QUEUE_FULL,  /* QoS 1 and 2 to a session at its bound */
    BROKER_DROP_EXPIRED,
    BROKER_DROP_TOO_LARGE, /* above the receiver's maximum packet size */
    BROKER_DROP_INTERNAL,  /* broker_publish's queue was full, or memory out */
    BROKER_DROP_RETAINED,  /* delivered, but not kept: max_retained_bytes */
    BROKER_DROP_DENIED,    /* the sender, or by now the receiver, has no right to the topic */
    BROKER_DROP_TOTAL,     /* max_queued_total: what waits in all sessions and outputs */
    BROKER_DROPS
};
const char *broker_drop_name(enum broker_drop d);

/* Why a connection came to nothing. */
enum broker_refusal {
    BROKER_REFUSED_FULL,       /* max_connections */
    BROKER_REFUSED_ADDRESS,    /* max_per_address */
    BROKER_REFUSED_UNFINISHED, /* max_unfinished */
    BROKER_REFUSED_TIMEOUT,    /* no CONNECT in time */
    BROKER_REFUSED_LOGIN,      /* bad user name or password, or none */
    BROKER_REFUSED_BUSY,       /* too many passwords to check */
    BROKER_REFUSED_ACCESS,     /* its will is not allowed */
    BROKER_REFUSED_REQUEST,    /* something in its CONNECT is not supported */
    BROKER_REFUSED_MEMORY,
    BROKER_REFUSALS
};
const char *broker_refusal_name(enum broker_refusal r);

struct broker_stats {
    uint32_t clients, clients_max, sessions, sessions_offline, unfinished;
    uint64_t connections_total, connections_refused; /* refused: the sum of */
    uint64_t refused[BROKER_REFUSALS];
    uint64_t connects;         /* CONNECT packets that were accepted */
    uint64_t sessions_expired; /* ended while their client was away */
    uint64_t shared_groups;    /* of shared subscriptions */
    uint64_t rate_reached;     /* seconds in which a listener let connections wait: connect_rate */
    uint64_t tls_full, tls_resumed, tls_failed; /* handshakes */
    uint64_t tls_ended;                         /* sessions that are over */
    uint64_t subscriptions, retained;
    uint64_t messages_in, messages_out; /* packets of all kinds */
    uint64_t publish_in, publish_out, bytes_in, bytes_out;
    uint64_t dropped[BROKER_DROPS];
    uint64_t queued;         /* waiting in sessions */
    uint64_t waiting_bytes;  /* in sessions and outputs, of max_queued_total */
    uint64_t retained_bytes; /* of max_retained_bytes, without the topic tree */
    uint64_t pauses; /* times that a publisher's reading was paused: broker_pause_publisher() */
    int64_t started_mono_ms;
};
void broker_get_stats(const struct broker *b, struct broker_stats *ret);

/* What was seen last on a topic that somebody subscribes to or that was published lately; bounded.
 */
struct broker_topic_view {
    struct sl_slice topic, value; /* value: at most the payload's first 64 bytes */
    uint32_t payload_len;
    int64_t wall_ms;
    uint64_t count;
};
void broker_visit_topics(const struct broker *b,
                         void (*visit)(void *ctx, const struct broker_topic_view *v), void *ctx);

struct broker_client_view {
    struct sl_slice client_id, username, address;
    int protocol_version;
    bool connected;
    uint32_t subscriptions, queued, in_flight, keep_alive_s;
    int64_t since_wall_ms;
};
/* Every session, with its client or without one; slices live until visit() returns. */
void broker_visit_clients(const struct broker *b,
                          void (*visit)(void *ctx, const struct broker_client_view *v), void *ctx);

#endif
