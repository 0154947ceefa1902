/* data_dir.c - finding data_dir for a command. */
#include "data_dir.h"

#include "cli.h"

#include <string.h>
#include <unistd.h>

static int load(const char *command, const char *given, struct config **ret)
{
    const char *path = cli_config_path(given);
    const char *standard = CLI_CONFIG_DEFAULT;
    if (!given && strcmp(path, standard) == 0 && access(path, F_OK) != 0)
        return config_builtin(ret) == SL_OK ? CLI_GO
                                            : cli_error(CLI_FAIL, command, "out of memory");
    struct config_problems problems = { 0 };
    int status = cli_load_config_lenient(command, path, ret, &problems);
    config_problems_free(&problems);
    return status;
}

int data_dir_find(const char *command, const char *given, char **ret)
{
    struct config *config = NULL;
    int status = load(command, given, &config);
    if (status != CLI_GO)
        return status;
    *ret = config->gateway.data_dir ? strdup(config->gateway.data_dir) : NULL;
    config_free(config);
    return *ret ? CLI_GO
                : cli_error(CLI_FAIL, command, "%s: gateway.data_dir is not valid",
                            cli_config_path(given));
}

bool data_dir_seal_key(const char *command, const char *given, uint8_t ret[SEAL_KEY_BYTES])
{
    struct config *config = NULL;
    bool there = load(command, given, &config) == CLI_GO && config->store.encryption_key &&
                 seal_key_parse(sl_str(config->store.encryption_key), ret);
    config_free(config);
    return there;
}
