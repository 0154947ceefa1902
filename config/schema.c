/* schema.c - the walker: tree and tables in, struct out; and every complaint about unknown keys,
 * wrong types and values out of range. */
#include "schema.h"

#include "expand.h"
#include "unsupported.h"

#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TEXT_MAX_DEFAULT 4096

static void *field_at(void *base, size_t offset_plus_1)
{
    return (char *)base + offset_plus_1 - 1;
}

/* ---- showing ---- */

const char *config_duration_text(int64_t ms, char *buf, size_t size)
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
    size_t i = 0;
    while (i + 1 < SL_ARRAY_LEN(units) && ms % units[i].ms != 0)
        i++;
    if (ms == 0)
        i = SL_ARRAY_LEN(units) - 1;
    (void)snprintf(buf, size, "%lld%s", (long long)(ms / units[i].ms), units[i].unit); /* fits */
    return buf;
}

const char *config_size_text(uint64_t bytes, char *buf, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t i = 0;
    while (bytes > 0 && bytes % 1024 == 0 && i + 1 < SL_ARRAY_LEN(units)) {
        bytes /= 1024;
        i++;
    }
    (void)snprintf(buf, size, "%llu%s", (unsigned long long)bytes, units[i]); /* fits */
    return buf;
}

static const char *bound_text(const struct config_key *key, int64_t v, char *buf, size_t size)
{
    if (key->kind == KEY_DURATION)
        return config_duration_text(v, buf, size);
    if (key->kind == KEY_SIZE)
        return config_size_text((uint64_t)v, buf, size);
    (void)snprintf(buf, size, "%lld", (long long)v); /* fits */
    return buf;
}

static const char *shown(const struct config_key *key, const struct jsonc *node, char *buf,
                         size_t size)
{
    if ((key->flags & KEY_IS_SECRET) && node->type == JSONC_STRING)
        return "a text";
    return config_shown(node, buf, size);
}

static bool expected(struct config_reader *r, const struct config_key *key,
                     const struct jsonc *node, const char *what)
{
    char buf[128];
    config_complain(r, false, node, NULL, "expected %s, found %s", what,
                    shown(key, node, buf, sizeof buf));
    return false;
}

static bool check_range(struct config_reader *r, const struct config_key *key,
                        const struct jsonc *node, double v)
{
    if (v >= (double)key->min && v <= (double)key->max)
        return true;
    char buf[128], low[32], high[32];
    config_complain(r, false, node, NULL, "%s is not within %s to %s",
                    shown(key, node, buf, sizeof buf), bound_text(key, key->min, low, sizeof low),
                    bound_text(key, key->max, high, sizeof high));
    return false;
}

/* ---- single values: text to field. Each stores only what is right. ---- */

static void store_integer(void *base, const struct config_key *key, uint64_t v)
{
    if (!key->field)
        return;
    void *to = field_at(base, key->field);
    uint8_t v8 = (uint8_t)v;
    uint16_t v16 = (uint16_t)v;
    uint32_t v32 = (uint32_t)v;
    switch (key->width) { /* memcpy: the fields differ in sign and are enums or bools as well */
    case 1: memcpy(to, &v8, 1); return;
    case 2: memcpy(to, &v16, 2); return;
    case 4: memcpy(to, &v32, 4); return;
    case 8: memcpy(to, &v, 8); return;
    }
}

static void store_text(struct config_reader *r, void *base, const struct config_key *key,
                       struct sl_slice text)
{
    if (!key->field)
        return;
    char **to = field_at(base, key->field);
    free(*to); /* a default that is replaced */
    *to = key->kind == KEY_PATH ? config_absolute(r, text) : config_copy(r, text);
}

static bool read_text(struct config_reader *r, const struct config_key *key,
                      const struct jsonc *node, void *base)
{
    if (node->type != JSONC_STRING)
        return expected(r, key, node, key->kind == KEY_PATH ? "a path" : "a text");
    size_t max = key->max ? (size_t)key->max : TEXT_MAX_DEFAULT;
    if (node->text.len < (size_t)key->min) {
        config_complain(r, false, node, NULL, "must not be empty");
        return false;
    }
    if (node->text.len > max) {
        config_complain(r, false, node, NULL, "longer than %zu bytes", max);
        return false;
    }
    store_text(r, base, key, node->text);
    return true;
}

/* A number; or, when it came from outside the file, digits. */
static bool number_of(const struct jsonc *node, double *ret)
{
    uint64_t digits;
    *ret = node->number;
    if (node->type == JSONC_NUMBER)
        return true;
    if (node->type != JSONC_STRING || !node->expanded || !sl_u64_parse(node->text, &digits))
        return false;
    *ret = (double)digits;
    return true;
}

static bool read_integer(struct config_reader *r, const struct config_key *key,
                         const struct jsonc *node, void *base)
{
    double v;
    if (!number_of(node, &v) || (fabs(v) < 1e15 && v != floor(v)))
        return expected(r, key, node, "a whole number");
    if (!check_range(r, key, node, v))
        return false;
    store_integer(base, key, (uint64_t)(int64_t)v);
    return true;
}

static bool read_number(struct config_reader *r, const struct config_key *key,
                        const struct jsonc *node, void *base)
{
    double v;
    if (!number_of(node, &v))
        return expected(r, key, node, "a number");
    if (!check_range(r, key, node, v))
        return false;
    if (key->field)
        memcpy(field_at(base, key->field), &v, sizeof v);
    return true;
}

static bool read_bool(struct config_reader *r, const struct config_key *key,
                      const struct jsonc *node, void *base)
{
    bool v = node->boolean;
    if (node->type == JSONC_STRING && node->expanded) {
        v = sl_slice_eq(node->text, sl_str("true"));
        if (!v && !sl_slice_eq(node->text, sl_str("false")))
            return expected(r, key, node, "true or false");
    } else if (node->type != JSONC_BOOL) {
        return expected(r, key, node, "true or false");
    }
    store_integer(base, key, v);
    return true;
}

static bool read_duration(struct config_reader *r, const struct config_key *key,
                          const struct jsonc *node, void *base)
{
    int64_t ms;
    if (node->type != JSONC_STRING || !sl_duration_parse(node->text, &ms))
        return expected(r, key, node, "a duration with its unit (ms, s, m, h, d) such as \"10s\"");
    if (!check_range(r, key, node, (double)ms))
        return false;
    store_integer(base, key, (uint64_t)ms);
    return true;
}

static bool read_size(struct config_reader *r, const struct config_key *key,
                      const struct jsonc *node, void *base)
{
    uint64_t bytes = 0;
    double v;
    bool number = node->type == JSONC_NUMBER && number_of(node, &v);
    if (number ? v != floor(v) : node->type != JSONC_STRING || !sl_size_parse(node->text, &bytes))
        return expected(r, key, node, "a size such as \"64KiB\" or a number of bytes");
    if (!check_range(r, key, node, number ? v : (double)bytes))
        return false;
    store_integer(base, key, number ? (uint64_t)v : bytes);
    return true;
}

static bool read_word(struct config_reader *r, const struct config_key *key,
                      const struct jsonc *node, void *base)
{
    struct sl_buf list = { 0 };
    sl_buf_put_str(&list, "one of");
    for (const struct config_word *w = key->words; w->text; w++) {
        if (node->type == JSONC_STRING && sl_slice_eq(node->text, sl_str(w->text))) {
            sl_buf_free(&list);
            store_integer(base, key, (uint64_t)(int64_t)w->value);
            return true;
        }
        sl_buf_printf(&list, "%s \"%s\"", w == key->words ? "" : ",", w->text);
    }
    (void)expected(r, key, node, sl_buf_cstr(&list));
    sl_buf_free(&list);
    return false;
}

static void free_texts(char **list)
{
    for (char **t = list; t && *t; t++)
        free(*t);
    free(list);
}

static bool read_texts(struct config_reader *r, const struct config_key *key, struct jsonc *node,
                       void *base)
{
    if (node->type != JSONC_LIST)
        return expected(r, key, node, "a list of texts");
    char **list = calloc(SCHEMA_TEXTS_MAX + 1, sizeof *list);
    if (!list) {
        r->nomem = true;
        return false;
    }
    size_t n = 0;
    for (struct jsonc *e = node->child; e; e = e->next) {
        if (e->index >= SCHEMA_TEXTS_MAX) {
            config_complain(r, false, e, NULL, "more than %d elements", SCHEMA_TEXTS_MAX);
            break;
        }
        if (e->type == JSONC_BAD || !config_expand(r, e, EXPAND_ALL))
            continue;
        if (e->type != JSONC_STRING)
            (void)expected(r, key, e, "a text");
        else if ((list[n] = config_copy(r, e->text)))
            n++;
    }
    if (!key->field) {
        free_texts(list);
        return true;
    }
    char ***to = field_at(base, key->field);
    free_texts(*to);
    *to = list;
    return true;
}

static bool read_parameters(struct config_reader *r, const struct config_key *key,
                            struct jsonc *node)
{
    if (node->type != JSONC_OBJECT)
        return expected(r, key, node, "an object");
    for (struct jsonc *c = node->child; c; c = c->next)
        if (c->type != JSONC_BAD && config_expand(r, c, EXPAND_KEEP_ALL) && c->type != JSONC_STRING)
            (void)expected(r, key, c, "a text");
    return true;
}

/* ---- tables ---- */

static void fill_table(struct config_reader *r, const struct config_table *table,
                       struct jsonc *node, void *base);

static bool read_section(struct config_reader *r, const struct config_key *key, struct jsonc *node,
                         void *base)
{
    if (key->flags & KEY_OR_BOOL && node->type == JSONC_BOOL) {
        fill_table(r, key->table, NULL, base);
        return read_bool(r, key, node, base);
    }
    if (node->type != JSONC_OBJECT)
        return expected(r, key, node,
                        key->flags & KEY_OR_BOOL ? "an object, true or false" : "an object");
    if (key->flags & KEY_OR_BOOL)
        store_integer(base, key, 1);
    fill_table(r, key->table, node, base);
    return true;
}

/* Elements keep their index: one that is wrong leaves a default one in its place. */
static bool read_list(struct config_reader *r, const struct config_key *key, struct jsonc *node,
                      void *base)
{
    if (node->type != JSONC_LIST)
        return expected(r, key, node, "a list of objects");
    const struct config_table *table = key->table;
    size_t n = node->count < table->max ? node->count : table->max;
    char *list = calloc(n ? n : 1, table->size);
    if (!list) {
        r->nomem = true;
        return false;
    }
    memcpy(field_at(base, key->field), &list, sizeof list); /* fields differ in pointer type */
    memcpy(field_at(base, key->count), &n, sizeof n);
    for (struct jsonc *e = node->child; e; e = e->next) {
        if (e->index >= n) {
            config_complain(r, false, e, NULL, "more than %zu elements", table->max);
            break;
        }
        if (e->type != JSONC_OBJECT && e->type != JSONC_BAD)
            (void)expected(r, key, e, "an object");
        if (table->place)
            memcpy(field_at(list + e->index * table->size, table->place), &e->place,
                   sizeof e->place);
        fill_table(r, table, e->type == JSONC_OBJECT ? e : NULL, list + e->index * table->size);
    }
    return true;
}

static bool read_value(struct config_reader *r, const struct config_key *key, struct jsonc *node,
                       void *base)
{
    switch (key->kind) {
    case KEY_TEXT:
    case KEY_PATH: return read_text(r, key, node, base);
    case KEY_BOOL: return read_bool(r, key, node, base);
    case KEY_INTEGER: return read_integer(r, key, node, base);
    case KEY_NUMBER: return read_number(r, key, node, base);
    case KEY_DURATION: return read_duration(r, key, node, base);
    case KEY_SIZE: return read_size(r, key, node, base);
    case KEY_WORD: return read_word(r, key, node, base);
    case KEY_TEXTS: return read_texts(r, key, node, base);
    case KEY_SECTION: return read_section(r, key, node, base);
    case KEY_LIST: return read_list(r, key, node, base);
    case KEY_PARAMETERS: return read_parameters(r, key, node);
    }
    return false;
}

/* The default is read as if it had been written: it cannot be out of range unnoticed (tested). */
static void use_fallback(struct config_reader *r, const struct config_key *key, void *base)
{
    if (key->kind == KEY_SECTION) {
        fill_table(r, key->table, NULL, base);
        return;
    }
    if (!key->fallback)
        return;
    struct sl_slice text = sl_str(key->fallback);
    bool is_true = strcmp(key->fallback, "true") == 0;
    struct jsonc written = { .text = text,
                             .boolean = is_true,
                             .number = strtod(key->fallback, NULL) };
    switch (key->kind) {
    case KEY_BOOL: written.type = JSONC_BOOL; break;
    case KEY_INTEGER:
    case KEY_NUMBER: written.type = JSONC_NUMBER; break;
    case KEY_TEXT:
    case KEY_PATH:
    case KEY_DURATION:
    case KEY_SIZE:
    case KEY_WORD: written.type = JSONC_STRING; break;
    case KEY_TEXTS:
    case KEY_SECTION:
    case KEY_LIST:
    case KEY_PARAMETERS: return;
    }
    (void)read_value(r, key, &written, base); /* complains, in a test, when the table is wrong */
}

static enum expand_mode mode_of(const struct config_key *key)
{
    if (key->flags & KEY_IS_TEMPLATE)
        return EXPAND_KEEP_ALL;
    return key->flags & KEY_NAMES_KEPT ? EXPAND_KEEP_NAMES : EXPAND_ALL;
}

/* A secret is one as long as not everybody can look it up. */
static void look_at_secret(struct config_reader *r, const struct jsonc *node)
{
    struct stat st;
    if (node->in_open_file)
        config_complain(r, true, node, NULL,
                        "every user of this machine may read its file: chmod o-r it");
    else if (!node->expanded && stat(r->config->file, &st) == 0 && S_ISREG(st.st_mode) &&
             (st.st_mode & S_IROTH))
        config_complain(r, true, node, NULL,
                        "stands in a file that every user of this machine may read: chmod o-r it, "
                        "or take it from another with @file:");
}

/* False after a complaint. A private key taken in with @file: where its path belongs would end up
 * in the complaint that there is no such path. */
static bool expand_key(struct config_reader *r, const struct config_key *key, struct jsonc *node)
{
    if (key->kind == KEY_PATH && node->type == JSONC_STRING &&
        sl_slice_starts(node->text, sl_str("@file:"))) {
        config_complain(r, false, node, NULL, "this key is a path itself: write it without @file:");
        return false;
    }
    if (!config_expand(r, node, mode_of(key)))
        return false;
    if ((key->flags & KEY_IS_SECRET) && node->type == JSONC_STRING)
        look_at_secret(r, node);
    return true;
}

static void take_notes(const struct config_key *key, const struct jsonc *node, void *base)
{
    const bool yes = true;
    if (key->note)
        memcpy(field_at(base, key->note), &yes, sizeof yes);
    if (key->place)
        memcpy(field_at(base, key->place), &node->place, sizeof node->place);
    if (key->plain)
        memcpy(field_at(base, key->plain), &node->plain, sizeof node->plain);
    if (key->kind == KEY_SECTION && key->table->place)
        memcpy(field_at(base, key->table->place), &node->place, sizeof node->place);
}

static void fill_key(struct config_reader *r, const struct config_key *key, struct jsonc *node,
                     void *base)
{
    if (!node) {
        use_fallback(r, key, base);
        return;
    }
    if (node->type != JSONC_BAD && !expand_key(r, key, node))
        node->type = JSONC_BAD; /* reported: the stages to come leave it alone */
    take_notes(key, node, base);
    if (node->type != JSONC_BAD)
        config_check_unsupported(r, node);
    if (node->type == JSONC_BAD || !read_value(r, key, node, base)) {
        node->type = JSONC_BAD;
        use_fallback(r, key, base);
    }
}

static const struct config_key *find_key(const struct config_table *table, struct sl_slice name)
{
    for (size_t i = 0; i < table->key_count; i++)
        if (sl_slice_eq(sl_str(table->keys[i].name), name))
            return &table->keys[i];
    return NULL;
}

static void unknown_key(struct config_reader *r, const struct config_table *table,
                        const struct jsonc *node)
{
    const char *near = "";
    unsigned best = UINT32_MAX;
    for (size_t i = 0; i < table->key_count; i++) {
        unsigned d = sl_edit_distance(sl_str(table->keys[i].name), node->key);
        if (d < best) {
            best = d;
            near = table->keys[i].name;
        }
    }
    bool at_top =
        table != &config_root_table && find_key(&config_root_table, node->key) && best > 0;
    struct sl_buf path = { 0 };
    jsonc_path(node, false, &path);
    config_report(r->problems, false, node->key_place, sl_buf_cstr(&path),
                  "unknown key; the nearest known key is \"%s\"%s", near,
                  at_top ? " (this one belongs at the top of the file: is a '}' missing?)" : "");
    sl_buf_free(&path);
}

static void fill_table(struct config_reader *r, const struct config_table *table,
                       struct jsonc *node, void *base)
{
    for (size_t i = 0; i < table->key_count; i++)
        fill_key(r, &table->keys[i], jsonc_get(node, table->keys[i].name), base);
    for (struct jsonc *c = node ? node->child : NULL; c; c = c->next)
        if (!find_key(table, c->key))
            unknown_key(r, table, c);
}

void config_fill(struct config_reader *r)
{
    struct jsonc *root = r->doc.root;
    if (root && root->type != JSONC_OBJECT) {
        char buf[128];
        if (root->type != JSONC_BAD)
            config_complain(r, false, root, NULL, "expected an object, found %s",
                            config_shown(root, buf, sizeof buf));
        root = NULL;
    }
    fill_table(r, &config_root_table, root, r->config);
    r->nomem = r->nomem || r->doc.nomem;
}

/* ---- releasing ---- */

static void release_key(const struct config_key *key, void *base)
{
    switch (key->kind) {
    case KEY_SECTION: config_release(key->table, base); return;
    case KEY_TEXT:
    case KEY_PATH:
        if (key->field)
            sl_free_ptr(field_at(base, key->field));
        return;
    case KEY_TEXTS:
        if (key->field)
            free_texts(*(char ***)field_at(base, key->field));
        return;
    case KEY_LIST: {
        char *list;
        size_t n;
        memcpy(&list, field_at(base, key->field), sizeof list);
        memcpy(&n, field_at(base, key->count), sizeof n);
        for (size_t i = 0; i < n; i++)
            config_release(key->table, list + i * key->table->size);
        free(list);
        return;
    }
    case KEY_BOOL:
    case KEY_INTEGER:
    case KEY_NUMBER:
    case KEY_DURATION:
    case KEY_SIZE:
    case KEY_WORD:
    case KEY_PARAMETERS: return;
    }
}

void config_release(const struct config_table *table, void *base)
{
    for (size_t i = 0; i < table->key_count; i++)
        release_key(&table->keys[i], base);
}
