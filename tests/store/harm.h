/* harm.h - what tests do to a store from outside: spoil its database, fill its disk, kill its
 * process. Shared by the outbox's tests and the state's. */
#ifndef TESTS_STORE_HARM_H
#define TESTS_STORE_HARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Any statement, with a SQLite of the test's own. */
void sql(const char *path, const char *text);
/* `size` times `byte` from offset `at`; makes the file where there is none. */
void write_at(const char *path, off_t at, size_t size, uint8_t byte);

/* Ways to spoil any database. */
void make_empty(const char *path);
void make_noise(const char *path);
void make_header_and_noise(const char *path);
void make_short(const char *path);
void make_foreign(const char *path);

/* A file system of its own over the folder: `options` as "size=4m". False, and said, where the
 * machine does not let us; umount() before the folder is removed. */
bool mount_small(const char *folder, const char *options);
/* Writes FOLDER/junk until there is no room. */
void fill_up(const char *folder);

/* Forks; the child calls run(), which never returns, and is killed within 40 ms. Gives the end to
 * read of the pipe whose other end run() had; close it. */
int killed_child(void (*run)(void *ctx, int pipe), void *ctx);

#endif
