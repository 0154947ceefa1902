/* engine.h - the rules at work: messages of the local broker in, outputs to cloud, broker and GPIO.
 *
 * Each rule is a tap in the broker's topic tree, so a topic that no rule names costs nothing. A
 * publisher's acknowledgement is held back until every cloud output of its message is safe. Loop
 * thread only. */
#ifndef GATEWAY_ENGINE_H
#define GATEWAY_ENGINE_H

#include "gpio/gpio.h"

#include "broker/broker.h"
#include "config/config.h"
#include "store/outbox.h"

/* A message may pass through this many rules; one more is an error of the rule (a loop). */
#define ENGINE_HOPS_MAX 8

struct engine;

struct engine_options {
    const struct sl_clock *clock;
    struct broker *broker;
    struct outbox *outbox;
    const char *gateway_id, *thing_name;
};

/* The rules of a checked configuration (config_check_rules()); strings of config are copied. */
SL_NODISCARD enum sl_code engine_open(struct engine **ret, const struct engine_options *options,
                                      const struct config *config, struct sl_err *err);
/* For rules that name a line; NULL when there are none. */
void engine_set_gpio(struct engine *e, struct gpio *gpio);
/* Replaces the rules; counters of rules that keep their name go on. Not from inside a rule. */
SL_NODISCARD enum sl_code engine_reload(struct engine *e, const struct config *config,
                                        struct sl_err *err);
void engine_close(struct engine *e); /* accepts NULL */

struct engine_rule_view {
    const char *name, *sql; /* until the next reload */
    bool enabled;
    uint64_t in, kept, out, errors;
    const char *last_error; /* "" when there was none */
};
size_t engine_count(const struct engine *e);
void engine_get(const struct engine *e, size_t index, struct engine_rule_view *ret);

#endif
