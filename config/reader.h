/* reader.h - what the stages of reading a configuration hand on: text becomes a tree (jsonc), the
 * tree's strings are expanded (expand), the tree fills the struct (schema), what was not written is
 * worked out (finish), and the whole is checked (validate). Private to config/. */
#ifndef CONFIG_READER_H
#define CONFIG_READER_H

#include "jsonc.h"

struct config_reader {
    struct config *config;
    struct config_problems *problems;
    struct jsonc_doc doc;
    const char *base_dir; /* absolute: relative paths begin here */
    bool nomem;
};

/* A problem with the value of node, or, with key, with that key in node: its value when it stands
 * there, else its absence. node may be NULL for the file as a whole. */
void config_complain(struct config_reader *r, bool warning, const struct jsonc *node,
                     const char *key, const char *fmt, ...) SL_PRINTF(5, 6);

/* Whether something stands there, readable or not; what may have been lost to a syntax problem
 * counts as there. */
bool config_has(const struct jsonc *node, const char *key);

/* The value as messages show it: quoted, shortened, and never when it may be a secret. */
const char *config_shown(const struct jsonc *node, char *buf, size_t size);

/* A copy that is yours; NULL and r->nomem without memory. */
char *config_copy(struct config_reader *r, struct sl_slice text);
/* The same, made absolute. */
char *config_absolute(struct config_reader *r, struct sl_slice path);

#endif
