/* outbox_list.c - looking into a database that no gateway holds. Blocking: for the command line. */
#include "base/crypto.h"
#include "db.h"
#include "store/outbox.h"

#include <stdlib.h>

static void show(const struct outbox_list_request *request, const struct disk_row *row)
{
    const struct sl_msg *m = row->msg;
    struct outbox_row out = { .lane = row->lane,
                              .number = row->number,
                              .position = row->position,
                              .wall_ms = m->wall_ms,
                              .topic = sl_msg_topic(m),
                              .props = sl_msg_props(m),
                              .payload = sl_msg_payload(m),
                              .expiry_s = m->expiry_s,
                              .qos = m->qos,
                              .retain = m->retain,
                              .reason = row->reason };
    request->row(request->ctx, &out);
}

/* What is left of the request. */
struct left {
    uint32_t rows;
    uint64_t bytes;
};

static void visit(const struct outbox_list_request *request, struct disk_row *row,
                  struct left *left)
{
    bool wanted = request->lane == OUTBOX_LANES || request->lane == row->lane;
    if (row->msg && wanted && left->rows > 0) {
        left->bytes -= row->bytes < left->bytes ? row->bytes : left->bytes;
        left->rows -= left->bytes > 0 ? 1 : left->rows;
        show(request, row);
    }
    sl_msg_unref(row->msg);
    free(row->reason);
}

/* All of one table, at most *left rows. */
static enum sl_code visit_table(struct db *db, const struct outbox_list_request *request,
                                struct disk_read *read, struct left *left, struct sl_err *err)
{
    enum sl_code code = SL_OK;
    read->end = false;
    while (code == SL_OK && !read->end && left->rows > 0) {
        read->rows_max = left->rows < DISK_READ_ROWS_MAX ? left->rows : DISK_READ_ROWS_MAX;
        read->bytes_max = DISK_READ_BYTES_MAX;
        code = db_read(db, read, err);
        for (size_t i = 0; i < read->row_count; i++)
            visit(request, &read->row[i], left);
    }
    return code;
}

static enum sl_code visit_all(struct db *db, const struct outbox_list_request *request,
                              struct disk_row *rows, struct sl_err *err)
{
    struct left left = { request->limit, request->bytes_max > 0 ? request->bytes_max : UINT64_MAX };
    struct disk_read read = { .dead = request->dead, .from = request->from, .row = rows };
    if (request->dead)
        return visit_table(db, request, &read, &left, err);
    enum sl_code code = SL_OK;
    for (int i = 0; i < OUTBOX_LANES && code == SL_OK; i++) {
        read.lane = (enum outbox_lane)i;
        if (request->lane != OUTBOX_LANES && request->lane != read.lane)
            continue;
        code = visit_table(db, request, &read, &left, err);
        read.from = 0;
    }
    return code;
}

enum sl_code outbox_list_file(const char *path, const struct outbox_list_request *request,
                              struct sl_err *err)
{
    struct db *db = NULL;
    struct disk_row *rows = NULL;
    struct db_options options = { .path = path };
    db_set_key(&options, request->seal_key);
    enum sl_code code = db_open_to_read(&db, &options, err);
    crypto_wipe(options.seal_key, sizeof options.seal_key);
    if (code == SL_OK) {
        rows = calloc(DISK_READ_ROWS_MAX, sizeof *rows);
        code = rows ? visit_all(db, request, rows, err)
                    : sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    }
    free(rows);
    db_close(db);
    if (request->done)
        request->done(request->ctx, code, code == SL_OK ? NULL : err->text);
    return code;
}
