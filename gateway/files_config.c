/* files_config.c - whether the files that a configuration names make sense. */
#include "files_config.h"

#include "users.h"

#include "base/tls.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Where problems go, and what they are about. */
struct report {
    struct config_problems *problems;
    struct config_place place;
    const char *path; /* JSON's */
};

/* ---- certificates and keys ---- */

static bool can_read(const char *path)
{
    return !path || access(path, R_OK) == 0;
}

static bool all_there(const struct tls_options *o)
{
    return !o->cert_path == !o->key_path && (o->cert_path || !o->server) &&
           can_read(o->cert_path) && can_read(o->key_path) && can_read(o->ca_path) &&
           can_read(o->crl_path);
}

/* A date keeps no gateway from starting: so it is looked at apart. */
static void check_tls(const struct report *r, struct tls_options o, bool warning)
{
    struct tls_context *tls = NULL;
    struct sl_err err;
    if (!all_there(&o))
        return;
    o.any_date = true;
    if (tls_context_new(&tls, &o, &err) != SL_OK) {
        config_report(r->problems, warning, r->place, r->path, "%s", err.text);
        return;
    }
    tls_context_unref(tls);
    tls = NULL;
    o.any_date = false;
    if (tls_context_new(&tls, &o, &err) != SL_OK)
        config_report(r->problems, true, r->place, r->path, "%s", err.text);
    tls_context_unref(tls);
}

static void check_listener(const struct config_listener *l, size_t i, struct config_problems *p)
{
    char path[48];
    (void)snprintf(path, sizeof path, "listeners[%zu].tls", i); /* fits */
    struct tls_options o = { .server = true,
                             .cert_path = l->tls_cert,
                             .key_path = l->tls_key,
                             .ca_path = l->tls_ca,
                             .crl_path = l->tls_crl,
                             .client_cert = (enum tls_client_cert)l->client_cert,
                             .min_version = l->tls_min_version };
    if (l->client_cert == CONFIG_CERT_NONE || l->tls_ca) /* without: config_load() has said so */
        check_tls(&(struct report){ p, l->tls_place, path }, o, false);
}

/* ---- users ---- */

static void on_bad_line(void *ctx, const char *path, unsigned line, const char *text)
{
    const struct report *r = ctx;
    config_report(r->problems, true, r->place, r->path, "%s:%u: %s: the line is left out", path,
                  line, text);
}

static void check_users(struct report *r, const char *path)
{
    struct users *users = NULL;
    struct sl_err err;
    if (!path || !can_read(path))
        return;
    if (users_load(&users, path, on_bad_line, r, &err) != SL_OK)
        config_report(r->problems, false, r->place, r->path, "%s", err.text);
    users_free(users);
}

void config_check_files(const struct config *c, struct config_problems *problems)
{
    for (size_t i = 0; i < c->listener_count; i++)
        check_listener(&c->listeners[i], i, problems);
    check_users(&(struct report){ problems, c->access.place, "access.users_file" },
                c->access.users_file);
    check_users(&(struct report){ problems, c->web.place, "web.users_file" }, c->web.users_file);
    if (c->web.present)
        check_tls(&(struct report){ problems, c->web.tls_place, "web.tls" },
                  (struct tls_options){
                      .server = true, .cert_path = c->web.tls_cert, .key_path = c->web.tls_key },
                  false);
    if (c->cloud.present && c->cloud.ca)
        check_tls(&(struct report){ problems, c->cloud.place, "cloud" },
                  (struct tls_options){ .cert_path = c->cloud.cert,
                                        .key_path = c->cloud.key,
                                        .ca_path = c->cloud.ca },
                  true);
    config_problems_sort(problems);
}
