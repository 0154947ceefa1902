/* access_config.h - from the configuration's access entries to the broker's list. No state. */
#ifndef GATEWAY_ACCESS_CONFIG_H
#define GATEWAY_ACCESS_CONFIG_H

#include "broker/acl.h"
#include "config/config.h"

/* *ret is NULL when there is no list: everything is allowed. */
SL_NODISCARD enum sl_code access_list(const struct config *c, struct acl **ret, struct sl_err *err);

/* Adds a warning for each entry that can never decide anything, since those before it do. */
void config_check_access(const struct config *c, struct config_problems *problems);

#endif
