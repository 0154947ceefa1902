/* test_tls.c - a client and a server of the TLS room, talking through two buffers in memory.
 * Certificates come from tests/make-certs.sh. */
#include "tls_pair.h"

#include "tls_internal.h"

#include <stdlib.h>

/* ---- whom a client and a server let in, and what they say otherwise ---- */

static const struct case_row {
    const char *name;
    struct side client;
    const char *host;
    struct side server;
    int made_in, year;                     /* the certificates' loading; the handshake; 0: now */
    const char *client_says, *server_says; /* part of the text; NULL: no failure there */
    const char *peer;                      /* the client's name as the server sees it */
} cases[] = {
    { "plain", { .ca = "ca" }, "localhost", { .cert = "server" }, 0, 0, NULL, NULL, "" },
    { "rsa", { .ca = "ca" }, "localhost", { .cert = "server-rsa" }, 0, 0, NULL, NULL, "" },
    { "through a sub-CA",
      { .ca = "ca" },
      "localhost",
      { .cert = "chained" },
      0,
      0,
      NULL,
      NULL,
      "" },
    { "IPv4 address", { .ca = "ca" }, "127.0.0.1", { .cert = "server" }, 0, 0, NULL, NULL, "" },
    { "IPv6 address", { .ca = "ca" }, "::1", { .cert = "server" }, 0, 0, NULL, NULL, "" },
    { "IPv6 written long", { .ca = "ca" }, "0:0::0:1", { .cert = "server" }, 0, 0, NULL, NULL, "" },
    { "wildcard", { .ca = "ca" }, "a.wild.example", { .cert = "named" }, 0, 0, NULL, NULL, "" },
    { "name in other letters",
      { .ca = "ca" },
      "GateWay.example",
      { .cert = "named" },
      0,
      0,
      NULL,
      NULL,
      "" },
    { "common name only",
      { .ca = "ca" },
      "localhost",
      { .cert = "plain-cn" },
      0,
      0,
      NULL,
      NULL,
      "" },
    { "another address",
      { .ca = "ca" },
      "127.0.0.2",
      { .cert = "server" },
      0,
      0,
      "certificate is for localhost, 127.0.0.1, ::1, not for 127.0.0.2",
      "the client ended the",
      "" },
    { "address against DNS names",
      { .ca = "ca" },
      "127.0.0.1",
      { .cert = "named" },
      0,
      0,
      "host name mismatch",
      "the client ended",
      "" },
    { "address against common name",
      { .ca = "ca" },
      "127.0.0.1",
      { .cert = "plain-cn" },
      0,
      0,
      "certificate is for localhost, not for 127.0.0.1",
      "the client ended",
      "" },
    { "another host",
      { .ca = "ca" },
      "localhost",
      { .cert = "named" },
      0,
      0,
      "certificate is for gateway.example, *.wild.example, not for localhost",
      "the client ended",
      "" },
    { "wildcard spans one level",
      { .ca = "ca" },
      "a.b.wild.example",
      { .cert = "named" },
      0,
      0,
      "not for a.b.wild.example",
      "the client ended",
      "" },
    { "wrong CA",
      { .ca = "other-ca" },
      "localhost",
      { .cert = "server" },
      0,
      0,
      "unknown CA: the certificate of \"localhost\" was issued by \"Sluice test CA\"",
      "the client ended the handshake with the alert",
      "" },
    { "not AWS's CA",
      { .ca = "other-ca" },
      "x-ats.iot.eu-central-1.amazonaws.com",
      { .cert = "server" },
      0,
      0,
      "AmazonRootCA1.pem",
      "the client ended",
      "" },
    { "expired",
      { .ca = "ca" },
      "localhost",
      { .cert = "expired" },
      2019,
      0,
      "the certificate of \"localhost\" expired on 2020-01-01",
      "the client ended",
      "" },
    { "not yet valid",
      { .ca = "ca" },
      "localhost",
      { .cert = "future" },
      2091,
      0,
      "not valid before 2090-01-01",
      "the client ended",
      "" },
    { "clock never set",
      { .ca = "ca" },
      "localhost",
      { .cert = "server" },
      0,
      1990,
      "it is 1990-01-15 00:0",
      "the client ended",
      "" },
    { "clock never set is said",
      { .ca = "ca" },
      "localhost",
      { .cert = "server" },
      0,
      1990,
      "the clock may be wrong",
      "the client ended",
      "" },
    { "mutual",
      { .ca = "ca", .cert = "device" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      NULL,
      NULL,
      "device-01" },
    { "mutual, none sent",
      { .ca = "ca" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      "the server ended the handshake with the alert",
      "sent no certificate",
      "" },
    { "mutual, wrong CA",
      { .ca = "ca", .cert = "other-device" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      "the server ended the handshake with the alert \"unknown CA\": it does not know who issued "
      "our certificate",
      "unknown CA: the certificate of \"device-01\" was issued by \"Some other",
      "" },
    { "mutual, expired",
      { .ca = "ca", .cert = "expired-device" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      2019,
      0,
      "our certificate has expired",
      "\"device-01\" expired on 2020-01-01",
      "" },
    { "mutual, revoked",
      { .ca = "ca", .cert = "revoked" },
      "localhost",
      { .cert = "server", .ca = "ca", .crl = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      "revoked",
      "\"device-99\" is revoked",
      "" },
    { "mutual, not revoked",
      { .ca = "ca", .cert = "device" },
      "localhost",
      { .cert = "server", .ca = "ca", .crl = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      NULL,
      NULL,
      "device-01" },
    { "mutual, the CRL has expired",
      { .ca = "ca", .cert = "device" },
      "localhost",
      { .cert = "server", .ca = "ca", .crl = "stale", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      "the server ended",
      "stale.crl expired on 2021-01-01",
      "" },
    { "mutual, the CRL is from the future",
      { .ca = "ca", .cert = "device" },
      "localhost",
      { .cert = "server", .ca = "ca", .crl = "future", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      "the server ended",
      "future.crl is from the future by this machine's clock",
      "" },
    { "mutual, revoked, and the CRL has expired",
      { .ca = "ca", .cert = "revoked" },
      "localhost",
      { .cert = "server", .ca = "ca", .crl = "stale", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      "the server ended",
      "\"device-99\" is revoked",
      "" },
    { "mutual, the CRL is a forgery",
      { .ca = "ca", .cert = "device" },
      "localhost",
      { .cert = "server", .ca = "ca", .crl = "forged", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      "the server ended",
      "forged.crl is not signed by the CA",
      "" },
    { "optional, none sent, and the CRL has expired",
      { .ca = "ca" },
      "localhost",
      { .cert = "server", .ca = "ca", .crl = "stale", .client_cert = TLS_CLIENT_CERT_OPTIONAL },
      0,
      0,
      NULL,
      NULL,
      "" },
    { "mutual, no common name",
      { .ca = "ca", .cert = "nameless" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      NULL,
      NULL,
      "" },
    { "mutual, not yet valid",
      { .ca = "ca", .cert = "future-device" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      2086,
      0,
      "the server ended",
      "\"device-01\" is not valid before 2085-01-01",
      "" },
    { "mutual, a server's certificate",
      { .ca = "ca", .cert = "named" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED },
      0,
      0,
      "the server ended",
      "not meant for this side",
      "" },
    { "optional, none sent",
      { .ca = "ca" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_OPTIONAL },
      0,
      0,
      NULL,
      NULL,
      "" },
    { "optional, sent",
      { .ca = "ca", .cert = "device" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_OPTIONAL },
      0,
      0,
      NULL,
      NULL,
      "device-01" },
    { "optional, a bad one sent",
      { .ca = "ca", .cert = "other-device" },
      "localhost",
      { .cert = "server", .ca = "ca", .client_cert = TLS_CLIENT_CERT_OPTIONAL },
      0,
      0,
      "the server ended",
      "unknown CA",
      "" },
    { "sent but not asked for",
      { .ca = "ca", .cert = "device" },
      "localhost",
      { .cert = "server" },
      0,
      0,
      NULL,
      NULL,
      "" },
};

static void check_end(const struct end *e, const char *says)
{
    if (!says) {
        if (e->code != SL_OK)
            fail_msg("%s", e->err.text);
        assert_true(tls_session_established(e->session));
        return;
    }
    assert_int_equal(e->code, SL_TLS);
    /* Mbed TLS 3 seals some TLS 1.3 alerts so that its own peer cannot open them. */
    bool sealed = strcmp(tls_session_version(e->session), "TLSv1.3") == 0 &&
                  strstr(e->err.text, "ended the handshake without a readable reason") != NULL;
    if (!sealed && !strstr(e->err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e->err.text, says);
}

static void handshake(void **state)
{
    const struct case_row *c = *state;
    struct pair p;
    char name[64];
    end_open(&p.client, context(false, &c->client, c->made_in), c->host);
    end_open(&p.server, context(true, &c->server, c->made_in), NULL);
    set_year(c->year);
    shake(&p, 0);
    check_end(&p.client, c->client_says);
    check_end(&p.server, c->server_says);
    struct sl_slice peer = tls_session_peer_name(p.server.session, name, sizeof name);
    assert_true(sl_slice_eq(peer, sl_str(c->peer)));
    if (!c->client_says) {
        say(&p.client, sl_str("hello"));
        say(&p.server, sl_str("welcome"));
        pump(&p, 0);
        assert_string_equal(sl_buf_cstr(&p.server.plain), "hello");
        assert_string_equal(sl_buf_cstr(&p.client.plain), "welcome");
    }
    pair_close(&p);
}

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

/* ---- the stream ---- */

static void byte_by_byte(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, &mutual_client, &mutual_server, "localhost");
    shake(&p, 1);
    say(&p.client, sl_str("one"));
    say(&p.client, sl_str(" two"));
    pump(&p, 1);
    assert_string_equal(sl_buf_cstr(&p.server.plain), "one two");
    pair_close(&p);
}

static void writes_only_when_established(void **state)
{
    (void)state;
    struct pair p;
    struct sl_err err;
    char name[8];
    pair_open(&p, &simple_client, &simple_server, "localhost");
    assert_int_equal(tls_session_write(p.client.session, sl_str("x"), &p.client.wire, &err),
                     SL_BUSY);
    assert_int_equal(p.client.wire.len, 0);
    assert_int_equal(tls_session_peer_name(p.client.session, name, sizeof name).len, 0);
    tls_session_close(p.client.session, &p.client.wire); /* nothing to say goodbye to yet */
    assert_int_equal(p.client.wire.len, 0);
    pair_close(&p);
}

static void big_data(void **state)
{
    (void)state;
    const size_t size = 1000 * 1000 + 1;
    uint8_t *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    struct pair p;
    pair_open(&p, &simple_client, &simple_server, "localhost");
    shake(&p, 0);
    say(&p.client, sl_bytes(data, size));
    say(&p.server, sl_bytes(data, size));
    pump(&p, 70001);
    assert_true(sl_slice_eq(sl_buf_slice(&p.server.plain), sl_bytes(data, size)));
    assert_true(sl_slice_eq(sl_buf_slice(&p.client.plain), sl_bytes(data, size)));
    pair_close(&p);
    free(data);
}

static void goodbye(void **state)
{
    (void)state;
    struct pair p;
    struct sl_err err;
    pair_open(&p, &simple_client, &simple_server, "localhost");
    shake(&p, 0);
    say(&p.client, sl_str("last words"));
    tls_session_close(p.client.session, &p.client.wire);
    pump(&p, 0);
    assert_string_equal(sl_buf_cstr(&p.server.plain), "last words");
    assert_int_equal(p.server.code, SL_CLOSED);
    assert_int_equal(tls_session_cut(p.server.session, &err), SL_CLOSED);
    assert_int_equal(
        tls_session_feed(p.server.session, sl_str("more"), &p.server.plain, &p.server.wire, &err),
        SL_CLOSED);
    tls_session_close(p.server.session, &p.server.wire);
    pump(&p, 0);
    assert_int_equal(p.client.code, SL_CLOSED);
    pair_close(&p);
}

static void says_what_was_agreed(void **state)
{
    (void)state;
    static const char *const ours[] = { "x-amzn-mqtt-ca", "mqtt", NULL };
    static const char *const theirs[] = { "mqtt", NULL };
    struct side client = { .ca = "ca", .alpn = ours };
    struct side server = { .cert = "server", .alpn = theirs };
    struct pair p;
    pair_open(&p, &client, &server, "localhost");
    assert_null(tls_session_alpn(p.client.session));
    assert_string_equal(tls_session_cipher(p.client.session), "");
    shake(&p, 0);
    assert_string_equal(tls_session_alpn(p.client.session), "mqtt");
    assert_string_equal(tls_session_alpn(p.server.session), "mqtt");
    assert_non_null(strstr(tls_session_version(p.server.session), "TLSv1."));
    assert_non_null(strstr(tls_session_cipher(p.server.session), "GCM"));
    assert_non_null(strstr(tls_library_version(), "Mbed TLS "));
    pair_close(&p);
}

static void no_common_alpn(void **state)
{
    (void)state;
    static const char *const ours[] = { "mqtt", NULL };
    static const char *const theirs[] = { "h2", NULL };
    struct side client = { .ca = "ca", .alpn = ours };
    struct side server = { .cert = "server", .alpn = theirs };
    struct pair p;
    pair_open(&p, &client, &server, "localhost");
    shake(&p, 0);
    check_end(&p.client, "ALPN");
    assert_int_equal(p.server.code, SL_TLS);
    pair_close(&p);
}

static void bad_server_names(void **state)
{
    (void)state;
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    const char *names[] = { NULL, "", longest };
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
        struct tls_context *c = context(false, &simple_client, 0);
        struct tls_session *s = NULL;
        struct sl_err err;
        assert_int_equal(tls_session_new(&s, c, names[i], &err), SL_INVALID);
        assert_null(s);
        tls_context_unref(c);
    }
}

static void bounded_output_fails_cleanly(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, &simple_client, &simple_server, "localhost");
    p.client.wire.max = 16; /* no ClientHello is that small */
    shake(&p, 0);
    assert_int_equal(p.client.code, SL_NOMEM);
    pair_close(&p);
}

/* ---- hostile peers ---- */

static const struct {
    const char *name;
    bool to_server;
    const char *bytes;
    size_t len;
    const char *says;
} strangers[] = {
    { "mqtt client", true, "\x10\x0c\0\4MQTT\4\2\0\x3c\0\0", 14, "plain MQTT without TLS" },
    { "browser", true, "GET / HTTP/1.1\r\n\r\n", 18, "plain HTTP without TLS" },
    { "zeros", true, "\0\0\0\0\0\0\0\0", 8, "not TLS" },
    { "web server", false, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, "plain HTTP without TLS" },
    { "mail server", false, "220 mail.example ESMTP\r\n", 24, "not TLS" },
    { "huge record", true, "\x16\3\1\xff\xff", 5, "failed" },
    { "alert", false, "\x15\3\3\0\2\2\x2e", 7, "not active or not registered there (AWS" },
    { "unheard-of alert", false, "\x15\3\3\0\2\2\xfa", 7, "TLS alert 250" },
    { "unknown name", false, "\x15\3\3\0\2\2\x70", 7, "check the endpoint" },
    { "goodbye at once", false, "\x15\3\3\0\2\1\0", 7, "during the handshake" },
};

static void stranger(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    struct pair p;
    pair_open(&p, &simple_client, &simple_server, "localhost");
    end_feed(&p.client, sl_bytes("", 0));
    struct end *victim = strangers[i].to_server ? &p.server : &p.client;
    end_feed(victim, sl_bytes(strangers[i].bytes, strangers[i].len));
    check_end(victim, strangers[i].says);
    struct sl_err err;
    assert_int_equal(
        tls_session_feed(victim->session, sl_str("x"), &victim->plain, &victim->wire, &err),
        SL_TLS);
    assert_int_equal(tls_session_write(victim->session, sl_str("x"), &victim->wire, &err), SL_TLS);
    pair_close(&p);
}

/* Passes bytes on, but spoils the one at `at` of the stream in one direction. */
static bool carry_spoilt(struct end *from, struct end *to, size_t *passed, size_t at, uint8_t flip)
{
    if (from->wire.len > 0 && *passed <= at && at - *passed < from->wire.len)
        from->wire.ptr[at - *passed] ^= flip;
    *passed += from->wire.len;
    return carry(from, to, 0);
}

/* Returns the length of the stream in that direction. */
static size_t converse_spoilt(bool to_server, size_t at, uint8_t flip)
{
    struct pair p;
    size_t passed = 0, other = 0;
    pair_open(&p, &mutual_client, &mutual_server, "localhost");
    end_feed(&p.client, sl_bytes("", 0));
    for (bool spoken = false, more = true; more; spoken |= !more) {
        more = carry_spoilt(&p.client, &p.server, to_server ? &passed : &other,
                            to_server ? at : SIZE_MAX, flip);
        more |= carry_spoilt(&p.server, &p.client, to_server ? &other : &passed,
                             to_server ? SIZE_MAX : at, flip);
        if (more || spoken || !tls_session_established(p.client.session) ||
            !tls_session_established(p.server.session))
            continue;
        say(&p.client, sl_str("ping"));
        say(&p.server, sl_str("pong"));
        more = spoken = true;
    }
    /* Whatever was spoilt, nothing but what was said has been heard. */
    assert_true(p.server.plain.len == 0 ||
                sl_slice_eq(sl_buf_slice(&p.server.plain), sl_str("ping")));
    assert_true(p.client.plain.len == 0 ||
                sl_slice_eq(sl_buf_slice(&p.client.plain), sl_str("pong")));
    if (flip == 0)
        assert_int_equal(p.server.plain.len + p.client.plain.len, 8);
    pair_close(&p);
    return passed;
}

static void spoilt_bytes(void **state)
{
    (void)state;
    for (int to_server = 0; to_server < 2; to_server++) {
        size_t total = converse_spoilt(to_server, SIZE_MAX - 1, 0);
        assert_true(total > 500);
        for (size_t at = 0; at < total; at += at < 80 ? 1 : 17)
            (void)converse_spoilt(to_server, at, at % 2 ? 0x01 : 0xff);
    }
}

static void truncated(void **state)
{
    (void)state;
    struct pair p;
    struct sl_err err;
    pair_open(&p, &simple_client, &simple_server, "localhost");
    end_feed(&p.client, sl_bytes("", 0));
    struct sl_slice hello = sl_buf_slice(&p.client.wire);
    for (size_t i = 0; i + 1 < hello.len; i++)
        end_feed(&p.server, sl_bytes(hello.ptr + i, 1));
    assert_int_equal(p.server.code, SL_OK);
    assert_int_equal(p.server.wire.len, 0);
    assert_false(tls_session_established(p.server.session));
    assert_int_equal(tls_session_cut(p.server.session, &err), SL_TLS);
    assert_non_null(strstr(err.text, "during the TLS handshake"));
    assert_int_equal(tls_session_cut(p.client.session, &err), SL_TLS);
    assert_non_null(strstr(err.text, "registered and active"));
    pair_close(&p);
}

static void cut_after_the_handshake(void **state)
{
    (void)state;
    struct pair p;
    struct sl_err err;
    pair_open(&p, &simple_client, &simple_server, "localhost");
    shake(&p, 0);
    assert_int_equal(tls_session_cut(p.client.session, &err), SL_TLS);
    assert_non_null(strstr(err.text, "without ending the TLS session"));
    pair_close(&p);
}

static void replaced_context_lives_on(void **state)
{
    (void)state;
    struct tls_context *c = context(true, &simple_server, 0);
    struct pair p;
    end_open(&p.server, tls_context_ref(c), NULL);
    tls_context_unref(c); /* what a reload does: only the session holds it now */
    end_open(&p.client, context(false, &simple_client, 0), "localhost");
    shake(&p, 0);
    assert_true(tls_session_established(p.server.session));
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

#define PLAIN_TESTS                                                                                \
    cmocka_unit_test(context_says_not_after), cmocka_unit_test(least_version_13),                  \
        cmocka_unit_test(byte_by_byte), cmocka_unit_test(writes_only_when_established),            \
        cmocka_unit_test(big_data), cmocka_unit_test(goodbye),                                     \
        cmocka_unit_test(says_what_was_agreed), cmocka_unit_test(no_common_alpn),                  \
        cmocka_unit_test(bad_server_names), cmocka_unit_test(bounded_output_fails_cleanly),        \
        cmocka_unit_test(spoilt_bytes), cmocka_unit_test(truncated),                               \
        cmocka_unit_test(cut_after_the_handshake), cmocka_unit_test(replaced_context_lives_on)

int main(void)
{
    static const struct CMUnitTest plain[] = { PLAIN_TESTS };
    enum {
        TOTAL = SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(cases) + SL_ARRAY_LEN(contexts) +
                SL_ARRAY_LEN(strangers) + SL_ARRAY_LEN(extensions)
    };
    static struct CMUnitTest tests[TOTAL];
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        tests[n++] = (struct CMUnitTest){ .name = cases[i].name,
                                          .test_func = handshake,
                                          .initial_state = (void *)(uintptr_t)&cases[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(contexts); i++)
        tests[n++] = (struct CMUnitTest){ .name = contexts[i].name,
                                          .test_func = makes_context,
                                          .initial_state = (void *)(uintptr_t)&contexts[i] };
    for (size_t i = 0; i < SL_ARRAY_LEN(strangers); i++)
        tests[n++] = (struct CMUnitTest){ .name = strangers[i].name,
                                          .test_func = stranger,
                                          .initial_state = (void *)(uintptr_t)i };
    for (size_t i = 0; i < SL_ARRAY_LEN(extensions); i++)
        tests[n++] = (struct CMUnitTest){ .name = extensions[i].name,
                                          .test_func = reads_extension,
                                          .initial_state = (void *)(uintptr_t)i };
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[n++] = plain[i];
    return cmocka_run_group_tests_name("tls", tests, tls_pair_make_certs, tls_pair_remove_certs);
}
