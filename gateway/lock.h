/* lock.h - who uses a data_dir: the folder itself is locked, so nothing is left behind by a crash.
 *
 * The gateway holds it alone, as long as it runs; a command that opens the databases itself shares
 * it with other commands, for a moment. A file system that knows no locks grants every one: the
 * control socket is then the only guard. */
#ifndef GATEWAY_LOCK_H
#define GATEWAY_LOCK_H

#include "base/err.h"

enum lock_kind { LOCK_SHARED, LOCK_ALONE };

/* On SL_OK *ret_fd is yours to close, which unlocks; -1 when there is nothing to lock with. SL_BUSY
 * when somebody else has it in a way that does not go together; SL_NOTFOUND without a folder; SL_IO
 * when it may not be read. Does not wait. */
SL_NODISCARD enum sl_code lock_data_dir(const char *data_dir, enum lock_kind kind, int *ret_fd,
                                        struct sl_err *err);

#endif
