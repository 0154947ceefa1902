/* validate.c - the helpers of the cross checks, and the sections that need few. Looks at files and
 * folders, opens nothing for writing. */
#include "validate.h"

#include "base/crypto.h"
#include "base/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool validate_needs(struct config_reader *r, const struct jsonc *node, const char *key,
                    const char *why)
{
    if (config_has(node, key))
        return true;
    config_complain(r, false, node, key, "is missing: %s", why);
    return false;
}

void validate_name(struct config_reader *r, const struct jsonc *node, const char *key,
                   const char *name, const char *extra)
{
    for (const char *c = name; c && *c; c++) {
        if (((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') || (*c >= '0' && *c <= '9') ||
            strchr("_-.", *c) || strchr(extra, *c))
            continue;
        config_complain(r, false, node, key,
                        "a name is made of letters, digits, '_', '-' and '.'%s%s",
                        extra[0] ? ", and of " : "", extra);
        return;
    }
}

/* Opens to find out: permissions alone do not tell (lists, namespaces, root). False: complained. */
static bool check_readable(struct config_reader *r, const struct jsonc *node, const char *key,
                           const char *path, struct stat *ret)
{
    SL_CLEANUP(sl_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, ret) != 0) {
        config_complain(r, false, node, key, "cannot read %s: %s", path, strerror(errno));
        return false;
    }
    if (S_ISREG(ret->st_mode))
        return true;
    config_complain(r, false, node, key, "%s is not a regular file", path);
    return false;
}

/* The path came from this very key and is fit to be looked at. */
static bool is_given(const struct jsonc *node, const char *key, const char *path)
{
    const struct jsonc *value = jsonc_get(node, key);
    return path && value && value->type == JSONC_STRING;
}

void validate_file(struct config_reader *r, const struct jsonc *node, const char *key,
                   const char *path)
{
    struct stat st;
    if (is_given(node, key, path))
        (void)check_readable(r, node, key, path, &st); /* it complains itself */
}

void validate_key_file(struct config_reader *r, const struct jsonc *node, const char *key,
                       const char *path)
{
    struct stat st;
    if (!is_given(node, key, path) || !check_readable(r, node, key, path, &st))
        return;
    if (st.st_mode & S_IROTH)
        config_complain(r, true, node, key, "every user of this machine may read %s: chmod o-r it",
                        path);
}

void validate_users_file(struct config_reader *r, const struct jsonc *node, const char *path)
{
    struct stat st;
    if (!is_given(node, "users_file", path))
        return;
    if (stat(path, &st) != 0 && errno == ENOENT)
        config_complain(r, true, node, "users_file",
                        "%s is not there yet: nobody can sign in before `sluice user add NAME`",
                        path);
    else
        (void)check_readable(r, node, "users_file", path, &st); /* it complains itself */
}

struct validate_walk validate_walk(const struct jsonc *list)
{
    return (struct validate_walk){ list && list->type == JSONC_LIST ? list->child : NULL, 0 };
}

bool validate_next(struct validate_walk *w, size_t count, const struct jsonc **ret_node,
                   size_t *ret_index)
{
    while (w->node && w->index < count) {
        const struct jsonc *node = w->node;
        size_t index = w->index++;
        w->node = node->next;
        if (node->type != JSONC_OBJECT)
            continue;
        *ret_node = node;
        *ret_index = index;
        return true;
    }
    return false;
}

static void validate_gateway(struct config_reader *r)
{
    const struct jsonc *node = jsonc_get(r->doc.root, "gateway");
    if (jsonc_get(node, "id"))
        validate_name(r, node, "id", r->config->gateway.id, ":");
    struct stat st;
    if (is_given(node, "data_dir", r->config->gateway.data_dir) &&
        stat(r->config->gateway.data_dir, &st) == 0 && !S_ISDIR(st.st_mode))
        config_complain(r, false, node, "data_dir", "%s is not a folder",
                        r->config->gateway.data_dir);
}

static void validate_store(struct config_reader *r)
{
    const struct jsonc *node = jsonc_get(r->doc.root, "store");
    const char *text = r->config->store.encryption_key;
    uint8_t key[SEAL_KEY_BYTES];
    if (!is_given(node, "encryption_key", text))
        return;
    if (!seal_key_parse(sl_str(text), key))
        config_complain(
            r, false, node, "encryption_key",
            "is no key: 64 hexadecimal digits, as `openssl rand -hex 32` makes them, or 44 "
            "characters of base64");
    crypto_wipe(key, sizeof key);
}

void config_validate(struct config_reader *r)
{
    validate_store(r);
    validate_gateway(r);
    validate_listeners(r);
    validate_rules(r);
    validate_cloud(r);
}
