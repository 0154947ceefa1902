/* test_config_tables.c - the table of keys, the JSON Schema, the page about the configuration and
 * the examples say the same. */
#include "schema.h"
#include "support.h"

#include "base/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void read_source(const char *name, struct sl_buf *out)
{
    char path[512];
    struct sl_err err = { 0 };
    (void)snprintf(path, sizeof path, "%s/%s", SOURCE_DIR, name); /* fits */
    if (sl_file_read(path, JSONC_TEXT_MAX, out, &err) != SL_OK)
        fail_msg("%s", err.text);
}

static struct jsonc *schema_root; /* of the document that group_set_up reads */
static struct jsonc_doc schema_doc;
static struct sl_buf schema_text;

/* Follows "#/$defs/NAME". */
static const struct jsonc *resolve(const struct jsonc *s)
{
    const struct jsonc *ref = jsonc_get(s, "$ref");
    struct sl_slice prefix = sl_str("#/$defs/");
    if (!ref)
        return s;
    assert_true(sl_slice_starts(ref->text, prefix));
    char name[64];
    (void)snprintf(name, sizeof name, "%.*s", (int)(ref->text.len - prefix.len), /* fits */
                   (const char *)ref->text.ptr + prefix.len);
    const struct jsonc *def = jsonc_get(jsonc_get(schema_root, "$defs"), name);
    assert_non_null(def);
    return def;
}

static bool is_text(const struct jsonc *s, const char *key, const char *want)
{
    const struct jsonc *v = jsonc_get(s, key);
    return v && v->type == JSONC_STRING && sl_slice_eq(v->text, sl_str(want));
}

static bool is_number(const struct jsonc *s, const char *key, int64_t want)
{
    const struct jsonc *v = jsonc_get(s, key);
    return v && v->type == JSONC_NUMBER && v->number == (double)want;
}

/* The first of "anyOf": the second one allows a text from outside. */
static const struct jsonc *first(const struct jsonc *s)
{
    const struct jsonc *any = jsonc_get(s, "anyOf");
    return any ? any->child : s;
}

static bool words_agree(const struct config_key *key, const struct jsonc *s)
{
    const struct jsonc *list = jsonc_get(first(s), "enum");
    const struct jsonc *e = list ? list->child : NULL;
    for (const struct config_word *w = key->words; w->text; w++) {
        if (!e || !sl_slice_eq(e->text, sl_str(w->text)))
            return false;
        e = e->next;
    }
    return list && !e;
}

static bool default_agrees(const struct config_key *key, const struct jsonc *s)
{
    const struct jsonc *v = jsonc_get(s, "default");
    if (!key->fallback || !v)
        return !key->fallback && !v;
    return sl_slice_eq(v->text, sl_str(key->fallback));
}

static void compare_tables(const struct config_table *table, const struct jsonc *s,
                           const char *path);

static bool type_agrees(const struct config_key *key, const struct jsonc *s, const char *path)
{
    switch (key->kind) {
    case KEY_TEXT:
        if (jsonc_get(s, "enum")) /* lanes: words here, a text in the table */
            return true;
        return is_text(s, "type", "string") && (!key->max || is_number(s, "maxLength", key->max));
    case KEY_PATH: return is_text(s, "type", "string");
    case KEY_BOOL: return is_text(first(s), "type", "boolean");
    case KEY_INTEGER:
    case KEY_NUMBER:
        return is_text(first(s), "type", key->kind == KEY_INTEGER ? "integer" : "number") &&
               is_number(first(s), "minimum", key->min) && is_number(first(s), "maximum", key->max);
    case KEY_DURATION: return is_text(first(s), "$ref", "#/$defs/duration");
    case KEY_SIZE: return is_text(first(s), "$ref", "#/$defs/size");
    case KEY_WORD: return words_agree(key, s);
    case KEY_TEXTS:
        return is_text(s, "type", "array") && is_number(s, "maxItems", SCHEMA_TEXTS_MAX) &&
               is_text(jsonc_get(s, "items"), "type", "string");
    case KEY_SECTION: compare_tables(key->table, first(s), path); return true;
    case KEY_LIST:
        compare_tables(key->table, resolve(jsonc_get(s, "items")), path);
        return is_text(s, "type", "array") && is_number(s, "maxItems", (int64_t)key->table->max);
    case KEY_PARAMETERS: return is_text(jsonc_get(s, "additionalProperties"), "type", "string");
    }
    return false;
}

static void compare_tables(const struct config_table *table, const struct jsonc *s,
                           const char *path)
{
    const struct jsonc *properties = jsonc_get(s, "properties");
    const struct jsonc *closed = jsonc_get(s, "additionalProperties");
    if (!properties || !closed || closed->boolean || closed->type != JSONC_BOOL)
        fail_msg("%s: not a closed object in the schema", path);
    size_t known = 0;
    for (size_t i = 0; i < table->key_count; i++) {
        const struct config_key *key = &table->keys[i];
        char at[256];
        (void)snprintf(at, sizeof at, "%s.%s", path, key->name); /* fits */
        const struct jsonc *property = jsonc_get(properties, key->name);
        if (!property)
            fail_msg("%s: not in the schema", at);
        if (!type_agrees(key, property, at))
            fail_msg("%s: another type, range or list of words in the schema", at);
        if (!default_agrees(key, property))
            fail_msg("%s: another default in the schema", at);
        known++;
    }
    if (properties->count != known)
        fail_msg("%s: the schema has keys that the table has not", path);
}

static void schema_agrees(void **state)
{
    (void)state;
    compare_tables(&config_root_table, schema_root, "");
}

static void find_in_page(const struct config_table *table, const char *path, const char *page)
{
    for (size_t i = 0; i < table->key_count; i++) {
        const struct config_key *key = &table->keys[i];
        char at[256], cell[280];
        (void)snprintf(at, sizeof at, "%s%s%s", path, *path ? "." : "", key->name); /* fits */
        (void)snprintf(cell, sizeof cell, "| `%s` |", at);                          /* fits */
        const char *row = strstr(page, cell);
        if (!row)
            fail_msg("docs/configuration.md has no row for %s", at);
        const char *end = strchr(row, '\n');
        if (key->fallback) {
            char text[64];
            (void)snprintf(text, sizeof text, "%s", key->fallback); /* fits */
            const char *found = strstr(row, text);
            if (!found || found > end)
                fail_msg("docs/configuration.md: the row of %s lacks its default", at);
        }
        if (key->kind == KEY_LIST)
            (void)strcat(at, "[]"); /* fits: paths are short */
        if (key->table)
            find_in_page(key->table, at, page);
    }
}

static void page_has_every_key(void **state)
{
    (void)state;
    struct sl_buf page = { 0 };
    read_source("docs/configuration.md", &page);
    find_in_page(&config_root_table, "", sl_buf_cstr(&page));
    sl_buf_free(&page);
}

/* A default that its own key would refuse is complained about when it is used. */
static void use_every_table(void **state)
{
    (void)state;
    struct sl_buf lines = { 0 };
    const char *text =
        "{\"listeners\":[{\"name\":\"a\"}],\"access\":{},\"gpio\":[{\"name\":\"g\",\"line\":1,"
        "\"chip\":\"users\"}],\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"cloud\":\"a\"}]}]"
        ","
        "\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\",\"subscribe\":[{\"cloud\":\"a\",\"local\":"
        "\"b\"}]},\"web\":{}}";
    assert_int_equal(support_parse(sl_str(text), NULL, &lines), SL_OK);
    assert_string_equal(sl_buf_cstr(&lines), "");
    sl_buf_free(&lines);
}

static const char *const examples[] = { "sluice.json", "minimal.json", "barn.json",
                                        "home-with-tls.json" };

/* Clean, but for a chip that the machine which tests need not have. */
static void example_is_clean(void **state)
{
    const char *name = *state;
    char path[128];
    struct sl_buf text = { 0 }, lines = { 0 };
    (void)snprintf(path, sizeof path, "config/examples/%s", name); /* fits */
    read_source(path, &text);
    if (support_parse(sl_buf_slice(&text), NULL, &lines) != SL_OK)
        fail_msg("%s", sl_buf_cstr(&lines));
    for (const char *at = sl_buf_cstr(&lines); *at;) {
        size_t n = strcspn(at, "\n");
        const char *allowed = strstr(at, "/dev/gpiochip0 is not there on this machine");
        if (!allowed || allowed > at + n)
            fail_msg("%.*s", (int)n, at);
        at += n + (at[n] == '\n');
    }
    sl_buf_free(&text);
    sl_buf_free(&lines);
}

static int set_up(void **state)
{
    (void)state;
    static const char *const files[] = { "AmazonRootCA1.pem",    "device.crt",
                                         "device.key",           "cloud.password",
                                         "certs/server.crt",     "certs/server.key",
                                         "certs/devices-ca.crt", "certs/cloud-ca.crt" };
    (void)support_folder();
    for (size_t i = 0; i < SL_ARRAY_LEN(files); i++)
        support_write(files[i], sl_str("content\n"));
    struct config_problems problems = { 0 };
    read_source("config/sluice.schema.json", &schema_text);
    bool ok =
        jsonc_parse(&schema_doc, sl_buf_slice(&schema_text), &problems) && problems.count == 0;
    schema_root = schema_doc.root;
    config_problems_free(&problems);
    return ok ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    jsonc_free(&schema_doc);
    sl_buf_free(&schema_text);
    support_remove();
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(examples) + 3] = {
        cmocka_unit_test(schema_agrees),
        cmocka_unit_test(page_has_every_key),
        cmocka_unit_test(use_every_table),
    };
    size_t n = 3;
    for (size_t i = 0; i < SL_ARRAY_LEN(examples); i++)
        tests[n++] = (struct CMUnitTest){ .name = examples[i],
                                          .test_func = example_is_clean,
                                          .initial_state = (void *)(uintptr_t)examples[i] };
    return _cmocka_run_group_tests("tables", tests, n, set_up, tear_down);
}
