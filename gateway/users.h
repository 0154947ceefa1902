/* users.h - the users file, in the format of mosquitto_passwd: one NAME:HASH a line.
 *
 * Blocking file work, no MQTT. A struct users is one reading of the file and never changes: to
 * reload, read again and free the old one. Lines starting with '#' and empty lines are comments. */
#ifndef GATEWAY_USERS_H
#define GATEWAY_USERS_H

#include "base/err.h"
#include "base/slice.h"

#define USERS_FILE_MAX ((size_t)16 * 1024 * 1024)
#define USERS_NAME_MAX 1000 /* bytes */

struct users; /* opaque */

/* A line that is not taken: what is wrong with it. Never holds the line's content, which may be a
 * password. */
typedef void users_bad_line_fn(void *ctx, const char *path, unsigned line, const char *text);

/* Bad lines are told to on_bad (NULL: nobody) and left out. SL_NOTFOUND when there is no file,
 * SL_LIMIT above USERS_FILE_MAX, SL_IO, SL_NOMEM. */
SL_NODISCARD enum sl_code users_load(struct users **ret, const char *path,
                                     users_bad_line_fn *on_bad, void *ctx, struct sl_err *err);
/* For a users file that is not there yet: nobody can log in. */
SL_NODISCARD enum sl_code users_new_empty(struct users **ret, struct sl_err *err);
void users_free(struct users *u); /* accepts NULL */

/* Lines that were taken. */
size_t users_count(const struct users *u);
/* In the file's order; i < users_count(). */
struct sl_slice users_name(const struct users *u, size_t i);
bool users_has(const struct users *u, struct sl_slice name);

/* The hash to hand to password_verify(), on another thread say; it lives as long as u. For unknown
 * names a decoy, equally slow to check, that no password is known to fit: the time taken must not
 * tell which names exist. Never empty. */
struct sl_slice users_hash(const struct users *u, struct sl_slice name);
/* Both steps at once. Slow by intent. */
bool users_verify(const struct users *u, struct sl_slice name, struct sl_slice password);

/* Not empty, at most USERS_NAME_MAX bytes of UTF-8, no ':', no control characters, not beginning
 * with '#'. */
SL_NODISCARD enum sl_code users_check_name(struct sl_slice name, struct sl_err *err);

/* Edit the file: the user's line is replaced or appended, every other byte stays. Written so that a
 * power cut leaves the old file or the new one; mode 0600, owner and a group's reading kept. users_set() makes the file
 * when there is none and says in *ret_new whether the user is new; users_remove() gives SL_NOTFOUND
 * when there is no such user. */
SL_NODISCARD enum sl_code users_set(const char *path, struct sl_slice name,
                                    struct sl_slice password, bool *ret_new, struct sl_err *err);
SL_NODISCARD enum sl_code users_remove(const char *path, struct sl_slice name, struct sl_err *err);

#endif
