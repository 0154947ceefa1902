/* validate_rules.c - rules, their outputs and the GPIO lines. SQL and topic templates are the rule
 * engine's to check (see config_report()). */
#include "validate.h"

#include "base/text.h"
#include "base/topic.h"

#include <stdio.h>
#include <unistd.h>

#define AWS_SLASHES_MAX 7

/* ---- outputs ---- */

static const char *const target_keys[] = { "cloud", "local", "gpio" };

/* Options that mean nothing for this kind of output. */
static void refuse(struct config_reader *r, const struct jsonc *node, const char *const *keys,
                   const char *kind)
{
    for (; *keys; keys++)
        if (jsonc_get(node, *keys))
            config_complain(r, false, node, *keys, "a %s output has no such option", kind);
}

static const struct config_gpio *find_line(const struct config *c, const char *name,
                                           const char **ret_near)
{
    unsigned best = UINT32_MAX;
    *ret_near = NULL;
    for (size_t i = 0; i < c->gpio_count; i++) {
        const char *known = c->gpio[i].name;
        if (!known)
            continue;
        unsigned d = sl_edit_distance(sl_str(known), sl_str(name));
        if (strcmp(known, name) == 0)
            return &c->gpio[i];
        if (d < best) {
            best = d;
            *ret_near = known;
        }
    }
    return NULL;
}

static void check_gpio_output(struct config_reader *r, const struct jsonc *node, const char *name)
{
    static const char *const not_for_gpio[] = { "qos", "retain", "lane", "ttl", "batch", NULL };
    refuse(r, node, not_for_gpio, "gpio");
    if (!name)
        return;
    const char *near;
    const struct config_gpio *line = find_line(r->config, name, &near);
    if (line && !line->output)
        config_complain(r, false, node, "gpio", "\"%s\" is an input line: its direction is not out",
                        name);
    if (line)
        return;
    char buf[128];
    config_complain(r, false, node, "gpio", "no gpio line has the name %s%s%s%s",
                    config_shown(jsonc_get(node, "gpio"), buf, sizeof buf),
                    near ? "; the nearest is \"" : "", near ? near : "", near ? "\"" : "");
}

/* $aws/rules/NAME/ (Basic Ingest) does not count. */
static size_t slashes_of(struct sl_slice topic)
{
    size_t n = 0;
    for (size_t i = 0; i < topic.len; i++)
        n += topic.ptr[i] == '/';
    return sl_slice_starts(topic, sl_str("$aws/rules/")) && n >= 3 ? n - 3 : n;
}

static void check_cloud_output(struct config_reader *r, const struct jsonc *node,
                               const struct config_output *o)
{
    if (o->qos > 1)
        config_complain(r, false, node, "qos", "an output to the cloud has qos 0 or 1");
    if (r->config->cloud.present && r->config->cloud.aws && o->target &&
        slashes_of(sl_str(o->target)) > AWS_SLASHES_MAX)
        config_complain(r, false, node, "cloud", "AWS IoT takes topics with at most %d slashes",
                        AWS_SLASHES_MAX);
    if (o->batch_max_bytes > r->config->cloud.max_payload && o->batch)
        config_complain(r, false, node, "batch",
                        "its max_bytes is above cloud.limits.max_payload (%u)",
                        r->config->cloud.max_payload);
}

static void check_local_output(struct config_reader *r, const struct jsonc *node,
                               const struct config_output *o)
{
    static const char *const not_for_local[] = { "lane", "ttl", "batch", NULL };
    refuse(r, node, not_for_local, "local");
    if (o->target && sl_slice_starts(sl_str(o->target), sl_str("$SYS/")))
        config_complain(r, false, node, "local", "topics below $SYS are the gateway's own");
    if (o->qos > r->config->broker.max_qos)
        config_complain(r, false, node, "qos", "above broker.max_qos, which is %d",
                        r->config->broker.max_qos);
}

static void check_lane(struct config_reader *r, const struct jsonc *node, const char *lane)
{
    static const char *const lanes[] = { "alert", "normal", "telemetry" };
    const struct jsonc *value = jsonc_get(node, "lane");
    if (!value || value->type != JSONC_STRING)
        return;
    for (size_t i = 0; i < SL_ARRAY_LEN(lanes); i++)
        if (strcmp(lane, lanes[i]) == 0)
            return;
    char buf[128];
    config_complain(r, false, node, "lane",
                    "expected one of \"alert\", \"normal\", \"telemetry\", found %s",
                    config_shown(value, buf, sizeof buf));
}

static void check_output(struct config_reader *r, const struct jsonc *node,
                         const struct config_output *o)
{
    size_t targets = 0;
    const char *last = NULL;
    for (size_t i = 0; i < SL_ARRAY_LEN(target_keys); i++) {
        if (jsonc_get(node, target_keys[i])) {
            targets++;
            last = target_keys[i];
        }
    }
    if (targets == 0 && !node->damaged)
        config_complain(r, false, node, NULL, "an output needs one of cloud, local and gpio");
    if (targets > 1)
        config_complain(r, false, node, last,
                        "an output has only one of cloud, local and gpio; write two outputs");
    if (targets != 1)
        return;
    check_lane(r, node, o->lane);
    switch (o->kind) {
    case CONFIG_TO_CLOUD: check_cloud_output(r, node, o); return;
    case CONFIG_TO_LOCAL: check_local_output(r, node, o); return;
    case CONFIG_TO_GPIO: check_gpio_output(r, node, o->target); return;
    }
}

static void check_outputs(struct config_reader *r, const struct jsonc *list,
                          const struct config_output *outputs, size_t count)
{
    const struct jsonc *node;
    struct validate_walk w = validate_walk(list);
    for (size_t i; validate_next(&w, count, &node, &i);)
        check_output(r, node, &outputs[i]);
}

/* ---- rules ---- */

static void check_rule(struct config_reader *r, const struct jsonc *node, size_t index)
{
    const struct config_rule *rule = &r->config->rules[index];
    (void)validate_needs(r, node, "name", "every rule has a name of its own");
    (void)validate_needs(r, node, "sql", "what the rule does, SELECT ... FROM 'filter'");
    validate_name(r, node, "name", rule->name, "");
    for (size_t i = 0; i < index && rule->name; i++)
        if (r->config->rules[i].name && strcmp(r->config->rules[i].name, rule->name) == 0)
            config_complain(r, false, node, "name", "\"%s\" is already the name of rules[%zu]",
                            rule->name, i);
    const struct jsonc *to = jsonc_get(node, "to");
    if (validate_needs(r, node, "to", "where the rule's output goes") && to &&
        to->type == JSONC_LIST && to->count == 0 && !to->damaged)
        config_complain(r, false, node, "to", "a rule without outputs does nothing");
    check_outputs(r, to, rule->to, rule->to_count);
    check_outputs(r, jsonc_get(node, "on_error"), rule->on_error, rule->on_error_count);
}

/* ---- gpio ---- */

static void check_line_clash(struct config_reader *r, const struct jsonc *node, size_t index)
{
    const struct config_gpio *line = &r->config->gpio[index];
    for (size_t i = 0; i < index; i++) {
        const struct config_gpio *other = &r->config->gpio[i];
        if (line->name && other->name && strcmp(line->name, other->name) == 0) {
            config_complain(r, false, node, "name", "\"%s\" is already the name of gpio[%zu]",
                            line->name, i);
            continue; /* the topic follows from the name */
        }
        if (jsonc_get(node, "line") && line->line == other->line && line->chip && other->chip &&
            strcmp(line->chip, other->chip) == 0)
            config_complain(r, false, node, "line", "gpio[%zu] already has line %u of this chip", i,
                            line->line);
        if (line->topic && other->topic && strcmp(line->topic, other->topic) == 0)
            config_complain(r, false, node, "topic", "gpio[%zu] already has this topic", i);
    }
}

static void check_line(struct config_reader *r, const struct jsonc *node, size_t index)
{
    const struct config_gpio *line = &r->config->gpio[index];
    (void)validate_needs(r, node, "name", "every line has a name of its own");
    (void)validate_needs(r, node, "line", "the line's number on its chip");
    validate_name(r, node, "name", line->name, "");
    if (jsonc_get(node, "topic") && line->topic && !sl_topic_valid(sl_str(line->topic)))
        config_complain(r, false, node, "topic", "not a topic: '+' and '#' cannot be in it");
    if (line->output && jsonc_get(node, "debounce"))
        config_complain(r, true, node, "debounce", "has no meaning for an output line");
    if (!line->output && jsonc_get(node, "initial"))
        config_complain(r, true, node, "initial", "has no meaning for an input line");
    if (line->chip && access(line->chip, F_OK) != 0)
        config_complain(r, true, node, "chip", "%s is not there on this machine", line->chip);
    check_line_clash(r, node, index);
}

void validate_rules(struct config_reader *r)
{
    const struct config *c = r->config;
    const struct jsonc *node;
    struct validate_walk w = validate_walk(jsonc_get(r->doc.root, "rules"));
    for (size_t i; validate_next(&w, c->rule_count, &node, &i);)
        check_rule(r, node, i);
    w = validate_walk(jsonc_get(r->doc.root, "gpio"));
    for (size_t i; validate_next(&w, c->gpio_count, &node, &i);)
        check_line(r, node, i);
}
