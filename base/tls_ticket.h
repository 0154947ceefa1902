/* tls_ticket.h - session tickets: what a client brings back to be spared most of a handshake.
 * Private to base/. */
#ifndef BASE_TLS_TICKET_H
#define BASE_TLS_TICKET_H

#include "base/err.h"
#include "base/slice.h"

#include <mbedtls/gcm.h>

#define TLS_TICKET_LIFE_S   (12 * 3600)     /* of a ticket; as often the key changes */
#define TLS_TICKET_RENEWALS (7 * 24 * 3600) /* seconds from a full handshake to the next one */
#define TLS_TICKET_KEY_NAME 8
#define TLS_PEER_NAME_MAX   256

/* What a ticket carries beside the library's own session: what the full handshake found out. */
struct tls_ticket_facts {
    int64_t issued;          /* seconds since 1970 */
    int64_t valid_until;     /* the client's certificates, the CRL, and renewals end by then */
    bool has_cert;           /* the client showed a certificate, and it was good */
    struct sl_slice name;    /* that certificate's common name; may be empty */
    struct sl_slice session; /* the library's, serialised */
};

/* From and to bytes, without encryption. False: the bytes make no sense; all must be used up. */
SL_NODISCARD bool tls_ticket_unpack(struct sl_slice bytes, struct tls_ticket_facts *ret);
/* Everything up to the session, which the caller appends; 0 when it does not fit. */
size_t tls_ticket_pack(const struct tls_ticket_facts *facts, uint8_t *out, size_t room);

struct tls_ticket_key {
    bool live;
    int64_t since;
    uint8_t name[TLS_TICKET_KEY_NAME];
    mbedtls_gcm_context gcm;
};

/* One context's keys: the one in use and the one before. In memory only. */
struct tls_tickets {
    struct tls_ticket_key keys[2];
    unsigned current;
};
void tls_tickets_init(struct tls_tickets *t);
void tls_tickets_free(struct tls_tickets *t);

/* Encrypts in place what lies at out + TLS_TICKET_HEAD, len bytes; room is of all. Returns the
 * ticket's length, 0 when there is no room, no randomness or no memory. */
#define TLS_TICKET_NONCE 12
#define TLS_TICKET_TAG   16
#define TLS_TICKET_HEAD  (TLS_TICKET_KEY_NAME + TLS_TICKET_NONCE)
size_t tls_tickets_seal(struct tls_tickets *t, int64_t now, uint8_t *out, size_t len, size_t room);
/* Decrypts in place. False when it is not ours, or too old. */
SL_NODISCARD bool tls_tickets_open(struct tls_tickets *t, int64_t now, uint8_t *ticket, size_t len,
                                   struct tls_ticket_facts *ret);

#endif
