/* cmd_queue.c - sluice queue: what waits for the cloud, and what it refused: to look at, to keep,
 * to throw away. */
#include "cli.h"
#include "commands.h"
#include "data_dir.h"
#include "queue_ask.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "Usage: sluice queue list   [-c FILE] [--lane LANE] [--dead] [--limit N]\n"
    "       sluice queue export [-c FILE] [--lane LANE] [--dead] [--limit N]\n"
    "       sluice queue purge  [-c FILE] [--lane LANE] [--dead] [--limit N]\n"
    "\n"
    "What waits for the cloud, oldest first within each lane. Asks the running gateway;\n"
    "opens the database itself only when none runs.\n"
    "\n"
    "  list     prints a JSON line a message, payloads that are JSON as they are;\n"
    "           1000 of them unless --limit says otherwise\n"
    "  export   prints a JSON line a message with everything there is of it, payloads\n"
    "           to the byte; all unless --limit says otherwise. Nothing is removed\n"
    "  purge    throws away, asks nothing, and says how many; the ledger counts them\n"
    "           as purged. What is just being sent stays\n"
    "\n"
    "  -c, --config FILE   the configuration\n"
    "      --lane LANE     only this lane: alert, normal or telemetry\n"
    "      --dead          the dead letters: what the cloud refused, with the reason\n"
    "      --limit N       at most N messages, the oldest\n"
    "      --help          this text\n"
    "\n"
    "Exit status: 0 done, also when nothing was there; 1 it failed, and what was printed\n"
    "or purged until then is not all; 2 wrong usage.\n";

#define LIST_LIMIT 1000
#define LIMIT_MOST 9007199254740991 /* what JSON's numbers hold exactly */

/* The options that all three take. CLI_GO: *q is filled, and *ret_dir yours to free(). */
static int read_query(const char *command, int argc, char **argv, struct queue_query *q,
                      char **ret_dir)
{
    const char *given = NULL, *lane = NULL;
    struct cli_args args;
    const struct cli_option options[] = { CLI_CONFIG(&given), CLI_TEXT("lane", '\0', &lane),
                                          CLI_FLAG("dead", '\0', &q->dead),
                                          CLI_NUMBER("limit", '\0', &q->limit, 1, LIMIT_MOST),
                                          CLI_END };
    const struct cli_command parse = { .name = command, .usage = usage, .options = options };
    q->command = command;
    q->lane = OUTBOX_LANES;
    int status = cli_parse(&parse, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    if (lane && !outbox_lane_parse(sl_str(lane), &q->lane))
        return cli_error(CLI_USAGE, command, "--lane: \"%s\" is none of alert, normal, telemetry",
                         lane);
    status = data_dir_find(command, given, ret_dir);
    q->data_dir = *ret_dir;
    q->sealed = status == CLI_GO && data_dir_seal_key(command, given, q->seal_key);
    return status;
}

static int print(struct queue_query *q, int argc, char **argv)
{
    char *data_dir = NULL;
    int status = read_query(q->command, argc, argv, q, &data_dir);
    if (status == CLI_GO)
        status = queue_print(q);
    free(data_dir);
    return status;
}

static int cmd_queue_list(int argc, char **argv)
{
    struct queue_query q = { .command = "queue list", .limit = LIST_LIMIT };
    return print(&q, argc, argv);
}

static int cmd_queue_export(int argc, char **argv)
{
    struct queue_query q = { .command = "queue export", .full = true, .limit = UINT64_MAX };
    return print(&q, argc, argv);
}

static int cmd_queue_purge(int argc, char **argv)
{
    struct queue_query q = { .limit = UINT64_MAX };
    struct outbox_purged purged = { 0 };
    char *data_dir = NULL;
    int status = read_query("queue purge", argc, argv, &q, &data_dir);
    if (status != CLI_GO) {
        free(data_dir);
        return status;
    }
    status = queue_purge(&q, &purged);
    free(data_dir);
    if (q.dead)
        (void)printf("purged %llu dead letter%s\n", (unsigned long long)purged.letters,
                     purged.letters == 1 ? "" : "s");
    else
        (void)printf("purged %llu message%s\n", (unsigned long long)purged.messages,
                     purged.messages == 1 ? "" : "s");
    if (fflush(stdout) != 0)
        return cli_error(CLI_FAIL, "queue purge", "standard output could not be written");
    return status;
}

int cmd_queue(int argc, char **argv)
{
    static const struct cli_choice choices[] = { { "list", cmd_queue_list },
                                                 { "export", cmd_queue_export },
                                                 { "purge", cmd_queue_purge },
                                                 { NULL, NULL } };
    return cli_dispatch("queue", usage, choices, argc, argv);
}
