/* ws_tls.c - TLS of WebSocket connections. libwebsockets makes the sessions, with OpenSSL; what it
 * does not set, or would leave open, is set here on its context. The only file with OpenSSL. */
#include "ws_private.h"

#include "base/log.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <string.h>

enum sl_code ws_tls_check(const struct ws_site_options *o, struct sl_err *err)
{
    struct tls_context *tls = NULL;
    struct tls_options t = {
        .server = true,
        .cert_path = o->cert_path,
        .key_path = o->key_path,
        .ca_path = o->ca_path,
        .crl_path = o->crl_path,
        .client_cert = o->client_cert,
        .min_version = 12, /* what this side can do is not what the other one can */
    };
    enum sl_code rc = tls_context_new(&tls, &t, err);
    tls_context_unref(tls);
    return rc;
}

/* lws' own callback would let a bad certificate in unless told otherwise, so ours takes its place;
 * it only adds the reason to the log. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
    if (!ok) {
        char subject[256] = "?";
        X509 *cert = X509_STORE_CTX_get_current_cert(store);
        if (cert)
            (void)X509_NAME_oneline(X509_get_subject_name(cert), subject, sizeof subject);
        sl_log(SL_INFO, "broker", NULL, "TLS: a client's certificate is refused: %s: %s",
               X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)), subject);
    }
    return ok;
}

static bool add_crl(SSL_CTX *ctx, const char *path)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    return X509_STORE_load_locations(store, path, NULL) == 1 &&
           X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) == 1;
}

/* A session that is taken up again would skip the checks of its certificate. */
static void forbid_resumption(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
}

static bool ask_for_certificates(SSL_CTX *ctx, const struct ws_site_options *o)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(o->ca_path); /* told to the client */
    if (!names)
        return false;
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(
        ctx,
        SSL_VERIFY_PEER |
            (o->client_cert == TLS_CLIENT_CERT_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        on_verify);
    forbid_resumption(ctx);
    return SSL_CTX_load_verify_locations(ctx, o->ca_path, NULL) == 1 &&
           (!o->crl_path || add_crl(ctx, o->crl_path));
}

bool ws_tls_setup(void *ssl_ctx, const struct ws_site_options *o)
{
    SSL_CTX *ctx = ssl_ctx;
    int oldest = o->min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* idle ones own none: 34 kB each */
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    bool ok = SSL_CTX_set_min_proto_version(ctx, oldest) == 1 &&
              SSL_CTX_set_max_proto_version(ctx, 0) == 1 &&
              (o->client_cert == TLS_CLIENT_CERT_NONE || ask_for_certificates(ctx, o));
    ERR_clear_error();
    return ok;
}

/* A name with a NUL in it could look like another one. */
static size_t copy_name(const ASN1_STRING *value, char buf[WS_NAME_MAX])
{
    unsigned char *utf8 = NULL;
    int n = value ? ASN1_STRING_to_UTF8(&utf8, value) : -1;
    size_t len = n > 0 && n < WS_NAME_MAX && !memchr(utf8, 0, (size_t)n) ? (size_t)n : 0;
    if (len > 0)
        memcpy(buf, utf8, len);
    OPENSSL_free(utf8);
    return len;
}

struct sl_slice ws_tls_peer_name(struct lws *wsi, char buf[WS_NAME_MAX])
{
    SSL *ssl = lws_get_ssl(wsi);
    X509 *cert = ssl ? SSL_get1_peer_certificate(ssl) : NULL;
    size_t len = 0;
    if (cert && SSL_get_verify_result(ssl) == X509_V_OK) {
        const X509_NAME *subject = X509_get_subject_name(cert);
        int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
        if (at >= 0)
            len = copy_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), buf);
    }
    X509_free(cert);
    return sl_bytes(buf, len);
}
