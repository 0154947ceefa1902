/* functions.c - the table of functions: those that work here, and those that are known and refused.
 */
#include "functions.h"

#include "lexer.h"

#include "base/text.h"

#define LATER_AGGREGATE "is an aggregate: aggregates and windows are not supported by this version"
#define LATER_WINDOW    "is a window: aggregates and windows are not supported by this version"
#define LATER           "is not supported by this version"
#define CLOUD_ONLY      "works only in the cloud: it needs an AWS service"

#define PURE(name, min, max)                                                                       \
    {                                                                                              \
#name, min, max, true, fn_##name, NULL                                                     \
    }
#define CONTEXT(name, min, max)                                                                    \
    {                                                                                              \
#name, min, max, false, fn_##name, NULL                                                    \
    }
#define REFUSED(name, why)                                                                         \
    {                                                                                              \
        name, 0, 0, false, NULL, why                                                               \
    }

static const struct function functions[] = {
    PURE(abs, 1, 1),
    PURE(acos, 1, 1),
    PURE(asin, 1, 1),
    PURE(atan, 1, 1),
    PURE(atan2, 2, 2),
    PURE(bitand, 2, 2),
    PURE(bitnot, 1, 1),
    PURE(bitor, 2, 2),
    PURE(bitxor, 2, 2),
    PURE(ceil, 1, 1),
    PURE(chr, 1, 1),
    CONTEXT(clientid, 0, 0),
    PURE(concat, 0, RULE_ARGS_MAX),
    PURE(cos, 1, 1),
    PURE(cosh, 1, 1),
    PURE(endswith, 2, 2),
    PURE(exp, 1, 1),
    PURE(floor, 1, 1),
    PURE(get, 2, 2),
    PURE(get_or_default, 1, 2),
    PURE(indexof, 2, 2),
    PURE(isnull, 1, 1),
    PURE(isundefined, 1, 1),
    PURE(length, 1, 1),
    PURE(ln, 1, 1),
    PURE(log, 1, 1),
    PURE(lower, 1, 1),
    PURE(lpad, 2, 2),
    PURE(ltrim, 1, 1),
    PURE(mod, 2, 2),
    PURE(nanvl, 2, 2),
    PURE(numbytes, 1, 1),
    PURE(power, 2, 2),
    { "remainder", 2, 2, true, fn_mod, NULL },
    PURE(replace, 3, 3),
    PURE(round, 1, 1),
    PURE(rpad, 2, 2),
    PURE(rtrim, 1, 1),
    PURE(sign, 1, 1),
    PURE(sin, 1, 1),
    PURE(sinh, 1, 1),
    PURE(sql_version, 0, 0),
    PURE(sqrt, 1, 1),
    PURE(startswith, 2, 2),
    PURE(substring, 2, 3),
    PURE(tan, 1, 1),
    PURE(tanh, 1, 1),
    CONTEXT(timestamp, 0, 0),
    CONTEXT(topic, 0, 1),
    PURE(trim, 1, 1),
    PURE(trunc, 2, 2),
    PURE(upper, 1, 1),

    REFUSED("accountid", CLOUD_ONLY),
    REFUSED("aws_lambda", CLOUD_ONLY),
    REFUSED("get_dynamodb", CLOUD_ONLY),
    REFUSED("get_registry_data", CLOUD_ONLY),
    REFUSED("get_secret", CLOUD_ONLY),
    REFUSED("get_thing_shadow", CLOUD_ONLY),
    REFUSED("machinelearning_predict", CLOUD_ONLY),
    REFUSED("principal", CLOUD_ONLY),
    REFUSED("sourceip", CLOUD_ONLY),
    REFUSED("traceid", CLOUD_ONLY),

    REFUSED("avg", LATER_AGGREGATE),
    REFUSED("changed_col", LATER_AGGREGATE),
    REFUSED("collect", LATER_AGGREGATE),
    REFUSED("count", LATER_AGGREGATE),
    REFUSED("had_changed", LATER_AGGREGATE),
    REFUSED("lag", LATER_AGGREGATE),
    REFUSED("last_value", LATER_AGGREGATE),
    REFUSED("max", LATER_AGGREGATE),
    REFUSED("min", LATER_AGGREGATE),
    REFUSED("stddev", LATER_AGGREGATE),
    REFUSED("sum", LATER_AGGREGATE),
    REFUSED("countwindow", LATER_WINDOW),
    REFUSED("hoppingwindow", LATER_WINDOW),
    REFUSED("sessionwindow", LATER_WINDOW),
    REFUSED("slidingwindow", LATER_WINDOW),
    REFUSED("tumblingwindow", LATER_WINDOW),

    REFUSED("decode", LATER),
    REFUSED("encode", LATER),
    REFUSED("exists", LATER),
    REFUSED("get_mqtt_property", LATER),
    REFUSED("get_user_properties", LATER),
    REFUSED("md2", LATER),
    REFUSED("md5", LATER),
    REFUSED("newuuid", LATER),
    REFUSED("parse_time", LATER),
    REFUSED("rand", LATER),
    REFUSED("regexp_matches", LATER),
    REFUSED("regexp_replace", LATER),
    REFUSED("regexp_substr", LATER),
    REFUSED("sha1", LATER),
    REFUSED("sha224", LATER),
    REFUSED("sha256", LATER),
    REFUSED("sha384", LATER),
    REFUSED("sha512", LATER),
    REFUSED("time_to_epoch", LATER),
    REFUSED("transform", LATER),
};

const struct function *function_find(struct sl_slice name)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(functions); i++)
        if (rule_word_is(name, functions[i].name))
            return &functions[i];
    return NULL;
}

const char *function_nearest(struct sl_slice name)
{
    const char *best = NULL;
    unsigned best_distance = 3; /* two slips of the finger */
    for (size_t i = 0; i < SL_ARRAY_LEN(functions); i++) {
        unsigned d = sl_edit_distance(name, sl_str(functions[i].name));
        if (d < best_distance && d < strlen(functions[i].name)) {
            best_distance = d;
            best = functions[i].name;
        }
    }
    return best;
}

const struct function *function_cast(struct sl_slice type)
{
    static const struct function to_string = { "cast", 1, 1, true, fn_cast_string, NULL },
                                 to_int = { "cast", 1, 1, true, fn_cast_int, NULL },
                                 to_decimal = { "cast", 1, 1, true, fn_cast_decimal, NULL },
                                 to_bool = { "cast", 1, 1, true, fn_cast_bool, NULL };
    static const struct {
        const char *type;
        const struct function *cast;
    } casts[] = {
        { "String", &to_string }, { "Nvarchar", &to_string }, { "Text", &to_string },
        { "Ntext", &to_string },  { "varchar", &to_string },  { "Int", &to_int },
        { "Integer", &to_int },   { "Decimal", &to_decimal }, { "Double", &to_decimal },
        { "Bool", &to_bool },     { "Boolean", &to_bool },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(casts); i++)
        if (rule_word_is(type, casts[i].type))
            return casts[i].cast;
    return NULL;
}
