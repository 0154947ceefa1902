/* nap.h - the loop's pause between two turns, which another thread's news ends early. */
#ifndef BROKER_NAP_H
#define BROKER_NAP_H

#include <stdint.h>
#include <uv.h>

/* Waits for `ns`, or until an uv_async_send() for this loop; not for sockets, which gather
 * meanwhile. Shorter is as good. */
void nap(const uv_loop_t *loop, uint64_t ns);

#endif
