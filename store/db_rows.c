/* db_rows.c - rows in, rows out, rows gone. */
#include "crc32.h"
#include "db_row.h"

#include <stdlib.h>

/* A row takes up to so much of the file for what it is counted for. */
#define ROW_TAKES  5
#define ROW_COUNTS 4

enum column {
    C_NUMBER,
    C_WALL,
    C_MONO,
    C_BOOT,
    C_EXPIRY,
    C_FLAGS,
    C_TOPIC,
    C_PROPS,
    C_PAYLOAD,
    C_CRC
};

static uint32_t crc_u64(uint32_t crc, uint64_t v)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (8 * i));
    return crc32_add(crc, b, sizeof b);
}

static uint32_t checksum(const struct row *r, enum outbox_lane lane)
{
    uint32_t crc = crc_u64(0, (uint64_t)lane);
    crc = crc_u64(crc, r->number);
    crc = crc_u64(crc, (uint64_t)r->wall_ms);
    crc = crc_u64(crc, (uint64_t)r->mono_ms);
    crc = crc_u64(crc, (uint64_t)r->boot << 32 | r->expiry_s);
    crc = crc_u64(crc, r->flags);
    const struct sl_slice parts[] = { r->topic, r->props, r->payload };
    for (size_t i = 0; i < SL_ARRAY_LEN(parts); i++) {
        crc = crc_u64(crc, parts[i].len);
        crc = crc32_add(crc, parts[i].ptr, parts[i].len);
    }
    return crc;
}

/* ---- in ---- */

static void bind_slice(sqlite3_stmt *s, int at, struct sl_slice v, bool text)
{
    const void *p = v.ptr ? (const void *)v.ptr : ""; /* NULL would be SQL's NULL */
    if (text)
        (void)sqlite3_bind_text64(s, at, p, v.len, SQLITE_STATIC, SQLITE_UTF8);
    else
        (void)sqlite3_bind_blob64(s, at, p, v.len, SQLITE_STATIC);
}

static enum sl_code add_row(struct db *db, const struct disk_append *append, struct sl_err *err)
{
    const struct sl_msg *m = append->msg;
    struct row r = { .number = append->number,
                     .wall_ms = append->wall_ms,
                     .mono_ms = m->mono_ms,
                     .boot = db->options.boot,
                     .expiry_s = m->expiry_s,
                     .flags = (uint32_t)(m->qos & ROW_QOS) | (m->retain ? ROW_RETAIN : 0u) |
                              (append->unsure ? ROW_UNSURE : 0u) |
                              (uint32_t)m->batch << ROW_BATCH_SHIFT,
                     .topic = sl_msg_topic(m),
                     .props = sl_msg_props(m),
                     .payload = sl_msg_payload(m) };
    enum query q = Q_ROW_ADD + (enum query)append->lane;
    sqlite3_stmt *s = db->query[q];
    enum sl_code code = db_seal_row(db, &r, append->lane, false, err);
    if (code != SL_OK)
        return code;
    bind_u64(db, q, 1 + C_NUMBER, r.number);
    (void)sqlite3_bind_int64(s, 1 + C_WALL, r.wall_ms);
    (void)sqlite3_bind_int64(s, 1 + C_MONO, r.mono_ms);
    bind_u64(db, q, 1 + C_BOOT, r.boot);
    if (r.expiry_s != SL_MSG_NO_EXPIRY)
        bind_u64(db, q, 1 + C_EXPIRY, r.expiry_s);
    bind_u64(db, q, 1 + C_FLAGS, r.flags);
    bind_slice(s, 1 + C_TOPIC, r.topic, true);
    if (r.props.len > 0)
        bind_slice(s, 1 + C_PROPS, r.props, false);
    bind_slice(s, 1 + C_PAYLOAD, r.payload, false);
    bind_u64(db, q, 1 + C_CRC, checksum(&r, append->lane));
    return db_run(db, q, err);
}

static enum sl_code delete_range(struct db *db, const struct disk_range *range, struct sl_err *err)
{
    enum query q = Q_ROW_DELETE + (enum query)range->lane;
    bind_u64(db, q, 1, range->first);
    bind_u64(db, q, 2, range->last);
    return db_run(db, q, err);
}

/* ---- dead letters ---- */

enum sl_code db_write_letters_state(struct db *db, struct sl_err *err)
{
    bind_u64(db, Q_STORE_SET, 1, db->dead_rows);
    bind_u64(db, Q_STORE_SET, 2, db->dead_bytes);
    return db_run(db, Q_STORE_SET, err);
}

static enum sl_code drop_oldest_letter(struct db *db, struct sl_err *err)
{
    sqlite3_stmt *s = db->query[Q_DEAD_OLDEST];
    int rc = sqlite3_step(s);
    if (rc != SQLITE_ROW) {
        enum sl_code code = rc == SQLITE_DONE ? SL_OK : db_fail(db, rc, err);
        db_reset(db, Q_DEAD_OLDEST);
        db->dead_rows = db->dead_bytes = 0; /* the count was wrong: there are none */
        return code;
    }
    uint64_t id = (uint64_t)sqlite3_column_int64(s, 0);
    uint64_t bytes = (uint64_t)sqlite3_column_int64(s, 1);
    db_reset(db, Q_DEAD_OLDEST);
    bind_u64(db, Q_DEAD_DELETE, 1, id);
    db->dead_rows--;
    db->dead_bytes -= bytes < db->dead_bytes ? bytes : db->dead_bytes;
    return db_run(db, Q_DEAD_DELETE, err);
}

static enum sl_code add_letter(struct db *db, const struct disk_letter *letter, struct sl_err *err)
{
    sqlite3_stmt *s = db->query[Q_DEAD_ADD];
    uint64_t bytes = disk_row_bytes(letter->msg);
    struct row r = { .number = letter->number,
                     .wall_ms = letter->wall_ms,
                     .topic = sl_msg_topic(letter->msg),
                     .payload = sl_msg_payload(letter->msg) };
    enum sl_code code = db_seal_row(db, &r, letter->lane, true, err);
    if (code != SL_OK)
        return code;
    (void)sqlite3_bind_int(s, 1, (int)letter->lane);
    bind_u64(db, Q_DEAD_ADD, 2, r.number);
    (void)sqlite3_bind_int64(s, 3, r.wall_ms);
    bind_slice(s, 4, r.topic, true);
    bind_slice(s, 5, r.payload, false);
    bind_slice(s, 6, sl_str(letter->reason), true);
    bind_u64(db, Q_DEAD_ADD, 7, bytes);
    bind_u64(db, Q_DEAD_ADD, 8, r.flags);
    code = db_run(db, Q_DEAD_ADD, err);
    db->dead_rows++;
    db->dead_bytes += bytes;
    while (code == SL_OK && db->dead_rows > 1 &&
           (db->dead_rows > DISK_DEAD_ROWS_MAX || db->dead_bytes > db->dead_bytes_max))
        code = drop_oldest_letter(db, err);
    return code;
}

static enum sl_code add_letters(struct db *db, const struct disk_commit *commit, struct sl_err *err)
{
    enum sl_code code = SL_OK;
    for (size_t i = 0; i < commit->letter_count && code == SL_OK; i++)
        code = add_letter(db, &commit->letters[i], err);
    return code == SL_OK && commit->letter_count > 0 ? db_write_letters_state(db, err) : code;
}

/* ---- the transaction ---- */

static enum sl_code apply(struct db *db, struct disk_commit *commit, struct sl_err *err)
{
    enum sl_code code = SL_OK;
    for (size_t i = 0; i < commit->gone_count && code == SL_OK; i++)
        code = delete_range(db, &commit->gone[i], err);
    if (code == SL_OK && commit->letters_gone != 0)
        code = db_remove_letters(db, commit->letters_gone, commit->letters_max,
                                 &commit->letters_removed, err);
    for (size_t i = 0; i < commit->row_count && code == SL_OK; i++)
        code = add_row(db, &commit->rows[i], err);
    if (code == SL_OK)
        code = add_letters(db, commit, err);
    if (code == SL_OK && commit->clock_set)
        code = db_note_boot(db, commit->clock_offset_ms, err);
    if (code == SL_OK)
        code = db_write_state(db, commit->lane, err);
    return code;
}

static void look_at_room(struct db *db, struct disk_room *ret)
{
    struct sql_room room;
    sql_look_at_room(&db->sql, &room);
    *ret =
        (struct disk_room){ true, room.grows, room.deletes, room.bytes / ROW_TAKES * ROW_COUNTS };
}

static void report(struct db *db, struct disk_commit *commit)
{
    commit->dead_rows = db->dead_rows;
    commit->file_bytes = sql_file_bytes(&db->sql);
    commit->bytes_written = sql_bytes_written(&db->sql);
    commit->syncs = sql_syncs(&db->sql);
    look_at_room(db, &commit->room);
}

static enum sl_code check_space(struct db *db, const struct disk_commit *commit, struct sl_err *err)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < commit->row_count; i++)
        bytes += disk_row_bytes(commit->rows[i].msg) * ROW_TAKES / ROW_COUNTS;
    for (size_t i = 0; i < commit->letter_count; i++)
        bytes += disk_row_bytes(commit->letters[i].msg) * ROW_TAKES / ROW_COUNTS;
    enum sl_code code = bytes > 0 ? sql_check_space(&db->sql, bytes, err) : SL_OK;
    if (code == SL_OK) /* each range may lie on a page of its own */
        sql_spare_log(&db->sql, bytes + commit->gone_count * SQL_PAGE_SIZE);
    return code;
}

enum sl_code db_commit(struct db *db, struct disk_commit *commit, struct sl_err *err)
{
    uint64_t dead_rows = db->dead_rows, dead_bytes = db->dead_bytes;
    enum sl_code code = db->gone ? sql_rescue(&db->sql, err) : check_space(db, commit, err);
    if (code == SL_OK)
        code = db_run(db, Q_BEGIN, err);
    if (code == SL_OK)
        code = apply(db, commit, err);
    if (code == SL_OK)
        code = db_run(db, Q_COMMIT, err);
    if (code == SL_OK && sql_is_gone(&db->sql)) {
        db->gone = true;
        code = sl_fail(err, SL_BUSY, "%s: was removed while it was in use", db->sql.path);
    }
    if (code == SL_OK) {
        db_committed(db, commit->lane);
        report(db, commit);
        return SL_OK;
    }
    sql_rollback(&db->sql);
    if (code != SL_FULL)
        return code;
    sql_empty_log(&db->sql); /* the next may find room in it */
    look_at_room(db, &commit->room);
    db->dead_rows = dead_rows;
    db->dead_bytes = dead_bytes;
    return code;
}

void db_upkeep(struct db *db)
{
    sql_upkeep(&db->sql);
}

/* ---- out ---- */

struct sl_slice db_column(sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_blob(s, at);
    int n = sqlite3_column_bytes(s, at);
    return (struct sl_slice){ p, p && n > 0 ? (size_t)n : 0 };
}

static void unpack(sqlite3_stmt *s, struct row *r)
{
    r->number = (uint64_t)sqlite3_column_int64(s, C_NUMBER);
    r->wall_ms = sqlite3_column_int64(s, C_WALL);
    r->mono_ms = sqlite3_column_int64(s, C_MONO);
    r->boot = (uint32_t)sqlite3_column_int64(s, C_BOOT);
    r->expiry_s = sqlite3_column_type(s, C_EXPIRY) == SQLITE_NULL
                      ? SL_MSG_NO_EXPIRY
                      : (uint32_t)sqlite3_column_int64(s, C_EXPIRY);
    r->flags = (uint32_t)sqlite3_column_int64(s, C_FLAGS);
    r->topic = db_column(s, C_TOPIC);
    r->props = db_column(s, C_PROPS);
    r->payload = db_column(s, C_PAYLOAD);
}

bool db_row_is_sound(sqlite3_stmt *s, enum outbox_lane lane, uint64_t *ret_bytes)
{
    struct row r;
    unpack(s, &r);
    *ret_bytes = row_bytes(&r);
    return checksum(&r, lane) == (uint32_t)sqlite3_column_int64(s, C_CRC);
}

/* A row's acceptance on this boot's monotonic clock. From another boot its age is told by the wall
 * clock as it stood when the database was opened: steps since then, and clocks that were never set,
 * make nothing older. */
static int64_t mono_of(const struct db *db, const struct row *r)
{
    if (r->boot != 0 && r->boot == db->options.boot)
        return r->mono_ms;
    int64_t now = db->opened_wall_ms;
    if (r->wall_ms < SL_WALL_PLAUSIBLE_MS || now < r->wall_ms)
        return db->opened_mono_ms;
    return db->opened_mono_ms - (now - r->wall_ms);
}

/* Doubtful no more, when the time became known later in its boot. */
static void put_time_right(const struct db *db, struct row *r)
{
    for (size_t i = 0; r->flags & ROW_UNSURE && i < db->boot_count; i++) {
        if (db->boot[i].id != r->boot)
            continue;
        r->wall_ms = r->mono_ms + db->boot[i].offset_ms;
        r->flags &= ~(uint32_t)ROW_UNSURE;
    }
}

static struct sl_msg *message(const struct db *db, const struct row *r)
{
    struct sl_msg_parts parts = { .topic = r->topic,
                                  .props = r->props,
                                  .payload = r->payload,
                                  .expiry_s = r->expiry_s,
                                  .qos = (uint8_t)(r->flags & ROW_QOS),
                                  .retain = (r->flags & ROW_RETAIN) != 0,
                                  .batch = (uint16_t)(r->flags >> ROW_BATCH_SHIFT),
                                  .mono_ms = mono_of(db, r),
                                  .wall_ms = r->wall_ms };
    return sl_msg_new(&parts);
}

/* SL_LIMIT: it would pass bytes_max, so it is for the next time. */
static enum sl_code take_row(struct db *db, sqlite3_stmt *s, struct disk_read *read,
                             uint64_t *bytes, struct sl_err *err)
{
    struct row r;
    unpack(s, &r);
    if (r.number < read->from) /* a page that belongs elsewhere */
        return sl_fail(err, SL_CORRUPT, "%s: rows are out of order", db->sql.path);
    uint64_t size = row_bytes(&r);
    if (read->row_count > 0 && *bytes + size > read->bytes_max)
        return SL_LIMIT;
    struct disk_row *row = &read->row[read->row_count];
    *row = (struct disk_row){
        .number = r.number, .position = r.number, .bytes = (uint32_t)size, .lane = read->lane
    };
    enum sl_code code = checksum(&r, read->lane) == (uint32_t)sqlite3_column_int64(s, C_CRC)
                            ? db_unseal_row(db, &r, read->lane, false)
                            : SL_CORRUPT;
    put_time_right(db, &r);
    row->unsure = (r.flags & ROW_UNSURE) != 0 && r.boot != 0 && r.boot == db->options.boot;
    if (code == SL_OK)
        row->msg = message(db, &r);
    if (code != SL_CORRUPT && !row->msg)
        return sl_fail(err, SL_NOMEM, "%s: out of memory", db->sql.path);
    *bytes += size;
    read->row_count++;
    read->from = r.number + 1;
    return SL_OK;
}

static enum sl_code take_letter(struct db *db, sqlite3_stmt *s, struct disk_read *read,
                                uint64_t *bytes, struct sl_err *err)
{
    int lane = sqlite3_column_int(s, 1);
    if (lane < 0 || lane >= OUTBOX_LANES)
        lane = OUTBOX_TELEMETRY; /* only to be shown: a wrong lane is better than none */
    struct row r = { .number = (uint64_t)sqlite3_column_int64(s, 2),
                     .wall_ms = sqlite3_column_int64(s, 3),
                     .flags = (uint32_t)sqlite3_column_int64(s, 8),
                     .topic = db_column(s, 4),
                     .payload = db_column(s, 5) };
    if (db_unseal_row(db, &r, (enum outbox_lane)lane, true) != SL_OK)
        r.topic = r.payload = sl_str("(not readable)");
    r.expiry_s = SL_MSG_NO_EXPIRY;
    uint64_t size = (uint64_t)r.topic.len + r.payload.len;
    if (read->row_count > 0 && *bytes + size > read->bytes_max)
        return SL_LIMIT;
    struct disk_row *row = &read->row[read->row_count];
    *row = (struct disk_row){ .number = (uint64_t)sqlite3_column_int64(s, 2),
                              .position = (uint64_t)sqlite3_column_int64(s, 0),
                              .msg = message(db, &r),
                              .reason = sl_slice_dup(db_column(s, 6)),
                              .bytes = (uint32_t)size,
                              .lane = (enum outbox_lane)lane };
    if (!row->msg || !row->reason) {
        sl_msg_unref(row->msg);
        free(row->reason); /* NOLINT(clang-analyzer-unix.Malloc): sl_slice_dup() makes a new one */
        return sl_fail(err, SL_NOMEM, "%s: out of memory", db->sql.path);
    }
    *bytes += size;
    read->row_count++;
    read->from = (uint64_t)sqlite3_column_int64(s, 0) + 1;
    return SL_OK;
}

enum sl_code db_read(struct db *db, struct disk_read *read, struct sl_err *err)
{
    enum query q = read->dead ? Q_DEAD_READ : Q_ROW_READ + (enum query)read->lane;
    sqlite3_stmt *s = db->query[q];
    uint64_t from = read->from < INT64_MAX ? read->from : INT64_MAX, bytes = 0;
    bind_u64(db, q, 1, from);
    bind_u64(db, q, 2, read->rows_max);
    read->row_count = 0;
    enum sl_code code = SL_OK;
    int rc = SQLITE_DONE;
    while (code == SL_OK && read->row_count < read->rows_max &&
           (rc = sqlite3_step(s)) == SQLITE_ROW)
        code =
            read->dead ? take_letter(db, s, read, &bytes, err) : take_row(db, s, read, &bytes, err);
    if (code == SL_OK && rc != SQLITE_ROW && rc != SQLITE_DONE)
        code = db_fail(db, rc, err);
    read->end = code == SL_OK && rc == SQLITE_DONE && read->row_count < read->rows_max;
    db_reset(db, q);
    return code == SL_LIMIT ? SL_OK : code;
}
