/* test_tls_stream.c - bytes through a TLS session: in pieces, many, spoilt or cut off. */
#include "tls_pair.h"

#include <stdlib.h>

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

int main(void)
{
    static const struct CMUnitTest plain[] = {
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(writes_only_when_established),
        cmocka_unit_test(big_data),
        cmocka_unit_test(goodbye),
        cmocka_unit_test(says_what_was_agreed),
        cmocka_unit_test(no_common_alpn),
        cmocka_unit_test(bad_server_names),
        cmocka_unit_test(bounded_output_fails_cleanly),
        cmocka_unit_test(spoilt_bytes),
        cmocka_unit_test(truncated),
        cmocka_unit_test(cut_after_the_handshake),
        cmocka_unit_test(replaced_context_lives_on),
    };
    static struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(strangers)];
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(strangers); i++)
        tests[n++] = (struct CMUnitTest){ .name = strangers[i].name,
                                          .test_func = stranger,
                                          .initial_state = (void *)(uintptr_t)i };
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[n++] = plain[i];
    return cmocka_run_group_tests_name("tls stream", tests, tls_pair_make_certs,
                                       tls_pair_remove_certs);
}
