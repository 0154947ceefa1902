/* footprint.h - what a gateway that has started keeps mapped. */
#ifndef GATEWAY_FOOTPRINT_H
#define GATEWAY_FOOTPRINT_H

/* Gives back the memory that only starting needed: free heap, and the mapped pages of program and
 * libraries. More than half of what an idle gateway has resident is code and tables that were
 * touched once, by the loader above all (libwebsockets brings OpenSSL). A page that is needed again
 * comes back by itself, from the page cache. Breakpoints that a debugger has set before are lost.
 */
void footprint_trim(void);

#endif
