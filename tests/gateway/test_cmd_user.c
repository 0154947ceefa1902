/* test_cmd_user.c - `sluice user` and the reading of options, as child processes: through pipes and
 * on a terminal of its own. */
#include "base/file.h"
#include "cli.h"
#include "commands.h"
#include "users.h"

#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 12

static char folder[] = "/tmp/sluice-user-XXXXXX";
static char config_path[64], users_path[64];

struct outcome {
    int status; /* exit status; 1000 + signal */
    struct sl_buf out, err;
};

static void drain(int fd, struct sl_buf *into)
{
    char chunk[512];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        sl_buf_put(into, chunk, (size_t)n);
    (void)close(fd);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

typedef int command_fn(int argc, char **argv);

/* args: words separated by one space; "%c" is the configuration's path. */
static void run_child(command_fn *command, const char *args)
{
    static char text[512];
    char *argv[ARGS_MAX] = { NULL };
    int argc = 0;
    (void)snprintf(text, sizeof text, "%s", args);
    for (char *save = NULL, *word = strtok_r(text, " ", &save); word && argc < ARGS_MAX - 1;
         word = strtok_r(NULL, " ", &save))
        argv[argc++] = strcmp(word, "%c") == 0 ? config_path : word;
    int status = command(argc, argv);
    (void)fflush(stdout);
    _exit(status);
}

static struct outcome run(command_fn *command, const char *args, struct sl_slice input)
{
    int in[2], out[2], err[2];
    struct outcome o = { 0 };
    assert_true(pipe(in) == 0 && pipe(out) == 0 && pipe(err) == 0);
    (void)fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0)
            _exit(99);
        for (int fd = 3; fd < 20; fd++)
            (void)close(fd);
        run_child(command, args);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    (void)close(err[1]);
    (void)!write(in[1], input.ptr, input.len); /* a child that does not read it may be gone */
    (void)close(in[1]);
    drain(out[0], &o.out); /* both are far below a pipe's size */
    drain(err[0], &o.err);
    o.status = wait_for(pid);
    return o;
}

static void outcome_free(struct outcome *o)
{
    sl_buf_free(&o->out);
    sl_buf_free(&o->err);
}

static void put_file(const char *path, const char *text)
{
    struct sl_err err;
    assert_int_equal(sl_file_replace(path, sl_str(text), 0600, &err), SL_OK);
}

static bool fits(const char *name, const char *password)
{
    struct users *users = NULL;
    struct sl_err err;
    if (users_load(&users, users_path, NULL, NULL, &err) != SL_OK)
        return false;
    bool ok = users_verify(users, sl_str(name), sl_str(password));
    users_free(users);
    return ok;
}

/* ---- through pipes; rows build on one another ---- */

static const struct row {
    const char *args, *input;
    int status;
    const char *out, *err; /* exact; part of it ("" for none) */
} rows[] = {
    { "user list -c %c", "", 1, "", "No such file" },
    { "user add alice -c %c", "secret\n", 0, "added user alice\n", "" },
    { "user add --config=%x bob", "", 1, "", "%x" },
    { "user add -c %c bob", "no newline", 0, "added user bob\n", "" },
    { "user add carol --config %c", "windows\r\nmore\n", 0, "added user carol\n", "" },
    { "user list -c %c", "", 0, "alice\nbob\ncarol\n", "" },
    { "user add alice -c %c", "another\n", 0, "changed the password of alice\n", "" },
    { "user remove bob -c %c", "", 0, "removed user bob\n", "" },
    { "user remove bob -c %c", "", 1, "", "no user \"bob\"" },
    { "user list -c %c", "", 0, "alice\ncarol\n", "" },
    { "user add dave -c %c", "", 1, "", "no password was given" },
    { "user add dave -c %c", "\n", 1, "", "the password is empty" },
    { "user add da:ve -c %c", "x\n", 1, "", "':'" },
    { "user add -c %c", "x\n", 2, "", "an argument is missing" },
    { "user add dave eve -c %c", "x\n", 2, "", "\"eve\" is one argument too many" },
    { "user list -c", "", 2, "", "--config needs a value" },
    { "user list --conifg %c", "", 2, "", "unknown option --conifg; is --config meant?" },
    { "user list -x", "", 2, "", "unknown option -x" },
    { "user", "", 2, "", "a command is missing" },
    { "user lsit", "", 2, "", "unknown command \"lsit\"; is \"list\" meant?" },
    { "user --verbose", "", 2, "", "unknown option \"--verbose\"" },
    { "user list -c %c", "", 0, "alice\ncarol\n", "" },
};

static void through_pipes(void **state)
{
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
        struct outcome o = run(cmd_user, rows[i].args, sl_str(rows[i].input));
        const char *err = sl_buf_cstr(&o.err);
        if (o.status != rows[i].status)
            fail_msg("%s: %d: %s", rows[i].args, o.status, err);
        assert_string_equal(sl_buf_cstr(&o.out), rows[i].out);
        if (*rows[i].err == '\0' ? *err != '\0' : !strstr(err, rows[i].err))
            fail_msg("%s: %s", rows[i].args, err);
        if (rows[i].status == 2) /* one line */
            assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
        outcome_free(&o);
    }
    assert_true(fits("alice", "another"));
    assert_false(fits("alice", "secret"));
    assert_true(fits("carol", "windows"));
}

static void password_bounds(void **state)
{
    (void)state;
    char text[1026];
    memset(text, 'x', sizeof text);
    struct outcome o = run(cmd_user, "user add long -c %c", sl_bytes(text, 1025));
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(sl_buf_cstr(&o.err), "longer than 1024 bytes"));
    outcome_free(&o);
    o = run(cmd_user, "user add long -c %c", sl_bytes(text, 1024));
    assert_int_equal(o.status, 0);
    outcome_free(&o);
    text[1024] = '\0';
    assert_true(fits("long", text));
}

static void help(void **state)
{
    (void)state;
    static const char *const ways[] = { "user --help", "user -h", "user help", "user add --help",
                                        "user list --help x y" };
    for (size_t i = 0; i < SL_ARRAY_LEN(ways); i++) {
        struct outcome o = run(cmd_user, ways[i], sl_str(""));
        assert_int_equal(o.status, 0);
        assert_non_null(strstr(sl_buf_cstr(&o.out), "usage: sluice user add NAME"));
        assert_int_equal(o.err.len, 0);
        outcome_free(&o);
    }
}

static void other_configurations(void **state)
{
    (void)state;
    put_file(config_path, "{ \"access\": { \"anonymous\": true } }");
    struct outcome o = run(cmd_user, "user list -c %c", sl_str(""));
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(sl_buf_cstr(&o.err), "access.users_file"));
    outcome_free(&o);
    put_file(config_path, "{ \"web\": { \"users_file\": \"web-users\" }, \"nonsense\": 1 }");
    o = run(cmd_user, "user add w -c %c", sl_str("x\n"));
    assert_int_equal(o.status, 0); /* mistakes elsewhere do not matter here */
    outcome_free(&o);
    assert_int_equal(setenv("SLUICE_CONFIG", config_path, 1), 0);
    o = run(cmd_user, "user list", sl_str(""));
    assert_string_equal(sl_buf_cstr(&o.out), "w\n");
    outcome_free(&o);
    assert_int_equal(unsetenv("SLUICE_CONFIG"), 0);
    put_file(config_path, "{ \"access\": { \"users_file\": \"users\" } }");
}

/* ---- on a terminal ---- */

struct terminal {
    int fd;
    pid_t pid;
    struct sl_buf seen;
};

static void terminal_open(struct terminal *t, const char *args)
{
    *t = (struct terminal){ 0 };
    (void)fflush(stdout);
    t->pid = forkpty(&t->fd, NULL, NULL, NULL);
    assert_true(t->pid >= 0);
    if (t->pid == 0)
        run_child(cmd_user, args);
}

/* Reads until text has been seen; the test's own time limit ends a wait in vain. */
static void expect(struct terminal *t, const char *text)
{
    char chunk[256];
    while (!strstr(sl_buf_cstr(&t->seen), text)) {
        ssize_t n = read(t->fd, chunk, sizeof chunk);
        if (n <= 0)
            fail_msg("no \"%s\" in \"%s\"", text, sl_buf_cstr(&t->seen));
        sl_buf_put(&t->seen, chunk, (size_t)n);
    }
}

static void type(struct terminal *t, const char *text)
{
    assert_int_equal(write(t->fd, text, strlen(text)), strlen(text));
}

static int terminal_close(struct terminal *t)
{
    int status = wait_for(t->pid);
    (void)close(t->fd);
    sl_buf_free(&t->seen);
    return status;
}

static void asks_twice_without_echo(void **state)
{
    (void)state;
    struct terminal t;
    struct termios mode;
    terminal_open(&t, "user add tom -c %c");
    expect(&t, "Password for tom: ");
    assert_int_equal(tcgetattr(t.fd, &mode), 0);
    assert_int_equal(mode.c_lflag & ECHO, 0);
    type(&t, "hush\n");
    expect(&t, "Once more: ");
    type(&t, "hush\n");
    expect(&t, "added user tom");
    assert_null(strstr(sl_buf_cstr(&t.seen), "hush"));
    assert_int_equal(tcgetattr(t.fd, &mode), 0);
    assert_int_not_equal(mode.c_lflag & ECHO, 0);
    assert_int_equal(terminal_close(&t), 0);
    assert_true(fits("tom", "hush"));
}

static void two_that_differ(void **state)
{
    (void)state;
    struct terminal t;
    terminal_open(&t, "user add tim -c %c");
    expect(&t, "Password for tim: ");
    type(&t, "hush\n");
    expect(&t, "Once more: ");
    type(&t, "hash\n");
    expect(&t, "the two passwords differ");
    assert_int_equal(terminal_close(&t), 1);
    assert_false(fits("tim", "hush"));
}

static void interrupted(void **state)
{
    (void)state;
    struct terminal t;
    struct termios mode;
    terminal_open(&t, "user add tim -c %c");
    expect(&t, "Password for tim: ");
    type(&t, "hu\003"); /* Ctrl-C */
    int slave = open(ptsname(t.fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0); /* keeps the terminal when the child is gone */
    int status = wait_for(t.pid);
    assert_int_equal(status, 1000 + SIGINT);
    assert_int_equal(tcgetattr(slave, &mode), 0);
    assert_int_not_equal(mode.c_lflag & ECHO, 0);
    (void)close(slave);
    (void)close(t.fd);
    sl_buf_free(&t.seen);
}

/* ---- options of every kind ---- */

static struct {
    bool flag;
    const char *text;
    uint64_t number, size;
    int64_t duration;
} got;

static int cmd_kinds(int argc, char **argv)
{
    const struct cli_option options[] = {
        CLI_FLAG("json", 'j', &got.flag),
        CLI_TEXT("host", 'H', &got.text),
        CLI_NUMBER("port", 'p', &got.number, 1, 65535),
        CLI_SIZE("bytes", '\0', &got.size, 0, 0),
        CLI_DURATION("interval", 'i', &got.duration, 10, 60000),
        CLI_END,
    };
    const struct cli_command command = {
        .name = "kinds", .usage = "usage: kinds\n", .options = options, .args_max = 2
    };
    struct cli_args args;
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    (void)printf("%d %s %llu %llu %lld", got.flag, got.text ? got.text : "-",
                 (unsigned long long)got.number, (unsigned long long)got.size,
                 (long long)got.duration);
    for (size_t i = 0; i < args.count; i++)
        (void)printf(" [%s]", args.list[i]);
    return 0;
}

static const struct {
    const char *args, *out, *err;
} kinds[] = {
    { "kinds", "0 - 0 0 0", NULL },
    { "kinds --json --host=h --port 1883 --bytes 64KiB --interval 5s", "1 h 1883 65536 5000",
      NULL },
    { "kinds -j -Hh -p1 -i 10ms", "1 h 1 0 10", NULL },
    { "kinds --host= --host=b", "0 b 0 0 0", NULL },
    { "kinds a -j - ", "1 - 0 0 0 [a] [-]", NULL },
    { "kinds -- --json -j", "0 - 0 0 0 [--json] [-j]", NULL },
    { "kinds --port=65535", "0 - 65535 0 0", NULL },
    { "kinds --port=0", NULL, "--port: \"0\" is below the least, 1" },
    { "kinds --port=65536", NULL, "--port: \"65536\" is above the most, 65535" },
    { "kinds --port=-1", NULL, "\"-1\" is not a whole number" },
    { "kinds --port=12x", NULL, "not a whole number" },
    { "kinds --bytes=much", NULL, "not a size" },
    { "kinds --interval=5", NULL, "not a duration" },
    { "kinds --interval=9ms", NULL, "below the least, 10ms" },
    { "kinds --interval=2h", NULL, "above the most, 60000ms" },
    { "kinds --json=yes", NULL, "--json takes no value" },
    { "kinds --port", NULL, "--port needs a value" },
    { "kinds --j", NULL, "unknown option --j" },
    { "kinds --jsno", NULL, "is --json meant?" },
    { "kinds -q", NULL, "unknown option -q" },
    { "kinds a b c", NULL, "\"c\" is one argument too many" },
    { "kinds \033[2J b c", NULL, "\"c\" is one argument too many" },
    { "kinds --\033[2J", NULL, "--?[2J" },
};

static void option_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++) {
        struct outcome o = run(cmd_kinds, kinds[i].args, sl_str(""));
        assert_int_equal(o.status, kinds[i].out ? 0 : 2);
        if (kinds[i].out)
            assert_string_equal(sl_buf_cstr(&o.out), kinds[i].out);
        else if (!strstr(sl_buf_cstr(&o.err), kinds[i].err))
            fail_msg("%s: %s", kinds[i].args, sl_buf_cstr(&o.err));
        outcome_free(&o);
    }
}

/* As root, for a service that is not: before its first start the folder's group tells who it is. */
static void the_service_can_read_it(void **state)
{
    (void)state;
    enum { SERVICE = 12345, OTHER = 54321 };
    static const struct {
        gid_t folder;
        mode_t folder_mode;
        uid_t data; /* owner of the data folder; 0: there is none yet */
        uid_t owner;
        gid_t group;
        mode_t mode;
    } cases[] = {
        { SERVICE, 0750, 0, 0, SERVICE, 0640 },
        { SERVICE, 0710, 0, 0, 0, 0600 }, /* a group that may not look into it */
        { 0, 0755, 0, 0, 0, 0600 },
        { OTHER, 0750, SERVICE, SERVICE, SERVICE, 0600 },
    };
    char data[64];
    (void)snprintf(data, sizeof data, "%s/data", folder);
    if (geteuid() != 0)
        skip();
    put_file(config_path, "{ \"gateway\": { \"data_dir\": \"data\" }, "
                          "\"access\": { \"users_file\": \"users\" } }");
    for (size_t i = 0; i < 2 * SL_ARRAY_LEN(cases); i++) { /* a new file, and one that is there */
        struct stat st;
        if (i % 2 == 0)
            (void)unlink(users_path);
        assert_true(chown(folder, 0, cases[i / 2].folder) == 0 &&
                    chmod(folder, cases[i / 2].folder_mode) == 0);
        if (cases[i / 2].data != 0 && i % 2 == 0)
            assert_true(mkdir(data, 0700) == 0 && chown(data, SERVICE, SERVICE) == 0);
        struct outcome o = run(cmd_user, "user add zoe -c %c", sl_str("x\n"));
        assert_int_equal(o.status, 0);
        outcome_free(&o);
        assert_int_equal(stat(users_path, &st), 0);
        assert_int_equal(st.st_uid, cases[i / 2].owner);
        assert_int_equal(st.st_gid, cases[i / 2].group);
        assert_int_equal(st.st_mode & 0777, cases[i / 2].mode);
    }
    assert_int_equal(rmdir(data), 0);
    put_file(config_path, "{ \"access\": { \"users_file\": \"users\" } }");
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)alarm(60); /* a terminal that stays silent */
    (void)snprintf(config_path, sizeof config_path, "%s/sluice.json", folder);
    (void)snprintf(users_path, sizeof users_path, "%s/users", folder);
    put_file(config_path, "{ \"access\": { \"users_file\": \"users\" } }");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char web_users[64];
    (void)snprintf(web_users, sizeof web_users, "%s/web-users", folder);
    (void)unlink(web_users);
    (void)unlink(config_path);
    (void)unlink(users_path);
    return rmdir(folder);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(through_pipes),
        cmocka_unit_test(password_bounds),
        cmocka_unit_test(help),
        cmocka_unit_test(other_configurations),
        cmocka_unit_test(option_kinds),
        cmocka_unit_test(the_service_can_read_it),
        cmocka_unit_test(asks_twice_without_echo),
        cmocka_unit_test(two_that_differ),
        cmocka_unit_test(interrupted),
    };
    return cmocka_run_group_tests_name("cmd_user", tests, set_up, tear_down);
}
