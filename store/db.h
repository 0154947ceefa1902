/* db.h - the outbox's database, on sql.h.
 *
 * One table a lane, in the order of its numbers and nothing else; one row a lane with its counters,
 * changed in the same transaction as the rows, so that nothing is ever scanned. WAL, one connection
 * that locks the file for itself. A row carries a checksum.
 *
 * One thread at a time; calls wait for the disk. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "base/seal.h"
#include "disk.h"

struct db;

struct db_options {
    const char *path;
    uint64_t max_bytes;
    enum outbox_sync sync;
    uint32_t boot; /* identifies this boot of the machine; 0 when it is not known */
    bool sealed;   /* seal what is written, with this key */
    uint8_t seal_key[SEAL_KEY_BYTES];
};

static inline void db_set_key(struct db_options *o, const uint8_t *seal_key)
{
    o->sealed = seal_key != NULL;
    if (seal_key)
        memcpy(o->seal_key, seal_key, sizeof o->seal_key);
}

/* Opens what is there; makes one where there is none; sets aside what cannot be used (SL_OK then,
 * with open->moved). Options are copied except path, which is copied too. */
SL_NODISCARD enum sl_code db_open(struct db **ret, const struct db_options *options,
                                  struct disk_open *open, struct sl_err *err);
/* Only to look: nothing is made, checked or set aside. SL_NOTFOUND without a database, SL_BUSY when
 * a gateway has it. */
SL_NODISCARD enum sl_code db_open_to_read(struct db **ret, const struct db_options *options,
                                          struct sl_err *err);
/* SL_INVALID: the database at options->path wants another key, or one. Looks at the file alone and
 * changes nothing; what else may be wrong with it is for db_open() to tell. */
SL_NODISCARD enum sl_code db_check_key(const struct db_options *options, struct sl_err *err);
void db_close(struct db *db); /* accepts NULL */

/* All or nothing. SL_FULL: the disk is; SL_LIMIT: the file has its greatest size. */
SL_NODISCARD enum sl_code db_commit(struct db *db, struct disk_commit *commit, struct sl_err *err);
/* Rows that were read before an error are handed out with it. */
SL_NODISCARD enum sl_code db_read(struct db *db, struct disk_read *read, struct sl_err *err);
SL_NODISCARD enum sl_code db_thin(struct db *db, struct disk_thin *thin, struct sl_err *err);
/* Reads no payload. */
SL_NODISCARD enum sl_code db_count(struct db *db, struct disk_count *count, struct sl_err *err);
/* Moves the log's pages into the database when there are many. After commits, when nobody waits. */
void db_upkeep(struct db *db);

/* Does one job: *db, which may be NULL, is opened, used and closed by it. The writer thread's work,
 * and that of tests without one. Returns what belongs into job->code. */
enum sl_code db_do_job(struct db **db, const struct db_options *options, struct disk_job *job);

const char *db_library_version(void);

#endif
