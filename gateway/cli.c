/* cli.c - reading one command's arguments. Writes only to standard output (help) and standard
 * error; holds no state. */
#include "cli.h"

#include "base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NEAR_MAX 2 /* how many letters a mistyped name may be off to be suggested */

int cli_error(int status, const char *name, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long: still a sentence */
    va_end(args);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?'; /* one line, and nothing a terminal would obey */
    (void)fprintf(stderr, "sluice%s%s: %s\n", name ? " " : "", name ? name : "", text);
    return status;
}

/* Standard output may be a closed pipe or a full disk: help that was not printed is no success. */
static int print_usage(const char *usage)
{
    return fputs(usage, stdout) >= 0 && fflush(stdout) == 0 ? CLI_OK : CLI_FAIL;
}

static bool is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

/* Keeps the nearer of the best name so far and this one. */
static const char *nearer(const char *best, unsigned *distance, const char *name,
                          struct sl_slice wanted)
{
    unsigned d = sl_edit_distance(sl_str(name), wanted);
    if (d >= *distance)
        return best;
    *distance = d;
    return name;
}

static int unknown_option(const struct cli_command *command, struct sl_slice name)
{
    const char *near = NULL;
    unsigned distance = NEAR_MAX + 1;
    for (const struct cli_option *o = command->options; o && o->name; o++)
        near = nearer(near, &distance, o->name, name);
    if (near)
        return cli_error(CLI_USAGE, command->name, "unknown option --%.*s; is --%s meant?",
                         SL_FMT(name), near);
    return cli_error(CLI_USAGE, command->name, "unknown option --%.*s (--help lists the options)",
                     SL_FMT(name));
}

static int wrong_value(const struct cli_command *command, const struct cli_option *o,
                       const char *value, const char *kind)
{
    return cli_error(CLI_USAGE, command->name, "--%s: \"%s\" is not %s", o->name, value, kind);
}

static int check_range(const struct cli_command *command, const struct cli_option *o,
                       const char *value, uint64_t parsed)
{
    if (parsed < o->min)
        return cli_error(CLI_USAGE, command->name, "--%s: \"%s\" is below the least, %llu%s",
                         o->name, value, (unsigned long long)o->min, o->duration_ms ? "ms" : "");
    if (o->max != 0 && parsed > o->max)
        return cli_error(CLI_USAGE, command->name, "--%s: \"%s\" is above the most, %llu%s",
                         o->name, value, (unsigned long long)o->max, o->duration_ms ? "ms" : "");
    return CLI_GO;
}

static int set_value(const struct cli_command *command, const struct cli_option *o,
                     const char *value)
{
    if (o->text) {
        *o->text = value;
        return CLI_GO;
    }
    uint64_t parsed = 0;
    int64_t ms = 0;
    if (o->number && !sl_u64_parse(sl_str(value), &parsed))
        return wrong_value(command, o, value, "a whole number");
    if (o->size && !sl_size_parse(sl_str(value), &parsed))
        return wrong_value(command, o, value, "a size such as 64KiB");
    if (o->duration_ms && !sl_duration_parse(sl_str(value), &ms))
        return wrong_value(command, o, value, "a duration such as 250ms, 5s or 10m");
    if (o->duration_ms)
        parsed = (uint64_t)ms;
    int status = check_range(command, o, value, parsed);
    if (status != CLI_GO)
        return status;
    if (o->number)
        *o->number = parsed;
    if (o->size)
        *o->size = parsed;
    if (o->duration_ms)
        *o->duration_ms = ms;
    return CLI_GO;
}

/* An option was found; its value is `attached`, or the next word. */
static int take_option(const struct cli_command *command, const struct cli_option *o,
                       const char *attached, int argc, char **argv, int *at)
{
    if (o->flag) {
        if (attached)
            return cli_error(CLI_USAGE, command->name, "--%s takes no value", o->name);
        *o->flag = true;
        return CLI_GO;
    }
    if (!attached) {
        if (*at + 1 >= argc)
            return cli_error(CLI_USAGE, command->name, "--%s needs a value", o->name);
        attached = argv[++*at];
    }
    return set_value(command, o, attached);
}

static int take_long(const struct cli_command *command, int argc, char **argv, int *at)
{
    const char *arg = argv[*at] + 2;
    const char *equals = strchr(arg, '=');
    struct sl_slice name = equals ? sl_bytes(arg, (size_t)(equals - arg)) : sl_str(arg);
    for (const struct cli_option *o = command->options; o && o->name; o++)
        if (sl_slice_eq(sl_str(o->name), name))
            return take_option(command, o, equals ? equals + 1 : NULL, argc, argv, at);
    return unknown_option(command, name);
}

static int take_short(const struct cli_command *command, int argc, char **argv, int *at)
{
    const char *arg = argv[*at];
    for (const struct cli_option *o = command->options; o && o->name; o++)
        if (o->letter != '\0' && o->letter == arg[1])
            return take_option(command, o, arg[2] ? arg + 2 : NULL, argc, argv, at);
    return cli_error(CLI_USAGE, command->name, "unknown option %s (--help lists the options)", arg);
}

static int take_word(const struct cli_command *command, const char *word, struct cli_args *args)
{
    if (args->count >= command->args_max)
        return cli_error(CLI_USAGE, command->name, "\"%s\" is one argument too many", word);
    args->list[args->count++] = word;
    return CLI_GO;
}

int cli_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *ret)
{
    assert(command->args_max <= CLI_ARGS_MAX);
    struct cli_args args = { .count = 0 };
    bool options_over = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        int status;
        if (options_over || arg[0] != '-' || arg[1] == '\0')
            status = take_word(command, arg, &args);
        else if (strcmp(arg, "--") == 0)
            options_over = true, status = CLI_GO;
        else if (is_help(arg))
            return print_usage(command->usage);
        else if (arg[1] == '-')
            status = take_long(command, argc, argv, &i);
        else
            status = take_short(command, argc, argv, &i);
        if (status != CLI_GO)
            return status;
    }
    if (args.count < command->args_min)
        return cli_error(CLI_USAGE, command->name,
                         "an argument is missing (--help shows the usage)");
    *ret = args;
    return CLI_GO;
}

int cli_dispatch(const char *name, const char *usage, const struct cli_choice *choices, int argc,
                 char **argv)
{
    if (argc < 2)
        return cli_error(CLI_USAGE, name, "a command is missing (--help lists them)");
    const char *word = argv[1];
    if (is_help(word) || strcmp(word, "help") == 0)
        return print_usage(usage);
    const char *near = NULL;
    unsigned distance = NEAR_MAX + 1;
    for (const struct cli_choice *c = choices; c->name; c++) {
        if (strcmp(c->name, word) == 0)
            return c->run(argc - 1, argv + 1);
        near = nearer(near, &distance, c->name, sl_str(word));
    }
    const char *kind = word[0] == '-' ? "option" : "command";
    if (near)
        return cli_error(CLI_USAGE, name, "unknown %s \"%s\"; is \"%s\" meant?", kind, word, near);
    return cli_error(CLI_USAGE, name, "unknown %s \"%s\" (--help lists the commands)", kind, word);
}

const char *cli_config_path(const char *given)
{
    if (given)
        return given;
    const char *chosen = getenv("SLUICE_CONFIG");
    return chosen && *chosen ? chosen : CLI_CONFIG_DEFAULT;
}

void cli_print_problems(const struct config_problems *problems, const char *path)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct sl_buf line = { 0 };
        config_problem_format(&problems->list[i], path, &line);
        (void)fprintf(stderr, "%s\n", sl_buf_cstr(&line));
        sl_buf_free(&line);
    }
}

int cli_load_config_lenient(const char *name, const char *path, struct config **ret,
                            struct config_problems *ret_problems)
{
    struct config *loaded = NULL;
    struct config_problems problems = { 0 };
    enum sl_code rc = config_load(path, &loaded, &problems);
    if (loaded) {
        *ret = loaded;
        *ret_problems = problems;
        return CLI_GO;
    }
    if (problems.count == 0)
        (void)cli_error(CLI_FAIL, name, "%s: %s", path, sl_code_name(rc));
    cli_print_problems(&problems, path);
    config_problems_free(&problems);
    return CLI_FAIL;
}

int cli_load_config(const char *name, const char *path, struct config **ret)
{
    struct config *loaded = NULL;
    struct config_problems problems = { 0 };
    int status = cli_load_config_lenient(name, path, &loaded, &problems);
    if (status != CLI_GO)
        return status;
    cli_print_problems(&problems, path);
    if (problems.errors > 0) {
        config_free(loaded);
        status = CLI_FAIL;
    } else {
        *ret = loaded;
    }
    config_problems_free(&problems);
    return status;
}

const char *cli_size_text(double bytes, char *buf, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    size_t u = 0;
    while (bytes >= 1024 && u + 1 < SL_ARRAY_LEN(units)) {
        bytes /= 1024;
        u++;
    }
    (void)snprintf(buf, size, u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return buf;
}
