/* powercut.h - an SQLite VFS whose power can fail: what was not synced may be gone, in part, out of
 * order and torn.
 *
 * Lies over the system's own VFS. Reads and writes go through to the real files, as through a page
 * cache; beside them it keeps what a disk has for certain, and every write since the last sync.
 * When the power fails, each 512-byte piece of each of those writes is on the disk or is not, at
 * random; a file that was made and never synced may be missing. Renames and removals count as done.
 *
 * Also a disk that says no: reads, writes and syncs fail at random when told to.
 * Not for several threads at once. */
#ifndef TESTS_POWERCUT_H
#define TESTS_POWERCUT_H

#include <stdbool.h>
#include <stdint.h>

struct powercut;

/* Becomes SQLite's default VFS until it is freed. One at a time. */
struct powercut *powercut_new(uint64_t seed);
void powercut_free(struct powercut *p);

/* The power fails at the n-th change of a file (write, truncate, sync, delete) from now on; 0 takes
 * that back. From then on every operation fails. */
void powercut_arm(struct powercut *p, uint64_t n);
bool powercut_happened(const struct powercut *p);
/* After everybody has closed their files: they become what the disk has of them, and power is back.
 * Whether it had failed or does so now. */
void powercut_restore(struct powercut *p);

/* So many of 1,000 operations fail: writes with SQLITE_FULL or an I/O error, the others with an I/O
 * error. */
void powercut_faults(struct powercut *p, unsigned per_mille);

struct powercut_counts {
    uint64_t cuts;         /* restored */
    uint64_t changes;      /* writes, truncates, syncs, deletes */
    uint64_t syncs, bytes; /* of them; and how much was written */
    uint64_t pieces, lost; /* unsynced when power failed; of them, those that are gone */
    uint64_t faults;       /* operations that failed though power was there */
};
struct powercut_counts powercut_counts(const struct powercut *p);

#endif
