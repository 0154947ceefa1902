/* tls.h - TLS sessions as bytes in, bytes out, for clients and servers.
 *
 * The only room that knows Mbed TLS (2.28 and 3.x). No sockets: the owner of a connection feeds the
 * bytes it received and sends the bytes it is given. A context holds certificates and settings and
 * is shared by its sessions by reference count; replacing a context leaves running sessions on the
 * old one. Loop thread only. */
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include "base/buf.h"
#include "base/err.h"

struct tls_context;
struct tls_session;

enum tls_client_cert { TLS_CLIENT_CERT_NONE, TLS_CLIENT_CERT_OPTIONAL, TLS_CLIENT_CERT_REQUIRED };

/* Paths are borrowed during the call. PEM or DER files. */
struct tls_options {
    bool server;
    const char *cert_path, *key_path; /* ours: both or neither (a server needs both) */
    const char *ca_path;  /* whom we trust: a client always needs it; a server, when it asks for
                             certificates */
    const char *crl_path; /* optional */
    enum tls_client_cert client_cert; /* servers; a bad certificate is refused also when optional */
    int min_version;                  /* 12 or 13; 0 means 12 */
    bool any_date; /* take a certificate of ours that has expired or is not yet valid: the peers
                      will say what they think of it */
    const char *const *alpn;          /* NULL, or a NULL-ended list that must outlive the context */
};

/* Reads and checks the files: a missing, unreadable or mismatched one, or our own certificate being
 * expired or not yet valid, is named in err with its path (expired: SL_TLS and the date). "Not yet
 * valid" is not looked at while the clock has plainly never been set (before 2024). */
SL_NODISCARD enum sl_code tls_context_new(struct tls_context **ret,
                                          const struct tls_options *options, struct sl_err *err);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c); /* accepts NULL */
/* Our certificate's notBefore and notAfter, seconds since 1970; 0 without one. */
int64_t tls_context_not_before(const struct tls_context *c);
int64_t tls_context_not_after(const struct tls_context *c);
/* When the CRL must have been replaced, seconds since 1970: afterwards nobody whom it speaks of
 * gets in. 0 without one. */
int64_t tls_context_crl_until(const struct tls_context *c);
/* Whether both were made of the same bytes and settings: then one need not replace the other, whose
 * tickets are in clients' hands. */
bool tls_context_equal(const struct tls_context *a, const struct tls_context *b);

/* server_name: what a client sends as SNI and verifies the certificate against (DNS name or IP
 * literal); NULL for servers. */
SL_NODISCARD enum sl_code tls_session_new(struct tls_session **ret, struct tls_context *c,
                                          const char *server_name, struct sl_err *err);
void tls_session_free(struct tls_session *s); /* accepts NULL */

/* Feed bytes from the peer (n may be 0: a client's first call starts the handshake). Decrypted
 * bytes are appended to plain_out, bytes to send to wire_out. All input is consumed. SL_OK: go on.
 * SL_CLOSED: the peer closed the session properly. SL_TLS: failed for good; err says what and, for
 * certificates, which check and what to do; send what is in wire_out (an alert) and close. */
SL_NODISCARD enum sl_code tls_session_feed(struct tls_session *s, struct sl_slice in,
                                           struct sl_buf *plain_out, struct sl_buf *wire_out,
                                           struct sl_err *err);
bool tls_session_established(const struct tls_session *s);
/* Encrypt (only once established: SL_BUSY before). */
SL_NODISCARD enum sl_code tls_session_write(struct tls_session *s, struct sl_slice plain,
                                            struct sl_buf *wire_out, struct sl_err *err);
/* The connection ended under the session: what that means, as SL_TLS with a text; SL_CLOSED when
 * the peer had said goodbye before. */
enum sl_code tls_session_cut(const struct tls_session *s, struct sl_err *err);
/* Append a close_notify. */
void tls_session_close(struct tls_session *s, struct sl_buf *wire_out);
/* Whether the peer of a server showed a certificate, and it was good: in this handshake or, with a
 * resumed session, in the one whose ticket it brought. */
bool tls_session_has_cert(const struct tls_session *s);
/* Its subject's common name into buf; empty when there is none, or it could not be a name. A
 * subjectAltName is never taken for it. */
struct sl_slice tls_session_peer_name(const struct tls_session *s, char *buf, size_t size);
/* Servers: the client came back with a ticket and was spared most of the handshake. */
bool tls_session_resumed(const struct tls_session *s);
/* For a session that is idle now: gives the memory of its record buffers back to the system as far
 * as it can, 24 of 33 KiB say. Any time, any number of times; what comes later finds it there. */
void tls_session_trim(struct tls_session *s);
/* "TLSv1.3", "TLS-ECDHE-..."; static or session-owned strings. */
const char *tls_session_version(const struct tls_session *s);
const char *tls_session_cipher(const struct tls_session *s);
/* Protocol agreed by ALPN, or NULL. */
const char *tls_session_alpn(const struct tls_session *s);

/* The library's version, "Mbed TLS 2.28.3" say. */
const char *tls_library_version(void);

#endif
