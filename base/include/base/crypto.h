/* crypto.h - random bytes, hashes, PBKDF2 and base64, on Mbed TLS; and password hashes in
 * mosquitto_passwd's format. No state: randomness comes from the kernel each time. Any thread. */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include "base/buf.h"
#include "base/err.h"

/* Fills p; SL_IO when the system gives no randomness (getrandom(2)). */
SL_NODISCARD enum sl_code crypto_random(void *p, size_t n);
/* A random number below bound (> 0), without modulo bias; falls back to 0 when there is no
 * randomness. */
uint64_t crypto_random_below(uint64_t bound);
void crypto_sha256(struct sl_slice in, uint8_t out[32]);
bool crypto_equal(struct sl_slice a, struct sl_slice b); /* constant time for equal lengths */
void crypto_wipe(void *p, size_t n);                     /* not optimised away */

/* RFC 4648, with padding. Taking: false, and nothing appended, for anything that is not exactly
 * that (line ends and spaces, too), and when memory is out. */
void crypto_base64_put(struct sl_buf *out, struct sl_slice bytes);
SL_NODISCARD bool crypto_base64_take(struct sl_buf *out, struct sl_slice text);

/* "$7$ITERATIONS$SALT$HASH": PBKDF2-HMAC-SHA512, what mosquitto_passwd writes. */
SL_NODISCARD enum sl_code password_hash(struct sl_slice password, struct sl_buf *out,
                                        struct sl_err *err);
/* True when password fits hash; false for a mismatch, another scheme or a malformed hash.
 * Understands "$7$" and the older "$6$SALT$HASH" (one round of SHA-512). Iterations above
 * 10,000,000 are refused. Takes milliseconds by intent: not for the loop. */
bool password_verify(struct sl_slice password, struct sl_slice hash);
/* Whether password_verify() could ever say true to this hash. */
bool password_hash_valid(struct sl_slice hash);

#endif
