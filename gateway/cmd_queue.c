/* cmd_queue.c - sluice queue: what waits for the cloud, from the running gateway or, when none
 * runs, from the file. */
#include "cli.h"
#include "commands.h"
#include "control.h"
#include "data_dir.h"
#include "queue_row.h"

#include "base/log.h"
#include "base/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

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

struct query {
    const char *lane;
    bool dead;
    uint64_t limit;
};

static void print_line(void *ctx, const char *text)
{
    (void)ctx;
    (void)puts(text); /* checked once at the end */
}

static void print_row(void *ctx, const struct outbox_row *row)
{
    (void)ctx;
    struct sl_buf line = { 0 };
    queue_row_json(row, &line);
    (void)puts(sl_buf_cstr(&line)); /* checked once at the end */
    sl_buf_free(&line);
}

static void nothing_more(void *ctx, enum sl_code code, const char *error)
{
    (void)ctx;
    (void)code; /* outbox_list_file() returns it as well */
    (void)error;
}

static int list_file(const char *data_dir, const struct query *q)
{
    char path[PATH_MAX];
    struct sl_err err = { 0 };
    struct outbox_list_request request = { .lane = OUTBOX_LANES,
                                           .dead = q->dead,
                                           .limit = (uint32_t)q->limit,
                                           .row = print_row,
                                           .done = nothing_more };
    if (q->lane && !outbox_lane_parse(sl_str(q->lane), &request.lane))
        return cli_error(CLI_USAGE, "queue list", "--lane: unknown lane \"%s\"", q->lane);
    if (snprintf(path, sizeof path, "%s/queue.db", data_dir) >= (int)sizeof path)
        return cli_error(CLI_FAIL, "queue list", "the path of data_dir is too long");
    enum sl_code rc = outbox_list_file(path, &request, &err);
    if (rc == SL_NOTFOUND)
        return CLI_OK; /* nothing was ever stored */
    return rc == SL_OK ? CLI_OK : cli_error(CLI_FAIL, "queue list", "%s", err.text);
}

static int list(const char *data_dir, const struct query *q)
{
    struct sl_buf request = { 0 };
    struct sl_err err = { 0 };
    sl_buf_printf(&request, "{\"cmd\":\"queue\",\"dead\":%s,\"limit\":%llu",
                  q->dead ? "true" : "false", (unsigned long long)q->limit);
    if (q->lane) {
        sl_buf_put_str(&request, ",\"lane\":");
        sl_buf_put_json(&request, sl_str(q->lane));
    }
    sl_buf_put_str(&request, "}");
    enum sl_code rc = control_ask(data_dir, sl_buf_cstr(&request), print_line, NULL, &err);
    sl_buf_free(&request);
    if (rc == SL_NOTFOUND)
        return list_file(data_dir, q);
    return rc == SL_OK ? CLI_OK : cli_error(CLI_FAIL, "queue list", "%s", err.text);
}

static int cmd_queue_list(int argc, char **argv)
{
    const char *given = NULL;
    struct query q = { .limit = 1000 };
    enum outbox_lane lane;
    struct cli_args args;
    char *data_dir = NULL;
    const struct cli_option options[] = { CLI_CONFIG(&given), CLI_TEXT("lane", '\0', &q.lane),
                                          CLI_FLAG("dead", '\0', &q.dead),
                                          CLI_NUMBER("limit", '\0', &q.limit, 1, 1000000),
                                          CLI_END };
    const struct cli_command command = { .name = "queue list", .usage = usage, .options = options };
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    if (q.lane && !outbox_lane_parse(sl_str(q.lane), &lane))
        return cli_error(CLI_USAGE, "queue list",
                         "--lane: \"%s\" is none of alert, normal, telemetry", q.lane);
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
