/* test_tls_contexts.c - what a TLS context is made of: certificates, keys, revocation lists, and
 * the names in certificates. */
#include "tls_pair.h"

#include "tls_internal.h"

#include "rows.h"

#include <stdlib.h>

/* ---- contexts ---- */

static const struct context_row {
    const char *name;
    bool server;
    struct side side;
    int year;
    enum sl_code code;
    const char *says;
} contexts[] = {
    { "expired",
      true,
      { .cert = "expired" },
      0,
      SL_TLS,
      "expired.crt: the certificate expired on "
      "2020-01-01" },
    { "not yet valid", true, { .cert = "future" }, 0, SL_TLS, "the clock may be wrong" },
    { "clock never set", true, { .cert = "server" }, 1990, SL_OK, NULL },
    { "missing", true, { .cert = "nobody" }, 0, SL_NOTFOUND, "nobody.crt" },
    { "server without certificate", true, { 0 }, 0, SL_INVALID, "needs a certificate" },
    { "client without CA", false, { 0 }, 0, SL_INVALID, "no CA file" },
    { "client certificates without CA",
      true,
      { .cert = "server", .client_cert = TLS_CLIENT_CERT_OPTIONAL },
      0,
      SL_INVALID,
      "no CA file" },
    { "missing CA", false, { .ca = "nobody" }, 0, SL_NOTFOUND, "nobody.crt" },
    { "missing CRL", false, { .ca = "ca", .crl = "nobody" }, 0, SL_NOTFOUND, "nobody.crl" },
    { "another CA's CRL",
      true,
      { .cert = "server", .ca = "ca", .crl = "other-ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      SL_INVALID,
      "other-ca.crl: the revocation list is not of a CA in" },
    { "an expired CRL",
      true,
      { .cert = "server", .ca = "ca", .crl = "stale", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      SL_OK,
      NULL },
    { "noise for a CRL",
      true,
      { .cert = "server", .ca = "ca", .crl = "noise", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      SL_INVALID,
      "noise.crl: no revocation list" },
    { "a client's certificate",
      true,
      { .cert = "device" },
      0,
      SL_INVALID,
      "device.crt: the certificate is not for servers" },
    { "empty certificate",
      true,
      { .cert = "empty" },
      0,
      SL_INVALID,
      "empty.crt: the file is empty" },
    { "noise for a certificate",
      true,
      { .cert = "noise" },
      0,
      SL_INVALID,
      "noise.crt: no certificate" },
    { "noise for a key",
      true,
      { .cert = "noise-key" },
      0,
      SL_INVALID,
      "noise-key.key: no private key" },
    { "another's key",
      true,
      { .cert = "mixed" },
      0,
      SL_INVALID,
      "mixed.key: the key does not belong to the certificate in" },
    { "half a PEM file", true, { .cert = "half" }, 0, SL_INVALID, "half.crt: no certificate" },
    { "locked key", true, { .cert = "locked" }, 0, SL_INVALID, "locked with a passphrase" },
    { "DER", true, { .cert = "der" }, 0, SL_OK, NULL },
    { "no such version", true, { .cert = "server", .min_version = 11 }, 0, SL_INVALID, "neither" },
};

static void makes_context(void **state)
{
    const struct context_row *row = *state;
    struct tls_context *c = NULL;
    struct sl_err err = { 0 };
    set_year(row->year);
    enum sl_code code = try_context(row->server, &row->side, &c, &err);
    set_year(0);
    if (code != row->code)
        fail_msg("%d: %s", code, err.text);
    if (row->says && !strstr(err.text, row->says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, row->says);
    assert_int_equal(c != NULL, row->code == SL_OK);
    tls_context_unref(c);
}

static void context_says_not_after(void **state)
{
    (void)state;
    struct tls_context *c = context(true, &simple_server, 0);
    struct tm end = {
        .tm_year = 189, .tm_mon = 11, .tm_mday = 31, .tm_hour = 23, .tm_min = 59, .tm_sec = 59
    };
    assert_int_equal(tls_context_not_after(c), timegm(&end));
    tls_context_unref(c);
    c = context(false, &simple_client, 0);
    assert_int_equal(tls_context_not_after(c), 0);
    tls_context_unref(c);
    tls_context_unref(NULL);
}

static void least_version_13(void **state)
{
    (void)state;
    struct side server = { .cert = "server", .min_version = 13 };
    struct tls_context *c = NULL;
    struct sl_err err = { 0 };
    enum sl_code code = try_context(true, &server, &c, &err);
    if (code == SL_UNSUPPORTED) { /* Mbed TLS 2.28 */
        assert_non_null(strstr(err.text, "TLS 1.3"));
        return;
    }
    assert_int_equal(code, SL_OK);
    struct pair p;
    end_open(&p.server, c, NULL);
    end_open(&p.client, context(false, &simple_client, 0), "localhost");
    shake(&p, 0);
    assert_string_equal(tls_session_version(p.client.session), "TLSv1.3");
    pair_close(&p);
}

/* ---- names in certificates, from raw extensions ---- */

static const struct {
    const char *name;
    const char *der;
    size_t len;
    bool has_local; /* 127.0.0.1 */
    const char *hosts;
} extensions[] = {
#define DER(text) text, sizeof text - 1
    { "none", DER(""), false, "(no name)" },
    { "address", DER("\x30\x11\x30\x0f\x06\x03\x55\x1d\x11\x04\x08\x30\x06\x87\x04\x7f\0\0\1"),
      true, "127.0.0.1" },
    { "critical",
      DER("\x30\x14\x30\x12\x06\x03\x55\x1d\x11\x01\x01\xff\x04\x08\x30\x06\x87\x04\x7f"
          "\0\0\1"),
      true, "127.0.0.1" },
    { "after another",
      DER("\x30\x1c\x30\x09\x06\x03\x55\x1d\x13\x04\x02\x30\x00\x30\x0f\x06\x03\x55"
          "\x1d\x11\x04\x08\x30\x06\x87\x04\x7f\0\0\1"),
      true, "127.0.0.1" },
    { "dns of four bytes is no address",
      DER("\x30\x11\x30\x0f\x06\x03\x55\x1d\x11\x04\x08\x30\x06\x82\x04\x7f\0\0\1"), false,
      "????" },
    { "another extension",
      DER("\x30\x11\x30\x0f\x06\x03\x55\x1d\x12\x04\x08\x30\x06\x87\x04\x7f\0\0"
          "\1"),
      false, "(no name)" },
    { "address of five bytes",
      DER("\x30\x12\x30\x10\x06\x03\x55\x1d\x11\x04\x09\x30\x07\x87\x05\x7f"
          "\0\0\1\0"),
      false, "no host at all" },
    { "cut short", DER("\x30\x11\x30\x0f\x06\x03\x55\x1d\x11\x04\x08\x30\x06\x87\x04\x7f\0\0"),
      false, "(no name)" },
    { "length past the end",
      DER("\x30\x11\x30\x0f\x06\x03\x55\x1d\x11\x04\x08\x30\x06\x87\x05\x7f\0"
          "\0\1"),
      false, "no host at all" },
    { "endless length", DER("\x30\x80\x30\x0f\x06\x03\x55\x1d\x11"), false, "(no name)" },
    { "length of four bytes", DER("\x30\x84\xff\xff\xff\xff\x30"), false, "(no name)" },
#undef DER
};

static void reads_extension(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    uint8_t *exact = malloc(extensions[i].len + 1); /* so that a read past the end is seen */
    assert_non_null(exact);
    memcpy(exact + 1, extensions[i].der, extensions[i].len);
    mbedtls_x509_crt cert;
    mbedtls_x509_crt_init(&cert);
    cert.v3_ext.p = exact + 1;
    cert.v3_ext.len = extensions[i].len;
    assert_int_equal(tls_has_address(&cert, sl_bytes("\x7f\0\0\1", 4)), extensions[i].has_local);
    assert_false(tls_has_address(&cert, sl_bytes("", 0)));
    struct sl_buf hosts = { 0 };
    tls_put_hosts(&cert, &hosts);
    assert_string_equal(sl_buf_cstr(&hosts), extensions[i].hosts);
    sl_buf_free(&hosts);
    free(exact);
}

int main(void)
{
    static const struct CMUnitTest plain[] = {
        cmocka_unit_test(context_says_not_after),
        cmocka_unit_test(least_version_13),
    };
    static struct CMUnitTest
        tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(contexts) + SL_ARRAY_LEN(extensions)];
    size_t n = 0;
    n += ROWS_OF(tests + n, contexts, makes_context);
    for (size_t i = 0; i < SL_ARRAY_LEN(extensions); i++)
        tests[n++] = (struct CMUnitTest){ .name = extensions[i].name,
                                          .test_func = reads_extension,
                                          .initial_state = (void *)(uintptr_t)i };
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[n++] = plain[i];
    return cmocka_run_group_tests_name("tls contexts", tests, tls_pair_make_certs,
                                       tls_pair_remove_certs);
}
