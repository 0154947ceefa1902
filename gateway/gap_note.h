/* gap_note.h - what was told to the cloud of the ledger, remembered in data_dir/reported.json.
 *
 * Read at the start; written away from the loop, since an old card takes its time for a sync. A
 * power cut leaves the old file or the new one. Loop thread only. */
#ifndef GATEWAY_GAP_NOTE_H
#define GATEWAY_GAP_NOTE_H

#include "gap_report.h"

#include <uv.h>

/* Nothing told, when there is no file or it cannot be read. */
void gap_note_read(const char *data_dir, struct gap_lost *ret);
/* Copied. done(ctx, err) comes from the loop, err NULL when it is on the disk; one at a time. False
 * when it could not begin: done is not called. */
SL_NODISCARD bool gap_note_write(uv_loop_t *loop, const char *data_dir, const struct gap_lost *told,
                                 void (*done)(void *ctx, const char *error), void *ctx);

#endif
