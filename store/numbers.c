/* numbers.c - reserved numbers beside the database: a line a lane, "alert 117672561410048". */
#include "numbers.h"

#include "base/file.h"
#include "base/text.h"

#include <limits.h>
#include <stdio.h>

#define FILE_MAX 1024
/* A card that lies may say anything. Numbers begin at the clock's seconds times 65,536: what is
 * above this is no number of ours, and would not be exact in JSON. */
#define NUMBER_MAX (UINT64_C(1) << 52)

static bool path_of(const char *db_path, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s-numbers", db_path);
    return n > 0 && (size_t)n < size;
}

/* "NAME NUMBER"; what is neither counts for nothing. */
static void take_line(struct sl_slice line, uint64_t ret[OUTBOX_LANES])
{
    const uint8_t *space = line.len > 0 ? memchr(line.ptr, ' ', line.len) : NULL;
    enum outbox_lane lane;
    uint64_t number;
    if (!space)
        return;
    size_t name = (size_t)(space - line.ptr);
    if (outbox_lane_parse(sl_bytes(line.ptr, name), &lane) &&
        sl_u64_parse(sl_bytes(space + 1, line.len - name - 1), &number) && number <= NUMBER_MAX)
        ret[lane] = number;
}

void numbers_read(const char *db_path, uint64_t ret[OUTBOX_LANES])
{
    char path[PATH_MAX];
    struct sl_buf text = { 0 };
    memset(ret, 0, OUTBOX_LANES * sizeof *ret);
    if (path_of(db_path, path, sizeof path) && sl_file_read(path, FILE_MAX, &text, NULL) == SL_OK) {
        size_t from = 0;
        for (size_t at = 0; at < text.len; at++) {
            if (text.ptr[at] != '\n')
                continue;
            take_line(sl_bytes(text.ptr + from, at - from), ret);
            from = at + 1;
        }
    }
    sl_buf_free(&text);
}

void numbers_write(const char *db_path, const uint64_t reserved[OUTBOX_LANES])
{
    char path[PATH_MAX];
    struct sl_buf text = { 0 };
    struct sl_err ignored;
    if (!path_of(db_path, path, sizeof path))
        return;
    for (int i = 0; i < OUTBOX_LANES; i++)
        sl_buf_printf(&text, "%s %llu\n", outbox_lane_name((enum outbox_lane)i),
                      (unsigned long long)reserved[i]);
    if (text.failed || sl_file_replace(path, sl_buf_slice(&text), 0600, &ignored) != SL_OK) {
        /* see the header */
    }
    sl_buf_free(&text);
}
