/* seal.h - bytes sealed with a key, so that only its owner can read them and every change shows:
 * AES-256-GCM, on Mbed TLS.
 *
 * A nonce never comes twice: each sealer draws 128 random bits, derives a key of its own from them
 * and the owner's, and counts. What is sealed begins with both, so any sealer of the same key opens
 * it. The nonce of a name follows from the name, by a key of its own. One thread at a time. */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H

#include "base/buf.h"
#include "base/err.h"

#define SEAL_KEY_BYTES     32
#define SEAL_CHECK_BYTES   16
#define SEAL_OVERHEAD      40 /* bytes that sealing adds: 16 drawn, 8 counted, 16 of the tag */
#define SEAL_NAME_OVERHEAD 28 /* and to a name: 12 that follow from it, 16 of the tag */

struct sealer;

/* 64 hexadecimal digits or 44 characters of base64, as `openssl rand -hex 32` and `-base64 32`
 * print them; white space around them is left out. */
SL_NODISCARD bool seal_key_parse(struct sl_slice text, uint8_t ret[SEAL_KEY_BYTES]);

/* The key is copied. SL_IO when the system gives no random numbers, SL_NOMEM. */
SL_NODISCARD enum sl_code sealer_new(struct sealer **ret, const uint8_t key[SEAL_KEY_BYTES],
                                     struct sl_err *err);
void sealer_free(struct sealer *s); /* accepts NULL; wipes its keys */

/* Tells the key's owners apart from others without telling the key; `about` makes it another for
 * each use. */
void sealer_check(const struct sealer *s, struct sl_slice about, uint8_t ret[SEAL_CHECK_BYTES]);

/* Appends what `plain` becomes; `beside` is not in it, but has to be the same when it is opened. */
SL_NODISCARD enum sl_code sealer_seal(struct sealer *s, struct sl_slice beside,
                                      struct sl_slice plain, struct sl_buf *out);
/* SL_CORRUPT: with another key, another `beside`, or changed. */
SL_NODISCARD enum sl_code sealer_open(struct sealer *s, struct sl_slice beside,
                                      struct sl_slice sealed, struct sl_buf *out);

/* The same for a name that is looked up by what it becomes: one name beside the same bytes always
 * becomes the same, with every sealer of the key, and that is all that shows. */
SL_NODISCARD enum sl_code sealer_seal_name(struct sealer *s, struct sl_slice beside,
                                           struct sl_slice name, struct sl_buf *out);
SL_NODISCARD enum sl_code sealer_open_name(struct sealer *s, struct sl_slice beside,
                                           struct sl_slice sealed, struct sl_buf *out);

#endif
