/* fn_number.c - functions from numbers to numbers. Numeric strings count as numbers; everything
 * else gives Undefined, and so does a result that is not a number or infinite. */
#include "functions.h"

#include "number.h"

#include <math.h>

/* ev is not needed: nothing here allocates. */
#define UNUSED (void)ev, (void)count

/* The argument as Int or Decimal; false for all others, null among them. */
static bool take(struct value v, struct value *ret)
{
    *ret = value_to_number(v);
    return value_is_number(*ret);
}

static bool take_double(struct value v, double *ret)
{
    if (!take(v, &v))
        return false;
    *ret = number_to_double(v);
    return true;
}

static struct value apply(const struct value *args, double (*f)(double))
{
    double x;
    return take_double(args[0], &x) ? number_from_double(f(x)) : VALUE_UNDEFINED;
}

#define APPLY(name, function)                                                                      \
    struct value fn_##name(struct eval *ev, const struct value *args, unsigned count)              \
    {                                                                                              \
        UNUSED;                                                                                    \
        return apply(args, function);                                                              \
    }

APPLY(acos, acos)
APPLY(asin, asin)
APPLY(atan, atan)
APPLY(cos, cos)
APPLY(cosh, cosh)
APPLY(exp, exp)
APPLY(ln, log)
APPLY(log, log10)
APPLY(sin, sin)
APPLY(sinh, sinh)
APPLY(sqrt, sqrt)
APPLY(tan, tan)
APPLY(tanh, tanh)

static struct value apply2(const struct value *args, double (*f)(double, double))
{
    double x, y;
    if (!take_double(args[0], &x) || !take_double(args[1], &y))
        return VALUE_UNDEFINED;
    return number_from_double(f(x, y));
}

struct value fn_atan2(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    return apply2(args, atan2);
}

struct value fn_power(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    return apply2(args, pow);
}

struct value fn_abs(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    struct value v;
    if (!take(args[0], &v))
        return VALUE_UNDEFINED;
    if (number_compare(v, value_int(0)) < 0)
        return number_compute(NUMBER_SUBTRACT, value_int(0), v);
    return v.type == V_INT ? v : number_from_double(v.d);
}

/* An Int stays as it is; a Decimal goes through f. */
static struct value to_whole(const struct value *args, double (*f)(double))
{
    struct value v;
    if (!take(args[0], &v))
        return VALUE_UNDEFINED;
    return v.type == V_INT ? v : number_from_double(f(v.d));
}

struct value fn_ceil(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    return to_whole(args, ceil);
}

struct value fn_floor(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    return to_whole(args, floor);
}

struct value fn_round(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    return to_whole(args, round); /* ties go away from zero, as AWS's do */
}

struct value fn_sign(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    struct value v;
    if (!take(args[0], &v))
        return VALUE_UNDEFINED;
    int order = number_compare(v, value_int(0));
    return value_int(order < 0 ? -1 : order > 0);
}

struct value fn_mod(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    struct value a, b;
    if (!take(args[0], &a) || !take(args[1], &b))
        return VALUE_UNDEFINED;
    return number_compute(NUMBER_MODULO, a, b);
}

struct value fn_nanvl(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    return args[0].type == V_UNDEFINED || args[0].type == V_NULL ? args[1] : args[0];
}

/* The digits of x without those behind the n-th decimal. Done on the number's text, where 2.3 is
 * 2.3 and not a little less. */
struct value fn_trunc(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    struct value v, result;
    int64_t n;
    if (!take(args[0], &v) || !value_is_number(args[1]) || !number_floor(args[1], &n))
        return VALUE_UNDEFINED;
    char text[NUMBER_TEXT_MAX];
    size_t len = number_format(v, text);
    double d = number_to_double(v);
    if (memchr(text, 'e', len)) { /* below 1e-6, or so large that it has no decimals */
        double unit = pow(10, n < 0 ? 0 : n > 34 ? 34 : (double)n);
        return number_from_double(fabs(d) < 1 ? trunc(d * unit) / unit : d);
    }
    const char *point = memchr(text, '.', len);
    if (!point)
        return v.type == V_INT ? v : number_from_double(d);
    size_t whole = (size_t)(point - text);
    size_t keep = n <= 0 ? whole : n >= 34 ? len : whole + 1 + (size_t)n;
    if (!number_parse(sl_bytes(text, keep < len ? keep : len), &result))
        return VALUE_UNDEFINED;
    return number_from_double(result.d);
}

/* ---- bits: arguments are made Int by rounding down ---- */

static bool take_bits(const struct value *args, unsigned count, int64_t *ret)
{
    for (unsigned i = 0; i < count; i++) {
        struct value v;
        if (!take(args[i], &v) || !number_floor(v, &ret[i]))
            return false;
    }
    return true;
}

struct value fn_bitand(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    int64_t n[2];
    return take_bits(args, 2, n) ? value_int(n[0] & n[1]) : VALUE_UNDEFINED;
}

struct value fn_bitor(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    int64_t n[2];
    return take_bits(args, 2, n) ? value_int(n[0] | n[1]) : VALUE_UNDEFINED;
}

struct value fn_bitxor(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    int64_t n[2];
    return take_bits(args, 2, n) ? value_int(n[0] ^ n[1]) : VALUE_UNDEFINED;
}

struct value fn_bitnot(struct eval *ev, const struct value *args, unsigned count)
{
    UNUSED;
    int64_t n;
    return take_bits(args, 1, &n) ? value_int(~n) : VALUE_UNDEFINED;
}
