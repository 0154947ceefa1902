/* engine.h - the rules at work: messages of the local broker in, outputs to cloud, broker and GPIO.
 *
 * Each rule is a tap in the broker's topic tree, so a topic that no rule names costs nothing. A
 * publisher's acknowledgement is held back until every cloud output of its message is safe, also
 * those that it leads to by way of local outputs and other rules. Loop thread only.
 *
 * What fails the same way however often it is tried (a statement or a topic template that this
 * message does not fit, a GPIO line that is not there, a loop of rules) is counted, said in the
 * log, handed to the rule's on_error outputs, and acknowledged: a sender that is refused could only
 * send it again. What fails for lack of room (memory, the store, the broker's queue) is counted and
 * refused: MQTT 5 senders are told, older ones keep the message and send it again. on_error outputs
 * hold the acknowledgement like any other; when they fail, that is only counted. */
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
void engine_close(struct engine *e); /* accepts NULL */
/* For rules that name a line; NULL when there are none. */
void engine_set_gpio(struct engine *e, struct gpio *gpio);

/* Other rules, in two steps: what can fail is in the first one. Prepared rules see no message that
 * is handed out before engine_commit(), so do both in one turn of the loop. Counters of rules that
 * keep their name go on. Not from inside a rule. */
struct engine_rules;
SL_NODISCARD enum sl_code engine_prepare(struct engine *e, const struct config *config,
                                         struct engine_rules **ret, struct sl_err *err);
void engine_commit(struct engine *e, struct engine_rules *rules); /* takes them over */
void engine_discard(struct engine_rules *rules);                  /* accepts NULL */

struct engine_rule_view {
    const char *name, *sql; /* until the next commit */
    bool enabled;
    uint64_t in, kept, out, errors;
    const char *last_error; /* "" when there was none */
};
size_t engine_count(const struct engine *e);
void engine_get(const struct engine *e, size_t index, struct engine_rule_view *ret);

#endif
