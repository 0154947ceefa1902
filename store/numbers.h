/* numbers.h - the numbers that were ever reserved, kept in a small file beside the database.
 *
 * Identities must never repeat. The database knows what it reserved; a database that is lost, on a
 * machine whose clock has gone back as well, would begin again where it was. Any thread; calls wait
 * for the disk. */
#ifndef STORE_NUMBERS_H
#define STORE_NUMBERS_H

#include "store/outbox.h"

/* For each lane the number below which all may have been used; 0 where the file does not tell, or
 * tells what cannot be. */
void numbers_read(const char *db_path, uint64_t ret[OUTBOX_LANES]);
/* Replaces the file as a whole, and syncs it. What fails is left at that: only a database that is
 * lost later could then repeat numbers, and only if the clock goes back too. */
void numbers_write(const char *db_path, const uint64_t reserved[OUTBOX_LANES]);

#endif
