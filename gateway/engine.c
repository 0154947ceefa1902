/* engine.c - rules as taps: a message in, its outputs out, and what becomes of failures. */
#include "engine_private.h"

#include "base/crypto.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/mqtt.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* A parsed payload is kept for the next rule of the same message; larger ones are released at once.
 */
#define KEEP_PARSED_MAX   8192
#define ERROR_PAYLOAD_MAX ((size_t)1024 * 1024)

enum { COMPLAIN_EVERY_MS = 60000 };

struct engine {
    struct engine_options options;
    struct gpio *gpio;
    char *gateway_id, *thing_name;
    struct engine_rules *rules;
    /* The message being handled and its parsed payload, shared by all its rules. */
    struct sl_msg *current;
    struct broker_receipt *receipt; /* its publisher's claim; NULL when nobody waits */
    struct rule_input input;
    struct rule_output output;
    bool output_valid; /* output is of the current message and rule: templates may look into it */
    bool in_error;     /* on_error outputs are being made */
    struct sl_buf topic;
};

/* ---- errors ---- */

static void emit(struct rule *r, const struct output *o, struct sl_slice payload);

static const char *action_name(enum config_output_kind kind)
{
    switch (kind) {
    case CONFIG_TO_CLOUD: return "cloud";
    case CONFIG_TO_LOCAL: return "local";
    case CONFIG_TO_GPIO: return "gpio";
    }
    return "?";
}

/* AWS's error object, so that whoever handles errors in the cloud can handle these. */
static void put_error(struct rule *r, const char *action, const char *message, bool with_payload,
                      struct sl_buf *out)
{
    const struct sl_msg *m = r->engine->current;
    sl_buf_put_str(out, "{\"ruleName\":");
    sl_buf_put_json(out, sl_str(r->name));
    sl_buf_put_str(out, ",\"topic\":");
    sl_buf_put_json(out, sl_msg_topic(m));
    sl_buf_put_str(out, ",\"clientId\":");
    sl_buf_put_json(out, sl_msg_sender(m));
    if (with_payload) {
        sl_buf_put_str(out, ",\"base64OriginalPayload\":\"");
        crypto_base64_put(out, sl_msg_payload(m));
        sl_buf_put_str(out, "\"");
    }
    sl_buf_put_str(out, ",\"failures\":[{\"failedAction\":");
    sl_buf_put_json(out, sl_str(action));
    sl_buf_put_str(out, ",\"errorMessage\":");
    sl_buf_put_json(out, sl_str(message));
    sl_buf_put_str(out, "}]}");
}

/* What lack of room has stopped is not acknowledged. */
static void refuse(struct engine *e)
{
    broker_receipt_refuse(e->receipt, MQTT_RC_QUOTA_EXCEEDED);
}

static bool is_lack_of_room(enum sl_code code)
{
    return code == SL_NOMEM || code == SL_FULL;
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

/* Without its payload when that is too large: an error is not to be lost for its sake. */
static void make_error_outputs(struct rule *r, const char *action, const char *message)
{
    struct sl_buf payload = { .max = ERROR_PAYLOAD_MAX };
    put_error(r, action, message, true, &payload);
    if (payload.failed) {
        sl_buf_reset(&payload);
        put_error(r, action, message, false, &payload);
    }
    r->engine->in_error = true;
    for (size_t i = 0; i < r->on_error_count && !payload.failed; i++)
        emit(r, &r->on_error[i], sl_buf_slice(&payload));
    r->engine->in_error = false;
    if (payload.failed)
        refuse(r->engine);
    sl_buf_free(&payload);
}

static void failed(struct rule *r, const char *action, enum sl_code code, const char *message)
{
    count_error(r, message);
    if (is_lack_of_room(code))
        refuse(r->engine);
    else if (r->on_error_count > 0 && !r->engine->in_error)
        make_error_outputs(r, action, message);
}

/* ---- outputs ---- */

static void on_safe(void *ctx, enum sl_code result)
{
    broker_ack_release(ctx, result == SL_OK ? MQTT_RC_SUCCESS : MQTT_RC_QUOTA_EXCEEDED);
}

static enum sl_code to_cloud(struct rule *r, const struct output *o, struct sl_msg *m,
                             struct sl_err *err)
{
    const struct engine *e = r->engine;
    if (outbox_pressed(e->options.outbox))
        broker_pause_publisher(e->options.broker);
    struct broker_ack *ack = broker_ack_hold(e->receipt);
    if (e->receipt && !ack)
        return sl_fail(err, SL_NOMEM, "out of memory for an acknowledgement");
    if (outbox_put(e->options.outbox, o->lane, m, ack ? on_safe : NULL, ack))
        return SL_OK;
    if (ack)
        broker_ack_release(ack, MQTT_RC_QUOTA_EXCEEDED);
    return sl_fail(err, SL_FULL, "the store took nothing: it is full, or memory is out");
}

static enum sl_code to_local(struct rule *r, struct sl_msg *m, struct sl_err *err)
{
    enum sl_code rc = broker_publish_for(r->engine->options.broker, m, r->engine->receipt);
    if (rc == SL_INVALID)
        return sl_fail(err, SL_INVALID, "the topic has too many levels: %.*s",
                       SL_FMT(sl_msg_topic(m)));
    return rc == SL_OK ? SL_OK : sl_fail(err, SL_FULL, "the broker's internal queue is full");
}

/* 0 for what the gateway itself published, else how many rules made it so far. */
static uint64_t hops_of(const struct sl_msg *m)
{
    return m->origin < BROKER_ORIGIN_CLIENTS ? m->origin : 0;
}

static enum sl_code to_topic(struct rule *r, const struct output *o, struct sl_slice payload,
                             struct sl_err *err)
{
    struct engine *e = r->engine;
    const struct sl_msg *from = e->current;
    const struct rule_names names = { sl_str(e->gateway_id), sl_str(e->thing_name) };
    sl_buf_reset(&e->topic);
    enum sl_code rc = rule_template_render(o->topic, &names, &e->input,
                                           e->output_valid ? &e->output : NULL, &e->topic, err);
    if (rc != SL_OK)
        return rc;
    struct sl_msg_parts parts = {
        .topic = sl_buf_slice(&e->topic),
        .payload = payload,
        .sender = sl_msg_sender(from),
        .expiry_s = o->ttl_s,
        .qos = o->qos,
        .retain = o->retain,
        .batch = o->batch,
        .linger_ms = o->linger_ms,
        .mono_ms = from->mono_ms,
        .wall_ms = from->wall_ms,
        .origin = hops_of(from) + 1,
    };
    struct sl_msg *m = sl_msg_new(&parts);
    if (!m)
        return sl_fail(err, SL_NOMEM, "out of memory for an output");
    rc = o->kind == CONFIG_TO_CLOUD ? to_cloud(r, o, m, err) : to_local(r, m, err);
    sl_msg_unref(m);
    return rc;
}

static enum sl_code to_gpio(struct rule *r, const struct output *o, struct sl_slice payload,
                            struct sl_err *err)
{
    struct gpio *gpio = r->engine->gpio;
    if (!gpio)
        return sl_fail(err, SL_NOTFOUND, "no GPIO lines are configured");
    return gpio_set(gpio, sl_str(o->gpio), payload, err);
}

static void emit(struct rule *r, const struct output *o, struct sl_slice payload)
{
    struct sl_err err = { 0 };
    enum sl_code rc =
        o->kind == CONFIG_TO_GPIO ? to_gpio(r, o, payload, &err) : to_topic(r, o, payload, &err);
    if (rc == SL_OK)
        r->out++;
    else
        failed(r, action_name(o->kind), rc, err.text);
}

/* ---- messages in ---- */

static void forget_current(struct engine *e)
{
    rule_input_release(&e->input);
    sl_msg_unref(e->current);
    e->current = NULL;
    e->output_valid = false; /* it points into the input */
}

static void set_current(struct engine *e, struct sl_msg *m)
{
    e->output_valid = false;
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

/* A loop that its errors keep going must end, too: one more hop is only counted. */
static void stop_loop(struct rule *r, uint64_t hops)
{
    static const char text[] = "the message has passed through 8 rules already: the rules' local "
                               "outputs form a loop";
    _Static_assert(ENGINE_HOPS_MAX == 8, "the text says so");
    if (hops == ENGINE_HOPS_MAX)
        failed(r, "rule", SL_INVALID, text);
    else
        count_error(r, text);
}

static void evaluate(struct rule *r)
{
    struct engine *e = r->engine;
    struct sl_err why = { 0 };
    switch (rule_eval(r->plan, &e->input, &e->output, &why)) {
    case RULE_KEPT:
        r->kept++;
        e->output_valid = true;
        for (size_t i = 0; i < r->to_count; i++)
            emit(r, &r->to[i], e->output.payload);
        break;
    case RULE_SKIPPED: break;
    case RULE_FAILED: failed(r, "sql", why.code, why.text); break;
    }
}

static void on_message(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    struct rule *r = ctx;
    struct engine *e = r->engine;
    set_current(e, m);
    e->receipt = receipt;
    r->in++;
    if (hops_of(m) >= ENGINE_HOPS_MAX)
        stop_loop(r, hops_of(m));
    else
        evaluate(r);
    e->receipt = NULL;
    if (m->payload_len > KEEP_PARSED_MAX)
        forget_current(e);
}

/* ---- making and replacing the rules ---- */

/* A rule that keeps its name keeps its counters. */
static void take_counters(struct rule *to, const struct engine_rules *old)
{
    for (size_t i = 0; old && i < old->count; i++) {
        const struct rule *from = &old->list[i];
        if (strcmp(to->name, from->name) != 0)
            continue;
        to->in = from->in;
        to->kept = from->kept;
        to->out = from->out;
        to->errors = from->errors;
        to->complained_ms = from->complained_ms;
        memcpy(to->last_error, from->last_error, sizeof to->last_error);
    }
}

static enum sl_code tap_all(struct engine *e, struct engine_rules *rules, struct sl_err *err)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct rule *r = &rules->list[i];
        if (!r->enabled)
            continue;
        r->tap = broker_tap(e->options.broker, rule_from(r->plan), on_message, r);
        if (!r->tap)
            return sl_fail(err, SL_NOMEM, "rule \"%s\": out of memory for its subscription",
                           r->name);
    }
    return SL_OK;
}

enum sl_code engine_prepare(struct engine *e, const struct config *config,
                            struct engine_rules **ret, struct sl_err *err)
{
    struct engine_rules *rules;
    enum sl_code rc = engine_rules_make(e, e->options.broker, config, &rules, err);
    if (rc != SL_OK)
        return rc;
    rc = tap_all(e, rules, err);
    if (rc == SL_OK)
        *ret = rules;
    else
        engine_rules_free(rules);
    return rc;
}

void engine_commit(struct engine *e, struct engine_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        take_counters(&rules->list[i], e->rules);
    engine_rules_free(e->rules);
    e->rules = rules;
}

void engine_discard(struct engine_rules *rules)
{
    engine_rules_free(rules);
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
                          ? engine_prepare(e, config, &e->rules, err)
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
    engine_rules_free(e->rules);
    forget_current(e);
    rule_output_release(&e->output);
    sl_buf_free(&e->topic);
    free(e->gateway_id);
    free(e->thing_name);
    free(e);
}

size_t engine_count(const struct engine *e)
{
    return e->rules->count;
}

void engine_get(const struct engine *e, size_t index, struct engine_rule_view *ret)
{
    assert(index < e->rules->count);
    const struct rule *r = &e->rules->list[index];
    *ret = (struct engine_rule_view){ r->name, r->sql, r->enabled, r->in,
                                      r->kept, r->out, r->errors,  r->last_error };
}
