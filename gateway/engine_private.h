/* engine_private.h - a rule at work, as engine.c runs it and engine_rules.c makes it. */
#ifndef GATEWAY_ENGINE_PRIVATE_H
#define GATEWAY_ENGINE_PRIVATE_H

#include "engine.h"

#include "rules/rules.h"

struct output {
    enum config_output_kind kind;
    struct rule_template *topic; /* cloud and local */
    char *gpio;                  /* gpio */
    uint8_t qos;
    bool retain;
    enum outbox_lane lane;
    uint16_t batch, linger_ms; /* as in sl_msg; 0: each output goes by itself */
    uint32_t ttl_s;            /* SL_MSG_NO_EXPIRY for none */
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
    int64_t complained_ms; /* when an error was last logged, monotonic; 0: never */
    char last_error[256];
};

struct engine_rules {
    struct broker *broker;
    struct rule *list;
    size_t count;
};

/* Compiles them; they are not tapped yet. SL_INVALID names the rule and its mistake. */
SL_NODISCARD enum sl_code engine_rules_make(struct engine *e, struct broker *broker,
                                            const struct config *config, struct engine_rules **ret,
                                            struct sl_err *err);
void engine_rules_free(struct engine_rules *rules); /* takes their taps away; accepts NULL */

#endif
