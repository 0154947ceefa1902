/* test_file.c - whole small files: bounds, replacement that leaves old or new, folders. */
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A folder of its own for each test, removed with what the test may have left in it. */
struct folder {
    char path[64];
};

static const char *const leftovers[] = { "f", "f.new", "a/b/c", "a/b", "a" };

static int folder_make(void **state)
{
    struct folder *d = calloc(1, sizeof *d);
    if (!d)
        return -1;
    (void)snprintf(d->path, sizeof d->path, "/tmp/sluice-test-file-XXXXXX");
    *state = d;
    return mkdtemp(d->path) ? 0 : -1;
}

static const char *in(const struct folder *d, const char *name, char *out, size_t size)
{
    assert_true(snprintf(out, size, "%s/%s", d->path, name) < (int)size);
    return out;
}
#define IN(name) in(d, name, (char[128]){ 0 }, 128)

static int folder_remove(void **state)
{
    struct folder *d = *state;
    for (size_t i = 0; i < SL_ARRAY_LEN(leftovers); i++)
        (void)remove(IN(leftovers[i])); /* most are not there */
    int rc = rmdir(d->path);
    free(d);
    return rc;
}

static void assert_content(const char *path, const char *want)
{
    struct sl_buf b = { 0 };
    assert_int_equal(sl_file_read(path, 1000, &b, NULL), SL_OK);
    assert_string_equal(sl_buf_cstr(&b), want);
    sl_buf_free(&b);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void replaces(void **state)
{
    struct folder *d = *state;
    struct sl_err err = { 0 };
    const char *path = IN("f");
    assert_int_equal(sl_file_replace(path, sl_str("old"), 0600, &err), SL_OK);
    assert_content(path, "old");
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(sl_file_replace(path, sl_str(""), 0600, &err), SL_OK);
    assert_content(path, "");
    assert_int_equal(sl_file_replace(path, sl_str("new"), 0640, &err), SL_OK);
    assert_content(path, "new");
    assert_int_equal(mode_of(path), 0640);
    assert_int_not_equal(access(IN("f.new"), F_OK), 0); /* nothing beside it */
}

/* A crash left the neighbour behind: it is no obstacle, and its mode does not come through. */
static void leftover_neighbour(void **state)
{
    struct folder *d = *state;
    FILE *f = fopen(IN("f.new"), "w");
    assert_non_null(f);
    assert_true(fputs("half a fi", f) >= 0 && fclose(f) == 0);
    assert_int_equal(chmod(IN("f.new"), 0644), 0);
    assert_int_equal(sl_file_replace(IN("f"), sl_str("whole"), 0600, NULL), SL_OK);
    assert_content(IN("f"), "whole");
    assert_int_equal(mode_of(IN("f")), 0600);
}

/* A planted link must not be written through. */
static void link_in_the_way(void **state)
{
    struct folder *d = *state;
    assert_int_equal(sl_file_replace(IN("a"), sl_str("victim"), 0600, NULL), SL_OK);
    assert_int_equal(symlink(IN("a"), IN("f.new")), 0);
    assert_int_equal(sl_file_replace(IN("f"), sl_str("text"), 0600, NULL), SL_OK);
    assert_content(IN("a"), "victim");
    assert_content(IN("f"), "text");
}

static void failed_replacement_keeps_the_old(void **state)
{
    struct folder *d = *state;
    struct sl_err err = { 0 };
    assert_int_equal(sl_file_replace(IN("a/f"), sl_str("x"), 0600, &err), SL_IO);
    assert_non_null(strstr(err.text, "a/f"));
    assert_int_equal(mkdir(IN("a"), 0700), 0); /* a folder where the file should go */
    assert_int_equal(sl_file_replace(IN("a"), sl_str("x"), 0600, &err), SL_IO);
    assert_int_not_equal(access(IN("a.new"), F_OK), 0);
    char longer[5000];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(sl_file_replace(longer, sl_str("x"), 0600, &err), SL_INVALID);
}

static void reads_within_its_bound(void **state)
{
    struct folder *d = *state;
    struct sl_err err = { 0 };
    struct sl_buf b = { 0 };
    uint8_t content[9000];
    memset(content, 'c', sizeof content);
    assert_int_equal(sl_file_replace(IN("f"), sl_bytes(content, sizeof content), 0600, NULL),
                     SL_OK);
    assert_int_equal(sl_file_read(IN("f"), sizeof content - 1, &b, &err), SL_LIMIT);
    sl_buf_reset(&b);
    sl_buf_put_str(&b, "head:");
    assert_int_equal(sl_file_read(IN("f"), sizeof content, &b, &err), SL_OK);
    assert_int_equal(b.len, 5 + sizeof content);
    assert_memory_equal(b.ptr, "head:c", 6);
    assert_int_equal(sl_file_read(IN("none"), 10, &b, &err), SL_NOTFOUND);
    assert_non_null(strstr(err.text, "none"));
    assert_int_equal(sl_file_read(d->path, 10, &b, &err), SL_IO); /* a folder */
    sl_buf_free(&b);
}

static void makes_folders(void **state)
{
    struct folder *d = *state;
    struct sl_err err = { 0 };
    struct stat st;
    assert_int_equal(sl_make_dirs(IN("a/b/c"), 0700, &err), SL_OK);
    assert_true(stat(IN("a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
    assert_int_equal(mode_of(IN("a/b")), 0700);
    assert_int_equal(sl_make_dirs(IN("a/b/c"), 0700, &err), SL_OK); /* again */
    assert_int_equal(sl_make_dirs(IN("a/b/c/"), 0700, &err), SL_OK);
    assert_int_equal(sl_file_replace(IN("f"), sl_str("x"), 0600, NULL), SL_OK);
    assert_int_equal(sl_make_dirs(IN("f/g"), 0700, &err), SL_IO); /* through a file */
    assert_int_equal(sl_make_dirs(IN("f"), 0700, &err), SL_IO);   /* a file is no folder */
    assert_int_equal(sl_make_dirs("", 0700, &err), SL_INVALID);
    assert_int_equal(sl_make_dirs("/", 0700, &err), SL_OK);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(replaces),
        TEST(leftover_neighbour),
        TEST(link_in_the_way),
        TEST(failed_replacement_keeps_the_old),
        TEST(reads_within_its_bound),
        TEST(makes_folders),
    };
    (void)umask(0); /* modes as asked for */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
