/* access.h - the access list at work: sessions' views of it, and the questions asked of them.
 *
 * A session keeps the view of the user who connected with it last, also while it is offline. One
 * that is durable has its user also from before the list, or from before a restart. Any other that
 * comes from before the list has none: what waits in it is asked about when its client is back. */
#ifndef BROKER_ACCESS_H
#define BROKER_ACCESS_H

#include "session.h"

struct client;

/* Who the client is, as the list sees it: ptr NULL for somebody without a name. */
struct sl_slice access_user(const struct client *c);
/* Whether a client with this id may have this will. */
enum access_will { ACCESS_WILL_FINE, ACCESS_WILL_DENIED, ACCESS_NO_MEMORY };
enum access_will access_check_will(const struct client *c, struct sl_slice client_id,
                                   struct sl_slice topic);
/* The session is another user's: it must not be handed to this client. */
bool access_is_foreign(const struct client *c, const struct session *s);
/* The session is handed to this client; present: it was there before. False when memory is out. */
SL_NODISCARD bool access_attach(const struct client *c, struct session *s, bool present);
/* A session without a client gets the view of its user. False when memory is out. */
SL_NODISCARD bool access_restore(struct session *s, struct sl_slice user);

/* The rest of access_may_receive(): the session has a list. */
bool access_refuses_topic(const struct session *s, struct sl_slice topic);

static inline bool access_may_publish(struct session *s, struct sl_slice topic)
{
    return !s->access || acl_may_publish(s->access, topic);
}
/* filter: also "$share/NAME/FILTER". */
bool access_may_subscribe(const struct session *s, struct sl_slice filter);
/* A message on this topic, by a subscription that was allowed once. */
static inline bool access_may_receive(const struct session *s, struct sl_slice topic)
{
    return !s->access || !access_refuses_topic(s, topic);
}

#endif
