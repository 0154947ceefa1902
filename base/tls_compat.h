/* tls_compat.h - everything that differs between Mbed TLS 2.28 and 3.x, and nothing else.
 *
 * Private to base/. The rest of base/ calls these and holds no version checks. Functions that
 * return int give Mbed TLS's own codes. */
#ifndef BASE_TLS_COMPAT_H
#define BASE_TLS_COMPAT_H

#include "base/slice.h"

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>

/* Must have run before certificates are parsed or sessions made; any number of times. */
SL_NODISCARD int tls_compat_init(void);

/* text: PEM with its NUL counted, or DER. No passphrase. */
SL_NODISCARD int tls_compat_parse_key(mbedtls_pk_context *key, struct sl_slice text);
SL_NODISCARD int tls_compat_check_pair(const mbedtls_pk_context *public_key,
                                       const mbedtls_pk_context *private_key);

/* 12 or 13. False when this library cannot speak that version. */
SL_NODISCARD bool tls_compat_min_version(mbedtls_ssl_config *conf, int version);
/* The fast curves first: 2.28 by itself would have every client that can compute on P-521, at twice
 * the cost. */
void tls_compat_order_curves(mbedtls_ssl_config *conf);
/* Suites with forward secrecy, best first, 0-ended: what sessions offer and accept. */
const int *tls_compat_suites(void);

/* Whether a read only brought a TLS 1.3 session ticket: not an error, read on. */
bool tls_compat_is_ticket(int rc);
/* Whether the sides have no protocol version in common. */
bool tls_compat_is_bad_version(int rc);
/* Whether the sides have no cipher suite or key kind in common. */
bool tls_compat_is_no_cipher(int rc);
/* The description byte of the alert that ended this session with FATAL_ALERT_MESSAGE. */
uint8_t tls_compat_alert(const mbedtls_ssl_context *ssl);

/* MBEDTLS_SSL_SERVER_CERTIFICATE and so on. */
int tls_compat_state(const mbedtls_ssl_context *ssl);
/* What the peer showed in the handshake that made this session; NULL for nothing. */
const mbedtls_x509_crt *tls_compat_session_cert(const mbedtls_ssl_session *session);
uint32_t tls_compat_session_flags(const mbedtls_ssl_session *session); /* of its verification */
/* The record buffers, TLS_COMPAT_BUFFER bytes or more each, when nothing in them is needed any more
 * but their beginning; false when something is, or when this library sizes them itself. */
#define TLS_COMPAT_BUFFER 16384
bool tls_compat_idle_buffers(const mbedtls_ssl_context *ssl, uint8_t **in, uint8_t **out);

/* RFC 8018 with HMAC-SHA-512; 0 or an error of Mbed TLS. */
SL_NODISCARD int tls_compat_pbkdf2_sha512(struct sl_slice password, struct sl_slice salt,
                                          unsigned rounds, uint8_t out[64]);

/* The random source in the shape that Mbed TLS wants: getrandom(2). */
int tls_compat_random(void *unused, unsigned char *out, size_t n);

#endif
