/* listeners.c - from configuration to open listeners. */
#include "listeners.h"

#include <stdio.h>
#include <stdlib.h>

struct entry {
    char *name;
    char key[512]; /* what a change of means a new socket */
    char address[160];
    bool tls, kept;
    struct broker_listener *listener;
};

struct listeners {
    struct broker *broker;
    struct entry *entries;
    size_t count;
};

static void make_key(const struct config_listener *c, struct entry *e)
{
    if (c->unix_path)
        (void)snprintf(e->address, sizeof e->address, "%s",
                       c->unix_path); /* shown; cut when very long */
    else
        (void)snprintf(e->address, sizeof e->address, strchr(c->bind, ':') ? "[%s]:%u" : "%s:%u",
                       c->bind, c->port);
    (void)snprintf(e->key, sizeof e->key, "%d %s %u %s %d", (int)c->protocol,
                   c->bind ? c->bind : "", c->port, c->unix_path ? c->unix_path : "",
                   c->username_from_cert);
}

static enum sl_code make_tls(const struct config_listener *c, struct tls_context **ret,
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
    enum sl_code rc = tls_context_new(ret, &o, err);
    return rc == SL_OK ? SL_OK : sl_wrap(err, "listener \"%s\"", c->name);
}

static enum sl_code open_one(struct listeners *l, const struct config_listener *c,
                             struct tls_context *tls, struct entry *e, struct sl_err *err)
{
    struct broker_listener_options o = {
        .name = c->name,
        .bind = c->unix_path ? NULL : c->bind,
        .port = c->port,
        .unix_path = c->unix_path,
        .tls = tls,
        .username_from_cert = c->username_from_cert,
    };
    return broker_listen(l->broker, &o, &e->listener, err);
}

static struct entry *find_kept(struct listeners *l, const struct entry *like)
{
    for (size_t i = 0; i < l->count; i++)
        if (!l->entries[i].kept && strcmp(l->entries[i].key, like->key) == 0)
            return &l->entries[i];
    return NULL;
}

/* Fills e for c: an open listener that stays, or a new one. */
static enum sl_code make_entry(struct listeners *l, const struct config_listener *c,
                               struct entry *e, struct sl_err *err)
{
    struct tls_context *tls = NULL;
    make_key(c, e);
    e->tls = c->protocol == CONFIG_MQTTS;
    e->name = strdup(c->name);
    if (!e->name)
        return sl_fail(err, SL_NOMEM, "listener \"%s\": out of memory", c->name);
    enum sl_code rc = e->tls ? make_tls(c, &tls, err) : SL_OK;
    if (rc != SL_OK)
        return rc;
    struct entry *kept = find_kept(l, e);
    if (kept) {
        kept->kept = true;
        e->listener = kept->listener;
        if (tls)
            broker_listener_set_tls(e->listener, tls);
    } else {
        rc = open_one(l, c, tls, e, err);
    }
    tls_context_unref(tls);
    return rc;
}

static void entries_free(struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(entries[i].name);
    free(entries);
}

static bool was_there(const struct listeners *l, const struct broker_listener *b)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->entries[i].listener == b)
            return true;
    return false;
}

enum sl_code listeners_reload(struct listeners *l, const struct config *config, struct sl_err *err)
{
    struct entry *entries =
        calloc(config->listener_count ? config->listener_count : 1, sizeof *entries);
    if (!entries)
        return sl_fail(err, SL_NOMEM, "listeners: out of memory");
    for (size_t i = 0; i < l->count; i++)
        l->entries[i].kept = false;
    enum sl_code rc = SL_OK;
    for (size_t i = 0; rc == SL_OK && i < config->listener_count; i++)
        rc = make_entry(l, &config->listeners[i], &entries[i], err);
    if (rc != SL_OK) {
        for (size_t i = 0; i < config->listener_count; i++)
            if (entries[i].listener && !was_there(l, entries[i].listener))
                broker_unlisten(entries[i].listener);
        entries_free(entries, config->listener_count);
        return rc;
    }
    for (size_t i = 0; i < l->count; i++)
        if (!l->entries[i].kept)
            broker_unlisten(l->entries[i].listener);
    entries_free(l->entries, l->count);
    l->entries = entries;
    l->count = config->listener_count;
    return SL_OK;
}

enum sl_code listeners_open(struct listeners **ret, struct broker *broker,
                            const struct config *config, struct sl_err *err)
{
    struct listeners *l = calloc(1, sizeof *l);
    if (!l)
        return sl_fail(err, SL_NOMEM, "listeners: out of memory");
    l->broker = broker;
    enum sl_code rc = listeners_reload(l, config, err);
    if (rc != SL_OK) {
        free(l);
        return rc;
    }
    *ret = l;
    return SL_OK;
}

void listeners_free(struct listeners *l)
{
    if (!l)
        return;
    entries_free(l->entries, l->count);
    free(l);
}

size_t listeners_count(const struct listeners *l)
{
    return l ? l->count : 0;
}

void listeners_get(const struct listeners *l, size_t index, struct listener_view *ret)
{
    const struct entry *e = &l->entries[index];
    *ret = (struct listener_view){ .name = e->name, .protocol = e->tls ? "mqtts" : "mqtt" };
    memcpy(ret->address, e->address, sizeof ret->address);
}
