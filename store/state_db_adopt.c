/* state_db_adopt.c - before the state is opened: whether its key is the right one, and a database
 * that was begun without a key.
 *
 * The latter is read to its end and written anew, sealed, beside itself, and the new one takes its
 * place when it is complete: a crash leaves one or the other. Not even a free page, nor the log,
 * has anything of what lay in the clear then. */
#include "state_db_private.h"

#include <limits.h>

/* Whether the database says that it is sealed; false also when it cannot be looked at, which
 * opening tells better. */
static enum sl_code look(const char *path, const uint8_t *seal_key, bool *ret_clear,
                         struct sl_err *err)
{
    char name[SQL_FILE_NAME_MAX];
    struct state_db *db = NULL;
    struct sl_err why;
    *ret_clear = true;
    if (sql_file_look_at(path, &why) != SL_OK || !sql_file_immutable_name(path, name, sizeof name))
        return SL_OK;
    enum sl_code code = state_db_look(&db, name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &why);
    if (code == SL_OK)
        sql_set_name(&db->sql, path);
    if (code == SL_OK && db->version >= STATE_DB_VERSION_SEAL)
        code = state_db_read_id(db, &why);
    if (code == SL_OK)
        code = state_db_seal_begin(db, seal_key, ret_clear, &why);
    state_db_close(db);
    return code == SL_INVALID ? sl_fail(err, SL_INVALID, "%s", why.text) : SL_OK;
}

enum sl_code state_db_check_key(const char *path, const uint8_t *seal_key, struct sl_err *err)
{
    bool clear;
    return look(path, seal_key, &clear, err);
}

/* ---- sealing all of it ---- */

struct copying {
    struct state_db *to;
    enum state_kind kind;
    enum sl_code code;
    struct sl_err *err;
};

static void copy_row(void *ctx, struct sl_slice key, struct sl_slice value)
{
    struct copying *c = ctx;
    struct state_op op = {
        .what = STATE_OP_PUT, .kind = (uint8_t)c->kind, .key = key, .value = value
    };
    if (c->code == SL_OK)
        c->code = state_db_put(c->to, &op, c->err);
}

static void on_bad_row(void *ctx, enum state_kind kind, struct sl_slice key)
{
    (void)ctx; /* it is counted, and stays behind */
    (void)kind;
    (void)key;
}

/* What a damaged page hides is lost, as it is when such a database is opened; not so what the disk
 * did not give only now, since the old one goes. */
static enum sl_code copy_all(struct state_db *from, struct state_db *to, uint64_t *ret_lost,
                             struct sl_err *err)
{
    struct state_db_damage damage = { .bad_row = on_bad_row };
    struct copying c = { .to = to, .err = err };
    enum sl_code code = state_db_run(to, SQ_BEGIN, err);
    for (int kind = 0; kind < STATE_KINDS && code == SL_OK; kind++) {
        struct sl_err why;
        c.kind = (enum state_kind)kind;
        code = state_db_load(from, c.kind, copy_row, &c, &damage, &why);
        if (code == SL_CORRUPT)
            code = SL_OK;
        if (code == SL_OK)
            code = c.code;
        else
            (void)sl_fail(err, code, "%s", why.text);
    }
    *ret_lost = damage.rows + damage.places + from->bad_log_rows;
    if (code == SL_OK && from->read_failed)
        code = sl_fail(err, SL_IO, "%s: parts of it could not be read now", from->sql.path);
    return code == SL_OK ? state_db_run(to, SQ_COMMIT, err) : code;
}

/* The new one's own log is twice its size for a moment. */
static enum sl_code fill_beside(struct state_db *from, const char *temporary,
                                const uint8_t *seal_key, uint64_t *ret_lost, struct sl_err *err)
{
    struct state_db *to = NULL;
    bool clear;
    enum sl_code code = sql_check_space(&from->sql, sql_file_bytes(&from->sql) * 2, err);
    if (code == SL_OK)
        code = state_db_open_checked(&to, temporary, OUTBOX_SYNC_FULL, seal_key, &clear, err);
    if (code == SL_OK)
        code = copy_all(from, to, ret_lost, err);
    state_db_close(to);
    if (code == SL_OK && sql_file_has_log(temporary))
        code = sl_fail(err, SL_IO, "%s: could not be written to its end", temporary);
    return code;
}

/* A log that the old one left would be taken for the new one's. */
static enum sl_code end_old(struct state_db *from, const char *path, enum sl_code code,
                            struct sl_err *err)
{
    state_db_close(from);
    if (code != SL_OK)
        return code;
    if (sql_file_has_log(path))
        return sl_fail(err, SL_IO, "%s: its log could not be moved into it", path);
    sql_file_sync_folder_of(path);
    return SL_OK;
}

static enum sl_code rewrite(struct state_db *from, const char *path, const uint8_t *seal_key,
                            uint64_t *ret_lost, struct sl_err *err)
{
    char temporary[PATH_MAX];
    enum sl_code code = state_db_make_beside(path, temporary, sizeof temporary, seal_key, err);
    if (code != SL_OK) {
        state_db_close(from);
        return code;
    }
    code = fill_beside(from, temporary, seal_key, ret_lost, err);
    code = end_old(from, path, code, err);
    return sql_file_end(path, temporary, code, err);
}

enum sl_code state_db_seal(const char *path, const uint8_t *seal_key, bool *ret_done,
                           uint64_t *ret_lost, struct sl_err *err)
{
    struct sl_err why;
    struct state_db *db = NULL;
    bool clear = false;
    *ret_done = false;
    *ret_lost = 0;
    if (!seal_key || sql_file_look_at(path, &why) != SL_OK)
        return SL_OK; /* none, or one that cannot be used: opening makes one that is sealed */
    enum sl_code code = look(path, seal_key, &clear, err);
    if (code != SL_OK || !clear)
        return code;
    code = state_db_open_checked(&db, path, OUTBOX_SYNC_FULL, seal_key, &clear, &why);
    if (code != SL_OK || !clear) {
        state_db_close(db);
        return SL_OK; /* opening tells */
    }
    code = rewrite(db, path, seal_key, ret_lost, err);
    if (code != SL_OK)
        return sl_wrap(err,
                       "%s: store.encryption_key is new, and what lies in the clear cannot be "
                       "sealed: nothing was changed",
                       path);
    *ret_done = true;
    return SL_OK;
}
