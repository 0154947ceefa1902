/* access.c - the access list at work. What is allowed is decided in acl.c. */
#include "access.h"

#include "broker_internal.h"
#include "client.h"
#include "durable.h"

#include "base/log.h"

struct sl_slice access_user(const struct client *c)
{
    if (!c->username || c->nameless)
        return (struct sl_slice){ 0 };
    return sl_str(c->username);
}

enum access_will access_check_will(const struct client *c, struct sl_slice client_id,
                                   struct sl_slice topic)
{
    if (!c->broker->acl)
        return ACCESS_WILL_FINE;
    struct acl_view *v = acl_view_new(c->broker->acl, access_user(c), client_id);
    if (!v)
        return ACCESS_NO_MEMORY;
    bool may = acl_may(v, ACL_PUBLISH, topic);
    acl_view_free(v);
    return may ? ACCESS_WILL_FINE : ACCESS_WILL_DENIED;
}

bool access_is_foreign(const struct client *c, const struct session *s)
{
    return s->access && !acl_view_is_of(s->access, access_user(c));
}

bool access_attach(const struct client *c, struct session *s, bool present)
{
    if (!c->broker->acl || s->access)
        return true;
    s->access = acl_view_new(c->broker->acl, access_user(c), session_id(s));
    s->access_changed = present;
    if (s->sub_count > 0)
        subs_forget_answers(&c->broker->subs); /* its share in them may be too large */
    return s->access != NULL;
}

bool access_restore(struct session *s, struct sl_slice user)
{
    if (!s->broker->acl || s->access)
        return true;
    s->access = acl_view_new(s->broker->acl, user, session_id(s));
    s->access_changed = true; /* since then, perhaps */
    if (s->sub_count > 0)
        subs_forget_answers(&s->broker->subs);
    return s->access != NULL;
}

bool access_may_subscribe(const struct session *s, struct sl_slice filter)
{
    const struct sl_slice share = sl_str("$share/");
    if (!s->access)
        return true;
    if (sl_slice_starts(filter, share)) {
        struct sl_slice rest = { filter.ptr + share.len, filter.len - share.len };
        const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
        size_t name = slash ? (size_t)(slash - rest.ptr) + 1 : rest.len;
        filter = (struct sl_slice){ rest.ptr + name, rest.len - name };
    }
    return acl_may(s->access, ACL_SUBSCRIBE, filter);
}

bool access_refuses_topic(const struct session *s, struct sl_slice topic)
{
    bool certain = !s->access_changed && !acl_view_denies(s->access);
    return !certain && !acl_may(s->access, ACL_SUBSCRIBE, topic);
}

/* ---- changes ---- */

static void set_session(struct broker *b, struct session *s)
{
    s->access_changed = true;
    if (!b->acl) {
        acl_view_free(s->access);
        s->access = NULL;
    } else if (s->access) {
        acl_view_replace(&s->access, b->acl);
    } else if (!s->client) {
        if (!access_restore(s, persist_user(s)))
            LOG_WARN("broker", "out of memory for the access list of a session that is offline");
    } else if (!access_attach(s->client, s, true)) {
        client_close(s->client, MQTT_RC_QUOTA_EXCEEDED, "out of memory for its access list");
    }
}

/* Answers in the topic cache were made under the old list, so all of them are out of date. A client
 * that is closed may take its session out of the map, so sessions without a view, whose clients may
 * have to go, are reached by way of the clients. */
void broker_set_acl(struct broker *b, struct acl *acl)
{
    struct acl *old = b->acl;
    struct session *s;
    b->acl = acl_ref(acl);
    acl_unref(old);
    subs_forget_answers(&b->subs);
    for (uint32_t i = 0; (s = sl_map_next(&b->sessions, &i));)
        if (s->access || (!s->client && s->durable))
            set_session(b, s);
    for (uint32_t i = 0; acl && i < b->client_count; i++)
        if (b->clients[i]->session && !b->clients[i]->session->access)
            set_session(b, b->clients[i]->session);
}

struct acl *broker_acl(const struct broker *b)
{
    return b->acl;
}

void broker_end_clients(struct broker *b,
                        uint8_t (*reason)(void *ctx, const struct broker_login *login), void *ctx)
{
    for (uint32_t i = 0; i < b->client_count; i++) { /* a closed one leaves the list later */
        struct client *c = b->clients[i];
        if (c->state != CLIENT_CONNECTED)
            continue;
        struct broker_login login = {
            .username = c->username ? sl_str(c->username) : (struct sl_slice){ 0 },
            .from_cert = c->cert_name,
            .checked = c->username && !c->nameless,
        };
        uint8_t why = reason(ctx, &login);
        if (why)
            client_close(c, why, "it may not be connected any more");
    }
}
