/* validate_net.c - who can reach the gateway: listeners, access and the page. */
#include "finish.h"
#include "validate.h"

#include "base/topic.h"

#include <stdio.h>

#define UNIX_PATH_MAX 107 /* of sockaddr_un, without its NUL */

/* ---- addresses ---- */

static bool is_any(const uint8_t a[16], bool *ret_v6)
{
    static const uint8_t any6[16] = { 0 }, any4[16] = { [10] = 0xFF, [11] = 0xFF };
    *ret_v6 = memcmp(a, any6, 16) == 0;
    return *ret_v6 || memcmp(a, any4, 16) == 0;
}

static bool is_v4(const uint8_t a[16])
{
    static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };
    return memcmp(a, mapped, sizeof mapped) == 0;
}

/* Whether one covers the other: "::" takes IPv4 along, as Linux does unless told otherwise. */
static bool addresses_clash(const char *one, const char *other)
{
    uint8_t a[16], b[16];
    if (!one || !other || !config_address(one, a) || !config_address(other, b))
        return false;
    bool a6, b6, any_a = is_any(a, &a6), any_b = is_any(b, &b6);
    if (a6 || b6 || memcmp(a, b, 16) == 0)
        return true;
    return (any_a && is_v4(b)) || (any_b && is_v4(a));
}

static void check_address(struct config_reader *r, const struct jsonc *node, const char *address)
{
    uint8_t bytes[16];
    const struct jsonc *value = jsonc_get(node, "bind");
    if (!value || value->type != JSONC_STRING || !address || config_address(address, bytes))
        return;
    char buf[128];
    config_complain(r, false, node, "bind",
                    "expected an IP address (127.0.0.1 for this machine, 0.0.0.0 for every "
                    "interface), found %s",
                    config_shown(value, buf, sizeof buf));
}

/* ---- one listener ---- */

static void check_tls(struct config_reader *r, const struct jsonc *node,
                      const struct config_listener *l)
{
    bool secure = l->protocol == CONFIG_MQTTS || l->protocol == CONFIG_WSS;
    const struct jsonc *tls = jsonc_get(node, "tls");
    if (secure && !tls) {
        (void)validate_needs(r, node, "tls", "this protocol needs tls.cert and tls.key");
        return;
    }
    if (!tls || tls->type != JSONC_OBJECT)
        return;
    const struct jsonc *protocol = jsonc_get(node, "protocol");
    if (!secure && (!protocol || protocol->type != JSONC_BAD)) {
        config_complain(r, false, node, "tls", "only the protocols mqtts and wss have TLS");
        return;
    }
    (void)validate_needs(r, tls, "cert", "the listener's certificate (a PEM file)");
    (void)validate_needs(r, tls, "key", "the certificate's private key (a PEM file)");
    validate_file(r, tls, "cert", l->tls_cert);
    validate_key_file(r, tls, "key", l->tls_key);
    validate_file(r, tls, "ca", l->tls_ca);
    validate_file(r, tls, "crl", l->tls_crl);
    if (l->client_cert != CONFIG_CERT_NONE)
        (void)validate_needs(r, tls, "ca", "client certificates are checked against it");
    else if (l->username_from_cert)
        config_complain(r, false, tls, "username_from_cert",
                        "needs client_cert \"required\" or \"optional\"");
}

static void check_unix(struct config_reader *r, const struct jsonc *node,
                       const struct config_listener *l)
{
    if (jsonc_get(node, "bind") || jsonc_get(node, "port"))
        config_complain(r, false, node, "unix",
                        "a listener has either unix or bind and port, not both");
    if (l->protocol != CONFIG_MQTT)
        config_complain(r, false, node, "unix", "only the protocol mqtt works on a Unix socket");
    if (strlen(l->unix_path) > UNIX_PATH_MAX)
        config_complain(r, false, node, "unix", "longer than the %d bytes a socket's path can have",
                        UNIX_PATH_MAX);
}

/* The promise of the interface page: open to everyone only by choice. */
static void check_choice(struct config_reader *r, const struct jsonc *node,
                         const struct config_listener *l)
{
    const struct config *c = r->config;
    const struct jsonc *access = jsonc_get(r->doc.root, "access");
    uint8_t bytes[16];
    if (!config_listener_is_open(l) || !config_address(l->bind, bytes))
        return;
    if (c->access.anonymous_set || c->access.users_file || config_has(access, "users_file"))
        return;
    config_complain(r, false, node, "bind",
                    "everyone on the network could connect: choose who may with "
                    "access.users_file, tls.client_cert \"required\", or access.anonymous true "
                    "(everyone) or false");
}

/* One has the port for IPv6 only, the other for IPv4. */
static bool apart(const struct config_listener *one, const struct config_listener *other)
{
    uint8_t a[16];
    return (one->ipv6_only && config_address(other->bind, a) && is_v4(a)) ||
           (other->ipv6_only && config_address(one->bind, a) && is_v4(a));
}

static void check_clash(struct config_reader *r, const struct jsonc *node, size_t index)
{
    const struct config *c = r->config;
    const struct config_listener *l = &c->listeners[index];
    for (size_t i = 0; i < index; i++) {
        const struct config_listener *other = &c->listeners[i];
        if (jsonc_get(node, "name") && other->name && l->name && strcmp(other->name, l->name) == 0)
            config_complain(r, false, node, "name", "\"%s\" is already the name of listeners[%zu]",
                            l->name, i);
        if (l->unix_path && other->unix_path && strcmp(l->unix_path, other->unix_path) == 0)
            config_complain(r, false, node, "unix", "listeners[%zu] has the same socket", i);
        if (l->bind && l->port != 0 && l->port == other->port &&
            addresses_clash(l->bind, other->bind) && !apart(l, other))
            config_complain(r, false, node, "port", "listeners[%zu] already takes port %u there", i,
                            l->port);
    }
}

/* A question mark would begin what is not the path any more. */
static void check_path(struct config_reader *r, const struct jsonc *node,
                       const struct config_listener *l)
{
    bool web = l->protocol == CONFIG_WS || l->protocol == CONFIG_WSS;
    const struct jsonc *path = jsonc_get(node, "path"), *protocol = jsonc_get(node, "protocol");
    if (!path || path->type != JSONC_STRING || !l->path)
        return;
    if (!web && (!protocol || protocol->type != JSONC_BAD))
        config_complain(r, false, node, "path", "only the protocols ws and wss have a path");
    else if (l->path[0] != '/' || strpbrk(l->path, "?# \t%") || strstr(l->path, "//") ||
             strstr(l->path, "/."))
        config_complain(r, false, node, "path",
                        "expected a path like \"/mqtt\": it begins with / and has no ?, #, %%, "
                        "blank, // or /.");
}

static void check_listener(struct config_reader *r, const struct jsonc *node, size_t index)
{
    const struct config_listener *l = &r->config->listeners[index];
    if (jsonc_get(node, "name"))
        validate_name(r, node, "name", l->name, "");
    check_address(r, node, l->bind);
    check_tls(r, node, l);
    check_path(r, node, l);
    if (l->unix_path)
        check_unix(r, node, l);
    check_choice(r, node, l);
    check_clash(r, node, index);
}

/* ---- access ---- */

/* What stands behind a '%' that means nothing; 0 when all do. */
static int unknown_placeholder(struct sl_slice filter)
{
    for (size_t i = 0; i < filter.len; i++) {
        if (filter.ptr[i] != '%')
            continue;
        if (++i == filter.len)
            return ' ';
        if (!strchr("uc%", filter.ptr[i]))
            return filter.ptr[i];
    }
    return 0;
}

/* Whether one of them can mean anything is asked of the text as it stands: no name that is put in
 * adds a level or a wildcard. */
static void check_filters(struct config_reader *r, const struct jsonc *list)
{
    for (const struct jsonc *e = list && list->type == JSONC_LIST ? list->child : NULL; e;
         e = e->next) {
        if (e->type != JSONC_STRING)
            continue;
        if (!sl_filter_valid(e->text))
            config_complain(r, false, e, NULL,
                            "not a topic filter ('+' stands for one whole level, '#' only at the "
                            "end)");
        else if (sl_slice_starts(e->text, sl_str("$share/")))
            config_complain(r, false, e, NULL,
                            "a shared subscription is allowed by its filter: write it without "
                            "$share/NAME/");
        if (unknown_placeholder(e->text))
            config_complain(
                r, false, e, NULL,
                "%%u stands for the user name, %%c for the client id and %%%% for '%%'; "
                "nothing else follows a '%%'");
    }
}

static bool says_something(const struct jsonc *node)
{
    const char *const keys[] = { "deny", "publish", "subscribe" };
    bool found = false;
    for (size_t i = 0; i < SL_ARRAY_LEN(keys); i++) {
        const struct jsonc *list = jsonc_get(node, keys[i]);
        found = found || (list && (list->type != JSONC_LIST || list->child));
    }
    return found;
}

static void check_acl(struct config_reader *r, const struct jsonc *node,
                      const struct config_acl *acl, bool names_checked)
{
    if (acl->user && acl->anonymous)
        config_complain(r, false, node, "user",
                        "an entry is for users or for clients without a name, not for both");
    if (!says_something(node) && !node->damaged)
        config_complain(r, false, node, NULL,
                        "an entry needs deny, publish or subscribe: this one says nothing");
    if (acl->user && !names_checked)
        config_complain(r, true, node, "user",
                        "speaks for nobody: without users_file, and without a listener that takes "
                        "names from certificates, nobody's name is checked");
    check_filters(r, jsonc_get(node, "deny"));
    check_filters(r, jsonc_get(node, "publish"));
    check_filters(r, jsonc_get(node, "subscribe"));
}

static void check_access(struct config_reader *r)
{
    const struct config *c = r->config;
    const struct jsonc *access = jsonc_get(r->doc.root, "access"), *node;
    validate_users_file(r, access, c->access.users_file);
    bool by_certificate = false;
    for (size_t i = 0; i < c->listener_count; i++)
        by_certificate = by_certificate || c->listeners[i].username_from_cert;
    struct validate_walk w = validate_walk(jsonc_get(access, "acl"));
    for (size_t i; validate_next(&w, c->access.acl_count, &node, &i);)
        check_acl(r, node, &c->access.acl[i], by_certificate || config_has(access, "users_file"));
    if (c->access.anonymous_set && !c->access.anonymous && !config_has(access, "users_file") &&
        !by_certificate)
        config_complain(r, true, access, "anonymous",
                        "nobody can connect: there is no users_file and no listener takes names "
                        "from certificates");
}

/* ---- the page ---- */

static void check_web_clash(struct config_reader *r, const struct jsonc *web)
{
    const struct config *c = r->config;
    for (size_t i = 0; i < c->listener_count; i++)
        if (c->web.port == c->listeners[i].port &&
            addresses_clash(c->web.bind, c->listeners[i].bind))
            config_complain(r, false, web, "port", "listeners[%zu] already takes port %u there", i,
                            c->web.port);
}

static void check_web(struct config_reader *r)
{
    const struct config *c = r->config;
    const struct jsonc *web = jsonc_get(r->doc.root, "web");
    if (!web || web->type != JSONC_OBJECT)
        return;
    const struct jsonc *tls = jsonc_get(web, "tls");
    uint8_t bytes[16];
    check_address(r, web, c->web.bind);
    validate_users_file(r, web, c->web.users_file);
    bool users =
        config_has(web, "users_file") || config_has(jsonc_get(r->doc.root, "access"), "users_file");
    if (!config_is_loopback(c->web.bind) && config_address(c->web.bind, bytes) && !users &&
        !c->web.anonymous_set)
        config_complain(r, false, web, "bind",
                        "everyone on the network could see the page: choose who may with "
                        "web.users_file, or web.anonymous (none, read or full)");
    if (tls && tls->type == JSONC_OBJECT) {
        (void)validate_needs(r, tls, "cert", "HTTPS needs cert and key");
        (void)validate_needs(r, tls, "key", "HTTPS needs cert and key");
        validate_file(r, tls, "cert", c->web.tls_cert);
        validate_key_file(r, tls, "key", c->web.tls_key);
    }
    check_web_clash(r, web);
}

void validate_listeners(struct config_reader *r)
{
    const struct jsonc *node;
    struct validate_walk w = validate_walk(jsonc_get(r->doc.root, "listeners"));
    for (size_t i; validate_next(&w, r->config->listener_count, &node, &i);)
        check_listener(r, node, i);
    check_access(r);
    check_web(r);
}
