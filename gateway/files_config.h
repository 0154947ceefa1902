/* files_config.h - the files that a configuration names, read as `sluice run` would. No state. */
#ifndef GATEWAY_FILES_CONFIG_H
#define GATEWAY_FILES_CONFIG_H

#include "config/config.h"

/* Adds errors for certificates and keys without which the gateway would not start, and warnings for
 * what it would start with: the cloud's, which are read again at each attempt, certificates out of
 * date, lines of users files that are left out. Blocking. Files that cannot be read are not looked
 * at: config_load() has named them. */
void config_check_files(const struct config *c, struct config_problems *problems);

#endif
