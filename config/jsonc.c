/* jsonc.c - the tree: objects, lists, recovery from mistakes, and looking things up. Owns the
 * document's memory. */
#include "jsonc_parser.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

struct jsonc_block {
    struct jsonc_block *next;
    max_align_t memory[];
};

void *jsonc_alloc(struct jsonc_doc *doc, size_t n)
{
    struct jsonc_block *b = calloc(1, sizeof *b + n);
    if (!b) {
        doc->nomem = true;
        return NULL;
    }
    b->next = doc->blocks;
    doc->blocks = b;
    doc->bytes += n;
    return b->memory;
}

void jsonc_free(struct jsonc_doc *doc)
{
    while (doc->blocks) {
        struct jsonc_block *b = doc->blocks;
        doc->blocks = b->next;
        free(b);
    }
    *doc = (struct jsonc_doc){ 0 };
}

struct jsonc *jsonc_get(const struct jsonc *node, const char *key)
{
    if (!node || node->type != JSONC_OBJECT)
        return NULL;
    for (struct jsonc *c = node->child; c; c = c->next)
        if (sl_slice_eq(c->key, sl_str(key)))
            return c;
    return NULL;
}

static bool is_simple_key(struct sl_slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.ptr[i];
        if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') && c != '_' &&
            c != '-')
            return false;
    }
    return key.len > 0;
}

static void put_step(const struct jsonc *node, bool any_index, struct sl_buf *out)
{
    if (node->parent->type == JSONC_LIST && any_index) {
        sl_buf_put_str(out, "[]");
    } else if (node->parent->type == JSONC_LIST) {
        sl_buf_printf(out, "[%zu]", node->index);
    } else if (is_simple_key(node->key)) {
        sl_buf_printf(out, "%s%.*s", out->len > 0 ? "." : "", SL_FMT(node->key));
    } else {
        sl_buf_put_str(out, "[");
        sl_buf_put_json(out, sl_bytes(node->key.ptr, node->key.len < 100 ? node->key.len : 100));
        sl_buf_put_str(out, "]");
    }
}

void jsonc_path(const struct jsonc *node, bool any_index, struct sl_buf *out)
{
    const struct jsonc *way[JSONC_DEPTH_MAX + 2];
    size_t n = 0;
    for (; node && node->parent && n < SL_ARRAY_LEN(way); node = node->parent)
        way[n++] = node;
    while (n > 0)
        put_step(way[--n], any_index, out);
}

/* ---- building the tree ---- */

static void stop(struct parser *p)
{
    p->stopped = true;
    p->at = p->end;
}

static struct jsonc *new_node(struct parser *p, struct jsonc *parent)
{
    if (p->doc->nodes >= JSONC_NODES_MAX) {
        scan_fault(p, scan_place(p), parent, "more than %d values; the rest is not read",
                   JSONC_NODES_MAX);
        stop(p);
        return NULL;
    }
    struct jsonc *node = jsonc_alloc(p->doc, sizeof *node);
    if (!node) {
        stop(p);
        return NULL;
    }
    p->doc->nodes++;
    node->parent = parent;
    node->index = parent ? parent->count : 0;
    node->place = scan_place(p);
    return node;
}

static void append(struct jsonc *parent, struct jsonc *node)
{
    if (parent->last)
        parent->last->next = node;
    else
        parent->child = node;
    parent->last = node;
    parent->count++;
}

static void parse_value(struct parser *p, struct jsonc *node);

static void not_closed(struct parser *p, struct jsonc *node, char bracket)
{
    if (p->stopped)
        return;
    if (p->cut_line == 0) /* else its closing bracket may lie in the text that was cut off */
        scan_fault(p, node->place, node, "this %c is never closed", bracket);
    stop(p); /* the ones around it are not closed either: one line is enough */
}

/* A closing bracket of the other kind. True: it belongs to something further out, so end here. */
static bool wrong_closer(struct parser *p, struct jsonc *node, char expected)
{
    unsigned outer = *p->at == ']' ? p->open_lists : p->open_objects;
    if (outer > 0) {
        scan_mistake(p, scan_place(p), node,
                     "expected '%c' to close what line %u opens, found '%c'", expected,
                     node->place.line, *p->at);
        return true;
    }
    scan_mistake(p, scan_place(p), node, "found '%c' where nothing is open that it could close",
                 *p->at);
    p->at++;
    return false;
}

/* Between two members or elements. */
static void take_comma(struct parser *p, struct jsonc *node)
{
    bool loose = p->loose;
    p->loose = false;
    scan_space(p, node);
    if (scan_over(p) || *p->at == '}' || *p->at == ']')
        return;
    if (*p->at == ',')
        p->at++;
    else if (!loose)
        scan_mistake(p, p->last, node, "expected ',' here");
}

static bool take_extra_comma(struct parser *p, struct jsonc *node)
{
    if (scan_over(p) || *p->at != ',')
        return false;
    scan_mistake(p, scan_place(p), node, "one ',' too many");
    p->at++;
    return true;
}

/* The key into node->key; false when what stands there is none. */
static bool parse_key(struct parser *p, struct jsonc *object, struct jsonc *node)
{
    char found[24];
    node->key_place = node->place;
    node->parent = object;
    if (*p->at == '"' || *p->at == '\'')
        return scan_string(p, object, &node->key); /* complaints name the object */
    node->key = scan_word(p, true);
    if (node->key.len > 0) {
        scan_mistake(p, node->place, object, "the key %.*s stands without its double quotes",
                     SL_FMT(node->key));
        return true;
    }
    scan_mistake(p, node->place, object, "expected a key in double quotes, found %s",
                 scan_found(p, found, sizeof found));
    scan_junk(p);
    return false;
}

/* The ':' between key and value; false when no value can be expected. */
static bool take_colon(struct parser *p, struct jsonc *node)
{
    char found[24];
    struct config_place behind_key = scan_place(p);
    scan_space(p, node);
    if (!scan_over(p) && *p->at == ':') {
        p->at++;
        return true;
    }
    bool same_line = p->line == behind_key.line;
    scan_mistake(p, same_line ? scan_place(p) : behind_key, node,
                 "expected ':' and a value behind the key, found %s",
                 same_line || scan_over(p) ? scan_found(p, found, sizeof found)
                                           : "the end of the line");
    if (!same_line || scan_over(p) || memchr(",}]", *p->at, 3))
        return false;
    if (*p->at == '=')
        p->at++;
    return true;
}

static void parse_member_value(struct parser *p, struct jsonc *node)
{
    char found[24];
    if (!take_colon(p, node))
        return;
    scan_space(p, node);
    node->place = scan_place(p);
    if (scan_over(p) || memchr(",}]", *p->at, 3)) {
        scan_mistake(p, node->place, node, "the value is missing, found %s",
                     scan_found(p, found, sizeof found));
        return;
    }
    parse_value(p, node);
}

static void keep_member(struct parser *p, struct jsonc *object, struct jsonc *node)
{
    const struct jsonc *first = NULL;
    for (const struct jsonc *c = object->child; c && !first; c = c->next)
        if (sl_slice_eq(c->key, node->key))
            first = c;
    if (first) {
        scan_fault(p, node->key_place, node, "this key was already given in line %u",
                   first->key_place.line);
        return;
    }
    if (object->count >= JSONC_KEYS_MAX) {
        scan_fault(p, node->key_place, object, "more than %d keys; the rest is not read",
                   JSONC_KEYS_MAX);
        stop(p);
        return;
    }
    append(object, node);
}

static void parse_member(struct parser *p, struct jsonc *object)
{
    struct jsonc *node = new_node(p, object);
    if (!node)
        return;
    bool named = parse_key(p, object, node);
    if (named)
        parse_member_value(p, node);
    p->last = scan_place(p);
    if (named)
        keep_member(p, object, node);
}

/* Up to and with the closing brace. */
static void parse_members(struct parser *p, struct jsonc *object)
{
    for (;;) {
        scan_space(p, object);
        if (take_extra_comma(p, object))
            continue;
        if (scan_over(p)) {
            not_closed(p, object, '{');
            return;
        }
        if (*p->at == '}') {
            p->at++;
            return;
        }
        if (*p->at == '{' && p->cut_line != 0 && p->line == p->cut_line + 1)
            return; /* its brace was cut off: the next object begins */
        if (*p->at == ']') {
            if (wrong_closer(p, object, '}'))
                return;
            continue;
        }
        parse_member(p, object);
        take_comma(p, object);
    }
}

static void parse_element(struct parser *p, struct jsonc *list)
{
    struct jsonc *node = new_node(p, list);
    if (!node)
        return;
    append(list, node);
    parse_value(p, node);
    p->last = scan_place(p);
}

static void parse_elements(struct parser *p, struct jsonc *list)
{
    for (;;) {
        scan_space(p, list);
        if (take_extra_comma(p, list))
            continue;
        if (scan_over(p)) {
            not_closed(p, list, '[');
            return;
        }
        if (*p->at == ']') {
            p->at++;
            return;
        }
        if (*p->at == '}') {
            if (wrong_closer(p, list, ']'))
                return;
            continue;
        }
        parse_element(p, list);
        take_comma(p, list);
    }
}

/* Too deep to be read: over it, brackets and strings heeded, without recursion. */
static void skip_container(struct parser *p, struct jsonc *node)
{
    size_t open = 0;
    do {
        scan_space(p, node);
        if (scan_over(p))
            break;
        if (*p->at == '"') {
            struct sl_slice ignored;
            (void)scan_string(p, node, &ignored); /* only to find its end */
            continue;
        }
        if (*p->at == '{' || *p->at == '[')
            open++;
        else if (*p->at == '}' || *p->at == ']')
            open--;
        p->at++;
    } while (open > 0);
}

static void parse_container(struct parser *p, struct jsonc *node)
{
    bool object = *p->at == '{';
    if (p->depth >= JSONC_DEPTH_MAX) {
        scan_fault(p, node->place, node->parent, "nested more than %d deep", JSONC_DEPTH_MAX);
        skip_container(p, node);
        return;
    }
    p->at++;
    p->depth++;
    node->type = object ? JSONC_OBJECT : JSONC_LIST;
    unsigned *open = object ? &p->open_objects : &p->open_lists;
    ++*open;
    if (object)
        parse_members(p, node);
    else
        parse_elements(p, node);
    --*open;
    p->depth--;
}

static void parse_value(struct parser *p, struct jsonc *node)
{
    if (*p->at == '{' || *p->at == '[') {
        parse_container(p, node);
    } else if (*p->at == '"' || *p->at == '\'') {
        bool whole = scan_string(p, node, &node->text);
        node->type = whole ? JSONC_STRING : JSONC_BAD;
    } else {
        scan_literal(p, node);
    }
}

/* Behind the root's end nothing may follow. When something does, a brace too many closed it early:
 * read on as if it had not. */
static void parse_rest(struct parser *p, struct jsonc *root)
{
    scan_space(p, root);
    if (scan_over(p))
        return;
    char found[24];
    scan_mistake(p, scan_place(p), root, "the file should end here, found %s%s",
                 scan_found(p, found, sizeof found),
                 root->type == JSONC_OBJECT ? "; is there a '}' too many before it?" : "");
    while (root->type == JSONC_OBJECT && !scan_over(p)) {
        scan_space(p, root);
        if (scan_over(p))
            return;
        if (*p->at == ',' || *p->at == '}' || *p->at == ']') {
            p->at++;
            continue;
        }
        parse_member(p, root);
        take_comma(p, root);
    }
}

bool jsonc_parse(struct jsonc_doc *doc, struct sl_slice text, struct config_problems *problems)
{
    if (sl_slice_starts(text, sl_str("\xEF\xBB\xBF"))) /* a byte order mark */
        text = sl_bytes(text.ptr + 3, text.len - 3);
    const uint8_t *start = text.len > 0 ? text.ptr : (const uint8_t *)"";
    struct parser p = { .at = start,
                        .end = start + text.len,
                        .line_start = start,
                        .line = 1,
                        .doc = doc,
                        .problems = problems };
    if (text.len > JSONC_TEXT_MAX) {
        scan_fault(&p, scan_place(&p), NULL, "larger than %zu bytes", JSONC_TEXT_MAX);
        return true;
    }
    scan_space(&p, NULL);
    if (scan_over(&p)) {
        scan_mistake(&p, scan_place(&p), NULL, "expected an object, found the end of the file");
        return true;
    }
    doc->root = new_node(&p, NULL);
    if (doc->root) {
        parse_value(&p, doc->root);
        parse_rest(&p, doc->root);
    }
    return !doc->nomem;
}
