/* data_dir.h - where the gateway that a command speaks of keeps its data. */
#ifndef GATEWAY_DATA_DIR_H
#define GATEWAY_DATA_DIR_H

#include "base/seal.h"

/* From the configuration that `run` would use, the built-in one included; other mistakes in the
 * file do not matter here. given is -c's value or NULL. CLI_GO and *ret (yours to free()), or an
 * exit status after an error line. */
int data_dir_find(const char *command, const char *given, char **ret);
/* store.encryption_key of the same configuration, for who opens the database; false without one. */
bool data_dir_seal_key(const char *command, const char *given, uint8_t ret[SEAL_KEY_BYTES]);

#endif
