/* users.c - reading and editing the users file. */
#include "users.h"

#include "base/crypto.h"
#include "base/file.h"
#include "base/map.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Used while the file has no hash to copy the form of: as slow as the hashes that we make. */
#define DECOY_START   "$7$10000$AAAAAAAAAAAAAAAA$"
#define HASH_TEXT_LEN 88 /* 64 bytes in base64 */

struct user {
    struct sl_slice name, hash; /* in users.text */
    unsigned line;
};

struct users {
    struct sl_buf text; /* the file, as read */
    struct user *list;
    size_t count, cap;
    struct sl_map by_name;
    struct sl_buf decoy;
};

static struct sl_slice name_of(const void *value)
{
    return ((const struct user *)value)->name;
}

/* ---- lines ---- */

/* The next line with its end; false when there is none. */
static bool next_line(struct sl_cursor *c, struct sl_slice *ret)
{
    if (c->left == 0)
        return false;
    const uint8_t *newline = memchr(c->at, '\n', c->left);
    return sl_take(c, newline ? (size_t)(newline - c->at) + 1 : c->left, ret);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Without "\n", "\r\n" and blanks at the end. */
static struct sl_slice trimmed(struct sl_slice line)
{
    while (line.len > 0 && is_blank(line.ptr[line.len - 1]))
        line.len--;
    return line;
}

/* What stands before the ':'; the whole line without one. */
static struct sl_slice line_name(struct sl_slice line)
{
    const uint8_t *colon = line.len > 0 ? memchr(line.ptr, ':', line.len) : NULL;
    return (struct sl_slice){ line.ptr, colon ? (size_t)(colon - line.ptr) : line.len };
}

static bool is_comment(struct sl_slice line)
{
    return line.len == 0 || line.ptr[0] == '#';
}

/* Splits a line that is no comment. NULL, or what is wrong with it. */
static const char *split_line(struct sl_slice line, struct user *ret)
{
    ret->name = line_name(line);
    if (ret->name.len == line.len)
        return "no ':' between name and hash";
    ret->hash = sl_bytes(line.ptr + ret->name.len + 1, line.len - ret->name.len - 1);
    struct sl_err err;
    if (users_check_name(ret->name, &err) != SL_OK)
        return "the name is empty, too long, not UTF-8 or has control characters";
    if (ret->hash.len == 0)
        return "no password hash behind the ':'";
    if (ret->hash.ptr[0] != '$')
        return "the password is not hashed (\"mosquitto_passwd -U FILE\" does that)";
    if (!password_hash_valid(ret->hash))
        return "the password hash is damaged or of an unknown kind ($7$ and $6$ are known)";
    return NULL;
}

enum sl_code users_check_name(struct sl_slice name, struct sl_err *err)
{
    if (name.len == 0)
        return sl_fail(err, SL_INVALID, "the user name is empty");
    if (name.len > USERS_NAME_MAX)
        return sl_fail(err, SL_INVALID, "the user name is longer than %d bytes", USERS_NAME_MAX);
    if (!sl_utf8_valid(name))
        return sl_fail(err, SL_INVALID, "the user name is not UTF-8");
    if (name.ptr[0] == '#')
        return sl_fail(err, SL_INVALID, "the user name begins with '#', which makes a comment");
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == ':')
            return sl_fail(err, SL_INVALID, "the user name holds a ':', which ends names");
        if (name.ptr[i] < ' ' || name.ptr[i] == 0x7f)
            return sl_fail(err, SL_INVALID, "the user name holds a control character");
    }
    return SL_OK;
}

/* ---- reading ---- */

static bool append(struct users *u, const struct user *user)
{
    if (u->count == u->cap) {
        size_t cap = u->cap ? u->cap * 2 : 16; /* bounded by the file's lines */
        struct user *larger = reallocarray(u->list, cap, sizeof *larger);
        if (!larger)
            return false;
        u->list = larger;
        u->cap = cap;
    }
    u->list[u->count++] = *user;
    return true;
}

struct reading {
    const char *path;
    users_bad_line_fn *on_bad;
    void *ctx;
};

static void tell(const struct reading *r, unsigned line, const char *text)
{
    if (r->on_bad)
        r->on_bad(r->ctx, r->path, line, text);
}

static bool read_lines(struct users *u, const struct reading *r)
{
    struct sl_cursor at = sl_cursor(sl_buf_slice(&u->text));
    struct sl_slice line;
    for (unsigned number = 1; next_line(&at, &line); number++) {
        line = trimmed(line);
        if (is_comment(line))
            continue;
        struct user user = { .line = number };
        const char *wrong = split_line(line, &user);
        if (wrong)
            tell(r, number, wrong);
        else if (!append(u, &user))
            return false;
    }
    return true;
}

/* Once the list has its final place in memory. Of two lines with one name the first counts. */
static bool index_names(struct users *u, const struct reading *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < u->count; i++) {
        const struct user *first = sl_map_get(&u->by_name, name_of, u->list[i].name);
        if (first) {
            char text[80];
            (void)snprintf(text, sizeof text, "the same name stands in line %u, which counts",
                           first->line);
            tell(r, u->list[i].line, text);
            continue;
        }
        u->list[kept] = u->list[i];
        if (!sl_map_put(&u->by_name, name_of, &u->list[kept]))
            return false;
        kept++;
    }
    u->count = kept;
    return true;
}

/* The first user's scheme, rounds and salt, with a hash of zeros. */
static bool make_decoy(struct users *u)
{
    struct sl_slice start = sl_str(DECOY_START);
    if (u->count > 0) {
        start = u->list[0].hash;
        start.len -= HASH_TEXT_LEN; /* every valid hash ends in them */
    }
    sl_buf_put_slice(&u->decoy, start);
    for (int i = 0; i < HASH_TEXT_LEN - 2; i++)
        sl_buf_put_u8(&u->decoy, 'A');
    sl_buf_put_str(&u->decoy, "==");
    return !u->decoy.failed;
}

enum sl_code users_new_empty(struct users **ret, struct sl_err *err)
{
    struct users *u = calloc(1, sizeof *u);
    if (!u || !make_decoy(u)) {
        users_free(u);
        return sl_fail(err, SL_NOMEM, "out of memory");
    }
    *ret = u;
    return SL_OK;
}

enum sl_code users_load(struct users **ret, const char *path, users_bad_line_fn *on_bad, void *ctx,
                        struct sl_err *err)
{
    const struct reading reading = { path, on_bad, ctx };
    struct users *u = calloc(1, sizeof *u);
    if (!u)
        return sl_fail(err, SL_NOMEM, "out of memory");
    enum sl_code rc = sl_file_read(path, USERS_FILE_MAX, &u->text, err);
    if (rc == SL_OK && (!read_lines(u, &reading) || !index_names(u, &reading) || !make_decoy(u)))
        rc = sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    if (rc == SL_OK)
        *ret = u;
    else
        users_free(u);
    return rc;
}

void users_free(struct users *u)
{
    if (!u)
        return;
    sl_map_free(&u->by_name);
    free(u->list);
    sl_buf_free(&u->text);
    sl_buf_free(&u->decoy);
    free(u);
}

size_t users_count(const struct users *u)
{
    return u->count;
}

struct sl_slice users_name(const struct users *u, size_t i)
{
    return u->list[i].name;
}

bool users_has(const struct users *u, struct sl_slice name)
{
    return sl_map_get(&u->by_name, name_of, name) != NULL;
}

struct sl_slice users_hash(const struct users *u, struct sl_slice name)
{
    const struct user *user = sl_map_get(&u->by_name, name_of, name);
    return user ? user->hash : sl_buf_slice(&u->decoy);
}

bool users_verify(const struct users *u, struct sl_slice name, struct sl_slice password)
{
    bool fits = password_verify(password, users_hash(u, name));
    return fits && users_has(u, name); /* somebody may find what fits the decoy */
}

/* ---- editing ---- */

/* A symbolic link stays one: the file behind it is replaced. False when there is no file yet. */
static bool resolve(const char *path, char out[PATH_MAX])
{
    if (realpath(path, out))
        return true;
    (void)snprintf(out, PATH_MAX, "%s", path); /* too long a path fails at the next step */
    return false;
}

/* Copies the file with the first line of this name replaced (hash NULL: removed), and further lines
 * of the name, which never counted, left out. True when there was one. */
static bool copy_lines(struct sl_slice text, struct sl_slice name, const struct sl_buf *hash,
                       struct sl_buf *out)
{
    struct sl_cursor at = sl_cursor(text);
    struct sl_slice line;
    bool found = false;
    while (next_line(&at, &line)) {
        struct sl_slice content = trimmed(line);
        if (is_comment(content) || !sl_slice_eq(line_name(content), name)) {
            sl_buf_put_slice(out, line);
            continue;
        }
        if (!found && hash) {
            sl_buf_put_slice(out, name);
            sl_buf_printf(out, ":%.*s\n", SL_FMT(sl_buf_slice(hash)));
        }
        found = true;
    }
    return found;
}

static void append_user(struct sl_buf *out, struct sl_slice name, const struct sl_buf *hash)
{
    if (out->len > 0 && out->ptr[out->len - 1] != '\n')
        sl_buf_put_u8(out, '\n');
    sl_buf_put_slice(out, name);
    sl_buf_printf(out, ":%.*s\n", SL_FMT(sl_buf_slice(hash)));
}

/* A group that was chosen to read it (0640, root:sluice) goes on reading. Where everyone could, as
 * mosquitto_passwd leaves it, nobody has chosen anything. */
static mode_t mode_for(const char *path)
{
    struct stat old;
    bool chosen = stat(path, &old) == 0 && (old.st_mode & S_IROTH) == 0;
    return S_IRUSR | S_IWUSR | (chosen ? old.st_mode & S_IRGRP : 0);
}

static enum sl_code replace(const char *path, const struct sl_buf *content, struct sl_err *err)
{
    if (content->failed)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    if (content->len > USERS_FILE_MAX)
        return sl_fail(err, SL_LIMIT, "%s: would be larger than %zu bytes", path, USERS_FILE_MAX);
    return sl_file_replace(path, sl_buf_slice(content), mode_for(path), err);
}

enum sl_code users_set(const char *path, struct sl_slice name, struct sl_slice password,
                       bool *ret_new, struct sl_err *err)
{
    SL_CLEANUP(sl_buf_free) struct sl_buf old = { 0 }, hash = { 0 }, new = { 0 };
    char file[PATH_MAX];
    enum sl_code rc = users_check_name(name, err);
    if (rc == SL_OK && resolve(path, file))
        rc = sl_file_read(file, USERS_FILE_MAX, &old, err);
    if (rc == SL_OK)
        rc = password_hash(password, &hash, err);
    if (rc != SL_OK)
        return rc;
    bool found = copy_lines(sl_buf_slice(&old), name, &hash, &new);
    if (!found)
        append_user(&new, name, &hash);
    rc = replace(file, &new, err);
    if (rc == SL_OK)
        *ret_new = !found;
    return rc;
}

enum sl_code users_remove(const char *path, struct sl_slice name, struct sl_err *err)
{
    SL_CLEANUP(sl_buf_free) struct sl_buf old = { 0 }, new = { 0 };
    char file[PATH_MAX];
    enum sl_code rc = users_check_name(name, err);
    if (rc == SL_OK) {
        (void)resolve(path, file); /* no file: the next step says so */
        rc = sl_file_read(file, USERS_FILE_MAX, &old, err);
    }
    if (rc != SL_OK)
        return rc;
    if (!copy_lines(sl_buf_slice(&old), name, NULL, &new))
        return sl_fail(err, SL_NOTFOUND, "%s: no user \"%.*s\"", path, SL_FMT(name));
    return replace(file, &new, err);
}
