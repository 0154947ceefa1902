/* test_cmd_check.c - `sluice check` as a command: what it prints where, and its exit status. */
#include "commands.h"
#include "support.h"

#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "rows.h"

#define TEN_MISTAKES                                                                               \
    "{\n"                                                                                          \
    "  \"gateway\": { \"id\": \"barn/01\" },\n"                                                    \
    "  \"log\": { \"level\": \"verbose\" },\n"                                                     \
    "  \"listeners\": [ { \"bind\": \"0.0.0.0\" } ],\n"                                            \
    "  \"broker\": { \"max_qos\": 3 },\n"                                                          \
    "  \"store\": { \"max_age\": 30, },\n"                                                         \
    "  \"web\": { \"prot\": 8080 },\n"                                                             \
    "  \"rules\": [ { \"name\": \"r\",\n"                                                          \
    "    \"sql\": \"SELECT * FORM 'a'\",\n"                                                        \
    "    \"to\": [ { \"local\": \"a/${b\" } ] } ],\n"                                              \
    "  \"cloud\": { \"type\": \"mqtt\" }\n"                                                        \
    "  \"gpio\": [],\n"                                                                            \
    "}\n"

static const struct run_case {
    const char *name, *content;
    int status;
    const char *begins[10]; /* of the lines, without the file's name */
} cases[] = {
    { "clean", "{}", 0, { NULL } },
    { "a warning", "{\"access\":{\"anonymous\":false}}", 0, { "1:24: access.anonymous: " } },
    { "access entries that never apply",
      "{\"access\":{\"users_file\":\"users\",\"acl\":[\n"
      "{\"user\":\"s-*\",\"publish\":[\"s/#\"],\"subscribe\":[\"%u/#\"]},\n"
      "{\"user\":\"s-1\",\"publish\":[\"s/+\"],\"subscribe\":[\"%u/a\"]},\n"
      "{\"user\":\"s-1\",\"publish\":[\"s/+\"],\"deny\":[\"%u/a\"]},\n"
      "{\"user\":\"t\",\"publish\":[\"s/+\"]},\n"
      "{\"publish\":[\"s/+\"]},\n"
      "{\"anonymous\":true,\"publish\":[\"s/a\"]},\n"
      "{\"deny\":[\"x/#\"]},\n"
      "{\"user\":\"*\",\"subscribe\":[\"x/a\",\"x\"]}]}}",
      0,
      { "3:1: access.acl[1]: never applies: access.acl[0] ",
        "7:1: access.acl[5]: never applies: access.acl[4] ",
        "9:1: access.acl[7]: never applies: access.acl[6] " } },
    { "a users file with lines that are none",
      "{\"access\":{\n\"users_file\":\"junk\"}}",
      0,
      { "1:11: access.users_file: " } },
    { "certificates that are none",
      "{\"listeners\":[{\"protocol\":\"mqtts\",\n\"tls\":{\"cert\":\"junk\",\"key\":\"junk\"}},\n"
      "{\"protocol\":\"wss\",\"tls\":{\"cert\":\"junk\",\"key\":\"junk\"}}],\n"
      "\"web\":{\"tls\":{\"cert\":\"junk\",\n\"key\":\"junk\"}}}",
      1,
      { "2:7: listeners[0].tls: ", "3:25: listeners[1].tls: ", "4:14: web.tls: " } },
    { "the cloud's: only a warning, they are read again",
      "{\"cloud\":{\"endpoint\":\"x\",\"ca\":\"junk\",\"cert\":\"junk\",\"key\":\"junk\"}}",
      0,
      { "1:10: cloud: " } },
    { "an error", "{\"logs\":{}}", 1, { "1:2: logs: unknown key" } },
    { "ten mistakes, ten lines",
      TEN_MISTAKES,
      1,
      { "2:22: gateway.id: ", "3:21: log.level: ", "4:28: listeners[0].bind: ",
        "5:26: broker.max_qos: ", "6:25: store.max_age: ", "7:12: web.prot: ",
        "9:22: rules[0].sql: expected FROM", "10:27: rules[0].to[0].local: ",
        "11:3: cloud.endpoint: ", "11:30: (file): expected ','" } },
};

/* Runs with standard output in a file; its content goes to out. */
static int run_check(int argc, char **argv, struct sl_buf *out)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/stdout", support_folder()); /* fits */
    (void)fflush(stdout);
    int kept = dup(STDOUT_FILENO), file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(kept >= 0 && file >= 0 && dup2(file, STDOUT_FILENO) >= 0);
    int status = cmd_check(argc, argv);
    (void)fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    (void)close(kept);
    (void)close(file);
    assert_int_equal(sl_file_read(path, 1 << 20, out, NULL), SL_OK);
    return status;
}

static void prints_every_problem(void **state)
{
    const struct run_case *t = *state;
    char path[128], name[] = "check", option[] = "-c";
    struct sl_buf out = { 0 };
    support_write("sluice.json", sl_str(t->content));
    support_write("users", sl_str("# nobody yet\n"));
    support_write("junk", sl_str("no certificate\n"));
    char junk[128];
    (void)snprintf(junk, sizeof junk, "%s/junk", support_folder()); /* fits */
    assert_int_equal(chmod(junk, 0600), 0);
    (void)snprintf(path, sizeof path, "%s/sluice.json", support_folder()); /* fits */
    assert_int_equal(run_check(3, (char *[]){ name, option, path, NULL }, &out), t->status);
    const char *at = sl_buf_cstr(&out);
    for (size_t i = 0; i < SL_ARRAY_LEN(t->begins) && t->begins[i]; i++) {
        if (t->status == 0) {
            assert_int_equal(strncmp(at, "warning: ", 9), 0);
            at += 9;
        }
        assert_int_equal(strncmp(at, path, strlen(path)), 0);
        at += strlen(path) + 1;
        if (strncmp(at, t->begins[i], strlen(t->begins[i])) != 0)
            fail_msg("expected %s..., found %s", t->begins[i], at);
        at = strchr(at, '\n') + 1;
    }
    assert_string_equal(at, ""); /* and not one line more */
    sl_buf_free(&out);
}

/* Where everybody may read the configuration a secret in it is none. */
static void secret_in_an_open_file(void **state)
{
    (void)state;
    char path[128], name[] = "check", option[] = "-c";
    support_write("sluice.json",
                  sl_str("{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\",\"ca\":\"../ca\","
                         "\"username\":\"u\",\n\"password\":\"" SECRET "\"}}"));
    (void)snprintf(path, sizeof path, "%s/sluice.json", support_folder()); /* fits */
    for (int open = 0; open < 2; open++) {
        struct sl_buf out = { 0 };
        assert_int_equal(chmod(path, open ? 0644 : 0640), 0);
        (void)run_check(3, (char *[]){ name, option, path, NULL }, &out);
        assert_int_equal(strstr(sl_buf_cstr(&out), ":2:12: cloud.password: stands in a file that "
                                                   "every user") != NULL,
                         open);
        assert_null(strstr(sl_buf_cstr(&out), SECRET));
        sl_buf_free(&out);
    }
}

/* What, which file, and what to do: no line and no column of a file that was not read. */
static const struct file_case {
    const char *name, *file, *says;
} files[] = {
    { "no such file", "/nonexistent/sluice.json",
      "/nonexistent/sluice.json: there is no such file: name the configuration with -c FILE or in"
      " $SLUICE_CONFIG\n" },
    { "a file below a file", "/dev/null/sluice.json",
      "/dev/null/sluice.json: there is no such file: name the configuration with -c FILE or in"
      " $SLUICE_CONFIG\n" },
    { "a folder", "/usr/",
      "/usr/: is a folder: name the configuration file itself, with -c FILE or"
      " in $SLUICE_CONFIG\n" },
    { "an empty file", "/dev/null",
      "/dev/null:1:1: (file): the file is empty: a configuration is at"
      " least {}, which sets nothing\n" },
};

static void file_not_there(void **state)
{
    const struct file_case *c = *state;
    char name[] = "check", option[128];
    struct sl_buf out = { 0 };
    (void)snprintf(option, sizeof option, "--config=%s", c->file); /* fits */
    assert_int_equal(run_check(2, (char *[]){ name, option, NULL }, &out), 1);
    assert_string_equal(sl_buf_cstr(&out), c->says);
    sl_buf_free(&out);
}

static void only_blanks(void **state)
{
    (void)state;
    char path[128], name[] = "check", option[] = "-c";
    struct sl_buf out = { 0 };
    (void)snprintf(path, sizeof path, "%s/sluice.json", support_folder()); /* fits */
    support_write("sluice.json", sl_str(" \r\n\t\n"));
    assert_int_equal(run_check(3, (char *[]){ name, option, path, NULL }, &out), 1);
    assert_non_null(strstr(sl_buf_cstr(&out), "sluice.json:1:1: (file): the file is empty: "));
    sl_buf_free(&out);
}

static void wrong_usage(void **state)
{
    (void)state;
    char name[] = "check", unknown[] = "--confg", word[] = "file", help[] = "--help";
    struct sl_buf out = { 0 };
    assert_int_equal(run_check(2, (char *[]){ name, unknown, NULL }, &out), 2);
    assert_int_equal(run_check(2, (char *[]){ name, word, NULL }, &out), 2);
    assert_int_equal(out.len, 0);
    assert_int_equal(run_check(2, (char *[]){ name, help, NULL }, &out), 0);
    assert_non_null(strstr(sl_buf_cstr(&out), "usage: sluice check"));
    sl_buf_free(&out);
}

static int tear_down(void **state)
{
    (void)state;
    support_remove();
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + SL_ARRAY_LEN(files) + 3] = {
        cmocka_unit_test(only_blanks), cmocka_unit_test(secret_in_an_open_file),
        cmocka_unit_test(wrong_usage)
    };
    size_t n = 3;
    n += ROWS_OF(tests + n, files, file_not_there);
    n += ROWS_OF(tests + n, cases, prints_every_problem);
    return _cmocka_run_group_tests("sluice check", tests, n, NULL, tear_down);
}
