/* db_row.h - a row of a lane, or a dead letter, as it goes into the database and comes out. Private
 * to the db files. */
#ifndef STORE_DB_ROW_H
#define STORE_DB_ROW_H

#include "db_private.h"

#include "base/seal.h"

/* Bits 10 to 15 are free; the key of a batch lies above them. */
enum { ROW_QOS = 3, ROW_RETAIN = 4, ROW_SEALED = 256, ROW_UNSURE = 512, ROW_BATCH_SHIFT = 16 };

/* Sealed, a row's topic and properties are empty, and its payload has all three: this much longer
 * than they are. */
#define ROW_SEAL_EXTRA (SEAL_OVERHEAD + 6)

/* Without its checksum. */
struct row {
    uint64_t number;
    int64_t wall_ms, mono_ms;
    uint32_t boot, expiry_s;
    uint32_t flags;
    struct sl_slice topic, props, payload;
};

/* What the row is counted for, sealed or not. */
static inline uint64_t row_bytes(const struct row *r)
{
    uint64_t all = (uint64_t)r->topic.len + r->props.len + r->payload.len;
    uint64_t extra = r->flags & ROW_SEALED ? ROW_SEAL_EXTRA : 0;
    return DISK_ROW_OVERHEAD + (all > extra ? all - extra : 0);
}

/* Of a statement that reads rows: whether its row's checksum fits, and what it is counted for. */
SL_NODISCARD bool db_row_is_sound(sqlite3_stmt *s, enum outbox_lane lane, uint64_t *ret_bytes);

/* With a key: r's parts are sealed, and lie in the database's own memory until the next call.
 * `letter` keeps dead letters apart from rows. */
SL_NODISCARD enum sl_code db_seal_row(struct db *db, struct row *r, enum outbox_lane lane,
                                      bool letter, struct sl_err *err);
/* The other way round, likewise; a row that is not sealed stays as it is. SL_CORRUPT: it does not
 * open. */
SL_NODISCARD enum sl_code db_unseal_row(struct db *db, struct row *r, enum outbox_lane lane,
                                        bool letter);

#endif
