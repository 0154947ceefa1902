/* engine.c - rules as taps, and their outputs. */
#include "engine.h"

#include "rules/rules.h"

#include "base/crypto.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/mqtt.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* A parsed payload is kept for the next rule of the same message; larger ones are released at once.
 */
#define KEEP_PARSED_MAX 8192

struct output {
    enum config_output_kind kind;
    struct rule_template *topic; /* cloud and local */
    char *gpio;                  /* gpio */
    uint8_t qos;
    bool retain;
    enum outbox_lane lane;
    uint32_t ttl_s; /* SL_MSG_NO_EXPIRY for none */
};

struct rule {
    struct engine *engine;
    char *name, *sql;
    bool enabled;
    struct rule_plan *plan;
    struct output *to, *on_error;
    size_t to_count, on_error_count;
    struct broker_tap *tap;
    uint64_t in, kept, out, errors;
    int64_t complained_ms; /* when an error was last logged, monotonic */
    char last_error[256];
};

struct engine {
    struct engine_options options;
    struct gpio *gpio;
    char *gateway_id, *thing_name;
    struct rule *rules;
    size_t count;
    /* The message being handled and its parsed payload, shared by all its rules. */
    struct sl_msg *current;
    struct rule_input input;
    struct rule_output output;
    struct sl_buf topic;
};

/* ---- errors ---- */

enum { COMPLAIN_EVERY_MS = 60000 };

static void emit(struct rule *r, const struct output *o, struct sl_slice payload,
                 struct broker_receipt *receipt);

/* AWS's error object, so that whoever handles errors in the cloud can handle these. */
static void error_payload(struct rule *r, const char *action, const char *message,
                          struct sl_buf *out)
{
    const struct sl_msg *m = r->engine->current;
    sl_buf_put_str(out, "{\"ruleName\":");
    sl_buf_put_json(out, sl_str(r->name));
    sl_buf_put_str(out, ",\"topic\":");
    sl_buf_put_json(out, sl_msg_topic(m));
    sl_buf_put_str(out, ",\"clientId\":");
    sl_buf_put_json(out, sl_msg_sender(m));
    sl_buf_put_str(out, ",\"base64OriginalPayload\":\"");
    crypto_base64_put(out, sl_msg_payload(m));
    sl_buf_put_str(out, "\",\"failures\":[{\"failedAction\":");
    sl_buf_put_json(out, sl_str(action));
    sl_buf_put_str(out, ",\"errorMessage\":");
    sl_buf_put_json(out, sl_str(message));
    sl_buf_put_str(out, "}]}");
}

static void count_error(struct rule *r, const char *message)
{
    r->errors++;
    (void)snprintf(r->last_error, sizeof r->last_error, "%.255s", message); /* cut: a sentence */
    int64_t now = sl_mono_ms(r->engine->options.clock);
    if (r->complained_ms != 0 && now - r->complained_ms < COMPLAIN_EVERY_MS)
        return; /* counted; said once a minute */
    r->complained_ms = now;
    LOG_WARN("rules", "rule \"%s\": %s", r->name, message);
}

static void rule_failed(struct rule *r, const char *action, const char *message)
{
    count_error(r, message);
    struct sl_buf payload = { .max = 1024 * 1024 };
    if (r->on_error_count > 0)
        error_payload(r, action, message, &payload);
    for (size_t i = 0; i < r->on_error_count && !payload.failed; i++)
        emit(r, &r->on_error[i], sl_buf_slice(&payload), NULL);
    sl_buf_free(&payload);
}

/* ---- outputs ---- */

static void on_safe(void *ctx, enum sl_code result)
{
    broker_ack_release(ctx, result == SL_OK ? MQTT_RC_SUCCESS : MQTT_RC_QUOTA_EXCEEDED);
}

static void to_cloud(struct rule *r, const struct output *o, struct sl_msg *m,
                     struct broker_receipt *receipt)
{
    struct outbox *outbox = r->engine->options.outbox;
    struct broker_ack *ack = broker_ack_hold(receipt);
    if (receipt && !ack)
        return; /* refused: memory is out */
    if (outbox_put(outbox, o->lane, m, ack ? on_safe : NULL, ack)) {
        r->out++;
        return;
    }
    if (ack)
        broker_ack_release(ack, MQTT_RC_QUOTA_EXCEEDED);
    count_error(r, "the store is full and store.when_full is \"refuse\"");
}

static void to_local(struct rule *r, struct sl_msg *m)
{
    if (broker_publish(r->engine->options.broker, m))
        r->out++;
    else
        count_error(r, "the broker's internal queue is full");
}

/* 0 for what the gateway itself published, else how many rules made it so far. */
static uint64_t hops_of(const struct sl_msg *m)
{
    return m->origin < BROKER_ORIGIN_CLIENTS ? m->origin : 0;
}

static void to_topic(struct rule *r, const struct output *o, struct sl_slice payload,
                     struct broker_receipt *receipt)
{
    struct engine *e = r->engine;
    const struct sl_msg *from = e->current;
    struct sl_err err = { 0 };
    const struct rule_names names = { sl_str(e->gateway_id), sl_str(e->thing_name) };
    sl_buf_reset(&e->topic);
    if (rule_template_render(o->topic, &names, &e->input, &e->output, &e->topic, &err) != SL_OK) {
        count_error(r, err.text);
        return;
    }
    struct sl_msg_parts parts = {
        .topic = sl_buf_slice(&e->topic),
        .payload = payload,
        .sender = sl_msg_sender(from),
        .expiry_s = o->ttl_s,
        .qos = o->qos,
        .retain = o->retain,
        .mono_ms = from->mono_ms,
        .wall_ms = from->wall_ms,
        .origin = hops_of(from) + 1,
    };
    struct sl_msg *m = sl_msg_new(&parts);
    if (!m) {
        broker_receipt_refuse(receipt, MQTT_RC_QUOTA_EXCEEDED);
        count_error(r, "out of memory for an output");
        return;
    }
    if (o->kind == CONFIG_TO_CLOUD)
        to_cloud(r, o, m, receipt);
    else
        to_local(r, m);
    sl_msg_unref(m);
}

static void to_gpio(struct rule *r, const struct output *o, struct sl_slice payload)
{
    struct sl_err err = { 0 };
    struct gpio *gpio = r->engine->gpio;
    if (gpio && gpio_set(gpio, sl_str(o->gpio), payload, &err) == SL_OK)
        r->out++;
    else
        count_error(r, gpio ? err.text : "no GPIO lines are configured");
}

static void emit(struct rule *r, const struct output *o, struct sl_slice payload,
                 struct broker_receipt *receipt)
{
    switch (o->kind) {
    case CONFIG_TO_CLOUD:
    case CONFIG_TO_LOCAL: to_topic(r, o, payload, receipt); break;
    case CONFIG_TO_GPIO: to_gpio(r, o, payload); break;
    }
}

/* ---- messages in ---- */

static void forget_current(struct engine *e)
{
    rule_input_release(&e->input);
    sl_msg_unref(e->current);
    e->current = NULL;
}

static void set_current(struct engine *e, struct sl_msg *m)
{
    if (e->current == m)
        return;
    forget_current(e);
    e->current = sl_msg_ref(m);
    e->input = (struct rule_input){
        .topic = sl_msg_topic(m),
        .payload = sl_msg_payload(m),
        .clientid = sl_msg_sender(m),
        .ts_ms = m->wall_ms,
    };
}

static void on_message(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct rule *r = ctx;
    struct engine *e = r->engine;
    struct sl_err why = { 0 };
    set_current(e, m);
    r->in++;
    if (hops_of(m) >= ENGINE_HOPS_MAX) {
        rule_failed(
            r, "rule",
            "the message has passed through 8 rules already: the rules' local outputs form a loop");
        return;
    }
    switch (rule_eval(r->plan, &e->input, &e->output, &why)) {
    case RULE_KEPT:
        r->kept++;
        for (size_t i = 0; i < r->to_count; i++)
            emit(r, &r->to[i], e->output.payload, receipt);
        break;
    case RULE_SKIPPED: break;
    case RULE_FAILED: rule_failed(r, "sql", why.text); break;
    }
    if (m->payload_len > KEEP_PARSED_MAX)
        forget_current(e);
}

/* ---- making and replacing the rules ---- */

static void outputs_free(struct output *o, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rule_template_free(o[i].topic);
        free(o[i].gpio);
    }
    free(o);
}

static void rules_free(struct broker *broker, struct rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        broker_untap(broker, rules[i].tap);
        rule_plan_free(rules[i].plan);
        outputs_free(rules[i].to, rules[i].to_count);
        outputs_free(rules[i].on_error, rules[i].on_error_count);
        free(rules[i].name);
        free(rules[i].sql);
    }
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
    o->lane = OUTBOX_TELEMETRY;
    if (c->lane && !outbox_lane_parse(sl_str(c->lane), &o->lane))
        return sl_fail(err, SL_INVALID, "lane \"%s\" is none of alert, normal, telemetry", c->lane);
    if (c->kind == CONFIG_TO_GPIO) {
        o->gpio = strdup(c->target);
        return o->gpio ? SL_OK : sl_fail(err, SL_NOMEM, "out of memory");
    }
    if (rule_template_compile(sl_str(c->target), &o->topic, &at) != SL_OK)
        return sl_fail(err, SL_INVALID, "topic \"%s\": %s", c->target, at.text);
    return SL_OK;
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
        return sl_fail(err, SL_NOMEM, "out of memory");
    if (rule_compile(sl_str(c->sql), &r->plan, &at) != SL_OK)
        return sl_fail(err, SL_INVALID, "rule \"%s\": line %u, column %u: %s", c->name, at.line,
                       at.column, at.text);
    enum sl_code rc = make_outputs(&r->to, &r->to_count, c->to, c->to_count, err);
    if (rc == SL_OK)
        rc = make_outputs(&r->on_error, &r->on_error_count, c->on_error, c->on_error_count, err);
    return rc == SL_OK ? SL_OK : sl_wrap(err, "rule \"%s\"", c->name);
}

static enum sl_code make_rules(struct engine *e, const struct config *config, struct rule **ret,
                               struct sl_err *err)
{
    struct rule *rules = calloc(config->rule_count ? config->rule_count : 1, sizeof *rules);
    if (!rules)
        return sl_fail(err, SL_NOMEM, "rules: out of memory");
    enum sl_code rc = SL_OK;
    for (size_t i = 0; rc == SL_OK && i < config->rule_count; i++)
        rc = make_rule(e, &rules[i], &config->rules[i], err);
    if (rc != SL_OK) {
        rules_free(e->options.broker, rules, config->rule_count);
        return rc;
    }
    *ret = rules;
    return SL_OK;
}

/* A rule that keeps its name keeps its counters. */
static void take_counters(struct rule *to, const struct rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(to->name, rules[i].name) != 0)
            continue;
        to->in = rules[i].in;
        to->kept = rules[i].kept;
        to->out = rules[i].out;
        to->errors = rules[i].errors;
        memcpy(to->last_error, rules[i].last_error, sizeof to->last_error);
    }
}

enum sl_code engine_reload(struct engine *e, const struct config *config, struct sl_err *err)
{
    struct rule *rules = NULL;
    enum sl_code rc = make_rules(e, config, &rules, err);
    for (size_t i = 0; rc == SL_OK && i < config->rule_count; i++) {
        take_counters(&rules[i], e->rules, e->count);
        if (!rules[i].enabled)
            continue;
        rules[i].tap =
            broker_tap(e->options.broker, rule_from(rules[i].plan), on_message, &rules[i]);
        if (!rules[i].tap)
            rc = sl_fail(err, SL_NOMEM, "rule \"%s\": out of memory for its subscription",
                         rules[i].name);
    }
    if (rc != SL_OK) {
        if (rules)
            rules_free(e->options.broker, rules, config->rule_count);
        return rc;
    }
    rules_free(e->options.broker, e->rules, e->count);
    e->rules = rules;
    e->count = config->rule_count;
    return SL_OK;
}

enum sl_code engine_open(struct engine **ret, const struct engine_options *options,
                         const struct config *config, struct sl_err *err)
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return sl_fail(err, SL_NOMEM, "rules: out of memory");
    e->options = *options;
    e->gateway_id = strdup(options->gateway_id);
    e->thing_name = strdup(options->thing_name ? options->thing_name : options->gateway_id);
    enum sl_code rc = e->gateway_id && e->thing_name
                          ? engine_reload(e, config, err)
                          : sl_fail(err, SL_NOMEM, "rules: out of memory");
    if (rc != SL_OK) {
        engine_close(e);
        return rc;
    }
    *ret = e;
    return SL_OK;
}

void engine_set_gpio(struct engine *e, struct gpio *gpio)
{
    e->gpio = gpio;
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    if (e->rules)
        rules_free(e->options.broker, e->rules, e->count);
    forget_current(e);
    rule_output_release(&e->output);
    sl_buf_free(&e->topic);
    free(e->gateway_id);
    free(e->thing_name);
    free(e);
}

size_t engine_count(const struct engine *e)
{
    return e->count;
}

void engine_get(const struct engine *e, size_t index, struct engine_rule_view *ret)
{
    assert(index < e->count);
    const struct rule *r = &e->rules[index];
    *ret = (struct engine_rule_view){ r->name, r->sql, r->enabled, r->in,
                                      r->kept, r->out, r->errors,  r->last_error };
}
