/* state_db_seal.c - rows of the state sealed at rest, and whether the key is the right one.
 *
 * A row of the log is sealed as a whole. In the tables a value is sealed, bound to its database,
 * table and key; and so is what a key says of topics: a retained message's is its topic, a
 * subscription's is its session's number, which stays, and a filter. Such a key always becomes the
 * same one, so that its row is found; what the keys' order was is lost. Other keys are numbers and
 * stay. The database keeps a check value of the key; either everything in it is sealed or nothing.
 */
#include "state_db_private.h"

#include "base/crypto.h"

#define KEEP_BYTES    ((size_t)64 * 1024) /* memory kept between rows */
#define SESSION_BYTES 8

/* What is sealed: the outbox has 1 and 2. */
enum use { USE_VALUE = 3, USE_LOG = 4, USE_KEY = 5 };

/* ---- the database's key ---- */

static void make_check(const struct state_db *db, uint8_t ret[SEAL_CHECK_BYTES])
{
    uint8_t about[9] = { 's' }; /* a number that the outbox's database has by chance is another */
    for (int i = 0; i < 8; i++)
        about[1 + i] = (uint8_t)(db->id >> (8 * i));
    sealer_check(db->sealer, sl_bytes(about, sizeof about), ret);
}

static enum sl_code read_check(struct state_db *db, uint8_t ret[SEAL_CHECK_BYTES], bool *ret_there,
                               struct sl_err *err)
{
    *ret_there = false;
    if (db->version < STATE_DB_VERSION_SEAL)
        return SL_OK;
    enum sl_code code = state_db_ready(db, SQ_SEAL_GET, err);
    if (code != SL_OK)
        return code;
    sqlite3_stmt *s = db->query[SQ_SEAL_GET];
    int rc = sqlite3_step(s);
    struct sl_slice there = rc == SQLITE_ROW ? state_column(s, 0) : (struct sl_slice){ 0 };
    *ret_there = there.len == SEAL_CHECK_BYTES;
    if (*ret_there)
        memcpy(ret, there.ptr, SEAL_CHECK_BYTES);
    if (rc == SQLITE_ROW && !*ret_there)
        code = sl_fail(err, SL_CORRUPT, "%s: the check of its key is damaged", db->sql.path);
    else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        code = sql_fail(&db->sql, rc, err);
    state_db_done(db, SQ_SEAL_GET);
    return code;
}

enum sl_code state_db_seal_begin(struct state_db *db, const uint8_t *seal_key, bool *ret_clear,
                                 struct sl_err *err)
{
    uint8_t there[SEAL_CHECK_BYTES], mine[SEAL_CHECK_BYTES];
    bool is_there = false;
    enum sl_code code = read_check(db, there, &is_there, err);
    *ret_clear = code == SL_OK && !is_there && seal_key;
    if (code != SL_OK || !is_there)
        return code;
    if (!seal_key)
        return sl_fail(err, SL_INVALID,
                       "%s: its messages are sealed: store.encryption_key is needed, the key that"
                       " they were sealed with",
                       db->sql.path);
    code = sealer_new(&db->sealer, seal_key, err);
    if (code != SL_OK)
        return code;
    make_check(db, mine);
    if (crypto_equal(sl_bytes(there, sizeof there), sl_bytes(mine, sizeof mine)))
        return SL_OK;
    return sl_fail(err, SL_INVALID,
                   "%s: its messages are sealed with another key than store.encryption_key:"
                   " nothing was changed; bring the right key back",
                   db->sql.path);
}

enum sl_code state_db_seal_mark(struct state_db *db, const uint8_t *seal_key, struct sl_err *err)
{
    uint8_t check[SEAL_CHECK_BYTES];
    if (!seal_key)
        return SL_OK;
    enum sl_code code = sealer_new(&db->sealer, seal_key, err);
    if (code == SL_OK)
        code = state_db_ready(db, SQ_SEAL_SET, err);
    if (code != SL_OK)
        return code;
    make_check(db, check);
    state_bind(db->query[SQ_SEAL_SET], 1, sl_bytes(check, sizeof check));
    return state_db_run(db, SQ_SEAL_SET, err);
}

static void drop_plain(struct sl_buf *b)
{
    if (b->ptr)
        crypto_wipe(b->ptr, b->cap);
    sl_buf_free(b);
}

void state_db_seal_end(struct state_db *db)
{
    sealer_free(db->sealer);
    db->sealer = NULL;
    drop_plain(&db->sealing.key);
    drop_plain(&db->sealing.value);
    sl_buf_free(&db->sealing.beside);
}

/* ---- keys ---- */

/* How many bytes a hidden key begins with that stay; SIZE_MAX: keys of the kind are not hidden. */
static size_t clear_bytes(enum state_kind kind)
{
    switch (kind) {
    case STATE_RETAINED: return 0;
    case STATE_SUBSCRIPTION: return SESSION_BYTES;
    case STATE_META:
    case STATE_SESSION:
    case STATE_DELIVERY:
    case STATE_RECEIVED: return SIZE_MAX;
    case STATE_KINDS: break;
    }
    return SIZE_MAX;
}

bool state_db_hides_keys(const struct state_db *db, enum state_kind kind)
{
    return db->sealer && clear_bytes(kind) != SIZE_MAX;
}

struct sl_slice state_db_clear_part(enum state_kind kind, struct sl_slice key)
{
    size_t n = clear_bytes(kind);
    return (struct sl_slice){ key.ptr, key.len < n ? key.len : n };
}

static void begin(struct sl_buf *b)
{
    sl_buf_shrink(b, KEEP_BYTES);
    sl_buf_reset(b);
}

static void put_u64(struct sl_buf *b, uint64_t v)
{
    sl_buf_put_u32(b, (uint32_t)(v >> 32));
    sl_buf_put_u32(b, (uint32_t)v);
}

/* What is bound to the sealed part; empty when memory is out, and then it neither fits. */
static struct sl_slice beside(struct state_db *db, enum use use, uint8_t kind, struct sl_slice rest)
{
    struct sl_buf *b = &db->sealing.beside;
    begin(b);
    sl_buf_put_u8(b, (uint8_t)use);
    sl_buf_put_u8(b, kind);
    put_u64(b, db->id);
    sl_buf_put_slice(b, rest);
    return sl_buf_slice(b);
}

static enum sl_code no_memory(const struct state_db *db, struct sl_err *err)
{
    return sl_fail(err, SL_NOMEM, "%s: out of memory", db->sql.path);
}

enum sl_code state_db_seal_key(struct state_db *db, enum state_kind kind, struct sl_slice key,
                               struct sl_slice *ret, struct sl_err *err)
{
    *ret = key;
    if (!state_db_hides_keys(db, kind))
        return SL_OK;
    struct sl_buf *out = &db->sealing.key;
    struct sl_slice clear = state_db_clear_part(kind, key), about;
    if (clear.len < clear_bytes(kind)) /* ranges would not be what they were */
        return sl_fail(err, SL_INVALID, "%s: a %s's key of %zu bytes", db->sql.path,
                       state_kind_name(kind), key.len);
    begin(out);
    sl_buf_put_slice(out, clear);
    about = beside(db, USE_KEY, (uint8_t)kind, clear);
    if (out->failed || db->sealing.beside.failed ||
        sealer_seal_name(db->sealer, about, sl_bytes(key.ptr + clear.len, key.len - clear.len),
                         out) != SL_OK)
        return no_memory(db, err);
    *ret = sl_buf_slice(out);
    return SL_OK;
}

enum sl_code state_db_open_key(struct state_db *db, enum state_kind kind, struct sl_slice stored,
                               struct sl_slice *ret)
{
    *ret = stored;
    if (!state_db_hides_keys(db, kind))
        return SL_OK;
    struct sl_buf *out = &db->sealing.key;
    struct sl_slice clear = state_db_clear_part(kind, stored), about;
    begin(out);
    sl_buf_put_slice(out, clear);
    about = beside(db, USE_KEY, (uint8_t)kind, clear);
    if (out->failed || db->sealing.beside.failed)
        return SL_NOMEM;
    enum sl_code code = sealer_open_name(
        db->sealer, about, sl_bytes(stored.ptr + clear.len, stored.len - clear.len), out);
    *ret = sl_buf_slice(out);
    return code;
}

/* ---- values and the log ---- */

static enum sl_code seal(struct state_db *db, struct sl_slice about, struct sl_slice plain,
                         struct sl_slice *ret, struct sl_err *err)
{
    struct sl_buf *out = &db->sealing.value;
    begin(out);
    if (db->sealing.beside.failed || sealer_seal(db->sealer, about, plain, out) != SL_OK)
        return no_memory(db, err);
    *ret = sl_buf_slice(out);
    return SL_OK;
}

enum sl_code state_db_seal_value(struct state_db *db, enum state_kind kind, struct sl_slice key,
                                 struct sl_slice value, struct sl_slice *ret, struct sl_err *err)
{
    *ret = value;
    if (!db->sealer)
        return SL_OK;
    return seal(db, beside(db, USE_VALUE, (uint8_t)kind, key), value, ret, err);
}

enum sl_code state_db_open_value(struct state_db *db, enum state_kind kind, struct sl_slice key,
                                 struct sl_slice stored, struct sl_slice *ret)
{
    *ret = stored;
    if (!db->sealer)
        return SL_OK;
    struct sl_buf *out = &db->sealing.value;
    struct sl_slice about = beside(db, USE_VALUE, (uint8_t)kind, key);
    begin(out);
    enum sl_code code =
        db->sealing.beside.failed ? SL_NOMEM : sealer_open(db->sealer, about, stored, out);
    *ret = sl_buf_slice(out);
    return code;
}

/* The log's own kind is none of the tables'. */
static struct sl_slice beside_log(struct state_db *db, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    return beside(db, USE_LOG, STATE_KINDS, sl_bytes(bytes, sizeof bytes));
}

enum sl_code state_db_seal_log(struct state_db *db, uint64_t number, struct sl_slice row,
                               struct sl_slice *ret, struct sl_err *err)
{
    *ret = row;
    if (!db->sealer)
        return SL_OK;
    return seal(db, beside_log(db, number), row, ret, err);
}

enum sl_code state_db_open_log(struct state_db *db, uint64_t number, struct sl_slice stored,
                               struct sl_buf *to)
{
    if (!db->sealer) {
        sl_buf_put_slice(to, stored);
        return to->failed ? SL_NOMEM : SL_OK;
    }
    struct sl_slice about = beside_log(db, number);
    return db->sealing.beside.failed ? SL_NOMEM : sealer_open(db->sealer, about, stored, to);
}
