/* gateway_reload.c - SIGHUP: the configuration again. All of it is made ready first, so that a
 * mistake changes nothing. */
#include "gateway.h"

#include "access_config.h"
#include "batch_config.h"
#include "rules_config.h"

#include "base/log.h"
#include "broker/mqtt.h"

#include <stdlib.h>

/* What takes the old one's place. */
struct fresh {
    struct bridge_batch *batches;
    size_t batch_count;
    struct logins *logins, *web_logins;
    struct engine_rules *rules;
    struct acl *acl; /* NULL: everything is allowed */
};

static void log_problems(const struct config_problems *problems, const char *file)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct sl_buf line = { 0 };
        config_problem_format(&problems->list[i], file, &line);
        sl_log(problems->list[i].warning ? SL_WARN : SL_ERROR, "config", NULL, "%s",
               sl_buf_cstr(&line));
        sl_buf_free(&line);
    }
}

static void discard(struct fresh *f)
{
    engine_discard(f->rules);
    free(f->batches);
    logins_close(f->logins);
    logins_close(f->web_logins);
    acl_unref(f->acl);
}

static enum sl_code prepare(struct gateway *g, const struct config *c, struct fresh *f,
                            struct sl_err *err)
{
    enum sl_code rc = SL_OK;
    if (c->access.users_file)
        rc = logins_open(&f->logins, &g->loop, g->clock, &g->throttle, c->access.users_file, err);
    if (rc == SL_OK && g->web && c->web.users_file)
        rc = logins_open(&f->web_logins, &g->loop, g->clock, &g->throttle, c->web.users_file, err);
    if (rc == SL_OK)
        rc = access_list(c, &f->acl, err);
    if (rc == SL_OK)
        rc = engine_prepare(g->engine, c, &f->rules, err);
    if (rc == SL_OK && !batch_table(c, &f->batches, &f->batch_count))
        rc = sl_fail(err, SL_NOMEM, "rules: out of memory");
    return rc;
}

/* Who may stay: nobody without a name when names are asked for now, and no user whose name or
 * password has gone or was never checked. What a certificate says still holds. */
struct staying {
    const struct logins *now, *before;
    bool anonymous;
};

static uint8_t may_stay(void *ctx, const struct broker_login *login)
{
    const struct staying *s = ctx;
    if (login->from_cert)
        return 0;
    if (login->checked && s->now)
        return logins_keep(s->now, s->before, login->username) ? 0 : MQTT_RC_ADMINISTRATIVE;
    if (s->anonymous && (!login->username.ptr || !s->now))
        return 0;
    return MQTT_RC_NOT_AUTHORIZED;
}

/* Who may come in is decided before new listeners hear of anybody: both happen in this turn of the
 * loop. Nothing here can fail. */
static void commit(struct gateway *g, const struct config *c, struct fresh *f)
{
    struct staying staying = { f->logins, g->logins, c->access.anonymous };
    engine_commit(g->engine, f->rules);
    if (g->bridge && !bridge_set_batches(g->bridge, f->batches, f->batch_count))
        LOG_WARN("rules", "out of memory: new limits of batches take effect at the next start");
    free(f->batches);
    broker_set_acl(g->broker, f->acl); /* first: wills of those who go are held to it */
    acl_unref(f->acl);
    broker_end_clients(g->broker, may_stay, &staying);
    logins_close(g->logins);
    logins_close(g->web_logins);
    g->logins = f->logins;
    g->web_logins = f->web_logins;
    g->anonymous = c->access.anonymous;
    broker_set_anonymous(g->broker, c->access.anonymous);
    if (g->web)
        web_forget_logins(g->web);
    sl_log_configure((enum sl_log_level)c->log.level, (enum sl_log_format)c->log.format);
}

static enum sl_code apply(struct gateway *g, const struct config *c, struct sl_err *err)
{
    struct fresh f = { 0 };
    enum sl_code rc = prepare(g, c, &f, err);
    if (rc == SL_OK)
        rc = listeners_reload(g->listeners, c, err); /* the last that can fail */
    if (rc == SL_OK)
        commit(g, c, &f);
    else
        discard(&f);
    return rc;
}

/* Sections that go on as they were at the start although they say something else now. What of them
 * is taken up at once does not count: the page's users, the limits of batches. */
static void list_pending(const struct gateway *g, const struct config *c, struct sl_buf *out)
{
    static const char *const sections[] = { "gateway", "broker", "store", "cloud", "web", "gpio" };
    struct config now = *c; /* borrows everything */
    now.web.users_file = g->config->web.users_file;
    now.cloud.batch_max_bytes = g->config->cloud.batch_max_bytes;
    now.cloud.batch_max_age_ms = g->config->cloud.batch_max_age_ms;
    for (size_t i = 0; i < SL_ARRAY_LEN(sections); i++)
        if (!config_section_same(sections[i], g->config, &now))
            sl_buf_printf(out, "%s%s", out->len > 0 ? ", " : "", sections[i]);
}

static void log_reloaded(const struct gateway *g, const struct config *c)
{
    struct sl_buf pending = { 0 };
    list_pending(g, c, &pending);
    if (pending.len > 0)
        LOG_WARN(
            "config",
            "%s: listeners, rules, access and log are up to date; what has changed in %s takes "
            "effect at the next start",
            g->config_path, sl_buf_cstr(&pending));
    else
        LOG_INFO("config", "%s: listeners, rules, access and log are up to date", g->config_path);
    sl_buf_free(&pending);
}

void gateway_reload(struct gateway *g)
{
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    struct sl_err err = { 0 };
    if (!g->config_path) {
        LOG_WARN("config", "nothing to read again: the built-in configuration is used");
        return;
    }
    enum sl_code rc = config_load(g->config_path, &c, &problems);
    bool rules_fine = c && config_check_rules(c, &problems);
    if (c)
        config_check_access(c, &problems);
    log_problems(&problems, g->config_path);
    if (rc != SL_OK || !rules_fine)
        LOG_ERROR("config", "%s has errors: nothing was changed", g->config_path);
    else if (apply(g, c, &err) != SL_OK)
        LOG_ERROR("config", "nothing was changed: %s", err.text);
    else
        log_reloaded(g, c);
    config_problems_free(&problems);
    config_free(c);
}
