/* tls_context.c - certificates, keys and settings, read and checked before any session needs them.
 * Reads files; blocking. */
#include "tls_internal.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"

#include <assert.h>
#include <mbedtls/oid.h>
#include <stdlib.h>
#include <time.h>

#define CERT_FILE_MAX ((size_t)1024 * 1024) /* a system's whole CA bundle is a quarter of that */
#define KEY_FILE_MAX  ((size_t)64 * 1024)
/* A clock that was never set says nothing about our certificate. */
#define CLOCK_PLAUSIBLE_S (SL_WALL_PLAUSIBLE_MS / 1000)

/* Everything that goes into a context goes through here as well. */
static bool add_to_print(struct tls_context *c, struct sl_slice bytes)
{
    SL_CLEANUP(sl_buf_free) struct sl_buf all = { 0 };
    uint8_t digest[32];
    crypto_sha256(bytes, digest);
    sl_buf_put(&all, c->print, sizeof c->print);
    sl_buf_put(&all, digest, sizeof digest);
    if (!all.failed)
        crypto_sha256(sl_buf_slice(&all), c->print);
    return !all.failed;
}

/* Reads a PEM or DER file. Mbed TLS wants PEM with its NUL and DER without. */
static enum sl_code read_blob(struct tls_context *c, const char *path, size_t max,
                              struct sl_buf *out, struct sl_slice *ret, struct sl_err *err)
{
    enum sl_code rc = sl_file_read(path, max, out, err);
    if (rc != SL_OK)
        return rc;
    if (out->len == 0)
        return sl_fail(err, SL_INVALID, "%s: the file is empty", path);
    bool pem = memmem(out->ptr, out->len, "-----BEGIN ", 11) != NULL;
    size_t len = out->len;
    (void)sl_buf_cstr(out);
    if (out->failed || !add_to_print(c, sl_bytes(out->ptr, len)))
        return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    *ret = sl_bytes(out->ptr, pem ? len + 1 : len);
    return SL_OK;
}

/* Bundles of CAs may hold some that this library cannot read; a chain of ours may not. */
static enum sl_code load_certs(struct tls_context *c, mbedtls_x509_crt *into, const char *path,
                               bool some_suffice, struct sl_err *err)
{
    SL_CLEANUP(sl_buf_free) struct sl_buf bytes = { 0 };
    struct sl_slice blob = { NULL, 0 };
    char words[TLS_STRERROR_SIZE];
    enum sl_code rc = read_blob(c, path, CERT_FILE_MAX, &bytes, &blob, err);
    if (rc != SL_OK)
        return rc;
    int left_out = mbedtls_x509_crt_parse(into, blob.ptr, blob.len);
    if (left_out == MBEDTLS_ERR_X509_ALLOC_FAILED)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    if (left_out < 0)
        return sl_fail(err, SL_INVALID, "%s: no certificate in PEM or DER form: %s", path,
                       tls_strerror(left_out, words));
    if (left_out > 0 && !some_suffice)
        return sl_fail(err, SL_INVALID, "%s: %d of its certificates cannot be read", path,
                       left_out);
    return SL_OK;
}

static enum sl_code load_key(struct tls_context *c, const char *path, struct sl_err *err)
{
    struct sl_buf bytes = { 0 };
    struct sl_slice blob = { NULL, 0 };
    char words[TLS_STRERROR_SIZE];
    enum sl_code rc = read_blob(c, path, KEY_FILE_MAX, &bytes, &blob, err);
    if (rc == SL_OK) {
        int parsed = tls_compat_parse_key(&c->key, blob);
        if (parsed == MBEDTLS_ERR_PK_PASSWORD_REQUIRED ||
            parsed == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
            rc = sl_fail(err, SL_INVALID,
                         "%s: the key is locked with a passphrase; store it without one", path);
        else if (parsed != 0)
            rc = sl_fail(err, SL_INVALID, "%s: no private key in PEM or DER form: %s", path,
                         tls_strerror(parsed, words));
    }
    crypto_wipe(bytes.ptr, bytes.cap);
    sl_buf_free(&bytes);
    return rc;
}

static bool same_name(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return sl_slice_eq(sl_bytes(a->p, a->len), sl_bytes(b->p, b->len));
}

/* Mbed TLS looks only at lists of the CA that issued a certificate. One of another CA altogether
 * would be a mistake that nobody notices; lists of sub-CAs may lie beside one that fits. */
static bool crl_fits(const struct tls_context *c)
{
    for (const mbedtls_x509_crl *l = &c->crl; l; l = l->next)
        for (const mbedtls_x509_crt *ca = &c->ca; ca; ca = ca->next)
            if (same_name(&l->issuer_raw, &ca->subject_raw))
                return true;
    return false;
}

static int64_t first_next_update(const mbedtls_x509_crl *list)
{
    int64_t first = 0;
    for (; list; list = list->next) {
        int64_t next = list->next_update.year != 0 ? tls_time_of(&list->next_update) : 0;
        if (next != 0 && (first == 0 || next < first))
            first = next;
    }
    return first;
}

/* An expired list is no reason not to start: it keeps clients with certificates out, not the
 * others. */
static enum sl_code load_crl(struct tls_context *c, const struct tls_options *o, struct sl_err *err)
{
    SL_CLEANUP(sl_buf_free) struct sl_buf bytes = { 0 };
    struct sl_slice blob = { NULL, 0 };
    char words[TLS_STRERROR_SIZE];
    enum sl_code rc = read_blob(c, o->crl_path, CERT_FILE_MAX, &bytes, &blob, err);
    if (rc != SL_OK)
        return rc;
    int parsed = mbedtls_x509_crl_parse(&c->crl, blob.ptr, blob.len);
    if (parsed != 0)
        return sl_fail(err, SL_INVALID, "%s: no revocation list in PEM or DER form: %s",
                       o->crl_path, tls_strerror(parsed, words));
    if (!crl_fits(c))
        return sl_fail(err, SL_INVALID, "%s: the revocation list is not of a CA in %s", o->crl_path,
                       o->ca_path);
    c->crl_until = first_next_update(&c->crl);
    c->crl_path = strdup(o->crl_path);
    return c->crl_path ? SL_OK : sl_fail(err, SL_NOMEM, "out of memory");
}

static enum sl_code check_dates(const struct tls_context *c, const char *path, struct sl_err *err)
{
    int64_t now = time(NULL);
    char date[TLS_DATE_SIZE], today[TLS_DATE_SIZE];
    if (now > c->not_after)
        return sl_fail(err, SL_TLS,
                       "%s: the certificate expired on %s (this machine's clock says %s)", path,
                       tls_date(c->not_after, date), tls_date(now, today));
    if (now < c->not_before && now >= CLOCK_PLAUSIBLE_S)
        return sl_fail(err, SL_TLS,
                       "%s: the certificate is not valid before %s, and it is %s by this machine's "
                       "clock: the clock may be wrong",
                       path, tls_date(c->not_before, date), tls_date(now, today));
    return SL_OK;
}

static enum sl_code load_own(struct tls_context *c, const struct tls_options *o, struct sl_err *err)
{
    enum sl_code rc = load_certs(c, &c->own, o->cert_path, false, err);
    if (rc == SL_OK)
        rc = load_key(c, o->key_path, err);
    if (rc != SL_OK)
        return rc;
    if (tls_compat_check_pair(&c->own.pk, &c->key) != 0)
        return sl_fail(err, SL_INVALID, "%s: the key does not belong to the certificate in %s",
                       o->key_path, o->cert_path);
    if (o->server &&
        mbedtls_x509_crt_check_extended_key_usage(&c->own, MBEDTLS_OID_SERVER_AUTH,
                                                  MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)))
        return sl_fail(err, SL_INVALID,
                       "%s: the certificate is not for servers (its extended key "
                       "usage lacks serverAuth)",
                       o->cert_path);
    c->not_after = tls_time_of(&c->own.valid_to);
    c->not_before = tls_time_of(&c->own.valid_from);
    if (!o->any_date)
        rc = check_dates(c, o->cert_path, err);
    if (rc == SL_OK && mbedtls_ssl_conf_own_cert(&c->conf, &c->own, &c->key) != 0)
        rc = sl_fail(err, SL_NOMEM, "out of memory");
    return rc;
}

static enum sl_code load_trust(struct tls_context *c, const struct tls_options *o,
                               struct sl_err *err)
{
    enum sl_code rc = load_certs(c, &c->ca, o->ca_path, true, err);
    if (rc == SL_OK && o->crl_path)
        rc = load_crl(c, o, err);
    if (rc != SL_OK)
        return rc;
    c->ca_path = strdup(o->ca_path);
    if (!c->ca_path)
        return sl_fail(err, SL_NOMEM, "out of memory");
    mbedtls_ssl_conf_ca_chain(&c->conf, &c->ca, o->crl_path ? &c->crl : NULL);
    return SL_OK;
}

static int auth_mode(const struct tls_options *o)
{
    if (!o->server)
        return MBEDTLS_SSL_VERIFY_REQUIRED;
    switch (o->client_cert) {
    case TLS_CLIENT_CERT_NONE: return MBEDTLS_SSL_VERIFY_NONE;
    case TLS_CLIENT_CERT_OPTIONAL: return MBEDTLS_SSL_VERIFY_OPTIONAL;
    case TLS_CLIENT_CERT_REQUIRED: return MBEDTLS_SSL_VERIFY_REQUIRED;
    }
    return MBEDTLS_SSL_VERIFY_REQUIRED;
}

static enum sl_code configure(struct tls_context *c, const struct tls_options *o,
                              struct sl_err *err)
{
    int endpoint = o->server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
    if (mbedtls_ssl_config_defaults(&c->conf, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return sl_fail(err, SL_NOMEM, "out of memory");
    if (!tls_compat_min_version(&c->conf, o->min_version == 0 ? 12 : o->min_version))
        return sl_fail(err, SL_UNSUPPORTED,
                       "TLS 1.3 as the least version is not possible with %s; Mbed TLS 3 has it",
                       tls_library_version());
    mbedtls_ssl_conf_rng(&c->conf, tls_compat_random, NULL);
    mbedtls_ssl_conf_ciphersuites(&c->conf, tls_compat_suites());
    tls_compat_order_curves(&c->conf);
    mbedtls_ssl_conf_authmode(&c->conf, auth_mode(o));
    if (!o->server) /* we never resume: a reconnect is to notice a certificate revoked since */
        mbedtls_ssl_conf_session_tickets(&c->conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    /* Mbed TLS does not write to the list; its parameter just lacks a const. */
    if (o->alpn && mbedtls_ssl_conf_alpn_protocols(&c->conf, (const char **)(uintptr_t)o->alpn))
        return sl_fail(err, SL_INVALID, "an ALPN protocol name is empty or too long");
    return SL_OK;
}

static enum sl_code check_options(const struct tls_options *o, struct sl_err *err)
{
    bool asks = o->server && o->client_cert != TLS_CLIENT_CERT_NONE;
    if (!o->cert_path != !o->key_path)
        return sl_fail(err, SL_INVALID, "a certificate and its key must be given together");
    if (o->server && !o->cert_path)
        return sl_fail(err, SL_INVALID, "a TLS server needs a certificate and a key");
    if (!o->ca_path && !o->server)
        return sl_fail(err, SL_INVALID, "no CA file says which servers to trust");
    if (!o->ca_path && asks)
        return sl_fail(err, SL_INVALID,
                       "client certificates are asked for, but no CA file says "
                       "which ones to trust");
    if (o->min_version != 0 && o->min_version != 12 && o->min_version != 13)
        return sl_fail(err, SL_INVALID, "TLS version %d is neither 12 nor 13", o->min_version);
    return SL_OK;
}

static enum sl_code fill(struct tls_context *c, const struct tls_options *o, struct sl_err *err)
{
    const uint8_t settings[] = {
        o->server,          (uint8_t)o->client_cert, (uint8_t)o->min_version, o->cert_path != NULL,
        o->ca_path != NULL, o->crl_path != NULL
    };
    enum sl_code rc = configure(c, o, err);
    bool noted = add_to_print(c, sl_bytes(settings, sizeof settings));
    for (size_t i = 0; o->alpn && o->alpn[i]; i++)
        noted = add_to_print(c, sl_str(o->alpn[i])) && noted;
    if (rc == SL_OK && !noted)
        rc = sl_fail(err, SL_NOMEM, "out of memory");
    if (rc == SL_OK && o->cert_path)
        rc = load_own(c, o, err);
    if (rc == SL_OK && (!o->server || c->asks_for_cert))
        rc = load_trust(c, o, err);
    if (rc == SL_OK && o->server)
        tls_offer_tickets(c);
    return rc;
}

enum sl_code tls_context_new(struct tls_context **ret, const struct tls_options *options,
                             struct sl_err *err)
{
    enum sl_code rc = check_options(options, err);
    if (rc != SL_OK)
        return rc;
    if (tls_compat_init() != 0)
        return sl_fail(err, SL_TLS, "%s cannot start: no randomness or no memory",
                       tls_library_version());
    struct tls_context *c = calloc(1, sizeof *c);
    if (!c)
        return sl_fail(err, SL_NOMEM, "out of memory");
    c->refs = 1;
    c->server = options->server;
    c->asks_for_cert = options->server && options->client_cert != TLS_CLIENT_CERT_NONE;
    mbedtls_ssl_config_init(&c->conf);
    mbedtls_x509_crt_init(&c->own);
    mbedtls_x509_crt_init(&c->ca);
    mbedtls_x509_crl_init(&c->crl);
    mbedtls_pk_init(&c->key);
    tls_tickets_init(&c->tickets);
    rc = fill(c, options, err);
    if (rc == SL_OK)
        *ret = c;
    else
        tls_context_unref(c);
    return rc;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    c->refs++;
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c)
        return;
    assert(c->refs > 0);
    if (--c->refs > 0)
        return;
    mbedtls_ssl_config_free(&c->conf);
    mbedtls_x509_crt_free(&c->own);
    mbedtls_x509_crt_free(&c->ca);
    mbedtls_x509_crl_free(&c->crl);
    mbedtls_pk_free(&c->key);
    tls_tickets_free(&c->tickets);
    free(c->ca_path);
    free(c->crl_path);
    free(c);
}

int64_t tls_context_not_before(const struct tls_context *c)
{
    return c->not_before;
}

int64_t tls_context_not_after(const struct tls_context *c)
{
    return c->not_after;
}

int64_t tls_context_crl_until(const struct tls_context *c)
{
    return c->crl_until;
}

bool tls_context_equal(const struct tls_context *a, const struct tls_context *b)
{
    return memcmp(a->print, b->print, sizeof a->print) == 0;
}
