/* subs.h - who gets a message: subscriptions and taps in the topic tree, and a cache of its
 * answers.
 *
 * Sensors publish on the same topics again and again, so the tree's answer for a topic is kept
 * until a subscription changes that fits it. The cache is bounded; it also remembers each topic's
 * last value for the status page. */
#ifndef BROKER_SUBS_H
#define BROKER_SUBS_H

#include "base/buf.h"
#include "broker/broker.h"
#include "trie.h"

#define TOPIC_CACHE_MAX   16384 /* a power of two times TOPIC_CACHE_FIRST */
#define TOPIC_CACHE_FIRST 32
#define TOPIC_CACHE_BYTES ((size_t)16 * 1024 * 1024)
#define TOPIC_VALUE_MAX   64
#define SUBS_NO_DELIVERY  0xFF

/* What one session may have: subscriptions, and what their levels take in the tree. */
#define SUBS_PER_SESSION_MAX 10000
#define SUBS_BYTES_MAX       (8 * 1024 * 1024)

/* Changes to the subscriptions that are remembered, so that answers which they do not touch stay
 * good; a filter longer than that touches all. */
#define SUBS_CHANGES      32
#define SUBS_CHANGE_BYTES 126

struct session;
struct share_group;
struct sub_list;

/* Subscription identifiers of one delivery, encoded as MQTT 5 properties; shared by count. */
struct subids {
    uint32_t refs;
    uint32_t len, cap;
    uint8_t encoded[];
};
static inline struct subids *subids_ref(struct subids *ids)
{
    if (ids)
        ids->refs++;
    return ids;
}
void subids_unref(struct subids *ids); /* accepts NULL */
/* One encoded identifier, or NULL for 0. False when memory is out. */
SL_NODISCARD bool subids_of(uint32_t id, struct subids **ret);

struct subscription {
    struct session *session;
    union {
        struct trie_node *node;
        struct share_group *group; /* of a shared one */
    } at;
    struct subscription *next, *prev; /* the session's list */
    uint32_t index;                   /* in the node's list, or the group's */
    uint32_t bytes;                   /* of the session's SUBS_BYTES_MAX */
    uint32_t id;                      /* Subscription Identifier, 0 for none */
    uint8_t qos;
    bool no_local, retain_as_published, shared;
};

struct broker_tap {
    broker_tap_fn *fn;
    void *ctx;
    struct trie_node *node;
};

/* One session's share in a topic: overlapping subscriptions are joined, at the highest QoS
 * [MQTT-3.3.5-1]. */
struct match {
    struct session *session;
    struct subids *ids, *ids_own; /* NULL for none */
    uint8_t qos;                  /* of all its subscriptions that fit */
    uint8_t qos_own; /* of those without No Local: for its own messages; or SUBS_NO_DELIVERY */
    bool retain_as_published;
};

struct topic_entry {
    uint64_t generation; /* of the subscriptions that the answer was made from */
    struct match *matches;
    struct broker_tap **taps;
    struct share_group **groups;
    uint32_t match_count, tap_count, group_count;
    size_t bytes;   /* of TOPIC_CACHE_BYTES */
    uint64_t count; /* publishes seen */
    int64_t wall_ms;
    uint32_t payload_len;
    uint16_t topic_len;
    uint8_t value_len;
    bool stale; /* whatever the generation says */
    bool used;  /* since the eviction hand passed */
    uint8_t value[TOPIC_VALUE_MAX];
    uint8_t topic[];
};

/* A filter that was subscribed to or left. */
struct subs_change {
    uint16_t len; /* UINT16_MAX: too long to say */
    uint8_t filter[SUBS_CHANGE_BYTES];
};

struct subs {
    struct trie trie;    /* values: struct sub_list */
    uint64_t generation; /* changes so far; change n is in changes[n % SUBS_CHANGES] */
    struct subs_change changes[SUBS_CHANGES];
    uint64_t count;          /* subscriptions of sessions */
    uint64_t pass;           /* marks sessions while an answer is made */
    struct sub_list **found; /* scratch: the lists of an answer */
    uint32_t found_count, found_cap;
    struct sl_map groups; /* shared subscriptions' by their number */
    struct share_group *ended_groups;
    uint32_t group_number;
    struct sl_map cache;
    struct topic_entry **ring; /* the cache's entries, for eviction in turn */
    uint32_t ring_count, ring_cap, hand;
    size_t cache_bytes;
};

void subs_free(struct subs *s); /* subscriptions must be gone */

/* Adds or replaces the session's subscription to a valid filter, which may be one of a share
 * ("$share/NAME/FILTER"); *ret_existed tells which. False: memory, or the session has as many as it
 * may. */
SL_NODISCARD bool subs_add(struct subs *s, struct session *session, struct sl_slice filter,
                           const struct subscription *wanted, bool *ret_existed);
/* False when there was none. */
bool subs_remove(struct subs *s, struct session *session, struct sl_slice filter);
bool subs_has(const struct subs *s, const struct session *session, struct sl_slice filter);
void subs_remove_all(struct subs *s, struct session *session);
/* Appends a subscription's filter. */
void subs_put_filter(const struct subscription *sub, struct sl_buf *out);

/* The filter is copied. False when memory is out. */
SL_NODISCARD bool subs_add_tap(struct subs *s, struct broker_tap *tap, struct sl_slice filter);
void subs_remove_tap(struct subs *s, struct broker_tap *tap);

/* The answer for a topic; valid until the next call. NULL when memory is out. */
struct topic_entry *subs_lookup(struct subs *s, struct sl_slice topic);
/* All answers are out of date: what sessions may receive has changed. */
void subs_forget_answers(struct subs *s);
/* Note a topic's last value. */
void topic_entry_observe(struct topic_entry *e, struct sl_slice payload, int64_t wall_ms);

#endif
