/* functions.h - the functions of the language: one table, and how a function is called. */
#ifndef RULES_FUNCTIONS_H
#define RULES_FUNCTIONS_H

#include "value.h"

enum { RULE_ARGS_MAX = 32 };

struct eval;
typedef struct value function_call(struct eval *ev, const struct value *args, unsigned count);

struct function {
    const char *name;
    uint8_t args_min, args_max; /* another number of arguments gives Undefined, as AWS does */
    bool pure;                  /* the same arguments always give the same value: may be folded */
    function_call *call;        /* NULL: known, and refused with `refusal` */
    const char *refusal;        /* "fn() REFUSAL" */
};

/* By name in any case; NULL for a name that is none. */
const struct function *function_find(struct sl_slice name);
/* The known name nearest to a misspelt one; NULL when none is near. */
const char *function_nearest(struct sl_slice name);
/* The function behind cast(x AS type); NULL for a type that is none. */
const struct function *function_cast(struct sl_slice type);

/* fn_number.c */
function_call fn_abs, fn_acos, fn_asin, fn_atan, fn_atan2, fn_bitand, fn_bitnot, fn_bitor,
    fn_bitxor, fn_ceil, fn_cos, fn_cosh, fn_exp, fn_floor, fn_ln, fn_log, fn_mod, fn_nanvl,
    fn_power, fn_round, fn_sign, fn_sin, fn_sinh, fn_sqrt, fn_tan, fn_tanh, fn_trunc;
/* fn_text.c */
function_call fn_chr, fn_endswith, fn_indexof, fn_length, fn_lower, fn_lpad, fn_ltrim, fn_numbytes,
    fn_replace, fn_rpad, fn_rtrim, fn_startswith, fn_substring, fn_trim, fn_upper;
/* fn_value.c */
function_call fn_cast_bool, fn_cast_decimal, fn_cast_int, fn_cast_string, fn_clientid, fn_concat,
    fn_get, fn_get_or_default, fn_isnull, fn_isundefined, fn_sql_version, fn_timestamp, fn_topic;

#endif
