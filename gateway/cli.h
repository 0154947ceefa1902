/* cli.h - one command's arguments: options in a table, help, and the one-line errors.
 *
 * Every command is `int cmd_NAME(int argc, char **argv)` with argv[0] == "NAME" and returns the
 * process's exit status. It begins with
 *
 *     int status = cli_parse(&command, argc, argv, &args);
 *     if (status != CLI_GO)
 *         return status;
 *
 * --help prints the usage text to standard output (status 0); a wrong option is one line on
 * standard error (status 2). Strings point into argv or the environment: nothing is allocated. */
#ifndef GATEWAY_CLI_H
#define GATEWAY_CLI_H

#include "base/slice.h"
#include "config/config.h"

#define CLI_GO    (-1) /* no exit status yet: go on */
#define CLI_OK    0
#define CLI_FAIL  1
#define CLI_USAGE 2

#define CLI_CONFIG_DEFAULT "/etc/sluice/sluice.json"
#define CLI_ARGS_MAX       8

/* --name VALUE, --name=VALUE, -l VALUE or -lVALUE. Exactly one of the pointers is set: it says what
 * the option takes and is written only when the option is there, so preset the default. The last of
 * two wins. The table ends with CLI_END. */
struct cli_option {
    const char *name; /* without dashes */
    char letter;      /* '\0' for none */
    bool *flag;       /* takes no value; becomes true */
    const char **text;
    uint64_t *number;     /* decimal, within min..max; max 0: no upper bound */
    int64_t *duration_ms; /* "5s"; within min..max too */
    uint64_t *size;       /* "64KiB"; within min..max too */
    uint64_t min, max;
};
#define CLI_FLAG(n, l, p) ((struct cli_option){ .name = (n), .letter = (l), .flag = (p) })
#define CLI_TEXT(n, l, p) ((struct cli_option){ .name = (n), .letter = (l), .text = (p) })
#define CLI_NUMBER(n, l, p, lo, hi)                                                                \
    ((struct cli_option){ .name = (n), .letter = (l), .number = (p), .min = (lo), .max = (hi) })
#define CLI_DURATION(n, l, p, lo, hi)                                                              \
    ((struct cli_option){                                                                          \
        .name = (n), .letter = (l), .duration_ms = (p), .min = (lo), .max = (hi) })
#define CLI_SIZE(n, l, p, lo, hi)                                                                  \
    ((struct cli_option){ .name = (n), .letter = (l), .size = (p), .min = (lo), .max = (hi) })
#define CLI_CONFIG(p) CLI_TEXT("config", 'c', p)
#define CLI_END       ((struct cli_option){ .name = NULL })

struct cli_command {
    const char *name;                 /* as typed: "user add" */
    const char *usage;                /* all of what --help prints, ending in a newline */
    const struct cli_option *options; /* NULL: only --help */
    unsigned args_min, args_max;      /* how many words besides options; args_max <= CLI_ARGS_MAX */
};

struct cli_args {
    const char *list[CLI_ARGS_MAX];
    size_t count;
};

/* Options may stand before, between and behind the words; "--" ends them; "-" is a word. Returns
 * CLI_GO, CLI_OK after --help or CLI_USAGE after its error line. */
SL_NODISCARD int cli_parse(const struct cli_command *command, int argc, char **argv,
                           struct cli_args *ret);

/* "sluice NAME: text" as one line on standard error. Returns status, so that one can say
 * "return cli_error(CLI_FAIL, ...)". */
int cli_error(int status, const char *name, const char *fmt, ...) SL_PRINTF(3, 4);

/* Commands of commands: argv[1] picks. The table ends with a NULL name. The chosen one gets argv
 * from its own name on. */
struct cli_choice {
    const char *name;
    int (*run)(int argc, char **argv);
};
/* name is NULL for the program itself. Without argv[1], or with an unknown one: a line on standard
 * error, CLI_USAGE. --help, -h and help print usage. */
int cli_dispatch(const char *name, const char *usage, const struct cli_choice *choices, int argc,
                 char **argv);

/* The path given, else $SLUICE_CONFIG, else CLI_CONFIG_DEFAULT (that very pointer, so that `run`
 * can tell that nobody chose). */
const char *cli_config_path(const char *given);

/* Reads the configuration for a command that cannot go on without it. Problems are printed on
 * standard error as `check` prints them; CLI_GO and *ret (yours to config_free()) without errors,
 * else CLI_FAIL. */
SL_NODISCARD int cli_load_config(const char *name, const char *path, struct config **ret);
/* The same for a command that needs only some keys: CLI_GO and *ret also when the file has errors;
 * *ret_problems (yours to config_problems_free()) then says which. */
SL_NODISCARD int cli_load_config_lenient(const char *name, const char *path, struct config **ret,
                                         struct config_problems *ret_problems);
void cli_print_problems(const struct config_problems *problems, const char *path);

/* "1.5 MiB", for people; returns buf. */
const char *cli_size_text(double bytes, char *buf, size_t size);

#endif
