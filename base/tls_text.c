/* tls_text.c - what went wrong in a TLS session, in words that somebody can act on. No I/O but
 * reading the clock that Mbed TLS has just checked dates against. */
#include "tls_internal.h"

#include <mbedtls/error.h>
#include <stdio.h>
#include <time.h>

#define NAME_SHOWN 100

const char *tls_strerror(int rc, char buf[TLS_STRERROR_SIZE])
{
    char words[TLS_STRERROR_SIZE - 12];
    mbedtls_strerror(rc, words, sizeof words);
    (void)snprintf(buf, TLS_STRERROR_SIZE, "%s (-0x%04X)", words, (unsigned)-rc);
    return buf;
}

int64_t tls_time_of(const mbedtls_x509_time *t)
{
    struct tm tm = { .tm_year = t->year - 1900,
                     .tm_mon = t->mon - 1,
                     .tm_mday = t->day,
                     .tm_hour = t->hour,
                     .tm_min = t->min,
                     .tm_sec = t->sec };
    return timegm(&tm);
}

const char *tls_date(int64_t seconds, char buf[TLS_DATE_SIZE])
{
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(buf, TLS_DATE_SIZE, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        (void)snprintf(buf, TLS_DATE_SIZE, "%lld s after 1970", (long long)seconds);
    return buf;
}

static void explain_dates(const mbedtls_x509_crt *cert, bool future, struct sl_slice name,
                          struct sl_err *err)
{
    char date[TLS_DATE_SIZE], now[TLS_DATE_SIZE];
    (void)tls_date((int64_t)time(NULL), now);
    if (future)
        (void)sl_fail(err, SL_TLS,
                      "the certificate of \"%.*s\" is not valid before %s, and it is %s by this "
                      "machine's clock: the clock may be wrong",
                      SL_FMT(name), tls_date(tls_time_of(&cert->valid_from), date), now);
    else
        (void)sl_fail(err, SL_TLS,
                      "the certificate of \"%.*s\" expired on %s (this machine's clock says %s)",
                      SL_FMT(name), tls_date(tls_time_of(&cert->valid_to), date), now);
}

static void explain_untrusted(const struct tls_session *s, const mbedtls_x509_crt *cert,
                              struct sl_slice name, struct sl_err *err)
{
    char issuer_buf[NAME_SHOWN];
    struct sl_slice issuer = tls_issuer_name(cert, issuer_buf, sizeof issuer_buf);
    const char *ca = s->context->ca_path ? s->context->ca_path : "the trusted certificates";
    bool aws = s->name && strstr(s->name, ".amazonaws.com");
    if (cert->issuer_raw.len == cert->subject_raw.len &&
        memcmp(cert->issuer_raw.p, cert->subject_raw.p, cert->subject_raw.len) == 0)
        (void)sl_fail(
            err, SL_TLS,
            "unknown CA: the certificate of \"%.*s\" is signed by itself and is not in %s",
            SL_FMT(name), ca);
    else
        (void)sl_fail(err, SL_TLS,
                      "unknown CA: the certificate of \"%.*s\" was issued by \"%.*s\", and no "
                      "certificate in %s vouches for that%s",
                      SL_FMT(name), SL_FMT(issuer), ca,
                      aws ? " (AWS IoT: use the endpoint with -ats and AmazonRootCA1.pem)" : "");
}

static void explain_mismatch(const struct tls_session *s, const mbedtls_x509_crt *cert,
                             struct sl_err *err)
{
    struct sl_buf hosts = { .max = 512 };
    tls_put_hosts(cert, &hosts);
    (void)sl_fail(err, SL_TLS, "host name mismatch: the server's certificate is for %s, not for %s",
                  sl_buf_cstr(&hosts), s->name ? s->name : "this host");
    sl_buf_free(&hosts);
}

/* The rarer findings, most telling first. */
static const struct {
    uint32_t flag;
    const char *text;
} findings[] = {
    { MBEDTLS_X509_BADCERT_REVOKED, "is revoked by the CRL" },
    { MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "is not meant for this side of a connection "
                                          "(extended key usage)" },
    { MBEDTLS_X509_BADCERT_KEY_USAGE, "is not meant for TLS (key usage)" },
    { MBEDTLS_X509_BADCERT_NS_CERT_TYPE, "is not meant for TLS (certificate type)" },
    { MBEDTLS_X509_BADCERT_BAD_MD, "is signed with a weak hash such as SHA-1" },
    { MBEDTLS_X509_BADCERT_BAD_PK, "is signed with an unacceptable algorithm" },
    { MBEDTLS_X509_BADCERT_BAD_KEY, "has, or is signed by, a key that is too short or of an "
                                    "unacceptable kind" },
};

static const char *crl_path(const struct tls_session *s)
{
    return s->context->crl_path ? s->context->crl_path : "the CRL";
}

/* The client can do nothing about a list that is out of date: whoever runs the gateway can. False:
 * the list is in order. */
static bool explain_crl(const struct tls_session *s, uint32_t flags, struct sl_slice name,
                        struct sl_err *err)
{
    char date[TLS_DATE_SIZE], now[TLS_DATE_SIZE];
    (void)tls_date((int64_t)time(NULL), now);
    if (flags & MBEDTLS_X509_BADCERT_REVOKED)
        return false;
    if (flags & MBEDTLS_X509_BADCRL_NOT_TRUSTED)
        (void)sl_fail(err, SL_TLS,
                      "the certificate of \"%.*s\" cannot be checked: %s is not signed by the CA",
                      SL_FMT(name), crl_path(s));
    else if (flags & MBEDTLS_X509_BADCRL_EXPIRED)
        (void)sl_fail(err, SL_TLS,
                      "the certificate of \"%.*s\" cannot be checked: %s expired on %s (this "
                      "machine's clock says %s); get a new one from the CA",
                      SL_FMT(name), crl_path(s), tls_date(s->context->crl_until, date), now);
    else if (flags & MBEDTLS_X509_BADCRL_FUTURE)
        (void)sl_fail(
            err, SL_TLS,
            "the certificate of \"%.*s\" cannot be checked: %s is from the future by this "
            "machine's clock (%s), which may be wrong",
            SL_FMT(name), crl_path(s), now);
    return (flags & (MBEDTLS_X509_BADCRL_NOT_TRUSTED | MBEDTLS_X509_BADCRL_EXPIRED |
                     MBEDTLS_X509_BADCRL_FUTURE)) != 0;
}

void tls_explain_cert(const struct tls_session *s, const mbedtls_x509_crt *cert, uint32_t flags,
                      struct sl_err *err)
{
    char name_buf[NAME_SHOWN];
    struct sl_slice name = tls_subject_name(cert, name_buf, sizeof name_buf);
    if (flags & MBEDTLS_X509_BADCERT_FUTURE)
        explain_dates(cert, true, name, err);
    else if (flags & MBEDTLS_X509_BADCERT_EXPIRED)
        explain_dates(cert, false, name, err);
    else if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
        explain_untrusted(s, cert, name, err);
    else if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
        explain_mismatch(s, cert, err);
    else if (!explain_crl(s, flags, name, err)) {
        const char *text = "fails its check";
        for (size_t i = SL_ARRAY_LEN(findings); i-- > 0;)
            if (flags & findings[i].flag)
                text = findings[i].text;
        (void)sl_fail(err, SL_TLS, "the certificate of \"%.*s\" %s", SL_FMT(name), text);
    }
}

/* What the peer's alerts usually mean: at a server that we called, and from a client of ours. NULL:
 * the name says it. */
static const struct alert {
    uint8_t code;
    const char *name, *from_server, *from_client;
} alerts[] = {
    { 40, "handshake failure",
      "no common cipher or version, or it wants a client certificate that we have not got",
      "no common cipher or version" },
    { 41, "no certificate", "it wants a client certificate", NULL },
    { 42, "bad certificate",
      "it does not accept our certificate (AWS IoT: not registered or not active)",
      "it does not accept this gateway's certificate" },
    { 43, "unsupported certificate", "our certificate is of a kind that it does not take",
      "this gateway's certificate is of a kind that it does not take" },
    { 44, "certificate revoked", "our certificate has been revoked there", NULL },
    { 45, "certificate expired", "our certificate has expired, or the clock there is wrong",
      "for the client this gateway's certificate has expired: its clock may be wrong" },
    { 46, "certificate unknown",
      "our certificate is not active or not registered there (AWS IoT: activate it, attach a "
      "policy, and check that the endpoint is of the same account and region)",
      "the client does not accept this gateway's certificate" },
    { 48, "unknown CA",
      "it does not know who issued our certificate (AWS IoT: register the certificate or its CA)",
      "the client does not have the CA of this gateway's certificate: give it the CA file" },
    { 49, "access denied", "our certificate is good but not allowed in", NULL },
    { 51, "decrypt error", "our key does not fit our certificate, or the signature is wrong",
      NULL },
    { 70, "protocol version", "it does not speak the TLS versions that are allowed here",
      "the client does not speak the TLS versions that are allowed here" },
    { 71, "insufficient security", "our ciphers or key are too weak for it", NULL },
    { 80, "internal error", "a fault on its side: try later", NULL },
    { 90, "user canceled", NULL, NULL },
    { 112, "unrecognized name", "it serves no host of that name: check the endpoint", NULL },
    { 116, "certificate required", "it wants a client certificate and got none", NULL },
    { 120, "no application protocol", "it speaks none of the ALPN protocols offered", NULL },
};

static enum sl_code explain_alert(const struct tls_session *s, struct sl_err *err)
{
    uint8_t code = tls_compat_alert(&s->ssl);
    const char *who = s->context->server ? "client" : "server";
    const char *when = s->heard ? "ended the session" : "ended the handshake";
    for (size_t i = 0; i < SL_ARRAY_LEN(alerts); i++) {
        const struct alert *a = &alerts[i];
        if (a->code != code)
            continue;
        const char *meaning = s->context->server ? a->from_client : a->from_server;
        return sl_fail(err, SL_TLS, "the %s %s with the alert \"%s\"%s%s", who, when, a->name,
                       meaning ? ": " : "", meaning ? meaning : "");
    }
    return sl_fail(err, SL_TLS, "the %s %s with TLS alert %u", who, when, code);
}

/* A record that cannot be decrypted before any data came: mostly an alert. Mbed TLS 3 seals some of
 * its TLS 1.3 alerts with keys that the other side no longer, or not yet, uses. */
static enum sl_code explain_unreadable(const struct tls_session *s, struct sl_err *err)
{
    if (s->context->server)
        return sl_fail(err, SL_TLS,
                       "the client ended the handshake without a readable reason: it may not trust "
                       "this gateway's certificate, or bytes were damaged on the way");
    return sl_fail(err, SL_TLS,
                   "the server ended the handshake without a readable reason: it may want another "
                   "client certificate (AWS IoT: it must be registered and active), or bytes were "
                   "damaged on the way");
}

/* Records begin with a type, 20 to 24, and version byte 3; what begins otherwise is not TLS. */
static const char *other_protocol(const struct tls_session *s)
{
    if (s->first_len == 0 || (s->first_bytes[0] >= 20 && s->first_bytes[0] <= 24 &&
                              (s->first_len < 2 || s->first_bytes[1] == 3)))
        return NULL;
    if (s->context->server && s->first_bytes[0] == 0x10)
        return "plain MQTT without TLS";
    if (memcmp(s->first_bytes, "HTTP", 4) == 0 || memcmp(s->first_bytes, "GET ", 4) == 0 ||
        memcmp(s->first_bytes, "POST", 4) == 0)
        return "plain HTTP without TLS";
    return "something that is not TLS";
}

/* What was found in the peer's certificate after its chain had been checked; NULL: nothing. */
static const char *late_finding(const struct tls_session *s)
{
    uint32_t flags = mbedtls_ssl_get_verify_result(&s->ssl);
    for (size_t i = 0; flags != UINT32_MAX && i < SL_ARRAY_LEN(findings); i++)
        if (flags & findings[i].flag)
            return findings[i].text;
    return NULL;
}

static enum sl_code explain_verify(const struct tls_session *s, struct sl_err *err)
{
    if (s->explained)
        return SL_TLS; /* the text is there */
    const char *who = s->context->server ? "client" : "server";
    const char *finding = late_finding(s);
    return sl_fail(err, SL_TLS, "the %s's certificate %s", who,
                   finding ? finding : "could not be verified");
}

enum sl_code tls_explain(const struct tls_session *s, int rc, struct sl_err *err)
{
    const char *who = s->context->server ? "client" : "server";
    const char *other = other_protocol(s);
    char words[TLS_STRERROR_SIZE];
    if (rc == MBEDTLS_ERR_SSL_ALLOC_FAILED || rc == MBEDTLS_ERR_X509_ALLOC_FAILED)
        return sl_fail(err, SL_NOMEM, "out of memory");
    if (other)
        return sl_fail(err, SL_TLS, "the %s speaks %s on this port", who, other);
    if (rc == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        return explain_alert(s, err);
    if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return sl_fail(err, SL_TLS, "the %s closed the session during the handshake", who);
    if (rc == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE)
        return sl_fail(err, SL_TLS,
                       "the client sent no certificate, and this listener requires one");
    if (rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || late_finding(s))
        return explain_verify(s, err);
    if (rc == MBEDTLS_ERR_SSL_INVALID_MAC && !s->heard)
        return explain_unreadable(s, err);
    if (tls_compat_is_bad_version(rc))
        return sl_fail(err, SL_TLS, "the %s speaks no TLS version that is allowed here", who);
    if (tls_compat_is_no_cipher(rc))
        return sl_fail(
            err, SL_TLS,
            "the %s offers no cipher suite that is allowed here and fits the kind of key "
            "of our certificate, or only a TLS version that %s lacks",
            who, tls_library_version());
    return sl_fail(err, SL_TLS, "TLS with the %s failed: %s", who, tls_strerror(rc, words));
}
