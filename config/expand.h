/* expand.h - values from outside the file: "${NAME}" and "@file:PATH". Private to config/.
 *
 * "${NAME}" inside a string is the environment variable NAME; "$${" is a plain "${". "@file:PATH"
 * as a whole string is that file's content without its last newline; PATH may hold ${NAME}, content
 * is taken as it is. Strings that are templates keep their ${...}: which ones is the key's
 * business. */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include "reader.h"

#define EXPAND_FILE_MAX ((size_t)64 * 1024)  /* bytes of an @file: */
#define EXPAND_TEXT_MAX ((size_t)128 * 1024) /* bytes of a string when all is put in */

enum expand_mode {
    EXPAND_ALL,
    EXPAND_KEEP_NAMES, /* ${gateway} and ${thing_name} stay; the others are variables */
    EXPAND_KEEP_ALL,   /* every ${...} belongs to the template */
};

/* Replaces node->text. False after a complaint (or without memory). Nodes that are no strings are
 * left alone. */
bool config_expand(struct config_reader *r, struct jsonc *node, enum expand_mode mode);

#endif
