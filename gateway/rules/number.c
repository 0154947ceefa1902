/* number.c - Int and Decimal arithmetic, numbers to and from text. */
#include "number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EXACT_MAX ((int64_t)1 << 53) /* every integer up to here is a double */
#define DIGITS_MAX                                                                                 \
    INT64_C(1000000000000000) /* 10^15: below, decimal to double to decimal is                     \
                                 lossless */
enum { DECIMALS_MAX = 9, POWERS = 23 };

static const double powers[POWERS] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

struct value number_from_double(double d)
{
    if (!isfinite(d))
        return VALUE_UNDEFINED;
    if (fabs(d) <= (double)EXACT_MAX && d == trunc(d))
        return value_int((int64_t)d);
    return (struct value){ .type = V_DECIMAL, .d = d };
}

double number_to_double(struct value v)
{
    return v.type == V_INT ? (double)v.i : v.d;
}

/* v as mantissa / 10^decimals, the decimal number that v's double stands for. False when it has
 * more than 15 digits or 9 decimals. The quotient of two exact doubles is correctly rounded, so
 * equality says that the double is the one nearest to that decimal number. */
static bool split(struct value v, int64_t *ret_mantissa, int *ret_decimals)
{
    if (v.type == V_INT) {
        *ret_mantissa = v.i;
        *ret_decimals = 0;
        return v.i > -DIGITS_MAX && v.i < DIGITS_MAX;
    }
    for (int k = 0; k <= DECIMALS_MAX; k++) {
        double scaled = v.d * powers[k];
        if (!(fabs(scaled) < (double)DIGITS_MAX))
            return false;
        double whole = nearbyint(scaled);
        if (whole / powers[k] == v.d) {
            *ret_mantissa = (int64_t)whole;
            *ret_decimals = k;
            return true;
        }
    }
    return false;
}

static bool scale_up(int64_t *mantissa, int by)
{
    return !__builtin_mul_overflow(*mantissa, (int64_t)powers[by], mantissa);
}

static bool within_exact(int64_t m)
{
    return m >= -EXACT_MAX && m <= EXACT_MAX;
}

/* Exact decimal arithmetic on mantissas; false when a step would not be exact. */
static bool compute_scaled(enum number_op op, struct value a, struct value b, double *ret)
{
    int64_t m, n;
    int j, k;
    if (!split(a, &m, &j) || !split(b, &n, &k))
        return false;
    if (op == NUMBER_MULTIPLY) {
        if (__builtin_mul_overflow(m, n, &m) || !within_exact(m))
            return false;
        *ret = (double)m / powers[j + k];
        return true;
    }
    int common = j > k ? j : k;
    if (!scale_up(&m, common - j) || !scale_up(&n, common - k))
        return false;
    switch (op) {
    case NUMBER_ADD:
        if (__builtin_add_overflow(m, n, &m) || !within_exact(m))
            return false;
        break;
    case NUMBER_SUBTRACT:
        if (__builtin_sub_overflow(m, n, &m) || !within_exact(m))
            return false;
        break;
    case NUMBER_DIVIDE: *ret = (double)m / (double)n; return within_exact(m) && within_exact(n);
    case NUMBER_MODULO:
        m = n == -1 ? 0 : m % n; /* INT64_MIN % -1 overflows */
        if (!within_exact(m))
            return false;
        break;
    case NUMBER_MULTIPLY: break; /* done above */
    }
    *ret = (double)m / powers[common];
    return true;
}

static bool compute_ints(enum number_op op, int64_t a, int64_t b, int64_t *ret)
{
    switch (op) {
    case NUMBER_ADD: return !__builtin_add_overflow(a, b, ret);
    case NUMBER_SUBTRACT: return !__builtin_sub_overflow(a, b, ret);
    case NUMBER_MULTIPLY: return !__builtin_mul_overflow(a, b, ret);
    case NUMBER_DIVIDE:
        if (a == INT64_MIN && b == -1)
            return false;
        *ret = a / b;
        return true;
    case NUMBER_MODULO:
        *ret = b == -1 ? 0 : a % b; /* INT64_MIN % -1 overflows */
        return true;
    }
    return false;
}

struct value number_compute(enum number_op op, struct value a, struct value b)
{
    bool divides = op == NUMBER_DIVIDE || op == NUMBER_MODULO;
    if (divides && number_to_double(b) == 0)
        return VALUE_UNDEFINED;
    int64_t whole;
    if (a.type == V_INT && b.type == V_INT && compute_ints(op, a.i, b.i, &whole))
        return value_int(whole);
    double d;
    if (compute_scaled(op, a, b, &d))
        return number_from_double(d);
    double x = number_to_double(a), y = number_to_double(b);
    switch (op) {
    case NUMBER_ADD: return number_from_double(x + y);
    case NUMBER_SUBTRACT: return number_from_double(x - y);
    case NUMBER_MULTIPLY: return number_from_double(x * y);
    case NUMBER_DIVIDE: return number_from_double(x / y);
    case NUMBER_MODULO: return number_from_double(fmod(x, y));
    }
    return VALUE_UNDEFINED;
}

static int compare_int_double(int64_t i, double d)
{
    if (within_exact(i))
        return ((double)i > d) - ((double)i < d);
    if (d >= 0x1p63)
        return -1;
    if (d < -0x1p63)
        return 1;
    int64_t whole = (int64_t)d; /* past 2^53 a double has no fraction, and below it i decides */
    return (i > whole) - (i < whole);
}

int number_compare(struct value a, struct value b)
{
    if (a.type == V_INT && b.type == V_INT)
        return (a.i > b.i) - (a.i < b.i);
    if (a.type == V_INT)
        return compare_int_double(a.i, b.d);
    if (b.type == V_INT)
        return -compare_int_double(b.i, a.d);
    return (a.d > b.d) - (a.d < b.d);
}

bool number_floor(struct value v, int64_t *ret)
{
    if (v.type == V_INT) {
        *ret = v.i;
        return true;
    }
    double d = floor(v.d);
    if (!(d >= -0x1p63 && d < 0x1p63))
        return false;
    *ret = (int64_t)d;
    return true;
}

int64_t number_truncate(struct value v)
{
    if (v.type == V_INT)
        return v.i;
    if (v.d >= 0x1p63)
        return INT64_MAX;
    return v.d < -0x1p63 ? INT64_MIN : (int64_t)v.d;
}

/* ---- from text ---- */

static size_t count_digits(struct sl_slice s, size_t from)
{
    size_t i = from;
    while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
        i++;
    return i - from;
}

/* Length of the text when it fits the pattern, else 0. */
static bool fits_pattern(struct sl_slice s)
{
    size_t i = s.len > 0 && s.ptr[0] == '-';
    size_t n = count_digits(s, i);
    if (n == 0)
        return false;
    i += n;
    if (i < s.len && s.ptr[i] == '.') {
        n = count_digits(s, i + 1);
        if (n == 0)
            return false;
        i += 1 + n;
    }
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        i++;
        i += i < s.len && s.ptr[i] == '-';
        n = count_digits(s, i);
        if (n == 0)
            return false;
        i += n;
    }
    return i == s.len;
}

static bool to_double(struct sl_slice s, double *ret)
{
    char copy[128]; /* longer texts are not taken for numbers */
    if (s.len >= sizeof copy)
        return false;
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    *ret = strtod(copy, NULL);
    return isfinite(*ret);
}

bool number_parse(struct sl_slice text, struct value *ret)
{
    double d;
    if (!fits_pattern(text) || !to_double(text, &d))
        return false;
    *ret = (struct value){ .type = V_DECIMAL, .d = d };
    return true;
}

bool number_literal(struct sl_slice text, struct value *ret)
{
    int64_t whole = 0;
    bool fits = count_digits(text, 0) == text.len;
    for (size_t i = 0; fits && i < text.len; i++)
        fits = !__builtin_mul_overflow(whole, (int64_t)10, &whole) &&
               !__builtin_add_overflow(whole, (int64_t)(text.ptr[i] - '0'), &whole);
    if (fits) {
        *ret = value_int(whole);
        return true;
    }
    double d;
    if (!to_double(text, &d))
        return false;
    *ret = number_from_double(d);
    return true;
}

/* ---- to text ---- */

static size_t format_int(int64_t i, char *out)
{
    char reversed[24];
    size_t n = 0, len = 0;
    uint64_t rest = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    do {
        reversed[n++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (i < 0)
        out[len++] = '-';
    while (n > 0)
        out[len++] = reversed[--n];
    return len;
}

/* mantissa / 10^decimals, decimals 1 to 9, the last digit not 0. */
static size_t format_scaled(int64_t mantissa, int decimals, char *out)
{
    size_t len = 0;
    if (mantissa < 0)
        out[len++] = '-';
    int64_t m = mantissa < 0 ? -mantissa : mantissa;
    int64_t unit = (int64_t)powers[decimals];
    len += format_int(m / unit, out + len);
    out[len++] = '.';
    for (int64_t digit = unit / 10, rest = m % unit; digit > 0; digit /= 10) {
        out[len++] = (char)('0' + rest / digit);
        rest %= digit;
    }
    return len;
}

/* 0.DIGITS * 10^point laid out: 0.00ddd, ddd.ddd, ddd000 or d.dde+xx. */
static size_t layout(const char *digits, size_t n, int point, char out[NUMBER_TEXT_MAX])
{
    int w;
    if (point > -6 && point <= 0)
        w = snprintf(out, NUMBER_TEXT_MAX, "0.%.*s%s", -point, "000000", digits);
    else if (point > 0 && point <= 21 && (size_t)point >= n)
        w = snprintf(out, NUMBER_TEXT_MAX, "%s%.*s", digits, point - (int)n,
                     "000000000000000000000");
    else if (point > 0 && point <= 21)
        w = snprintf(out, NUMBER_TEXT_MAX, "%.*s.%s", point, digits, digits + point);
    else
        w = snprintf(out, NUMBER_TEXT_MAX, "%c%s%se%+d", digits[0], n > 1 ? "." : "", digits + 1,
                     point - 1);
    return (size_t)w;
}

/* With the fewest of 15 to 17 digits that give the same double. */
static size_t format_shortest(double d, char out[NUMBER_TEXT_MAX])
{
    char text[40];
    int precision = 14;
    do
        (void)snprintf(text, sizeof text, "%.*e", precision, fabs(d)); /* at most 25 bytes */
    while (strtod(text, NULL) != fabs(d) && ++precision < 17);
    char digits[24], *e = strchr(text, 'e');
    size_t n = 0;
    for (const char *p = text; p < e; p++)
        if (*p >= '0' && *p <= '9' && n < sizeof digits - 1)
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = '\0';
    size_t sign = d < 0;
    char body[NUMBER_TEXT_MAX];
    size_t len = layout(digits, n, (int)strtol(e + 1, NULL, 10) + 1, body);
    out[0] = '-';
    memcpy(out + sign, body, len < NUMBER_TEXT_MAX - 1 ? len : NUMBER_TEXT_MAX - 1);
    return len + sign;
}

size_t number_format(struct value v, char out[NUMBER_TEXT_MAX])
{
    if (v.type == V_INT)
        return format_int(v.i, out);
    int64_t mantissa;
    int decimals;
    if (fabs(v.d) >= 1e-6 && split(v, &mantissa, &decimals))
        return decimals ? format_scaled(mantissa, decimals, out) : format_int(mantissa, out);
    return format_shortest(v.d, out);
}
