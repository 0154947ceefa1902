/* pace.c - waits by cause. */
#include "pace.h"

#include "base/macros.h"

#include <stddef.h>
#include <string.h>

#define SECOND_MS INT64_C(1000)

struct pace pace_of(const char *cause)
{
    static const struct {
        const char *cause;
        struct pace pace;
    } rows[] = {
        { "dns", { 0, 15 * SECOND_MS, false } },
        { "clock", { 0, 15 * SECOND_MS, false } },
        { "certificate", { 0, 30 * SECOND_MS, false } }, /* the files: they may be replaced */
        { "tls", { 5 * SECOND_MS, INT64_MAX, false } },
        { "connack-refused", { 5 * SECOND_MS, INT64_MAX, false } },
        { "connack-closed", { 5 * SECOND_MS, INT64_MAX, false } },
        { "subscribe-closed", { 5 * SECOND_MS, INT64_MAX, false } },
        { "kicked", { 30 * SECOND_MS, INT64_MAX, true } },
        { "session-taken-over", { 30 * SECOND_MS, INT64_MAX, true } },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
        if (strcmp(cause, rows[i].cause) == 0)
            return rows[i].pace;
    return (struct pace){ 0, INT64_MAX, false };
}
