/* err.c - composing error texts. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum sl_code sl_fail(struct sl_err *err, enum sl_code code, const char *fmt, ...)
{
    if (!err)
        return code;
    /* Format aside first: an argument may point into the text there is. */
    char text[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long: still a sentence */
    va_end(args);
    memcpy(err->text, text, sizeof text);
    err->code = code;
    return code;
}

enum sl_code sl_wrap(struct sl_err *err, const char *fmt, ...)
{
    if (!err)
        return SL_IO;
    char context[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(context, sizeof context, fmt, args); /* cut when too long */
    va_end(args);
    char inner[sizeof err->text];
    memcpy(inner, err->text, sizeof inner);
    size_t used = strlen(context);
    if (used > sizeof err->text - 3)
        used = sizeof err->text - 3;
    memcpy(err->text, context, used);
    memcpy(err->text + used, ": ", 2);
    size_t room = sizeof err->text - used - 3;
    size_t inner_len = strnlen(inner, sizeof inner - 1);
    if (inner_len > room)
        inner_len = room;
    memcpy(err->text + used + 2, inner, inner_len);
    err->text[used + 2 + inner_len] = '\0';
    return err->code;
}

const char *sl_code_name(enum sl_code code)
{
    switch (code) {
    case SL_OK: return "ok";
    case SL_NOMEM: return "out of memory";
    case SL_INVALID: return "invalid";
    case SL_LIMIT: return "limit reached";
    case SL_IO: return "input/output error";
    case SL_FULL: return "disk full";
    case SL_CORRUPT: return "corrupt";
    case SL_BUSY: return "busy";
    case SL_CLOSED: return "closed";
    case SL_TLS: return "tls failure";
    case SL_REFUSED: return "refused";
    case SL_NOTFOUND: return "not found";
    case SL_UNSUPPORTED: return "unsupported";
    }
    return "unknown";
}
