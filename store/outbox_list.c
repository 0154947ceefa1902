/* outbox_list.c - looking into a database that no gateway holds. Blocking: for the command line. */
#include "db.h"
#include "store/outbox.h"

#include <stdlib.h>

static void visit(const struct outbox_list_request *request, struct disk_row *row)
{
    if (row->msg) {
        struct outbox_row out = { .lane = row->lane,
                                  .number = row->number,
                                  .wall_ms = row->msg->wall_ms,
                                  .topic = sl_msg_topic(row->msg),
                                  .payload = sl_msg_payload(row->msg),
                                  .reason = row->reason };
        request->row(request->ctx, &out);
    }
    sl_msg_unref(row->msg);
    free(row->reason);
}

/* All of one table, at most *left rows. */
static enum sl_code visit_table(struct db *db, const struct outbox_list_request *request,
                                struct disk_read *read, uint32_t *left, struct sl_err *err)
{
    enum sl_code code = SL_OK;
    for (read->from = 0, read->end = false; code == SL_OK && !read->end && *left > 0;) {
        read->rows_max = *left < DISK_READ_ROWS_MAX ? *left : DISK_READ_ROWS_MAX;
        read->bytes_max = DISK_READ_BYTES_MAX;
        code = db_read(db, read, err);
        for (size_t i = 0; i < read->row_count; i++)
            visit(request, &read->row[i]);
        *left -= (uint32_t)read->row_count;
    }
    return code;
}

static enum sl_code visit_all(struct db *db, const struct outbox_list_request *request,
                              struct disk_row *rows, struct sl_err *err)
{
    uint32_t left = request->limit;
    struct disk_read read = { .dead = request->dead, .row = rows };
    if (request->dead)
        return visit_table(db, request, &read, &left, err);
    enum sl_code code = SL_OK;
    for (int i = 0; i < OUTBOX_LANES && code == SL_OK; i++) {
        read.lane = (enum outbox_lane)i;
        if (request->lane == OUTBOX_LANES || request->lane == read.lane)
            code = visit_table(db, request, &read, &left, err);
    }
    return code;
}

enum sl_code outbox_list_file(const char *path, const struct outbox_list_request *request,
                              struct sl_err *err)
{
    struct db *db = NULL;
    struct disk_row *rows = NULL;
    enum sl_code code = db_open_to_read(&db, path, err);
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
