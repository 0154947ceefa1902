/* harm.c - see harm.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *error = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", text, error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

void write_at(const char *path, off_t at, size_t size, uint8_t byte)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    uint8_t *noise = malloc(size);
    assert_non_null(noise);
    memset(noise, byte, size);
    assert_int_equal(pwrite(fd, noise, size, at), (ssize_t)size);
    free(noise);
    assert_int_equal(close(fd), 0);
}

void make_empty(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
}

void make_noise(const char *path)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    uint32_t x = 1;
    for (int i = 0; i < 20000; i++) {
        x = x * 1664525u + 1013904223u;
        assert_int_not_equal(fputc((int)(x >> 24), f), EOF);
    }
    assert_int_equal(fclose(f), 0);
}

void make_header_and_noise(const char *path)
{
    write_at(path, 100, 3996, 0x5a);
}

void make_short(const char *path)
{
    assert_int_equal(truncate(path, 50), 0);
}

void make_foreign(const char *path)
{
    sql(path, "PRAGMA application_id=7");
}

bool mount_small(const char *folder, const char *options)
{
    if (mount("tmpfs", folder, "tmpfs", 0, options) == 0)
        return true;
    print_message("no tmpfs here (%s): left out\n", strerror(errno));
    return false;
}

void fill_up(const char *folder)
{
    static const char block[4096];
    char path[128];
    (void)snprintf(path, sizeof path, "%s/junk", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0) {
        /* until there is no room */
    }
    assert_int_equal(close(fd), 0);
}

int killed_child(void (*run)(void *ctx, int pipe), void *ctx)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        run(ctx, ends[1]);
    (void)close(ends[1]);
    (void)usleep((useconds_t)(rand() % 40000)); /* the moment is what is tested */
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return ends[0];
}
