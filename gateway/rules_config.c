/* rules_config.c - compiling the configuration's rules for their mistakes' sake. */
#include "rules_config.h"

#include "rules/rules.h"

#include "bridge/bridge.h"

#include <stdio.h>

/* Where a mistake within a string lies in the file: exact when the string's bytes stand there as
 * they are, else where the string begins, and the text then says the rest. */
static void report(struct config_problems *problems, struct config_place place, bool plain,
                   const char *path, const struct rule_error *e)
{
    if (plain && e->line <= 1) {
        place.column += e->column; /* the opening quote is at place, byte 1 right behind it */
        config_report(problems, false, place, path, "%s", e->text);
    } else if (e->line > 0) {
        config_report(problems, false, place, path, "%s (line %u, column %u of the text)", e->text,
                      e->line, e->column);
    } else {
        config_report(problems, false, place, path, "%s", e->text);
    }
}

static void check_sql(const struct config_rule *rule, size_t index,
                      struct config_problems *problems)
{
    if (!rule->sql)
        return; /* its absence is already a problem */
    struct rule_plan *plan = NULL;
    struct rule_error e = { 0 };
    char path[64];
    if (rule_compile(sl_str(rule->sql), &plan, &e) != SL_OK) {
        (void)snprintf(path, sizeof path, "rules[%zu].sql", index); /* fits */
        report(problems, rule->sql_place, rule->sql_plain, path, &e);
    }
    rule_plan_free(plan);
}

static void check_outputs(const struct config_output *list, size_t count, size_t rule,
                          const char *key, struct config_problems *problems)
{
    for (size_t i = 0; i < count; i++) {
        const struct config_output *o = &list[i];
        struct rule_template *t = NULL;
        struct rule_error e = { 0 };
        char path[96];
        if (!o->target || o->kind == CONFIG_TO_GPIO)
            continue;
        if (rule_template_compile(sl_str(o->target), &t, &e) != SL_OK) {
            (void)snprintf(path, sizeof path, "rules[%zu].%s[%zu].%s", rule, key, i,
                           o->kind == CONFIG_TO_CLOUD ? "cloud" : "local"); /* fits */
            report(problems, o->place, o->target_plain, path, &e);
        }
        rule_template_free(t);
    }
}

/* Whether config/ has found an error below this path already: one mistake, one line. */
static bool has_error(const struct config_problems *problems, const char *path)
{
    for (size_t i = 0; i < problems->count; i++)
        if (!problems->list[i].warning && strncmp(problems->list[i].path, path, strlen(path)) == 0)
            return true;
    return false;
}

static void check_subscriptions(const struct config *c, struct config_problems *problems)
{
    for (size_t i = 0; i < c->cloud.subscribe_count; i++) {
        const struct config_subscribe *s = &c->cloud.subscribe[i];
        struct bridge_subscription sub = { s->cloud, s->local, s->qos };
        struct sl_err err = { 0 };
        char path[64];
        if (!s->cloud || !s->local || bridge_check_subscription(&sub, &err) == SL_OK)
            continue; /* an absent one is already a problem */
        (void)snprintf(path, sizeof path, "cloud.subscribe[%zu]", i); /* fits */
        if (!has_error(problems, path))
            config_report(problems, false, s->place, path, "%s", err.text);
    }
}

bool config_check_rules(const struct config *c, struct config_problems *problems)
{
    size_t errors = problems->errors;
    for (size_t i = 0; i < c->rule_count; i++) {
        const struct config_rule *rule = &c->rules[i];
        check_sql(rule, i, problems);
        check_outputs(rule->to, rule->to_count, i, "to", problems);
        check_outputs(rule->on_error, rule->on_error_count, i, "on_error", problems);
    }
    check_subscriptions(c, problems);
    config_problems_sort(problems);
    return problems->errors == errors;
}
