/* expand.c - environment variables and files into strings. Reads the environment and the files that
 * the configuration names; nothing it read is ever shown. */
#include "expand.h"

#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static bool is_variable_name(struct sl_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool letter = c == '_' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return s.len > 0 && s.len <= 128;
}

static bool belongs_to_template(struct sl_slice name, enum expand_mode mode)
{
    switch (mode) {
    case EXPAND_ALL: return false;
    case EXPAND_KEEP_NAMES:
        return sl_slice_eq(name, sl_str("gateway")) || sl_slice_eq(name, sl_str("thing_name"));
    case EXPAND_KEEP_ALL: return true;
    }
    return false;
}

static bool put_variable(struct config_reader *r, const struct jsonc *node, struct sl_slice name,
                         struct sl_buf *out)
{
    if (!is_variable_name(name)) {
        struct sl_slice shown = { name.ptr, name.len < 60 ? name.len : 60 };
        config_complain(r, false, node, NULL,
                        "${%.*s} is not the name of an environment variable (a plain ${ is "
                        "written $${)",
                        SL_FMT(shown));
        return false;
    }
    char text[129];
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    const char *value = getenv(text);
    if (!value) {
        config_complain(r, false, node, NULL, "the environment variable %s is not set", text);
        return false;
    }
    if (!sl_utf8_valid(sl_str(value))) {
        config_complain(r, false, node, NULL, "the environment variable %s is not UTF-8", text);
        return false;
    }
    sl_buf_put_str(out, value);
    return true;
}

/* One step of text that begins with '$'; *at moves behind it. */
static bool put_dollar(struct config_reader *r, struct jsonc *node, struct sl_slice text,
                       enum expand_mode mode, size_t *at, struct sl_buf *out)
{
    struct sl_slice rest = { text.ptr + *at, text.len - *at };
    if (sl_slice_starts(rest, sl_str("$${"))) {
        sl_buf_put_str(out, "${");
        *at += 3;
        return true;
    }
    if (!sl_slice_starts(rest, sl_str("${"))) {
        sl_buf_put_u8(out, '$');
        *at += 1;
        return true;
    }
    const uint8_t *close = memchr(rest.ptr, '}', rest.len);
    if (!close) {
        config_complain(r, false, node, NULL, "a ${ without its } (a plain ${ is written $${)");
        return false;
    }
    struct sl_slice name = { rest.ptr + 2, (size_t)(close - rest.ptr) - 2 };
    *at += name.len + 3;
    if (belongs_to_template(name, mode)) {
        sl_buf_put(out, rest.ptr, name.len + 3);
        return true;
    }
    node->expanded = true;
    return put_variable(r, node, name, out);
}

static bool put_expanded(struct config_reader *r, struct jsonc *node, struct sl_slice text,
                         enum expand_mode mode, struct sl_buf *out)
{
    for (size_t at = 0; at < text.len;) {
        if (text.ptr[at] == '$') {
            if (!put_dollar(r, node, text, mode, &at, out))
                return false;
            continue;
        }
        sl_buf_put_u8(out, text.ptr[at++]);
    }
    return true;
}

static bool check_content(struct config_reader *r, const struct jsonc *node, const char *path,
                          struct sl_slice content)
{
    if (sl_utf8_valid(content))
        return true;
    config_complain(r, false, node, NULL, "@file: %s is not a text file (UTF-8)", path);
    return false;
}

static bool put_file(struct config_reader *r, struct jsonc *node, struct sl_slice name,
                     struct sl_buf *out)
{
    SL_CLEANUP(sl_free_ptr) char *path = config_absolute(r, name);
    if (!path)
        return false;
    struct stat st;
    struct sl_err err = { 0 };
    if (stat(path, &st) != 0) {
        config_complain(r, false, node, NULL, "@file: %s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) { /* reading a pipe or a device might never end */
        config_complain(r, false, node, NULL, "@file: %s is not a regular file", path);
        return false;
    }
    node->in_open_file = (st.st_mode & S_IROTH) != 0;
    if (sl_file_read(path, EXPAND_FILE_MAX, out, &err) != SL_OK) {
        config_complain(r, false, node, NULL, "@file: %s", err.text);
        return false;
    }
    if (out->len > 0 && out->ptr[out->len - 1] == '\n')
        out->len--;
    if (out->len > 0 && out->ptr[out->len - 1] == '\r')
        out->len--;
    return check_content(r, node, path, sl_buf_slice(out));
}

static bool keep(struct config_reader *r, struct jsonc *node, const struct sl_buf *out)
{
    if (out->failed) {
        config_complain(r, false, node, NULL, "longer than %zu bytes with everything put in",
                        EXPAND_TEXT_MAX);
        return false;
    }
    uint8_t *copy = jsonc_alloc(&r->doc, out->len + 1);
    if (!copy)
        return false;
    if (out->len > 0)
        memcpy(copy, out->ptr, out->len);
    node->text = sl_bytes(copy, out->len);
    node->plain = false;
    return true;
}

bool config_expand(struct config_reader *r, struct jsonc *node, enum expand_mode mode)
{
    struct sl_slice prefix = sl_str("@file:");
    if (node->type != JSONC_STRING || node->text.len == 0)
        return true;
    bool file = sl_slice_starts(node->text, prefix);
    if (!file && (mode == EXPAND_KEEP_ALL || !memchr(node->text.ptr, '$', node->text.len)))
        return true;
    struct sl_buf text = { .max = EXPAND_TEXT_MAX }, content = { .max = EXPAND_TEXT_MAX };
    struct sl_slice source = node->text;
    if (file)
        source = sl_bytes(source.ptr + prefix.len, source.len - prefix.len);
    bool ok = put_expanded(r, node, source, file ? EXPAND_ALL : mode, &text);
    if (ok && file) {
        node->expanded = true;
        ok = put_file(r, node, sl_buf_slice(&text), &content);
    }
    ok = ok && keep(r, node, file ? &content : &text);
    sl_buf_free(&text);
    sl_buf_free(&content);
    return ok;
}
