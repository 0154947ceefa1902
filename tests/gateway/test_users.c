/* test_users.c - the users file: what is taken, what is told, and that edits change one line only.
 */
#include "base/crypto.h"
#include "base/file.h"
#include "users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* "correct horse" and "old scheme", made by mosquitto_passwd 2.0.11. */
#define HORSE                                                                                      \
    "$7$101$BqzFMO0UHwkdu87f$dKjH+OUGW5aavSjpExNst3pXLqHQDsP+zHX3K/EFvDAjVIHbp4MGG2Z7OvQQqFUx6x/"  \
    "oFCCVL3tPzesy9yi/iQ=="
#define OLD                                                                                        \
    "$6$SLCQRo8RcIHYfFbw$R3qq7j99lmAdOD2+Duigu7W8lSn+OcpTXUXXgV5mYjA9EiCbdMKs90tbhfWYij1VFDZ+hOj1" \
    "qY8Q6Dd2wBaktQ=="

static char folder[] = "/tmp/sluice-users-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put_file(const char *path, struct sl_slice content)
{
    struct sl_err err;
    if (sl_file_replace(path, content, 0644, &err) != SL_OK)
        fail_msg("%s", err.text);
}

static void assert_file(const char *path, const char *content)
{
    struct sl_buf got = { 0 };
    struct sl_err err;
    assert_int_equal(sl_file_read(path, 100000, &got, &err), SL_OK);
    assert_string_equal(sl_buf_cstr(&got), content);
    sl_buf_free(&got);
}

/* ---- reading ---- */

struct told {
    char text[512]; /* "LINE LINE ..." */
    char last[160];
};

static void on_bad_line(void *ctx, const char *path, unsigned line, const char *text)
{
    struct told *told = ctx;
    size_t used = strlen(told->text);
    assert_non_null(strstr(path, "users"));
    (void)snprintf(told->text + used, sizeof told->text - used, "%u ", line);
    (void)snprintf(told->last, sizeof told->last, "%s", text);
}

static const struct read_row {
    const char *name, *content;
    size_t len; /* 0: strlen */
    const char *names, *bad, *says;
} reads[] = {
    { "empty file", "", 0, "", "", NULL },
    { "one", "alice:" HORSE "\n", 0, "alice ", "", NULL },
    { "both schemes", "alice:" HORSE "\ncarol:" OLD "\n", 0, "alice carol ", "", NULL },
    { "no newline at the end", "alice:" HORSE, 0, "alice ", "", NULL },
    { "carriage returns", "alice:" HORSE "\r\n\r\ncarol:" OLD "\r\n", 0, "alice carol ", "", NULL },
    { "comments and gaps", "# who\n\n \nalice:" HORSE " \n#end", 0, "alice ", "", NULL },
    { "names as they come", "a b@c/d:" HORSE "\nj\xc3\xbcrg:" HORSE "\n", 0, "a b@c/d j\xc3\xbcrg ",
      "", NULL },
    { "plain text", "bob:secret\nalice:" HORSE "\n", 0, "alice ", "1 ", "not hashed" },
    { "no colon", "alice:" HORSE "\n\nbob\n", 0, "alice ", "3 ", "no ':'" },
    { "no name", ":" HORSE "\n", 0, "", "1 ", "name" },
    { "no hash", "alice:\n", 0, "", "1 ", "no password hash" },
    { "unknown scheme", "alice:$5$x$y\n", 0, "", "1 ", "unknown kind" },
    { "damaged hash", "alice:$7$101$BqzFMO0UHwkdu87f$dKjH\n", 0, "", "1 ", "damaged" },
    { "two colons", "alice:x:" HORSE "\n", 0, "", "1 ", "not hashed" },
    { "control character in the name", "al\tice:" HORSE "\n", 0, "", "1 ", "control" },
    { "nul in the name", "al\0ice:" HORSE "\n", sizeof "al\0ice:" HORSE, "", "1 ", "name" },
    { "not utf-8", "al\xff:" HORSE "\n", 0, "", "1 ", "UTF-8" },
    { "twice", "alice:" HORSE "\nbob:" HORSE "\nalice:" OLD "\n", 0, "alice bob ", "3 ",
      "line 1, which counts" },
    { "noise",
      "\x7f"
      "ELF\0\0\n\n::::\n$7$\n\n",
      16, "", "1 3 4 ", NULL },
};

static void read_file(void **state)
{
    const struct read_row *row = *state;
    struct users *users = NULL;
    struct told told = { "", "" };
    struct sl_err err;
    char names[256] = "";
    size_t len = row->len ? row->len : strlen(row->content);
    put_file(path_of("users"), sl_bytes(row->content, len));
    if (users_load(&users, path_of("users"), on_bad_line, &told, &err) != SL_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < users_count(users); i++) {
        size_t used = strlen(names);
        assert_true(users_has(users, users_name(users, i)));
        (void)snprintf(names + used, sizeof names - used, "%.*s ", SL_FMT(users_name(users, i)));
    }
    assert_string_equal(names, row->names);
    assert_string_equal(told.text, row->bad);
    if (row->says)
        assert_non_null(strstr(told.last, row->says));
    assert_null(strstr(told.last, "secret"));
    users_free(users);
}

static void verifies(void **state)
{
    (void)state;
    struct users *users = NULL;
    struct sl_err err;
    put_file(path_of("users"), sl_str("alice:" HORSE "\ncarol:" OLD "\nalice:" OLD "\n"));
    assert_int_equal(users_load(&users, path_of("users"), NULL, NULL, &err), SL_OK);
    assert_true(users_verify(users, sl_str("alice"), sl_str("correct horse")));
    assert_true(users_verify(users, sl_str("carol"), sl_str("old scheme")));
    assert_false(users_verify(users, sl_str("alice"), sl_str("old scheme")));
    assert_false(users_verify(users, sl_str("carol"), sl_str("correct horse")));
    assert_false(users_verify(users, sl_str("Alice"), sl_str("correct horse")));
    assert_false(users_verify(users, sl_str("alic"), sl_str("correct horse")));
    assert_false(users_verify(users, sl_str(""), sl_str("")));
    assert_false(users_verify(users, sl_bytes("alice\0", 6), sl_str("correct horse")));
    users_free(users);
    users_free(NULL);
}

static void decoy_is_as_slow_as_the_rest(void **state)
{
    (void)state;
    struct users *users = NULL;
    struct sl_err err;
    put_file(path_of("users"), sl_str("alice:" HORSE "\n"));
    assert_int_equal(users_load(&users, path_of("users"), NULL, NULL, &err), SL_OK);
    struct sl_slice decoy = users_hash(users, sl_str("nobody"));
    assert_true(password_hash_valid(decoy)); /* else it would be refused without any work */
    assert_true(sl_slice_starts(decoy, sl_str("$7$101$")));
    assert_false(sl_slice_eq(decoy, sl_str(HORSE)));
    assert_true(sl_slice_eq(users_hash(users, sl_str("alice")), sl_str(HORSE)));
    users_free(users);
    assert_int_equal(users_new_empty(&users, &err), SL_OK);
    assert_int_equal(users_count(users), 0);
    decoy = users_hash(users, sl_str("nobody"));
    assert_true(password_hash_valid(decoy));
    assert_true(sl_slice_starts(decoy, sl_str("$7$10000$")));
    assert_false(users_verify(users, sl_str("nobody"), sl_str("")));
    users_free(users);
}

static void load_refusals(void **state)
{
    (void)state;
    struct users *users = NULL;
    struct sl_err err;
    assert_int_equal(users_load(&users, path_of("absent"), NULL, NULL, &err), SL_NOTFOUND);
    assert_int_equal(users_load(&users, folder, NULL, NULL, &err), SL_IO);
    FILE *large = fopen(path_of("large"), "w");
    assert_non_null(large);
    assert_int_equal(ftruncate(fileno(large), (off_t)USERS_FILE_MAX + 1), 0);
    assert_int_equal(fclose(large), 0);
    assert_int_equal(users_load(&users, path_of("large"), NULL, NULL, &err), SL_LIMIT);
    assert_null(users);
    assert_int_equal(unlink(path_of("large")), 0);
}

static void many_users(void **state)
{
    (void)state;
    struct sl_buf text = { 0 };
    struct users *users = NULL;
    struct sl_err err;
    for (int i = 0; i < 3000; i++)
        sl_buf_printf(&text, "sensor-%d:%s\n", i, i % 2 ? HORSE : OLD);
    put_file(path_of("users"), sl_buf_slice(&text));
    sl_buf_free(&text);
    assert_int_equal(users_load(&users, path_of("users"), NULL, NULL, &err), SL_OK);
    assert_int_equal(users_count(users), 3000);
    assert_true(sl_slice_eq(users_hash(users, sl_str("sensor-2999")), sl_str(HORSE)));
    assert_true(sl_slice_eq(users_hash(users, sl_str("sensor-0")), sl_str(OLD)));
    assert_false(users_has(users, sl_str("sensor-3000")));
    users_free(users);
}

/* ---- editing ---- */

#define OTHERS "# mine\r\n\nbob:plain text\nz:" OLD

static void removes_one_line(void **state)
{
    (void)state;
    const char *path = path_of("users");
    struct sl_err err;
    put_file(path, sl_str("alice:" HORSE "\n" OTHERS));
    assert_int_equal(users_remove(path, sl_str("alice"), &err), SL_OK);
    assert_file(path, OTHERS);
    assert_int_equal(users_remove(path, sl_str("alice"), &err), SL_NOTFOUND);
    assert_non_null(strstr(err.text, "no user \"alice\""));
    assert_int_equal(users_remove(path, sl_str("# mine"), &err), SL_INVALID);
    assert_file(path, OTHERS);
    assert_int_equal(users_remove(path, sl_str("z"), &err), SL_OK);
    assert_file(path, "# mine\r\n\nbob:plain text\n");
    assert_int_equal(users_remove(path_of("absent"), sl_str("z"), &err), SL_NOTFOUND);
    assert_int_not_equal(access(path_of("absent"), F_OK), 0);
}

static void sets_one_line(void **state)
{
    (void)state;
    const char *path = path_of("users");
    struct sl_err err;
    struct sl_buf text = { 0 };
    struct users *users = NULL;
    bool is_new = false;
    put_file(path, sl_str("alice:" HORSE "\n" OTHERS "\nalice:" OLD "\n"));
    assert_int_equal(users_set(path, sl_str("alice"), sl_str("new"), &is_new, &err), SL_OK);
    assert_false(is_new);
    assert_int_equal(sl_file_read(path, 10000, &text, &err), SL_OK);
    assert_true(sl_slice_starts(sl_buf_slice(&text), sl_str("alice:$7$10000$")));
    assert_string_equal(strchr(sl_buf_cstr(&text), '\n') + 1, OTHERS "\n"); /* the second is gone */
    sl_buf_free(&text);
    assert_int_equal(users_set(path, sl_str("bob"), sl_str("b"), &is_new, &err), SL_OK);
    assert_false(is_new); /* the bad line was his */
    assert_int_equal(users_load(&users, path, NULL, NULL, &err), SL_OK);
    assert_int_equal(users_count(users), 3);
    assert_true(users_verify(users, sl_str("alice"), sl_str("new")));
    assert_true(users_verify(users, sl_str("bob"), sl_str("b")));
    assert_true(users_verify(users, sl_str("z"), sl_str("old scheme")));
    users_free(users);
}

static void makes_and_appends(void **state)
{
    (void)state;
    const char *path = path_of("users");
    struct sl_err err;
    struct users *users = NULL;
    struct stat st;
    bool is_new = false;
    (void)unlink(path);
    assert_int_equal(users_set(path, sl_str("j\xc3\xbcrg"), sl_str("a\tb"), &is_new, &err), SL_OK);
    assert_true(is_new);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    put_file(path, sl_str("# no newline"));
    assert_int_equal(users_set(path, sl_str("x"), sl_str("1"), &is_new, &err), SL_OK);
    assert_true(is_new);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600); /* also where it was more open before */
    assert_int_equal(users_load(&users, path, NULL, NULL, &err), SL_OK);
    assert_true(users_verify(users, sl_str("x"), sl_str("1")));
    users_free(users);
}

/* Who may read it afterwards: its owner, and a group that was chosen. Not everyone. */
static const struct mode_case {
    const char *name;
    mode_t before, umask, after;
} mode_cases[] = {
    { "a group goes on reading", 0640, 022, 0640 },
    { "whatever the umask", 0640, 077, 0640 },
    { "a group does not write", 0660, 0, 0640 },
    { "what everyone could read is the owner's", 0644, 022, 0600 },
    { "a secret stays one", 0600, 0, 0600 },
    { "a file that could only be read can be written", 0400, 0, 0600 },
};

static void keeps_modes(void **state)
{
    const struct mode_case *c = *state;
    const char *path = path_of("users");
    struct sl_err err;
    struct stat st;
    bool is_new;
    put_file(path, sl_str("alice:" HORSE "\n"));
    assert_int_equal(chmod(path, c->before), 0);
    mode_t mask = umask(c->umask);
    enum sl_code set = users_set(path, sl_str("x"), sl_str("1"), &is_new, &err);
    enum sl_code removed = users_remove(path, sl_str("alice"), &err);
    (void)umask(mask);
    assert_int_equal(set, SL_OK);
    assert_int_equal(removed, SL_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, c->after);
    assert_int_equal(unlink(path), 0);
}

static void keeps_a_link(void **state)
{
    (void)state;
    char link_path[128];
    struct sl_err err;
    struct stat st;
    bool is_new;
    (void)snprintf(link_path, sizeof link_path, "%s", path_of("link"));
    put_file(path_of("real-users"), sl_str("alice:" HORSE "\n"));
    assert_int_equal(symlink("real-users", link_path), 0);
    assert_int_equal(users_set(link_path, sl_str("x"), sl_str("1"), &is_new, &err), SL_OK);
    assert_int_equal(lstat(link_path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(users_remove(path_of("real-users"), sl_str("x"), &err), SL_OK);
    assert_file(link_path, "alice:" HORSE "\n");
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = { "a", "sensor-1", "a b", "j\xc3\xbcrg", "$SYS", "-c" };
    static const char *const bad[] = { "", "a:b", ":", "a\nb", "\x7f", "\x1b[2J", "#a", "\xff" };
    char longest[USERS_NAME_MAX + 2];
    struct sl_err err;
    bool is_new;
    for (size_t i = 0; i < SL_ARRAY_LEN(good); i++)
        assert_int_equal(users_check_name(sl_str(good[i]), &err), SL_OK);
    for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
        assert_int_equal(users_check_name(sl_str(bad[i]), &err), SL_INVALID);
        assert_int_equal(users_set(path_of("new"), sl_str(bad[i]), sl_str("x"), &is_new, &err),
                         SL_INVALID);
    }
    assert_int_not_equal(access(path_of("new"), F_OK), 0);
    memset(longest, 'a', sizeof longest);
    assert_int_equal(users_check_name(sl_bytes(longest, USERS_NAME_MAX), &err), SL_OK);
    assert_int_equal(users_check_name(sl_bytes(longest, USERS_NAME_MAX + 1), &err), SL_INVALID);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const files[] = { "users", "link", "real-users" };
    for (size_t i = 0; i < SL_ARRAY_LEN(files); i++)
        (void)unlink(path_of(files[i]));
    return rmdir(folder);
}

int main(void)
{
    static const struct CMUnitTest plain[] = {
        cmocka_unit_test(verifies),
        cmocka_unit_test(decoy_is_as_slow_as_the_rest),
        cmocka_unit_test(load_refusals),
        cmocka_unit_test(many_users),
        cmocka_unit_test(removes_one_line),
        cmocka_unit_test(sets_one_line),
        cmocka_unit_test(makes_and_appends),
        cmocka_unit_test(keeps_a_link),
        cmocka_unit_test(names),
    };
    enum { ROWS = SL_ARRAY_LEN(reads), MODES = SL_ARRAY_LEN(mode_cases) };
    static struct CMUnitTest tests[ROWS + MODES + SL_ARRAY_LEN(plain)];
    for (size_t i = 0; i < MODES; i++)
        tests[ROWS + i] = (struct CMUnitTest){ .name = mode_cases[i].name,
                                               .test_func = keeps_modes,
                                               .initial_state = (void *)(uintptr_t)&mode_cases[i] };
    for (size_t i = 0; i < ROWS; i++)
        tests[i] = (struct CMUnitTest){ .name = reads[i].name,
                                        .test_func = read_file,
                                        .initial_state = (void *)(uintptr_t)&reads[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[ROWS + MODES + i] = plain[i];
    return cmocka_run_group_tests_name("users", tests, make_folder, remove_folder);
}
