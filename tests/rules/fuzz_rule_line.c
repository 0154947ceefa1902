/* Any bytes as a line of `sluice rule test`; what is read can be written and read again. */
#include "rule_line.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rule_line first = { 0 }, second = { 0 };
    struct sl_buf line = { 0 };
    struct sl_err err = { 0 };
    if (rule_line_parse(&first, sl_bytes(data, size), &err) == SL_OK) {
        rule_line_write(&line, first.topic, first.payload, false, first.ts_ms);
        line.len--; /* the newline */
        if (rule_line_parse(&second, sl_buf_slice(&line), &err) != SL_OK)
            abort();
        assert(sl_slice_eq(first.topic, second.topic));
        assert(sl_slice_eq(first.payload, second.payload));
        assert(first.ts_ms == second.ts_ms);
    } else {
        assert(err.text[0] != '\0');
    }
    sl_buf_free(&line);
    rule_line_release(&first);
    rule_line_release(&second);
    return 0;
}
