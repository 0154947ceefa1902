/* sqlite_disk.h - the real disk: the database behind the writer thread. Loop thread only. */
#ifndef STORE_SQLITE_DISK_H
#define STORE_SQLITE_DISK_H

#include "db.h"
#include "disk.h"

struct sqlite_disk;

/* after(ctx) comes on the loop after each job that went back to its submitter. */
SL_NODISCARD enum sl_code sqlite_disk_open(struct sqlite_disk **ret,
                                           const struct db_options *options, uv_loop_t *loop,
                                           void (*after)(void *ctx), void *ctx, struct sl_err *err);
struct disk *sqlite_disk_interface(struct sqlite_disk *d);
/* No job may be out. closed(ctx), with the ctx of the opening, comes from the loop. */
void sqlite_disk_close(struct sqlite_disk *d, void (*closed)(void *ctx));
/* With jobs out that do not come back: see writer_abandon(). */
void sqlite_disk_abandon(struct sqlite_disk *d, void (*closed)(void *ctx));

#endif
