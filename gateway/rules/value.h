/* value.h - the values that expressions work on, and AWS's standard conversions between them.
 *
 * A value owns nothing: strings, arrays and objects point into the payload's parse tree, the plan
 * or the evaluation's arena. All strings are valid UTF-8. */
#ifndef RULES_VALUE_H
#define RULES_VALUE_H

#include "arena.h"

#include "base/buf.h"

struct cJSON;

enum value_type {
    V_UNDEFINED, /* no value: a missing field, a failed conversion */
    V_NULL,
    V_BOOL,
    V_INT,
    V_DECIMAL,
    V_STRING,
    V_ARRAY,
    V_OBJECT,
};

struct value_list;
struct value {
    enum value_type type;
    bool built; /* array or object: `list` (made by an expression), else `json` (the payload's) */
    union {
        bool b;
        int64_t i;
        double d;
        struct sl_slice s;
        const struct cJSON *json;
        struct value_list *list;
    };
};

/* An array or object that an expression made. An object's keys are unique. */
struct value_item {
    struct sl_slice key; /* objects only */
    struct value value;
    struct value_item *next;
};
struct value_list {
    const struct cJSON *base; /* object: the payload's members come first, where no item has the
                                 same key; NULL for none */
    struct value_item *first, *last;
    bool open; /* made for a dotted alias: a later alias may add to it */
};

#define VALUE_UNDEFINED ((struct value){ .type = V_UNDEFINED })
#define VALUE_NULL      ((struct value){ .type = V_NULL })

static inline struct value value_bool(bool b)
{
    return (struct value){ .type = V_BOOL, .b = b };
}
static inline struct value value_int(int64_t i)
{
    return (struct value){ .type = V_INT, .i = i };
}
static inline struct value value_string(struct sl_slice s)
{
    return (struct value){ .type = V_STRING, .s = s };
}
static inline bool value_is_number(struct value v)
{
    return v.type == V_INT || v.type == V_DECIMAL;
}

/* Members or elements one after the other. */
struct value_iter {
    const struct value_list *list;
    const struct cJSON *json;
    const struct value_item *item;
};
struct value_iter value_iterate(struct value v); /* yields nothing unless v is an array or object */
bool value_next(struct value_iter *it, struct sl_slice *ret_key, struct value *ret);
struct value value_member(struct value v, struct sl_slice key); /* Undefined: none, or no object */
struct value value_element(struct value v, int64_t index);      /* Undefined likewise */

/* An empty array or object; the value is Undefined when the arena has failed. */
struct value value_build(struct arena *a, enum value_type type);
/* Appends to an array that was built; Undefined is not appended. */
void value_append(struct arena *a, struct value array, struct value v);
/* Sets a member of an object that was built; Undefined changes nothing. key is kept by reference.
 */
void value_set(struct arena *a, struct value object, struct sl_slice key, struct value v);

/* Standard conversions; what cannot be converted gives Undefined. */
struct value value_to_number(struct value v); /* Int, Decimal, Null (from Null) or Undefined */
struct value value_to_bool(struct value v);
struct value value_to_string(struct arena *a, struct value v);

/* The operator =: true, false or Undefined (either side is). *fuel is taken for every node looked
 * at; at 0 the answer is Undefined, and the caller says that it was too much. */
struct value value_equal(struct value a, struct value b, unsigned *fuel);

const char *value_type_name(enum value_type t);

#endif
