/* tls.c - TLS sessions: bytes in, bytes out. Mbed TLS reads from the slice being fed and writes to
 * the caller's buffer; between calls a session points at nobody's memory but its own. */
#include "tls_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define READ_CHUNK 4096
#define SMALL      1024 /* bytes of a record that stay within the first page of a buffer */

static int give_bytes(void *ctx, unsigned char *to, size_t n)
{
    struct tls_session *s = ctx;
    if (n > s->in.left)
        n = s->in.left;
    struct sl_slice taken;
    if (n == 0 || !sl_take(&s->in, n, &taken))
        return MBEDTLS_ERR_SSL_WANT_READ;
    memcpy(to, taken.ptr, n);
    return (int)n; /* a record at most */
}

static int take_bytes(void *ctx, const unsigned char *from, size_t n)
{
    struct tls_session *s = ctx;
    if (!s->out)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    sl_buf_put(s->out, from, n);
    return s->out->failed ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)n;
}

/* Called for each certificate of the peer's chain, the one nearest the root first. */
static int check_cert(void *ctx, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
    struct tls_session *s = ctx;
    if (depth == 0 && s->address_len > 0 &&
        !tls_has_address(cert, sl_bytes(s->address, s->address_len)))
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    if (*flags != 0 && !s->explained) {
        tls_explain_cert(s, cert, *flags, s->err);
        s->explained = true;
    }
    if (s->context->server && *flags == 0)
        tls_note_cert(s, cert, depth);
    return 0;
}

/* A client's name: DNS names go into SNI and are checked by Mbed TLS; addresses must not be sent as
 * SNI (RFC 6066 section 3) and are checked in check_cert(). */
static enum sl_code set_server_name(struct tls_session *s, const char *name, struct sl_err *err)
{
    if (!name || !*name)
        return sl_fail(err, SL_INVALID, "a TLS client needs the server's name");
    s->name = strdup(name);
    if (!s->name)
        return sl_fail(err, SL_NOMEM, "out of memory");
    if (inet_pton(AF_INET, name, s->address) == 1)
        s->address_len = 4;
    else if (inet_pton(AF_INET6, name, s->address) == 1)
        s->address_len = 16;
    /* NULL is said aloud: newer libraries refuse a client that never chose. */
    int rc = mbedtls_ssl_set_hostname(&s->ssl, s->address_len > 0 ? NULL : name);
    if (rc == MBEDTLS_ERR_SSL_ALLOC_FAILED)
        return sl_fail(err, SL_NOMEM, "out of memory");
    if (rc != 0)
        return sl_fail(err, SL_INVALID, "\"%.80s\" is too long for a host name", name);
    return SL_OK;
}

enum sl_code tls_session_new(struct tls_session **ret, struct tls_context *c,
                             const char *server_name, struct sl_err *err)
{
    struct tls_session *s = calloc(1, sizeof *s);
    if (!s)
        return sl_fail(err, SL_NOMEM, "out of memory");
    s->context = tls_context_ref(c);
    mbedtls_ssl_init(&s->ssl);
    enum sl_code rc = SL_OK;
    if (mbedtls_ssl_setup(&s->ssl, &c->conf) != 0)
        rc = sl_fail(err, SL_NOMEM, "out of memory for a TLS session");
    if (rc == SL_OK && !c->server)
        rc = set_server_name(s, server_name, err);
    if (rc != SL_OK) {
        tls_session_free(s);
        return rc;
    }
    mbedtls_ssl_set_bio(&s->ssl, s, take_bytes, give_bytes, NULL);
    mbedtls_ssl_set_verify(&s->ssl, check_cert, s);
    s->swollen = true; /* the handshake's records are large */
    tls_forget_peer(s);
    *ret = s;
    return SL_OK;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    mbedtls_ssl_free(&s->ssl);
    tls_context_unref(s->context);
    free(s->name);
    free(s->peer_name);
    free(s);
}

static void note_first_bytes(struct tls_session *s, struct sl_slice in)
{
    size_t n = sizeof s->first_bytes - s->first_len;
    if (n > in.len)
        n = in.len;
    if (n == 0)
        return;
    memcpy(s->first_bytes + s->first_len, in.ptr, n);
    s->first_len += n;
}

static bool is_pause(int rc)
{
    return rc == MBEDTLS_ERR_SSL_WANT_READ || rc == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static enum sl_code fail_session(struct tls_session *s, int rc)
{
    s->state = TLS_FAILED;
    return tls_explain(s, rc, s->err);
}

/* With optional client certificates Mbed TLS lets a client with a bad one in. Whoever shows a
 * certificate means it: a bad one is refused here. */
static enum sl_code check_optional(struct tls_session *s)
{
    uint32_t flags = mbedtls_ssl_get_verify_result(&s->ssl);
    const uint32_t none_sent = MBEDTLS_X509_BADCERT_MISSING | MBEDTLS_X509_BADCERT_SKIP_VERIFY;
    if (!s->context->asks_for_cert || !s->full || (flags & ~none_sent) == 0)
        return SL_OK;
    (void)mbedtls_ssl_send_alert_message(&s->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                         MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
    return fail_session(s, MBEDTLS_ERR_X509_CERT_VERIFY_FAILED);
}

/* One state after the other, to see whether our certificate is among them: only a resumption goes
 * without, and there alone what a ticket said of the peer counts. */
static int step_to_the_end(struct tls_session *s)
{
    int rc = 0;
    while (rc == 0 && tls_compat_state(&s->ssl) != MBEDTLS_SSL_HANDSHAKE_OVER) {
        if (s->context->server && !s->full &&
            tls_compat_state(&s->ssl) == MBEDTLS_SSL_SERVER_CERTIFICATE) {
            s->full = true;
            tls_forget_peer(s);
        }
        rc = mbedtls_ssl_handshake_step(&s->ssl);
    }
    return rc;
}

/* The handshake is done. What a server needs of its client's certificate is known by now; kilobytes
 * are freed. The library frees the empty shell with the session. */
static void settle_peer(struct tls_session *s)
{
    const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(&s->ssl);
    if (!s->context->server)
        return;
    if (s->full)
        s->has_cert = cert && mbedtls_ssl_get_verify_result(&s->ssl) == 0;
    if (cert)
        mbedtls_x509_crt_free((mbedtls_x509_crt *)(uintptr_t)cert);
}

/* Refusals for which the library sends nothing: the first always, the second with TLS 1.3 and
 * optional certificates, where only our ticket callback refuses. */
static void send_late_alert(struct tls_session *s, int rc)
{
    if (rc == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE)
        (void)mbedtls_ssl_send_alert_message(&s->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
    else if (rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)
        (void)mbedtls_ssl_send_alert_message(&s->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
}

static enum sl_code shake_hands(struct tls_session *s)
{
    size_t sent = s->out->len;
    int rc = step_to_the_end(s);
    if (is_pause(rc))
        return SL_OK;
    if (rc != 0 && s->out->len == sent)
        send_late_alert(s, rc);
    if (rc != 0)
        return fail_session(s, rc);
    enum sl_code checked = check_optional(s);
    if (checked != SL_OK)
        return checked;
    settle_peer(s);
    s->state = TLS_OPEN;
    return SL_OK;
}

static enum sl_code read_all(struct tls_session *s, struct sl_buf *plain_out)
{
    uint8_t chunk[READ_CHUNK]; /* shared by all sessions, unlike room in plain_out */
    for (;;) {
        size_t left = s->in.left;
        int rc = mbedtls_ssl_read(&s->ssl, chunk, sizeof chunk);
        if (is_pause(rc) && s->in.left > 0 && s->in.left < left)
            continue; /* Mbed TLS 3 also pauses in front of a ticket, whatever follows it */
        if (is_pause(rc))
            return SL_OK;
        if (tls_compat_is_ticket(rc) || rc == 0) /* 0: a record without content */
            continue;
        if (rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
            s->state = TLS_PEER_CLOSED;
            return sl_fail(s->err, SL_CLOSED, "the %s closed the TLS session",
                           s->context->server ? "client" : "server");
        }
        if (rc < 0)
            return fail_session(s, rc);
        s->heard = true;
        s->swollen |= rc > SMALL;
        sl_buf_put(plain_out, chunk, (size_t)rc);
        if (plain_out->failed) {
            s->state = TLS_FAILED;
            return sl_fail(s->err, SL_NOMEM, "no room for %d more decrypted bytes", rc);
        }
    }
}

/* SL_OK in the states in which bytes still mean something. */
static enum sl_code check_usable(const struct tls_session *s, struct sl_err *err)
{
    switch (s->state) {
    case TLS_HANDSHAKE:
    case TLS_OPEN: return SL_OK;
    case TLS_PEER_CLOSED: return sl_fail(err, SL_CLOSED, "the peer has closed the TLS session");
    case TLS_FAILED: return sl_fail(err, SL_TLS, "the TLS session has failed before");
    }
    return SL_TLS;
}

enum sl_code tls_session_feed(struct tls_session *s, struct sl_slice in, struct sl_buf *plain_out,
                              struct sl_buf *wire_out, struct sl_err *err)
{
    struct sl_err unwanted;
    if (!err)
        err = &unwanted;
    enum sl_code rc = check_usable(s, err);
    if (rc != SL_OK)
        return rc;
    note_first_bytes(s, in);
    s->in = sl_cursor(in);
    s->out = wire_out;
    s->err = err;
    s->context->active = s;
    if (s->state == TLS_HANDSHAKE)
        rc = shake_hands(s);
    if (rc == SL_OK && s->state == TLS_OPEN)
        rc = read_all(s, plain_out);
    s->in = (struct sl_cursor){ NULL, 0 };
    s->out = NULL;
    s->err = NULL;
    s->context->active = NULL;
    return rc;
}

bool tls_session_established(const struct tls_session *s)
{
    return s->state == TLS_OPEN || s->state == TLS_PEER_CLOSED;
}

enum sl_code tls_session_write(struct tls_session *s, struct sl_slice plain,
                               struct sl_buf *wire_out, struct sl_err *err)
{
    s->swollen |= plain.len > SMALL;
    if (s->state == TLS_HANDSHAKE)
        return sl_fail(err, SL_BUSY, "the TLS handshake is not over");
    if (s->state == TLS_FAILED)
        return sl_fail(err, SL_TLS, "the TLS session has failed before");
    struct sl_err unwanted;
    s->err = err ? err : &unwanted;
    s->out = wire_out;
    enum sl_code rc = SL_OK;
    while (plain.len > 0 && rc == SL_OK) {
        int n = mbedtls_ssl_write(&s->ssl, plain.ptr, plain.len); /* a record at most */
        if (n > 0) {
            plain.ptr += n;
            plain.len -= (size_t)n;
        } else if (!tls_compat_is_ticket(n)) {
            rc = fail_session(s, n == 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : n);
        }
    }
    s->out = NULL;
    s->err = NULL;
    return rc;
}

void tls_session_close(struct tls_session *s, struct sl_buf *wire_out)
{
    if (!tls_session_established(s))
        return;
    s->out = wire_out;
    (void)mbedtls_ssl_close_notify(&s->ssl); /* a courtesy; the connection ends either way */
    s->out = NULL;
}

enum sl_code tls_session_cut(const struct tls_session *s, struct sl_err *err)
{
    const char *who = s->context->server ? "client" : "server";
    const char *aws = s->context->server ? ""
                                         : ": it may want another client certificate (AWS IoT: the "
                                           "certificate must be registered and "
                                           "active, and the endpoint right)";
    switch (s->state) {
    case TLS_HANDSHAKE:
        return sl_fail(err, SL_TLS, "the %s closed the connection during the TLS handshake%s", who,
                       aws);
    case TLS_OPEN:
        return sl_fail(err, SL_TLS, "the %s closed the connection without ending the TLS session%s",
                       who, s->heard ? "" : aws);
    case TLS_PEER_CLOSED: return sl_fail(err, SL_CLOSED, "the %s closed the TLS session", who);
    case TLS_FAILED: return sl_fail(err, SL_TLS, "the TLS session has failed before");
    }
    return SL_TLS;
}

struct sl_slice tls_session_peer_name(const struct tls_session *s, char *buf, size_t size)
{
    struct sl_slice name = sl_str(s->peer_name);
    if (!tls_session_established(s) || !s->has_cert || name.len > size)
        return sl_bytes(buf, 0);
    if (name.len > 0)
        memcpy(buf, name.ptr, name.len);
    return sl_bytes(buf, name.len);
}

bool tls_session_has_cert(const struct tls_session *s)
{
    return tls_session_established(s) && s->has_cert;
}

bool tls_session_resumed(const struct tls_session *s)
{
    return tls_session_established(s) && s->context->server && !s->full;
}

/* Gives the whole pages behind a buffer's first bytes back to the system; they read as zeros when
 * they are touched again. The library only frees and, before each use, fills them. */
static void give_back(uint8_t *buffer, size_t page)
{
    uintptr_t from = ((uintptr_t)buffer + SMALL / 2 + page - 1) & ~(uintptr_t)(page - 1);
    uintptr_t to = ((uintptr_t)buffer + TLS_COMPAT_BUFFER) & ~(uintptr_t)(page - 1);
    if (to > from) /* failing costs memory, nothing else */
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

void tls_session_trim(struct tls_session *s)
{
    uint8_t *in, *out;
    long page = sysconf(_SC_PAGESIZE);
    if (!s->swollen || s->state != TLS_OPEN || page <= 0 ||
        !tls_compat_idle_buffers(&s->ssl, &in, &out))
        return;
    s->swollen = false;
    give_back(in, (size_t)page);
    give_back(out, (size_t)page);
}

const char *tls_session_version(const struct tls_session *s)
{
    return mbedtls_ssl_get_version(&s->ssl);
}

const char *tls_session_cipher(const struct tls_session *s)
{
    const char *name = mbedtls_ssl_get_ciphersuite(&s->ssl);
    return name ? name : "";
}

const char *tls_session_alpn(const struct tls_session *s)
{
    return mbedtls_ssl_get_alpn_protocol(&s->ssl);
}

const char *tls_library_version(void)
{
    /* Of the library that is loaded, not of the headers; every call writes the same bytes. */
    static char text[32];
    char number[16];
    mbedtls_version_get_string(number);
    (void)snprintf(text, sizeof text, "Mbed TLS %s", number);
    return text;
}
