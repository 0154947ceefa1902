/* sql_space.c - the reserve of free disk that is never touched.
 *
 * A write-ahead log on a disk without a free byte is a trap: its pages cannot move into a database
 * that cannot grow, so the log cannot begin anew, and even deletions find no room. So rows are only
 * added while a reserve stays free that is at least twice what the log may hold. */
#include "sql.h"

#include <sys/statvfs.h>

#define RESERVE_MAX   ((uint64_t)8 * 1024 * 1024)
#define LOG_PAGES_MAX 1000
#define LOG_PAGES_MIN 8
#define SMALL_CHANGES 16 /* pages: of counters, inner nodes, dead letters */

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

/* Rows that have left leave pages behind, which the file keeps: without them one full disk would be
 * full for ever. Only the log has to grow then, and it has what it holds already. */
static bool fits_inside(struct sql *s, uint64_t rows, uint64_t left, uint64_t reserve)
{
    int64_t pages = 0;
    return sql_int(s, "PRAGMA freelist_count", &pages, NULL) == SL_OK && pages > 0 &&
           (uint64_t)pages * SQL_PAGE_SIZE >= rows && left + sql_log_bytes(s) >= reserve / 2 + rows;
}

/* Rows take their room twice: in the log, and in the database before the log can begin anew. */
enum sl_code sql_check_space(struct sql *s, uint64_t bytes, struct sl_err *err)
{
    uint64_t left, all;
    if (!free_bytes(s->path, &left, &all))
        return SL_OK;
    uint64_t rows = SMALL_CHANGES * SQL_PAGE_SIZE + bytes, reserve = reserve_of(all);
    if (left >= reserve + 2 * rows || fits_inside(s, rows, left, reserve))
        return SL_OK;
    return sl_fail(err, SL_FULL,
                   "%s: no room on the file system (%llu KiB are free, %llu KiB stay"
                   " in reserve): free some",
                   s->path, (unsigned long long)left / 1024, (unsigned long long)reserve / 1024);
}
