/* validate.h - checks that go across keys. Each file checks a few sections. Private to config/. */
#ifndef CONFIG_VALIDATE_H
#define CONFIG_VALIDATE_H

#include "reader.h"

void config_validate(struct config_reader *r); /* all of the below */

void validate_listeners(struct config_reader *r); /* validate_net.c: and access, and web */
void validate_cloud(struct config_reader *r);     /* validate_cloud.c: and store */
void validate_rules(struct config_reader *r);     /* validate_rules.c: and gpio */

/* ---- shared ---- */

/* The key must stand there. */
bool validate_needs(struct config_reader *r, const struct jsonc *node, const char *key,
                    const char *why);
/* Letters, digits, '_', '-', '.' and those of extra. Complains about node's key. */
void validate_name(struct config_reader *r, const struct jsonc *node, const char *key,
                   const char *name, const char *extra);
/* A file that must be there and readable; path NULL: nothing to check. */
void validate_file(struct config_reader *r, const struct jsonc *node, const char *key,
                   const char *path);
/* A private key, moreover: not readable by everyone (a warning). */
void validate_key_file(struct config_reader *r, const struct jsonc *node, const char *key,
                       const char *path);
/* One that may be made later: a warning when it is missing, an error when it is not readable. */
void validate_users_file(struct config_reader *r, const struct jsonc *node, const char *path);

/* Walks a list's nodes beside the struct's array: the i-th element when it is an object. */
struct validate_walk {
    const struct jsonc *node;
    size_t index;
};
struct validate_walk validate_walk(const struct jsonc *list);
bool validate_next(struct validate_walk *w, size_t count, const struct jsonc **ret_node,
                   size_t *ret_index);

#endif
