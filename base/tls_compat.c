/* tls_compat.c - what differs between Mbed TLS 2.28 and 3.x: the only file with version checks. */
#include "tls_compat.h"

#include "base/crypto.h"

#include <mbedtls/entropy.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/ssl_ciphersuites.h>

#define IS_3 (MBEDTLS_VERSION_MAJOR >= 3)

#if IS_3
#include <psa/crypto.h>
#define FIELD(x)    MBEDTLS_PRIVATE(x)
#define BAD_VERSION MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION
#define NO_CIPHER   MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE
#define NO_FIT      MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE
#else
#define FIELD(x)    x
#define BAD_VERSION MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION
#define NO_CIPHER   MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN
#define NO_FIT      MBEDTLS_ERR_SSL_NO_USABLE_CIPHERSUITE
#endif

#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
#define HAS_TLS13 true
#else
#define HAS_TLS13 false
#endif

#if defined(MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
#define TICKET_ONLY MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
#else
#define TICKET_ONLY 1 /* no error code is positive */
#endif

int tls_compat_random(void *unused, unsigned char *out, size_t n)
{
    (void)unused;
    return crypto_random(out, n) == SL_OK ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
}

static const int suites[] = {
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM, /* small devices often have only CCM or CBC */
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_DHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_DHE_RSA_WITH_AES_256_GCM_SHA384,
    0,
};

const int *tls_compat_suites(void)
{
    return suites;
}

bool tls_compat_is_ticket(int rc)
{
    return rc < 0 && rc == TICKET_ONLY;
}

bool tls_compat_is_bad_version(int rc)
{
    return rc == BAD_VERSION;
}

bool tls_compat_is_no_cipher(int rc)
{
    return rc == NO_CIPHER || rc == NO_FIT;
}

uint8_t tls_compat_alert(const mbedtls_ssl_context *ssl)
{
    return ssl->FIELD(in_msg)[1];
}

int tls_compat_state(const mbedtls_ssl_context *ssl)
{
    return ssl->FIELD(state);
}

#if defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE)
const mbedtls_x509_crt *tls_compat_session_cert(const mbedtls_ssl_session *session)
{
    return session->FIELD(peer_cert);
}
#else
#error "This Mbed TLS forgets the certificates of peers; names could not be taken from them."
#endif

uint32_t tls_compat_session_flags(const mbedtls_ssl_session *session)
{
    return session->FIELD(verify_result);
}

#if defined(MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH) || MBEDTLS_SSL_IN_CONTENT_LEN < 16384 ||           \
    MBEDTLS_SSL_OUT_CONTENT_LEN < 16384
bool tls_compat_idle_buffers(const mbedtls_ssl_context *ssl, uint8_t **in, uint8_t **out)
{
    (void)ssl;
    (void)in;
    (void)out;
    return false;
}
#else
bool tls_compat_idle_buffers(const mbedtls_ssl_context *ssl, uint8_t **in, uint8_t **out)
{
    if (ssl->FIELD(in_left) != 0 || ssl->FIELD(in_hslen) != 0 || ssl->FIELD(in_offt) ||
        ssl->FIELD(out_left) != 0)
        return false;
    *in = ssl->FIELD(in_buf);
    *out = ssl->FIELD(out_buf);
    return true;
}
#endif

#if IS_3

void tls_compat_order_curves(mbedtls_ssl_config *conf)
{
    (void)conf; /* they are */
}

int tls_compat_init(void)
{
    /* TLS 1.3 computes with PSA keys whatever the library was built for. */
    return psa_crypto_init() == PSA_SUCCESS ? 0 : MBEDTLS_ERR_SSL_HW_ACCEL_FAILED;
}

int tls_compat_parse_key(mbedtls_pk_context *key, struct sl_slice text)
{
    return mbedtls_pk_parse_key(key, text.ptr, text.len, NULL, 0, tls_compat_random, NULL);
}

int tls_compat_check_pair(const mbedtls_pk_context *public_key,
                          const mbedtls_pk_context *private_key)
{
    return mbedtls_pk_check_pair(public_key, private_key, tls_compat_random, NULL);
}

bool tls_compat_min_version(mbedtls_ssl_config *conf, int version)
{
    if (version == 13 && !HAS_TLS13)
        return false;
    mbedtls_ssl_conf_min_tls_version(conf, version == 13 ? MBEDTLS_SSL_VERSION_TLS1_3
                                                         : MBEDTLS_SSL_VERSION_TLS1_2);
    return true;
}

int tls_compat_pbkdf2_sha512(struct sl_slice password, struct sl_slice salt, unsigned rounds,
                             uint8_t out[64])
{
    return mbedtls_pkcs5_pbkdf2_hmac_ext(MBEDTLS_MD_SHA512, password.ptr, password.len, salt.ptr,
                                         salt.len, rounds, 64, out);
}

#else

/* All that the library takes by itself: peers' certificates are held to this list as well. */
static const mbedtls_ecp_group_id curves[] = {
    MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1,
    MBEDTLS_ECP_DP_SECP521R1,  MBEDTLS_ECP_DP_BP256R1,   MBEDTLS_ECP_DP_BP384R1,
    MBEDTLS_ECP_DP_BP512R1,    MBEDTLS_ECP_DP_NONE,
};

void tls_compat_order_curves(mbedtls_ssl_config *conf)
{
    mbedtls_ssl_conf_curves(conf, curves);
}

int tls_compat_init(void)
{
    return 0;
}

int tls_compat_parse_key(mbedtls_pk_context *key, struct sl_slice text)
{
    return mbedtls_pk_parse_key(key, text.ptr, text.len, NULL, 0);
}

int tls_compat_check_pair(const mbedtls_pk_context *public_key,
                          const mbedtls_pk_context *private_key)
{
    return mbedtls_pk_check_pair(public_key, private_key);
}

bool tls_compat_min_version(mbedtls_ssl_config *conf, int version)
{
    if (version == 13)
        return false;
    mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    return true;
}

int tls_compat_pbkdf2_sha512(struct sl_slice password, struct sl_slice salt, unsigned rounds,
                             uint8_t out[64])
{
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    int rc = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA512), 1);
    if (rc == 0)
        rc = mbedtls_pkcs5_pbkdf2_hmac(&md, password.ptr, password.len, salt.ptr, salt.len, rounds,
                                       64, out);
    mbedtls_md_free(&md);
    return rc;
}

#endif
