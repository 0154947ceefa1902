/* acl.h - who may publish and subscribe to what: the access list, and one client's view of it.
 *
 * The list never changes and is shared by count. Its entries are tried in order: one that speaks
 * for the client refuses what fits its `deny`, allows what fits its `publish` or `subscribe`, and
 * leaves the rest to those behind it; what no entry allows is refused.
 *
 * Patterns are topic filters with %u (user name), %c (client id) and %% ('%') in them. A filter
 * fits a pattern when everything it could match is matched by the pattern. As always in MQTT, a
 * pattern that begins with a wildcard does not speak of topics that begin with '$'. A name that
 * holds '+', '#', '/' or '$', or is not there, must not widen a right: where it would be put in, an
 * allowing pattern fits nothing, and a denying one everything from that level on.
 *
 * Pure: no I/O, no clock. */
#ifndef BROKER_ACL_H
#define BROKER_ACL_H

#include "base/err.h"
#include "base/slice.h"

#define ACL_ENTRIES_MAX 65535

struct acl;
struct acl_view;

enum acl_right { ACL_PUBLISH, ACL_SUBSCRIBE };

/* Lists of patterns end with NULL, or are NULL. All of it is copied. */
struct acl_entry_options {
    const char *user; /* '*' stands for any characters; NULL: see below */
    bool anonymous;   /* for clients without a name; else, without user, for everyone */
    const char *const *deny, *const *publish, *const *subscribe;
};

/* Patterns are valid filters. NULL when memory is out. */
SL_NODISCARD struct acl *acl_new(const struct acl_entry_options *entries, size_t count);
struct acl *acl_ref(struct acl *a); /* accepts NULL */
void acl_unref(struct acl *a);      /* accepts NULL */

/* The entries that speak for one client. user.ptr NULL: it has no name. client_id is borrowed for
 * the view's life, user is copied. Takes a reference to the list. NULL when memory is out. */
SL_NODISCARD struct acl_view *acl_view_new(struct acl *a, struct sl_slice user,
                                           struct sl_slice client_id);
/* The same client under another list. Without memory for it: everything is refused. */
void acl_view_replace(struct acl_view **v, struct acl *a);
void acl_view_free(struct acl_view *v); /* accepts NULL */

/* A topic, or a filter (without "$share/NAME/"). */
bool acl_may(const struct acl_view *v, enum acl_right right, struct sl_slice filter);
/* acl_may(v, ACL_PUBLISH, topic), remembered for the topics asked for last. */
bool acl_may_publish(struct acl_view *v, struct sl_slice topic);
/* Whether something that fits an allowed filter may still be refused. */
bool acl_view_denies(const struct acl_view *v);
bool acl_view_is_under(const struct acl_view *v, const struct acl *a);
/* Whether the view is of this user (ptr NULL: of one without a name). */
bool acl_view_is_of(const struct acl_view *v, struct sl_slice user);

/* ---- the parts, for tests and for whoever shows the list ---- */

/* Whether everything that filter (or topic) could match is matched by pattern. */
bool acl_fits(struct sl_slice pattern, struct sl_slice filter);
/* '*' stands for any characters, also none. */
bool acl_user_fits(struct sl_slice pattern, struct sl_slice user);

#endif
