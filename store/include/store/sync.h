/* sync.h - how hard a commit is pressed onto the disk: the same choice for every database. */
#ifndef STORE_SYNC_H
#define STORE_SYNC_H

/* FULL: committed means that it survives a power cut. NORMAL: a power cut may undo the last
 * commits, a crash of the process none. OFF: neither waits for the disk. */
enum outbox_sync { OUTBOX_SYNC_FULL, OUTBOX_SYNC_NORMAL, OUTBOX_SYNC_OFF };

#endif
