/* logins.h - checking MQTT clients' passwords against the users file, off the loop.
 *
 * A password hash is made to be slow, so each check runs on libuv's thread pool, on copies. At most
 * LOGINS_PENDING_MAX wait; one more is refused. Loop thread only. */
#ifndef GATEWAY_LOGINS_H
#define GATEWAY_LOGINS_H

#include "broker/broker.h"

#define LOGINS_PENDING_MAX 256

struct logins;

/* Reads the users file, once: to read it again open another one. One that is missing gives an empty
 * list (nobody can log in), said in the log. */
SL_NODISCARD enum sl_code logins_open(struct logins **ret, uv_loop_t *loop, const char *path,
                                      struct sl_err *err);
/* Answers later with broker_auth_done(). */
void logins_check(struct logins *l, struct broker_auth *auth, struct sl_slice user,
                  struct sl_slice password);
/* At once, on this thread: for the web page's rare log-ins. */
bool logins_verify(struct logins *l, struct sl_slice user, struct sl_slice password);
/* At any time: checks on their way are answered by what they were asked of. Accepts NULL. */
void logins_close(struct logins *l);

#endif
