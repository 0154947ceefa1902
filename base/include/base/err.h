/* err.h - a code to branch on and a sentence to read.
 *
 * Libraries fill a struct sl_err and return its code; whoever handles the error logs it, once. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/macros.h"

enum sl_code {
    SL_OK = 0,
    SL_NOMEM,   /* memory is out */
    SL_INVALID, /* the input breaks a rule; the text names place, value and rule */
    SL_LIMIT,   /* a bound was reached */
    SL_IO,      /* a system call failed */
    SL_FULL,    /* no room on the disk */
    SL_CORRUPT, /* stored data fails its check */
    SL_BUSY,    /* held by someone else */
    SL_CLOSED,  /* the other side, or this object, is closed */
    SL_TLS,     /* handshake, certificate or record failure */
    SL_REFUSED, /* a peer said no */
    SL_NOTFOUND,
    SL_UNSUPPORTED,
};

struct sl_err {
    enum sl_code code;
    char text[384];
};

/* Set code and text; err may be NULL. Returns code, so that "return sl_fail(...)" reads well. */
enum sl_code sl_fail(struct sl_err *err, enum sl_code code, const char *fmt, ...) SL_PRINTF(3, 4);

/* Put "context: " before the text there is. Returns the code that err holds (SL_IO when NULL). */
enum sl_code sl_wrap(struct sl_err *err, const char *fmt, ...) SL_PRINTF(2, 3);

/* The code's name, "invalid" say; never NULL. */
const char *sl_code_name(enum sl_code code);

#endif
