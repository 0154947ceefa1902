/* sql_space.c - the reserve of free disk that is never touched.
 *
 * A write-ahead log on a disk without a free byte is a trap: its pages cannot move into a database
 * that cannot grow, so the log cannot begin anew, and even deletions find no room. So rows are only
 * added while a reserve stays free that is at least twice what the log may hold.
 *
 * Others do not know of the reserve. So room for rows is taken in the database's file (fallocate)
 * before they are written to the log: then the log can be emptied whatever becomes of the disk, and
 * begins anew in the room that it has. */
#include "sql.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

#define RESERVE_MAX   ((uint64_t)8 * 1024 * 1024)
#define LOG_PAGES_MAX 1000
#define LOG_PAGES_MIN 8
/* Pages of counters, inner nodes, dead letters. */
#define SMALL_CHANGES_BYTES ((uint64_t)16 * SQL_PAGE_SIZE)
#define PLENTY              ((uint64_t)1024 * 1024)
#define TAKEN_AT_ONCE       ((uint64_t)256 * 1024)

static bool free_bytes(const char *path, uint64_t *ret_free, uint64_t *ret_all)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return false;
    *ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
    *ret_all = (uint64_t)fs.f_blocks * fs.f_frsize;
    return true;
}

static uint64_t reserve_of(uint64_t all)
{
    return all / 8 < RESERVE_MAX ? all / 8 : RESERVE_MAX;
}

/* How long the log may grow before its pages are moved. */
void sql_measure_space(struct sql *s)
{
    uint64_t left, all;
    s->log_pages_max = LOG_PAGES_MAX;
    if (!free_bytes(s->path, &left, &all))
        return;
    uint64_t pages = reserve_of(all) / 2 / SQL_PAGE_SIZE;
    if (pages < s->log_pages_max)
        s->log_pages_max = pages < LOG_PAGES_MIN ? LOG_PAGES_MIN : pages;
}

static uint64_t above(uint64_t bytes, uint64_t less)
{
    return bytes > less ? bytes - less : 0;
}

/* What the log can still grow by, with what its file has kept of longer days. */
static uint64_t log_left(const struct sql *s, uint64_t left)
{
    return left + above(sql_log_bytes(s), s->log_pages * SQL_FRAME_SIZE);
}

/* Every page of the log has its place in the file already: whatever becomes of the disk, the log
 * can be emptied, and begin anew in the room that it has. */
static bool log_can_be_emptied(struct sql *s)
{
    int64_t pages = 0;
    return sql_int(s, "PRAGMA page_count", &pages, NULL) == SL_OK &&
           sql_database_bytes(s) >= (uint64_t)pages * SQL_PAGE_SIZE;
}

static uint64_t free_inside(struct sql *s)
{
    int64_t pages = 0;
    bool known = sql_int(s, "PRAGMA freelist_count", &pages, NULL) == SL_OK && pages > 0;
    return known ? (uint64_t)pages * SQL_PAGE_SIZE : 0;
}

/* Rows that have left leave pages behind, which the file keeps: without them one full disk would be
 * full for ever. Only the log has to grow then, and not even that where it was longer before. */
static void look_inside(struct sql *s, uint64_t left, uint64_t reserve, struct sql_room *room)
{
    uint64_t all = left + sql_log_bytes(s);
    bool settled = log_can_be_emptied(s);
    uint64_t log = settled ? all : above(all, reserve / 2), pages = free_inside(s);
    uint64_t inside = above(log < pages ? log : pages, SMALL_CHANGES_BYTES);
    if (inside > room->bytes)
        room->bytes = inside;
    room->deletes = (settled ? all : log_left(s, left)) >= SMALL_CHANGES_BYTES;
    s->log_is_short = !settled;
}

/* Rows take their room twice: in the log, and in the database before the log can begin anew. */
void sql_look_at_room(struct sql *s, struct sql_room *ret)
{
    uint64_t left, all;
    *ret = (struct sql_room){ UINT64_MAX, UINT64_MAX, 0, true, true };
    if (!free_bytes(s->path, &left, &all))
        return;
    uint64_t reserve = reserve_of(all);
    uint64_t outside = above(above(left, reserve) / 2, SMALL_CHANGES_BYTES);
    *ret = (struct sql_room){ .bytes = outside,
                              .left = left,
                              .reserve = reserve,
                              .grows = outside >= SMALL_CHANGES_BYTES,
                              .deletes = true };
    if (outside < PLENTY)
        look_inside(s, left, reserve, ret);
}

/* Others may take what is free at any time: what is in the log must have its place for certain.
 * Where the file system cannot promise one (or says nothing), it has to be tried. */
static bool take_room(struct sql *s, uint64_t bytes)
{
    int64_t pages = 0;
    if (s->fd <= 0 || sql_int(s, "PRAGMA page_count", &pages, NULL) != SL_OK)
        return true;
    uint64_t need = (uint64_t)pages * SQL_PAGE_SIZE + above(bytes, free_inside(s));
    if (sql_database_bytes(s) >= need)
        return true;
    if (fallocate(s->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)(need + TAKEN_AT_ONCE)) == 0)
        return true;
    return (errno != ENOSPC && errno != EDQUOT) ||
           fallocate(s->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)need) == 0;
}

enum sl_code sql_check_space(struct sql *s, uint64_t bytes, struct sl_err *err)
{
    struct sql_room room;
    sql_look_at_room(s, &room);
    if (bytes <= room.bytes && take_room(s, bytes + SMALL_CHANGES_BYTES))
        return SL_OK;
    return sl_fail(err, SL_FULL,
                   "%s: no room on the file system (%llu KiB are free, %llu KiB stay"
                   " in reserve): free some",
                   s->path, (unsigned long long)room.left / 1024,
                   (unsigned long long)room.reserve / 1024);
}

/* Before a transaction: on a disk without room it may be the log's own that is needed. */
void sql_spare_log(struct sql *s, uint64_t bytes)
{
    uint64_t left, all;
    if (s->log_pages > 0 && free_bytes(s->path, &left, &all) &&
        log_left(s, left) < bytes + SMALL_CHANGES_BYTES)
        sql_empty_log(s);
}
