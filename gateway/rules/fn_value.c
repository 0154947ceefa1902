/* fn_value.c - types, collections, and what is known about the message. */
#include "functions.h"

#include "eval.h"
#include "number.h"

#include "base/topic.h"

#include <math.h>

/* ---- cast ---- */

struct value fn_cast_string(struct eval *ev, const struct value *args, unsigned count)
{
    (void)count;
    return value_to_string(ev->arena, args[0]);
}

static struct value cast_number(struct value v)
{
    if (v.type == V_BOOL)
        return value_int(v.b);
    v = value_to_number(v);
    if (v.type == V_DECIMAL)
        return number_from_double(v.d);
    return v.type == V_INT ? v : VALUE_UNDEFINED; /* null too */
}

struct value fn_cast_decimal(struct eval *ev, const struct value *args, unsigned count)
{
    (void)ev, (void)count;
    return cast_number(args[0]);
}

struct value fn_cast_int(struct eval *ev, const struct value *args, unsigned count)
{
    (void)ev, (void)count;
    struct value v = cast_number(args[0]);
    return v.type == V_DECIMAL ? number_from_double(floor(v.d)) : v;
}

struct value fn_cast_bool(struct eval *ev, const struct value *args, unsigned count)
{
    (void)ev, (void)count;
    if (value_is_number(args[0]))
        return value_bool(number_compare(args[0], value_int(0)) != 0);
    return value_to_bool(args[0]);
}

struct value fn_isnull(struct eval *ev, const struct value *args, unsigned count)
{
    (void)ev, (void)count;
    return value_bool(args[0].type == V_NULL);
}

struct value fn_isundefined(struct eval *ev, const struct value *args, unsigned count)
{
    (void)ev, (void)count;
    return value_bool(args[0].type == V_UNDEFINED);
}

/* ---- collections ---- */

static bool take_index(struct value v, int64_t *ret)
{
    v = value_to_number(v);
    if (!value_is_number(v))
        return false;
    *ret = v.type == V_DECIMAL && v.d < 0 && v.d > -1 ? -1 : number_truncate(v);
    return true;
}

struct value fn_get(struct eval *ev, const struct value *args, unsigned count)
{
    int64_t index;
    if (args[0].type == V_OBJECT)
        return args[1].type == V_STRING ? value_member(args[0], args[1].s) : VALUE_UNDEFINED;
    if ((args[0].type != V_ARRAY && args[0].type != V_STRING) || !take_index(args[1], &index) ||
        index < 0 || index == INT64_MAX)
        return VALUE_UNDEFINED;
    if (args[0].type == V_ARRAY)
        return value_element(args[0], index);
    const struct value bounds[3] = { args[0], value_int(index), value_int(index + 1) };
    struct value character = fn_substring(ev, bounds, count + 1);
    return character.s.len > 0 ? character : VALUE_UNDEFINED;
}

struct value fn_get_or_default(struct eval *ev, const struct value *args, unsigned count)
{
    (void)ev;
    if (args[0].type != V_UNDEFINED && args[0].type != V_NULL)
        return args[0];
    return count == 2 ? args[1] : VALUE_UNDEFINED;
}

static struct value concat_arrays(struct eval *ev, const struct value *args, unsigned count)
{
    struct value result = value_build(ev->arena, V_ARRAY), element;
    struct sl_slice key;
    for (unsigned i = 0; i < count; i++) {
        if (args[i].type != V_ARRAY) {
            value_append(ev->arena, result, args[i]);
            continue;
        }
        struct value_iter it = value_iterate(args[i]);
        while (!ev->arena->failed && value_next(&it, &key, &element))
            value_append(ev->arena, result, element);
    }
    return result;
}

static struct value concat_strings(struct eval *ev, const struct value *args, unsigned count)
{
    struct value parts[RULE_ARGS_MAX];
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        parts[i] = value_to_string(ev->arena, args[i]);
        if (parts[i].type != V_STRING)
            return VALUE_UNDEFINED;
        len += parts[i].s.len;
    }
    uint8_t *p = arena_alloc(ev->arena, len + 1), *w = p;
    if (!p)
        return VALUE_UNDEFINED;
    for (unsigned i = 0; i < count; i++) {
        if (parts[i].s.len > 0)
            memcpy(w, parts[i].s.ptr, parts[i].s.len);
        w += parts[i].s.len;
    }
    return value_string(sl_bytes(p, len));
}

/* One argument comes back as it is; an array among several makes an array, else a string a string.
 */
struct value fn_concat(struct eval *ev, const struct value *args, unsigned count)
{
    bool array = false, string = false;
    if (count == 1)
        return args[0];
    for (unsigned i = 0; i < count; i++) {
        array = array || args[i].type == V_ARRAY;
        string = string || args[i].type == V_STRING;
    }
    if (array)
        return concat_arrays(ev, args, count);
    return string ? concat_strings(ev, args, count) : VALUE_UNDEFINED;
}

/* ---- the message ---- */

struct value fn_topic(struct eval *ev, const struct value *args, unsigned count)
{
    struct sl_slice topic = rule_topic(ev->in->topic), level;
    if (count == 0)
        return value_string(topic);
    int64_t n;
    struct value number = value_to_number(args[0]);
    if (!value_is_number(number) || !number_floor(number, &n))
        return VALUE_UNDEFINED;
    struct sl_levels it = sl_levels(topic);
    while (n > 0 && sl_levels_next(&it, &level))
        if (--n == 0)
            return value_string(level);
    return VALUE_UNDEFINED;
}

struct value fn_clientid(struct eval *ev, const struct value *args, unsigned count)
{
    (void)args, (void)count;
    return value_string(ev->in->clientid.len > 0 ? ev->in->clientid : sl_str("n/a"));
}

struct value fn_timestamp(struct eval *ev, const struct value *args, unsigned count)
{
    (void)args, (void)count;
    return value_int(ev->in->ts_ms);
}

struct value fn_sql_version(struct eval *ev, const struct value *args, unsigned count)
{
    (void)ev, (void)args, (void)count;
    return value_string(sl_str("2016-03-23"));
}
