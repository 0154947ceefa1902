/* gap_note.c - see gap_note.h. */
#include "gap_note.h"

#include "base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define TOLD_FILE_MAX ((size_t)16 * 1024)

static bool path_in(const char *data_dir, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/reported.json", data_dir);
    return n > 0 && (size_t)n < size;
}

void gap_note_read(const char *data_dir, struct gap_lost *ret)
{
    char path[PATH_MAX];
    struct sl_buf text = { 0 };
    *ret = (struct gap_lost){ 0 };
    if (path_in(data_dir, path, sizeof path) &&
        sl_file_read(path, TOLD_FILE_MAX, &text, NULL) == SL_OK)
        gap_lost_read(ret, sl_buf_slice(&text));
    sl_buf_free(&text);
}

struct note {
    uv_work_t req;
    struct sl_buf text;
    struct sl_err err;
    enum sl_code result;
    void (*done)(void *ctx, const char *error);
    void *ctx;
    char path[PATH_MAX];
};

static void work(uv_work_t *req)
{
    struct note *n = req->data;
    n->result = sl_file_replace(n->path, sl_buf_slice(&n->text), 0640, &n->err);
}

static void after_work(uv_work_t *req, int status)
{
    struct note *n = req->data;
    bool written = status == 0 && n->result == SL_OK;
    n->done(n->ctx, written ? NULL : status != 0 ? "stopped" : n->err.text);
    sl_buf_free(&n->text);
    free(n);
}

bool gap_note_write(uv_loop_t *loop, const char *data_dir, const struct gap_lost *told,
                    void (*done)(void *ctx, const char *error), void *ctx)
{
    struct note *n = calloc(1, sizeof *n);
    if (!n)
        return false;
    n->req.data = n;
    n->done = done;
    n->ctx = ctx;
    gap_lost_write(told, &n->text);
    if (!n->text.failed && path_in(data_dir, n->path, sizeof n->path) &&
        uv_queue_work(loop, &n->req, work, after_work) == 0)
        return true;
    sl_buf_free(&n->text);
    free(n);
    return false;
}
