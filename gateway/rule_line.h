/* rule_line.h - the lines that `sluice rule test` reads and prints: a message as one line of JSON.
 * No I/O. */
#ifndef GATEWAY_RULE_LINE_H
#define GATEWAY_RULE_LINE_H

#include "base/buf.h"
#include "base/err.h"

#define RULE_LINE_MAX ((size_t)4 * 1024 * 1024)

/* Zero it before the first line; release it after the last. */
struct rule_line {
    struct sl_slice topic, payload, clientid; /* live until the next line */
    bool has_ts;
    int64_t ts_ms;
    struct sl_buf text; /* topic, clientid and a payload given as a string, without escapes */
};

/* Reads {"topic":"...","payload":...,"ts":ms,"clientid":"..."}; ts and clientid may be missing,
 * other keys are ignored. A payload that is a string stands for the bytes of that string, any other
 * value for its JSON text just as it is written. SL_INVALID with err saying what is wrong. line is
 * read again when the payload is used: keep it. */
SL_NODISCARD enum sl_code rule_line_parse(struct rule_line *l, struct sl_slice line,
                                          struct sl_err *err);
void rule_line_release(struct rule_line *l);

/* Appends {"topic":...,"payload":...,"ts":...} and a newline. A payload that is no JSON is written
 * as a string. */
void rule_line_write(struct sl_buf *out, struct sl_slice topic, struct sl_slice payload,
                     bool payload_is_json, int64_t ts_ms);

#endif
