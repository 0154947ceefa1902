/* cmd_user.c - `sluice user add|remove|list`: the users file from the command line. May touch the
 * terminal; reads the configuration only to find the file. */
#include "cli.h"
#include "commands.h"
#include "users.h"

#include "base/crypto.h"

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define PASSWORD_MAX 1024 /* bytes */

static const char usage[] =
    "usage: sluice user add NAME [-c FILE]\n"
    "       sluice user remove NAME [-c FILE]\n"
    "       sluice user list [-c FILE]\n"
    "\n"
    "Keeps the users file that the configuration names as access.users_file (or, without that,\n"
    "web.users_file). Its format is that of mosquitto_passwd. add also changes the password of a\n"
    "user who is there. The password is read from the terminal without echo, or, when standard\n"
    "input is no terminal, from its first line. A running gateway takes the change in when it\n"
    "reloads (SIGHUP, systemctl reload sluice).\n"
    "\n"
    "  -c, --config FILE   the configuration (else $SLUICE_CONFIG, else " CLI_CONFIG_DEFAULT ")\n"
    "      --help          this text\n";

/* ---- the password ---- */

struct line {
    char text[PASSWORD_MAX + 1];
    size_t len;
};

enum line_end { LINE_READ, LINE_TOO_LONG, LINE_NONE };

/* Byte by byte: what follows the line is left for whoever reads next. */
static enum line_end read_line(struct line *line)
{
    line->len = 0;
    for (;;) {
        char c;
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 && line->len == 0)
            return LINE_NONE;
        if (n <= 0 || c == '\n')
            break;
        if (line->len == PASSWORD_MAX)
            return LINE_TOO_LONG;
        line->text[line->len++] = c;
    }
    if (line->len > 0 && line->text[line->len - 1] == '\r')
        line->len--;
    return LINE_READ;
}

/* Waits for a line or for one of the signals; false for a signal, which is left pending. */
static bool wait_for_line(int signal_fd)
{
    struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
                            { .fd = signal_fd, .events = POLLIN } };
    while (poll(fds, SL_ARRAY_LEN(fds), -1) < 0)
        if (errno != EINTR)
            return false;
    return fds[1].revents == 0;
}

/* A terminal in canonical mode gives whole lines, so that poll() waits for all of one. The signals
 * that would end or stop us are held while the echo is off: it comes back before they act. */
static enum line_end read_hidden(const char *prompt, struct line *line)
{
    sigset_t held, before;
    (void)sigemptyset(&held);
    const int signals[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP };
    for (size_t i = 0; i < SL_ARRAY_LEN(signals); i++)
        (void)sigaddset(&held, signals[i]);
    struct termios normal;
    if (tcgetattr(STDIN_FILENO, &normal) != 0 || sigprocmask(SIG_BLOCK, &held, &before) != 0)
        return LINE_NONE;
    SL_CLEANUP(sl_close_fd) int signal_fd = signalfd(-1, &held, SFD_CLOEXEC);
    struct termios hidden = normal;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    enum line_end end = LINE_NONE;
    if (signal_fd >= 0 && tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0) {
        (void)fputs(prompt, stderr);
        if (wait_for_line(signal_fd))
            end = read_line(line);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &normal);
        (void)fputs("\n", stderr);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL); /* a signal that came acts here */
    return end;
}

static int check_line(enum line_end end, const struct line *line)
{
    if (end == LINE_TOO_LONG)
        return cli_error(CLI_FAIL, "user add", "the password is longer than %d bytes",
                         PASSWORD_MAX);
    if (end == LINE_NONE)
        return cli_error(CLI_FAIL, "user add", "no password was given");
    if (line->len == 0)
        return cli_error(CLI_FAIL, "user add", "the password is empty");
    return CLI_GO;
}

static int ask_password(const char *name, struct line *line)
{
    char prompt[USERS_NAME_MAX + 32];
    if (!isatty(STDIN_FILENO))
        return check_line(read_line(line), line);
    (void)snprintf(prompt, sizeof prompt, "Password for %s: ", name);
    int status = check_line(read_hidden(prompt, line), line);
    if (status != CLI_GO)
        return status;
    struct line again;
    enum line_end end = read_hidden("Once more: ", &again);
    bool same = end == LINE_READ &&
                sl_slice_eq(sl_bytes(line->text, line->len), sl_bytes(again.text, again.len));
    crypto_wipe(&again, sizeof again);
    return same ? CLI_GO : cli_error(CLI_FAIL, "user add", "the two passwords differ");
}

/* ---- the file ---- */

struct place {
    char *path;
    uid_t owner; /* of the data folder: whom the service runs as */
    gid_t group;
    bool has_owner;
};

static int no_users_file(const char *name, const char *config_path,
                         const struct config_problems *problems)
{
    if (problems->errors > 0) { /* perhaps that is why */
        cli_print_problems(problems, config_path);
        return CLI_FAIL;
    }
    return cli_error(CLI_FAIL, name,
                     "%s names no users file: set access.users_file (or web.users_file)",
                     config_path);
}

/* Errors elsewhere in the configuration do not matter here. */
static int find_file(const char *name, const char *given, struct place *ret)
{
    const char *config_path = cli_config_path(given);
    struct config *config = NULL;
    struct config_problems problems = { 0 };
    int status = cli_load_config_lenient(name, config_path, &config, &problems);
    if (status != CLI_GO)
        return status;
    const char *path =
        config->access.users_file ? config->access.users_file : config->web.users_file;
    struct stat data;
    *ret = (struct place){ 0 };
    if (!path)
        status = no_users_file(name, config_path, &problems);
    else if (!(ret->path = strdup(path)))
        status = cli_error(CLI_FAIL, name, "out of memory");
    else if (config->gateway.data_dir && stat(config->gateway.data_dir, &data) == 0)
        *ret = (struct place){ ret->path, data.st_uid, data.st_gid, true };
    config_problems_free(&problems);
    config_free(config);
    assert(status != CLI_GO || ret->path);
    return status;
}

/* Whether the group of the folder is to read what lies in it: /etc/sluice is root:sluice. */
static bool folder_group(const char *path, gid_t *ret)
{
    struct stat folder;
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy ||
        stat(dirname(copy), &folder) != 0 || !(folder.st_mode & S_IRGRP))
        return false;
    *ret = folder.st_gid;
    return folder.st_gid != 0;
}

static int give_to_group(const char *path, gid_t group)
{
    int rc = chown(path, (uid_t)-1, group);
    return rc == 0 ? chmod(path, S_IRUSR | S_IWUSR | S_IRGRP) : rc;
}

/* What root writes must be readable by the service, which is not root: it is made anew, and where
 * everyone could read it before they cannot now. Before its first start the service has no data
 * folder that tells who it is. */
static void give_to_service(const struct place *place)
{
    struct stat file;
    gid_t group = place->group;
    if (geteuid() != 0 || stat(place->path, &file) != 0 || file.st_uid != 0 ||
        (place->has_owner ? place->owner == 0 : !folder_group(place->path, &group)) ||
        ((file.st_mode & S_IRGRP) && file.st_gid == group))
        return;
    int rc = place->has_owner ? chown(place->path, place->owner, group)
                              : give_to_group(place->path, group);
    if (rc != 0)
        (void)fprintf(stderr, "sluice user: %s stays root's: %s\n", place->path, strerror(errno));
}

static int print_line(const char *name, const char *text)
{
    if (printf("%s\n", text) < 0 || fflush(stdout) != 0)
        return cli_error(CLI_FAIL, name, "standard output: %s", strerror(errno));
    return CLI_OK;
}

static int add(const char *name, const struct place *place)
{
    struct line password;
    struct sl_err err;
    bool is_new = false;
    if (users_check_name(sl_str(name), &err) != SL_OK)
        return cli_error(CLI_FAIL, "user add", "%s", err.text);
    int status = ask_password(name, &password);
    if (status == CLI_GO &&
        users_set(place->path, sl_str(name), sl_bytes(password.text, password.len), &is_new, &err))
        status = cli_error(CLI_FAIL, "user add", "%s", err.text);
    crypto_wipe(&password, sizeof password);
    if (status != CLI_GO)
        return status;
    give_to_service(place);
    char text[USERS_NAME_MAX + 64];
    (void)snprintf(text, sizeof text, is_new ? "added user %s" : "changed the password of %s",
                   name);
    return print_line("user add", text);
}

static int remove_user(const char *name, const struct place *place)
{
    struct sl_err err;
    char text[USERS_NAME_MAX + 64];
    if (users_remove(place->path, sl_str(name), &err) != SL_OK)
        return cli_error(CLI_FAIL, "user remove", "%s", err.text);
    give_to_service(place);
    (void)snprintf(text, sizeof text, "removed user %s", name);
    return print_line("user remove", text);
}

static void on_bad_line(void *ctx, const char *path, unsigned line, const char *text)
{
    (void)ctx;
    (void)fprintf(stderr, "warning: %s:%u: %s\n", path, line, text);
}

static int list(const struct place *place)
{
    struct users *users = NULL;
    struct sl_err err;
    enum sl_code rc = users_load(&users, place->path, on_bad_line, NULL, &err);
    if (rc != SL_OK)
        return cli_error(CLI_FAIL, "user list", "%s", err.text);
    bool printed = true;
    for (size_t i = 0; i < users_count(users) && printed; i++)
        printed = printf("%.*s\n", SL_FMT(users_name(users, i))) > 0;
    users_free(users);
    if (!printed || fflush(stdout) != 0)
        return cli_error(CLI_FAIL, "user list", "standard output: %s", strerror(errno));
    return CLI_OK;
}

/* ---- the commands ---- */

static int parse(const char *name, unsigned words, int argc, char **argv, struct cli_args *args,
                 struct place *place)
{
    const char *config_path = NULL;
    const struct cli_option options[] = { CLI_CONFIG(&config_path), CLI_END };
    const struct cli_command command = {
        .name = name, .usage = usage, .options = options, .args_min = words, .args_max = words
    };
    int status = cli_parse(&command, argc, argv, args);
    return status == CLI_GO ? find_file(name, config_path, place) : status;
}

static int cmd_add(int argc, char **argv)
{
    struct cli_args args;
    struct place place = { 0 };
    int status = parse("user add", 1, argc, argv, &args, &place);
    if (status == CLI_GO)
        status = add(args.list[0], &place);
    free(place.path);
    return status;
}

static int cmd_remove(int argc, char **argv)
{
    struct cli_args args;
    struct place place = { 0 };
    int status = parse("user remove", 1, argc, argv, &args, &place);
    if (status == CLI_GO)
        status = remove_user(args.list[0], &place);
    free(place.path);
    return status;
}

static int cmd_list(int argc, char **argv)
{
    struct cli_args args;
    struct place place = { 0 };
    int status = parse("user list", 0, argc, argv, &args, &place);
    if (status == CLI_GO)
        status = list(&place);
    free(place.path);
    return status;
}

int cmd_user(int argc, char **argv)
{
    static const struct cli_choice choices[] = {
        { "add", cmd_add }, { "remove", cmd_remove }, { "list", cmd_list }, { NULL, NULL }
    };
    return cli_dispatch("user", usage, choices, argc, argv);
}
