/* tls_resume.c - sessions that are taken up again with a ticket, on the server's side.
 *
 * A resumption skips the client's certificate, so a ticket remembers what came of checking it: the
 * name, and until when all of that holds (its chain's notAfter, the CRL's nextUpdate, a week at the
 * most). Mbed TLS hands its ticket callbacks only the context; the session meant is the active one.
 */
#include "tls_internal.h"

#include <stdlib.h>
#include <time.h>

void tls_forget_peer(struct tls_session *s)
{
    free(s->peer_name);
    s->peer_name = NULL;
    s->has_cert = false;
    s->valid_until = (int64_t)time(NULL) + TLS_TICKET_RENEWALS;
    if (s->context->crl_until != 0 && s->context->crl_until < s->valid_until)
        s->valid_until = s->context->crl_until;
}

static void set_name(struct tls_session *s, struct sl_slice name)
{
    free(s->peer_name);
    s->peer_name =
        name.len > 0 ? sl_slice_dup(name) : NULL; /* out of memory: nobody, not somebody */
}

void tls_note_cert(struct tls_session *s, const mbedtls_x509_crt *cert, int depth)
{
    char buf[TLS_PEER_NAME_MAX];
    int64_t not_after = tls_time_of(&cert->valid_to);
    if (not_after < s->valid_until)
        s->valid_until = not_after;
    if (depth == 0)
        set_name(s, tls_common_name(cert, buf, sizeof buf));
}

/* Whether this handshake has found out enough to be resumed. With optional certificates Mbed TLS
 * goes on with a bad one, until tls.c looks at the result. */
static bool may_resume(const struct tls_session *s, const mbedtls_ssl_session *session)
{
    return !tls_compat_session_cert(session) || tls_compat_session_flags(session) == 0 || !s->full;
}

static int write_ticket(void *ctx, const mbedtls_ssl_session *session, unsigned char *start,
                        const unsigned char *end, size_t *len, uint32_t *lifetime)
{
    struct tls_context *c = ctx;
    const struct tls_session *s = c->active;
    int64_t now = time(NULL);
    size_t room = (size_t)(end - start), saved = 0;
    if (!s || !may_resume(s, session))
        return MBEDTLS_ERR_X509_CERT_VERIFY_FAILED;
    struct tls_ticket_facts facts = {
        .issued = now,
        .valid_until = s->valid_until,
        .has_cert = s->full ? tls_compat_session_cert(session) != NULL : s->has_cert,
    };
    if (facts.has_cert)
        facts.name = sl_str(s->peer_name);
    if (room <= TLS_TICKET_HEAD + TLS_TICKET_TAG)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    size_t packed =
        tls_ticket_pack(&facts, start + TLS_TICKET_HEAD, room - TLS_TICKET_HEAD - TLS_TICKET_TAG);
    size_t used = TLS_TICKET_HEAD + packed;
    if (packed == 0)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    int rc = mbedtls_ssl_session_save(session, start + used, room - used - TLS_TICKET_TAG, &saved);
    if (rc != 0)
        return rc;
    *len = tls_tickets_seal(&c->tickets, now, start, packed + saved, room);
    *lifetime = TLS_TICKET_LIFE_S;
    return *len > 0 ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int parse_ticket(void *ctx, mbedtls_ssl_session *session, unsigned char *ticket, size_t len)
{
    struct tls_context *c = ctx;
    struct tls_session *s = c->active;
    struct tls_ticket_facts facts;
    if (!s)
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    tls_forget_peer(s);
    if (!tls_tickets_open(&c->tickets, time(NULL), ticket, len, &facts))
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED; /* or not ours: a full handshake follows */
    int rc = mbedtls_ssl_session_load(session, facts.session.ptr, facts.session.len);
    if (rc != 0)
        return rc;
    s->has_cert = facts.has_cert;
    s->valid_until = facts.valid_until;
    set_name(s, facts.name);
    return 0;
}

void tls_offer_tickets(struct tls_context *c)
{
    mbedtls_ssl_conf_session_tickets_cb(&c->conf, write_ticket, parse_ticket, c);
}
