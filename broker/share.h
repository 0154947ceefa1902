/* share.h - groups of shared subscriptions ("$share/NAME/FILTER", MQTT 5 section 4.8.2): each
 * message to one member.
 *
 * A group hangs on its filter's node in the subscription tree, and cached answers name the group,
 * not its members: members come and go without putting answers out of date. A group that has lost
 * its last member is freed at the end of the turn, since a route may be under way that names it. */
#ifndef BROKER_SHARE_H
#define BROKER_SHARE_H

#include "subs.h"

struct broker;
struct delivery;
struct frame_cache;

struct share_member {
    struct subscription *sub;
    struct subids *ids; /* of its Subscription Identifier, or NULL */
};

struct share_group {
    struct trie_node *node;
    struct share_group *next;     /* on the node; then among those to be freed */
    struct share_member *members; /* room for the next power of two */
    uint32_t count;
    uint32_t turn;   /* whose turn it is, as far as it can take a message */
    uint32_t number; /* names the group in deliveries; never 0 */
    uint16_t name_len;
    uint8_t name[];
};

/* The parts of what a client subscribes to. False: it begins with "$share/", but there is no name,
 * or a wildcard in it, or no filter behind it [MQTT-4.8.2-1, 4.8.2-2]. The filter is not looked
 * at. */
struct share_text {
    struct sl_slice name; /* empty: not a shared subscription */
    struct sl_slice filter;
};
SL_NODISCARD bool share_split(struct sl_slice text, struct share_text *ret);

/* Deliveries that outlive the process name their group by its text. Appends "$share/NAME/FILTER",
 * or nothing when the group has ended. */
void share_put_text(const struct subs *s, uint32_t number, struct sl_buf *out);
uint32_t share_number(const struct subs *s, struct sl_slice text); /* 0: there is no such group */

/* ---- for subs.c ---- */

/* The node's group of this name, or NULL. */
struct share_group *share_find(const struct trie_node *n, struct sl_slice name);
/* The group, made when there is none; NULL when memory is out. The node has a list. */
struct share_group *share_make(struct subs *s, struct trie_node *n, struct sl_slice name);
SL_NODISCARD bool share_join(struct share_group *g, struct subscription *sub);
/* The member's subscription identifier is another now. */
SL_NODISCARD bool share_update(struct share_group *g, const struct subscription *sub);
/* The last one takes the group off its node. */
void share_leave(struct subs *s, struct subscription *sub);
void share_drop_if_empty(struct subs *s, struct share_group *g);
void share_free_ended(struct subs *s); /* no route is under way */

/* ---- delivering ---- */

/* Hand m to one member, the next that can take it. */
void share_deliver(struct broker *b, struct share_group *g, struct sl_msg *m,
                   struct frame_cache *frames);
/* The session has ended and left its groups: what they gave it, and what was not begun or is QoS 1
 * without its acknowledgement, goes to other members. What was begun at QoS 2 does not
 * [MQTT-4.8.2-5]. */
void share_reassign(struct broker *b, const struct session *s);

#endif
