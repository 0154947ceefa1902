/* jsonc.h - JSON with comments and trailing commas, as a tree in which every key and value knows
 * its line and column.
 *
 * Recovers: a syntax mistake is reported, repaired as well as can be, and the rest is still read.
 * At most one syntax problem a line is reported, since the second is mostly an echo of the first.
 * No I/O. Everything in the tree belongs to the document. */
#ifndef CONFIG_JSONC_H
#define CONFIG_JSONC_H

#include "config/config.h"

#define JSONC_TEXT_MAX  ((size_t)1024 * 1024) /* bytes of a document */
#define JSONC_DEPTH_MAX 32                    /* objects and lists within each other */
#define JSONC_KEYS_MAX  1000                  /* keys of one object */
#define JSONC_NODES_MAX 50000                 /* values of a document */

enum jsonc_type {
    JSONC_BAD, /* something stands there, but it could not be read: already reported */
    JSONC_NULL,
    JSONC_BOOL,
    JSONC_NUMBER,
    JSONC_STRING,
    JSONC_LIST,
    JSONC_OBJECT,
};

struct jsonc {
    enum jsonc_type type;
    bool boolean;
    bool plain;    /* JSONC_STRING: byte N of text stands N bytes behind the opening quote */
    bool expanded; /* JSONC_STRING: text came from the environment or a file: never show it */
    bool in_open_file; /* ... from a file that every user of the machine may read */
    bool damaged;  /* a syntax problem inside: what is missing here may just not have been read */
    struct config_place place;     /* of the value */
    struct config_place key_place; /* of the key; line 0 without one */
    struct sl_slice key, text;     /* text: the string's value; a number or word as written */
    double number;
    size_t index, count; /* within a list; number of children */
    struct jsonc *parent, *next, *child, *last;
};

struct jsonc_block;
struct jsonc_doc {
    struct jsonc *root; /* NULL: nothing there, or memory was out */
    struct jsonc_block *blocks;
    size_t nodes;
    size_t bytes; /* in blocks: a few times the text at most */
    bool nomem;
};

/* Fills doc (zero before); yours to jsonc_free(), also on failure. Mistakes go to problems. False
 * when memory is out. */
SL_NODISCARD bool jsonc_parse(struct jsonc_doc *doc, struct sl_slice text,
                              struct config_problems *problems);
void jsonc_free(struct jsonc_doc *doc);

/* Memory that lives as long as the document; NULL (and doc->nomem) when there is none. */
void *jsonc_alloc(struct jsonc_doc *doc, size_t n);

/* The value of a key; NULL without one, or when node is NULL or no object. */
struct jsonc *jsonc_get(const struct jsonc *node, const char *key);
/* "listeners[1].tls.cert"; "" for the root. With any_index "listeners[].tls.cert". */
void jsonc_path(const struct jsonc *node, bool any_index, struct sl_buf *out);

#endif
