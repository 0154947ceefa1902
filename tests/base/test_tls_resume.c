/* test_tls_resume.c - sessions that are taken up again: what stays, what ends them, and tickets as
 * bytes. The client is ours with a memory that it does not have in the gateway. */
#include "tls_pair.h"

#include "tls_internal.h"

#include <stdlib.h>

enum { V12 = 12, V13 = 13 };

#if MBEDTLS_VERSION_MAJOR >= 3
static bool client_speaks(struct tls_context *c, int version)
{
    mbedtls_ssl_conf_max_tls_version(&c->conf, version == V13 ? MBEDTLS_SSL_VERSION_TLS1_3
                                                              : MBEDTLS_SSL_VERSION_TLS1_2);
#if defined(MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED)
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &c->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    return true;
}
#else
static bool client_speaks(struct tls_context *c, int version)
{
    (void)c;
    return version == V12;
}
#endif

static const struct side required = {
    .cert = "server", .ca = "ca", .crl = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED
};
static const struct side optional = { .cert = "server",
                                      .ca = "ca",
                                      .client_cert = TLS_CLIENT_CERT_OPTIONAL };

/* What a client keeps between its connections. */
struct memory {
    int version;
    struct tls_context *context;
    mbedtls_ssl_session session;
    bool has_session;
};

static void memory_open(struct memory *m, const char *cert, int version)
{
    struct side side = { .ca = "ca", .cert = cert };
    *m = (struct memory){ .version = version };
    m->context = context(false, &side, 0);
    mbedtls_ssl_conf_session_tickets(&m->context->conf,
                                     MBEDTLS_SSL_SESSION_TICKETS_ENABLED); /* first */
    if (!client_speaks(m->context, version)) {
        tls_context_unref(m->context);
        skip();
    }
    mbedtls_ssl_session_init(&m->session);
}

static void memory_close(struct memory *m)
{
    mbedtls_ssl_session_free(&m->session);
    tls_context_unref(m->context);
}

/* A TLS 1.3 ticket comes after the handshake, and the library wants it taken just then. */
static void keep_session(struct memory *m, struct pair *p)
{
    struct tls_session *c = p->client.session;
    uint8_t byte;
    if (m->version == V13) {
        c->in = sl_cursor(sl_buf_slice(&p->server.wire));
        c->out = &p->client.wire;
        c->err = &p->client.err;
        int rc;
        do /* it pauses once in front of a ticket */
            rc = mbedtls_ssl_read(&c->ssl, &byte, 1);
        while (rc == MBEDTLS_ERR_SSL_WANT_READ &&
               tls_compat_state(&c->ssl) != MBEDTLS_SSL_HANDSHAKE_OVER);
        if (!tls_compat_is_ticket(rc))
            return;
    }
    mbedtls_ssl_session_free(&m->session);
    mbedtls_ssl_session_init(&m->session);
    m->has_session = mbedtls_ssl_get_session(&c->ssl, &m->session) == 0;
    c->in = (struct sl_cursor){ NULL, 0 };
    c->out = NULL;
}

/* One connection; true when the server let the client in. What the server says remains in p. */
static bool visit(struct memory *m, struct tls_context *server, struct pair *p)
{
    end_open(&p->client, tls_context_ref(m->context), "localhost");
    end_open(&p->server, tls_context_ref(server), NULL);
    if (m->has_session)
        assert_int_equal(mbedtls_ssl_set_session(&p->client.session->ssl, &m->session), 0);
    end_feed(&p->client, sl_bytes("", 0));
    for (bool more = true; more;) {
        more = carry(&p->client, &p->server, 0);
        if (tls_session_established(p->server.session) &&
            tls_session_established(p->client.session))
            break; /* a ticket may be on its way */
        more |= carry(&p->server, &p->client, 0);
    }
    bool in = tls_session_established(p->server.session);
    if (in)
        keep_session(m, p);
    return in;
}

static void leave(struct pair *p)
{
    end_close(&p->client);
    end_close(&p->server);
}

static void expect_name(const struct pair *p, const char *name)
{
    char buf[TLS_PEER_NAME_MAX];
    struct sl_slice is = tls_session_peer_name(p->server.session, buf, sizeof buf);
    if (!sl_slice_eq(is, sl_str(name)))
        fail_msg("\"%.*s\" instead of \"%s\"", SL_FMT(is), name);
}

/* A first visit, in full, and a second one. Returns whether the second was let in. */
static bool come_back(struct memory *m, struct tls_context *first, struct tls_context *second,
                      int64_t after_s, struct pair *p)
{
    assert_true(visit(m, first, p));
    assert_false(tls_session_resumed(p->server.session));
    assert_true(m->has_session);
    leave(p);
    move_time(after_s);
    return visit(m, second, p);
}

/* ---- what comes of a second visit ---- */

static const struct row {
    const char *name;
    const char *cert; /* the client's */
    const struct side *server;
    int64_t starts;   /* at this time; 0: now */
    int64_t after_s;  /* the second visit */
    bool replaced;    /* with a context of the same files in between */
    bool in, resumed; /* the second time */
    const char *peer;
    const char *says; /* to who is not let in */
} rows[] = {
    { "without a certificate", NULL, &simple_server, 0, 5, false, true, true, "", NULL },
    { "with one", "device", &required, 0, 5, false, true, true, "device-01", NULL },
    { "with an optional one", "device", &optional, 0, 5, false, true, true, "device-01", NULL },
    { "optional, none", NULL, &optional, 0, 5, false, true, true, "", NULL },
    { "without a common name", "nameless", &required, 0, 5, false, true, true, "", NULL },
    { "as long as a ticket lives", "device", &required, 0, TLS_TICKET_LIFE_S - 60, false, true,
      true, "device-01", NULL },
    { "longer than a ticket lives", "device", &required, 0, TLS_TICKET_LIFE_S + 60, false, true,
      false, "device-01", NULL },
    { "the clock was set back", "device", &required, INT64_C(1900000000), -600, false, true, false,
      "device-01", NULL },
    { "new context", "device", &required, 0, 5, true, true, false, "device-01", NULL },
    { "new context, no certificate", NULL, &simple_server, 0, 5, true, true, false, "", NULL },
    { "certificate ends in between", "until-2040", &optional, INT64_C(2208988800) - 3600, 7200,
      false, false, false, "", "\"device-40\" expired on 2040-01-01" },
    { "certificate ends later", "until-2040", &optional, INT64_C(2208988800) - 3600, 1800, false,
      true, true, "device-40", NULL },
};

static void second_visit(const struct row *r, int version)
{
    struct memory m;
    struct pair p;
    memory_open(&m, r->cert, version);
    struct tls_context *server = context(true, r->server, 0);
    struct tls_context *then = r->replaced ? context(true, r->server, 0) : tls_context_ref(server);
    if (r->starts)
        set_time(r->starts);
    assert_int_equal(come_back(&m, server, then, r->after_s, &p), r->in);
    assert_int_equal(tls_session_resumed(p.server.session), r->resumed);
    assert_int_equal(tls_session_has_cert(p.server.session), r->in && r->cert);
    expect_name(&p, r->peer);
    if (r->says && !strstr(p.server.err.text, r->says))
        fail_msg("\"%s\" does not say \"%s\"", p.server.err.text, r->says);
    leave(&p);
    tls_context_unref(server);
    tls_context_unref(then);
    memory_close(&m);
    set_year(0);
}

static void second_visit_12(void **state)
{
    second_visit(*state, V12);
}

static void second_visit_13(void **state)
{
    second_visit(*state, V13);
}

/* The list runs out while a ticket is still young: nobody it speaks of gets in with one. */
static void crl_ends_in_between(void **state)
{
    int version = (int)(intptr_t)*state;
    struct memory m;
    struct pair p;
    memory_open(&m, "device", version);
    struct tls_context *server = context(true, &required, 0);
    set_time(tls_context_crl_until(server) - 60);
    assert_false(come_back(&m, server, server, 120, &p));
    assert_non_null(strstr(p.server.err.text, "ca.crl expired on"));
    leave(&p);
    tls_context_unref(server);
    memory_close(&m);
    set_year(0);
}

/* However often a client comes back, after a week its certificate is looked at again. */
static void renewals_end(void **state)
{
    int version = (int)(intptr_t)*state;
    struct memory m;
    struct pair p;
    int resumed = 0, full = 0;
    memory_open(&m, "device", version);
    struct tls_context *server = context(true, &required, 0);
    for (int visits = 0; visits < 8 * 4; visits++) { /* every six hours for eight days */
        assert_true(visit(&m, server, &p));
        expect_name(&p, "device-01");
        *(tls_session_resumed(p.server.session) ? &resumed : &full) += 1;
        leave(&p);
        move_time(6 * 3600);
    }
    /* With TLS 1.2 a resumption brings no new ticket, so each lives for its twelve hours. */
    assert_int_equal(full, version == V13 ? 2 : 16);
    assert_int_equal(resumed, 8 * 4 - full);
    tls_context_unref(server);
    memory_close(&m);
    set_year(0);
}

/* A ticket that the server cannot read must not leave a trace of a name. */
static void ticket_of_another_is_no_name(void **state)
{
    int version = (int)(intptr_t)*state;
    struct memory m;
    struct pair p;
    memory_open(&m, "device", version);
    struct tls_context *server = context(true, &optional, 0);
    assert_true(visit(&m, server, &p));
    leave(&p);
    struct side none = { .ca = "ca" }; /* the same memory, without the certificate */
    tls_context_unref(m.context);
    m.context = context(false, &none, 0);
    mbedtls_ssl_conf_session_tickets(&m.context->conf, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
    assert_true(client_speaks(m.context, version));
    move_time(TLS_TICKET_LIFE_S + 1);
    assert_true(visit(&m, server, &p));
    assert_false(tls_session_resumed(p.server.session));
    assert_false(tls_session_has_cert(p.server.session));
    expect_name(&p, "");
    leave(&p);
    tls_context_unref(server);
    memory_close(&m);
    set_year(0);
}

/* What follows a ticket at once must not be lost with it. */
static void data_right_behind_a_ticket(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, &mutual_client, &mutual_server, "localhost");
    end_feed(&p.client, sl_bytes("", 0));
    while (!tls_session_established(p.server.session)) {
        (void)carry(&p.client, &p.server, 0);
        if (!tls_session_established(p.server.session))
            (void)carry(&p.server, &p.client, 0);
    }
    say(&p.server, sl_str("hello"));
    pump(&p, 0);
    assert_string_equal(sl_buf_cstr(&p.client.plain), "hello");
    pair_close(&p);
}

/* Also a resumed session goes on as usual when its buffers have been given back. */
static void trimmed_sessions_go_on(void **state)
{
    int version = (int)(intptr_t)*state;
    struct memory m;
    struct pair p;
    memory_open(&m, "device", version);
    uint8_t *big = malloc(40000);
    assert_non_null(big);
    memset(big, 'x', 40000);
    struct tls_context *server = context(true, &required, 0);
    tls_context_ref(server);
    pair_open(&p, &mutual_client, &required, "localhost");
    shake(&p, 0);
    for (int i = 0; i < 5; i++) {
        tls_session_trim(p.server.session);
        tls_session_trim(p.client.session);
        say(&p.client, sl_str("small"));
        say(&p.server, sl_bytes(big, 40000));
        pump(&p, i % 2 ? 1000 : 0);
        tls_session_trim(p.server.session);
        say(&p.client, sl_bytes(big, 40000));
        /* a record is cut in two: nothing may be given back now */
        end_feed(&p.server, sl_bytes(p.client.wire.ptr, 9000));
        sl_buf_consume(&p.client.wire, 9000);
        tls_session_trim(p.server.session);
        pump(&p, 0);
    }
    assert_int_equal(p.server.plain.len, 5 * 40005);
    assert_int_equal(p.client.plain.len, 5 * 40000);
    pair_close(&p);
    tls_context_unref(server);
    tls_context_unref(server);
    memory_close(&m);
    free(big);
}

/* ---- contexts that are the same ---- */

static void equal_contexts(void **state)
{
    (void)state;
    const struct side *sides[] = { &required, &optional, &simple_server, &mutual_server };
    for (size_t i = 0; i < SL_ARRAY_LEN(sides); i++)
        for (size_t j = 0; j < SL_ARRAY_LEN(sides); j++) {
            struct tls_context *a = context(true, sides[i], 0), *b = context(true, sides[j], 0);
            assert_int_equal(tls_context_equal(a, b), i == j);
            tls_context_unref(a);
            tls_context_unref(b);
        }
}

/* ---- tickets as bytes ---- */

enum { FACTS_FIXED = 20, SESSION = 100 };

static size_t make_ticket(struct tls_tickets *t, int64_t now, int64_t valid_until, uint8_t *out,
                          size_t room)
{
    struct tls_ticket_facts f = {
        .issued = now, .valid_until = valid_until, .has_cert = true, .name = sl_str("device")
    };
    size_t n = tls_ticket_pack(&f, out + TLS_TICKET_HEAD, room);
    memset(out + TLS_TICKET_HEAD + n, 's', SESSION);
    return tls_tickets_seal(t, now, out, n + SESSION, room);
}

static bool opens(struct tls_tickets *t, int64_t now, const uint8_t *ticket, size_t len)
{
    struct tls_ticket_facts f;
    uint8_t *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, ticket, len);
    bool opened = tls_tickets_open(t, now, copy, len, &f);
    if (opened)
        assert_true(f.has_cert && sl_slice_eq(f.name, sl_str("device")) &&
                    f.session.len == SESSION);
    free(copy);
    return opened;
}

static void every_bit_counts(void **state)
{
    (void)state;
    struct tls_tickets t;
    uint8_t ticket[512];
    tls_tickets_init(&t);
    size_t n = make_ticket(&t, 1000, 2000, ticket, sizeof ticket);
    assert_int_equal(n, TLS_TICKET_HEAD + FACTS_FIXED + 6 + SESSION + TLS_TICKET_TAG);
    assert_true(opens(&t, 1000, ticket, n));
    for (size_t i = 0; i < n * 8; i++) {
        ticket[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(opens(&t, 1000, ticket, n));
        ticket[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < n; i++)
        assert_false(opens(&t, 1000, ticket, i));
    assert_true(opens(&t, 1999, ticket, n));
    assert_false(opens(&t, 2000, ticket, n)); /* valid_until */
    assert_false(opens(&t, 999, ticket, n));
    tls_tickets_free(&t);
}

static void keys_rotate(void **state)
{
    (void)state;
    struct tls_tickets t, other;
    uint8_t a[512], b[512], c[512], d[512];
    const int64_t life = TLS_TICKET_LIFE_S, far = INT64_MAX;
    tls_tickets_init(&t);
    tls_tickets_init(&other);
    size_t n = make_ticket(&t, 0, far, a, sizeof a);
    assert_int_equal(make_ticket(&t, life - 1, far, b, sizeof b), n);
    assert_memory_equal(a, b, TLS_TICKET_KEY_NAME); /* the same key, ... */
    assert_memory_not_equal(a + TLS_TICKET_KEY_NAME, b + TLS_TICKET_KEY_NAME, TLS_TICKET_NONCE);
    assert_int_equal(make_ticket(&t, life, far, c, sizeof c), n);
    assert_memory_not_equal(b, c, TLS_TICKET_KEY_NAME); /* ... the next, ... */
    assert_true(opens(&t, life, b, n));                 /* ... and the old one is still honoured */
    assert_true(opens(&t, life, c, n));
    assert_int_equal(make_ticket(&t, 3 * life, far, d, sizeof d), n);
    assert_false(opens(&t, life, b, n)); /* forgotten */
    assert_int_equal(make_ticket(&other, 0, far, b, sizeof b), n);
    assert_false(opens(&t, 0, b, n));
    assert_int_equal(make_ticket(&t, 0, far, a, n - 1), 0); /* no room */
    tls_tickets_free(&t);
    tls_tickets_free(&other);
}

static void names_are_bounded(void **state)
{
    (void)state;
    uint8_t out[400];
    char name[TLS_PEER_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    struct tls_ticket_facts f = { .has_cert = true, .name = sl_bytes(name, TLS_PEER_NAME_MAX) };
    assert_int_equal(tls_ticket_pack(&f, out, sizeof out), FACTS_FIXED + TLS_PEER_NAME_MAX);
    assert_int_equal(tls_ticket_pack(&f, out, FACTS_FIXED + TLS_PEER_NAME_MAX - 1), 0);
    f.name.len++;
    assert_int_equal(tls_ticket_pack(&f, out, sizeof out), 0);
}

/* ---- running them ---- */

#define BOTH(test)                                                                                 \
    { #test " (TLS 1.2)", test, NULL, NULL, (void *)(intptr_t)V12 },                               \
    {                                                                                              \
#test " (TLS 1.3)", test, NULL, NULL, (void *)(intptr_t)V13                                \
    }

int main(void)
{
    static const struct CMUnitTest plain[] = {
        BOTH(crl_ends_in_between),
        BOTH(renewals_end),
        BOTH(ticket_of_another_is_no_name),
        BOTH(trimmed_sessions_go_on),
        cmocka_unit_test(data_right_behind_a_ticket),
        cmocka_unit_test(equal_contexts),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(keys_rotate),
        cmocka_unit_test(names_are_bounded),
    };
    static struct CMUnitTest tests[SL_ARRAY_LEN(plain) + 2 * SL_ARRAY_LEN(rows)];
    size_t n = 0;
    for (size_t i = 0; i < 2 * SL_ARRAY_LEN(rows); i++)
        tests[n++] = (struct CMUnitTest){ .name = rows[i / 2].name,
                                          .test_func = i % 2 ? second_visit_13 : second_visit_12,
                                          .initial_state = (void *)(uintptr_t)&rows[i / 2] };
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[n++] = plain[i];
    return cmocka_run_group_tests_name("tls_resume", tests, tls_pair_make_certs,
                                       tls_pair_remove_certs);
}
