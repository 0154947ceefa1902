/* json_out.h - values as JSON text: no white space, members in order, numbers at their shortest. */
#ifndef RULES_JSON_OUT_H
#define RULES_JSON_OUT_H

#include "value.h"

/* Appends v. Undefined writes nothing; inside objects and arrays it does not occur. */
void json_write(struct sl_buf *out, struct value v);
void json_write_string(struct sl_buf *out, struct sl_slice s);

#endif
