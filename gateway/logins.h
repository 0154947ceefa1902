/* logins.h - checking passwords against the users file, off the loop: of MQTT clients, and of
 * whoever looks at the page.
 *
 * A password hash is made to be slow, so each check runs on libuv's thread pool, on copies; two at
 * a time, so that name look-ups find a thread, and in turn by address, so that nobody who asks a
 * lot keeps others waiting. After failures from an address the next logins from there wait first
 * (throttle.h). What may wait is bounded; more is refused as busy. Loop thread only. */
#ifndef GATEWAY_LOGINS_H
#define GATEWAY_LOGINS_H

#include "throttle.h"

#include "broker/broker.h"

#define LOGINS_RUNNING_MAX    2
#define LOGINS_WAITING_MAX    1024
#define LOGINS_PER_ADDRESS    256 /* of them from one address */
#define LOGINS_PER_FAILED_ONE 4   /* ... after a failure */

struct logins;

/* Reads the users file, once: to read it again open another one. One that is missing gives an empty
 * list (nobody can log in), said in the log. throttle outlives the logins and the loop. */
SL_NODISCARD enum sl_code logins_open(struct logins **ret, uv_loop_t *loop,
                                      const struct sl_clock *clock, struct throttle *throttle,
                                      const char *path, struct sl_err *err);
/* Answers later with broker_auth_done(), or refuses at once. */
void logins_check(struct logins *l, struct broker_auth *auth, struct sl_slice user,
                  struct sl_slice password);
enum logins_result { LOGINS_RIGHT, LOGINS_WRONG, LOGINS_BUSY /* it was not looked at */ };
typedef void logins_fn(void *ctx, enum logins_result result);
/* The same for others, who let those that fail wait by themselves: at once, if a thread is free.
 * fn comes once, from the loop. False: there is no room, and fn will not come. */
SL_NODISCARD bool logins_ask(struct logins *l, struct sl_slice address, struct sl_slice user,
                             struct sl_slice password, logins_fn *fn, void *ctx);
/* At once, on this thread: for the rare one that cannot wait. */
bool logins_verify(struct logins *l, struct sl_slice user, struct sl_slice password);
/* Whether a user of `old` may stay under l: the same name with the same password. Either may be
 * NULL: without a users file nobody's name is checked. */
bool logins_keep(const struct logins *l, const struct logins *old, struct sl_slice user);
/* At any time: what waits is refused as busy, as is what is being checked when that is done.
 * Accepts NULL. The loop must run once more. */
void logins_close(struct logins *l);

#endif
