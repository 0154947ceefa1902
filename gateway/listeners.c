/* listeners.c - from configuration to open listeners. */
#include "listeners.h"

#include "cert_watch.h"
#include "listener_ws.h"

#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
    char *name, *bind, *unix_path; /* bind or unix_path */
    uint16_t port;
    struct cert_watch *certs; /* mqtts and wss */
    char *path;               /* ws and wss */
    struct ws_site *site;
    struct listener_ws *ws; /* the same, from its opening on */
    enum config_protocol protocol;
    bool ipv6_only;
    bool username_from_cert;
    char address[160]; /* shown; cut when very long */
    struct broker_listener *listener;
    struct entry *kept; /* new: the open one that it takes over */
    bool stays;         /* old: taken over */
    bool lent;          /* old: closed so that a new one could have its port */
};

struct listeners {
    uv_loop_t *loop;
    struct broker *broker;
    struct ws *ws; /* NULL until a listener needs it */
    uint32_t connections_max;
    struct entry *entries;
    size_t count;
};

/* ---- entries ---- */

static void entries_free(struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(entries[i].name);
        free(entries[i].bind);
        free(entries[i].unix_path);
        cert_watch_close(entries[i].certs);
        ws_site_close(entries[i].site);
        free(entries[i].path);
        free(entries[i].ws);
    }
    free(entries);
}

static bool copy_text(char **ret, const char *text)
{
    *ret = text ? strdup(text) : NULL;
    return *ret || !text;
}

static enum sl_code make_tls(const struct config_listener *c, struct cert_watch **ret,
                             struct sl_err *err)
{
    struct tls_options o = {
        .server = true,
        .cert_path = c->tls_cert,
        .key_path = c->tls_key,
        .ca_path = c->tls_ca,
        .crl_path = c->tls_crl,
        .client_cert = (enum tls_client_cert)c->client_cert,
        .min_version = c->tls_min_version,
    };
    enum sl_code rc = cert_watch_open(ret, c->name, &o, err);
    return rc == SL_OK ? SL_OK : sl_wrap(err, "listener \"%s\"", c->name);
}

/* With what the entry says; its certificate files have been looked at. */
static enum sl_code make_site(struct listeners *l, const struct entry *e, struct ws_site **ret,
                              struct sl_err *err)
{
    struct ws_site_options o = { .name = e->name,
                                 .path = e->path,
                                 .tls = e->certs != NULL,
                                 .username_from_cert = e->username_from_cert };
    if (e->certs) {
        const struct tls_options *tls = cert_watch_options(e->certs);
        o.cert_path = tls->cert_path;
        o.key_path = tls->key_path;
        o.ca_path = tls->ca_path;
        o.crl_path = tls->crl_path;
        o.client_cert = tls->client_cert;
        o.min_version = tls->min_version;
    }
    enum sl_code rc =
        l->ws ? SL_OK : ws_open(&l->ws, l->loop, l->connections_max, &listener_ws_callbacks, err);
    return rc == SL_OK ? ws_site_open(ret, l->ws, &o, err) : rc;
}

static enum sl_code make_entry(struct listeners *l, const struct config_listener *c,
                               struct entry *e, struct sl_err *err)
{
    if (!copy_text(&e->name, c->name) || !copy_text(&e->unix_path, c->unix_path) ||
        !copy_text(&e->path, c->path) || !copy_text(&e->bind, c->unix_path ? NULL : c->bind))
        return sl_fail(err, SL_NOMEM, "listener \"%s\": out of memory", c->name);
    e->port = c->unix_path ? 0 : c->port;
    e->protocol = c->protocol;
    e->ipv6_only = c->ipv6_only;
    e->username_from_cert = c->username_from_cert;
    assert(e->unix_path || e->bind); /* the address has a default */
    if (e->unix_path)
        (void)snprintf(e->address, sizeof e->address, "%s", e->unix_path);
    else
        (void)snprintf(e->address, sizeof e->address, strchr(e->bind, ':') ? "[%s]:%u" : "%s:%u",
                       e->bind, e->port);
    bool secure = c->protocol == CONFIG_MQTTS || c->protocol == CONFIG_WSS;
    bool web = c->protocol == CONFIG_WS || c->protocol == CONFIG_WSS;
    enum sl_code rc = secure ? make_tls(c, &e->certs, err) : SL_OK;
    return rc == SL_OK && web ? make_site(l, e, &e->site, err) : rc;
}

static struct tls_context *tls_of(const struct entry *e)
{
    return e->certs && !e->site ? cert_watch_context(e->certs) : NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* An open socket can stay where the address is the same: TLS and the rest apply to its next
 * connections. */
static void find_kept(struct listeners *l, struct entry *e)
{
    for (size_t i = 0; i < l->count && !e->kept; i++) {
        struct entry *old = &l->entries[i];
        if (old->stays || old->port != e->port || !same_text(old->bind, e->bind) ||
            !same_text(old->unix_path, e->unix_path) || old->ipv6_only != e->ipv6_only ||
            !old->site != !e->site)
            continue;
        old->stays = true;
        e->kept = old;
    }
}

/* ---- opening ---- */

static enum sl_code open_entry(struct listeners *l, struct entry *e, struct sl_err *err)
{
    struct broker_listener_options o = {
        .name = e->name,
        .bind = e->bind,
        .port = e->port,
        .ipv6_only = e->ipv6_only,
        .unix_path = e->unix_path,
        .tls = tls_of(e),
        .username_from_cert = e->username_from_cert,
    };
    if (e->site) {
        if (!e->ws && !(e->ws = malloc(sizeof *e->ws)))
            return sl_fail(err, SL_NOMEM, "listener \"%s\": out of memory", e->name);
        *e->ws = (struct listener_ws){ l->broker, e->site };
        o.accepted = listener_ws_accepted;
        o.accepted_ctx = e->ws;
    }
    return broker_listen(l->broker, &o, &e->listener, err);
}

/* 127.0.0.1:1883 is in the way of 0.0.0.0:1883: what has this port and does not stay is closed
 * early. */
static bool lend_port(struct listeners *l, const struct entry *e)
{
    bool lent = false;
    for (size_t i = 0; i < l->count; i++) {
        struct entry *old = &l->entries[i];
        if (old->stays || !old->listener || !e->bind || !old->bind || old->port != e->port)
            continue;
        broker_unlisten(old->listener);
        old->listener = NULL;
        old->lent = lent = true;
    }
    return lent;
}

static enum sl_code open_new(struct listeners *l, struct entry *e, struct sl_err *err)
{
    enum sl_code rc = open_entry(l, e, err);
    return rc != SL_OK && lend_port(l, e) ? open_entry(l, e, err) : rc;
}

/* Everything as it was. A port that was lent is free again, so this fails only for lack of memory
 * or descriptors, or when somebody was quicker. */
static void undo(struct listeners *l, struct entry *entries, size_t count, struct sl_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].listener)
            broker_unlisten(entries[i].listener);
    for (size_t i = 0; i < l->count; i++) {
        struct sl_err again = { 0 };
        struct entry *old = &l->entries[i];
        if (old->lent && open_entry(l, old, &again) != SL_OK)
            (void)sl_wrap(err, "listener \"%s\" is closed and could not be opened again (%s)",
                          old->name, again.text);
        old->lent = false;
    }
}

static const char *protocol_name(const struct entry *e)
{
    static const char *const protocols[] = {
        [CONFIG_MQTT] = "mqtt", [CONFIG_MQTTS] = "mqtts", [CONFIG_WS] = "ws", [CONFIG_WSS] = "wss"
    };
    return protocols[e->protocol];
}

/* The first time, whoever opens them all says what there is. */
static void log_opened(const struct listeners *l, const struct entry *e)
{
    if (l->entries)
        LOG_INFO("broker", "listening: %s on %s (\"%s\")", protocol_name(e), e->address, e->name);
}

static void take_over(struct listeners *l, struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct entry *e = &entries[i];
        if (!e->kept) {
            log_opened(l, e);
            continue;
        }
        e->listener = e->kept->listener;
        e->ws = e->kept->ws;
        e->kept->ws = NULL;
        if (e->ws)
            e->ws->site = e->site;
        if (e->certs && e->kept->certs)
            cert_watch_follow(e->certs, e->kept->certs);
        e->kept = NULL;
        broker_listener_set_tls(e->listener, tls_of(e), e->username_from_cert);
    }
    for (size_t i = 0; i < l->count; i++)
        if (!l->entries[i].stays && l->entries[i].listener) {
            LOG_INFO("broker", "no longer listening on %s (\"%s\")", l->entries[i].address,
                     l->entries[i].name);
            broker_unlisten(l->entries[i].listener);
        }
    entries_free(l->entries, l->count);
    l->entries = entries;
    l->count = count;
}

enum sl_code listeners_reload(struct listeners *l, const struct config *config, struct sl_err *err)
{
    size_t count = config->listener_count;
    struct entry *entries = calloc(count ? count : 1, sizeof *entries);
    if (!entries)
        return sl_fail(err, SL_NOMEM, "listeners: out of memory");
    for (size_t i = 0; i < l->count; i++)
        l->entries[i].stays = l->entries[i].lent = false;
    enum sl_code rc = SL_OK;
    for (size_t i = 0; rc == SL_OK && i < count; i++)
        rc = make_entry(l, &config->listeners[i], &entries[i], err);
    for (size_t i = 0; rc == SL_OK && i < count; i++)
        find_kept(l, &entries[i]);
    for (size_t i = 0; rc == SL_OK && i < count; i++)
        if (!entries[i].kept)
            rc = open_new(l, &entries[i], err);
    if (rc == SL_OK) {
        take_over(l, entries, count);
        return SL_OK;
    }
    undo(l, entries, count, err);
    entries_free(entries, count);
    return rc;
}

enum sl_code listeners_open(struct listeners **ret, uv_loop_t *loop, struct broker *broker,
                            const struct config *config, struct sl_err *err)
{
    struct listeners *l = calloc(1, sizeof *l);
    if (!l)
        return sl_fail(err, SL_NOMEM, "listeners: out of memory");
    l->loop = loop;
    l->broker = broker;
    l->connections_max = config->broker.max_connections;
    enum sl_code rc = listeners_reload(l, config, err);
    if (rc != SL_OK) {
        ws_close(l->ws, NULL, NULL); /* in the loop's next turns */
        free(l);
        return rc;
    }
    *ret = l;
    return SL_OK;
}

void listeners_close(struct listeners *l, void (*closed)(void *ctx), void *ctx)
{
    struct ws *ws = l->ws;
    entries_free(l->entries, l->count);
    free(l);
    if (ws)
        ws_close(ws, closed, ctx);
    else
        closed(ctx);
}

/* New certificates for a WebSocket listener: another site, whose library reads the files itself. */
static void renew_site(struct listeners *l, struct entry *e)
{
    struct ws_site *fresh = NULL;
    struct sl_err err = { 0 };
    if (make_site(l, e, &fresh, &err) != SL_OK) {
        LOG_WARN("tls", "listener \"%s\": its old certificates stay in use: %s", e->name, err.text);
        return;
    }
    ws_site_close(e->site);
    e->site = fresh;
    if (e->ws)
        e->ws->site = fresh;
}

void listeners_watch(struct listeners *l, int64_t mono_ms, int64_t wall_ms)
{
    for (size_t i = 0; i < l->count; i++) {
        struct entry *e = &l->entries[i];
        if (!e->certs || !cert_watch_tick(e->certs, mono_ms, wall_ms))
            continue;
        if (e->site)
            renew_site(l, e);
        else
            broker_listener_set_tls(e->listener, tls_of(e), e->username_from_cert);
    }
}

size_t listeners_count(const struct listeners *l)
{
    return l ? l->count : 0;
}

void listeners_get(const struct listeners *l, size_t index, struct listener_view *ret)
{
    const struct entry *e = &l->entries[index];
    *ret = (struct listener_view){ .name = e->name, .protocol = protocol_name(e) };
    ret->secure = e->certs != NULL;
    if (e->certs)
        cert_watch_get(e->certs, &ret->certs);
    memcpy(ret->address, e->address, sizeof ret->address);
}
