/* sql.h - what every database of the store needs of SQLite: the connection, statements, errors, the
 * log, and the file on the disk. sql*.c, db*.c and state_db*.c are the only files that know SQLite.
 *
 * WAL, one connection that locks the file for itself. Its owner moves the log's pages into the
 * database (sql_upkeep()) when nobody waits.
 *
 * One thread at a time; calls wait for the disk. */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include "base/err.h"
#include "base/macros.h"
#include "store/sync.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQL_PAGE_SIZE     4096
#define SQL_FRAME_SIZE    (SQL_PAGE_SIZE + 24) /* of a page in the log */
#define SQL_STRING_(x)    #x
#define SQL_STRING(x)     SQL_STRING_(x)
#define SQL_SET_PAGE_SIZE "PRAGMA page_size=" SQL_STRING(SQL_PAGE_SIZE)

/* The zero value is closed. */
struct sql {
    sqlite3 *handle;
    char *path;
    uint64_t log_pages, log_pages_max, log_pages_written, checkpoint_pages, syncs;
    enum outbox_sync sync;
    int fd; /* of the database, its own; closed after the connection, whose locks go with it. 0:
               none */
    bool log_is_short; /* the disk is nearly full: its pages had better find their place soon */
};

/* ---- sql.c: the connection ---- */

/* It stays where it is until sql_close(). Connected or not, sql_close() is right afterwards. */
SL_NODISCARD enum sl_code sql_connect(struct sql *s, const char *path, int flags,
                                      struct sl_err *err);
/* Only to look, at a file that cannot be written: takes no lock, and changes nothing. */
SL_NODISCARD enum sl_code sql_connect_to_look(struct sql *s, const char *path, struct sl_err *err);
void sql_close(struct sql *s);
/* What errors call the file from now on, where it was opened as a URI. */
void sql_set_name(struct sql *s, const char *name);
/* Exclusive, WAL, full sync, and how large the file may become. */
SL_NODISCARD enum sl_code sql_configure(struct sql *s, uint64_t pages_max, struct sl_err *err);
SL_NODISCARD enum sl_code sql_set_sync(struct sql *s, enum outbox_sync sync, struct sl_err *err);
/* SL_CORRUPT: another program's, or of a newer version than `known`; else *ret_version is its. */
SL_NODISCARD enum sl_code sql_check_identity(struct sql *s, int application_id, int known,
                                             int *ret_version, struct sl_err *err);

/* rc as a code and a sentence. SL_FULL: the disk is; SL_LIMIT: the file has its greatest size. */
enum sl_code sql_fail(struct sql *s, int rc, struct sl_err *err);
SL_NODISCARD enum sl_code sql_exec(struct sql *s, const char *text, struct sl_err *err);
SL_NODISCARD enum sl_code sql_prepare(struct sql *s, sqlite3_stmt **ret, const char *const *texts,
                                      size_t count, struct sl_err *err);
/* A statement that gives no rows: step, capture the error, reset, unbind. */
SL_NODISCARD enum sl_code sql_run(struct sql *s, sqlite3_stmt *statement, struct sl_err *err);
void sql_reset(sqlite3_stmt *statement);
/* "PRAGMA name" that gives one integer. */
SL_NODISCARD enum sl_code sql_int(struct sql *s, const char *text, int64_t *ret,
                                  struct sl_err *err);
void sql_rollback(struct sql *s); /* if a transaction is open */

/* Moves the log's pages into the database when there are many. After commits, when nobody waits. */
void sql_upkeep(struct sql *s);
/* Since the connection, from what SQLite is known to do. */
uint64_t sql_bytes_written(const struct sql *s);
uint64_t sql_syncs(const struct sql *s);
uint64_t sql_file_bytes(const struct sql *s);     /* database and log */
uint64_t sql_log_bytes(const struct sql *s);      /* of the log's file; 0 without one */
uint64_t sql_database_bytes(const struct sql *s); /* as far as the file system has room for it */
void sql_empty_log(struct sql *s);                /* as far as it goes */

/* ---- sql_space.c: the reserve ---- */

void sql_measure_space(struct sql *s); /* sets log_pages_max */
struct sql_room {
    uint64_t bytes;         /* that the next transaction may add */
    uint64_t left, reserve; /* of the file system */
    bool grows;             /* it has room for more */
    bool deletes;           /* the next transaction may at least delete */
};
void sql_look_at_room(struct sql *s, struct sql_room *ret);
/* Sees to it that a transaction that adds so much finds room in the log, if need be by emptying. */
void sql_spare_log(struct sql *s, uint64_t bytes);
/* SL_FULL when so many bytes more would touch the reserve. Of a configured connection the room in
 * the database is taken now: pages in the log can then always be moved there. */
SL_NODISCARD enum sl_code sql_check_space(struct sql *s, uint64_t bytes, struct sl_err *err);

/* ---- sql_rescue.c: files that somebody removed ---- */

bool sql_is_gone(struct sql *s); /* the files it writes have lost their names */
SL_NODISCARD enum sl_code sql_rescue(struct sql *s,
                                     struct sl_err *err); /* never SL_OK: see there */

/* ---- sql_file.c: the file, without SQLite ---- */

/* Before SQLite looks: it takes an empty file for an empty database. SL_NOTFOUND; SL_CORRUPT: is no
 * database. */
SL_NODISCARD enum sl_code sql_file_look_at(const char *path, struct sl_err *err);
bool sql_file_has_log(const char *path); /* PATH-wal */
/* For SQLITE_OPEN_URI: SQLite then makes no file beside it and takes no lock. What is in the log
 * only is not seen. */
#define SQL_FILE_NAME_MAX ((size_t)3 * 4096 + 32)
SL_NODISCARD bool sql_file_immutable_name(const char *path, char *ret, size_t size);
SL_NODISCARD enum sl_code sql_file_sync(const char *path, struct sl_err *err);
void sql_file_sync_folder_of(const char *path);
/* A database is made under another name and renamed: a crash leaves no half-made one behind. Begin
 * makes an empty file whose name goes to ret_temporary; end, with what filling it came to and once
 * it is closed, puts it in its place or removes it. */
SL_NODISCARD enum sl_code sql_file_begin(const char *path, char *ret_temporary, size_t size,
                                         struct sl_err *err);
SL_NODISCARD enum sl_code sql_file_end(const char *path, const char *temporary, enum sl_code code,
                                       struct sl_err *err);
/* Database, log and all to a name with the date in it; ret_to says which. */
SL_NODISCARD enum sl_code sql_file_move_aside(const char *path, int64_t wall_ms, char *ret_to,
                                              size_t size, struct sl_err *err);

#endif
