/* cmd_queue.c - sluice queue: what waits for the cloud, from the running gateway or, when none
 * runs, from the file. */
#include "cli.h"
#include "commands.h"
#include "control.h"
#include "data_dir.h"
#include "lock.h"
#include "queue_row.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char usage[] =
    "Usage: sluice queue list [-c FILE] [--lane LANE] [--dead] [--limit N]\n"
    "\n"
    "Prints what waits for the cloud, oldest first within each lane, a JSON line a\n"
    "message. Asks the running gateway; opens the database itself only when none runs.\n"
    "\n"
    "  -c, --config FILE   the configuration\n"
    "      --lane LANE     only this lane: alert, normal or telemetry\n"
    "      --dead          the dead letters: what the cloud refused, with the reason\n"
    "      --limit N       at most N messages (default 1000)\n"
    "      --help          this text\n";

enum { WAIT_MS = 3000, NAP_MS = 50 };

struct query {
    enum outbox_lane lane; /* OUTBOX_LANES: all */
    bool dead;
    uint64_t limit;
};

static void print_line(void *ctx, const char *text)
{
    (void)ctx;
    (void)puts(text); /* checked once at the end */
}

static void take_row(void *ctx, const struct outbox_row *row)
{
    struct sl_buf *out = ctx;
    queue_row_json(row, out);
    sl_buf_put_u8(out, '\n');
}

/* Gathered first and printed when the database is closed again: whoever reads us may be slow, and
 * meanwhile no gateway could start. */
static int list_file(const char *data_dir, const struct query *q)
{
    char path[PATH_MAX];
    struct sl_err err = { 0 };
    struct sl_buf out = { 0 };
    struct outbox_list_request request = {
        .lane = q->lane, .dead = q->dead, .limit = (uint32_t)q->limit, .row = take_row, .ctx = &out
    };
    if (snprintf(path, sizeof path, "%s/queue.db", data_dir) >= (int)sizeof path)
        return cli_error(CLI_FAIL, "queue list", "the path of data_dir is too long");
    enum sl_code rc = outbox_list_file(path, &request, &err);
    if (rc == SL_OK && out.failed)
        rc = sl_fail(&err, SL_LIMIT, "more than 256 MiB: use --lane or a smaller --limit");
    if (rc == SL_OK && out.len > 0)
        (void)fwrite(out.ptr, 1, out.len, stdout); /* checked once at the end */
    sl_buf_free(&out);
    if (rc == SL_OK || rc == SL_NOTFOUND) /* nothing was ever stored */
        return CLI_OK;
    return cli_error(CLI_FAIL, "queue list", "%s", err.text);
}

static enum sl_code ask(const char *data_dir, const struct query *q, struct sl_err *err)
{
    struct sl_buf request = { 0 };
    sl_buf_printf(&request, "{\"cmd\":\"queue\",\"dead\":%s,\"limit\":%llu",
                  q->dead ? "true" : "false", (unsigned long long)q->limit);
    if (q->lane != OUTBOX_LANES)
        sl_buf_printf(&request, ",\"lane\":\"%s\"", outbox_lane_name(q->lane));
    sl_buf_put_str(&request, "}");
    enum sl_code rc = control_ask(data_dir, sl_buf_cstr(&request), print_line, NULL, err);
    sl_buf_free(&request);
    return rc;
}

/* A gateway that starts holds the folder before it answers, and one that stops does so for a moment
 * longer. */
static int list(const char *data_dir, const struct query *q)
{
    const struct timespec nap = { .tv_nsec = NAP_MS * 1000000L };
    struct sl_err err = { 0 };
    for (int i = 0; i < WAIT_MS / NAP_MS; i++) {
        SL_CLEANUP(sl_close_fd) int lock = -1;
        enum sl_code rc = ask(data_dir, q, &err);
        if (rc != SL_NOTFOUND)
            return rc == SL_OK ? CLI_OK : cli_error(CLI_FAIL, "queue list", "%s", err.text);
        if (lock_data_dir(data_dir, LOCK_SHARED, &lock, &err) != SL_BUSY)
            return list_file(data_dir, q); /* which says what is wrong with the folder */
        (void)nanosleep(&nap, NULL);       /* cut short by a signal: asked again a little early */
    }
    return cli_error(CLI_FAIL, "queue list",
                     "a gateway holds %s and does not answer: it is starting or stopping, or its "
                     "disk is full",
                     data_dir);
}

static int cmd_queue_list(int argc, char **argv)
{
    const char *given = NULL, *lane = NULL;
    struct query q = { .lane = OUTBOX_LANES, .limit = 1000 };
    struct cli_args args;
    char *data_dir = NULL;
    const struct cli_option options[] = { CLI_CONFIG(&given), CLI_TEXT("lane", '\0', &lane),
                                          CLI_FLAG("dead", '\0', &q.dead),
                                          CLI_NUMBER("limit", '\0', &q.limit, 1, 1000000),
                                          CLI_END };
    const struct cli_command command = { .name = "queue list", .usage = usage, .options = options };
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    if (lane && !outbox_lane_parse(sl_str(lane), &q.lane))
        return cli_error(CLI_USAGE, "queue list",
                         "--lane: \"%s\" is none of alert, normal, telemetry", lane);
    status = data_dir_find("queue list", given, &data_dir);
    if (status != CLI_GO)
        return status;
    status = list(data_dir, &q);
    free(data_dir);
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_error(CLI_FAIL, "queue list", "standard output could not be written");
    return status;
}

int cmd_queue(int argc, char **argv)
{
    static const struct cli_choice choices[] = { { "list", cmd_queue_list }, { NULL, NULL } };
    return cli_dispatch("queue", usage, choices, argc, argv);
}
