/* cmd_run.c - sluice run: the configuration is read and checked, then the gateway runs. */
#include "access_config.h"
#include "cli.h"
#include "commands.h"
#include "gateway.h"
#include "rules_config.h"

#include "base/log.h"

#include <unistd.h>

static const char usage[] =
    "Usage: sluice run [-c FILE]\n"
    "\n"
    "Runs the gateway in the foreground and logs to standard error. SIGTERM and SIGINT\n"
    "stop it with everything flushed; SIGHUP reads the configuration again.\n"
    "\n"
    "  -c, --config FILE   the configuration (default: $SLUICE_CONFIG, else\n"
    "                      /etc/sluice/sluice.json; without either, a built-in one)\n"
    "      --help          this text\n";

static void configure_log(const struct config *c)
{
    sl_log_configure((enum sl_log_level)c->log.level, (enum sl_log_format)c->log.format);
}

static int run_builtin(void)
{
    struct config *c = NULL;
    if (config_builtin(&c) != SL_OK)
        return cli_error(CLI_FAIL, "run", "out of memory");
    configure_log(c);
    LOG_INFO(
        "config",
        "no configuration at %s: using the built-in one (MQTT on 127.0.0.1:1883, status page on "
        "127.0.0.1:8080, no cloud, data in %s)",
        CLI_CONFIG_DEFAULT, c->gateway.data_dir);
    return gateway_run(c, NULL);
}

static int run_file(const char *path)
{
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    enum sl_code rc = config_load(path, &c, &problems);
    bool rules_fine = c && config_check_rules(c, &problems);
    if (c)
        config_check_access(c, &problems);
    config_problems_sort(&problems);
    cli_print_problems(&problems, path);
    config_problems_free(&problems);
    if (!c)
        return cli_error(CLI_FAIL, "run", "not started");
    if (rc != SL_OK || !rules_fine) {
        config_free(c);
        return cli_error(CLI_FAIL, "run", "%s has errors: not started", path);
    }
    configure_log(c);
    LOG_INFO("config", "configuration %s", path);
    return gateway_run(c, path);
}

int cmd_run(int argc, char **argv)
{
    const char *given = NULL;
    struct cli_args args;
    const struct cli_option options[] = { CLI_CONFIG(&given), CLI_END };
    const struct cli_command command = { .name = "run", .usage = usage, .options = options };
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    const char *path = cli_config_path(given);
    const char *standard = CLI_CONFIG_DEFAULT;
    bool chosen = given || strcmp(path, standard) != 0;
    if (!chosen && access(path, F_OK) != 0)
        return run_builtin();
    return run_file(path);
}
