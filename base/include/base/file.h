/* file.h - whole small files: read with a bound, written so that a power cut leaves old or new. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

#include <sys/types.h>

/* Appends the file's content to out; SL_LIMIT when it is above max bytes, SL_NOTFOUND when absent.
 */
SL_NODISCARD enum sl_code sl_file_read(const char *path, size_t max, struct sl_buf *out,
                                       struct sl_err *err);
/* Writes to a neighbour, syncs, renames over path, syncs the folder. A file that was there keeps
 * its owner, where the process may do that. */
SL_NODISCARD enum sl_code sl_file_replace(const char *path, struct sl_slice content, mode_t mode,
                                          struct sl_err *err);
/* mkdir -p with mode for what is made. */
SL_NODISCARD enum sl_code sl_make_dirs(const char *path, mode_t mode, struct sl_err *err);

#endif
