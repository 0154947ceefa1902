/* listener_rig.h - listeners for tests with real sockets. Certificates are those of
 * base/tls_pair.h, whose group set-up and tear-down the program needs. */
#ifndef TESTS_BROKER_LISTENER_RIG_H
#define TESTS_BROKER_LISTENER_RIG_H

#include "wire.h"

#include "base/tls_pair.h"

/* A listener at unix_path, or, where that is NULL, at a free port of 127.0.0.1. */
struct broker_listener *listen_on(struct rig *r, const char *unix_path, struct tls_context *tls);
/* A path for a socket, in the folder of certificates. */
void unix_path(char *path, size_t size, const char *name);
/* Asks for a certificate, and knows who is revoked. */
struct tls_context *server_tls(void);
struct tls_context *client_tls(const char *cert); /* NULL: without a certificate */
/* For rig_open(): packets of a megabyte; any rate of connections. */
void big_packets(struct broker_options *o);
void fast(struct broker_options *o);

#endif
