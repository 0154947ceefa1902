/* changes.c - which sections of two configurations differ, by the same tables that filled them. */
#include "schema.h"

static const void *at(const void *base, size_t offset)
{
    return (const char *)base + offset - 1; /* offsets are plus 1 */
}

static const char *text_at(const void *base, size_t offset)
{
    const char *text;
    memcpy(&text, at(base, offset), sizeof text);
    return text ? text : "";
}

static bool same_texts(const void *a, const void *b, size_t offset)
{
    char **x, **y;
    memcpy(&x, at(a, offset), sizeof x);
    memcpy(&y, at(b, offset), sizeof y);
    for (; x && *x && y && *y; x++, y++)
        if (strcmp(*x, *y) != 0)
            return false;
    return (!x || !*x) == (!y || !*y);
}

static bool same_keys(const struct config_table *table, const void *a, const void *b);

static bool same_list(const struct config_key *key, const void *a, const void *b)
{
    const char *x, *y;
    size_t n, m;
    memcpy(&x, at(a, key->field), sizeof x);
    memcpy(&y, at(b, key->field), sizeof y);
    memcpy(&n, at(a, key->count), sizeof n);
    memcpy(&m, at(b, key->count), sizeof m);
    for (size_t i = 0; n == m && i < n; i++)
        if (!same_keys(key->table, x + i * key->table->size, y + i * key->table->size))
            return false;
    return n == m;
}

static bool same_key(const struct config_key *key, const void *a, const void *b)
{
    if (key->note && memcmp(at(a, key->note), at(b, key->note), sizeof(bool)) != 0)
        return false;
    if (key->kind == KEY_LIST)
        return same_list(key, a, b);
    if (key->kind == KEY_SECTION && !same_keys(key->table, a, b))
        return false;
    if (!key->field)
        return true;
    switch (key->kind) {
    case KEY_TEXT:
    case KEY_PATH: return strcmp(text_at(a, key->field), text_at(b, key->field)) == 0;
    case KEY_TEXTS: return same_texts(a, b, key->field);
    case KEY_SECTION:
    case KEY_BOOL:
    case KEY_INTEGER:
    case KEY_NUMBER:
    case KEY_DURATION:
    case KEY_SIZE:
    case KEY_WORD: return memcmp(at(a, key->field), at(b, key->field), key->width) == 0;
    case KEY_LIST:
    case KEY_PARAMETERS: return true;
    }
    return true;
}

static bool same_keys(const struct config_table *table, const void *a, const void *b)
{
    for (size_t i = 0; i < table->key_count; i++)
        if (!same_key(&table->keys[i], a, b))
            return false;
    return true;
}

bool config_section_same(const char *section, const struct config *a, const struct config *b)
{
    const struct config_table *root = &config_root_table;
    for (size_t i = 0; i < root->key_count; i++)
        if (strcmp(root->keys[i].name, section) == 0)
            return same_key(&root->keys[i], a, b);
    return true;
}
