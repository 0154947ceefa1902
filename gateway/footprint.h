/* footprint.h - what a gateway that has started keeps mapped. */
#ifndef GATEWAY_FOOTPRINT_H
#define GATEWAY_FOOTPRINT_H

#include <stdint.h>

/* Gives back the memory that only starting needed: free heap, and the mapped pages of program and
 * libraries. More than half of what an idle gateway has resident is code and tables that were
 * touched once, by the loader above all (libwebsockets brings OpenSSL). A page that is needed again
 * comes back by itself, from the page cache. Breakpoints that a debugger has set before are lost.
 */
void footprint_trim(void);

/* Once a second, with the number of TLS sessions that have ended so far: when hundreds of them have
 * gone (a network that came and went, a flood), and no more go, their 40 kB each are given back. */
struct footprint {
    uint64_t seen, trimmed; /* of them: a second ago, and at the last time */
};
void footprint_tick(struct footprint *f, uint64_t tls_ended);

#endif
