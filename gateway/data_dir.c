/* data_dir.c - finding data_dir for a command. */
#include "data_dir.h"

#include "cli.h"

#include <string.h>
#include <unistd.h>

int data_dir_find(const char *command, const char *given, char **ret)
{
    const char *path = cli_config_path(given);
    const char *standard = CLI_CONFIG_DEFAULT;
    struct config *config = NULL;
    int status = CLI_GO;
    if (!given && strcmp(path, standard) == 0 && access(path, F_OK) != 0) {
        if (config_builtin(&config) != SL_OK)
            return cli_error(CLI_FAIL, command, "out of memory");
    } else {
        struct config_problems problems = { 0 };
        status = cli_load_config_lenient(command, path, &config, &problems);
        config_problems_free(&problems);
    }
    if (status != CLI_GO)
        return status;
    *ret = config->gateway.data_dir ? strdup(config->gateway.data_dir) : NULL;
    config_free(config);
    return *ret ? CLI_GO : cli_error(CLI_FAIL, command, "%s: gateway.data_dir is not valid", path);
}
