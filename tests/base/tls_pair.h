/* tls_pair.h - a client and a server of the TLS room that talk through two buffers, for tests.
 *
 * Certificates come from tests/make-certs.sh. Time is moved by replacing time(2), which is what
 * Mbed TLS reads, in this program. */
#ifndef TESTS_BASE_TLS_PAIR_H
#define TESTS_BASE_TLS_PAIR_H

#include "base/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void set_year(int year);         /* 0: the real time */
void set_time(int64_t when);     /* seconds since 1970 */
void move_time(int64_t seconds); /* from where it is */

struct side {
    const char *cert, *ca; /* names without extension; NULL for none */
    const char *crl;
    enum tls_client_cert client_cert;
    const char *const *alpn;
    int min_version;
};

enum sl_code try_context(bool server, const struct side *side, struct tls_context **ret,
                         struct sl_err *err);
/* Made in a year in which the certificate is good. */
struct tls_context *context(bool server, const struct side *side, int year);

struct end {
    struct tls_session *session;
    struct sl_buf wire;  /* to the other end */
    struct sl_buf plain; /* received */
    enum sl_code code;   /* the first that was not SL_OK */
    struct sl_err err;
};

struct pair {
    struct end client, server;
};

void end_open(struct end *e, struct tls_context *c, const char *name); /* takes c over */
void end_close(struct end *e);
void end_feed(struct end *e, struct sl_slice in);
/* Hands at most step bytes (0: all) from one end to the other; false when there are none. */
bool carry(struct end *from, struct end *to, size_t step);
void pump(struct pair *p, size_t step);
void pair_open(struct pair *p, const struct side *client, const struct side *server,
               const char *name);
void pair_close(struct pair *p);
void shake(struct pair *p, size_t step);
void say(struct end *e, struct sl_slice text);
/* Its handshake succeeded (NULL), or failed and says this. */
void check_end(const struct end *e, const char *says);

static const struct side simple_client = { .ca = "ca" };
static const struct side simple_server = { .cert = "server" };
static const struct side mutual_client = { .ca = "ca", .cert = "device" };
static const struct side mutual_server = { .cert = "server",
                                           .ca = "ca",
                                           .client_cert = TLS_CLIENT_CERT_REQUIRED };

/* cmocka's group set-up and tear-down: the folder of certificates. */
int tls_pair_make_certs(void **state);
int tls_pair_remove_certs(void **state);
const char *tls_pair_folder(void);

#endif
