/* db_salvage.c - a database that is damaged: what can be read of it is brought into a new one.
 *
 * Rows keep their numbers, so their order and their identities. A row counts only with its
 * checksum. Around a damaged page the walk doubles its steps until something can be read again, and
 * comes back to the first row behind the damage. The lanes' counters are taken over where they can
 * be read: what they count and is not there is found missing when the lane is sent to its end, and
 * entered in the ledger then.
 *
 * The new database is made beside the old one and has its final name only when it is complete
 * (PATH.saved), and the old one is moved away only then: after a crash in between the next start
 * does it again, or ends it. */
#include "db_row.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROWS_AT_ONCE 1000
#define PROBES_MAX                                                                                 \
    100000 /* seeks around damage, per lane: then it is taken to go on to the end                  \
            */

struct salvage {
    struct db *from, *to;
    struct disk_lane lane[OUTBOX_LANES];
    bool counted; /* lane was read, not found */
    uint64_t id;  /* 0: not known */
    uint64_t rows[OUTBOX_LANES];
};

static bool name_of(char ret[PATH_MAX], const char *path, const char *suffix)
{
    return snprintf(ret, PATH_MAX, "%s%s", path, suffix) < PATH_MAX;
}

static bool is_damage(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

/* ---- rows ---- */

/* The first row from `from` on that can be read: SQLITE_ROW with its number, SQLITE_DONE, or
 * damage. */
static int probe(struct salvage *s, enum outbox_lane lane, uint64_t from, uint64_t *ret)
{
    enum query q = Q_ROW_READ + (enum query)lane;
    bind_u64(s->from, q, 1, from);
    bind_u64(s->from, q, 2, 1);
    int rc = sqlite3_step(s->from->query[q]);
    if (rc == SQLITE_ROW)
        *ret = (uint64_t)sqlite3_column_int64(s->from->query[q], 0);
    if (rc == SQLITE_ROW && *ret < from)
        rc = SQLITE_CORRUPT;
    db_reset(s->from, q);
    return rc;
}

/* At `from` nothing can be read. Where it can be again, or past `to`. */
static uint64_t step_over(struct salvage *s, enum outbox_lane lane, uint64_t from, uint64_t to,
                          unsigned *probes)
{
    uint64_t bad = from, step = 1, good = to + 1, number = 0;
    while (bad < to && *probes < PROBES_MAX) {
        uint64_t at = step < to - bad ? bad + step : to;
        ++*probes;
        if (!is_damage(probe(s, lane, at, &number))) {
            good = at;
            break;
        }
        bad = at;
        step *= 2;
    }
    while (good - bad > 1 && good <= to && *probes < PROBES_MAX) {
        uint64_t middle = bad + (good - bad) / 2;
        ++*probes;
        if (is_damage(probe(s, lane, middle, &number)))
            bad = middle;
        else
            good = middle;
    }
    return good;
}

static enum sl_code take_over(struct salvage *s, enum outbox_lane lane, uint64_t number,
                              struct sl_err *err)
{
    sqlite3_stmt *from = s->from->query[Q_ROW_READ + (enum query)lane];
    enum query add = Q_ROW_ADD + (enum query)lane;
    uint64_t bytes = 0;
    if (!db_row_is_sound(from, lane, &bytes))
        return SL_OK;
    for (int i = 0; i < sqlite3_column_count(from); i++)
        (void)sqlite3_bind_value(s->to->query[add], i + 1, sqlite3_column_value(from, i));
    enum sl_code code = db_run(s->to, add, err);
    s->rows[lane]++;
    if (!s->counted) {
        s->lane[lane].rows++;
        s->lane[lane].bytes += bytes;
        s->lane[lane].last = number;
        s->lane[lane].reserved = number + 1;
    }
    return code;
}

/* Some rows from *from on, which moves. *ret_rc as SQLite's last word. */
static enum sl_code copy_some(struct salvage *s, enum outbox_lane lane, uint64_t *from, uint64_t to,
                              int *ret_rc, struct sl_err *err)
{
    enum query q = Q_ROW_READ + (enum query)lane;
    sqlite3_stmt *rows = s->from->query[q];
    enum sl_code code = SL_OK;
    bind_u64(s->from, q, 1, *from);
    bind_u64(s->from, q, 2, ROWS_AT_ONCE);
    int count = 0;
    while (code == SL_OK && (*ret_rc = sqlite3_step(rows)) == SQLITE_ROW) {
        uint64_t number = (uint64_t)sqlite3_column_int64(rows, 0);
        if (number < *from || number > to) {
            *ret_rc =
                number < *from ? SQLITE_CORRUPT : SQLITE_DONE; /* a page that belongs elsewhere */
            break;
        }
        code = take_over(s, lane, number, err);
        *from = number + 1;
        count++;
    }
    if (*ret_rc == SQLITE_DONE && count == ROWS_AT_ONCE)
        *ret_rc = SQLITE_ROW; /* there may be more */
    db_reset(s->from, q);
    return code;
}

static enum sl_code copy_lane(struct salvage *s, enum outbox_lane lane, struct sl_err *err)
{
    uint64_t from = 0, to = s->counted ? s->lane[lane].last : (uint64_t)INT64_MAX - 1;
    unsigned probes = 0;
    enum sl_code code = SL_OK;
    while (code == SL_OK && from <= to) {
        int rc = SQLITE_DONE;
        code = copy_some(s, lane, &from, to, &rc, err);
        if (code == SL_OK && is_damage(rc))
            from = step_over(s, lane, from, to, &probes);
        else if (code == SL_OK && rc != SQLITE_ROW && rc != SQLITE_DONE)
            code = db_fail(s->from, rc, err);
        if (rc == SQLITE_DONE)
            break;
    }
    return code;
}

/* ---- the rest ---- */

/* Dead letters and the key's check as far as they go: without them nothing is lost that waits. */
static void copy_rest(struct salvage *s)
{
    sqlite3_stmt *letters = s->from->query[Q_DEAD_READ], *proof = s->from->query[Q_SEAL_GET];
    if (!letters || !proof)
        return;
    bind_u64(s->from, Q_DEAD_READ, 1, 0);
    bind_u64(s->from, Q_DEAD_READ, 2, DISK_DEAD_ROWS_MAX);
    while (sqlite3_step(letters) == SQLITE_ROW) {
        for (int i = 1; i < sqlite3_column_count(letters); i++)
            (void)sqlite3_bind_value(s->to->query[Q_DEAD_ADD], i, sqlite3_column_value(letters, i));
        struct sl_err ignored;
        if (db_run(s->to, Q_DEAD_ADD, &ignored) != SL_OK)
            break;
        s->to->dead_rows++;
        s->to->dead_bytes += (uint64_t)sqlite3_column_int64(letters, 7);
    }
    db_reset(s->from, Q_DEAD_READ);
    struct sl_err ignored;
    if (s->id != 0 && sqlite3_step(proof) == SQLITE_ROW) {
        (void)sqlite3_bind_value(s->to->query[Q_SEAL_SET], 1, sqlite3_column_value(proof, 0));
        (void)db_run(s->to, Q_SEAL_SET, &ignored);
    }
    db_reset(s->from, Q_SEAL_GET);
}

static enum sl_code set_identity(struct salvage *s, struct sl_err *err)
{
    char text[160];
    if (s->id == 0)
        return SL_OK; /* the new one's own */
    (void)snprintf(text, sizeof text, "UPDATE store SET uuid=%lld,dead_rows=%llu,dead_bytes=%llu",
                   (long long)s->id, (unsigned long long)s->to->dead_rows,
                   (unsigned long long)s->to->dead_bytes);
    return sql_exec(&s->to->sql, text, err);
}

static enum sl_code copy_boots(struct salvage *s, struct sl_err *err)
{
    enum sl_code code = SL_OK;
    for (size_t i = s->from->boot_count; i > 0 && code == SL_OK; i--) {
        s->to->options.boot = s->from->boot[i - 1].id;
        code = db_note_boot(s->to, s->from->boot[i - 1].offset_ms, err);
    }
    return code;
}

static enum sl_code copy_all(struct salvage *s, struct sl_err *err)
{
    enum sl_code code =
        sql_exec(&s->to->sql, "PRAGMA journal_mode=OFF;PRAGMA synchronous=OFF;BEGIN", err);
    for (int i = 0; i < OUTBOX_LANES && code == SL_OK; i++)
        if (s->from->query[Q_ROW_READ + i])
            code = copy_lane(s, (enum outbox_lane)i, err);
    if (code != SL_OK)
        return code;
    copy_rest(s);
    code = copy_boots(s, err);
    if (code == SL_OK)
        code = db_write_state(s->to, s->lane, err);
    if (code == SL_OK)
        code = set_identity(s, err);
    return code == SL_OK ? sql_exec(&s->to->sql, "COMMIT", err) : code;
}

/* ---- the two databases ---- */

static enum sl_code open_damaged(struct salvage *s, const char *path, struct sl_err *err)
{
    int version = 0;
    enum sl_code code = db_connect(&s->from, path, SQLITE_OPEN_READWRITE, err);
    if (code == SL_OK)
        code = sql_exec(&s->from->sql, "PRAGMA locking_mode=EXCLUSIVE", err);
    if (code != SL_OK)
        return code;
    /* It is evidence: nothing is moved from the log into it. A file that was cut off is read as far
     * as it goes; a row of a newer version counts if its checksum is what it would be here. */
    (void)sqlite3_db_config(s->from->sql.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    code = sql_exec(&s->from->sql, "PRAGMA writable_schema=ON", err);
    if (code == SL_OK)
        code = sql_check_identity(&s->from->sql, DB_APPLICATION_ID, INT_MAX, &version, err);
    if (code != SL_OK)
        return code;
    db_prepare_some(s->from);
    sqlite3_stmt **q = s->from->query;
    s->counted = q[Q_STORE_GET] && q[Q_LANE_GET] && q[Q_LOSS_GET] && q[Q_BOOT_GET] &&
                 db_read_state(s->from, err) == SL_OK;
    if (s->counted) {
        memcpy(s->lane, s->from->lane, sizeof s->lane);
        s->id = s->from->id;
    }
    return SL_OK;
}

/* sql_check_space() counts rows twice, as a log needs it: here there is none. */
static enum sl_code check_room(const struct salvage *s, struct sl_err *err)
{
    return sql_check_space(&s->from->sql, sql_file_bytes(&s->from->sql) / 2, err);
}

static enum sl_code fill_new(struct salvage *s, const char *part, struct sl_err *err)
{
    const struct disk_lane none[OUTBOX_LANES] = { 0 };
    enum sl_code code = db_make(part, none, err);
    if (code == SL_OK)
        code = db_connect(&s->to, part, SQLITE_OPEN_READWRITE, err);
    if (code == SL_OK)
        code = db_prepare(s->to, err);
    if (code == SL_OK)
        code = copy_all(s, err);
    db_close(s->to);
    s->to = NULL;
    return code == SL_OK ? sql_file_sync(part, err) : code;
}

enum sl_code db_salvage(const char *path, uint64_t id, uint64_t *ret_rows, struct sl_err *err)
{
    char part[PATH_MAX], saved[PATH_MAX];
    struct salvage s = { 0 };
    if (!name_of(part, path, ".part") || !name_of(saved, path, ".saved"))
        return sl_fail(err, SL_INVALID, "%s: the path is too long", path);
    enum sl_code code = open_damaged(&s, path, err);
    if (code == SL_OK && s.id == 0)
        s.id = id;
    if (code == SL_OK)
        code = check_room(&s, err);
    if (code == SL_OK)
        code = fill_new(&s, part, err);
    db_close(s.from);
    if (code == SL_OK && rename(part, saved) != 0)
        code = sl_fail(err, SL_IO, "%s: cannot be renamed", part);
    if (code != SL_OK) {
        (void)unlink(part); /* the error there is matters more */
        return code;
    }
    sql_file_sync_folder_of(saved);
    *ret_rows = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        *ret_rows += s.rows[i];
    return SL_OK;
}

/* What a crash left: complete, it takes the place that is free; else it is made again. */
void db_salvage_end(const char *path)
{
    char part[PATH_MAX], saved[PATH_MAX];
    if (!name_of(part, path, ".part") || !name_of(saved, path, ".saved"))
        return;
    (void)unlink(part);
    if (access(path, F_OK) == 0)
        (void)unlink(saved);
    else if (rename(saved, path) == 0)
        sql_file_sync_folder_of(path);
}
