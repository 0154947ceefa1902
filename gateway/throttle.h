/* throttle.h - failed logins by address: how long the next one from there has to wait.
 *
 * A bounded table; the address that was heard of longest ago makes room. Pure: the time comes in.
 */
#ifndef GATEWAY_THROTTLE_H
#define GATEWAY_THROTTLE_H

#include "broker/broker.h"

#include "base/map.h"

#define THROTTLE_HOSTS_MAX  1024
#define THROTTLE_FIRST_MS   250
#define THROTTLE_LONGEST_MS 8000
#define THROTTLE_FORGET_MS  (5 * 60 * 1000) /* without a failure */

struct throttle_host {
    struct broker_host host;
    uint32_t failures;         /* since the last success */
    uint32_t waiting, running; /* logins of it on their way; then it is not forgotten */
    uint64_t served;           /* when one of them was last taken, as a number */
    int64_t failed_ms, used_ms;
};

struct throttle {
    struct sl_map hosts;
    struct throttle_host local, others; /* without an address; past the bound */
    uint64_t failed, delayed, refused;  /* logins, since the start */
    uint64_t served;
};

/* The zero value is an empty table. No logins may be on their way. */
void throttle_free(struct throttle *t);

/* The entry for an address as in logs; never NULL. It stays while it has logins on their way, and
 * until the next call otherwise. */
struct throttle_host *throttle_host(struct throttle *t, struct sl_slice address, int64_t now_ms);
/* How long a login from there waits before it is looked at. */
int64_t throttle_wait_ms(const struct throttle_host *h, int64_t now_ms);
void throttle_failed(struct throttle *t, struct throttle_host *h, int64_t now_ms);
void throttle_succeeded(struct throttle_host *h);

#endif
