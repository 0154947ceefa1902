/* reader.c - complaining about a place in the tree, and showing what stands there. */
#include "reader.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOWN_MAX 60 /* bytes of a value in a message */

static struct config_place place_of(const struct jsonc *node)
{
    if (!node)
        return (struct config_place){ 1, 1 };
    return node->key_place.line ? node->key_place : node->place;
}

void config_complain(struct config_reader *r, bool warning, const struct jsonc *node,
                     const char *key, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long: still a sentence */
    va_end(args);
    const struct jsonc *value = key ? jsonc_get(node, key) : node;
    struct sl_buf path = { 0 };
    jsonc_path(value ? value : node, false, &path);
    if (!value && key)
        sl_buf_printf(&path, "%s%s", path.len > 0 ? "." : "", key);
    config_report(r->problems, warning, value ? value->place : place_of(node), sl_buf_cstr(&path),
                  "%s", text);
    sl_buf_free(&path);
}

bool config_has(const struct jsonc *node, const char *key)
{
    return node && (node->damaged || jsonc_get(node, key));
}

const char *config_shown(const struct jsonc *node, char *buf, size_t size)
{
    switch (node->type) {
    case JSONC_OBJECT: return "an object";
    case JSONC_LIST: return "a list";
    case JSONC_NULL: return "null";
    case JSONC_BAD: return "something unreadable";
    case JSONC_BOOL: return node->boolean ? "true" : "false";
    case JSONC_NUMBER:
        (void)snprintf(buf, size, "%.*s", SL_FMT(node->text)); /* cut: at most 63 bytes anyway */
        return buf;
    case JSONC_STRING: break;
    }
    if (node->expanded)
        return "the text taken from outside the file";
    bool cut = node->text.len > SHOWN_MAX;
    struct sl_buf json = { 0 };
    sl_buf_put_json(&json, sl_bytes(node->text.ptr, cut ? SHOWN_MAX : node->text.len));
    (void)snprintf(buf, size, "%s%s", sl_buf_cstr(&json), cut ? "..." : ""); /* cut is fine */
    sl_buf_free(&json);
    return buf;
}

char *config_copy(struct config_reader *r, struct sl_slice text)
{
    char *copy = sl_slice_dup(text);
    if (!copy)
        r->nomem = true; /* strings hold no NUL: the parser refuses it */
    return copy;
}

char *config_absolute(struct config_reader *r, struct sl_slice path)
{
    if (path.len > 0 && path.ptr[0] == '/')
        return config_copy(r, path);
    struct sl_buf full = { 0 };
    sl_buf_printf(&full, "%s%s", r->base_dir, strcmp(r->base_dir, "/") == 0 ? "" : "/");
    sl_buf_put_slice(&full, path);
    char *copy = full.failed ? NULL : config_copy(r, sl_buf_slice(&full));
    r->nomem = r->nomem || !copy;
    sl_buf_free(&full);
    return copy;
}
