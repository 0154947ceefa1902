/* value.c - conversions, members and equality. */
#include "value.h"

#include "json_out.h"
#include "number.h"
#include "payload.h"

const char *value_type_name(enum value_type t)
{
    switch (t) {
    case V_UNDEFINED: return "undefined";
    case V_NULL: return "null";
    case V_BOOL: return "a Boolean";
    case V_INT:
    case V_DECIMAL: return "a number";
    case V_STRING: return "a string";
    case V_ARRAY: return "an array";
    case V_OBJECT: return "an object";
    }
    return "?";
}

/* ---- members and elements ---- */

struct value_iter value_iterate(struct value v)
{
    struct value_iter it = { 0 };
    if (v.type != V_ARRAY && v.type != V_OBJECT)
        return it;
    if (!v.built) {
        it.json = payload_first(v.json);
        return it;
    }
    it.list = v.list;
    it.item = v.list->first;
    it.json = v.list->base ? payload_first(v.list->base) : NULL;
    return it;
}

static struct value_item *find_item(const struct value_list *list, struct sl_slice key)
{
    for (struct value_item *i = list->first; i; i = i->next)
        if (sl_slice_eq(i->key, key))
            return i;
    return NULL;
}

bool value_next(struct value_iter *it, struct sl_slice *ret_key, struct value *ret)
{
    while (it->json) {
        const struct cJSON *node = it->json;
        it->json = payload_after(node);
        *ret_key = payload_key(node);
        if (it->list && find_item(it->list, *ret_key))
            continue; /* an item of the list takes its place */
        *ret = payload_value(node);
        return true;
    }
    if (!it->item)
        return false;
    *ret_key = it->item->key;
    *ret = it->item->value;
    it->item = it->item->next;
    return true;
}

struct value value_member(struct value v, struct sl_slice key)
{
    if (v.type != V_OBJECT)
        return VALUE_UNDEFINED;
    const struct cJSON *base = v.built ? v.list->base : v.json;
    if (v.built) {
        const struct value_item *item = find_item(v.list, key);
        if (item)
            return item->value;
    }
    const struct cJSON *node = base ? payload_member(base, key) : NULL;
    return node ? payload_value(node) : VALUE_UNDEFINED;
}

struct value value_element(struct value v, int64_t index)
{
    if (v.type != V_ARRAY || index < 0)
        return VALUE_UNDEFINED;
    struct value_iter it = value_iterate(v);
    struct sl_slice key;
    struct value element;
    while (value_next(&it, &key, &element))
        if (index-- == 0)
            return element;
    return VALUE_UNDEFINED;
}

/* ---- building ---- */

struct value value_build(struct arena *a, enum value_type type)
{
    struct value_list *list = arena_alloc(a, sizeof *list);
    if (!list)
        return VALUE_UNDEFINED;
    return (struct value){ .type = type, .built = true, .list = list };
}

static void add_item(struct arena *a, struct value_list *list, struct sl_slice key, struct value v)
{
    struct value_item *item = arena_alloc(a, sizeof *item);
    if (!item)
        return; /* the arena remembers */
    *item = (struct value_item){ .key = key, .value = v };
    if (list->last)
        list->last->next = item;
    else
        list->first = item;
    list->last = item;
}

void value_append(struct arena *a, struct value array, struct value v)
{
    if (array.type == V_ARRAY && array.built && v.type != V_UNDEFINED)
        add_item(a, array.list, (struct sl_slice){ 0 }, v);
}

void value_set(struct arena *a, struct value object, struct sl_slice key, struct value v)
{
    if (object.type != V_OBJECT || !object.built || v.type == V_UNDEFINED)
        return;
    struct value_item *item = find_item(object.list, key);
    if (item)
        item->value = v;
    else
        add_item(a, object.list, key, v);
}

/* ---- conversions ---- */

struct value value_to_number(struct value v)
{
    switch (v.type) {
    case V_NULL:
    case V_INT:
    case V_DECIMAL: return v;
    case V_STRING: {
        struct value number;
        return number_parse(v.s, &number) ? number : VALUE_UNDEFINED;
    }
    case V_UNDEFINED:
    case V_BOOL:
    case V_ARRAY:
    case V_OBJECT: break;
    }
    return VALUE_UNDEFINED;
}

/* text equals word (in lower case) but for the case of its letters. */
static bool is_word(struct sl_slice text, const char *word)
{
    if (text.len != strlen(word))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((text.ptr[i] | 0x20) != (uint8_t)word[i])
            return false;
    return true;
}

struct value value_to_bool(struct value v)
{
    if (v.type == V_BOOL)
        return v;
    if (v.type == V_STRING && is_word(v.s, "true"))
        return value_bool(true);
    if (v.type == V_STRING && is_word(v.s, "false"))
        return value_bool(false);
    return VALUE_UNDEFINED;
}

static struct value collection_to_string(struct arena *a, struct value v)
{
    struct sl_buf text = { .max = a->max ? a->max : ARENA_MAX_DEFAULT };
    json_write(&text, v);
    if (text.failed)
        a->failed = true;
    struct value result = value_string(arena_copy(a, sl_buf_slice(&text)));
    sl_buf_free(&text);
    return result;
}

struct value value_to_string(struct arena *a, struct value v)
{
    switch (v.type) {
    case V_STRING: return v;
    case V_BOOL: return value_string(sl_str(v.b ? "true" : "false"));
    case V_INT:
    case V_DECIMAL: {
        char text[NUMBER_TEXT_MAX];
        size_t n = number_format(v, text);
        return value_string(arena_copy(a, sl_bytes(text, n)));
    }
    case V_ARRAY:
    case V_OBJECT: return collection_to_string(a, v);
    case V_UNDEFINED:
    case V_NULL: break;
    }
    return VALUE_UNDEFINED;
}

/* ---- equality ---- */

static bool same(struct value a, struct value b, unsigned *fuel);

static bool same_arrays(struct value a, struct value b, unsigned *fuel)
{
    struct value_iter ia = value_iterate(a), ib = value_iterate(b);
    struct sl_slice key;
    struct value x, y;
    for (;;) {
        bool more = value_next(&ia, &key, &x);
        if (more != value_next(&ib, &key, &y))
            return false;
        if (!more)
            return true;
        if (!same(x, y, fuel))
            return false;
    }
}

static size_t count_members(struct value v)
{
    struct value_iter it = value_iterate(v);
    struct sl_slice key;
    struct value ignored;
    size_t n = 0;
    while (value_next(&it, &key, &ignored))
        n++;
    return n;
}

/* Members usually come in the same order: the next one of b is tried before all of them. */
static bool same_objects(struct value a, struct value b, unsigned *fuel)
{
    size_t n = count_members(a);
    if (n != count_members(b))
        return false;
    struct value_iter ia = value_iterate(a), ib = value_iterate(b);
    struct sl_slice ka, kb;
    struct value x, y;
    while (value_next(&ia, &ka, &x)) {
        if (!value_next(&ib, &kb, &y) || !sl_slice_eq(ka, kb)) {
            if (*fuel < n) {
                *fuel = 0;
                return false;
            }
            *fuel -= (unsigned)n;
            y = value_member(b, ka);
        }
        if (!same(x, y, fuel))
            return false;
    }
    return true;
}

/* Null equals Null, and types that differ are unequal; an Int may equal a Decimal only as numbers.
 */
static bool same(struct value a, struct value b, unsigned *fuel)
{
    if (*fuel == 0)
        return false;
    --*fuel;
    if (value_is_number(a) && value_is_number(b))
        return number_compare(a, b) == 0;
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case V_BOOL: return a.b == b.b;
    case V_STRING: return sl_slice_eq(a.s, b.s);
    case V_ARRAY: return same_arrays(a, b, fuel);
    case V_OBJECT: return same_objects(a, b, fuel);
    case V_NULL: return true;
    case V_UNDEFINED:
    case V_INT:
    case V_DECIMAL: break;
    }
    return false;
}

struct value value_equal(struct value a, struct value b, unsigned *fuel)
{
    if (a.type == V_UNDEFINED || b.type == V_UNDEFINED)
        return VALUE_UNDEFINED;
    bool result = same(a, b, fuel);
    return *fuel == 0 ? VALUE_UNDEFINED : value_bool(result);
}
