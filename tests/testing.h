/* testing.h - what tests of any module need: numbers from a seed, commands, folders that go again.
 * Header only; no cmocka, so that fuzz targets and the simulator can have it. */
#ifndef TESTS_TESTING_H
#define TESTS_TESTING_H

#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where a seed leads to; never 0, at which testing_random() would stay. */
static inline uint64_t testing_seed(uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    return state ? state : 1;
}

/* xorshift64: the same numbers in every run. */
static inline uint64_t testing_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Runs a command; its exit status, or -1. */
__attribute__((format(printf, 1, 2))) static inline int testing_shell(const char *fmt, ...)
{
    char command[2048];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    int status = n > 0 && (size_t)n < sizeof command ? system(command) : -1;
    return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A folder of plain files, and the files. False when it is still there. */
static inline bool testing_remove_folder(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        int n = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n > 0 && (size_t)n < sizeof path && strcmp(e->d_name, ".") != 0 &&
            strcmp(e->d_name, "..") != 0)
            (void)unlink(path); /* rmdir() tells what is left */
    }
    if (d)
        (void)closedir(d);
    return rmdir(folder) == 0;
}

#endif
