/* listener_rig.c - see listener_rig.h. */
#include "listener_rig.h"

#include <stdio.h>

struct broker_listener *listen_on(struct rig *r, const char *unix_path, struct tls_context *tls)
{
    struct broker_listener *l = NULL;
    struct broker_listener_options o = { .name = "test",
                                         .bind = unix_path ? NULL : "127.0.0.1",
                                         .unix_path = unix_path,
                                         .tls = tls,
                                         .username_from_cert = tls != NULL };
    struct sl_err err = { 0 };
    if (broker_listen(r->broker, &o, &l, &err) != SL_OK)
        fail_msg("%s", err.text);
    return l;
}

void unix_path(char *path, size_t size, const char *name)
{
    (void)snprintf(path, size, "%s/%s", tls_pair_folder(), name);
}

struct tls_context *server_tls(void)
{
    const struct side side = {
        .cert = "server", .ca = "ca", .crl = "ca", .client_cert = TLS_CLIENT_CERT_REQUIRED
    };
    return context(true, &side, 0);
}

struct tls_context *client_tls(const char *cert)
{
    return context(false, &(struct side){ .cert = cert, .ca = "ca" }, 0);
}

void big_packets(struct broker_options *o)
{
    o->max_packet_size = 1 << 20;
}

void fast(struct broker_options *o)
{
    o->connect_rate = 1000000;
    o->sys_interval_ms = 0;
}
