/* rules_config.h - the configuration's SQL, topic templates and topic mappings, tried out before
 * anything runs.
 *
 * config/ knows the file but not the language; the rule engine knows the language but not the file.
 * This brings them together. No state. */
#ifndef GATEWAY_RULES_CONFIG_H
#define GATEWAY_RULES_CONFIG_H

#include "config/config.h"

/* Compiles every rule and every template, also of rules that are not enabled, and checks what
 * cloud.subscribe maps. What is wrong is
 * added to problems, which are then in order again; true when nothing was. */
bool config_check_rules(const struct config *c, struct config_problems *problems);

#endif
