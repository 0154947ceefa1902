/* tls_internal.h - what the files of the TLS room share. Private to base/. */
#ifndef BASE_TLS_INTERNAL_H
#define BASE_TLS_INTERNAL_H

#include "base/tls.h"
#include "tls_compat.h"
#include "tls_ticket.h"

#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>

struct tls_context {
    unsigned refs;
    bool server;
    bool asks_for_cert; /* a server that wants or accepts client certificates */
    char *ca_path;      /* for error texts; NULL when nobody is verified */
    char *crl_path;     /* likewise; NULL without a CRL */
    int64_t not_before, not_after;
    int64_t crl_until; /* the first nextUpdate of the CRLs; 0 without one */
    uint8_t print[32]; /* of all that went in: files and options */
    mbedtls_ssl_config conf;
    mbedtls_x509_crt own, ca;
    mbedtls_x509_crl crl;
    mbedtls_pk_context key;
    struct tls_tickets tickets;
    struct tls_session *active; /* the one being fed; the ticket callbacks get only the context */
};

enum tls_state {
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_PEER_CLOSED, /* close_notify came; we may still write */
    TLS_FAILED,      /* for good */
};

struct tls_session {
    mbedtls_ssl_context ssl;
    struct tls_context *context; /* one reference */
    enum tls_state state;
    char *name;             /* clients: the server's name as given */
    uint8_t address[16];    /* clients, when name is an IP literal: its bytes */
    size_t address_len;     /* 0, 4 or 16 */
    uint8_t first_bytes[4]; /* of what the peer sent, to tell what speaks there if not TLS */
    size_t first_len;
    bool heard;          /* application data has come: certificates are no longer the matter */
    bool swollen;        /* a large record has passed since tls_session_trim() */
    bool full;           /* our certificate was sent: the handshake is no resumption */
    bool has_cert;       /* of the peer, verified; from the chain, or from the ticket */
    char *peer_name;     /* its common name; NULL when there is none that could be a name */
    int64_t valid_until; /* seconds since 1970: the first end of what was verified */

    /* Only during tls_session_feed() and the like: where bytes come from and go to. */
    struct sl_cursor in;
    struct sl_buf *out;
    struct sl_err *err; /* never NULL then */
    bool explained;     /* the certificate check has put its text into err */
};

/* tls_names.c: what a certificate says about itself. Bytes come from hostile peers: what is printed
 * has no control characters. */

/* The subject's common name, else its whole distinguished name, cut to fit. */
struct sl_slice tls_subject_name(const mbedtls_x509_crt *cert, char *buf, size_t size);
/* The common name alone, whole; empty when there is none or it does not fit or holds a control
 * character. */
struct sl_slice tls_common_name(const mbedtls_x509_crt *cert, char *buf, size_t size);
struct sl_slice tls_issuer_name(const mbedtls_x509_crt *cert, char *buf, size_t size);
/* Whether the address stands in the certificate as an iPAddress (RFC 5280 4.2.1.6). */
bool tls_has_address(const mbedtls_x509_crt *cert, struct sl_slice address);
/* "localhost, 127.0.0.1": the host names and addresses it is for. */
void tls_put_hosts(const mbedtls_x509_crt *cert, struct sl_buf *out);

/* tls_resume.c: sessions that are taken up again. Servers only. */

/* From now on the context's sessions get tickets; before its first session. */
void tls_offer_tickets(struct tls_context *c);
/* A certificate of the peer's chain has passed its checks: what a ticket must remember of it. */
void tls_note_cert(struct tls_session *s, const mbedtls_x509_crt *cert, int depth);
/* The handshake begins: nothing is known of the peer. */
void tls_forget_peer(struct tls_session *s);

/* tls_text.c: sentences. */

int64_t tls_time_of(const mbedtls_x509_time *t); /* seconds since 1970 */
/* "2031-05-02 10:00 UTC" */
#define TLS_DATE_SIZE 48
const char *tls_date(int64_t seconds, char buf[TLS_DATE_SIZE]);
/* What is wrong with one certificate of the peer's chain; flags are MBEDTLS_X509_BADC*. */
void tls_explain_cert(const struct tls_session *s, const mbedtls_x509_crt *cert, uint32_t flags,
                      struct sl_err *err);
/* What a session's failure rc means. */
enum sl_code tls_explain(const struct tls_session *s, int rc, struct sl_err *err);
/* "MESSAGE (-0x7100)" for codes that need no words of their own. */
#define TLS_STRERROR_SIZE 128
const char *tls_strerror(int rc, char buf[TLS_STRERROR_SIZE]);

#endif
