/* fuzz_tls_ticket.c - a session ticket as hostile bytes, and its contents as if the key had leaked.
 */
#include "tls_ticket.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unpack(const uint8_t *data, size_t size)
{
    struct tls_ticket_facts f;
    uint8_t again[TLS_PEER_NAME_MAX + 64];
    if (!tls_ticket_unpack(sl_bytes(data, size), &f))
        return;
    size_t n = tls_ticket_pack(&f, again, sizeof again);
    if (n + f.session.len != size || memcmp(again, data, n) != 0)
        abort(); /* every byte is accounted for */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_tickets t;
    struct tls_ticket_facts f;
    uint8_t *ticket = malloc(TLS_TICKET_HEAD + size + TLS_TICKET_TAG);
    if (!ticket)
        return 0;
    unpack(data, size);
    tls_tickets_init(&t);
    memcpy(ticket, data, size);
    if (tls_tickets_open(&t, 0, ticket, size, &f))
        abort(); /* there is no key yet */
    memcpy(ticket + TLS_TICKET_HEAD, data, size);
    size_t n = tls_tickets_seal(&t, 0, ticket, size, TLS_TICKET_HEAD + size + TLS_TICKET_TAG);
    if (n > 0) { /* what is in it is still not believed */
        if (size > 0)
            ticket[TLS_TICKET_HEAD + data[0] % (n - TLS_TICKET_HEAD)] ^= 1;
        if (tls_tickets_open(&t, 0, ticket, n, &f))
            abort();
    }
    tls_tickets_free(&t);
    free(ticket);
    return 0;
}
