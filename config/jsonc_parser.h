/* jsonc_parser.h - what the two halves of the JSON parser share: jsonc.c builds the tree,
 * jsonc_scan.c reads spaces, comments, words, numbers and strings. Private to them. */
#ifndef CONFIG_JSONC_PARSER_H
#define CONFIG_JSONC_PARSER_H

#include "jsonc.h"

struct parser {
    const uint8_t *at, *end, *line_start;
    unsigned line;
    unsigned depth, open_lists, open_objects;
    unsigned said_line;       /* the last line a syntax problem was reported in */
    unsigned cut_line;        /* where the last string was cut off; 0: none was */
    bool loose;               /* the last string was cut off at its line's end, and with it perhaps
                                 a comma */
    bool stopped;             /* a bound was passed: the rest is not read */
    struct config_place last; /* right behind the last value: where a missing comma belongs */
    struct jsonc_doc *doc;
    struct config_problems *problems;
};

static inline bool scan_over(const struct parser *p)
{
    return p->at == p->end;
}

/* Line and column of the next byte, from 1. */
struct config_place scan_place(const struct parser *p);

/* A mistake in the syntax: reported unless its line has one already. Marks node and all around it
 * as damaged. */
void scan_mistake(struct parser *p, struct config_place place, struct jsonc *node, const char *fmt,
                  ...) SL_PRINTF(4, 5);
/* A mistake that no other one can cause: always reported. */
void scan_fault(struct parser *p, struct config_place place, const struct jsonc *node,
                const char *fmt, ...) SL_PRINTF(4, 5);

/* Over spaces and comments. */
void scan_space(struct parser *p, struct jsonc *node);
/* Over what cannot be read, at least one byte, at most to the line's end. */
void scan_junk(struct parser *p);
/* A word, as an unquoted key or a value would be; may be empty. */
struct sl_slice scan_word(struct parser *p, bool key);
/* A string from its opening quote on (' too, with a complaint) into node->text. False: it was cut
 * off by the line's end. */
bool scan_string(struct parser *p, struct jsonc *node, struct sl_slice *ret);
/* true, false, null or a number; anything else is reported and leaves JSONC_BAD. */
void scan_literal(struct parser *p, struct jsonc *node);
/* What stands at p->at, for "found ...": a character or "the end of the file". */
const char *scan_found(const struct parser *p, char *buf, size_t size);

#endif
