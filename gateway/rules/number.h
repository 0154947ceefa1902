/* number.h - Int and Decimal arithmetic as AWS IoT SQL has it. No state.
 *
 * AWS computes in decimal with 34 digits. Here an Int is an int64_t and a Decimal is a double, but
 * sums, differences, products and remainders are computed exactly in decimal where both operands
 * and the result have at most 15 digits (at most 9 of them decimals in an operand), so 0.1 + 0.2 is
 * 0.3. Past that they are rounded as doubles are. A whole Decimal within 2^53 is an Int. */
#ifndef RULES_NUMBER_H
#define RULES_NUMBER_H

#include "value.h"

#define NUMBER_TEXT_MAX 32

/* Int when whole and exact, else Decimal; Undefined for infinities and NaN. */
struct value number_from_double(double d);
double number_to_double(struct value v); /* v: Int or Decimal */

enum number_op { NUMBER_ADD, NUMBER_SUBTRACT, NUMBER_MULTIPLY, NUMBER_DIVIDE, NUMBER_MODULO };
/* a, b: Int or Decimal. Two Ints give an Int (division truncates), a result past int64_t a Decimal;
 * division by zero is Undefined; a remainder has the sign of a. */
struct value number_compute(enum number_op op, struct value a, struct value b);
int number_compare(struct value a, struct value b); /* exact; <0, 0, >0 */

/* The pattern ^-?\d+(\.\d+)?([eE]-?\d+)?$ over the whole slice. Always a Decimal (7 in "7" / 2 is
 * one); false too when the magnitude is beyond a double's. */
SL_NODISCARD bool number_parse(struct sl_slice text, struct value *ret);
/* A number as written in SQL (already checked by the lexer): Int when it is whole. */
SL_NODISCARD bool number_literal(struct sl_slice text, struct value *ret);
/* Shortest text that reads back as the same number; plain digits between 1e-7 and 1e21. Not
 * terminated; returns the length. */
size_t number_format(struct value v, char out[NUMBER_TEXT_MAX]);

/* Toward minus infinity, as an int64_t; false when it does not fit. */
SL_NODISCARD bool number_floor(struct value v, int64_t *ret);
/* Toward zero, saturated at the ends of int64_t. */
int64_t number_truncate(struct value v);

#endif
