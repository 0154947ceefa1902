/* cmd_check.c - `sluice check`: every problem of a configuration, one a line. Reads the file and
 * what it names; changes nothing. */
#include "access_config.h"
#include "cli.h"
#include "commands.h"
#include "files_config.h"
#include "rules_config.h"

#include <stdio.h>
#include <unistd.h>

static const char usage[] =
    "usage: sluice check [-c FILE]\n"
    "\n"
    "Reads the configuration as `sluice run` would and prints every problem, one a line:\n"
    "  FILE:LINE:COL: json.path: message\n"
    "Warnings begin with \"warning:\".\n"
    "\n"
    "  -c, --config FILE  the configuration; else $SLUICE_CONFIG, else " CLI_CONFIG_DEFAULT "\n"
    "      --help         this text\n"
    "\n"
    "Exit status: 0 without problems or with warnings only, 1 with errors, 2 for wrong usage.\n";

static void print_problems(const struct config_problems *problems, const char *path)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct sl_buf line = { 0 };
        config_problem_format(&problems->list[i], path, &line);
        (void)printf("%s\n", sl_buf_cstr(&line)); /* looked at once, when flushed */
        sl_buf_free(&line);
    }
}

int cmd_check(int argc, char **argv)
{
    const char *given = NULL;
    const struct cli_option options[] = { CLI_CONFIG(&given), CLI_END };
    const struct cli_command command = { .name = "check", .usage = usage, .options = options };
    struct cli_args args;
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    const char *path = cli_config_path(given);
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    enum sl_code rc = config_load(path, &c, &problems);
    bool rules_fine = c && config_check_rules(c, &problems);
    if (c) {
        config_check_access(c, &problems);
        config_check_files(c, &problems);
    }
    bool fine = rules_fine && rc == SL_OK && problems.errors == 0;
    print_problems(&problems, path);
    if (problems.count == 0 && fine && isatty(STDERR_FILENO))
        (void)fprintf(stderr, "%s: no problems\n", path); /* for people; silent in scripts */
    config_problems_free(&problems);
    config_free(c);
    if (fflush(stdout) != 0)
        return CLI_FAIL;
    return fine ? CLI_OK : CLI_FAIL;
}
