/* db_seal.c - rows sealed at rest, and whether the key is the right one.
 *
 * Topic, properties and payload are sealed together; what stands beside them in the row, and which
 * row of which lane it is, is bound to them, so that rows cannot change places. The database keeps
 * a check value of its key. One that was made without a key takes it on: old rows stay as they are
 * until they are sent, new ones are sealed. */
#include "db_row.h"

#define KEEP_BYTES ((size_t)64 * 1024) /* memory kept between rows */

/* ---- the key ---- */

static enum sl_code read_check(struct db *db, uint8_t ret[SEAL_CHECK_BYTES], bool *ret_there,
                               struct sl_err *err)
{
    sqlite3_stmt *s = db->query[Q_SEAL_GET];
    int rc = sqlite3_step(s);
    enum sl_code code = rc == SQLITE_ROW || rc == SQLITE_DONE ? SL_OK : db_fail(db, rc, err);
    struct sl_slice there = rc == SQLITE_ROW ? db_column(s, 0) : (struct sl_slice){ 0 };
    *ret_there = there.len == SEAL_CHECK_BYTES;
    if (*ret_there)
        memcpy(ret, there.ptr, SEAL_CHECK_BYTES);
    db_reset(db, Q_SEAL_GET);
    return code;
}

static void make_check(const struct db *db, uint8_t ret[SEAL_CHECK_BYTES])
{
    uint8_t id[8];
    for (int i = 0; i < 8; i++)
        id[i] = (uint8_t)(db->id >> (8 * i));
    sealer_check(db->sealer, sl_bytes(id, sizeof id), ret);
}

/* Moved into the database at once: whoever looks at the file alone is to find it. */
static enum sl_code write_check(struct db *db, const uint8_t check[SEAL_CHECK_BYTES],
                                struct sl_err *err)
{
    sqlite3_stmt *s = db->query[Q_SEAL_SET];
    (void)sqlite3_bind_blob(s, 1, check, SEAL_CHECK_BYTES, SQLITE_STATIC);
    enum sl_code code = db_run(db, Q_SEAL_SET, err);
    if (code == SL_OK)
        (void)sqlite3_wal_checkpoint_v2(db->sql.handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
                                        NULL); /* else the next one does it */
    return code;
}

static enum sl_code check_key(struct db *db, bool *ret_new, uint8_t ret[SEAL_CHECK_BYTES],
                              struct sl_err *err)
{
    uint8_t there[SEAL_CHECK_BYTES];
    bool is_there = false;
    *ret_new = false;
    enum sl_code code = read_check(db, there, &is_there, err);
    if (code != SL_OK || (!is_there && !db->sealer))
        return code;
    if (!db->sealer)
        return sl_fail(err, SL_INVALID,
                       "%s: its messages are sealed: store.encryption_key is needed, the key that"
                       " they were sealed with",
                       db->sql.path);
    make_check(db, ret);
    *ret_new = !is_there;
    if (!is_there || crypto_equal(sl_bytes(there, sizeof there), sl_bytes(ret, SEAL_CHECK_BYTES)))
        return SL_OK;
    return sl_fail(err, SL_INVALID,
                   "%s: its messages are sealed with another key than store.encryption_key:"
                   " nothing was changed; bring the right key back",
                   db->sql.path);
}

enum sl_code db_seal_begin(struct db *db, bool may_write, struct sl_err *err)
{
    uint8_t check[SEAL_CHECK_BYTES];
    bool is_new = false;
    enum sl_code code = SL_OK;
    if (db->options.sealed)
        code = sealer_new(&db->sealer, db->options.seal_key, err);
    crypto_wipe(db->options.seal_key, sizeof db->options.seal_key);
    if (code == SL_OK)
        code = check_key(db, &is_new, check, err);
    if (code == SL_OK && is_new && may_write)
        code = write_check(db, check, err);
    return code;
}

void db_seal_end(struct db *db)
{
    sealer_free(db->sealer);
    db->sealer = NULL;
    if (db->plain.ptr)
        crypto_wipe(db->plain.ptr, db->plain.cap);
    sl_buf_free(&db->plain);
    sl_buf_free(&db->cipher);
}

/* ---- rows ---- */

static void put_u64(struct sl_buf *b, uint64_t v)
{
    sl_buf_put_u32(b, (uint32_t)(v >> 32));
    sl_buf_put_u32(b, (uint32_t)v);
}

/* What is bound to the sealed parts. */
static struct sl_slice beside(const struct row *r, enum outbox_lane lane, bool letter,
                              uint8_t mem[64])
{
    struct sl_buf b = { .ptr = mem, .cap = 64, .max = 64 };
    sl_buf_put_u8(&b, letter ? 2 : 1);
    sl_buf_put_u8(&b, (uint8_t)lane);
    put_u64(&b, r->number);
    put_u64(&b, (uint64_t)r->wall_ms);
    put_u64(&b, (uint64_t)r->mono_ms);
    sl_buf_put_u32(&b, r->boot);
    sl_buf_put_u32(&b, r->expiry_s);
    sl_buf_put_u32(&b, r->flags);
    return sl_buf_slice(&b);
}

static void begin_row(struct sl_buf *b)
{
    sl_buf_shrink(b, KEEP_BYTES);
    sl_buf_reset(b);
}

enum sl_code db_seal_row(struct db *db, struct row *r, enum outbox_lane lane, bool letter,
                         struct sl_err *err)
{
    uint8_t mem[64];
    if (!db->sealer)
        return SL_OK;
    begin_row(&db->plain);
    begin_row(&db->cipher);
    sl_buf_put_u16(&db->plain, (uint16_t)r->topic.len);
    sl_buf_put_u32(&db->plain, (uint32_t)r->props.len);
    sl_buf_put_slice(&db->plain, r->topic);
    sl_buf_put_slice(&db->plain, r->props);
    sl_buf_put_slice(&db->plain, r->payload);
    r->flags |= ROW_SEALED;
    if (db->plain.failed || sealer_seal(db->sealer, beside(r, lane, letter, mem),
                                        sl_buf_slice(&db->plain), &db->cipher) != SL_OK)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", db->sql.path);
    r->topic = r->props = (struct sl_slice){ 0 };
    r->payload = sl_buf_slice(&db->cipher);
    return SL_OK;
}

static bool split(struct sl_slice plain, struct row *r)
{
    if (plain.len < 6)
        return false;
    const uint8_t *p = plain.ptr;
    size_t topic = (size_t)p[0] << 8 | p[1];
    size_t props = (size_t)p[2] << 24 | (size_t)p[3] << 16 | (size_t)p[4] << 8 | p[5];
    size_t left = plain.len - 6;
    if (topic > left || props > left - topic)
        return false;
    r->topic = sl_bytes(p + 6, topic);
    r->props = sl_bytes(p + 6 + topic, props);
    r->payload = sl_bytes(p + 6 + topic + props, left - topic - props);
    return true;
}

enum sl_code db_unseal_row(struct db *db, struct row *r, enum outbox_lane lane, bool letter)
{
    uint8_t mem[64];
    if (!(r->flags & ROW_SEALED))
        return SL_OK;
    if (!db->sealer)
        return SL_CORRUPT; /* a database that says that it is not sealed has a row that is */
    begin_row(&db->plain);
    enum sl_code code =
        sealer_open(db->sealer, beside(r, lane, letter, mem), r->payload, &db->plain);
    if (code != SL_OK)
        return code;
    return split(sl_buf_slice(&db->plain), r) ? SL_OK : SL_CORRUPT;
}

/* ---- looking at a file, before anything else ---- */

enum sl_code db_check_key(const struct db_options *options, struct sl_err *err)
{
    char name[SQL_FILE_NAME_MAX];
    struct db *db = NULL;
    struct sl_err why;
    if (sql_file_look_at(options->path, &why) != SL_OK ||
        !sql_file_immutable_name(options->path, name, sizeof name))
        return SL_OK; /* opening tells what is wrong with it, if anything is */
    enum sl_code code = db_connect(&db, name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &why);
    int version = 0;
    if (code == SL_OK)
        sql_set_name(&db->sql, options->path);
    if (code == SL_OK)
        code = sql_check_identity(&db->sql, DB_APPLICATION_ID, DB_VERSION, &version, &why);
    if (code == SL_OK && version >= DB_VERSION_SEAL)
        code = db_prepare(db, &why);
    if (code == SL_OK && version >= DB_VERSION_SEAL)
        code = db_read_state(db, &why);
    bool wrong = false;
    if (code == SL_OK && version >= DB_VERSION_SEAL) {
        db->options = *options;
        wrong = db_seal_begin(db, false, &why) == SL_INVALID;
    }
    db_close(db);
    return wrong ? sl_fail(err, SL_INVALID, "%s", why.text) : SL_OK;
}
