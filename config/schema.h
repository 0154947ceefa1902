/* schema.h - every key of the configuration in tables, and the walker that fills the struct by
 * them.
 *
 * The tables (keys.c) are the one place where a key's name, type, default, range and field stand;
 * the JSON Schema and docs/configuration.md are tested against them. Private to config/. */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "reader.h"

enum key_kind {
    KEY_TEXT,
    KEY_PATH, /* made absolute */
    KEY_BOOL,
    KEY_INTEGER,
    KEY_NUMBER,     /* double */
    KEY_DURATION,   /* int64_t, ms */
    KEY_SIZE,       /* uint64_t, bytes */
    KEY_WORD,       /* one of words; bool, int or enum */
    KEY_TEXTS,      /* list of texts: char **, NULL-ended */
    KEY_SECTION,    /* object by table, fields in the same struct */
    KEY_LIST,       /* list of objects by table */
    KEY_PARAMETERS, /* object of any names with texts; not kept */
};

enum {
    KEY_IS_TEMPLATE = 1, /* ${...} belongs to the template */
    KEY_NAMES_KEPT = 2,  /* ${gateway} and ${thing_name} do, other names are variables */
    KEY_IS_SECRET = 4,   /* its value is never shown */
    KEY_OR_BOOL = 8,     /* a section that may also be true or false, kept in field */
};

struct config_word {
    const char *text; /* NULL ends the list */
    int value;
};

/* Offsets are plus 1: 0 means that there is no such field. */
struct config_key {
    const char *name;
    enum key_kind kind;
    unsigned flags;
    size_t field, width;  /* where the value goes, and its size */
    size_t note;          /* bool: whether the key was there */
    size_t place;         /* struct config_place of the value */
    size_t plain;         /* bool: whether the text's bytes stand in the file as they are */
    size_t count;         /* KEY_LIST: size_t, number of elements */
    int64_t min, max;     /* of the number, duration or size; of a text's length (max 0: 4096) */
    const char *fallback; /* as it would be written; NULL for zero */
    const struct config_word *words;
    const struct config_table *table;
};

struct config_table {
    const struct config_key *keys;
    size_t key_count;
    size_t size;  /* KEY_LIST: of an element */
    size_t place; /* struct config_place of the element, or section */
    size_t max;   /* KEY_LIST: elements */
};

#define SCHEMA_TEXTS_MAX 256 /* elements of a KEY_TEXTS */

extern const struct config_table config_root_table;

/* Fills r->config from r->doc.root (which may be NULL: defaults). Sets r->nomem. */
void config_fill(struct config_reader *r);
/* Frees every field that the tables know; base itself is not freed. */
void config_release(const struct config_table *table, void *base);

/* "250ms", "64KiB": the shortest exact way to write it. */
const char *config_duration_text(int64_t ms, char *buf, size_t size);
const char *config_size_text(uint64_t bytes, char *buf, size_t size);

#endif
