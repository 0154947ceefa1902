/* payload.c - cJSON, and nothing else knows it. */
#include "payload.h"

#include "number.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

enum { SMALL_OBJECT = 16 }; /* up to here every pair of names is compared */

static bool same_name(const cJSON *a, const cJSON *b)
{
    return a->string[0] == b->string[0] && strcmp(a->string, b->string) == 0;
}

static void drop(cJSON *object, cJSON *member)
{
    cJSON_Delete(cJSON_DetachItemViaPointer(object, member));
}

static void dedupe_small(cJSON *object)
{
    for (cJSON *m = object->child, *next; m; m = next) {
        next = m->next;
        for (const cJSON *later = next; later; later = later->next) {
            if (same_name(m, later)) {
                drop(object, m);
                break;
            }
        }
    }
}

/* An open hash table of members; an earlier one with the same name is dropped and replaced. */
static bool dedupe_large(cJSON *object, size_t count)
{
    size_t slots = 64;
    while (slots < count * 2)
        slots *= 2;
    cJSON **table = calloc(slots, sizeof *table);
    if (!table)
        return false;
    for (cJSON *m = object->child; m; m = m->next) {
        size_t at = sl_hash(sl_str(m->string)) & (slots - 1);
        while (table[at] && !same_name(table[at], m))
            at = (at + 1) & (slots - 1);
        if (table[at])
            drop(object, table[at]); /* behind m already: m->next is untouched */
        table[at] = m;
    }
    free(table);
    return true;
}

static bool dedupe(cJSON *object)
{
    size_t count = 0;
    for (const cJSON *m = object->child; m; m = m->next)
        count++;
    if (count > SMALL_OBJECT)
        return dedupe_large(object, count);
    dedupe_small(object);
    return true;
}

static bool is_large(const cJSON *number)
{
    return fabs(number->valuedouble) >= 0x1p53;
}

/* False when a number is none; *large is set when one may have lost digits. At most 1,000 levels
 * deep, as all that follow. */
static bool check_numbers(const cJSON *node, bool *large)
{
    if (cJSON_IsNumber(node)) {
        *large = *large || is_large(node);
        return isfinite(node->valuedouble) != 0;
    }
    for (const cJSON *c = node->child; c; c = c->next)
        if (!check_numbers(c, large))
            return false;
    return true;
}

/* The next number of a text that is known to be JSON; empty behind the last. */
static struct sl_slice next_number(struct sl_cursor *text)
{
    const uint8_t *p = text->at, *end = p + text->left, *from;
    while (p < end && *p != '-' && (*p < '0' || *p > '9')) {
        if (*p++ != '"')
            continue;
        for (; p < end && *p != '"'; p++)
            if (*p == '\\')
                p++;
        p++;
    }
    from = p < end ? p : end;
    for (p = from; p < end && ((*p >= '0' && *p <= '9') || memchr("+-.eE", *p, 5));)
        p++;
    *text = (struct sl_cursor){ p, (size_t)(end - p) };
    return sl_bytes(from, (size_t)(p - from));
}

/* cJSON has rounded large integers to doubles. Numbers come in the same order in text and tree, so
 * their digits can be brought back: they are kept in valuestring, which numbers do not use and
 * cJSON_Delete() frees. */
static bool keep_digits(cJSON *node, struct sl_cursor *text)
{
    for (cJSON *c = node->child; c; c = c->next)
        if (!keep_digits(c, text))
            return false;
    if (!cJSON_IsNumber(node))
        return true;
    struct sl_slice digits = next_number(text);
    if (!is_large(node) || digits.len > 20)
        return true;
    node->valuestring = cJSON_malloc(digits.len + 1);
    if (!node->valuestring)
        return false;
    memcpy(node->valuestring, digits.ptr, digits.len);
    node->valuestring[digits.len] = '\0';
    return true;
}

static struct value number_value(const cJSON *node)
{
    const char *digits = node->valuestring;
    struct value v;
    if (!digits)
        return number_from_double(node->valuedouble);
    bool negative = digits[0] == '-';
    if (!number_literal(sl_str(digits + negative), &v) || v.type != V_INT)
        return number_from_double(node->valuedouble);
    return negative ? value_int(-v.i) : v;
}

static bool dedupe_all(cJSON *node)
{
    if (cJSON_IsObject(node) && !dedupe(node))
        return false;
    for (cJSON *c = node->child; c; c = c->next)
        if (!dedupe_all(c))
            return false;
    return true;
}

static bool tidy(cJSON *root, struct sl_slice text)
{
    bool large = false;
    struct sl_cursor cursor = sl_cursor(text);
    return check_numbers(root, &large) && (!large || keep_digits(root, &cursor)) &&
           dedupe_all(root);
}

/* Whether a backslash begins "\u0000". After "\\" the pair is skipped. */
static bool has_escaped_nul(struct sl_slice s)
{
    for (size_t i = 0; i < s.len;) {
        const uint8_t *slash = memchr(s.ptr + i, '\\', s.len - i);
        if (!slash)
            return false;
        size_t at = (size_t)(slash - s.ptr);
        if (s.len - at >= 6 && memcmp(slash, "\\u0000", 6) == 0)
            return true;
        i = at + 2;
    }
    return false;
}

static cJSON *parse(struct sl_slice s)
{
    if (s.len == 0 || s.len > PAYLOAD_JSON_MAX || !sl_utf8_valid(s) || has_escaped_nul(s))
        return NULL;
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts((const char *)s.ptr, s.len, &end, 0);
    if (!root)
        return NULL;
    const char *stop = (const char *)s.ptr + s.len;
    while (end < stop && (*end == ' ' || *end == '\t' || *end == '\r' || *end == '\n'))
        end++;
    if (end == stop && tidy(root, s))
        return root;
    cJSON_Delete(root);
    return NULL;
}

bool payload_root(struct rule_input *in, struct value *ret)
{
    if (!in->parsed && !in->parse_failed) {
        in->parsed = parse(in->payload);
        in->parse_failed = !in->parsed;
    }
    if (!in->parsed)
        return false;
    *ret = payload_value(in->parsed);
    return true;
}

void payload_free(void *parsed)
{
    cJSON_Delete(parsed);
}

struct value payload_value(const struct cJSON *node)
{
    switch (node->type & 0xff) {
    case cJSON_NULL: return VALUE_NULL;
    case cJSON_False: return value_bool(false);
    case cJSON_True: return value_bool(true);
    case cJSON_Number: return number_value(node);
    case cJSON_String: return value_string(sl_str(node->valuestring));
    case cJSON_Array: return (struct value){ .type = V_ARRAY, .json = node };
    case cJSON_Object: return (struct value){ .type = V_OBJECT, .json = node };
    default: return VALUE_UNDEFINED; /* cJSON's type is a plain int */
    }
}

const struct cJSON *payload_first(const struct cJSON *array_or_object)
{
    return array_or_object->child;
}

const struct cJSON *payload_after(const struct cJSON *node)
{
    return node->next;
}

struct sl_slice payload_key(const struct cJSON *node)
{
    return sl_str(node->string); /* elements of arrays have none */
}

const struct cJSON *payload_member(const struct cJSON *object, struct sl_slice key)
{
    uint8_t first = key.len > 0 ? key.ptr[0] : 0;
    for (const cJSON *m = object->child; m; m = m->next)
        if ((uint8_t)m->string[0] == first && sl_slice_eq(sl_str(m->string), key))
            return m;
    return NULL;
}
