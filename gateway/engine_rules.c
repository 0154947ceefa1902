/* engine_rules.c - rules made of the configuration, and taken apart. Runs nothing. */
#include "engine_private.h"

#include "batch_config.h"

#include <stdlib.h>

static void outputs_free(struct output *o, size_t count)
{
    for (size_t i = 0; o && i < count; i++) {
        rule_template_free(o[i].topic);
        free(o[i].gpio);
    }
    free(o);
}

void engine_rules_free(struct engine_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; i < rules->count; i++) {
        struct rule *r = &rules->list[i];
        broker_untap(rules->broker, r->tap);
        rule_plan_free(r->plan);
        outputs_free(r->to, r->to_count);
        outputs_free(r->on_error, r->on_error_count);
        free(r->name);
        free(r->sql);
    }
    free(rules->list);
    free(rules);
}

static uint32_t ttl_seconds(int64_t ms)
{
    if (ms <= 0)
        return SL_MSG_NO_EXPIRY;
    int64_t s = (ms + 999) / 1000;
    return s >= SL_MSG_NO_EXPIRY ? SL_MSG_NO_EXPIRY - 1 : (uint32_t)s;
}

static enum sl_code make_output(struct output *o, const struct config_output *c, struct sl_err *err)
{
    struct rule_error at = { 0 };
    o->kind = c->kind;
    o->qos = c->qos;
    o->retain = c->retain;
    o->ttl_s = ttl_seconds(c->ttl_ms);
    if (c->kind == CONFIG_TO_CLOUD && c->batch) {
        const struct bridge_batch limits = batch_of_output(c);
        o->batch = bridge_batch_key(&limits);
        o->linger_ms = bridge_batch_linger_ms(&limits);
    }
    o->lane = OUTBOX_TELEMETRY;
    if (c->lane && !outbox_lane_parse(sl_str(c->lane), &o->lane))
        return sl_fail(err, SL_INVALID, "lane \"%s\" is none of alert, normal, telemetry", c->lane);
    if (c->kind == CONFIG_TO_GPIO) {
        o->gpio = strdup(c->target);
        return o->gpio ? SL_OK : sl_fail(err, SL_NOMEM, "out of memory");
    }
    enum sl_code rc = rule_template_compile(sl_str(c->target), &o->topic, &at);
    return rc == SL_OK ? SL_OK : sl_fail(err, rc, "topic \"%s\": %s", c->target, at.text);
}

static enum sl_code make_outputs(struct output **ret, size_t *ret_count,
                                 const struct config_output *c, size_t count, struct sl_err *err)
{
    struct output *o = calloc(count ? count : 1, sizeof *o);
    if (!o)
        return sl_fail(err, SL_NOMEM, "out of memory");
    *ret = o;
    *ret_count = count;
    enum sl_code rc = SL_OK;
    for (size_t i = 0; rc == SL_OK && i < count; i++)
        rc = make_output(&o[i], &c[i], err);
    return rc;
}

static enum sl_code make_rule(struct engine *e, struct rule *r, const struct config_rule *c,
                              struct sl_err *err)
{
    struct rule_error at = { 0 };
    r->engine = e;
    r->enabled = c->enabled;
    r->name = strdup(c->name);
    r->sql = strdup(c->sql);
    if (!r->name || !r->sql)
        return sl_fail(err, SL_NOMEM, "rules: out of memory");
    enum sl_code rc = rule_compile(sl_str(c->sql), &r->plan, &at);
    if (rc != SL_OK)
        return sl_fail(err, rc, "rule \"%s\": line %u, column %u: %s", c->name, at.line, at.column,
                       at.text);
    rc = make_outputs(&r->to, &r->to_count, c->to, c->to_count, err);
    if (rc == SL_OK)
        rc = make_outputs(&r->on_error, &r->on_error_count, c->on_error, c->on_error_count, err);
    return rc == SL_OK ? SL_OK : sl_wrap(err, "rule \"%s\"", c->name);
}

enum sl_code engine_rules_make(struct engine *e, struct broker *broker, const struct config *config,
                               struct engine_rules **ret, struct sl_err *err)
{
    size_t count = config->rule_count;
    struct engine_rules *rules = calloc(1, sizeof *rules);
    if (!rules || !(rules->list = calloc(count ? count : 1, sizeof *rules->list))) {
        free(rules);
        return sl_fail(err, SL_NOMEM, "rules: out of memory");
    }
    rules->broker = broker;
    rules->count = count;
    enum sl_code rc = SL_OK;
    for (size_t i = 0; rc == SL_OK && i < count; i++)
        rc = make_rule(e, &rules->list[i], &config->rules[i], err);
    if (rc == SL_OK)
        *ret = rules;
    else
        engine_rules_free(rules);
    return rc;
}
